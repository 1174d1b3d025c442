/* `fuzz SEED COUNT`: random system calls, plausible and not, from several threads, each written to standard error before it is made
 * ("#THREAD NAME-OR-NUMBER ARGUMENTS"). Only for inside: natively it would do what root may do.
 *
 * It repairs what its calls have done to it (signal handlers and masks, the memory that it plays with) and goes on; that it dies of them
 * all the same is fine. A guardian thread, which blocks all signals and touches nothing that the others change, wakes what blocks, and kills
 * the process when it has not ended after three seconds: so a run that takes much longer is the kernel's fault. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 32, ARENA = PAGES * 4096, WORKERS = 3, TRACE = 900, SECONDS = 3, TURN_NS = 20000000 };
static char *arena, *hole;
static long count;
static int tids[WORKERS];
static const uint64_t all_signals = ~0ul;

static __thread uint64_t state;
static __thread int self;
static __thread sigjmp_buf again;

static long call(long nr, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}
static uint64_t random_from(uint64_t *s) {
    *s ^= *s << 13, *s ^= *s >> 7, *s ^= *s << 17;
    return *s * 0x2545f4914f6cdd1d >> 7;
}
static uint64_t next(void) { return random_from(&state); }

/* What the guardian runs: only registers and its own stack. */
static char guardian_stack[16384] __attribute__((aligned(16)));
static int guardian(void *pid) {
    struct timespec turn = {0, TURN_NS};
    call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all_signals, 0, 8, 0, 0);
    struct timespec begin = {0}, now;
    call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&begin, 0, 0, 0, 0);
    for (now = begin; now.tv_sec - begin.tv_sec <= SECONDS; call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0, 0, 0)) {
        call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&turn, 0, 0, 0);
        for (int w = 0; w < WORKERS; w++) call(SYS_tgkill, (long)pid, __atomic_load_n(&tids[w], __ATOMIC_RELAXED), SIGURG, 0, 0, 0);
    }
    for (;;) call(SYS_kill, (long)pid, SIGKILL, 0, 0, 0, 0);
    return 0;
}

static void onsignal(int s) { (void)s; }
static void onfault(int s) { siglongjmp(again, s); }
static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
static void map_arena(void) { call(SYS_mmap, (long)arena, ARENA, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); }
static void repair(void) {
    struct sigaction sa = {.sa_handler = onsignal}, fault = {.sa_handler = onfault, .sa_flags = SA_NODEFER};
    sigset_t none;
    for (int s = 1; s < 65; s++) sigaction(s, &sa, NULL);
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++) sigaction(faults[i], &fault, NULL);
    sigemptyset(&none), pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* SIGURG is what wakes: when it is not handled it does nothing.
 *
 * The calls, with what their arguments look like: d descriptor, p pointer, s path, n small number, o offset, z size in pages, m page of the
 * arena, b bits, i signal, t time, T thread, v vector of ranges, k seconds and such, x anything, 0 zero. */
