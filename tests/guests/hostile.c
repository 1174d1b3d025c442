/* `hostile HOW`: a guest that does what no guest should. What the test expects stands in tests/robustness.rs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void *spins(void *arg) {
    for (volatile long i = 0;; i++) {}
    return arg;
}
static void *waits(void *arg) {
    pause();
    return arg;
}
static void *crashes(void *arg) {
    *(volatile int *)8 = 1;
    return arg;
}
static void start(void *(*how)(void *)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, how, NULL)) _exit(90);
}
static void jump(uint64_t to) { __asm__ volatile("jmp *%0" : : "r"(to)); }

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    if (!strcmp(how, "segv")) *(volatile int *)8 = 1;
    if (!strcmp(how, "ill")) __asm__ volatile("ud2");
    if (!strcmp(how, "fpe")) __asm__ volatile("xor %%edx,%%edx; xor %%ecx,%%ecx; mov $1,%%eax; idiv %%ecx" ::: "rax", "rcx", "rdx");
    if (!strcmp(how, "trap")) __asm__ volatile("int3");
    if (!strcmp(how, "abort")) abort();
    if (!strcmp(how, "thread-segv")) start(crashes), pause();
    if (!strcmp(how, "jump-null")) jump(0);
    if (!strcmp(how, "jump-kernel")) jump(0x7fffffffe000);
    if (!strcmp(how, "jump-above")) jump(0x500000000000);
    if (!strcmp(how, "jump-noncanonical")) jump(0x4141414141414141);
    if (!strcmp(how, "stack-null")) __asm__ volatile("xor %%esp,%%esp; push %%rax" ::: "memory");
    if (!strcmp(how, "stack-noncanonical")) __asm__ volatile("mov %0,%%rsp; push %%rax" : : "r"(0x4141414141414141) : "memory");
    if (!strcmp(how, "sigreturn")) __asm__ volatile("mov $15,%%eax; syscall" ::: "memory");
    if (!strcmp(how, "sigreturn-null")) __asm__ volatile("xor %%esp,%%esp; mov $15,%%eax; syscall" ::: "memory");
    if (!strcmp(how, "handler-null")) {
        struct sigaction sa = {.sa_handler = (void (*)(int))(uintptr_t)0x10};
        sigaction(SIGUSR1, &sa, NULL), raise(SIGUSR1);
    }
    if (!strcmp(how, "kernel-write")) { /* a write to the kernel's own half */
        *(volatile char *)(uintptr_t)0x7fffffff0000 = 1;
    }
    if (!strcmp(how, "unmap-all")) syscall(SYS_munmap, 0x10000, 0x4ffffffe0000);
    if (!strcmp(how, "protect-all")) { /* no page of its own may be executed any more */
        char *text = (char *)((uintptr_t)main & -4096);
        syscall(SYS_mprotect, text, 4096, PROT_NONE);
    }
    if (!strcmp(how, "spin")) { /* beside another that wants to run, on one CPU */
        start(spins);
        for (int i = 0; i < 20; i++) {
            struct timespec t = {0, 1000000};
            nanosleep(&t, NULL);
        }
        puts("had turns");
        return 0;
    }
    if (!strcmp(how, "descriptors")) {
        struct rlimit few = {256, 256};
        setrlimit(RLIMIT_NOFILE, &few);
        syscall(SYS_close_range, 3, ~0U, 0); /* what was inherited */
        int n = 3, fd;
        while ((fd = open("/dev/null", O_RDONLY)) >= 0) n++;
        printf("%d %s\n", n, errno == EMFILE ? "EMFILE" : strerror(errno));
        int p[2];
        printf("%d %d\n", pipe(p), errno == EMFILE);
        close(fd = 100);
        printf("%d\n", dup(0));
        return 0;
    }
    if (!strcmp(how, "threads")) { /* each takes 64 KiB of stack, until there are no more */
        pthread_attr_t small;
        pthread_attr_init(&small), pthread_attr_setstacksize(&small, 65536);
        pthread_t thread;
        int made = 0, error;
        while (made < 100000 && !(error = pthread_create(&thread, &small, waits, NULL))) made++;
        printf("%s\n", made > 100 && error == EAGAIN ? "EAGAIN" : "?");
        return 0;
    }
    if (!strcmp(how, "mmap")) {
        void *all = mmap(NULL, 1 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        puts(all == MAP_FAILED && errno == ENOMEM ? "ENOMEM" : "?");
        return 0;
    }
    if (!strcmp(how, "malloc")) {
        size_t got = 0;
        for (char *p; (p = malloc(1 << 20)); got++) memset(p, 1, 1 << 20);
        puts(got > 16 && got <= 64 && errno == ENOMEM ? "ENOMEM" : "?");
        return 0;
    }
    if (!strcmp(how, "noreserve")) { /* a limit counts what is promised lightly, too */
        char *all = mmap(NULL, 1 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (all != MAP_FAILED) memset(all, 1, 1 << 30);
        puts(all == MAP_FAILED ? "refused" : "written");
        return 0;
    }
    if (!strcmp(how, "tmpfs")) {
        static char block[65536];
        int fd = open("/tmp/hostile", O_RDWR | O_CREAT | O_TRUNC, 0600), n = 0;
        memset(block, 7, sizeof block);
        while (n < 4096 && write(fd, block, sizeof block) > 0) n++;
        puts(n < 1024 && (errno == ENOSPC || errno == ENOMEM) ? "full" : "?");
        unlink("/tmp/hostile"), close(fd);
        fd = open("/tmp/hostile", O_RDWR | O_CREAT | O_TRUNC, 0600);
        printf("%zd\n", write(fd, block, sizeof block));
        return 0;
    }
    if (!strcmp(how, "many-files")) { /* the kernel's own memory for names and inodes has a bound, too, or this ends */
        char name[64];
        int n = 0;
        for (; n < 20000; n++) {
            snprintf(name, sizeof name, "/tmp/hostile-%d", n);
            int fd = open(name, O_RDWR | O_CREAT, 0600);
            if (fd < 0) break;
            close(fd);
        }
        puts("done");
        return 0;
    }
    if (!strcmp(how, "wide")) { /* sizes that overflow when they are rounded or added */
        static char c;
        long huge[] = {-1, INT64_MIN, INT64_MAX, -4096, 1L << 47, 1L << 62};
        for (unsigned i = 0; i < 6; i++) {
            syscall(SYS_read, 0, &c, huge[i]), syscall(SYS_mmap, huge[i], huge[i], 3, 0x22, -1, 0);
            syscall(SYS_mmap, 0, huge[i], 3, 0x22, -1, huge[i]), syscall(SYS_mprotect, &c, huge[i], 3);
            syscall(SYS_mremap, huge[i], huge[i], huge[i], 1, 0), syscall(SYS_brk, huge[i]);
            syscall(SYS_ftruncate, 0, huge[i]), syscall(SYS_lseek, 0, huge[i], 0), syscall(SYS_pread64, 0, &c, 1, huge[i]);
            syscall(SYS_getrandom, &c, huge[i], 0), syscall(SYS_poll, &c, huge[i], 0), syscall(SYS_munmap, 0, huge[i]);
            syscall(SYS_clock_nanosleep, 1, 1, huge, NULL), syscall(SYS_futex, &c, 0, 0, huge, 0, 0);
        }
        puts("done");
        return 0;
    }
    return 99;
}
