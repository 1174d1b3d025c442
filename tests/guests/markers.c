/* Makes system calls with marks in their arguments: through libc, by an inline `syscall`, from a page written at run
 * time, and many times over, so that rewritten sites are used as well. Prints "done". */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static long raw(long nr, long a, long b, long c) {
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
int main(void) {
    /* mov rax,rdi; mov rdi,rsi; mov rsi,rdx; syscall; ret */
    static const unsigned char code[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x0f, 0x05, 0xc3};
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return 1;
    memcpy(page, code, sizeof code);
    if (mprotect(page, 4096, PROT_READ | PROT_EXEC)) return 1;
    long (*made)(long, long, long) = (long (*)(long, long, long))page;
    for (int i = 0; i < 100; i++) {
        syscall(SYS_getpriority, 0x5ca1ab1e, 0);
        raw(SYS_fchmod, 0xdeadbeef, 0644, 0);
        made(SYS_ppoll, 0x5ca1ab1e, 0x7fffffff);
    }
    puts("done");
    return 0;
}