static const struct { short nr; const char *name, *args; } table[] = {
#define C(name, args) {SYS_##name, #name, args}
    C(read, "dpn"), C(write, "dpn"), C(open, "sbn"), C(close, "d"), C(stat, "sp"), C(fstat, "dp"), C(lstat, "sp"), C(poll, "pnk"), C(lseek, "don"), C(mmap, "mzbbdo"),
    C(mmap, "0zbbdo"), C(mprotect, "mzb"), C(munmap, "mz"), C(brk, "x"), C(rt_sigaction, "ipp8"), C(rt_sigprocmask, "npp8"), C(ioctl, "dxp"), C(pread64, "dpno"), C(pwrite64, "dpno"),
    C(readv, "dvn"), C(writev, "dvn"), C(access, "sn"), C(pipe, "p"), C(select, "npppt"), C(sched_yield, ""), C(mremap, "mzzbm"), C(msync, "mzn"), C(mincore, "mzp"), C(madvise, "mzn"),
    C(dup, "d"), C(dup2, "dd"), C(nanosleep, "tp"), C(getitimer, "np"), C(alarm, "n"), C(setitimer, "ntp"), C(sendfile, "ddpn"), C(socketpair, "nnnp"), C(uname, "p"), C(fcntl, "dnx"),
    C(flock, "dn"), C(fsync, "d"), C(truncate, "so"), C(ftruncate, "do"), C(getdents64, "dpn"), C(getcwd, "pn"), C(chdir, "s"), C(fchdir, "d"), C(rename, "ss"), C(mkdir, "sn"), C(rmdir, "s"),
    C(creat, "sn"), C(link, "ss"), C(unlink, "s"), C(symlink, "ss"), C(readlink, "spn"), C(chmod, "sn"), C(fchmod, "dn"), C(chown, "snn"), C(umask, "n"), C(gettimeofday, "pp"),
    C(getrlimit, "np"), C(getrusage, "np"), C(sysinfo, "p"), C(times, "p"), C(getgroups, "np"), C(rt_sigpending, "p8"), C(rt_sigtimedwait, "ppt8"), C(rt_sigqueueinfo, "Tip"),
    C(rt_sigsuspend, "p8"), C(sigaltstack, "pp"), C(utime, "sp"), C(mknod, "snn"), C(statfs, "sp"), C(fstatfs, "dp"), C(sched_getparam, "Tp"), C(sched_setscheduler, "Tnp"), C(mlock, "mz"),
    C(mlock2, "mzn"), C(prctl, "nxxxx"), C(gettid, ""), C(readahead, "don"), C(setxattr, "sspnn"), C(getxattr, "sspn"), C(listxattr, "spn"), C(tkill, "Ti"), C(time, "p"), C(futex, "pnntpn"), C(futex, "pbn0pn"),
    C(sched_setaffinity, "Tnp"), C(sched_getaffinity, "Tnp"), C(epoll_create, "n"), C(getdents, "dpn"), C(set_tid_address, "p"), C(fadvise64, "donn"), C(timer_create, "npp"), C(timer_settime, "nntp"),
    C(timer_gettime, "np"), C(timer_getoverrun, "n"), C(timer_delete, "n"), C(clock_gettime, "np"), C(clock_getres, "np"), C(clock_nanosleep, "nntp"), C(epoll_wait, "dpnk"), C(epoll_ctl, "dndp"), C(tgkill, "TTi"),
    C(utimes, "sp"), C(openat, "dsbn"), C(mkdirat, "dsn"), C(newfstatat, "dspb"), C(unlinkat, "dsb"), C(renameat2, "dsdsn"), C(linkat, "dsdsb"), C(symlinkat, "sds"), C(readlinkat, "dspn"), C(faccessat2, "dsnb"),
    C(pselect6, "nppptp"), C(ppoll, "pntp8"), C(set_robust_list, "p8"), C(get_robust_list, "Tpp"), C(splice, "dpdpnb"), C(tee, "ddnb"), C(sync_file_range, "doob"), C(vmsplice, "dvnb"), C(utimensat, "dspb"),
    C(epoll_pwait, "dpnkp8"), C(signalfd4, "dp8b"), C(timerfd_create, "nb"), C(eventfd2, "nb"), C(fallocate, "dnoz"), C(timerfd_settime, "dntp"), C(timerfd_gettime, "dp"), C(epoll_create1, "b"), C(dup3, "ddb"),
    C(pipe2, "pb"), C(preadv, "dvno"), C(pwritev, "dvno"), C(prlimit64, "0n0p"), C(name_to_handle_at, "dsppb"), C(process_vm_readv, "Tvnvn0"), C(process_vm_writev, "Tvnvn0"), C(getrandom, "pnn"), C(memfd_create, "sb"),
    C(execveat, "dsppb"), C(membarrier, "bn"), C(copy_file_range, "dpdpn0"), C(preadv2, "dvnonb"), C(pwritev2, "dvnonb"), C(statx, "dsbbp"), C(clone3, "pn"), C(close_range, "DDb"), C(openat2, "dspn"), C(epoll_pwait2, "dpntp8"),
    C(futex_waitv, "pnntn"),
};
static const char *const paths[] = {
    "/tmp/f0", "/tmp/f1", "/tmp/f2", "/tmp/d0", "/tmp/d0/f3", "/tmp/d0/d1", "/tmp/l0", "/tmp/l1", "/tmp/p0", "/tmp", "/", ".", "..", "", "f4", "d2/../f5", "/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/tty",
    "/dev/fd/3", "/dev/stdin", "/proc", "/proc/self/maps", "/proc/self/stat", "/proc/self/status", "/proc/self/fd", "/proc/self/fd/3", "/proc/self/task", "/proc/self/exe", "/proc/self/cwd", "/proc/self/root/tmp/f0", "/proc/self/comm",
    "/proc/thread-self/comm", "/proc/self/cmdline", "/proc/self/environ", "/proc/self/auxv", "/proc/self/limits", "/proc/meminfo", "/proc/stat", "/proc/mounts", "/proc/cpuinfo", "/sys", "/sys/devices/system/cpu/online", "/etc/passwd", "/bin/true", "/nowhere/x",
};

