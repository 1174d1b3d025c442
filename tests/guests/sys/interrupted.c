// Every call that can wait, cut short by a signal: with a handler that wants it begun again, and with one that does not.
#include "oracle.h"
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#define C(name, ...) syscall(SYS_##name, ##__VA_ARGS__)
static int pipe_in[2], pipe_out[2], ev, full, tfd, sfd, ep, locked, waits, word, ticks;
static struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

static void handler(int s) {
    (void)s;
    ticks++;
}
/* The last of these ticks makes everything ready, so that a call that is begun again ends. */
static void release(int s) {
    (void)s;
    if (++ticks != 3) return;
    struct itimerspec now = {{0, 0}, {0, 1}};
    uint64_t n;
    write(pipe_in[1], "x", 1), write(ev, &(uint64_t){1}, 8), read(full, &n, 8), timerfd_settime(tfd, 0, &now, NULL);
    flock(locked, LOCK_UN);
    struct flock none = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    fcntl(locked, F_OFD_SETLK, &none);
}
static void reset(void) {
    char b[4096];
    uint64_t n;
    struct pollfd p = {pipe_in[0], POLLIN, 0};
    while (poll(&p, 1, 0) > 0) read(pipe_in[0], b, 1);
    p.fd = ev;
    while (poll(&p, 1, 0) > 0) read(ev, &n, 8);
    p.fd = tfd;
    while (poll(&p, 1, 0) > 0) read(tfd, &n, 8);
    p.fd = full;
    if (poll(&p, 1, 0) > 0) read(full, &n, 8);
    write(full, &(uint64_t){UINT64_MAX - 1}, 8);
    flock(waits, LOCK_UN), flock(locked, LOCK_EX), whole.l_type = F_UNLCK, fcntl(waits, F_OFD_SETLK, &whole), whole.l_type = F_WRLCK, fcntl(locked, F_OFD_SETLK, &whole);
    ticks = 0;
}
static void *waker(void *arg) {
    while (C(futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0) msleep(10);
    return arg;
}
static void timer(long ms) {
    struct itimerval it = {{0, ms * 1000}, {0, ms * 1000}};
    setitimer(ITIMER_REAL, &it, NULL);
}
#define CUT(...) CUT_TEXT(#__VA_ARGS__, __VA_ARGS__)
#define CUT_TEXT(text, ...) do { \
    struct sigaction sa = {.sa_handler = handler}; \
    reset(), sigaction(SIGALRM, &sa, NULL), timer(10); \
    errno = 0; \
    long r_ = (__VA_ARGS__); \
    int e_ = errno; \
    timer(0), printf("%s, cut short: %ld %s\n", text, r_, oracle_errname(e_)); } while (0)
#define AGAIN(...) AGAIN_TEXT(#__VA_ARGS__, __VA_ARGS__)
#define AGAIN_TEXT(text, ...) do { \
    struct sigaction sa = {.sa_handler = release, .sa_flags = SA_RESTART}; \
    reset(), sigaction(SIGALRM, &sa, NULL), timer(10); \
    errno = 0; \
    long r_ = (__VA_ARGS__); \
    int e_ = errno; \
    timer(0), printf("%s, begun again: %ld %s%s\n", text, r_, oracle_errname(e_), ticks >= 3 ? "" : ", at once"); } while (0)
#define BOTH(...) CUT_TEXT(#__VA_ARGS__, __VA_ARGS__); AGAIN_TEXT(#__VA_ARGS__, __VA_ARGS__)


