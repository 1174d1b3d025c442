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
#include <unistd.h>
#include <pthread.h>

/* Where the stub's code and the memory that it shares with the kernel are. */
#define CODE ((unsigned char *)0x5f0000000000)
#define CONTROL ((unsigned char *)0x5f1000000000)

/* Jumps to a system call of the stub's code with the registers of a call of our own. */
static long through_the_stub(long number, long a, long b, long c) {
    for (unsigned char *at = CODE; at < CODE + 4000; at++) {
        if (at[0] == 0x0f && at[1] == 0x05) {
            long result = number;
            __asm__ volatile("jmp *%[at]"
                             : "+a"(result)
                             : [at] "r"(at), "D"(a), "S"(b), "d"(c)
                             : "rcx", "r11", "memory");
            return result;
        }
    }
    return -1;
}

static void *spoil(void *arg) {
    for (;;)
        for (int i = 64; i < 4096; i += 8) *(volatile uint64_t *)(CONTROL + i) = 0x4141414141414141 ^ (uintptr_t)arg;
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
    } else if (!strcmp(how, "write-ring")) {
        memset(CONTROL, 0xff, 4096);
        printf("%d\n", getppid() > 0);
    } else if (!strcmp(how, "race-ring")) {
        pthread_t thread;
        pthread_create(&thread, NULL, spoil, 0);
        for (int i = 0; i < 1000000; i++) syscall(SYS_getppid);
        puts("raced");
    } else if (!strcmp(how, "unmap-stub")) {
        printf("%d\n", munmap(CODE, 4096));
        printf("%d\n", munmap(CONTROL, 4096));
        printf("%d\n", mprotect(CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
    } else if (!strcmp(how, "unmap-all")) {
        munmap((void *)0x10000, 0x4fffffff0000);
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
