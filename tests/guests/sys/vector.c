// The vector and floating-point state across system calls, preemption and signals.
#include "oracle.h"
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <sys/time.h>

static volatile int ticks;
__attribute__((target("avx512f"))) static void smash512(void) {
    __asm__ volatile("vpternlogd $0xff,%%zmm0,%%zmm0,%%zmm0; vmovdqa64 %%zmm0,%%zmm31; vmovdqa64 %%zmm0,%%zmm16; kxnorw %%k1,%%k1,%%k1" ::: "xmm0", "xmm31", "xmm16", "k1");
}
static int has512, has256;
static void ontick(int s) {
    (void)s;
    ticks++;
    __asm__ volatile("fninit; fld1; fld1; fld1" ::: "st");
    __asm__ volatile("pcmpeqd %%xmm0,%%xmm0; movdqa %%xmm0,%%xmm1; movdqa %%xmm0,%%xmm7; movdqa %%xmm0,%%xmm15" ::: "xmm0", "xmm1", "xmm7", "xmm15");
    int odd = 0x7f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(odd));
    if (has512) smash512();
    getppid();
}

/* Fills all registers, makes one call (or spins), and compares: 0 if all are as before. */
static long sse(long nr, long arg, int spin) {
    uint8_t in[16][16] __attribute__((aligned(64))), out[16][16] __attribute__((aligned(64)));
    for (int i = 0; i < 256; i++) ((uint8_t *)in)[i] = i * 7 + nr;
    long goal = ticks + spin, r = nr;
    __asm__ volatile(
        "movdqa (%[in]),%%xmm0; movdqa 16(%[in]),%%xmm1; movdqa 32(%[in]),%%xmm2; movdqa 48(%[in]),%%xmm3; movdqa 64(%[in]),%%xmm4; movdqa 80(%[in]),%%xmm5; movdqa 96(%[in]),%%xmm6; movdqa 112(%[in]),%%xmm7\n"
        "movdqa 128(%[in]),%%xmm8; movdqa 144(%[in]),%%xmm9; movdqa 160(%[in]),%%xmm10; movdqa 176(%[in]),%%xmm11; movdqa 192(%[in]),%%xmm12; movdqa 208(%[in]),%%xmm13; movdqa 224(%[in]),%%xmm14; movdqa 240(%[in]),%%xmm15\n"
        "1: syscall; mov %[nr],%%rax; mov ticks(%%rip),%%r10d; cmp %%r10d,%[goal]; jg 1b\n"
        "movdqa %%xmm0,(%[out]); movdqa %%xmm1,16(%[out]); movdqa %%xmm2,32(%[out]); movdqa %%xmm3,48(%[out]); movdqa %%xmm4,64(%[out]); movdqa %%xmm5,80(%[out]); movdqa %%xmm6,96(%[out]); movdqa %%xmm7,112(%[out])\n"
        "movdqa %%xmm8,128(%[out]); movdqa %%xmm9,144(%[out]); movdqa %%xmm10,160(%[out]); movdqa %%xmm11,176(%[out]); movdqa %%xmm12,192(%[out]); movdqa %%xmm13,208(%[out]); movdqa %%xmm14,224(%[out]); movdqa %%xmm15,240(%[out])\n"
        : "+a"(r) : [in] "r"(in), [out] "r"(out), [nr] "r"(nr), "D"(arg), "S"(0L), "d"(0L), [goal] "r"((int)goal)
        : "rcx", "r11", "r10", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    return memcmp(in, out, sizeof in) != 0;
}
__attribute__((target("avx"))) static long avx(int spin) {
    uint8_t in[64] __attribute__((aligned(64))), out[64] __attribute__((aligned(64)));
    for (int i = 0; i < 64; i++) in[i] = i * 5 + 1;
    long goal = ticks + spin;
    __asm__ volatile("vmovdqa (%0),%%ymm3; vmovdqa 32(%0),%%ymm14; 1: mov $110,%%eax; syscall; mov ticks(%%rip),%%r10d; cmp %%r10d,%2; jg 1b; vmovdqa %%ymm3,(%1); vmovdqa %%ymm14,32(%1); vzeroupper"
                     : : "r"(in), "r"(out), "r"((int)goal) : "rax", "rcx", "r11", "r10", "memory", "xmm3", "xmm14");
    return memcmp(in, out, 64) != 0;
}
__attribute__((target("avx512f"))) static long avx512(int spin) {
    uint8_t in[192] __attribute__((aligned(64))), out[192] __attribute__((aligned(64)));
    uint16_t k = 0;
    for (int i = 0; i < 192; i++) in[i] = i * 3 + 1;
    long goal = ticks + spin;
    __asm__ volatile("vmovdqa64 (%1),%%zmm5; vmovdqa64 64(%1),%%zmm16; vmovdqa64 128(%1),%%zmm31; mov $0x5a5a,%%eax; kmovw %%eax,%%k1\n"
                     "1: mov $110,%%eax; syscall; mov ticks(%%rip),%%r10d; cmp %%r10d,%3; jg 1b\n"
                     "vmovdqa64 %%zmm5,(%2); vmovdqa64 %%zmm16,64(%2); vmovdqa64 %%zmm31,128(%2); kmovw %%k1,%%eax; mov %%ax,%0; vzeroupper"
                     : "=m"(k) : "r"(in), "r"(out), "r"((int)goal) : "rax", "rcx", "r11", "r10", "memory", "xmm5", "xmm16", "xmm31", "k1");
    return memcmp(in, out, 192) != 0 || k != 0x5a5a;
}
static double x87(int spin) {
    double result;
    long goal = ticks + spin;
    __asm__ volatile("fninit; fldpi; fldl2e; fld1; 1: mov $110,%%eax; syscall; mov ticks(%%rip),%%r10d; cmp %%r10d,%1; jg 1b; faddp; faddp; fstpl %0"
                     : "=m"(result) : "r"((int)goal) : "rax", "rcx", "r11", "r10", "memory", "st");
    return result;
}
static unsigned control(int spin) {
    unsigned mxcsr = 0x9fc0, out = 0;
    unsigned short cw = 0x0f7f, cwout = 0;
    long goal = ticks + spin;
    __asm__ volatile("ldmxcsr %2; fldcw %3; 1: mov $110,%%eax; syscall; mov ticks(%%rip),%%r10d; cmp %%r10d,%4; jg 1b; stmxcsr %0; fnstcw %1"
                     : "=m"(out), "=m"(cwout) : "m"(mxcsr), "m"(cw), "r"((int)goal) : "rax", "rcx", "r11", "r10", "memory");
    unsigned normal = 0x1f80;
    __asm__ volatile("ldmxcsr %0; fninit" : : "m"(normal));
    return out << 16 | cwout;
}
static void *computing(void *arg) {
    double x = 1 + (long)arg;
    float v[16];
    for (int i = 0; i < 16; i++) v[i] = i + (long)arg;
    for (int n = 0; n < 20000000; n++) {
        x = x * 1.0000001 + 0.000001;
        for (int i = 0; i < 4; i++) v[i] = v[i] * 0.999f + 1;
    }
    double *r = malloc(sizeof *r);
    *r = x + v[0] + v[1] + v[2] + v[3];
    return r;
}
/* The frame of a signal: xmm registers seen and changed through the context. */
static volatile uint32_t seen;
static void change(int s, siginfo_t *i, void *c) {
    (void)s, (void)i;
    ucontext_t *u = c;
    seen = u->uc_mcontext.fpregs->_xmm[3].element[1];
    u->uc_mcontext.fpregs->_xmm[3].element[1] = 0xdeadbeef;
    u->uc_mcontext.fpregs->mxcsr = 0x3f80;
    u->uc_mcontext.gregs[REG_RIP] += 2;
}

int main(void) {
    __builtin_cpu_init();
    has256 = __builtin_cpu_supports("avx"), has512 = __builtin_cpu_supports("avx512f");
    SECTION("across system calls");
    char buffer[64];
    int p[2];
    pipe(p);
    SHOW(sse(SYS_getppid, 0, 0)), SHOW(sse(SYS_sched_yield, 0, 0)), SHOW(sse(SYS_uname, (long)malloc(1000), 0)), SHOW(sse(SYS_close, -1, 0)), SHOW(sse(SYS_read, -1, 0));
    SHOW(sse(SYS_brk, 0, 0)), SHOW(sse(SYS_pipe, (long)buffer, 0)), SHOW(sse(999, 0, 0)), SHOW(sse(SYS_fsync, 1, 0)), SHOW(sse(SYS_mmap, 0, 0)), SHOW(sse(SYS_dup, 1, 0));
    if (has256) SHOW(avx(0)); else printf("avx(0): 0\n");
    if (has512) SHOW(avx512(0)); else printf("avx512(0): 0\n");
    printf("%.15g\n", x87(0));
    printf("%x\n", control(0));
    SECTION("across signals");
    struct sigaction sa = {.sa_handler = ontick, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &sa, NULL);
    struct itimerval it = {{0, 2000}, {0, 2000}}, off = {0};
    setitimer(ITIMER_REAL, &it, NULL);
    SHOW(sse(SYS_getppid, 0, 5)), SHOW(sse(SYS_sched_yield, 0, 5));
    if (has256) SHOW(avx(5)); else printf("avx(5): 0\n");
    if (has512) SHOW(avx512(5)); else printf("avx512(5): 0\n");
    printf("%.15g\n", x87(5));
    printf("%x\n", control(5));
    SECTION("across preemption");
    pthread_t t[4];
    for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, computing, (void *)i);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(t[i], &r), printf("%.12g\n", *(double *)r);
    }
    setitimer(ITIMER_REAL, &off, NULL);
    SECTION("in the frame");
    sa = (struct sigaction){.sa_sigaction = change, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &sa, NULL);
    uint32_t in[4] = {1, 2, 3, 4}, out[4];
    unsigned mx;
    __asm__ volatile("movdqu %2,%%xmm3; ud2; movdqu %%xmm3,%0; stmxcsr %1" : "=m"(out), "=m"(mx) : "m"(in) : "xmm3");
    printf("seen %u after %u %x %u %u mxcsr %x\n", seen, out[0], out[1], out[2], out[3], mx);
    return 0;
}
