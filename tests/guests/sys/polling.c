// Pipes, eventfd, poll, select, epoll.
#include "oracle.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>

static volatile int pipes_signal;
static void onpipe(int s) { pipes_signal = s; }
static void *late(void *fd) {
    msleep(50);
    write((int)(long)fd, "late", 4);
    return NULL;
}
static void *late_close(void *fd) {
    msleep(50);
    close((int)(long)fd);
    return NULL;
}
static void *late_read(void *fd) {
    static char b[70000];
    msleep(50);
    for (int got = 0; got < 70000;) got += read((int)(long)fd, b, sizeof b);
    return NULL;
}

static void pipes(void) {
    SECTION("pipes");
    int p[2];
    static char b[100000];
    pthread_t t;
    CALL(pipe(p)), SHOW(p[0]), SHOW(p[1]);
    CALL(write(p[1], "hello world", 11));
    CALL(read(p[0], b, 5));
    CALL(read(p[0], b, 100));
    CALL(read(p[1], b, 1));
    CALL(write(p[0], b, 1));
    CALL(lseek(p[0], 0, SEEK_CUR));
    CALL(pread(p[0], b, 1, 0));
    CALL(pwrite(p[1], b, 1, 0));
    CALL(write(p[1], BADPTR, 1));
    CALL(fcntl(p[0], F_GETPIPE_SZ));
    CALL(fcntl(p[0], F_SETFL, O_NONBLOCK)), CALL(fcntl(p[1], F_SETFL, O_NONBLOCK));
    CALL(read(p[0], b, 1));
    CALL(write(p[1], b, 100000));
    CALL(write(p[1], b, 1));
    CALL(read(p[0], b, 4096));
    CALL(write(p[1], b, 4096));
    CALL(read(p[0], b, 10));
    CALL(write(p[1], b, 11)); /* atomic up to PIPE_BUF */
    CALL(read(p[0], b, 100000));
    CALL(fcntl(p[0], F_SETPIPE_SZ, 8192)), CALL(fcntl(p[0], F_GETPIPE_SZ));
    CALL(write(p[1], b, 100000));
    CALL(fcntl(p[0], F_SETPIPE_SZ, 4096));
    CALL(read(p[0], b, 100000));
    CALL(fcntl(p[0], F_SETPIPE_SZ, 1));
    CALL(fcntl(p[0], F_SETPIPE_SZ, 1 << 17)), CALL(fcntl(p[0], F_SETPIPE_SZ, 0));
    CALL(fcntl(p[0], F_SETFL, 0)), CALL(fcntl(p[1], F_SETFL, 0));
    pthread_create(&t, NULL, late, (void *)(long)p[1]);
    CALL(read(p[0], b, 100));
    pthread_join(t, NULL);
    pthread_create(&t, NULL, late_read, (void *)(long)p[0]);
    fcntl(p[0], F_SETPIPE_SZ, 65536);
    CALL(write(p[1], b, 70000)); /* more than fits: waits for the reader */
    pthread_join(t, NULL);
    pthread_create(&t, NULL, late_close, (void *)(long)p[1]);
    CALL(read(p[0], b, 100));
    pthread_join(t, NULL);
    CALL(read(p[0], b, 100));
    CALL(syscall(SYS_pipe2, p, 0x4000000));
    CALL(syscall(SYS_pipe2, BADPTR, 0));
    CALL(pipe2(p, O_CLOEXEC | O_NONBLOCK)), CALL(fcntl(p[0], F_GETFD)), CALL(fcntl(p[0], F_GETFL));
    signal(SIGPIPE, SIG_IGN);
    close(p[0]);
    CALL(write(p[1], b, 1));
    signal(SIGPIPE, onpipe);
    CALL(write(p[1], b, 1)), SHOW(pipes_signal);
    struct pollfd pf = {p[1], POLLOUT, 0};
    CALL(poll(&pf, 1, 0)), SHOW(pf.revents);
}

static void events(void) {
    SECTION("eventfd");
    uint64_t n = 5;
    int e = eventfd(3, EFD_NONBLOCK), s = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    CALL(read(e, &n, 8)), SHOW(n);
    CALL(read(e, &n, 8));
    n = 7, CALL(write(e, &n, 8)), CALL(write(e, &n, 8)), CALL(read(e, &n, 8)), SHOW(n);
    n = -1, CALL(write(e, &n, 8));
    n = -2, CALL(write(e, &n, 8));
    n = 1, CALL(write(e, &n, 8));
    struct pollfd p = {e, POLLIN | POLLOUT, 0};
    CALL(poll(&p, 1, 0)), SHOW(p.revents);
    CALL(read(e, &n, 4));
    CALL(write(e, &n, 4));
    CALL(read(e, BADPTR, 8));
    CALL(read(s, &n, 8)), SHOW(n), CALL(read(s, &n, 8)), SHOW(n), CALL(read(s, &n, 8));
    CALL(eventfd(0, 0x1234));
    CALL(lseek(e, 0, SEEK_SET));
    SECTION("signalfd");
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigprocmask(SIG_BLOCK, &set, NULL);
    int sf = signalfd(-1, &set, SFD_NONBLOCK);
    struct signalfd_siginfo si;
    CALL(read(sf, &si, sizeof si));
    raise(SIGUSR1);
    p = (struct pollfd){sf, POLLIN, 0};
    CALL(poll(&p, 1, 0)), SHOW(p.revents);
    CALL(read(sf, &si, sizeof si)), SHOW(si.ssi_signo), SHOW(si.ssi_code);
    CALL(read(sf, &si, 5));
    CALL(signalfd(77, &set, 0));
    CALL(signalfd(e, &set, 0));
}