static long argument(void) {
    static const long edges[] = {0, 1, -1, 2, 7, 8, 4095, 4096, 4097, 65536, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 0x7ffffffff000, 0x500000000000, -4096, 0xffffffff, 1L << 32, 0x4ffffffff000, 1L << 47, 1L << 62};
    switch (next() % 10) {
    case 0: return edges[next() % (sizeof edges / sizeof *edges)];
    case 1: return next() % 20;
    case 2: return (long)(hole + next() % 8192);
    case 3: return 1L << next() % 64;
    case 4: return next() >> next() % 64;
    case 5: return -(long)(next() % 300);
    case 6: return (long)(arena + ARENA - next() % 64);
    default: return (long)(arena + next() % ARENA / 8 * 8);
    }
}
static int descriptor(void) { return next() % 12 ? (int)(next() % 24) : next() % 2 ? AT_FDCWD : (int)argument(); }
/* Mostly whole, sometimes cut by the end of the arena or of a page that may be gone. */
static char *pointer(void) {
    switch (next() % 8) {
    case 0: return arena + ARENA - next() % 40;
    case 1: return arena + next() % PAGES * 4096 + 4096 - next() % 40;
    default: return arena + next() % (ARENA - 4096) / 8 * 8;
    }
}
static long small(void) {
    switch (next() % 8) {
    case 0: return next() % 65536;
    case 1: return next() % 10 ? (long)(next() % (16 << 20)) : argument();
    case 2: return 4096 - 2 + next() % 4;
    default: return next() % 33;
    }
}
static long plausible(char kind) {
    uint64_t *w = (uint64_t *)((uintptr_t)(arena + next() % (ARENA - 4096)) & -8l);
    if (next() % 40 == 0) return argument();
    switch (kind) {
    case 'd': return descriptor();
    case 'D': return 20 + next() % 800;
    case 'p':
        if (next() % 3 == 0) w[0] = next() % 24, w[1] = next() % 2 ? (uint64_t)pointer() : (uint64_t)small(), w[2] = (uint64_t)small(), w[3] = next();
        return next() % 12 ? (long)(next() % 3 ? (char *)w : pointer()) : 0;
    case 's': return (long)strcpy((char *)w, paths[next() % (sizeof paths / sizeof *paths)]);
    case 'n': return small();
    case 'o': return next() % 4 ? (long)(next() % 20 * 4096 + next() % 3) : small();
    case 'z': return next() % 8 ? (long)(1 + next() % 8) * 4096 : small();
    case 'm': return (long)(arena + next() % PAGES * 4096);
    case 'b': return next() % 3 ? 1l << next() % 20 | (next() % 2 ? 1l << next() % 20 : 0) : (long)(next() % 128);
    case 'i': return next() % 4 ? SIGURG : (long)(next() % 66);
    case 'T': return next() % 5 ? tids[next() % WORKERS] : 0;
    case 't': /* two times: an interval and a first expiry, or one time */
        for (int i = 0; i < 4; i++) w[i] = i % 2 ? next() % (next() % 2 ? 3 : 2000000) : next() % 50 == 0;
        return next() % 30 ? (long)w : 0;
    case 'v':
        for (int i = 0; i < 16; i++) w[i] = i % 2 ? (uint64_t)small() : (uint64_t)pointer();
        return (long)w;
    case 'k': return next() % 4;
    case '8': return 8;
    case '0': return 0;
    default: return argument();
    }
}

