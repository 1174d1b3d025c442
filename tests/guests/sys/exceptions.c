// Exceptions of the processor as signals, and what a handler may do with the machine context.
#include "oracle.h"
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf out;
static volatile int sig, code, trapno;
static volatile long err, addr_is;
static void *volatile expected;
static void onfault(int s, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    sig = s, code = i->si_code, trapno = u->uc_mcontext.gregs[REG_TRAPNO], err = u->uc_mcontext.gregs[REG_ERR];
    addr_is = i->si_addr == expected;
    siglongjmp(out, 1);
}
#define FAULT(what, ...) do { \
    if (sigsetjmp(out, 1) == 0) { __VA_ARGS__; printf("%s: fine\n", what); } \
    else printf("%s: signal %d code %d trap %d error %lx\n", what, sig, code, trapno, err); } while (0)

/* Handlers that repair. */
static void skip_ud2(int s, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    printf("at the instruction: %d\n", i->si_addr == (void *)u->uc_mcontext.gregs[REG_RIP]);
    u->uc_mcontext.gregs[REG_RIP] += 2;
    u->uc_mcontext.gregs[REG_RBX] = 0x1234567890abcdef;
    (void)s;
}
static char *page;
static volatile int repairs;
static void repair(int s, siginfo_t *i, void *c) {
    (void)s, (void)c;
    repairs++;
    mprotect((void *)((uintptr_t)i->si_addr & -4096), 4096, PROT_READ | PROT_WRITE);
}
static volatile int steps;
static void step(int s, siginfo_t *i, void *c) {
    (void)s, (void)i;
    ucontext_t *u = c;
    if (++steps == 5) u->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}
