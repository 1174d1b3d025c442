/* `greedy HOW`: a guest that keeps the kernel busy beside a thread that only wants to sleep a little. It prints "had turns" when that thread had
 * them, and ends; what the test expects stands in tests/robustness.rs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { PAGES = 64, LENGTH = PAGES * 4096, SECOND = 1000000000 };
static char *region;
static volatile int stop, steps;

static void start(void *(*how)(void *), void *arg) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, how, arg)) _exit(90);
}
static int sleeps(void) {
    for (int i = 0; i < 20; i++) nanosleep(&(struct timespec){0, 1000000}, NULL);
    puts("had turns");
    return 0;
}
static void nothing(int s) { (void)s; }

/* From what never ends to what takes it in small pieces. */
static void *copies(void *arg) {
    int from = open("/dev/zero", O_RDONLY), to = eventfd(0, EFD_NONBLOCK);
    for (;;) sendfile(to, from, NULL, INT32_MAX);
    return arg;
}
/* Two gigabytes into little memory. */
static void *reads(void *name) {
    static struct iovec ranges[1024];
    int fd = open(name, O_RDONLY);
    char *buffer = mmap(NULL, 2 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 1024; i++) ranges[i] = (struct iovec){buffer, 2 << 20};
    for (;;) readv(fd, ranges, 1024);
    return NULL;
}
/* Many pages at once, and many mappings. */
static void *maps(void *arg) {
    for (;;) {
        char *pages = mmap(NULL, 96 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (pages == MAP_FAILED) _exit(92);
        madvise(pages, 96 << 20, MADV_DONTNEED), madvise(pages, 96 << 20, MADV_POPULATE_WRITE), munmap(pages, 96 << 20);
    }
    return arg;
}
static void *protects(void *arg) {
    enum { MANY = 16384 };
    char *pages = mmap(NULL, MANY * 4096l, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < MANY; i += 2) mprotect(pages + i * 4096, 4096, PROT_READ);
    for (long i = 0;; i++) {
        if (mprotect(pages, MANY * 4096l, PROT_NONE) || mprotect(pages, MANY * 4096l, PROT_READ)) _exit(93);
        for (long at = i % 2; at < MANY; at += 2) mprotect(pages + at * 4096, 4096, PROT_READ | PROT_WRITE);
    }
    return arg;
}
static void *exchanges(void *arg) {
    static struct iovec ranges[1024];
    char *buffer = mmap(NULL, 32 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 1024; i++) ranges[i] = (struct iovec){buffer, 2 << 20};
    for (;;) process_vm_readv(getpid(), ranges, 1024, ranges, 1024, 0), getrandom(buffer, 32 << 20, 0);
    return arg;
}

/* Memory that changes all the time, under those who use it. The guest itself never touches it. */
static void *changes(void *arg) {
    uint64_t s = (uint64_t)arg * 0x9e3779b97f4a7c15 + 1;
    while (!stop) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        char *at = region + s % PAGES * 4096, *to = region + s / 64 % PAGES * 4096;
        long length = (1 + s / 4096 % 12) * 4096, most = region + LENGTH - at;
        if (length > most) length = most;
        switch (s / 65536 % 6) {
        case 0: munmap(at, length); break;
        case 1: mprotect(at, length, s >> 40 & 3); break;
        case 2: madvise(at, length, s & 1 ? MADV_DONTNEED : MADV_POPULATE_WRITE); break;
        case 3: if (to + length <= region + LENGTH) mremap(at, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to); break;
        default: mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        }
    }
    return NULL;
}
static void *uses(void *arg) {
    uint64_t s = (uint64_t)arg * 0x9e3779b97f4a7c15 + 7;
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY), file = open("/tmp/greedy", O_RDWR | O_CREAT, 0600), maps, p[2];
    if (pipe2(p, O_NONBLOCK)) _exit(91);
    while (!stop) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        char *at = region + s % LENGTH;
        long length = s / 4096 % 40000;
        if (length > region + LENGTH - at) length = region + LENGTH - at;
        switch (s / 65536 % 8) {
        case 0: if (read(zero, at, length) < 0) break; break;
        case 1: if (write(null, at, length) < 0) break; break;
        case 2: if (pwrite(file, at, length, s % 9999) < 0) break; break;
        case 3: if (pread(file, at, length, s % 9999) < 0) break; break;
        case 4: syscall(SYS_futex, (uintptr_t)at & -4l, s & 1 ? 129 : 128, 0, &(struct timespec){0, 100000}, 0, 0); break;
        case 5: if (write(p[1], at, length) < 0 || read(p[0], at, length) < 0) break; break;
        case 6: open(at, O_RDONLY | O_CLOEXEC), close_range(200, 900, 0); break;
        default:
            maps = open("/proc/self/maps", O_RDONLY);
            if (read(maps, at, length) < 0) close(maps);
            else close(maps);
        }
    }
    return NULL;
}
static int brief(void *arg) { (void)arg; return 0; }
static void *clones(void *arg) {
    static char stacks[8][16384];
    static int busy[8];
    for (int i = 0; !stop; i = (i + 1) % 8) {
        if (__atomic_exchange_n(&busy[i], 1, __ATOMIC_ACQ_REL)) { sched_yield(); continue; }
        if (clone(brief, stacks[i + 1 == 8 ? 7 : i] + 16384, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID, arg, NULL, NULL, &busy[i]) < 0) busy[i] = 0;
    }
    return NULL;
}

