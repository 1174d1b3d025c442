/* Asks for its pid by a raw `syscall` instruction in a page that it made at run time, and through libc. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void) {
    static const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3}; /* mov $39,%eax; syscall; ret */
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return 1;
    memcpy(page, code, sizeof code);
    int (*ask)(void) = (int (*)(void))page;
    int pid = 0;
    for (int i = 0; i < 1000; i++) pid = ask();
    printf("%d %d\n", pid, getpid());
    return 0;
}
