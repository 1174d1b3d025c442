/* Tries to get out of an isolated guest: `escape HOW`. Whatever it does, the kernel, the host's files and other guests stay as they are; what it
 * prints is what Linux would have it print, or it is killed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <pthread.h>

/* Where the stub's code and the memory that it shares with the kernel are: what the leader is told, what it says, and the first thread's block. */
#define CODE ((unsigned char *)0x7e9000000000)
#define CODE_END (CODE + 4096)
#define ORDERS (CODE + (1 << 20))
#define ANSWERS (ORDERS + 0x4000)
#define BLOCK (ORDERS + 0x8000)
/* The stub's descriptor of the physical memory. */
#define MEMORY 3

static int is_syscall(const unsigned char *at) { return at[0] == 0x0f && at[1] == 0x05; }

/* Jumps to a system call of the stub's code with the registers of a call of our own. */
static long through(const unsigned char *at, long number, const long arg[6]) {
    long result = number;
    register long r10 __asm__("r10") = arg[3], r8 __asm__("r8") = arg[4], r9 __asm__("r9") = arg[5];
    __asm__ volatile("jmp *%[at]"
                     : "+a"(result)
                     : [at] "r"(at), "D"(arg[0]), "S"(arg[1]), "d"(arg[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static long through_the_stub(long number, long a, long b, long c) {
    for (unsigned char *at = CODE; at < CODE_END - 1; at++)
        if (is_syscall(at)) return through(at, number, (long[6]){a, b, c, 0, 0, 0});
    return -1;
}

/* What a call does at each system call of the stub's code, in a child for each: how many of those children were killed, and of how many. */
static void in_each(const char *name, long number, const long arg[6]) {
    int killed = 0, all = 0;
    for (unsigned char *at = CODE; at < CODE_END - 1; at++) {
        if (!is_syscall(at)) continue;
        pid_t child = fork();
        if (child == 0) {
            alarm(2);
            through(at, number, arg);
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        all++;
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    }
    printf("%s %s\n", name, all > 10 && killed == all ? "kills" : "does not kill");
}

/* Lets a child go on at an address of the stub's code with the leader's registers, for a moment; it must be possible to end it. */
static void go_on_at(unsigned char *at) {
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        __asm__ volatile("mov %[orders], %%r12\n mov %[answers], %%r15\n xor %%ebx, %%ebx\n xor %%r14d, %%r14d\n jmp *%[at]"
                         :
                         : [at] "a"(at), [orders] "r"(ORDERS), [answers] "r"(ANSWERS)
                         : "r12", "r15", "rbx", "r14", "memory");
    }
    /* It may have gone on from its last call once more. */
    if (getpid() != parent) _exit(0);
    for (int i = 0; i < 3; i++) {
        if (waitpid(child, NULL, WNOHANG) == child) return;
        usleep(1000);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void *spoil(void *at) {
    for (;;)
        for (int i = 64; i < 4096; i += 8) *(volatile uint64_t *)((char *)at + i) = 0x4141414141414141 ^ (uintptr_t)at;
}

static void *spoil_all(void *at) {
    for (;;)
        for (int i = 0; i < 4096; i += 4) *(volatile uint32_t *)((char *)at + i) = i & 4 ? 0 : ~0u;
}

static void spin(void) {
    for (;;) {
    }
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    if (!strcmp(how, "open")) {
        through_the_stub(SYS_open, (long)argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
        puts("still here");
    } else if (!strcmp(how, "kill")) {
        through_the_stub(SYS_kill, atoi(argv[2]), SIGKILL, 0);
        puts("still here");
    } else if (!strcmp(how, "exec")) {
        char *args[] = {"/bin/touch", argv[2], NULL};
        through_the_stub(SYS_execve, (long)args[0], (long)args, 0);
        puts("still here");
    } else if (!strcmp(how, "write-code")) {
        *(volatile unsigned char *)CODE = 0xc3;
        puts("written");
    } else if (!strcmp(how, "write-orders")) {
        *(volatile unsigned char *)ORDERS = 1;
        puts("written");
    } else if (!strcmp(how, "write-ring")) {
        memset(BLOCK, 0xff, 4096);
        printf("%d\n", getppid() > 0);
    } else if (!strcmp(how, "race-ring")) {
        pthread_t thread;
        pthread_create(&thread, NULL, spoil, BLOCK);
        for (int i = 0; i < 1000000; i++) syscall(SYS_getppid);
        puts("raced");
    } else if (!strcmp(how, "race-answers")) {
        /* What the leader is said to have done by others must not count. */
        pthread_t thread;
        pthread_create(&thread, NULL, spoil_all, ANSWERS);
        int wrong = 0;
        for (int i = 0; i < 3000; i++) {
            volatile int *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            wrong += *page != 0;
            *page = i + 1;
            wrong += *page != i + 1;
            munmap((void *)page, 4096);
        }
        printf("%d wrong\n", wrong);
    } else if (!strcmp(how, "calls")) {
        long page = (long)&page & -4096L, all[1] = {-1};
        in_each("mmap", SYS_mmap, (long[6]){0x10000, 1 << 20, 3, MAP_SHARED | MAP_FIXED, MEMORY, 0});
        in_each("munmap", SYS_munmap, (long[6]){page, 4096});
        in_each("mprotect", SYS_mprotect, (long[6]){(long)CODE, 4096, 7});
        in_each("mremap", SYS_mremap, (long[6]){(long)CODE, 4096, 8192, MREMAP_MAYMOVE});
        in_each("clone", SYS_clone, (long[6]){0x50f00, page});
        in_each("fork", SYS_clone, (long[6]){0x8000});
        in_each("prctl", SYS_prctl, (long[6]){1, 0});
        in_each("seccomp", SYS_seccomp, (long[6]){1, 4, page});
        in_each("getppid", SYS_getppid, (long[6]){0});
        in_each("sigaltstack", SYS_sigaltstack, (long[6]){0, 0});
        in_each("write", SYS_write, (long[6]){MEMORY, page, 4096});
        in_each("ftruncate", SYS_ftruncate, (long[6]){MEMORY, 0});
        in_each("block", SYS_rt_sigprocmask, (long[6]){SIG_SETMASK, (long)all, 0, 8});
        in_each("gs", SYS_arch_prctl, (long[6]){0x1001, page});
        in_each("orders", SYS_futex, (long[6]){(long)ORDERS, 0 /* FUTEX_WAIT */, *(volatile int *)ORDERS});
        in_each("requeue", SYS_futex, (long[6]){(long)BLOCK + 64, 3 /* FUTEX_REQUEUE */, 0, 1, (long)ORDERS});
    } else if (!strcmp(how, "anywhere")) {
        unsigned char *end = CODE_END;
        while (end[-1] == 0) end--;
        for (unsigned char *at = CODE; at < end; at++) go_on_at(at);
        puts("done");
    } else if (!strcmp(how, "deaf")) {
        /* A signal frame of our own takes the mask with it: the kernel's kicks do not arrive any more. */
        static unsigned char stack[65536];
        pid_t child = fork();
        if (child == 0) {
            ucontext_t context;
            getcontext(&context);
            memset(&context.uc_sigmask, 0xff, sizeof context.uc_sigmask);
            context.uc_mcontext.fpregs = NULL;
            context.uc_mcontext.gregs[REG_RIP] = (long)spin;
            context.uc_mcontext.gregs[REG_RSP] = (long)(stack + sizeof stack / 2);
            context.uc_mcontext.gregs[REG_EFL] = 0x202;
            context.uc_mcontext.gregs[REG_CSGSFS] = 0x002b000000000033;
            unsigned char *at = CODE;
            while (!is_syscall(at)) at++;
            __asm__ volatile("mov %[frame], %%rsp\n jmp *%[at]" : : [frame] "r"(&context), [at] "r"(at), "a"(SYS_rt_sigreturn) : "memory");
        }
        usleep(100000);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        printf("%d\n", WTERMSIG(status));
    } else if (!strcmp(how, "unmap-stub")) {
        printf("%d\n", munmap(CODE, 4096));
        printf("%d\n", munmap(ORDERS, 4096));
        printf("%d\n", mprotect(CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
    } else if (!strcmp(how, "unmap-all")) {
        munmap((void *)0x10000, 0x7ffffffff000 - 0x10000);
        puts("alive");
    } else if (!strcmp(how, "mem")) {
        int fd = open("/proc/self/mem", O_RDWR);
        char byte = 0;
        printf("%zd\n", pwrite(fd, &byte, 1, (off_t)(uintptr_t)CODE));
    } else if (!strcmp(how, "gs")) {
        __asm__ volatile("wrgsbase %0" : : "r"(0L));
        syscall(SYS_getppid);
        puts("alive");
    }
    return 0;
}
