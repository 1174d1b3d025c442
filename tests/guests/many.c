// Many descriptors of which nearly none is ever ready: `wakes N` waits for one of N, `idle N` keeps N connections and sleeps.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHECK(call) ({ long r = (call); if (r < 0) { perror(#call); exit(1); } r; })

enum { ROUNDS = 2000, SMALL = 1000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void signal_event(int fd) { uint64_t one = 1; CHECK(write(fd, &one, 8)); }
static void take_event(int fd) { uint64_t n; CHECK(read(fd, &n, 8)); }

static int *fds, count;

// Makes the one of number 7919 * round ready each time it is told that the last one was seen.
static void *partner(void *back) {
    for (int round = 0; round < ROUNDS; round++) {
        take_event(*(int *)back);
        signal_event(fds[7919L * round % count]);
    }
    return 0;
}

// Seconds for a wake of one of `n`.
static double epoll_wake(int n) {
    int set = CHECK(epoll_create1(0)), back = CHECK(eventfd(0, 0));
    count = n;
    for (int i = 0; i < n; i++) {
        struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };
        CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &e));
    }
    pthread_t thread;
    pthread_create(&thread, 0, partner, &back);
    double start = now();
    for (int round = 0; round < ROUNDS; round++) {
        struct epoll_event e[4];
        signal_event(back);
        if (CHECK(epoll_wait(set, e, 4, 10000)) != 1 || e[0].data.u32 != 7919L * round % n) exit(2);
        take_event(fds[e[0].data.u32]);
    }
    double took = now() - start;
    pthread_join(thread, 0);
    close(set);
    close(back);
    return took / ROUNDS;
}

static int ready;
static void *late(void *_) {
    usleep(50000);
    // Those that come and go are no reason to end.
    for (int i = 0; i < 200; i++) { uint64_t n = UINT64_MAX - 1; CHECK(write(fds[i % 2], &n, 8)); take_event(fds[i % 2]); }
    signal_event(fds[ready]);
    return 0;
}

static void poll_all(int n) {
    struct pollfd *all = calloc(n, sizeof *all);
    for (int i = 0; i < n; i++) all[i] = (struct pollfd){ fds[i], i < 2 ? POLLERR : POLLIN, 0 };
    for (ready = 2; ready < n; ready += n / 3) {
        pthread_t thread;
        pthread_create(&thread, 0, late, 0);
        int found = CHECK(poll(all, n, 10000));
        printf("poll: %d, the right one: %d\n", found, all[ready].revents == POLLIN);
        pthread_join(thread, 0);
        take_event(fds[ready]);
    }
    printf("none: %ld\n", CHECK(poll(all, n, 0)));
    free(all);
    // A set of select has as many bits as one wants.
    size_t size = (fds[n - 1] + 64) / 64 * 8;
    unsigned long *set = calloc(1, size);
    for (int i = 2; i < n; i++) set[fds[i] / 64] |= 1UL << fds[i] % 64;
    ready = n - 5;
    pthread_t thread;
    pthread_create(&thread, 0, late, 0);
    int found = CHECK(select(fds[n - 1] + 1, (fd_set *)set, 0, 0, 0));
    printf("select: %d, the right one: %d\n", found, !!(set[fds[ready] / 64] & 1UL << fds[ready] % 64));
    pthread_join(thread, 0);
    take_event(fds[ready]);
    free(set);
}

static void wakes(int n) {
    fds = calloc(n, sizeof *fds);
    for (int i = 0; i < n; i++) fds[i] = CHECK(eventfd(0, EFD_NONBLOCK));
    epoll_wake(SMALL);
    double few = epoll_wake(SMALL), many = epoll_wake(n);
    fprintf(stderr, "a wake among %d: %.2f us, among %d: %.2f us\n", SMALL, few * 1e6, n, many * 1e6);
    printf("epoll: about the same: %d\n", many < few * 10);
    poll_all(n);
}


static void idle(int n) {
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    int server = CHECK(socket(AF_INET, SOCK_STREAM, 0)), set = CHECK(epoll_create1(0)), heard = 0;
    CHECK(bind(server, (void *)&at, len));
    CHECK(getsockname(server, (void *)&at, &len));
    CHECK(listen(server, 128));
    int *clients = calloc(n, sizeof *clients);
    for (int i = 0; i < n; i++) {
        clients[i] = CHECK(socket(AF_INET, SOCK_STREAM, 0));
        CHECK(connect(clients[i], (void *)&at, len));
        int fd = CHECK(accept(server, 0, 0));
        struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
        CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e));
    }
    printf("connected\n");
    fflush(stdout);
    // Whoever looks on looks now.
    CHECK(getchar() < 0 ? 0 : 0);
    for (int i = 0; i < n; i++) CHECK(write(clients[i], "x", 1));
    while (heard < n) {
        struct epoll_event e[64];
        int found = CHECK(epoll_wait(set, e, 64, 10000));
        if (found == 0) exit(3);
        for (int i = 0; i < found; i++) { char c; CHECK(read(e[i].data.fd, &c, 1)); heard++; }
    }
    printf("heard: %d\n", heard);
}

int main(int argc, char **argv) {
    int n = atoi(argv[2]);
    struct rlimit limit = { 2 * n + 100, 2 * n + 100 };
    CHECK(setrlimit(RLIMIT_NOFILE, &limit));
    if (strcmp(argv[1], "wakes") == 0) wakes(n);
    else idle(n);
}
