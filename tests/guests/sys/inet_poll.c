// Waiting for Internet sockets: poll(2), epoll(7), blocking calls that others end, time limits, signals, a backlog that is full.
// again: --net host
// timeout: 60
#include "inet.h"
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>

/* What another thread does a little later. */
struct later { int what, fd; const void *data; long len; pthread_t thread; };
enum { WRITE, READ, CLOSE, CONNECT, ACCEPT, SHUT, SIGNAL, SEND };
static void *do_later(void *arg) {
    struct later *l = arg;
    static char into[1 << 20];
    msleep(60);
    switch (l->what) {
    case WRITE: write(l->fd, l->data, l->len); break;
    case READ: for (long got = 0, n; got < l->len && (n = read(l->fd, into, sizeof into)) > 0;) got += n; break;
    case CLOSE: close(l->fd); break;
    case CONNECT: connect(l->fd, V4("127.0.0.1", l->len)); break;
    case ACCEPT: close(accept(l->fd, NULL, NULL)); break;
    case SHUT: shutdown(l->fd, l->len); break;
    case SIGNAL: pthread_kill((pthread_t)l->data, SIGUSR1); break;
    case SEND: sendto(l->fd, l->data, 1, 0, V4("127.0.0.1", l->len)); break;
    }
    return NULL;
}
#define LATER(...) struct later l_ = {__VA_ARGS__}; pthread_create(&l_.thread, NULL, do_later, &l_)
#define JOINED() pthread_join(l_.thread, NULL)

static void blocking(void) {
    SECTION("blocking");
    int s[2];
    connected(s);
    { LATER(WRITE, s[0], "abc", 3); CALL(read(s[1], b, 9)); JOINED(); }
    { LATER(WRITE, s[0], "abc", 3); CALL(recv(s[1], b, 3, MSG_WAITALL)); JOINED(); }
    { LATER(SHUT, s[0], NULL, SHUT_WR); CALL(recv(s[1], b, 9, MSG_WAITALL)); JOINED(); }
    close(s[0]), close(s[1]), connected(s);
    { LATER(READ, s[1], NULL, sizeof b * 8); long done = 0; for (int i = 0; i < 8; i++) done += write(s[0], b, sizeof b); HOLDS(done == sizeof b * 8); JOINED(); }
    { LATER(CLOSE, s[1]); CALL(read(s[0], b, 9)); JOINED(); }
    close(s[0]), connected(s);
    { LATER(SHUT, s[1], NULL, SHUT_RD); CALL(recv(s[1], b, 9, 0)); JOINED(); }
    close(s[0]), close(s[1]);
    int l = listener(AF_INET, 5), c = socket(AF_INET, SOCK_STREAM, 0), port = port_of(l);
    { LATER(CONNECT, c, NULL, port); int a = accept(l, NULL, NULL); HOLDS(a > 0); close(a); JOINED(); }
    { LATER(SHUT, l, NULL, SHUT_RD); CALL(accept(l, NULL, NULL)); JOINED(); }
    close(l), close(c);
    int u = socket(AF_INET, SOCK_DGRAM, 0), v = socket(AF_INET, SOCK_DGRAM, 0);
    bind(u, V4("127.0.0.1", 0)), port = port_of(u);
    { LATER(SEND, v, "x", port); CALL(recv(u, b, 9, 0)); JOINED(); }
    connect(u, V4("127.0.0.1", 9));
    { LATER(SHUT, u, NULL, SHUT_RD); CALL(recv(u, b, 9, 0)); JOINED(); }
    close(u), close(v);

    SECTION("limits and signals");
    struct timeval t = {0, 50000};
    connected(s), setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), setsockopt(s[0], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    int64_t began = now_ms();
    CALL(read(s[0], b, 1)), HOLDS(now_ms() - began >= 45), CALL(recv(s[0], b, 1, MSG_PEEK));
    long total = 0, n;
    while ((n = write(s[0], b, sizeof b)) > 0) total += n;
    HOLDS(errno == EAGAIN && total > 500000);
    close(s[0]), close(s[1]);
    struct sigaction a = {.sa_handler = on_pipe};
    sigaction(SIGUSR1, &a, NULL), connected(s);
    { LATER(SIGNAL, 0, (void *)pthread_self()); CALL(read(s[0], b, 1)); JOINED(); }
    a.sa_flags = SA_RESTART, sigaction(SIGUSR1, &a, NULL);
    { LATER(SIGNAL, 0, (void *)pthread_self()); struct later w = {WRITE, s[1], "r", 1}; msleep(30); pthread_create(&w.thread, NULL, do_later, &w); CALL(read(s[0], b, 1)); JOINED(); pthread_join(w.thread, NULL); }
    close(s[0]), close(s[1]);
}

