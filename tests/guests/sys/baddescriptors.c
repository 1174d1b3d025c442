// Every call that takes a descriptor, given one of each kind: none, a path only, a file to read or to write, a directory, a pipe, an event file.
#include "oracle.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/poll.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>

/* What is stored in the directory comes first: attributes are changed of nothing else (natively that would be the machine's), and
 * what files of events make of it differs from kernel to kernel, as does what epoll says to an ioctl. */
enum { BASE = 40, STORED = 9, NUL = 9, PIPE = 10, BEFORE_EPOLL = 15, EPOLL = 15, KINDS = 16 };
static const char *names[KINDS] = {"-1", "closed", "huge", "path", "directory path", "reader", "writer", "appender", "directory", "null", "pipe to read", "pipe to write", "eventfd", "timerfd", "signalfd", "epoll"};
static int fds[KINDS];

static void make(int kind, int fd) {
    if (fd < 0) printf("%s: %s\n", names[kind], strerror(errno)), exit(1);
    fds[kind] = fcntl(fd, F_DUPFD, BASE), close(fd);
}
static void fixture(void) {
    int p[2];
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigprocmask(SIG_BLOCK, &set, NULL);
    close(oracle_file("f", 100));
    fds[0] = -1, fds[1] = 77, fds[2] = INT_MAX;
    make(3, open("f", O_PATH)), make(4, open(".", O_PATH)), make(5, open("f", O_RDONLY)), make(6, open("f", O_WRONLY)), make(7, open("f", O_WRONLY | O_APPEND)), make(8, open(".", O_RDONLY));
    make(9, open("/dev/null", O_RDWR)), pipe2(p, O_NONBLOCK), make(10, p[0]), make(11, p[1]);
    make(12, eventfd(0, EFD_NONBLOCK)), make(13, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)), make(14, signalfd(-1, &set, SFD_NONBLOCK)), make(15, epoll_create1(0));
}
#define EACH(...) EACH_TEXT(KINDS, #__VA_ARGS__, __VA_ARGS__)
#define EACH_BELOW(end, ...) EACH_TEXT(end, #__VA_ARGS__, __VA_ARGS__)
#define EACH_TEXT(end, text, ...) for (int k_ = 0; k_ < end; k_++) { \
    long d = fds[k_]; \
    errno = 0; \
    long r_ = (__VA_ARGS__); \
    if (r_ < 0) printf("%s, %s: %s\n", text, names[k_], oracle_errname(errno)); \
    else printf("%s, %s: ok\n", text, names[k_]); }
#define C(name, ...) syscall(SYS_##name, __VA_ARGS__)

