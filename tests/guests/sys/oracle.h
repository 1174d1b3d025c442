/* What every system-call program prints with: the expression as written, its result, and errno by name.
 *
 * The programs run natively and inside, and the two outputs are compared, so nothing that differs from run to run may
 * be printed: no addresses, ids of processes, times. */
#ifndef ORACLE_H
#define ORACLE_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Wrong arguments are the point of these programs. */
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Warray-bounds"
#pragma GCC diagnostic ignored "-Wunused-result"

#define BADPTR ((void *)1)

static inline const char *oracle_errname(int e) {
    const char *n = strerrorname_np(e);
    return n ? n : "E?";
}
static inline long oracle_report(const char *expr, long r, int e, int hide) {
    if (r < 0 && r >= -4095) printf("%s = %ld %s\n", expr, r, oracle_errname(e));
    else if (hide) printf("%s = ok\n", expr);
    else printf("%s = %ld\n", expr, r);
    return r;
}
/* Prints the result or errno. */
#define CALL(e) ({ errno = 0; long r_ = (long)(e); int e_ = errno; oracle_report(#e, r_, e_, 0); })
/* The same, for a result that differs from run to run: only whether it is an error. */
#define OK(e) ({ errno = 0; long r_ = (long)(e); int e_ = errno; oracle_report(#e, r_, e_, 1); })
/* For mmap and the like: prints ok or errno, gives the pointer. */
#define PTR(e) ((void *)OK(e))
/* Prints a value. */
#define SHOW(e) printf("%s: %lld\n", #e, (long long)(e))
/* Prints whether a condition holds. */
#define HOLDS(e) printf("%s: %s\n", #e, (e) ? "yes" : "NO")
#define SECTION(s) printf("== %s\n", s)

/* Nothing that was inherited may show: neither descriptors nor the mask of modes. */
__attribute__((constructor)) static void oracle_start(void) {
    setvbuf(stdout, NULL, _IOLBF, 4096);
    syscall(SYS_close_range, 3, ~0U, 0);
    umask(022);
}

/* A new file with `len` bytes: a, b, c ... */
static inline int oracle_file(const char *name, size_t len) {
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    char buf[4096];
    for (size_t i = 0; i < len;) {
        size_t n = len - i < sizeof buf ? len - i : sizeof buf;
        for (size_t k = 0; k < n; k++) buf[k] = 'a' + (i + k) % 26;
        if (write(fd, buf, n) != (ssize_t)n) abort();
        i += n;
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}
static inline void msleep(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) && errno == EINTR) {}
}
static inline int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}
#endif
