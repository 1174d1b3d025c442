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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
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
    if (!strcmp(how, "bare-threads")) { /* that take no memory of their own, until there are no more */
        long made = 0, id;
        do {
            register long tls __asm__("r8") = 0, child __asm__("r10") = 0;
            __asm__ volatile("syscall; test %%rax,%%rax; jnz 2f; 1: mov $34,%%eax; syscall; jmp 1b; 2:" : "=a"(id) : "a"(SYS_clone), "D"(0x50f00L), "S"(0L), "d"(0L), "r"(child), "r"(tls) : "rcx", "r11", "memory");
        } while (id > 0 && ++made < 100000);
        printf("%s\n", made > 1000 && made < 4096 && id == -ENOMEM ? "ENOMEM" : "?");
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
    if (!strcmp(how, "many-names")) { /* each of no bytes, but the kernel keeps them */
        char name[64], target[1024];
        int n = 0, failed = 0;
        memset(target, 't', sizeof target), target[1023] = 0;
        for (; n < 1000000 && !failed; n++) {
            snprintf(name, sizeof name, "/tmp/hostile-%d", n);
            switch (n % 4) {
            case 0: failed = mknod(name, S_IFREG | 0600, 0); break;
            case 1: failed = mkdir(name, 0700); break;
            case 2: failed = symlink(target, name); break;
            case 3: failed = link("/tmp/hostile-0", name); break;
            }
        }
        puts(n > 1000 && failed && errno == ENOSPC ? "full" : strerror(errno));
        remove("/tmp/hostile-9"), remove("/tmp/hostile-10");
        puts(mkdir("/tmp/hostile-9", 0700) ? "?" : "made");
        failed = 0;
        for (n = 0; !failed; n++) failed = setxattr("/tmp/hostile-0", (snprintf(name, sizeof name, "user.%d", n), name), target, 1024, 0);
        puts(errno == ENOSPC ? "full" : strerror(errno));
        return 0;
    }
    if (!strcmp(how, "pipes")) { /* each holds bytes that nobody reads */
        static char block[65536];
        struct rlimit many = {8192, 8192};
        setrlimit(RLIMIT_NOFILE, &many);
        int n = 0, p[2];
        while (n < 4000 && !pipe2(p, O_NONBLOCK) && write(p[1], block, sizeof block) > 0) n++;
        puts(n > 100 && n < 1024 && errno == ENOMEM ? "ENOMEM" : strerror(errno));
        ssize_t none = read(p[0], block, 1);
        printf("%zd %d\n", none, errno == EAGAIN);
        close(p[0] - 2), close(p[1] - 2);
        printf("%zd\n", write(p[1], block, 4096));
        return 0;
    }
    if (!strcmp(how, "holes")) { /* that are read, and mapped */
        static char block[65536];
        int fd = open("/tmp/hostile", O_RDWR | O_CREAT | O_TRUNC, 0600), n = 0;
        if (ftruncate(fd, 1 << 30)) puts("?");
        while (read(fd, block, sizeof block) == sizeof block) n++;
        printf("%d %d\n", n, block[5]);
        void *all = mmap(NULL, 1 << 30, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        puts(all == MAP_FAILED && errno == ENOMEM ? "ENOMEM" : "?");
        all = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE, fd, 0);
        puts(all == MAP_FAILED && errno == ENOMEM ? "ENOMEM" : "?");
        if (ftruncate(fd, 1 << 20)) puts("?");
        char *some = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        memset(some, 7, 1 << 20);
        int refused = ftruncate(fd, 1 << 30);
        printf("%d %d\n", refused, errno == ENOSPC);
        return 0;
    }
    if (!strcmp(how, "large-file")) { /* of the host, four times as large as memory, used through mappings */
        char line[256];
        long size = 256 << 20, total = 0, left = 0, wrong = 0;
        int fd = open("large", O_RDWR);
        char *all = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        long *changed = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        for (long at = 0; at < size; at += 4096) total += all[at], changed[at / 8 + 1] = at;
        for (long at = 0; at < size; at += 4096) wrong += changed[at / 8 + 1] != at || all[at] != 1 || *(long *)(all + at + 8) != at;
        printf("%ld %ld\n", total, wrong);
        FILE *meminfo = fopen("/proc/meminfo", "r");
        while (fgets(line, sizeof line, meminfo)) sscanf(line, "MemTotal: %ld", &total), sscanf(line, "MemFree: %ld", &left);
        puts(total == 64 << 10 && left > 0 ? "bounded" : "?");
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
