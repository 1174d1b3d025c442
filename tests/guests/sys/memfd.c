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
#define KEEP(old, len, new, flags, to) (void *)syscall(SYS_mremap, old, len, new, MREMAP_MAYMOVE | MREMAP_DONTUNMAP | flags, to)
    k = PTR(KEEP(t, P, P, 0, 0));
    if (k != MAP_FAILED) HOLDS(k != t && k[0] == 'a' && t[0] == 0);
    t[0] = 'b';
    PTR(KEEP(t, P, P, MREMAP_FIXED, k)), SHOW(k[0]), SHOW(t[0]);
    PTR(KEEP(t, P, 2 * P, 0, 0)), PTR(KEEP(t, P, P, MREMAP_FIXED, t)), PTR(KEEP(t, P, P, MREMAP_FIXED, k + 1)), PTR(KEEP(t, P, P, 0, 1));
    PTR((void *)syscall(SYS_mremap, t, P, P, MREMAP_DONTUNMAP, 0)), PTR(KEEP((char *)64, P, P, 0, 0)), PTR(KEEP((char *)(1 << 16), P, P, 0, 0));
    PTR(mremap(t, 0, P, MREMAP_MAYMOVE)), PTR(mremap(t, 0, P, 0)), PTR(mremap((char *)(1 << 16), 0, P, MREMAP_MAYMOVE));
    t[0] = 'c', mprotect(t, P, PROT_READ), t = PTR(KEEP(t, P, P, 0, 0)), SHOW(t[0]);
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
    PTR(mremap(s, 0, P, 0));
    char *e = PTR(KEEP(s, 3 * P, 3 * P, 0, 0));
    e[2] = 'E', SHOW(s[2]), SHOW(d[2]), SHOW(s[P]);
    char *a = mmap(NULL, 2 * P, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *b;
    a[P] = 'A', b = PTR(mremap(a + P, 0, P, MREMAP_MAYMOVE)), SHOW(b[0]), munmap(a, 2 * P), SHOW(b[0]);
    p[2 * P] = 'P', pwrite(fd, "zz", 2, 2 * P), SHOW(p[2 * P]), SHOW(p[2 * P + 1]), SHOW(p[0]), pwrite(fd, "y", 1, 0), SHOW(p[0]);

    SECTION("seals");
    mfd = OK(syscall(SYS_memfd_create, "n", 3)), CALL(ftruncate(mfd, 2 * P));
    int r = open("/proc/self/fd/3", O_RDONLY);
    char path[40];
    sprintf(path, "/proc/self/fd/%d", mfd), close(r), r = open(path, O_RDONLY);
    char *w = PTR(mmap(NULL, P, RW, MAP_SHARED, mfd, 0)), *ro = PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, r, 0)), *c = PTR(mmap(NULL, P, RW, MAP_PRIVATE, mfd, 0));
    CALL(fcntl(mfd, F_ADD_SEALS, 0x10)); /* F_SEAL_FUTURE_WRITE */
    w[0] = 'w', SHOW(ro[0]);
    CALL(write(mfd, "x", 1)), PTR(mmap(NULL, P, RW, MAP_SHARED, mfd, 0)), PTR(mmap(NULL, P, RW, MAP_PRIVATE, mfd, 0));
    char *q = PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, mfd, 0));
    CALL(mprotect(q, P, RW)), CALL(fcntl(mfd, F_GET_SEALS)), CALL(fcntl(mfd, F_ADD_SEALS, F_SEAL_WRITE));
    mprotect(w, P, PROT_READ), CALL(fcntl(mfd, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(w, P), CALL(fcntl(mfd, F_ADD_SEALS, F_SEAL_WRITE)), c[0] = 'c', SHOW(q[0]), SHOW(c[0]);
    PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, r, 0)), CALL(fcntl(r, F_ADD_SEALS, F_SEAL_WRITE)), CALL(fcntl(mfd, F_ADD_SEALS, 0x1000));
    CALL(fallocate(mfd, 3, 0, P)), CALL(ftruncate(mfd, P)), CALL(ftruncate(mfd, 2 * P));
    return 0;
}
