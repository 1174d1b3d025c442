// Random calls on a few dozen sockets of the family AF_UNIX from several threads, which send them through each other all the time: the kernel neither
// stops nor keeps a socket that nobody has. What the calls answer differs from run to run, and from the host's.
// inside: 0
// uncounted
#include "unix.h"

#define SOCKETS 40
static int fds[SOCKETS];
static volatile int stop;
static _Atomic long made;

struct some { struct sockaddr_un at; socklen_t len; };
static struct some somewhere(unsigned r) {
    struct some s = {{AF_UNIX}};
    if (r & 1) sprintf(s.at.sun_path, "s%u", r / 2 % 6), s.len = sizeof s.at;
    else sprintf(s.at.sun_path + 1, "stress%u", r / 2 % 6), s.len = 20;
    return s;
}
static unsigned next(unsigned *seed) { return (*seed = *seed * 1103515245 + 12345) >> 8; }
static void put(int i, int fd) {
    int old = fds[i];
    fds[i] = fd;
    close(old);
}
static void *work(void *arg) {
    static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    unsigned seed = (unsigned)(long)arg * 7919 + 1;
    static __thread char bytes[70000], control[256] __attribute__((aligned(8)));
#define R(n) (next(&seed) % (n))
    for (; !stop; made++) {
        int i = R(SOCKETS), j = R(SOCKETS), fd = fds[i], kind = kinds[R(3)] | SOCK_NONBLOCK, p[2], n, value = R(30000);
        struct some to = somewhere(R(100));
        struct iovec v = {bytes, R(3) ? R(100) : R(70000)};
        struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control};
        struct epoll_event e = {EPOLLIN | EPOLLOUT | EPOLLET};
        struct cmsghdr *c = (void *)control;
        switch (R(18)) {
        case 0: if (!socketpair(AF_UNIX, kind, 0, p)) put(i, p[0]), put(j, p[1]); break;
        case 1: put(i, socket(AF_UNIX, kind, 0)); break;
        case 2: if (R(2)) unlink(to.at.sun_path); bind(fd, (void *)&to.at, R(8) ? to.len : 2); break;
        case 3: listen(fd, R(4)); break;
        case 4: case 5: connect(fd, (void *)&to.at, to.len); break;
        case 6: if ((n = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) put(j, n); break;
        case 7: case 8:
            n = 1 + R(3), m.msg_controllen = CMSG_SPACE(4 * n);
            *c = (struct cmsghdr){CMSG_LEN(4 * n), SOL_SOCKET, SCM_RIGHTS};
            for (int k = 0; k < n; k++) ((int *)CMSG_DATA(c))[k] = fds[R(SOCKETS)];
            sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
            break;
        case 9: case 10:
            m.msg_controllen = sizeof control;
            if (recvmsg(fd, &m, MSG_DONTWAIT | (R(4) ? 0 : MSG_PEEK)) < 0) break;
            for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
                for (unsigned k = 0; c->cmsg_type == SCM_RIGHTS && k < (c->cmsg_len - CMSG_LEN(0)) / 4; k++) {
                    n = ((int *)CMSG_DATA(c))[k];
                    if (R(2)) close(n); else put(j, n);
                }
            break;
        case 11: case 12: send(fd, bytes, v.iov_len, MSG_NOSIGNAL | MSG_DONTWAIT); break;
        case 13: case 14: recv(fd, bytes, v.iov_len, MSG_DONTWAIT); break;
        case 15: shutdown(fd, R(3)); break;
        case 16: setsockopt(fd, SOL_SOCKET, R(2) ? SO_PASSCRED : SO_SNDBUF, &value, sizeof value); break;
        case 17:
            n = epoll_create1(0);
            for (int k = 0; k < 5; k++) epoll_ctl(n, EPOLL_CTL_ADD, fds[R(SOCKETS)], &e);
            epoll_wait(n, &e, 1, 1), close(n);
            break;
        }
    }
    return NULL;
}

int main(void) {
    pthread_t t[4];
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < SOCKETS; i++) fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, work, (void *)(i + time(NULL)));
    msleep(3000), stop = 1;
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    syscall(SYS_close_range, 3, ~0U, 0);
    for (int i = 0; i < 100; i++) close(socket(AF_UNIX, SOCK_STREAM, 0)); /* has the kernel look for those that are left */
    char line[500];
    int lines = 0;
    FILE *f = fopen("/proc/net/unix", "r");
    while (f && fgets(line, sizeof line, f)) lines++, fputs(line, stdout);
    return made < 1000 ? 2 : lines == 1 ? 0 : 1;
}
