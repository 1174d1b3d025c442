// Every call that takes a pointer, given wild ones, one argument at a time; and a string or buffer that ends where its page does.
#include "oracle.h"
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#define C(name, ...) syscall(SYS_##name, ##__VA_ARGS__)
static const void *wild[] = {(void *)1, (void *)0x234567891000, (void *)0x7ffffffff000, (void *)0xffff888000000000, (void *)-1};
/* The expression with p as each wild pointer; the same answer to all of them is one line. */
#define EACH(...) do { \
    long first_ = 0; \
    int error_ = 0, same_ = 1; \
    for (int i_ = 0; i_ < 5; i_++) { \
        const void *p = wild[i_]; \
        errno = 0; \
        long r_ = (__VA_ARGS__); \
        if (i_ == 0) first_ = r_, error_ = errno; \
        else if (r_ != first_ || errno != error_) same_ = 0, printf("%s, pointer %d: %ld %s\n", #__VA_ARGS__, i_, r_, oracle_errname(errno)); \
    } \
    printf("%s%s: %ld %s\n", #__VA_ARGS__, same_ ? "" : ", first", first_, oracle_errname(error_)); } while (0)

static int fd, dir, ends[2], ev, ep, tfd;
static void names(void) {
    struct stat st;
    struct timespec ts[2] = {{1, 0}, {2, 0}};
    char b[600];
    uint64_t how[3] = {0, 0, 0};
    SECTION("names");
    EACH(C(open, p, 0)); EACH(C(openat, AT_FDCWD, p, 0)); EACH(C(openat2, AT_FDCWD, p, how, 24L)); EACH(C(openat2, AT_FDCWD, "f", p, 24L)); EACH(C(stat, "f", p)); EACH(C(lstat, "f", p)); EACH(C(fstat, fd, p)); EACH(C(newfstatat, AT_FDCWD, "f", p, 0)); EACH(C(newfstatat, fd, p, &st, 0)); EACH(C(statx, AT_FDCWD, "f", 0, 0x7ff, p)); EACH(C(statfs, "f", p)); EACH(C(fstatfs, fd, p));
    EACH(C(readlink, "l", p, 10)); EACH(C(readlinkat, AT_FDCWD, "l", p, 10)); EACH(C(readlink, "l", b, 0)); EACH(C(readlink, "l", b, -1)); EACH(C(getcwd, p, 4096L)); EACH(C(getdents, dir, p, 600)); EACH(C(getdents64, dir, p, 600)); lseek(dir, 0, SEEK_SET); CALL(C(getdents, dir, b, 10)), CALL(C(getdents64, dir, b, 10));
    EACH(C(link, "f", p)); EACH(C(link, p, "x")); EACH(C(linkat, AT_FDCWD, p, AT_FDCWD, "x", 0)); EACH(C(linkat, AT_FDCWD, "f", AT_FDCWD, p, 0)); EACH(C(symlink, p, "x")); EACH(C(symlink, "x", p)); EACH(C(symlinkat, p, AT_FDCWD, "x")); EACH(C(rename, p, "x")); EACH(C(rename, "f", p)); EACH(C(renameat, AT_FDCWD, "f", AT_FDCWD, p)); EACH(C(renameat2, AT_FDCWD, p, AT_FDCWD, "x", 0)); EACH(C(unlink, p)); EACH(C(unlinkat, AT_FDCWD, p, 0)); EACH(C(rmdir, p)); EACH(C(mkdir, p, 0)); EACH(C(mkdirat, AT_FDCWD, p, 0)); EACH(C(mknod, p, S_IFREG, 0)); EACH(C(mknodat, AT_FDCWD, p, S_IFREG, 0));
    EACH(C(chmod, p, 0)); EACH(C(fchmodat, AT_FDCWD, p, 0)); EACH(C(chown, p, 0, 0)); EACH(C(lchown, p, 0, 0)); EACH(C(fchownat, AT_FDCWD, p, 0, 0, 0)); EACH(C(access, p, 0)); EACH(C(faccessat, AT_FDCWD, p, 0)); EACH(C(faccessat2, AT_FDCWD, p, 0, 0)); EACH(C(chdir, p)); EACH(C(chroot, p)); EACH(C(truncate, p, 0L)); EACH(C(memfd_create, p, 0));
    EACH(C(utime, "f", p)); EACH(C(utimes, "f", p)); EACH(C(futimesat, AT_FDCWD, "f", p)); EACH(C(utimensat, AT_FDCWD, "f", p, 0)); EACH(C(utimensat, AT_FDCWD, p, ts, 0));
    EACH(C(setxattr, "f", p, "v", 1L, 0)); EACH(C(setxattr, "f", "user.a", p, 1L, 0)); EACH(C(setxattr, "f", "user.a", p, 0L, 0)); EACH(C(lsetxattr, "f", p, "v", 1L, 0)); EACH(C(fsetxattr, fd, "user.a", p, 1L, 0)); EACH(C(getxattr, "f", p, b, 9L)); EACH(C(getxattr, "f", "user.b", p, 9L)); EACH(C(lgetxattr, "f", "user.b", p, 9L)); EACH(C(fgetxattr, fd, "user.b", p, 9L)); EACH(C(listxattr, "f", p, 90L)); EACH(C(llistxattr, "f", p, 90L)); EACH(C(flistxattr, fd, p, 90L)); EACH(C(removexattr, "f", p)); EACH(C(lremovexattr, "f", p)); EACH(C(fremovexattr, fd, p));
}
static void bytes(void) {
    char b[64];
    struct iovec good = {b, 8}, v[2] = {{b, 4}, {(void *)1, 4}};
    SECTION("bytes");
    EACH(C(read, fd, p, 8L)); EACH(C(pread64, fd, p, 8L, 0L)); EACH(C(readv, fd, p, 1)); EACH(C(preadv, fd, p, 1, 0L, 0L)); EACH(C(preadv2, fd, p, 1, 0L, 0L, 0)); EACH(C(write, ends[1], p, 8L)); EACH(C(write, fd, p, 8L)); EACH(C(pwrite64, fd, p, 8L, 0L)); EACH(C(writev, fd, p, 1)); EACH(C(pwritev, fd, p, 1, 0L, 0L)); EACH(C(pwritev2, fd, p, 1, 0L, 0L, 0));
    lseek(fd, 0, SEEK_SET), CALL(readv(fd, v, 2)), CALL(lseek(fd, 0, SEEK_CUR)), lseek(fd, 0, SEEK_SET), CALL(writev(fd, v, 2)), CALL(lseek(fd, 0, SEEK_CUR));
    EACH(C(sendfile, ends[1], fd, p, 4L)); EACH(C(copy_file_range, fd, p, fd, NULL, 4L, 0)); EACH(C(copy_file_range, fd, NULL, fd, p, 4L, 0));
    EACH(C(process_vm_readv, getpid(), p, 1L, &good, 1L, 0L)); EACH(C(process_vm_readv, getpid(), &good, 1L, p, 1L, 0L)); EACH(C(process_vm_writev, getpid(), p, 1L, &good, 1L, 0L)); EACH(C(process_vm_writev, getpid(), &good, 1L, p, 1L, 0L));
    EACH(C(getrandom, p, 8L, 0)); EACH(C(pipe, p)); EACH(C(pipe2, p, 0)); EACH(C(ioctl, ends[0], 0x541b, p)); EACH(C(fcntl, fd, F_SETLK, p)); EACH(C(fcntl, fd, F_GETLK, p));
}
static void process(void) {
    char b[600];
    struct timespec ts = {0, 1};
    struct itimerspec its = {{0, 0}, {0, 0}};
    struct itimerval itv = {{0, 0}, {0, 0}};
    struct epoll_event e;
    uint64_t set = 0;
    uint32_t a, c;
    timer_t id;
    SECTION("process");
    EACH(C(getresuid, p, &a, &c)); EACH(C(getresuid, &a, p, &c)); EACH(C(getresuid, &a, &c, p)); EACH(C(getresgid, p, &a, &c)); EACH(C(getresgid, &a, p, &c)); EACH(C(getresgid, &a, &c, p)); EACH(C(capget, p, b)); EACH(C(capget, (&(uint32_t[2]){0x20080522, 0}), p)); CALL(C(capget, (&(uint32_t[2]){0x20080522, 0x3fffffff}), b)), CALL(C(capget, (&(uint32_t[2]){0x20080522, -1}), b));
    EACH(C(uname, p)); EACH(C(sysinfo, p)); EACH(C(getrlimit, 3, p)); EACH(C(setrlimit, 3, p)); EACH(C(prlimit64, 0, 3, p, NULL)); EACH(C(prlimit64, 0, 3, NULL, p)); EACH(C(getrusage, 0, p)); EACH(C(times, p)); EACH(C(prctl, 15, p)); EACH(C(prctl, 16, p)); EACH(C(arch_prctl, 0x1003, p)); EACH(C(getcpu, p, NULL, NULL)); EACH(C(getcpu, NULL, p, NULL));
    EACH(C(time, p)); EACH(C(gettimeofday, p, NULL)); EACH(C(gettimeofday, NULL, p)); EACH(C(clock_gettime, 0, p)); EACH(C(clock_gettime, 4, p)); EACH(C(clock_getres, 0, p)); EACH(C(nanosleep, p, NULL)); EACH(C(clock_nanosleep, 1, 0, p, NULL));
    EACH(C(getitimer, 0, p)); EACH(C(setitimer, 0, p, NULL)); EACH(C(setitimer, 0, &itv, p)); EACH(C(timer_create, 1, p, &id)); EACH(C(timer_create, 1, NULL, p));
    CALL(C(timer_create, 1, NULL, &id)); EACH(C(timer_settime, id, 0, p, NULL)); EACH(C(timer_settime, id, 0, &its, p)); EACH(C(timer_gettime, id, p)); CALL(C(timer_settime, id, 0, NULL, NULL)), CALL(C(timer_gettime, id + 7, &its)), CALL(C(timer_settime, id + 7, 0, &its, NULL)), CALL(C(timer_getoverrun, id + 7)), CALL(C(timer_delete, id + 7)), CALL(C(timer_delete, id));
    EACH(C(rt_sigaction, 10, p, NULL, 8L)); EACH(C(rt_sigaction, 10, NULL, p, 8L)); EACH(C(rt_sigprocmask, 0, p, NULL, 8L)); EACH(C(rt_sigprocmask, 0, NULL, p, 8L)); EACH(C(rt_sigpending, p, 8L)); EACH(C(rt_sigtimedwait, p, NULL, &ts, 8L)); EACH(C(rt_sigtimedwait, &set, NULL, p, 8L)); EACH(C(rt_sigsuspend, p, 8L)); EACH(C(rt_sigqueueinfo, getpid(), 0, p)); EACH(C(rt_tgsigqueueinfo, getpid(), gettid(), 0, p)); EACH(C(sigaltstack, p, NULL)); EACH(C(sigaltstack, NULL, p));
    CALL(C(rt_sigpending, b, 16L)), CALL(C(rt_sigpending, b, 4L)), CALL(C(rt_sigsuspend, b, 4L)), CALL(C(rt_tgsigqueueinfo, getpid(), 0x3fffffff, 0, memset(b, 0, 128))), CALL(C(rt_tgsigqueueinfo, 0, gettid(), 0, b)), CALL(C(rt_sigqueueinfo, 0x3fffffff, 0, memset(b, 0, 128))), CALL(C(tkill, 0x3fffffff, 0)), CALL(C(tkill, gettid(), 65));
    EACH(C(sched_getparam, 0, p)); EACH(C(sched_setscheduler, 0, 0, p)); EACH(C(sched_rr_get_interval, 0, p)); EACH(C(sched_getaffinity, 0, 128L, p)); EACH(C(sched_setaffinity, 0, 128L, p)); EACH(C(set_robust_list, p, 23L)); EACH(C(get_robust_list, 0, p, b)); EACH(C(get_robust_list, 0, b, p)); EACH(C(clone3, p, 64L));
    CALL(C(sched_getparam, -1, b)), CALL(C(sched_getparam, 0x3fffffff, b)), CALL(C(sched_getparam, 0, NULL)), CALL(C(sched_rr_get_interval, -1, b)), CALL(C(sched_rr_get_interval, 0, b)), CALL(sched_get_priority_min(99)), CALL(sched_get_priority_min(SCHED_RR)), CALL(C(sched_setaffinity, 0x3fffffff, 128L, memset(b, 255, 128)));
    EACH(C(futex, p, FUTEX_WAIT, 0, &ts, NULL, 0)); EACH(C(futex, p, FUTEX_WAKE, 1, NULL, NULL, 0)); EACH(C(futex, &a, FUTEX_WAIT, a, p, NULL, 0)); EACH(C(futex, &a, FUTEX_REQUEUE, 1, 1L, p, 0)); EACH(C(futex_waitv, p, 1, 0, NULL, 0));
    SECTION("events");
    EACH(C(poll, p, 1, 0)); EACH(C(ppoll, p, 1, &ts, NULL, 8L)); EACH(C(ppoll, NULL, 0, p, NULL, 8L)); EACH(C(ppoll, NULL, 0, &ts, p, 8L)); EACH(C(select, 1, p, NULL, NULL, NULL)); EACH(C(select, 1, NULL, p, NULL, NULL)); EACH(C(select, 1, NULL, NULL, p, NULL)); EACH(C(select, 0, NULL, NULL, NULL, p)); EACH(C(pselect6, 1, p, NULL, NULL, &ts, NULL)); EACH(C(pselect6, 0, NULL, NULL, NULL, p, NULL)); EACH(C(pselect6, 0, NULL, NULL, NULL, &ts, p));
    write(ev, &(uint64_t){1}, 8), e = (struct epoll_event){.events = EPOLLIN}, epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e);
    EACH(C(epoll_ctl, ep, EPOLL_CTL_MOD, ev, p)); EACH(C(epoll_wait, ep, p, 1, 0)); EACH(C(epoll_pwait, ep, p, 1, 0, NULL, 8L)); EACH(C(epoll_pwait, ep, &e, 1, 0, p, 8L)); EACH(C(epoll_pwait2, ep, p, 1, NULL, NULL, 8L)); EACH(C(epoll_pwait2, ep, &e, 1, p, NULL, 8L)); EACH(C(signalfd, -1, p, 8L)); EACH(C(signalfd4, -1, p, 8L, 0)); EACH(C(timerfd_settime, tfd, 0, p, NULL)); EACH(C(timerfd_settime, tfd, 0, &its, p)); EACH(C(timerfd_gettime, tfd, p)); EACH(read(ev, (void *)p, 8));
    SECTION("memory");
    EACH(C(mincore, (long)&set & -4096L, 4096L, p)); EACH(C(execve, p, NULL, NULL)); EACH(C(execve, "/proc/self/exe", p, NULL)); EACH(C(execve, "/proc/self/exe", NULL, p)); EACH(C(getgroups, 0, p)); EACH(C(setgroups, 1L, p));
}
/* The last bytes of a page before one that is not there. */
static void edges(void) {
    SECTION("edges");
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end = page + 4096;
    mprotect(end, 4096, PROT_NONE);
    strcpy(end - 2, "f"), CALL(C(access, end - 2, 0)), CALL(C(access, end - 1, 0));
    end[-1] = 'f', CALL(C(access, end - 1, 0)), CALL(C(open, end - 1, 0));
    CALL(lseek(fd, 0, SEEK_SET)), CALL(read(fd, end - 3, 8)), CALL(lseek(fd, 0, SEEK_CUR)), CALL(pread(fd, end - 8, 8, 0)), CALL(pread(fd, end - 7, 8, 0)), CALL(pread(fd, end, 8, 0));
    CALL(write(ends[1], end - 3, 3)), CALL(read(ends[0], end, 3)), CALL(read(ends[0], end - 3, 3));
    /* A pipe takes whole pages of what is partly bad. */
    char *three = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(three + 12288, 4096, PROT_NONE);
    CALL(write(ends[1], end - 3, 8)), CALL(read(ends[0], page, 8)), CALL(write(ends[1], three + 7288, 8000)), CALL(read(ends[0], page, 4096)), CALL(read(ends[0], page, 4096)), CALL(write(ends[1], three + 100, 16000)), CALL(read(ends[0], three, 12288));
    CALL(pwrite(fd, end - 3, 8, 0)), CALL(C(fstat, fd, end - 143)), CALL(C(fstat, fd, end - 144)), CALL(C(uname, end - 389)), CALL(C(uname, end - 390)), CALL(C(clock_gettime, 0, end - 15)), CALL(C(clock_gettime, 0, end - 16)), CALL(C(getrandom, end - 5, 10L, 0)), CALL(C(getcwd, end - 1, 4096L)), CALL(C(prctl, 15, strcpy(end - 4, "abc"))), CALL(C(prctl, 16, end - 15)), CALL(C(prctl, 16, end - 16)), CALL(C(pipe, end - 7)), CALL(C(poll, end - 7, 1, 0)), CALL(C(nanosleep, end - 15, NULL));
    struct iovec *v = (struct iovec *)(end - 16);
    *v = (struct iovec){page, 1}, CALL(readv(fd, v, 1)), CALL(readv(fd, v, 2));
    mprotect(page, 4096, PROT_READ), CALL(C(fstat, fd, page)), CALL(read(fd, page, 1)), CALL(write(fd, page, 1)), CALL(C(clock_gettime, 0, page)), CALL(C(getitimer, 0, page));
    mprotect(page, 4096, PROT_WRITE), CALL(C(fstat, fd, page));
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    fd = oracle_file("f", 100), dir = open(".", O_RDONLY), pipe2(ends, O_NONBLOCK), ev = eventfd(0, EFD_NONBLOCK), ep = epoll_create1(0), tfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    symlink("f", "l"), syscall(SYS_setxattr, "f", "user.b", "v", 1L, 0);
    names();
    bytes();
    process();
    edges();
    return 0;
}
