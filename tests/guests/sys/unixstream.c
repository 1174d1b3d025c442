// Stream sockets of the family AF_UNIX: making pairs, reading, writing, peeking, closing, shutting down; what is full and what is ready.
#include "unix.h"

static void making(void) {
    SECTION("making");
    int s[2] = {-1, -1}, bad[2];
    CALL(socket(AF_UNIX, SOCK_STREAM, 0)), CALL(socket(AF_UNIX, SOCK_STREAM, 1)), CALL(socket(AF_UNIX, SOCK_STREAM, 2)), CALL(socket(AF_UNIX, SOCK_RAW, 0));
    CALL(socket(AF_UNIX, SOCK_RDM, 0)), CALL(socket(AF_UNIX, 11, 0)), CALL(socket(AF_UNIX, 0, 0)), CALL(socket(AF_UNIX, SOCK_STREAM | 0x20, 0)), CALL(socket(-1, SOCK_STREAM, 0)), CALL(socket(46, SOCK_STREAM, 0));
    SHOW(option(4, SO_TYPE)); /* made with SOCK_STREAM and protocol 1 */
    SHOW(option(5, SO_TYPE)), SHOW(option(5, SO_PROTOCOL)), SHOW(option(5, SO_DOMAIN));
    CALL(syscall(SYS_close_range, 3, ~0U, 0));
    CALL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s)), SHOW(s[0]), SHOW(s[1]), CALL(fcntl(s[0], F_GETFD)), CALL(fcntl(s[1], F_GETFL));
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, BADPTR)), CALL(socketpair(AF_UNIX, SOCK_STREAM, 9, bad)), CALL(socketpair(AF_UNIX, 77, 0, bad));
    struct stat st, st2;
    CALL(fstat(s[0], &st)), SHOW(st.st_mode), SHOW(st.st_size), SHOW(st.st_nlink), SHOW(st.st_blksize), SHOW(st.st_blocks);
    fstat(s[1], &st2), HOLDS(st.st_ino != st2.st_ino && st.st_dev == st2.st_dev);
    char link[64], want[64], proc[64];
    sprintf(proc, "/proc/self/fd/%d", s[0]), sprintf(want, "socket:[%ld]", (long)st.st_ino);
    long n = readlink(proc, link, sizeof link - 1);
    link[n < 0 ? 0 : n] = 0, HOLDS(!strcmp(link, want));
    CALL(open(proc, O_RDWR));
    CALL(lseek(s[0], 0, SEEK_CUR)), CALL(pread(s[0], b, 1, 0)), CALL(pwrite(s[0], b, 1, 0)), CALL(fsync(s[0])), CALL(ftruncate(s[0], 0)), CALL((long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, s[0], 0));
    CALL(syscall(SYS_getdents64, s[0], b, 100)), CALL(ioctl(s[0], TCGETS, b)), CALL(fchdir(s[0]));
    names(s[0]);
    close(s[0]), close(s[1]);
}

