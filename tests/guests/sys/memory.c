// mmap and its relatives: contents, protections, splits, faults by number and code.
#include "oracle.h"
#include <setjmp.h>
#include <sys/resource.h>

static sigjmp_buf out;
static volatile int code, sig;
static void *volatile where;
static void onfault(int s, siginfo_t *i, void *c) {
    static int faults;
    (void)c;
    if (++faults > 1000) _exit(9); /* a failed mmap further up makes no endless loop */
    sig = s, code = i->si_code, where = i->si_addr;
    siglongjmp(out, 1);
}
static void probe(const char *what, volatile char *p, int write) {
    if (sigsetjmp(out, 1) == 0) {
        if (write) *p = 7; else (void)*p;
        printf("%s: fine\n", what);
    } else printf("%s: signal %d code %d address %s\n", what, sig, code, where == p ? "right" : "WRONG");
}
#define READ(p) probe("read " #p, (char *)(p), 0)
#define WRITE(p) probe("write " #p, (char *)(p), 1)

enum { P = 4096 };
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static void anonymous(void) {
    SECTION("anonymous");
    char *m = PTR(mmap(NULL, 10 * P, RW, ANON, -1, 0));
    READ(m), WRITE(m + 9 * P), READ(m + 10 * P - 1);
    SHOW(m[5000]);
    PTR(mmap(NULL, 0, RW, ANON, -1, 0));
    PTR(mmap(NULL, P, RW, MAP_ANONYMOUS, -1, 0));
    PTR(mmap(NULL, P, RW, MAP_PRIVATE, 77, 0));
    PTR(mmap(NULL, P, RW, MAP_PRIVATE, -1, 0));
    PTR(mmap((void *)0x123, P, RW, ANON | MAP_FIXED, -1, 0));
    PTR(mmap(NULL, (size_t)-P, RW, ANON, -1, 0));
    PTR(mmap(NULL, 1UL << 62, PROT_NONE, ANON | MAP_NORESERVE, -1, 0));
    PTR(mmap((void *)0x7ffffffff000, P, RW, ANON | MAP_FIXED, -1, 0));
    PTR(mmap(NULL, P, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS | 0x40000000, -1, 0));
    PTR(mmap(NULL, P, PROT_NONE, ANON | MAP_GROWSDOWN | MAP_STACK, -1, 0));
    PTR(mmap(NULL, P + 1, RW, ANON | MAP_POPULATE, -1, 0));
    PTR(mmap(NULL, 1L << 36, PROT_NONE, ANON | MAP_NORESERVE, -1, 0));
    char *f = PTR(mmap(m + 2 * P, 2 * P, PROT_READ, ANON | MAP_FIXED, -1, 0));
    HOLDS(f == m + 2 * P);
    READ(m + 2 * P), WRITE(m + 2 * P), WRITE(m + 4 * P), WRITE(m + 2 * P - 1);
    PTR(mmap(m, P, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    CALL(munmap(m + 5 * P, P));
    READ(m + 5 * P), WRITE(m + 6 * P);
    f = PTR(mmap(m + 5 * P, P, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    HOLDS(f == m + 5 * P);
    f = PTR(mmap(m + 1, P, RW, ANON, -1, 0)); /* a taken hint */
    HOLDS(f != m);
    CALL(munmap(m, 10 * P));
    CALL(munmap(m, 10 * P));
    CALL(munmap(m + 1, P));
    CALL(munmap(m, 0));
    CALL(munmap((void *)0x7ffffffff000, 1UL << 60));
    CALL(munmap(NULL, P)), CALL(munmap(NULL, 16 * P)), CALL(munmap((void *)0x10000, P)), CALL(munmap((void *)0x7fffffffe000, P)), CALL(munmap((void *)0x7fffffffe000, 2 * P));
    READ(m);
    READ(NULL), WRITE(8), READ(16);
    if (sigsetjmp(out, 1) == 0) (void)*(volatile char *)0x8000000000000000UL;
    else printf("non-canonical: signal %d code %d address %d\n", sig, code, where == NULL);
    if (sigsetjmp(out, 1) == 0) (void)*(volatile char *)0xffff888000000000UL;
    else printf("kernel address: signal %d code %d\n", sig, code);
    SECTION("protections");
    m = PTR(mmap(NULL, 8 * P, RW, ANON, -1, 0));
    memset(m, 'x', 8 * P);
    CALL(mprotect(m + P, P, PROT_NONE));
    CALL(mprotect(m + 3 * P, 2 * P, PROT_READ));
    READ(m), READ(m + P), WRITE(m + P), READ(m + 3 * P), WRITE(m + 4 * P), WRITE(m + 5 * P);
    CALL(mprotect(m, 8 * P, RW));
    WRITE(m + P), WRITE(m + 4 * P), SHOW(m[P + 5]);
    CALL(mprotect(m + 1, P, RW));
    CALL(mprotect(m, 0, RW));
    CALL(mprotect(m, P, 0x100));
    CALL(munmap(m + 4 * P, P));
    CALL(mprotect(m, 8 * P, PROT_READ));
    READ(m + 3 * P), WRITE(m + 5 * P);
    CALL(mprotect(m, 4 * P, PROT_READ | PROT_WRITE | PROT_EXEC));
    memcpy(m, "\xb8\x2a\0\0\0\xc3", 6);
    SHOW(((int (*)(void))m)());
    memcpy(m, "\xb8\x2b\0\0\0\xc3", 6);
    SHOW(((int (*)(void))m)());
    CALL(mprotect(m, P, RW));
    if (sigsetjmp(out, 1) == 0) ((int (*)(void))m)();
    else printf("execute: signal %d code %d address %d\n", sig, code, where == m);
    CALL(syscall(SYS_pkey_mprotect, m, P, RW, -1));
}

static void files(void) {
    SECTION("files");
    int fd = oracle_file("f", 3 * P + 100);
    struct stat st;
    char b[10];
    char *s = PTR(mmap(NULL, 6 * P, RW, MAP_SHARED, fd, 0));
    char *p = PTR(mmap(NULL, 4 * P, RW, MAP_PRIVATE, fd, 0));
    char *r = PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, fd, P));
    HOLDS(!memcmp(s, "abcdefgh", 8) && !memcmp(p + 26, "abcd", 4) && r[0] == 'a' + P % 26);
    s[0] = 'S';
    p[1] = 'P';
    SHOW(s[1]);
    s[1] = 'T';
    SHOW(p[1]);
    pread(fd, b, 4, 0);
    printf("%.4s\n", b);
    pwrite(fd, "WW", 2, P);
    SHOW(r[0]), SHOW(s[P]);
    SHOW(s[3 * P + 99]), SHOW(s[3 * P + 100]), SHOW(s[4 * P - 1]);
    WRITE(s + 4 * P - 1), READ(s + 4 * P), WRITE(s + 5 * P), WRITE(r);
    fstat(fd, &st), SHOW(st.st_size);
    CALL(ftruncate(fd, 5 * P));
    READ(s + 4 * P), READ(s + 5 * P);
    SHOW(s[3 * P + 200]);
    CALL(ftruncate(fd, P));
    READ(s), READ(s + P), READ(p);
    CALL(ftruncate(fd, 3 * P));
    SHOW(s[P]), SHOW(p[1]);
    CALL(msync(s, 3 * P, MS_SYNC));
    CALL(msync(s, P, MS_ASYNC | MS_SYNC));
    CALL(msync(s, P, 99));
    CALL(msync(s + 1, P, MS_SYNC));
    CALL(msync(NULL, P, MS_SYNC));
    close(fd);
    s[10] = 'K';
    fd = open("f", O_RDONLY);
    pread(fd, b, 1, 10);
    SHOW(b[0]);
    PTR(mmap(NULL, P, RW, MAP_SHARED, fd, 0));
    PTR(mmap(NULL, P, RW, MAP_PRIVATE, fd, 0));
    PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, open("f", O_WRONLY), 0));
    PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 100));
    PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, open(".", O_RDONLY), 0));
    int pp[2];
    pipe(pp);
    PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, pp[0], 0));
    char *far = PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 1L << 40));
    READ(far);
    CALL(mprotect(r, P, RW));
    char *ro = PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 0));
    CALL(mprotect(ro, P, RW));
    char *z = PTR(mmap(NULL, 2 * P, RW, MAP_PRIVATE, open("/dev/zero", O_RDWR), 0));
    READ(z + 5), WRITE(z);
    SECTION("unlinked and beyond");
    fd = oracle_file("u", 2 * P);
    s = PTR(mmap(NULL, 2 * P, RW, MAP_SHARED, fd, 0));
    unlink("u"), close(fd);
    SHOW(s[P + 3]), WRITE(s + P);
    /* system calls on a mapping beyond the end of the file */
    fd = oracle_file("e", 10);
    s = PTR(mmap(NULL, 2 * P, RW, MAP_SHARED, fd, 0));
    CALL(write(pp[1], s + P, 10));
    CALL(read(fd, s + P, 10));
    CALL(write(pp[1], s, 10));
}