static void on_step(int s, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    (void)s, (void)info;
    if (++steps == 40) uc->uc_mcontext.gregs[REG_EFL] &= ~0x100l;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    if (!strcmp(how, "copy")) return start(copies, NULL), sleeps();
    if (!strcmp(how, "random")) return start(reads, "/dev/urandom"), sleeps();
    if (!strcmp(how, "zero")) return start(reads, "/dev/zero"), sleeps();
    if (!strcmp(how, "populate")) return start(maps, NULL), sleeps();
    if (!strcmp(how, "protect")) return start(protects, NULL), sleeps();
    if (!strcmp(how, "exchange")) return start(exchanges, NULL), sleeps();
    if (!strcmp(how, "timers")) { /* that expire again before they have expired */
        signal(SIGALRM, nothing), signal(SIGURG, nothing);
        struct itimerspec often = {{0, 1}, {0, 1}};
        struct sigevent event = {.sigev_signo = SIGURG};
        timer_t timer;
        int fd = timerfd_create(CLOCK_MONOTONIC, 0);
        uint64_t expired = 0;
        timer_create(CLOCK_MONOTONIC, &event, &timer), timer_settime(timer, 0, &often, NULL), timerfd_settime(fd, 0, &often, NULL);
        setitimer(ITIMER_REAL, &(struct itimerval){{0, 1}, {0, 1}}, NULL);
        for (int i = 0; i < 20; i++) {
            struct timespec left = {0, 1000000};
            while (nanosleep(&left, &left)) {}
        }
        puts(read(fd, &expired, 8) == 8 && expired > 20000000 ? "had turns" : "?");
        return 0;
    }
    if (!strcmp(how, "chain")) { /* each set watches the next one */
        enum { SETS = 800 };
        int sets[SETS], links = 0, bell = eventfd(0, 0);
        for (int i = 0; i < SETS; i++) sets[i] = epoll_create1(0);
        for (int i = 0; i + 1 < SETS; i++) links += !epoll_ctl(sets[i], EPOLL_CTL_ADD, sets[i + 1], &(struct epoll_event){.events = EPOLLIN});
        for (int i = 0; i < SETS; i++) epoll_ctl(sets[i], EPOLL_CTL_ADD, bell, &(struct epoll_event){.events = EPOLLIN});
        eventfd_write(bell, 1);
        struct epoll_event event;
        puts(links && epoll_wait(sets[0], &event, 1, 0) == 1 ? "had turns" : "?");
        return 0;
    }
    if (!strcmp(how, "web")) { /* each set of a layer watches all of the next one */
        enum { LAYERS = 5, SETS = 40 };
        int sets[LAYERS][SETS], bell = eventfd(1, 0);
        for (int i = 0; i < LAYERS * SETS; i++) sets[i / SETS][i % SETS] = epoll_create1(0);
        for (int i = LAYERS - 2; i >= 0; i--)
            for (int k = 0; k < SETS * SETS; k++) epoll_ctl(sets[i][k / SETS], EPOLL_CTL_ADD, sets[i + 1][k % SETS], &(struct epoll_event){.events = EPOLLIN});
        epoll_ctl(sets[LAYERS - 1][0], EPOLL_CTL_ADD, bell, &(struct epoll_event){.events = EPOLLIN});
        struct epoll_event event;
        puts(epoll_wait(sets[0][0], &event, 1, 0) == 1 ? "had turns" : "?");
        return 0;
    }
    if (!strcmp(how, "steps")) { /* one instruction at a time, and through system calls */
        struct sigaction sa = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
        sigaction(SIGTRAP, &sa, NULL);
        for (int i = 0; i < 3; i++) {
            long pid;
            steps = 0;
            __asm__ volatile("sub $128,%%rsp; pushfq; orq $0x100,(%%rsp); popfq; 1: mov $39,%%eax; syscall; cmpl $40,%1; jl 1b; add $128,%%rsp" : "=&a"(pid) : "m"(steps) : "rcx", "r11", "memory", "cc");
            if (pid != getpid()) puts("another pid");
        }
        puts(steps == 40 ? "had turns" : "?");
        return 0;
    }
    if (!strcmp(how, "alignment")) { /* a flag that would make the kernel's own code fault */
        long pid;
        for (int i = 0; i < 10; i++)
            __asm__ volatile("sub $128,%%rsp; pushfq; orq $0x40400,(%%rsp); popfq; mov $39,%%eax; syscall; pushfq; andq $~0x40400,(%%rsp); popfq; add $128,%%rsp" : "=&a"(pid) : : "rcx", "r11", "memory", "cc");
        puts(pid == getpid() ? "had turns" : "?");
        return 0;
    }
    if (!strcmp(how, "churn")) {
        region = (char *)mmap(NULL, LENGTH + (4 << 20), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + (2 << 20);
        for (long i = 0; i < 3; i++) start(changes, (void *)(i + 1)), start(uses, (void *)(i + 1));
        start(uses, (void *)9), start(clones, NULL);
        nanosleep(&(struct timespec){2, 0}, NULL);
        stop = 1;
        puts("had turns");
        return 0;
    }
    return 99;
}