/* Calls that end, stop or derail the thread which makes them: rarely, or nothing else would be tried. */
static int derails(long nr, const long *a) {
    static const short rare[] = {SYS_pause, SYS_arch_prctl, SYS_clone, SYS_clone3, SYS_fork, SYS_vfork, SYS_execve, SYS_execveat, SYS_setrlimit, SYS_prlimit64, SYS_chroot, SYS_setuid, SYS_setgid, SYS_setreuid,
        SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setfsuid, SYS_setfsgid, SYS_capset, SYS_set_robust_list, SYS_brk};
    if (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn) return 1;
    for (unsigned i = 0; i < sizeof rare / sizeof *rare; i++) if (rare[i] == nr) return next() % 64 != 0;
    int sends = nr == SYS_kill || nr == SYS_tkill || nr == SYS_tgkill || nr == SYS_rt_sigqueueinfo || nr == SYS_rt_tgsigqueueinfo || nr == SYS_pidfd_send_signal;
    long signal = nr == SYS_tgkill || nr == SYS_rt_tgsigqueueinfo ? a[2] : a[1];
    if (sends && (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU)) return 1;
    if (sends && (signal == SIGKILL || signal == 32 || signal == 33)) return next() % 256 != 0;
    /* A timer may stop the process, too, and nobody would continue it. */
    if (nr == SYS_timer_create && (char *)a[1] >= arena && (char *)a[1] < arena + ARENA - 16 && ((int *)a[1])[2] == SIGSTOP) return 1;
    if (nr == SYS_rt_sigaction && next() % 8) return 1;
    if (nr == SYS_rt_sigaction) for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++) if (a[0] == faults[i]) return 1;
    if (nr == SYS_mmap && !((int)a[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE))) return 0;
    if (nr == SYS_mremap && (int)a[3] & MREMAP_FIXED && ((char *)a[4] < arena || (char *)a[4] + a[2] > arena + ARENA)) return next() % 512 != 0;
    if (nr == SYS_munmap || nr == SYS_mmap || nr == SYS_mprotect || nr == SYS_mremap || nr == SYS_madvise || nr == SYS_pkey_mprotect) {
        uint64_t start = a[0], len = a[1];
        if (start < (uint64_t)arena || start > (uint64_t)arena + ARENA || len > (uint64_t)arena + ARENA - start) return next() % 512 != 0;
    }
    return 0;
}

static char *hex(char *out, uint64_t value) {
    char digits[16];
    int n = 0;
    do digits[n++] = "0123456789abcdef"[value % 16]; while (value /= 16);
    while (n) *out++ = digits[--n];
    return out;
}
static long traced(long nr, const char *name, const long *a) {
    char line[160], *out = line;
    *out++ = '#', *out++ = '0' + self, *out++ = ' ';
    if (name) out = stpcpy(out, name);
    else out = hex(stpcpy(out, "0x"), nr);
    for (int i = 0; i < 6; i++) *out++ = ' ', out = hex(out, a[i]);
    *out++ = '\n';
    call(SYS_write, TRACE, (long)line, out - line, 0, 0, 0);
    long result = call(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    /* What was made ends at once, or there would soon be nothing else. */
    if (result == 0 && (nr == SYS_fork || nr == SYS_vfork || nr == SYS_clone || nr == SYS_clone3)) call(SYS_exit, 0, 0, 0, 0, 0, 0);
    return result;
}
#define TRACED(name, ...) traced(SYS_##name, #name, (long[6]){__VA_ARGS__})

/* A thread that makes some calls on a stack of its own and ends, perhaps while others look at it. */
static char child_stacks[WORKERS][8][8192] __attribute__((aligned(16)));
static int child(void *seed) {
    static const short harmless[] = {SYS_getpid, SYS_gettid, SYS_sched_yield, SYS_read, SYS_poll, SYS_close, SYS_lseek, SYS_futex, SYS_dup, SYS_fstat, SYS_getcwd, SYS_mincore, SYS_madvise};
    uint64_t s = (uint64_t)seed | 1;
    call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all_signals, 0, 8, 0, 0);
    for (int i = random_from(&s) % 8; i > 0; i--) {
        long nr = harmless[random_from(&s) % (sizeof harmless / sizeof *harmless)];
        long at = (long)arena + random_from(&s) % ARENA / 4096 * 4096;
        if (nr == SYS_futex) call(nr, at, 1, 1, 0, 0, 0);
        else if (nr == SYS_mincore || nr == SYS_madvise) call(nr, at, 8192, nr == SYS_mincore ? (long)arena : 4, 0, 0, 0);
        else if (nr == SYS_poll) call(nr, at, 1, 1, 0, 0, 0);
        else call(nr, nr == SYS_getcwd ? at : 3 + random_from(&s) % 20, at, 64, 0, 0, 0);
    }
    return 0;
}
static int spawn(int slot) {
    static const int flags = CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    static int busy[WORKERS][8];
    int *word = &busy[self][slot];
    if (__atomic_load_n(word, __ATOMIC_ACQUIRE)) return 0;
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    int files = next() % 2 ? CLONE_FILES : 0;
    int tid = clone(child, child_stacks[self][slot] + sizeof child_stacks[0][0], flags | files | CLONE_CHILD_CLEARTID, (void *)next(), NULL, NULL, word);
    if (tid < 0) __atomic_store_n(word, 0, __ATOMIC_RELEASE);
    return tid;
}