static void bytes(void) {
    SECTION("bytes");
    int s[2], n = -1;
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    READY(s[0]);
    CALL(write(s[0], "hello world", 11)), READY(s[0]), READY(s[1]);
    CALL(ioctl(s[1], FIONREAD, &n)), SHOW(n), CALL(ioctl(s[0], SIOCOUTQ, &n)), SHOW(n), CALL(ioctl(s[0], FIONREAD, &n)), SHOW(n), CALL(ioctl(s[0], FIONREAD, BADPTR));
    CALL(recv(s[1], b, 5, MSG_PEEK)), CALL(recv(s[1], b, 100, MSG_PEEK | MSG_DONTWAIT)), CALL(recv(s[1], b, 5, 0)), printf("%.5s\n", b);
    CALL(read(s[1], b, 3)), printf("%.3s\n", b), CALL(ioctl(s[0], SIOCOUTQ, &n)), SHOW(n);
    CALL(write(s[0], "more", 4)), CALL(read(s[1], b, 100)), printf("%.7s\n", b);
    CALL(recv(s[1], b, 1, MSG_DONTWAIT)), CALL(recv(s[1], b, 0, MSG_DONTWAIT)), CALL(read(s[1], b, 0)), CALL(write(s[0], b, 0)), CALL(send(s[0], b, 0, 0));
    struct iovec v[3] = {{"ab", 2}, {NULL, 0}, {"cde", 3}}, w[2] = {{b, 1}, {b + 10, 9}};
    CALL(writev(s[0], v, 3)), CALL(readv(s[1], w, 2)), printf("%.1s %.4s\n", b, b + 10);
    CALL(send(s[0], "xyz", 3, MSG_NOSIGNAL | MSG_MORE | MSG_EOR | MSG_CONFIRM)), CALL(recv(s[1], b, 2, MSG_TRUNC)), printf("%.2s\n", b), CALL(recv(s[1], b, 2, MSG_TRUNC | MSG_DONTWAIT));
    CALL(write(s[0], BADPTR, 1)), CALL(send(s[0], BADPTR, 100, 0)), CALL(send(s[0], (void *)-1, 10, 0)), CALL(recv(s[1], b, 1, MSG_DONTWAIT));
    close(s[0]), close(s[1]);
}

static void faults(void) {
    SECTION("faults");
    int s[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p + 4096, 4096);
    CALL(write(s[0], p + 4000, 200)), CALL(recv(s[1], b, 300, MSG_DONTWAIT));
    write(s[0], "0123456789", 10);
    CALL(read(s[1], BADPTR, 5)), CALL(read(s[1], p + 4090, 10)), CALL(recv(s[1], b, 300, MSG_DONTWAIT));
    CALL(recv(s[1], (void *)-1, 10, MSG_DONTWAIT));
    CALL(sendto(-1, b, 1, 0, NULL, 0)), CALL(recvfrom(99, b, 1, 0, NULL, NULL));
    close(s[0]), close(s[1]);
}

