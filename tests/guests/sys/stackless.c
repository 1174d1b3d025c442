// Unmaps its own stack and goes on without one; then touches it, which kills it as natively.
#include "oracle.h"

char line[] = "still here without a stack\n";
static uintptr_t low, high;

int main(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char text[512];
    while (maps && fgets(text, sizeof text, maps))
        if (strstr(text, "[stack]")) sscanf(text, "%lx-%lx", &low, &high);
    HOLDS(low < (uintptr_t)&maps && (uintptr_t)&maps < high);
    fflush(stdout);
    /* munmap(low, high - low); write(1, line, sizeof line - 1); push */
    __asm__ volatile("mov %0,%%rdi; mov %1,%%rsi; sub %%rdi,%%rsi; mov $11,%%eax; syscall; mov $1,%%edi; lea %2,%%rsi; mov $27,%%edx; mov $1,%%eax; syscall; push %%rax; ud2"
                     : : "m"(low), "m"(high), "m"(line) : "rax", "rdi", "rsi", "rdx", "rcx", "r11", "memory");
    return 0;
}