static void moving(void) {
    SECTION("mremap");
    char *m = PTR(mmap(NULL, 4 * P, RW, ANON, -1, 0));
    memset(m, 'a', 4 * P);
    char *n = PTR(mremap(m, 4 * P, 2 * P, 0));
    HOLDS(n == m);
    READ(m + P), READ(m + 2 * P);
    n = PTR(mremap(m, 2 * P, 64 * P, MREMAP_MAYMOVE));
    SHOW(n[2 * P - 1]), SHOW(n[2 * P]), SHOW(n[64 * P - 1]);
    char *t = PTR(mmap(NULL, 8 * P, PROT_NONE, ANON, -1, 0));
    char *k = PTR(mremap(n, 2 * P, 4 * P, MREMAP_MAYMOVE | MREMAP_FIXED, t));
    HOLDS(k == t);
    SHOW(t[0]), SHOW(t[3 * P]), READ(n), READ(n + 2 * P), READ(t + 4 * P);
    PTR(mremap(n + 1, P, P, 0));
    PTR(mremap(n + 2 * P, P, 0, 0));
    PTR(mremap(n, P, 2 * P, 0));
    PTR(mremap(t, P, 100 * P, 0));
    PTR(mremap(t, P, P, MREMAP_FIXED, n));
    PTR(mremap(t, P, P, 99));
    PTR(mremap(t, 2 * P, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, t + P));
    PTR(mremap((void *)P, P, 2 * P, MREMAP_MAYMOVE));
    int fd = oracle_file("g", 4 * P);
    char *s = PTR(mmap(NULL, P, RW, MAP_SHARED, fd, 0));
    s[0] = 'Q';
    s = PTR(mremap(s, P, 4 * P, MREMAP_MAYMOVE));
    SHOW(s[0]), SHOW(s[3 * P]);
    SECTION("madvise, mincore, mlock");
    m = PTR(mmap(NULL, 8 * P, RW, ANON, -1, 0));
    memset(m, 'b', 8 * P);
    CALL(madvise(m + P, 2 * P, MADV_DONTNEED));
    SHOW(m[P]), SHOW(m[2 * P + 7]), SHOW(m[0]), SHOW(m[3 * P]);
    char *pf = PTR(mmap(NULL, P, RW, MAP_PRIVATE, fd, P));
    int original = pf[0];
    pf[0] = 'z';
    CALL(madvise(pf, P, MADV_DONTNEED));
    HOLDS(pf[0] == original);
    CALL(madvise(s, P, MADV_DONTNEED));
    SHOW(s[0]);
    CALL(madvise(m, 8 * P, MADV_WILLNEED));
    CALL(madvise(m, 8 * P, MADV_SEQUENTIAL));
    CALL(madvise(m, 8 * P, MADV_FREE));
    CALL(madvise(m + 1, P, MADV_DONTNEED));
    CALL(madvise(m, 0, MADV_DONTNEED));
    CALL(madvise(m, P, 9999));
    munmap(m + 4 * P, P);
    CALL(madvise(m, 8 * P, MADV_DONTNEED));
    SHOW(m[7 * P]);
    unsigned char v[8];
    m = PTR(mmap(NULL, 4 * P, RW, ANON | MAP_POPULATE, -1, 0));
    CALL(mincore(m, 4 * P, v));
    SHOW(v[0] & 1), SHOW(v[3] & 1);
    CALL(mincore(m + 1, P, v));
    CALL(mincore(m, P, BADPTR));
    munmap(m, P);
    CALL(mincore(m, P, v));
    CALL(mlock(m + P, P));
    CALL(munlock(m + P, P));
    CALL(mlock(m, P));
    CALL(syscall(SYS_mlock2, m + P, P, 99));
    CALL(mlockall(0));
    CALL(munlockall());
}