static void polls(void) {
    SECTION("poll");
    int p[2], f = oracle_file("f", 10);
    char b[10];
    pthread_t t;
    pipe(p);
    struct pollfd v[5] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}, {-1, POLLIN, 9}, {77, POLLIN, 0}, {f, POLLIN | POLLOUT, 0}};
    CALL(poll(v, 5, 0));
    for (int i = 0; i < 5; i++) SHOW(v[i].revents);
    int64_t start = now_ms();
    CALL(poll(v, 1, 30)), HOLDS(now_ms() - start >= 29);
    pthread_create(&t, NULL, late, (void *)(long)p[1]);
    CALL(poll(v, 1, 5000)), SHOW(v[0].revents);
    pthread_join(t, NULL);
    read(p[0], b, 10);
    pthread_create(&t, NULL, late_close, (void *)(long)p[1]);
    CALL(poll(v, 1, 5000)), SHOW(v[0].revents);
    pthread_join(t, NULL);
    CALL(poll(NULL, 0, 1));
    CALL(syscall(SYS_poll, BADPTR, 1, 0));
    CALL(syscall(SYS_poll, v, 1 << 30, 0));
    struct timespec ts = {0, 10000000}, bad = {0, 2000000000};
    v[0].fd = -5;
    CALL(ppoll(v, 1, &ts, NULL));
    CALL(ppoll(v, 1, &bad, NULL));
    CALL(syscall(SYS_ppoll, v, 1, BADPTR, NULL, 8));
    CALL(syscall(SYS_ppoll, v, 1, &ts, &ts, 4));
    SECTION("select");
    fd_set r, w;
    struct timeval tv = {0, 20000};
    pipe(p);
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(p[0], &r);
    FD_SET(p[1], &w);
    CALL(select(p[1] + 1, &r, &w, NULL, &tv)), SHOW(FD_ISSET(p[0], &r)), SHOW(FD_ISSET(p[1], &w));
    FD_ZERO(&r);
    FD_SET(p[0], &r);
    CALL(select(p[0] + 1, &r, NULL, NULL, &tv)), SHOW(FD_ISSET(p[0], &r)), SHOW(tv.tv_usec);
    write(p[1], "x", 1);
    FD_SET(p[0], &r);
    CALL(select(p[0] + 1, &r, NULL, NULL, NULL)), SHOW(FD_ISSET(p[0], &r));
    FD_SET(99, &r);
    /* select looks no further than the table of descriptors has room for: make it long enough whatever was inherited. */
    close(dup2(p[0], 120));
    CALL(select(100, &r, NULL, NULL, &tv));
    CALL(select(-1, NULL, NULL, NULL, &tv));
    tv.tv_usec = -1;
    CALL(select(0, NULL, NULL, NULL, &tv));
    CALL(syscall(SYS_select, 10, BADPTR, NULL, NULL, NULL));
    CALL(pselect(0, NULL, NULL, NULL, &ts, NULL));
    struct { void *set; size_t len; } arg = {NULL, 8};
    CALL(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ts, &arg));
}

