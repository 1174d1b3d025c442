// mlock and its relatives: what is locked, how much may be, and what asks for it.
#include "oracle.h"
#include <sys/resource.h>
#include <sys/wait.h>

enum { P = 4096 };
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED (MAP_SHARED | MAP_ANONYMOUS)

/* KiB locked, as /proc has it. */
static long locked(void) {
    static char text[8192];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    char *line = strstr(text, "VmLck:");
    return line ? atol(line + 6) : -1;
}

static void ranges(void) {
    SECTION("ranges");
    char *m = PTR(mmap(NULL, 8 * P, RW, ANON, -1, 0));
    SHOW(locked());
    CALL(mlock(m + 1, P)); /* two pages */
    SHOW(locked());
    CALL(mlock(m, 3 * P));
    SHOW(locked());
    CALL(munlock(m + P, P));
    SHOW(locked());
    CALL(syscall(SYS_mlock2, m + 4 * P, P, MLOCK_ONFAULT));
    SHOW(locked());
    CALL(munmap(m + 4 * P, P));
    SHOW(locked());
    CALL(mlock(m + 3 * P, 3 * P)); /* to the hole */
    SHOW(locked());
    CALL(munlock(m, 8 * P));
    SHOW(locked());
    CALL(munlock(m + 5 * P, 3 * P));
    CALL(mlock(m, 0));
    CALL(mlock((void *)-P, 2 * P));
    CALL(mprotect(m, P, PROT_NONE));
    CALL(mlock(m, P));
    SHOW(locked());
    CALL(munmap(m, 8 * P));
    SHOW(locked());
    m = PTR(mmap(NULL, 2 * P, RW, ANON | MAP_LOCKED, -1, 0));
    unsigned char there[2];
    CALL(mincore(m, 2 * P, there));
    SHOW(there[0] & there[1] & 1);
    SHOW(locked());
    m = PTR(mremap(m, 2 * P, 4 * P, MREMAP_MAYMOVE));
    SHOW(locked());
    munmap(m, 4 * P);
}

static void invalidation(void) {
    SECTION("msync");
    char *m = PTR(mmap(NULL, 3 * P, RW, SHARED, -1, 0));
    CALL(msync(m, P, MS_SYNC | MS_INVALIDATE));
    CALL(mlock(m + P, P));
    CALL(msync(m, 3 * P, MS_SYNC | MS_INVALIDATE));
    CALL(msync(m, 3 * P, MS_SYNC));
    CALL(msync(m, P, MS_ASYNC | MS_INVALIDATE));
    CALL(munmap(m, P));
    CALL(msync(m, 3 * P, MS_INVALIDATE));
    CALL(msync(m, P, MS_INVALIDATE));
    munmap(m, 3 * P);
}

static void everything(void) {
    SECTION("mlockall");
    char *old = PTR(mmap(NULL, 4 * P, RW, SHARED, -1, 0));
    CALL(mlockall(MCL_FUTURE));
    long before = locked();
    char *new = PTR(mmap(NULL, 4 * P, RW, ANON, -1, 0));
    SHOW(locked() - before);
    unsigned char there[4];
    CALL(mincore(new, 4 * P, there));
    SHOW(there[0] & there[3] & 1);
    CALL(msync(old, P, MS_INVALIDATE));
    CALL(mlockall(MCL_CURRENT));
    CALL(msync(old, P, MS_INVALIDATE));
    HOLDS(locked() > 100);
    char *later = PTR(mmap(NULL, P, RW, SHARED, -1, 0));
    CALL(msync(later, P, MS_INVALIDATE));
    pid_t child = fork();
    if (child == 0) {
        SHOW(locked());
        CALL(msync(old, P, MS_INVALIDATE));
        _exit(0);
    }
    waitpid(child, NULL, 0);
    CALL(munlockall());
    SHOW(locked());
    CALL(msync(old, P, MS_INVALIDATE));
    CALL(mlockall(MCL_ONFAULT));
    CALL(mlockall(MCL_ONFAULT | MCL_FUTURE));
    new = PTR(mmap(NULL, 4 * P, RW, SHARED, -1, 0));
    CALL(msync(new, P, MS_INVALIDATE));
    CALL(munlockall());
}

/* What a process without privilege may. */
static void limits(void) {
    SECTION("limits");
    char *m = PTR(mmap(NULL, 32 * P, RW, ANON, -1, 0));
    struct rlimit limit = {16 * P, 16 * P};
    CALL(setrlimit(RLIMIT_MEMLOCK, &limit));
    if (setresuid(65534, 65534, 65534) != 0) abort();
    CALL(mlock(m, 17 * P));
    CALL(mlock(m, 10 * P));
    CALL(mlock(m, 10 * P)); /* again: no more than before */
    CALL(mlock(m + 10 * P, 7 * P));
    CALL(mlock(m + 8 * P, 8 * P));
    CALL(mlock(m + 16 * P, 1));
    PTR(mmap(NULL, P, RW, ANON | MAP_LOCKED, -1, 0));
    CALL(mlockall(MCL_CURRENT));
    CALL(munlock(m, 16 * P));
    CALL(mlockall(MCL_FUTURE));
    PTR(mmap(NULL, 17 * P, RW, ANON, -1, 0));
    char *fits = PTR(mmap(NULL, 8 * P, RW, ANON, -1, 0));
    PTR(mmap(NULL, 9 * P, RW, ANON, -1, 0));
    PTR(mremap(fits, 8 * P, 17 * P, MREMAP_MAYMOVE));
    long end = syscall(SYS_brk, 0);
    HOLDS(syscall(SYS_brk, end + 20 * P) == end);
    CALL(munlockall());
    limit = (struct rlimit){0, 0};
    CALL(setrlimit(RLIMIT_MEMLOCK, &limit));
    CALL(mlock(m, P));
    CALL(mlockall(MCL_CURRENT));
    CALL(munlock(m, P));
    PTR(mmap(NULL, P, RW, ANON | MAP_LOCKED, -1, 0));
}

int main(void) {
    ranges();
    invalidation();
    everything();
    limits();
    return 0;
}
