// part: 4
// memfd_create and its seals, mremap that leaves the old pages, and private mappings that see the file's later writes.
#include "oracle.h"

enum { P = 4096 };
#define RW (PROT_READ | PROT_WRITE)
#define WRITE(p) (*(volatile char *)(p) = 7)

int main(void) {
    int mfd = OK(syscall(SYS_memfd_create, "m", 3));
    CALL(ftruncate(mfd, P));
    char *mm = PTR(mmap(NULL, P, RW, MAP_SHARED, mfd, 0));
    if (mm == MAP_FAILED) return 1;
    WRITE(mm);
    CALL(fcntl(mfd, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(mm, P);
    CALL(fcntl(mfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    CALL(ftruncate(mfd, 0));
    CALL(ftruncate(mfd, 2 * P));
    CALL(fcntl(mfd, F_GET_SEALS));
    CALL(fcntl(mfd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL));
    CALL(write(mfd, "x", 1));
    CALL(fcntl(mfd, F_ADD_SEALS, F_SEAL_WRITE));
    PTR(mmap(NULL, P, RW, MAP_SHARED, mfd, 0));
    CALL(syscall(SYS_memfd_create, "m", 0x4000));
    CALL(syscall(SYS_memfd_create, BADPTR, 0));
    char *t = PTR(mmap(NULL, P, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), *k;
    t[0] = 'a';
    k = PTR(mremap(t, P, P, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
    if (k != MAP_FAILED) HOLDS(k != t && k[0] == 'a' && t[0] == 0);
    int fd = oracle_file("f", 3 * P);
    char *s = PTR(mmap(NULL, 3 * P, RW, MAP_SHARED, fd, 0)), *p = PTR(mmap(NULL, 3 * P, RW, MAP_PRIVATE, fd, 0));
    s[0] = 'S';
    SHOW(p[0]);
    pwrite(fd, "W", 1, P);
    SHOW(p[P]);
    char *d = PTR(mremap(s, 0, 2 * P, MREMAP_MAYMOVE)); /* duplicates a shared mapping */
    if (d == MAP_FAILED) return 1;
    d[1] = 'D';
    SHOW(s[1]);
    return 0;
}