static void *ring(void *fd) {
    uint64_t one = 1;
    msleep(40);
    write((int)(long)fd, &one, 8);
    return NULL;
}
static void epolls(void) {
    SECTION("epoll");
    int e = epoll_create1(EPOLL_CLOEXEC), p[2], f = oracle_file("g", 1), ev = eventfd(0, EFD_NONBLOCK);
    struct epoll_event x = {.events = EPOLLIN, .data.u64 = 11}, out[8];
    char b[100];
    uint64_t n = 1;
    pthread_t t;
    pipe(p);
    CALL(fcntl(e, F_GETFD));
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &x));
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &x));
    CALL(epoll_ctl(e, EPOLL_CTL_MOD, p[1], &x));
    CALL(epoll_ctl(e, EPOLL_CTL_DEL, p[1], &x));
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, 99, &x));
    CALL(epoll_ctl(99, EPOLL_CTL_ADD, p[0], &x));
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, e, &x));
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, f, &x));
    CALL(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &x));
    CALL(epoll_ctl(e, 99, p[0], &x));
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, p[1], BADPTR));
    CALL(epoll_wait(e, out, 8, 0));
    write(p[1], "abc", 3);
    CALL(epoll_wait(e, out, 8, 0)), SHOW(out[0].events), SHOW(out[0].data.u64);
    CALL(epoll_wait(e, out, 8, 0)); /* level-triggered */
    x.events = EPOLLIN | EPOLLET, x.data.u64 = 22;
    CALL(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &x));
    CALL(epoll_wait(e, out, 8, 0)), SHOW(out[0].data.u64);
    CALL(epoll_wait(e, out, 8, 0));
    write(p[1], "d", 1);
    CALL(epoll_wait(e, out, 8, 0));
    CALL(read(p[0], b, 2));
    CALL(epoll_wait(e, out, 8, 0));
    x.events = EPOLLIN | EPOLLONESHOT;
    CALL(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &x));
    CALL(epoll_wait(e, out, 8, 0));
    CALL(epoll_wait(e, out, 8, 0));
    CALL(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &x));
    CALL(epoll_wait(e, out, 8, 0));
    x.events = EPOLLOUT, x.data.u64 = 33;
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, p[1], &x));
    x.events = EPOLLIN, x.data.u64 = 44;
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, ev, &x));
    CALL(epoll_wait(e, out, 8, 0)), SHOW(out[0].data.u64);
    write(ev, &n, 8);
    CALL(epoll_wait(e, out, 8, 0));
    CALL(epoll_wait(e, out, 1, 0));
    CALL(epoll_ctl(e, EPOLL_CTL_DEL, p[1], NULL));
    read(ev, &n, 8), read(p[0], b, 100);
    CALL(epoll_wait(e, out, 8, 10));
    pthread_create(&t, NULL, ring, (void *)(long)ev);
    CALL(epoll_wait(e, out, 8, 5000)), SHOW(out[0].data.u64);
    pthread_join(t, NULL), read(ev, &n, 8);
    CALL(epoll_wait(e, out, 0, 0));
    CALL(epoll_wait(e, out, -1, 0));
    CALL(syscall(SYS_epoll_wait, e, BADPTR, 1, 0));
    CALL(epoll_wait(p[0], out, 1, 0));
    CALL(epoll_wait(99, out, 1, 0));
    CALL(epoll_create(0));
    CALL(epoll_create1(0x1234));
    sigset_t set;
    sigemptyset(&set);
    CALL(epoll_pwait(e, out, 8, 1, &set));
    struct timespec ts = {0, 1000000};
    CALL(syscall(SYS_epoll_pwait2, e, out, 8, &ts, NULL, 0));
    int outer = epoll_create1(0);
    x.events = EPOLLIN, x.data.u64 = 55;
    CALL(epoll_ctl(outer, EPOLL_CTL_ADD, e, &x));
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, outer, &x));
    CALL(epoll_wait(outer, out, 8, 0));
    n = 1, write(ev, &n, 8);
    CALL(epoll_wait(outer, out, 8, 0)), SHOW(out[0].data.u64);
    struct pollfd pf = {e, POLLIN, 0};
    CALL(poll(&pf, 1, 0)), SHOW(pf.revents);
    read(ev, &n, 8);
    int d = dup(ev);
    n = 1, write(ev, &n, 8), close(ev);
    CALL(epoll_wait(e, out, 8, 0)); /* the description lives on in the duplicate */
    close(d);
    CALL(epoll_wait(e, out, 8, 0));
    close(p[1]);
    x.events = 0, epoll_ctl(e, EPOLL_CTL_MOD, p[0], &x);
    CALL(epoll_wait(e, out, 8, 0)), SHOW(out[0].events);
    x.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &x));
    x.events = EPOLLIN | EPOLLRDHUP | EPOLLPRI;
    CALL(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &x));
    CALL(epoll_wait(e, out, 8, 0)), SHOW(out[0].events);
}

/* Two sets watch one file, a thread waits for each: how many an event wakes. */
static int woken, sets[2];
static void *waits(void *set) {
    struct epoll_event out;
    if (epoll_wait(*(int *)set, &out, 1, 300) == 1) __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
static void herd(unsigned how) {
    int ev = eventfd(0, 0);
    struct epoll_event x = {.events = EPOLLIN | how};
    pthread_t t[2];
    woken = 0;
    for (int i = 0; i < 2; i++) sets[i] = epoll_create1(0), epoll_ctl(sets[i], EPOLL_CTL_ADD, ev, &x), pthread_create(&t[i], NULL, waits, &sets[i]);
    usleep(100000), eventfd_write(ev, 1), usleep(50000), SHOW(woken);
    eventfd_write(ev, 1), usleep(50000), SHOW(woken);
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL), close(sets[i]);
    close(ev);
}

int main(void) {
    pipes();
    events();
    polls();
    epolls();
    SECTION("who is woken");
    herd(0), herd(EPOLLEXCLUSIVE), herd(EPOLLET), herd(EPOLLET | EPOLLEXCLUSIVE);
    SECTION("killed by SIGPIPE");
    int p[2];
    pipe(p), close(p[0]);
    signal(SIGPIPE, SIG_DFL);
    write(p[1], "x", 1);
    return 0;
}
