/* `fuzz SEED COUNT`: random system calls with random arguments, from two threads. Only for inside: natively it would do
 * what root may do. A timer interrupts what blocks; that the program dies of what it did is fine. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static char *arena, *hole;
static __thread uint64_t state;
static long count;

static uint64_t next(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state * 0x2545f4914f6cdd1d;
}
static void onsignal(int s) { (void)s; }
/* What took away memory that this program needs is undone, and the calls go on. */
static __thread sigjmp_buf again;
static void onfault(int s) { siglongjmp(again, s); }
static void restore(void) {
    struct sigaction sa = {.sa_handler = onsignal}, fault = {.sa_handler = onfault, .sa_flags = SA_NODEFER};
    struct itimerval it = {{0, 3000}, {0, 3000}};
    sigset_t none;
    for (int s = 1; s < 32; s++) sigaction(s, s == SIGSEGV || s == SIGILL || s == SIGBUS || s == SIGFPE || s == SIGTRAP ? &fault : &sa, NULL);
    sigemptyset(&none), pthread_sigmask(SIG_SETMASK, &none, NULL);
    setitimer(ITIMER_REAL, &it, NULL);
    mmap(arena, 65536 + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
/* Calls that end, stop or derail the thread which makes them: rarely, or nothing else would be tried. */
static int derails(long nr) {
    static const short rare[] = {SYS_pause, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_alarm, SYS_setitimer, SYS_arch_prctl, SYS_clone, SYS_clone3, SYS_fork, SYS_vfork, SYS_rt_sigprocmask, SYS_sigaltstack, SYS_setrlimit, SYS_prlimit64};
    for (unsigned i = 0; i < sizeof rare / sizeof *rare; i++) if (rare[i] == nr) return 1;
    return 0;
}

static long argument(void) {
    static const long edges[] = {0, 1, -1, 2, 7, 8, 4095, 4096, 4097, 65536, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 0x7ffffffff000, 0x500000000000, -4096, 0xffffffff, 1L << 32};
    switch (next() % 10) {
    case 0: return edges[next() % (sizeof edges / sizeof *edges)];
    case 1: return next() % 20;
    case 2: return (long)(hole + next() % 8192);
    case 3: return 1L << (next() % 64);
    case 4: return next() >> (next() % 64);
    case 5: return -(long)(next() % 300);
    case 6: return (long)(arena + 65536 - next() % 64);
    default: return (long)(arena + next() % 65536 / (1 + next() % 64) * 8 % 65536);
    }
}
static void *calls(void *seed) {
    state = (uint64_t)seed * 0x9e3779b97f4a7c15 | 1;
    volatile long made = 0;
    if (sigsetjmp(again, 1)) restore();
    while (made < count) {
        long i = made++;
        if (i % 16 == 0) { /* plausible contents: numbers, names, pointers into the arena itself */
            uint64_t *w = (uint64_t *)(arena + next() % 8000 * 8);
            *w = next() % 3 ? (uint64_t)argument() : 0x0061002f706d742f;
            if (next() % 8 == 0) strcpy((char *)w, next() % 2 ? "/tmp/fuzz" : "/proc/self/status");
        }
        long nr = next() % 64 ? (long)(next() % 470) : argument();
        if (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn) continue;
        if (derails(nr) && next() % 64) continue;
        if ((nr == SYS_kill || nr == SYS_tkill || nr == SYS_tgkill || nr == SYS_rt_sigqueueinfo || nr == SYS_rt_tgsigqueueinfo) && next() % 50) continue;
        if ((nr == SYS_munmap || nr == SYS_mmap || nr == SYS_mprotect || nr == SYS_mremap || nr == SYS_brk) && next() % 4) {
            long at = (long)(arena + next() % 16 * 4096);
            syscall(nr, at, next() % 32768, nr == SYS_mmap ? 3 : next() % 8, nr == SYS_mmap ? 0x32 : next() % 8, argument(), argument());
            mmap(arena, 65536 + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            continue;
        }
        syscall(nr, argument(), argument(), argument(), argument(), argument(), argument());
        if (i % 16 == 0) restore();
        if (i % 64 == 0) open("/tmp/fuzz", O_RDWR | O_CREAT, 0644);
    }
    return NULL;
}
int main(int argc, char **argv) {
    if (argc < 3) return 2;
    long seed = atol(argv[1]);
    count = atol(argv[2]);
    arena = mmap(NULL, 65536 + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    hole = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(hole, 8192);
    restore();
    pthread_t other;
    pthread_create(&other, NULL, calls, (void *)(seed * 2 + 1));
    calls((void *)(seed * 2));
    _exit(0);
}