static void full(void) {
    SECTION("full");
    int lens[] = {1, 100, 500, 1000, 4096, 8000, 17000, 32768, 65536, 100000};
    for (unsigned i = 0; i < sizeof lens / sizeof *lens; i++) {
        int s[2], n = 0, q = 0;
        long last, total = 0, got = 0;
        socketpair(AF_UNIX, SOCK_STREAM, 0, s);
        nonblock(s[0]);
        while ((last = write(s[0], b, lens[i])) == lens[i]) n++, total += last;
        if (last > 0) total += last;
        printf("%d: %d times, then %ld; ready %x", lens[i], n, last, ready(s[0]));
        ioctl(s[0], SIOCOUTQ, &q), printf("; charged %d", q);
        ioctl(s[1], FIONREAD, &q), printf("; %d to read", q);
        /* Until the other side can write again. */
        long k = 0;
        while (!(ready(s[0]) & POLLOUT) && (k = read(s[1], b, lens[i])) > 0) got += k;
        printf("; after %ld it can write\n", got);
        close(s[0]), close(s[1]);
    }
    int s[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    CALL(set(s[0], SO_SNDBUF, 1)), SHOW(option(s[0], SO_SNDBUF)), CALL(set(s[0], SO_RCVBUF, 1)), SHOW(option(s[0], SO_RCVBUF));
    CALL(set(s[0], SO_SNDBUF, 10000)), SHOW(option(s[0], SO_SNDBUF)), CALL(set(s[0], SO_RCVBUF, 10000)), SHOW(option(s[0], SO_RCVBUF));
    nonblock(s[0]);
    CALL(write(s[0], b, 1000)), CALL(write(s[0], b, 100000)), CALL(write(s[0], b, 1));
    block(s[0]);
    { LATER(READ, s[1], NULL, 111000); CALL(write(s[0], b, 100000)); JOINED(); }
    { LATER(READ, s[1], NULL, 1000); nonblock(s[1]); CALL(write(s[0], b, 100)); JOINED(); }
    close(s[0]), close(s[1]);
}

static void ends(void) {
    SECTION("ends");
    int s[2];
    catch(SIGPIPE, on_pipe, 0);
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    write(s[0], "left", 4), close(s[0]);
    READY(s[1]), CALL(write(s[1], b, 1)), SHOW(pipes), CALL(send(s[1], b, 1, MSG_NOSIGNAL)), SHOW(pipes), CALL(send(s[1], b, 0, 0)), SHOW(pipes);
    names(s[1]);
    CALL(read(s[1], b, 100)), CALL(read(s[1], b, 100)), CALL(recv(s[1], b, 100, MSG_PEEK)), READY(s[1]), SHOW(option(s[1], SO_ERROR));
    close(s[1]);
    SECTION("unread data is told");
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    write(s[1], "unread", 6), write(s[0], "left", 4), close(s[0]);
    READY(s[1]), CALL(read(s[1], b, 100)), CALL(read(s[1], b, 100)), CALL(read(s[1], b, 100)), READY(s[1]), close(s[1]);
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    write(s[1], "unread", 6), close(s[0]), SHOW(option(s[1], SO_ERROR)), SHOW(option(s[1], SO_ERROR)), CALL(read(s[1], b, 100)), close(s[1]);
    SECTION("halves");
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    CALL(shutdown(s[0], 3)), CALL(shutdown(s[0], -1)), CALL(shutdown(s[0], SHUT_WR)), READY(s[0]), READY(s[1]);
    pipes = 0, CALL(write(s[0], b, 1)), SHOW(pipes), CALL(read(s[1], b, 1)), CALL(write(s[1], "back", 4)), CALL(read(s[0], b, 10)), CALL(recv(s[0], b, 10, MSG_DONTWAIT));
    CALL(shutdown(s[0], SHUT_RD)), READY(s[0]), READY(s[1]), CALL(write(s[1], b, 1)), SHOW(pipes), CALL(read(s[0], b, 1)), CALL(shutdown(s[0], SHUT_RDWR));
    close(s[0]), close(s[1]);
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    write(s[1], "before", 6);
    CALL(shutdown(s[0], SHUT_RD)), READY(s[0]), READY(s[1]), CALL(read(s[0], b, 10)), CALL(read(s[0], b, 10)), CALL(write(s[1], b, 1)), CALL(write(s[0], b, 1)), CALL(read(s[1], b, 10));
    close(s[0]), close(s[1]);
    SECTION("not connected");
    int u = socket(AF_UNIX, SOCK_STREAM, 0), n;
    READY(u), CALL(read(u, b, 1)), CALL(write(u, b, 1)), CALL(shutdown(u, SHUT_RD)), READY(u), CALL(shutdown(u, SHUT_WR)), READY(u), CALL(write(u, b, 1)), CALL(ioctl(u, FIONREAD, &n)), SHOW(n), CALL(ioctl(u, SIOCOUTQ, &n)), SHOW(n);
    CALL(accept(u, NULL, NULL)), CALL(listen(u, 1)), close(u);
}

static void waits(void) {
    SECTION("waits");
    int s[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    { LATER(WRITE, s[1], "late", 4); CALL(read(s[0], b, 100)); JOINED(); }
    { LATER(WRITE, s[1], "late", 4); CALL(recv(s[0], b, 100, 0)); JOINED(); }
    { write(s[1], "ab", 2); LATER(WRITE, s[1], "cdef", 4); CALL(recv(s[0], b, 5, MSG_WAITALL)); printf("%.5s\n", b); JOINED(); }
    { LATER(SHUT, s[1], NULL, SHUT_WR); CALL(recv(s[0], b, 5, MSG_WAITALL)); JOINED(); CALL(recv(s[0], b, 5, MSG_WAITALL)); }
    close(s[0]), close(s[1]), socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    { write(s[1], "ab", 2); LATER(WRITE, s[1], "cd", 2); CALL(recv(s[0], b, 4, MSG_WAITALL | MSG_PEEK)); printf("%.4s\n", b); JOINED(); CALL(recv(s[0], b, 4, 0)); }
    CALL(set(s[0], SO_RCVLOWAT, 3)), SHOW(option(s[0], SO_RCVLOWAT));
    { write(s[1], "ab", 2); LATER(WRITE, s[1], "cdef", 4); CALL(recv(s[0], b, 100, 0)); JOINED(); }
    { write(s[1], "ab", 2); LATER(WRITE, s[1], "cdef", 4); CALL(read(s[0], b, 100)); JOINED(); }
    write(s[1], "ab", 2), CALL(recv(s[0], b, 100, MSG_DONTWAIT)), CALL(set(s[0], SO_RCVLOWAT, 0)), SHOW(option(s[0], SO_RCVLOWAT)), CALL(set(s[0], SO_RCVLOWAT, -1)), SHOW(option(s[0], SO_RCVLOWAT)), set(s[0], SO_RCVLOWAT, 1);
    { LATER(CLOSE, s[1], NULL, 0); CALL(read(s[0], b, 100)); JOINED(); }
    close(s[0]), socketpair(AF_UNIX, SOCK_STREAM, 0, s), nonblock(s[0]);
    while (write(s[0], b, 4096) > 0) {}
    block(s[0]);
    { LATER(CLOSE, s[1], NULL, 0); pipes = 0; CALL(write(s[0], b, 100)); SHOW(pipes); JOINED(); }
    close(s[0]);
    SECTION("time limits and signals");
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    struct timeval t = {0, 50000}, got = {9, 9}, bad = {0, 1000000}, neg = {-1, 0};
    socklen_t len = sizeof got;
    CALL(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &bad, sizeof bad)), CALL(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, 4));
    CALL(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)), CALL(getsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &got, &len)), SHOW(got.tv_sec), SHOW(len);
    HOLDS(got.tv_usec >= 50000 && got.tv_usec < 60000);
    int64_t before = now_ms();
    CALL(read(s[0], b, 1)), CALL(recv(s[0], b, 1, 0)), CALL(recv(s[0], b, 5, MSG_WAITALL));
    HOLDS(now_ms() - before >= 140);
    CALL(setsockopt(s[1], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t));
    while (send(s[1], b, 4096, MSG_DONTWAIT) > 0) {}
    CALL(write(s[1], b, 1)), CALL(send(s[1], b, 1, 0));
    catch(SIGUSR1, on_signal, SA_RESTART);
    recv(s[0], b, sizeof b, MSG_DONTWAIT);
    t.tv_sec = 20, setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    { LATER(SIGNAL, 0, (void *)pthread_self(), 0); CALL(read(s[0], b, 1)); JOINED(); } /* not made again */
    { LATER(SIGNAL, 0, (void *)pthread_self(), 0); CALL(recv(s[0], b, 1, 0)); JOINED(); }
    CALL(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &neg, sizeof neg)), CALL(read(s[0], b, 1));
    memset(&t, 0, sizeof t), CALL(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    { LATER(SIGNAL, 0, (void *)pthread_self(), 0); struct later w = {WRITE, s[1], "after", 5, 0}; recv(s[0], b, sizeof b, MSG_DONTWAIT), msleep(1); later(&w); CALL(read(s[0], b, 100)); JOINED(); joined(&w); }
    catch(SIGUSR1, on_signal, 0);
    { LATER(SIGNAL, 0, (void *)pthread_self(), 0); CALL(read(s[0], b, 100)); JOINED(); }
    { LATER(SIGNAL, 0, (void *)pthread_self(), 0); CALL(recv(s[0], b, 100, 0)); JOINED(); }
    { write(s[1], "ab", 2); LATER(SIGNAL, 0, (void *)pthread_self(), 0); CALL(recv(s[0], b, 100, MSG_WAITALL)); JOINED(); }
    close(s[0]), close(s[1]);
}

