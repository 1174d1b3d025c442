// Internet sockets under load: many threads that connect, send patterns both ways, half close, abort; whatever comes must be what was sent.
// again: --net host
// timeout: 90
#include "inet.h"

enum { CLIENTS = 8, ROUNDS = 40 };
static int l, port;
static struct sockaddr_in to;
static long long received[CLIENTS];

static unsigned char pattern(unsigned seed, long at) { return (seed * 2654435761u + at * 40503u) >> 7; }

/* Sends `len` bytes of a pattern in pieces of many sizes. */
static void put(int fd, unsigned seed, long len) {
    static __thread unsigned char out[70000];
    for (long at = 0; at < len;) {
        long n = 1 + (seed + at) % sizeof out;
        if (n > len - at) n = len - at;
        for (long i = 0; i < n; i++) out[i] = pattern(seed, at + i);
        ssize_t w = write(fd, out, n);
        if (w <= 0) { printf("write: %s\n", oracle_errname(errno)); abort(); }
        at += w;
    }
}
static long take(int fd, unsigned seed) {
    static __thread unsigned char in[50000];
    long at = 0, n;
    while ((n = read(fd, in, 1 + (seed + at) % sizeof in)) > 0)
        for (long i = 0; i < n; i++, at++)
            if (in[i] != pattern(seed, at)) { printf("wrong byte at %ld of %u\n", at, seed); abort(); }
    return n < 0 ? -errno : at;
}
/* One side of a connection sends while it receives. */
struct side { int fd; unsigned seed; long len; };
static void *sender(void *arg) {
    struct side *s = arg;
    put(s->fd, s->seed, s->len), shutdown(s->fd, SHUT_WR);
    return NULL;
}
static void *serve(void *arg) {
    int fd = (long)arg;
    unsigned seed;
    if (recv(fd, &seed, sizeof seed, MSG_WAITALL) != sizeof seed) { close(fd); return NULL; }
    pthread_t t;
    struct side s = {fd, seed + 1, seed % 300000};
    pthread_create(&t, NULL, sender, &s);
    if (take(fd, seed) != seed % 200000) { printf("server got too little\n"); abort(); }
    pthread_join(t, NULL), close(fd);
    return NULL;
}
static void *server(void *arg) {
    (void)arg;
    for (int fd; (fd = accept(l, NULL, NULL)) >= 0;) {
        pthread_t t;
        pthread_create(&t, NULL, serve, (void *)(long)fd), pthread_detach(t);
    }
    return NULL;
}
static void *client(void *arg) {
    long me = (long)arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned seed = me * 1000003 + round * 7919;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (void *)&to, sizeof to)) { printf("connect: %s\n", oracle_errname(errno)); abort(); }
        if (round % 8 == 7) {
            struct linger now = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), close(fd);
            continue;
        }
        write(fd, &seed, sizeof seed);
        pthread_t t;
        struct side s = {fd, seed, seed % 200000};
        pthread_create(&t, NULL, sender, &s);
        received[me] += take(fd, seed + 1);
        pthread_join(t, NULL), close(fd);
    }
    return NULL;
}

static int u;
static void *flood(void *arg) {
    long me = (long)arg;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    connect(fd, (void *)&to, sizeof to);
    for (int i = 0; i < 2000; i++) { unsigned char m[64]; memset(m, me, sizeof m); send(fd, m, 1 + i % 60, 0); }
    close(fd);
    return NULL;
}

int main(void) {
    count_pipes();
    SECTION("streams");
    l = listener(AF_INET, 64), port = port_of(l), v4("127.0.0.1", port), to = v4_;
    pthread_t s, c[CLIENTS];
    pthread_create(&s, NULL, server, NULL);
    for (long i = 0; i < CLIENTS; i++) pthread_create(&c[i], NULL, client, (void *)i);
    for (int i = 0; i < CLIENTS; i++) pthread_join(c[i], NULL), printf("%d: %lld\n", i, received[i]);
    shutdown(l, SHUT_RDWR), pthread_join(s, NULL), close(l);
    SECTION("datagrams");
    u = socket(AF_INET, SOCK_DGRAM, 0), bind(u, V4("127.0.0.1", 0)), v4("127.0.0.1", port_of(u)), to = v4_;
    for (long i = 0; i < 4; i++) pthread_create(&c[i], NULL, flood, (void *)(i + 1));
    long got = 0, bad = 0;
    struct timeval t = {0, 500000};
    setsockopt(u, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    for (long n; (n = recv(u, b, 100, 0)) > 0; got++) for (long i = 1; i < n; i++) bad += b[i] != b[0];
    for (int i = 0; i < 4; i++) pthread_join(c[i], NULL);
    HOLDS(got > 100 && got <= 8000), SHOW(bad);
    return 0;
}