/* Reading a file by way of a mapping is an access, and where a mapping could go is asked before what the file has. */
static void mapped_files(void) {
    SECTION("mapped files");
    int fd = oracle_file("h", P);
    struct stat before, after;
    fstat(fd, &before);
    msleep(20);
    char *m = PTR(mmap(NULL, P, RW, MAP_SHARED, fd, 0));
    fstat(fd, &after);
    HOLDS(after.st_atim.tv_sec > before.st_atim.tv_sec || after.st_atim.tv_nsec != before.st_atim.tv_nsec);
    HOLDS(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
    PTR(mmap(NULL, (size_t)-P, RW, MAP_SHARED, fd, 0));
    PTR(mmap(m, (size_t)-P, RW, MAP_SHARED | MAP_FIXED, fd, 0));
    PTR(mmap(NULL, P, RW, MAP_SHARED, fd, LONG_MAX - P + 1));
    PTR(mmap(NULL, (size_t)-P, RW, MAP_SHARED, 77, 0));
}

/* A process may have many mappings, but not any number; one that has them all goes on. */
static void crowd(void) {
    SECTION("many mappings");
    int fd = oracle_file("i", P);
    static char *maps[100000];
    int n = 0;
    while (n < 100000 && (maps[n] = mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 0)) != MAP_FAILED) n++;
    HOLDS(errno == ENOMEM);
    HOLDS(n > 50000 && n < 66000);
    READ(maps[0]), READ(maps[n - 1]);
    static char untouched[64 * P];
    WRITE(untouched + 32 * P);
    for (int i = 0; i < n; i += 2) munmap(maps[i], P);
    maps[0] = PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 0));
    READ(maps[0]);
    for (int i = 1; i < n; i += 2) munmap(maps[i], P);
}

