/* Walks the stack from signal handlers, often enough for whatever is rewritten to be rewritten: each walk must come through the
 * signal's frame to the code that was interrupted, whether the unwinder finds that in tables or in the bytes of the restorer (`unwind bare`). */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

static volatile int found, depth;

__attribute__((noinline)) static void interrupted(int n) {
    if (n > 0) interrupted(n - 1);
    else __asm__ volatile("ud2" ::: "memory");
    __asm__ volatile("" ::: "memory");
}
static _Unwind_Reason_Code frame(struct _Unwind_Context *context, void *arg) {
    (void)arg;
    depth++;
    if (_Unwind_FindEnclosingFunction((void *)_Unwind_GetIP(context)) == (void *)interrupted) found++;
    return depth < 50 ? _URC_NO_REASON : _URC_END_OF_STACK;
}
static void handler(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    depth = 0;
    _Unwind_Backtrace(frame, NULL);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

/* What no table describes. */
__asm__(".text; bare: mov $15, %rax; syscall");
extern void bare(void);

int main(int argc, char **argv) {
    (void)argv;
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    struct { void (*handler)(int, siginfo_t *, void *); unsigned long flags; void (*restorer)(void); unsigned long mask; } own = {handler, SA_SIGINFO | 0x04000000, bare, 0};
    if (argc > 1) syscall(SYS_rt_sigaction, SIGILL, &own, NULL, 8L);
    else sigaction(SIGILL, &action, NULL);
    for (int i = 0; i < 2000; i++) {
        found = 0;
        interrupted(3);
        if (i % 400 == 0 || found != 4) printf("%d: %d\n", i, found);
    }
    return 0;
}