static void *volatile trap_ip;
static void ontrap(int s, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    sig = s, code = i->si_code, trap_ip = (void *)u->uc_mcontext.gregs[REG_RIP];
}
static void install(int s, void (*f)(int, siginfo_t *, void *), int flags) {
    struct sigaction sa = {.sa_sigaction = f, .sa_flags = SA_SIGINFO | flags};
    sigaction(s, &sa, NULL);
}
static volatile uint64_t seen[16];
static void registers(int s, siginfo_t *i, void *c) {
    (void)s, (void)i;
    ucontext_t *u = c;
    static const int map[16] = {REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    for (int k = 0; k < 16; k++) seen[k] = u->uc_mcontext.gregs[map[k]];
    for (int k = 0; k < 16; k++) if (k != 7) u->uc_mcontext.gregs[map[k]] += 0x100;
    u->uc_mcontext.gregs[REG_RIP] += 2;
    u->uc_mcontext.gregs[REG_EFL] |= 1;
}
static long deep(long n) {
    volatile char block[1000];
    block[0] = n;
    return n > 1L << 40 ? block[0] : deep(n + 1) + block[0];
}

int main(void) {
    SECTION("codes");
    for (int s = 1; s <= 11; s++) if (s == SIGSEGV || s == SIGBUS || s == SIGFPE || s == SIGILL || s == SIGTRAP) install(s, onfault, 0);
    volatile int zero = 0, one = 1;
    volatile int64_t min = INT64_MIN;
    FAULT("divide", one = one / zero);
    FAULT("overflow", min = min / (zero - 1));
    FAULT("ud2", __asm__ volatile("ud2"));
    FAULT("hlt", __asm__ volatile("hlt"));
    FAULT("cli", __asm__ volatile("cli"));
    FAULT("in", __asm__ volatile("inb $0x80,%%al" ::: "rax"));
    FAULT("mov cr", __asm__ volatile("mov %%cr0,%%rax" ::: "rax"));
    FAULT("int3", __asm__ volatile("int3"));
    FAULT("int1", __asm__ volatile(".byte 0xf1"));
    FAULT("int $0x99", __asm__ volatile("int $0x99"));
    FAULT("wrmsr", __asm__ volatile("wrmsr" : : "c"(0x10), "a"(0), "d"(0)));
    FAULT("lock nop", __asm__ volatile(".byte 0xf0,0x90"));
    FAULT("null read", (void)*(volatile int *)(uintptr_t)zero);
    FAULT("null write", *(volatile int *)(uintptr_t)zero = 1);
    FAULT("null call", ((void (*)(void))(uintptr_t)zero)());
    FAULT("unaligned sse", __asm__ volatile("movaps (%0),%%xmm0" : : "r"((char *)seen + 1) : "xmm0"));
    page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FAULT("write to read-only", *page = 1);
    expected = page;
    FAULT("read-only address", *page = 1); SHOW(addr_is);
    FAULT("execute data", ((void (*)(void))page)()); SHOW(addr_is);
    __asm__ volatile("fninit; fldcw %0" : : "m"((const short){0x0370}));
    FAULT("x87 divide", __asm__ volatile("fldz; fld1; fdiv %%st(1),%%st; fwait" ::: "st"));
    __asm__ volatile("fninit");
    int mxcsr = 0x1f80 & ~0x200, normal = 0x1f80;
    FAULT("sse divide", __asm__ volatile("ldmxcsr %0; xorps %%xmm0,%%xmm0; movss %1,%%xmm1; divss %%xmm0,%%xmm1" : : "m"(mxcsr), "m"((const float){1}) : "xmm0", "xmm1"));
    __asm__ volatile("ldmxcsr %0" : : "m"(normal));
    SECTION("handlers that repair");
    install(SIGILL, skip_ud2, 0);
    uint64_t rbx;
    __asm__ volatile("xor %%ebx,%%ebx; ud2; mov %%rbx,%0" : "=r"(rbx) : : "rbx");
    printf("rbx %lx\n", rbx);
    install(SIGSEGV, repair, 0);
    for (int i = 0; i < 3; i++) {
        mprotect(page, 4096, PROT_NONE);
        page[100] = i;
        SHOW(page[100]);
    }
    SHOW(repairs);
    mprotect(page, 4096, PROT_READ);
    int p[2];
    pipe(p), write(p[1], "abc", 3);
    repairs = 0;
    CALL(read(p[0], page, 3)); /* the kernel's own access is EFAULT, no signal */
    SHOW(repairs);
    install(SIGTRAP, ontrap, 0);
    __asm__ volatile("int3");
    printf("int3 returns: signal %d code %d\n", sig, code);
    install(SIGTRAP, step, 0);
    __asm__ volatile("pushf; orl $0x100,(%%rsp); popf; nop; nop; nop; nop; nop; nop; nop; nop" ::: "memory", "cc");
    SHOW(steps);
    SECTION("registers in and out");
    install(SIGILL, registers, 0);
    static uint64_t after[16];
    static uint8_t carry;
    __asm__ volatile(
        "push %%rbp; push %%rbx; sub $128,%%rsp\n"
        "mov $1,%%rax; mov $2,%%rbx; mov $3,%%rcx; mov $4,%%rdx; mov $5,%%rsi; mov $6,%%rdi; mov $7,%%rbp; mov $8,%%r8; mov $9,%%r9\n"
        "mov $10,%%r10; mov $11,%%r11; mov $12,%%r12; mov $13,%%r13; mov $14,%%r14; mov $15,%%r15; clc\n"
        "ud2\n"
        "setc carry_out(%%rip)\n"
        "mov %%rax,after_out(%%rip); mov %%rbx,8+after_out(%%rip); mov %%rcx,16+after_out(%%rip); mov %%rdx,24+after_out(%%rip)\n"
        "mov %%rsi,32+after_out(%%rip); mov %%rdi,40+after_out(%%rip); mov %%rbp,48+after_out(%%rip); mov %%r8,64+after_out(%%rip)\n"
        "mov %%r9,72+after_out(%%rip); mov %%r10,80+after_out(%%rip); mov %%r11,88+after_out(%%rip); mov %%r12,96+after_out(%%rip)\n"
        "mov %%r13,104+after_out(%%rip); mov %%r14,112+after_out(%%rip); mov %%r15,120+after_out(%%rip)\n"
        "add $128,%%rsp; pop %%rbx; pop %%rbp\n"
        ".pushsection .bss; after_out: .skip 128; carry_out: .skip 8; .popsection\n" ::
        : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
    __asm__ volatile("lea after_out(%%rip),%%rsi; mov %0,%%rdi; mov $128,%%ecx; rep movsb; mov carry_out(%%rip),%%al; mov %%al,%1" : : "r"(after), "m"(carry) : "rsi", "rdi", "rcx", "rax", "memory");
    for (int i = 0; i < 16; i++) if (i != 7) printf("register %d: seen %lx after %lx\n", i, (long)seen[i], (long)after[i]);
    SHOW(carry);
    SECTION("overflowing the stack");
    stack_t alt = {.ss_sp = malloc(64 << 10), .ss_size = 64 << 10};
    sigaltstack(&alt, NULL);
    install(SIGSEGV, onfault, SA_ONSTACK);
    FAULT("recursion", deep(0));
    SECTION("no handler");
    signal(SIGILL, SIG_DFL);
    __asm__ volatile("ud2");
    return 0;
}