static void epolls(void) {
    SECTION("epoll");
    int s[2], e = epoll_create1(0);
    struct epoll_event v = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.u32 = 1}}, got;
#define WAIT() do { got.events = 0; CALL(epoll_wait(e, &got, 1, 0)); printf("%x\n", got.events); } while (0)
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    CALL(epoll_ctl(e, EPOLL_CTL_ADD, s[0], &v));
    WAIT(); WAIT();
    write(s[1], "a", 1); WAIT(); WAIT();
    write(s[1], "b", 1); WAIT();
    read(s[0], b, 1); WAIT();
    write(s[0], "c", 1); WAIT();
    read(s[1], b, 1); WAIT();
    while (send(s[0], b, 4096, MSG_DONTWAIT) > 0) {}
    read(s[1], b, 4096); WAIT();
    while (recv(s[1], b, sizeof b, MSG_DONTWAIT) > 0) {}
    WAIT();
    shutdown(s[1], SHUT_WR); WAIT(); WAIT();
    close(s[1]); WAIT(); WAIT();
    v.events = EPOLLIN, CALL(epoll_ctl(e, EPOLL_CTL_MOD, s[0], &v));
    WAIT(); WAIT();
    close(s[0]); WAIT();
    int u = socket(AF_UNIX, SOCK_STREAM, 0);
    v.events = EPOLLET, CALL(epoll_ctl(e, EPOLL_CTL_ADD, u, &v)); WAIT();
    close(u), close(e);
}

