// options: --memory 64M
// inside: 0
// Asks for 1 GiB in a machine of 64 MiB: refused with ENOMEM, and the program goes on.
#include "oracle.h"

int main(void) {
    char *all = mmap(NULL, 1 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all != MAP_FAILED || errno != ENOMEM) return 1;
    size_t got = 0;
    for (char *p; (p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED; got++)
        memset(p, 1, 1 << 20);
    printf("%zu MiB\n", got);
    if (got < 16 || got > 64) return 2;
    void *m = malloc(100 << 20);
    if (m) return 3;
    int fd = open("big", O_RDWR | O_CREAT, 0644);
    char block[65536];
    memset(block, 7, sizeof block);
    int n = 0;
    while (n < 4096 && write(fd, block, sizeof block) == sizeof block) n++;
    if (n == 4096) return 4; /* 256 MiB of file in 64 MiB of memory */
    return puts("goes on") < 0;
}