static void bytes(void) {
    char b[600];
    struct iovec v = {b, 8};
    long zero;
    SECTION("bytes");
    EACH(C(read, d, b, 8L)); EACH(C(read, d, b, 0L)); EACH(C(read, d, BADPTR, 8L)); EACH(C(pread64, d, b, 8L, 0L)); EACH(C(pread64, d, b, 8L, -1L)); EACH(C(readv, d, &v, 1)); EACH(C(readv, d, &v, 0)); EACH(C(preadv, d, &v, 1, 0L, 0L)); EACH(C(preadv, d, &v, 1, -1L, 0L)); EACH(C(preadv2, d, &v, 1, 0L, 0L, 0)); EACH(C(preadv2, d, &v, 1, -1L, 0L, 0));
    memset(b, 0, sizeof b), b[0] = 1;
    EACH(C(write, d, b, 8L)); EACH(C(write, d, b, 0L)); EACH(C(pwrite64, d, b, 8L, 0L)); EACH(C(pwrite64, d, b, 8L, -1L)); EACH(C(writev, d, &v, 1)); EACH(C(writev, d, &v, 0)); EACH(C(pwritev, d, &v, 1, 0L, 0L)); EACH(C(pwritev, d, &v, 1, -1L, 0L)); EACH(C(pwritev2, d, &v, 1, 0L, 0L, 0)); EACH(C(pwritev2, d, &v, 1, -1L, 0L, 0));
    EACH(C(lseek, d, 0L, SEEK_SET)); EACH(C(lseek, d, -1L, SEEK_SET)); EACH(C(lseek, d, 0L, 99)); EACH(C(lseek, d, 0L, SEEK_CUR));
    EACH(C(sendfile, d, fds[5], (zero = 0, &zero), 4L)); EACH(C(sendfile, fds[NUL], d, NULL, 4L)); EACH(C(copy_file_range, d, NULL, fds[6], NULL, 0L, 0)); EACH(C(copy_file_range, fds[5], (zero = 0, &zero), d, NULL, 4L, 0));
    SECTION("sizes");
    EACH(C(ftruncate, d, 100L)); EACH(C(ftruncate, d, -1L)); EACH(C(fallocate, d, 0, 0L, 50L)); EACH(C(fallocate, d, 0, -1L, 50L)); EACH(C(fadvise64, d, 0L, 0L, 0)); EACH(C(fadvise64, d, 0L, 0L, 99)); EACH(C(readahead, d, 0L, 10L)); EACH(C(sync_file_range, d, 0L, 0L, 0)); EACH(C(sync_file_range, d, -1L, 0L, 0)); EACH(C(sync_file_range, d, 0L, 0L, 0x40));
    EACH(C(fsync, d)); EACH(C(fdatasync, d)); EACH(C(syncfs, d));
}
static void attributes(void) {
    struct stat st;
    struct statx sx;
    struct statfs fs;
    char b[600];
    SECTION("attributes");
    EACH(C(fstat, d, &st)); EACH(C(fstat, d, BADPTR)); EACH(C(newfstatat, d, "", &st, AT_EMPTY_PATH)); EACH(C(statx, d, "", AT_EMPTY_PATH, 0x7ff, &sx)); EACH(C(fstatfs, d, &fs)); EACH(C(fstatfs, d, BADPTR));
    EACH_BELOW(STORED, C(fchmod, d, 0700)); EACH_BELOW(STORED, C(fchown, d, -1, -1)); EACH_BELOW(STORED, C(fchownat, d, "", -1, -1, AT_EMPTY_PATH)); EACH_BELOW(STORED, C(utimensat, d, NULL, NULL, 0)); EACH_BELOW(STORED, C(futimesat, d, NULL, NULL)); EACH(C(utimensat, d, "f", NULL, 0));
    EACH(C(fgetxattr, d, "user.none", b, 10L)); EACH(C(flistxattr, d, b, 0L)); EACH(C(fremovexattr, d, "user.none"));
    EACH(C(fchdir, d)); EACH(C(getdents64, d, b, 600)); EACH(C(getdents, d, b, 600)); EACH(C(getdents64, d, b, 1)); EACH(C(getdents64, d, BADPTR, 600));
}
static void themselves(void) {
    struct flock l = {.l_type = F_RDLCK, .l_len = 1}, w = {.l_type = F_WRLCK, .l_len = 1}, *lp = &l, *wp = &w;
    int n;
    char b[64];
    SECTION("descriptors");
    EACH(close(C(dup, d))); EACH(C(dup2, d, 30)); EACH(C(dup2, d, -1)); EACH(C(dup3, d, 30, O_CLOEXEC)); EACH(C(dup3, d, d, 0)); EACH(C(dup3, d, 30, 1));
    EACH(C(fcntl, d, F_GETFD)); EACH(C(fcntl, d, F_SETFD, 0)); EACH(C(fcntl, d, F_SETFD, 0x70)); EACH(C(fcntl, d, 9999, 0)); EACH(C(fcntl, d, F_GETPIPE_SZ)); EACH(C(fcntl, d, F_SETPIPE_SZ, 65536)); EACH(C(fcntl, d, F_GET_SEALS)); EACH(C(fcntl, d, F_ADD_SEALS, 0)); EACH(C(fcntl, d, F_ADD_SEALS, 0x800));
    for (int k = 3; k < KINDS; k++) printf("flags of %s: %o\n", names[k], fcntl(fds[k], F_GETFL));
    EACH(C(fcntl, d, F_SETLK, lp)); EACH(C(fcntl, d, F_SETLK, wp)); EACH(C(fcntl, d, F_SETLKW, lp)); EACH(C(fcntl, d, F_GETLK, (l.l_type = F_RDLCK, lp))); EACH(C(fcntl, d, F_GETLK, BADPTR)); EACH(C(fcntl, d, F_SETLK, BADPTR)); EACH(C(flock, d, LOCK_SH)); EACH(C(flock, d, LOCK_UN)); CALL(C(flock, fds[5], 0));
    EACH_BELOW(BEFORE_EPOLL, C(ioctl, d, FIONREAD, &n)); EACH_BELOW(BEFORE_EPOLL, C(ioctl, d, FIONREAD, BADPTR)); EACH_BELOW(BEFORE_EPOLL, C(ioctl, d, FIOCLEX, 0)); EACH_BELOW(BEFORE_EPOLL, C(ioctl, d, FIONCLEX, 0)); EACH_BELOW(BEFORE_EPOLL, C(ioctl, d, TIOCGWINSZ, b)); EACH_BELOW(BEFORE_EPOLL, C(ioctl, d, TCGETS, b)); EACH_BELOW(BEFORE_EPOLL, C(ioctl, d, 0x12345678, 0));
    EACH(C(mmap, 0L, 4096L, PROT_READ, MAP_PRIVATE, d, 0L)); EACH(C(mmap, 0L, 4096L, PROT_READ | PROT_WRITE, MAP_SHARED, d, 0L)); EACH(C(mmap, 0L, 4096L, PROT_READ, MAP_SHARED, d, 1L));
}
static void events(void) {
    struct epoll_event e = {.events = EPOLLIN}, out;
    struct itimerspec its = {{0, 0}, {0, 0}};
    struct timespec none = {0, 0};
    uint64_t set = 1 << 9;
    SECTION("events");
    EACH(C(epoll_ctl, fds[EPOLL], EPOLL_CTL_ADD, d, &e)); EACH(C(epoll_ctl, fds[EPOLL], EPOLL_CTL_ADD, d, &e)); EACH(C(epoll_ctl, fds[EPOLL], EPOLL_CTL_MOD, d, &e)); EACH(C(epoll_ctl, fds[EPOLL], EPOLL_CTL_DEL, d, &e)); EACH(C(epoll_ctl, fds[EPOLL], EPOLL_CTL_DEL, d, NULL)); EACH(C(epoll_ctl, fds[EPOLL], EPOLL_CTL_ADD, d, BADPTR)); EACH(C(epoll_ctl, fds[EPOLL], 9, d, &e)); EACH(C(epoll_ctl, d, EPOLL_CTL_ADD, fds[PIPE], &e));
    EACH(C(epoll_wait, d, &out, 1, 0)); CALL(C(epoll_wait, fds[EPOLL], &out, 0, 0)); EACH(C(epoll_pwait, d, &out, 1, 0, NULL, 8L)); CALL(C(epoll_pwait, fds[EPOLL], &out, 0, 0, NULL, 8L)); EACH(C(epoll_pwait2, d, &out, 1, &none, NULL, 8L)); CALL(C(epoll_pwait2, fds[EPOLL], &out, -1, &none, NULL, 8L));
    EACH(C(timerfd_settime, d, 0, &its, NULL)); EACH(C(timerfd_settime, d, 8, &its, NULL)); EACH(C(timerfd_settime, d, 0, BADPTR, NULL)); EACH(C(timerfd_settime, d, 0, &its, BADPTR)); EACH(C(timerfd_gettime, d, &its)); EACH(C(timerfd_gettime, d, BADPTR));
    for (int k = 0; k < KINDS; k++) if (k) { long d = fds[k]; CALL(C(signalfd4, d, &set, 8L, 0) < 0), CALL(C(signalfd4, d, &set, 4L, 0) < 0), CALL(C(signalfd, d, &set, 8L) < 0), CALL(C(signalfd4, d, BADPTR, 8L, 0) < 0); }
    for (int k = 0; k < KINDS; k++) {
        struct pollfd p = {fds[k], POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};
        printf("poll %s: %ld", names[k], C(poll, &p, 1, 0)), printf(" %x\n", p.revents);
    }
}
static void sockets(void) {
    char b[64];
    socklen_t len = 64;
    struct msghdr m = {0};
    struct mmsghdr mm = {0};
    SECTION("no sockets");
    EACH(C(connect, d, b, 16)); EACH(C(accept, d, NULL, NULL)); EACH(C(accept4, d, NULL, NULL, 0)); EACH(C(sendto, d, b, 1L, 0, NULL, 0)); EACH(C(recvfrom, d, b, 1L, 0, NULL, NULL)); EACH(C(sendmsg, d, &m, 0)); EACH(C(recvmsg, d, &m, 0)); EACH(C(sendmmsg, d, &mm, 1, 0)); EACH(C(recvmmsg, d, &mm, 1, 0, NULL));
    EACH(C(shutdown, d, 0)); EACH(C(bind, d, b, 16)); EACH(C(listen, d, 1)); EACH(C(getsockname, d, b, &len)); EACH(C(getpeername, d, b, &len)); EACH(C(setsockopt, d, SOL_SOCKET, SO_REUSEADDR, b, 4)); EACH(C(getsockopt, d, SOL_SOCKET, SO_TYPE, b, &len));
    CALL(socket(99, SOCK_STREAM, 0)), CALL(socketpair(99, SOCK_STREAM, 0, fds));
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    fixture();
    bytes();
    attributes();
    themselves();
    events();
    sockets();
    SECTION("close");
    EACH(C(close, d)); EACH(C(close, d));
    CALL(C(close_range, 50, 40, 0)), CALL(C(close_range, 40, 50, 0x80)), CALL(C(close_range, 40, 60, 4)), CALL(C(close_range, 40, ~0u, 0)), CALL(C(close_range, ~0u, ~0u, 0));
    return 0;
}