/* Sequences that belong together. */
static void scene(void) {
    long page = (long)(arena + next() % (PAGES - 4) * 4096);
    char *text = (char *)page;
    switch (next() % 9) {
    case 0: { /* a mapped file that becomes shorter under its users */
        long fd = TRACED(open, (long)strcpy(text, paths[next() % 3]), O_RDWR | O_CREAT, 0600);
        TRACED(ftruncate, fd, 3 * 4096);
        TRACED(mmap, page, 4 * 4096, 3, (next() % 2 ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, fd, 0);
        text[next() % (3 * 4096)] = 1;
        TRACED(ftruncate, fd, next() % (4 * 4096));
        TRACED(write, fd, page + next() % 8192, 4096);
        TRACED(pread64, fd, page, 2 * 4096, 0);
        TRACED(fallocate, fd, 3, 4096, 4096);
        *(volatile char *)(text + next() % (4 * 4096));
        TRACED(close, fd);
        break;
    }
    case 1: { /* a tour of /proc while threads come and go */
        char buffer[512];
        static const char *const places[] = {"/proc", "/proc/self", "/proc/self/task", "/proc/self/fd", "/proc/sys/kernel", "/proc/self/fdinfo", "/sys/devices/system/cpu"};
        long dir = TRACED(open, (long)places[next() % 7], O_DIRECTORY);
        long len = TRACED(getdents64, dir, (long)buffer, sizeof buffer);
        for (long at = 0; at < len && at + 19 < len;) {
            uint16_t size = *(uint16_t *)(buffer + at + 16);
            char *name = buffer + at + 19;
            if (size == 0) break;
            long fd = name[0] == '.' ? -1 : TRACED(openat, dir, (long)name, next() % 8 ? O_RDONLY | O_NONBLOCK : O_RDWR | O_NONBLOCK);
            if (fd >= 0) TRACED(read, fd, page, 4096), TRACED(read, fd, page, next() % 99), TRACED(lseek, fd, next() % 9, 0), TRACED(fstat, fd, page), TRACED(getdents64, fd, page, 999), TRACED(close, fd);
            at += size;
        }
        TRACED(close, dir);
        break;
    }
    case 2: { /* copies from something endless */
        long from = TRACED(open, (long)(next() % 2 ? "/dev/zero" : "/dev/urandom"), O_RDONLY);
        long to = next() % 2 ? TRACED(eventfd2, 0, O_NONBLOCK) : TRACED(open, (long)"/dev/null", O_WRONLY);
        TRACED(sendfile, to, from, 0, next() % 4 ? small() : INT32_MAX);
        TRACED(close, from), TRACED(close, to);
        break;
    }
    case 3: { /* timers that never stop expiring */
        uint64_t *w = (uint64_t *)page;
        w[0] = 0, w[1] = next() % 3, w[2] = 0, w[3] = 1;
        long fd = TRACED(timerfd_create, 1, O_NONBLOCK);
        TRACED(timerfd_settime, fd, next() % 2, page, 0);
        w[8] = 0, w[9] = (uint64_t)SIGURG | (next() % 2 ? 0 : 1l << 32);
        if (TRACED(timer_create, next() % 4, page + 64, page + 256) == 0) {
            int id = *(int *)(page + 256);
            TRACED(timer_settime, id, next() % 2, page, 0);
            TRACED(sched_yield);
            TRACED(timer_delete, id);
        }
        TRACED(setitimer, next() % 3, page, 0);
        TRACED(poll, page, 1, 1), TRACED(read, fd, page, 8), TRACED(close, fd);
        w[0] = w[1] = w[2] = w[3] = 0;
        for (int i = 0; i < 3; i++) TRACED(setitimer, i, page, 0);
        break;
    }
    case 4: { /* sets of sets */
        struct epoll_event *event = (void *)page;
        int sets[8];
        for (int i = 0; i < 8; i++) sets[i] = TRACED(epoll_create1, 0);
        for (int i = 0; i < 12; i++) *event = (struct epoll_event){.events = EPOLLIN | (next() % 2 ? EPOLLET : 0)}, TRACED(epoll_ctl, sets[next() % 8], 1 + next() % 3, next() % 3 ? sets[next() % 8] : (int)(next() % 24), page);
        TRACED(epoll_wait, sets[next() % 8], page, 8, 1);
        for (int i = 0; i < 8; i++) TRACED(close, sets[i]);
        break;
    }
    case 5: { /* a pipe, its ends going away in any order */
        int *ends = (int *)page, at[2];
        if (TRACED(pipe2, page, next() % 2 ? O_NONBLOCK : O_NONBLOCK | O_DIRECT)) break;
        at[0] = ends[0], at[1] = ends[1];
        TRACED(fcntl, at[1], 1031, next() % 300000);
        for (int i = next() % 4; i > 0; i--) TRACED(write, at[1], page, small());
        TRACED(read, at[0], page + 8, small());
        TRACED(close, at[next() % 2]), TRACED(write, at[1], page, 9), TRACED(splice, at[0], 0, at[1], 0, 99, 2);
        TRACED(close, at[0]), TRACED(close, at[1]);
        break;
    }
    case 6: { /* memory that others use meanwhile */
        TRACED(munmap, page, 8192), TRACED(mmap, page, 4096, next() % 8, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        TRACED(mprotect, page, 8192, next() % 8), TRACED(madvise, page, 8192, 4), TRACED(mremap, page, 4096, 12288, 1);
        TRACED(futex, page, 128, *(volatile int *)(arena + 8), (long)&(struct timespec){0, 1000});
        TRACED(read, 3, page, 12288);
        break;
    }
    case 7: spawn(next() % 8); break;
    case 8: { /* a signal that comes back with another mask, flags and vector state */
        struct { uint64_t a[4]; } action = {{(uint64_t)onsignal, 0x04000000 | (next() % 2 ? SA_RESTART : 0) | (next() % 2 ? SA_SIGINFO : 0), 0, next()}};
        (void)action;
        raise(SIGUSR2);
        map_arena();
        break;
    }
    }
}

static void *work(void *number) {
    self = (int)(uintptr_t)number;
    tids[self] = gettid();
    volatile long made = 0;
    if (sigsetjmp(again, 1)) repair(), map_arena();
    while (made < count) {
        long i = made++, nr;
        const char *name = NULL;
        long a[6] = {0};
        if (i % 16 == 0) repair();
        if (i % 64 == 0) map_arena();
        if (next() % 12 == 0) {
            scene();
            continue;
        }
        if (next() % 4) {
            unsigned at = next() % (sizeof table / sizeof *table);
            nr = table[at].nr, name = table[at].name;
            for (int k = 0; table[at].args[k]; k++) a[k] = plausible(table[at].args[k]);
        } else {
            nr = next() % 64 ? (long)(next() % 470) : argument();
            for (int k = 0; k < 6; k++) a[k] = argument();
        }
        if (derails(nr, a)) continue;
        traced(nr, name, a);
        if (nr == SYS_rt_sigprocmask || nr == SYS_rt_sigaction) repair();
    }
    return NULL;
}
static uint64_t seed;
static void *other(void *number) {
    state = (seed * WORKERS + (uintptr_t)number) * 0x9e3779b97f4a7c15 | 1;
    return work(number);
}
int main(int argc, char **argv) {
    if (argc < 3) return 2;
    seed = strtoul(argv[1], NULL, 10), count = atol(argv[2]);
    /* Nothing that the program needs is near: what runs over the end of the arena must fault. */
    arena = (char *)mmap(NULL, ARENA + (64 << 20), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) + (32 << 20);
    map_arena();
    hole = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(hole, 8192);
    dup3(2, TRACE, O_CLOEXEC);
    clone(guardian, guardian_stack + sizeof guardian_stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, (void *)(long)getpid());
    repair();
    for (long i = 1; i < WORKERS; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, other, (void *)i);
    }
    other((void *)0);
    call(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}