int main(void) {
    char b[64];
    uint64_t n, one = 1;
    struct iovec v = {b, 1};
    struct pollfd p;
    struct epoll_event e = {.events = EPOLLIN};
    struct timespec ten = {10, 0}, end;
    struct timeval tenv = {10, 0};
    fd_set set;
    sigset_t none, usr;
    struct signalfd_siginfo si;
    siginfo_t info;
    struct { uint64_t val, addr; uint32_t flags, reserved; } w = {0, (uintptr_t)&word, 2, 0};
    pipe(pipe_in), pipe(pipe_out), ev = eventfd(0, 0), full = eventfd(0, 0), tfd = timerfd_create(CLOCK_MONOTONIC, 0), ep = epoll_create1(0), epoll_ctl(ep, EPOLL_CTL_ADD, pipe_in[0], &e);
    sigemptyset(&none), sigemptyset(&usr), sigaddset(&usr, SIGUSR1), sigprocmask(SIG_BLOCK, &usr, NULL), sfd = signalfd(-1, &usr, 0);
    close(oracle_file("l", 10)), locked = open("l", O_RDWR), waits = open("l", O_RDWR), mkfifo("fifo", 0600);
    fcntl(pipe_out[1], F_SETPIPE_SZ, 4096);
    static char page[4096];
    write(pipe_out[1], page, 4096);
    write(full, &(uint64_t){UINT64_MAX - 1}, 8);
    SECTION("reading and writing");
    BOTH(C(read, pipe_in[0], b, 1L)); BOTH(C(readv, pipe_in[0], &v, 1)); BOTH(C(preadv2, pipe_in[0], &v, 1, -1L, -1L, 0)); CUT(C(write, pipe_out[1], b, 1L)); CUT(C(writev, pipe_out[1], &v, 1)); CUT(C(pwritev2, pipe_out[1], &v, 1, -1L, -1L, 0)); BOTH(C(read, ev, &n, 8L)); BOTH(C(write, full, &one, 8L)); BOTH(C(read, tfd, &n, 8L)); CUT(C(read, sfd, &si, sizeof si));
    SECTION("opening and locking");
    CUT(C(open, "fifo", O_RDONLY)); CUT(C(openat, AT_FDCWD, "fifo", O_WRONLY)); CUT(C(creat, "fifo", 0600)); CUT(C(openat2, AT_FDCWD, "fifo", &(uint64_t[3]){0}, 24L));
    BOTH(C(flock, waits, LOCK_EX)); BOTH(C(fcntl, waits, F_OFD_SETLKW, &whole));
    SECTION("many");
    BOTH((p = (struct pollfd){pipe_in[0], POLLIN, 0}, C(poll, &p, 1, 10000))); BOTH((p = (struct pollfd){pipe_in[0], POLLIN, 0}, C(poll, &p, 1, -1))); BOTH((p = (struct pollfd){pipe_in[0], POLLIN, 0}, ten.tv_sec = 10, C(ppoll, &p, 1, &ten, &none, 8L)));
    BOTH((memset(&set, 0, sizeof set), FD_SET(pipe_in[0], &set), tenv.tv_sec = 10, C(select, pipe_in[0] + 1, &set, NULL, NULL, &tenv))); BOTH((memset(&set, 0, sizeof set), FD_SET(pipe_in[0], &set), ten.tv_sec = 10, C(pselect6, pipe_in[0] + 1, &set, NULL, NULL, &ten, NULL)));
    BOTH(C(epoll_wait, ep, &e, 1, 10000)); BOTH(C(epoll_pwait, ep, &e, 1, -1, &none, 8L)); ten = (struct timespec){10, 0}; BOTH(C(epoll_pwait2, ep, &e, 1, &ten, &none, 8L));
    SECTION("time and signals");
    CUT(C(nanosleep, &ten, NULL)); CUT(C(clock_nanosleep, CLOCK_MONOTONIC, 0, &ten, NULL)); clock_gettime(CLOCK_MONOTONIC, &end), end.tv_sec += 10;
    CUT(C(clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL)); CUT(C(pause)); CUT(C(rt_sigsuspend, &none, 8L)); CUT(C(rt_sigtimedwait, &usr, &info, &ten, 8L)); CUT(C(rt_sigtimedwait, &usr, NULL, NULL, 8L)); AGAIN(C(pause)); AGAIN(C(rt_sigtimedwait, &usr, NULL, NULL, 8L)); AGAIN(C(nanosleep, &ten, NULL));
    SECTION("futex");
    CUT(C(futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0)); CUT(C(futex, &word, FUTEX_WAIT, 0, &ten, NULL, 0)); CUT(C(futex, &word, FUTEX_WAIT_BITSET, 0, &end, NULL, -1)); CUT(C(futex_waitv, &w, 1, 0, NULL, 0)); CUT(C(futex_waitv, &w, 1, 0, &end, CLOCK_MONOTONIC));
    pthread_t t;
    pthread_create(&t, NULL, waker, NULL), CALL(C(futex_waitv, &w, 1, 0, NULL, 0)), pthread_join(t, NULL);
    CALL(C(futex_waitv, &w, 0, 0, NULL, 0)), CALL(C(futex_waitv, &w, 129, 0, NULL, 0)), CALL(C(futex_waitv, &w, 1, 1, NULL, 0)), CALL(C(futex_waitv, &w, 1, 0, &ten, 99)), w.val = 1, CALL(C(futex_waitv, &w, 1, 0, NULL, 0)), w.reserved = 1, CALL(C(futex_waitv, &w, 1, 0, NULL, 0)), w.reserved = 0, w.flags = 0x40, CALL(C(futex_waitv, &w, 1, 0, NULL, 0)), w.flags = 2, w.addr++, CALL(C(futex_waitv, &w, 1, 0, NULL, 0)), w.addr = 64, CALL(C(futex_waitv, &w, 1, 0, NULL, 0)), w.addr = (uintptr_t)&word, w.val = 0, end.tv_sec = 0, CALL(C(futex_waitv, &w, 1, 0, &end, CLOCK_MONOTONIC)), end.tv_nsec = -1, CALL(C(futex_waitv, &w, 1, 0, &end, CLOCK_MONOTONIC));
    CALL(C(restart_syscall));
    return 0;
}
