// Large mappings and addresses all over the lower half, as sanitizers, garbage collectors and databases want them.
#include "oracle.h"
#include <pthread.h>
#include <sys/wait.h>

#define TIB (1L << 40)
#define RESERVED (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static void *map_at(unsigned long at, unsigned long len, int flags) {
    return mmap((void *)at, len, PROT_READ | PROT_WRITE, RESERVED | flags, -1, 0);
}

/* Writes at both ends, and sees it. */
static void touch(volatile char *p, unsigned long len) {
    p[0] = 1, p[len - 1] = 2;
    printf("%d %d\n", p[0], p[len - 1]);
}

/* Where it is free to go. */
static void large(unsigned long len) {
    void *p = map_at(0, len, 0);
    int failed = p == MAP_FAILED;
    SHOW(failed);
    if (failed) return;
    touch(p, len);
    CALL(munmap(p, len));
}

static void fixed(unsigned long at, unsigned long len) {
    void *p = map_at(at, len, MAP_FIXED_NOREPLACE);
    printf("%lx: %s\n", at, p == (void *)at ? "there" : p == MAP_FAILED ? oracle_errname(errno) : "elsewhere");
    if (p == MAP_FAILED) return;
    touch(p, len);
    p = map_at(at, len, MAP_FIXED_NOREPLACE);
    SHOW(p == MAP_FAILED && errno == EEXIST);
}

static void *in_thread(void *arg) {
    char *p = arg;
    p[1]++;
    return NULL;
}

static volatile int handled;
static void handler(int signal) { handled = signal; }

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    SECTION("large");
    large(600L << 30), large(8 * TIB), large(8 * TIB), large(100 * TIB), large(127 * TIB + TIB / 2);
    for (int i = 0; i < 100; i++) {
        void *p = map_at(0, 2 * TIB, 0);
        if (p == MAP_FAILED || munmap(p, 2 * TIB)) printf("%d: %s\n", i, oracle_errname(errno));
    }
    SECTION("fixed");
    fixed(0x10007fff8000, 1 << 20), fixed(0x2008fff7000, TIB), fixed(0x600000000000, 4 * TIB), fixed(0x7b0000000000, 1 << 20);
    fixed(0x5f0000000000 - (1L << 32), 1 << 20), fixed(1L << 32, 1 << 20);
    fixed(0x7ffffffff000, 4096), fixed(0x800000000000, 4096), fixed(0xffff800000000000, 4096), fixed(0x7fffffffe000, 8192);
    SECTION("afterwards");
    char *p = (void *)0x600000000000;
    signal(SIGUSR1, handler), raise(SIGUSR1), SHOW(handled == SIGUSR1);
    pthread_t thread;
    pthread_create(&thread, NULL, in_thread, p), pthread_join(thread, NULL), SHOW(p[1]);
    int child = fork();
    if (!child) p[0] = 9, printf("%d %d\n", p[0], p[4 * TIB - 1]), _exit(7);
    int status;
    waitpid(child, &status, 0), SHOW(WEXITSTATUS(status)), SHOW(p[0]);
    CALL(mprotect(p, 4096, PROT_READ)), CALL(read(open("/dev/zero", O_RDONLY), p, 1)), CALL(munmap(p, 4 * TIB)), CALL(mincore(p, 4096, (void *)&status));
    double x = 1.5;
    for (int i = 0; i < 1000; i++) x = x * 1.0001 + getppid() * 0.0;
    printf("%.3f\n", x);
    return 0;
}