static void splices(void) {
    SECTION("splice and sendfile");
    int s[2], p[2], f = oracle_file("spliced", 3000);
    socketpair(AF_UNIX, SOCK_STREAM, 0, s), pipe(p);
    off_t o = 10;
    CALL(syscall(SYS_sendfile, s[0], f, &o, 100L)), SHOW(o), CALL(read(s[1], b, 1000)), printf("%.10s\n", b);
    CALL(syscall(SYS_sendfile, s[0], f, NULL, 5000L)), CALL(read(s[1], b, 10000)), CALL(syscall(SYS_sendfile, f, s[1], NULL, 10L)), CALL(syscall(SYS_sendfile, s[0], s[1], NULL, 10L));
    write(p[1], "from a pipe", 11);
    CALL(splice(p[0], NULL, s[0], NULL, 4, 0)), CALL(splice(p[0], NULL, s[0], NULL, 100, 0)), CALL(read(s[1], b, 100)), printf("%.11s\n", b);
    CALL(splice(p[0], NULL, s[0], NULL, 100, SPLICE_F_NONBLOCK)), CALL(splice(s[1], NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK));
    write(s[0], "to a pipe", 9);
    CALL(splice(s[1], NULL, p[1], NULL, 5, 0)), CALL(splice(s[1], NULL, p[1], NULL, 100, 0)), CALL(read(p[0], b, 100)), printf("%.9s\n", b);
    CALL(splice(s[1], &o, p[1], NULL, 5, 0)), CALL(splice(s[1], NULL, s[0], NULL, 5, 0)), CALL(syscall(SYS_tee, s[1], p[1], 5, 0)), CALL(vmsplice(s[0], &(struct iovec){b, 1}, 1, 0));
    { LATER(WRITE, s[0], "late", 4); CALL(splice(s[1], NULL, p[1], NULL, 100, 0)); JOINED(); }
    shutdown(s[0], SHUT_WR), CALL(splice(s[1], NULL, p[1], NULL, 100, 0)), pipes = 0, CALL(splice(p[0], NULL, s[0], NULL, 100, 0)), SHOW(pipes), CALL(syscall(SYS_sendfile, s[0], f, &o, 100L)), SHOW(pipes);
    close(s[0]), close(s[1]), close(p[0]), close(p[1]);
}

int main(void) {
    making();
    bytes();
    faults();
    full();
    ends();
    waits();
    epolls();
    splices();
    return 0;
}