static void other_pages(void) {
    SECTION("remap_file_pages");
    int fd = oracle_file("pages", 8 * P);
    for (long i = 0; i < 8; i++) pwrite(fd, (char[]){'0' + i}, 1, i * P);
    char *m = PTR(mmap(NULL, 4 * P, RW, MAP_SHARED, fd, 0));
    CALL(remap_file_pages(m, P, 0, 6, 0)), SHOW(m[0]), SHOW(m[P]);
    CALL(remap_file_pages(m + P, 2 * P, 0, 1, 0)), CALL(remap_file_pages(m + 2 * P, P, 0, 2, MAP_NONBLOCK)), SHOW(m[2 * P]), SHOW(m[3 * P]);
    m[0] = 'x', SHOW(*(char *)PTR(mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 6 * P)));
    CALL(remap_file_pages(m, 4 * P, 0, 3, 0)), SHOW(m[0]), SHOW(m[3 * P]);
    CALL(remap_file_pages(m + 1, 2 * P - 1, 0, 5, 0)), SHOW(m[0]), SHOW(m[P]);
    CALL(remap_file_pages(m, 5 * P, 0, 0, 0)), CALL(remap_file_pages(m, P, PROT_READ, 0, 0)), CALL(remap_file_pages(m, 0, 0, 0, 0)), CALL(remap_file_pages(m, P - 1, 0, 0, 0)), CALL(remap_file_pages(NULL, P, 0, 0, 0)), CALL(remap_file_pages(m, P, 0, -1, 0));
    CALL(mprotect(m + P, P, PROT_READ)), CALL(remap_file_pages(m, 4 * P, 0, 0, 0)), CALL(remap_file_pages(m + P, P, 0, 7, 0)), SHOW(m[P]), WRITE(m + P);
    char *private = mmap(NULL, 2 * P, RW, MAP_PRIVATE, fd, 0), *memory = mmap(NULL, 4 * P, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CALL(remap_file_pages(private, P, 0, 1, 0)), memory[2 * P] = 'm', CALL(remap_file_pages(memory, P, 0, 2, 0)), SHOW(memory[0]), memory[0] = 'n', SHOW(memory[2 * P]);
    munmap(m, 4 * P), munmap(private, 2 * P), munmap(memory, 4 * P), close(fd);
}
static void program_break(void) {
    SECTION("brk");
    char *start = (char *)syscall(SYS_brk, 0);
    char *end = (char *)syscall(SYS_brk, start + 10 * P);
    SHOW(end - start);
    SHOW(start[0]), WRITE(end - 1);
    READ((char *)(((uintptr_t)end + P - 1) & -P));
    start[5 * P] = 'x';
    SHOW((char *)syscall(SYS_brk, start + P) - start);
    READ(start + 5 * P + P);
    SHOW((char *)syscall(SYS_brk, start + 10 * P) - start);
    SHOW(start[5 * P]);
    SHOW((char *)syscall(SYS_brk, 1) - start);
    SHOW((char *)syscall(SYS_brk, -1L) - start);
    struct rlimit lim = {1 << 20, RLIM_INFINITY};
    CALL(setrlimit(RLIMIT_DATA, &lim));
    SHOW((char *)syscall(SYS_brk, start + (64 << 20)) - start);
    lim.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_DATA, &lim);
    lim.rlim_cur = 200 << 20;
    CALL(setrlimit(RLIMIT_AS, &lim));
    PTR(mmap(NULL, 1 << 30, RW, ANON, -1, 0));
    OK(malloc(100) != NULL);
}

int main(void) {
    struct sigaction sa = {.sa_sigaction = onfault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    anonymous();
    files();
    moving();
    mapped_files();
    crowd();
    other_pages();
    program_break();
    return 0;
}