static void polling(void) {
    SECTION("poll");
    int s[2];
    connected(s);
    struct pollfd p = {s[1], POLLIN};
    { LATER(WRITE, s[0], "x", 1); CALL(poll(&p, 1, 2000)), SHOW(p.revents); JOINED(); }
    read(s[1], b, 1), p.events = 0;
    { LATER(CLOSE, s[0]); p.events = POLLRDHUP, CALL(poll(&p, 1, 2000)), SHOW(p.revents); JOINED(); }
    close(s[1]), connected(s), nonblock(s[0]);
    while (write(s[0], b, sizeof b) > 0) {}
    p.fd = s[0], p.events = POLLOUT, CALL(poll(&p, 1, 10));
    { LATER(READ, s[1], NULL, 3000000); CALL(poll(&p, 1, 2000)), SHOW(p.revents); shutdown(s[0], SHUT_WR); JOINED(); }
    close(s[0]), close(s[1]);
    fd_set r, w, x;
    connected(s), write(s[0], "x", 1), until(s[1], POLLIN);
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_ZERO(&x);
    FD_SET(s[1], &r), FD_SET(s[1], &w), FD_SET(s[1], &x), CALL(select(s[1] + 1, &r, &w, &x, NULL)), SHOW(FD_ISSET(s[1], &r)), SHOW(FD_ISSET(s[1], &w)), SHOW(FD_ISSET(s[1], &x));
    close(s[0]), close(s[1]);

    SECTION("epoll");
    int e = epoll_create1(0), l = listener(AF_INET, 5), c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event ev = {EPOLLIN | EPOLLET, {.fd = 1}}, got[4];
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, l, &ev)), ev.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, ev.data.fd = 2, CALL(epoll_ctl(e, EPOLL_CTL_ADD, c, &ev)), CALL(epoll_wait(e, got, 4, 0)), SHOW(got[0].events), SHOW(got[0].data.fd), CALL(epoll_wait(e, got, 4, 0));
    connect(c, V4("127.0.0.1", port_of(l))), until(c, POLLOUT), msleep(10);
    int n = CALL(epoll_wait(e, got, 4, 100));
    for (int i = 0; i < n; i++) for (int k = 0; k < n; k++) if (got[k].data.fd == i + 1) printf("%d: %x\n", i + 1, got[k].events);
    int a = accept(l, NULL, NULL);
    CALL(epoll_wait(e, got, 4, 0)), write(a, "x", 1), msleep(10), CALL(epoll_wait(e, got, 4, 100)), SHOW(got[0].events), CALL(epoll_wait(e, got, 4, 0)), write(a, "y", 1), msleep(10), CALL(epoll_wait(e, got, 4, 100)), SHOW(got[0].events), read(c, b, 9);
    shutdown(a, SHUT_WR), msleep(10), CALL(epoll_wait(e, got, 4, 100)), SHOW(got[0].events), close(a), write(c, "z", 1), msleep(10), CALL(epoll_wait(e, got, 4, 100)), SHOW(got[0].events);
    close(c), CALL(epoll_wait(e, got, 4, 0)), close(e), close(l);
}

static void full(void) {
    SECTION("full backlog");
    int l = listener(AF_INET, 0), port = port_of(l), c = socket(AF_INET, SOCK_STREAM, 0), d = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CALL(connect(c, V4("127.0.0.1", port))), msleep(10), CALL(connect(d, V4("127.0.0.1", port))), msleep(20), READY(d), CALL(connect(d, V4("127.0.0.1", port))), CALL(send(d, "x", 1, MSG_NOSIGNAL)), CALL(recv(d, b, 1, 0)), SHOW(get(d, SOL_SOCKET, SO_ERROR)), SHOW(peer_port(d));
    int a = accept(l, NULL, NULL);
    struct pollfd p = {d, POLLOUT};
    CALL(poll(&p, 1, 8000)), READY(d), CALL(connect(d, V4("127.0.0.1", port))), SHOW(get(d, SOL_SOCKET, SO_ERROR)), CALL(send(d, "x", 1, 0));
    int a2 = accept(l, NULL, NULL);
    CALL(recv(a2, b, 9, 0)), close(a), close(a2), close(c), close(d);
    c = socket(AF_INET, SOCK_STREAM, 0), d = socket(AF_INET, SOCK_STREAM, 0), connect(c, V4("127.0.0.1", port));
    { LATER(ACCEPT, l); CALL(connect(d, V4("127.0.0.1", port))); JOINED(); }
    close(c), close(d), close(l);
}

static void files(void) {
    SECTION("files");
    int s[2], f = oracle_file("f", 100000), p[2];
    connected(s), CALL(sendfile(s[0], f, NULL, 100000)), shutdown(s[0], SHUT_WR);
    long got = 0, n, sum = 0;
    while ((n = read(s[1], b, sizeof b)) > 0) for (long i = 0; i < n; i++, got++) sum += b[i] == 'a' + (char)(got % 4096 % 26);
    SHOW(got), SHOW(sum);
    close(s[0]), close(s[1]), connected(s), pipe(p);
    write(p[1], "through", 7), CALL(splice(p[0], NULL, s[0], NULL, 7, 0)), until(s[1], POLLIN), CALL(splice(s[1], NULL, p[1], NULL, 7, 0)), CALL(read(p[0], b, 9)), printf("%.7s\n", b);
    int flag = 1;
    CALL(ioctl(s[0], FIONBIO, &flag)), CALL(read(s[0], b, 1)), CALL(ioctl(s[0], FIOASYNC, &flag)), CALL(fcntl(s[0], F_GETFL) & O_ASYNC);
    close(s[0]), close(s[1]), unlink("f");
}

int main(void) {
    count_pipes();
    blocking(), polling(), full(), files();
    return 0;
}
