// Signals: actions, masks, queues, stacks, restarts, timers; delivered to oneself.
#include "oracle.h"
#include <poll.h>
#include <pthread.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

static volatile int count, last, lastcode, lastvalue, order[64], norder, onstack, depth, maxdepth;
static volatile pid_t lastpid;
static stack_t alt;

static void handler(int s) { count++, last = s; }
static void info(int s, siginfo_t *i, void *c) {
    (void)c;
    count++, last = s, lastcode = i->si_code, lastvalue = i->si_value.sival_int, lastpid = i->si_pid;
    if (norder < 64) order[norder++] = s * 100 + (s >= SIGRTMIN ? i->si_value.sival_int : 0);
    char here;
    onstack = alt.ss_sp && &here >= (char *)alt.ss_sp && &here < (char *)alt.ss_sp + alt.ss_size;
}
static void nested(int s) {
    if (++depth > maxdepth) maxdepth = depth;
    if (depth < 3 && count++ < 10) raise(s);
    depth--;
}
static void install(int s, void (*f)(int, siginfo_t *, void *), int flags) {
    struct sigaction sa = {.sa_sigaction = f, .sa_flags = SA_SIGINFO | flags};
    sigaction(s, &sa, NULL);
}

static void actions(void) {
    SECTION("sigaction");
    struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
    sigaddset(&sa.sa_mask, SIGUSR2);
    CALL(sigaction(SIGUSR1, &sa, NULL));
    CALL(sigaction(SIGUSR1, NULL, &old));
    HOLDS(old.sa_handler == handler);
    SHOW((unsigned)old.sa_flags & 0x1fffffff & ~0x04000000), SHOW(sigismember(&old.sa_mask, SIGUSR2));
    CALL(syscall(SYS_rt_sigaction, SIGKILL, &sa, NULL, 8));
    CALL(syscall(SYS_rt_sigaction, SIGSTOP, &sa, NULL, 8));
    CALL(syscall(SYS_rt_sigaction, 0, &sa, NULL, 8));
    CALL(syscall(SYS_rt_sigaction, 65, &sa, NULL, 8));
    CALL(syscall(SYS_rt_sigaction, 64, NULL, &old, 8));
    CALL(syscall(SYS_rt_sigaction, SIGUSR1, BADPTR, NULL, 8));
    CALL(syscall(SYS_rt_sigaction, SIGUSR1, NULL, BADPTR, 8));
    CALL(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &old, 4));
    CALL(raise(SIGUSR1)), SHOW(count), SHOW(last);
    CALL(kill(getpid(), 0));
    CALL(kill(getpid(), 65));
    CALL(kill(getpid(), -1));
    CALL(kill(0x3fffffff, 0));
    CALL(kill(-0x3fffffff, 0));
    CALL(syscall(SYS_tgkill, getpid(), gettid(), 0));
    CALL(syscall(SYS_tgkill, getpid(), 0x3fffffff, 0));
    CALL(syscall(SYS_tgkill, 0, gettid(), 0));
    CALL(syscall(SYS_tgkill, getpid(), gettid(), 99));
    CALL(syscall(SYS_tkill, gettid(), SIGUSR1)), SHOW(count);
    CALL(syscall(SYS_tkill, -1, SIGUSR1));
    SECTION("siginfo");
    install(SIGUSR2, info, 0);
    kill(getpid(), SIGUSR2), SHOW(lastcode), HOLDS(lastpid == getpid());
    raise(SIGUSR2), SHOW(lastcode), HOLDS(lastpid == getpid());
    sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 77}), SHOW(lastcode), SHOW(lastvalue);
    siginfo_t si = {.si_signo = SIGUSR2, .si_code = SI_TKILL};
    CALL(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, &si)), SHOW(lastcode);
    si.si_code = -42;
    CALL(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, &si)), SHOW(lastcode);
    CALL(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR2, &si)), SHOW(lastcode);
    CALL(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR2, BADPTR));
    CALL(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &si));
    SECTION("flags");
    sa = (struct sigaction){.sa_handler = nested, .sa_flags = SA_NODEFER};
    sigaction(SIGUSR1, &sa, NULL), raise(SIGUSR1), SHOW(maxdepth);
    maxdepth = 0, sa.sa_flags = 0;
    sigaction(SIGUSR1, &sa, NULL), raise(SIGUSR1), SHOW(maxdepth);
    sa = (struct sigaction){.sa_handler = handler, .sa_flags = SA_RESETHAND};
    count = 0, sigaction(SIGWINCH, &sa, NULL), raise(SIGWINCH), raise(SIGWINCH), SHOW(count);
    sigaction(SIGWINCH, NULL, &old), HOLDS(old.sa_handler == SIG_DFL);
    signal(SIGUSR1, SIG_IGN), CALL(raise(SIGUSR1));
    raise(SIGCHLD), raise(SIGURG), raise(SIGCONT);
}

static void masks(void) {
    SECTION("masks");
    sigset_t set, old, pending;
    count = norder = 0;
    for (int s = 1; s <= 64; s++) if (s != SIGKILL && s != SIGSTOP && s != SIGSEGV) install(s, info, 0);
    sigfillset(&set);
    CALL(sigprocmask(SIG_SETMASK, &set, &old));
    CALL(sigprocmask(SIG_BLOCK, NULL, &pending)), SHOW(sigismember(&pending, SIGKILL)), SHOW(sigismember(&pending, SIGUSR1));
    for (int v = 3; v > 0; v--) sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = v});
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 9});
    kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR1), raise(SIGHUP), raise(SIGTERM);
    CALL(sigpending(&pending));
    for (int s = 1; s <= 64; s++) if (sigismember(&pending, s) == 1) SHOW(s);
    SHOW(count);
    CALL(sigprocmask(SIG_SETMASK, &old, NULL));
    SHOW(count);
    for (int i = 0; i < norder; i++) SHOW(order[i]);
    CALL(syscall(SYS_rt_sigprocmask, 99, &set, NULL, 8));
    CALL(syscall(SYS_rt_sigprocmask, 99, NULL, NULL, 8));
    CALL(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BADPTR, NULL, 8));
    CALL(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, BADPTR, 8));
    CALL(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 16));
    CALL(syscall(SYS_rt_sigpending, BADPTR, 8));
    SECTION("waiting for signals");
    siginfo_t si;
    struct timespec t = {0, 10000000};
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN);
    CALL(sigprocmask(SIG_BLOCK, &set, NULL));
    CALL(sigtimedwait(&set, &si, &t));
    kill(getpid(), SIGUSR1);
    CALL(sigtimedwait(&set, &si, &t)), SHOW(si.si_signo), SHOW(si.si_code);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5});
    CALL(sigwaitinfo(&set, &si) == SIGRTMIN), SHOW(si.si_value.sival_int);
    t.tv_nsec = 1000000000;
    CALL(sigtimedwait(&set, &si, &t));
    CALL(syscall(SYS_rt_sigtimedwait, BADPTR, NULL, NULL, 8));
    CALL(syscall(SYS_rt_sigtimedwait, &set, NULL, BADPTR, 8));
    CALL(syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 4));
    count = 0;
    kill(getpid(), SIGUSR1), SHOW(count);
    sigemptyset(&set);
    CALL(sigsuspend(&set)), SHOW(count);
    CALL(syscall(SYS_rt_sigsuspend, BADPTR, 8));
    sigaddset(&set, SIGUSR1), sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGUSR1, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL), raise(SIGUSR1), sigpending(&pending), SHOW(sigismember(&pending, SIGUSR1));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void *tickle(void *main) {
    for (int i = 0; i < 20; i++) msleep(15), pthread_kill(*(pthread_t *)main, SIGUSR1);
    return NULL;
}
static void *writer(void *fd) {
    msleep(120);
    write((int)(long)fd, "x", 1);
    return NULL;
}
static void restarts(void) {
    SECTION("EINTR and SA_RESTART");
    int p[2];
    char b;
    pipe(p);
    pthread_t me = pthread_self(), t, w;
    struct timespec half = {0, 400000000}, left;
    install(SIGUSR1, info, 0);
    count = 0;
    pthread_create(&t, NULL, tickle, &me);
    CALL(read(p[0], &b, 1));
    HOLDS(count > 0);
    CALL(nanosleep(&half, &left)), HOLDS(left.tv_nsec > 0 && left.tv_nsec < 400000000);
    CALL(pause());
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR2);
    siginfo_t si;
    CALL(sigwaitinfo(&set, &si));
    pthread_join(t, NULL);
    install(SIGUSR1, info, SA_RESTART);
    count = 0;
    pthread_create(&t, NULL, tickle, &me);
    pthread_create(&w, NULL, writer, (void *)(long)p[1]);
    CALL(read(p[0], &b, 1));
    HOLDS(count > 2);
    CALL(nanosleep(&half, &left));
    pthread_join(w, NULL), pthread_join(t, NULL);
    pthread_create(&t, NULL, tickle, &me);
    struct timespec ten = {10, 0};
    CALL(ppoll(NULL, 0, &ten, NULL)); /* never restarted */
    pthread_join(t, NULL);
}

static void stacks(void) {
    SECTION("sigaltstack");
    stack_t old;
    CALL(sigaltstack(NULL, &old)), SHOW(old.ss_flags);
    alt = (stack_t){.ss_sp = malloc(64 << 10), .ss_size = 64 << 10};
    CALL(sigaltstack(&alt, NULL));
    CALL(sigaltstack(NULL, &old)), HOLDS(old.ss_sp == alt.ss_sp && old.ss_size == alt.ss_size), SHOW(old.ss_flags);
    install(SIGUSR1, info, SA_ONSTACK), raise(SIGUSR1), SHOW(onstack);
    install(SIGUSR1, info, 0), raise(SIGUSR1), SHOW(onstack);
    stack_t small = {.ss_sp = alt.ss_sp, .ss_size = 1000};
    CALL(sigaltstack(&small, NULL));
    small = (stack_t){.ss_sp = alt.ss_sp, .ss_size = 10000, .ss_flags = 99};
    CALL(sigaltstack(&small, NULL));
    CALL(syscall(SYS_sigaltstack, BADPTR, NULL));
    small = (stack_t){.ss_flags = SS_DISABLE};
    CALL(sigaltstack(&small, &old));
    CALL(sigaltstack(NULL, &old)), SHOW(old.ss_flags);
}

static volatile int fires;
static void tick(int s) { (void)s, fires++; }
static void timers(void) {
    SECTION("timers that signal");
    struct itimerval it = {{0, 20000}, {0, 20000}}, old;
    signal(SIGALRM, tick);
    CALL(setitimer(ITIMER_REAL, &it, NULL));
    while (fires < 3) {}
    CALL(getitimer(ITIMER_REAL, &old)), SHOW(old.it_interval.tv_usec), HOLDS(old.it_value.tv_usec <= 20000);
    it = (struct itimerval){0};
    CALL(setitimer(ITIMER_REAL, &it, &old));
    CALL(getitimer(ITIMER_REAL, &old)), SHOW(old.it_value.tv_usec);
    CALL(setitimer(99, &it, NULL));
    CALL(syscall(SYS_setitimer, ITIMER_REAL, BADPTR, NULL));
    CALL(syscall(SYS_getitimer, ITIMER_REAL, BADPTR));
    it.it_value.tv_usec = 2000000;
    CALL(setitimer(ITIMER_REAL, &it, NULL));
    SHOW(alarm(10)), SHOW(alarm(0) > 8), SHOW(alarm(0));
    fires = 0;
    signal(SIGVTALRM, tick);
    it = (struct itimerval){{0, 0}, {0, 20000}};
    CALL(setitimer(ITIMER_VIRTUAL, &it, NULL));
    while (!fires) {}
    SHOW(fires);
    fires = 0, signal(SIGPROF, tick), setitimer(ITIMER_PROF, &it, NULL);
    while (!fires) {}
    SHOW(fires);
    timer_t id;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 31};
    install(SIGRTMIN + 3, info, 0);
    count = 0;
    CALL(timer_create(CLOCK_MONOTONIC, &ev, &id));
    struct itimerspec its = {{0, 10000000}, {0, 10000000}}, oits;
    CALL(timer_settime(id, 0, &its, NULL));
    while (count < 3) {}
    SHOW(lastcode), SHOW(lastvalue);
    CALL(timer_gettime(id, &oits)), SHOW(oits.it_interval.tv_nsec);
    HOLDS(timer_getoverrun(id) >= 0);
    CALL(timer_delete(id));
    CALL(timer_delete(id));
    CALL(timer_settime(id, 0, &its, NULL));
    CALL(syscall(SYS_timer_create, 99, &ev, &id));
    ev.sigev_signo = 99;
    CALL(syscall(SYS_timer_create, CLOCK_REALTIME, &ev, &id));
    CALL(syscall(SYS_timer_create, CLOCK_REALTIME, BADPTR, &id));
    ev.sigev_signo = SIGUSR1, ev.sigev_notify = SIGEV_NONE;
    CALL(timer_create(CLOCK_REALTIME, &ev, &id));
    its.it_value.tv_nsec = 2000000000;
    CALL(timer_settime(id, 0, &its, NULL));
}

/* What is behind the fields that the kernel knows. */
static void unknown(void) {
    SECTION("unknown fields");
    static const int signals[] = {0, 4, 5, 7, 8, 10, 11, 17, 29, 31, 40}, codes[] = {-70, -61, -60, -59, -8, -7, -6, -1, 0, 1, 2, 3, 5, 6, 7, 11, 12, 14, 15, 16, 127, 128, 129};
    union { siginfo_t info; char bytes[128]; } u;
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        printf("%d:", signals[i]);
        for (unsigned j = 0; j < sizeof codes / sizeof *codes; j++) {
            memset(&u, 0, sizeof u), u.info.si_code = codes[j], u.bytes[100] = 1;
            // Nobody gets it.
            errno = 0, syscall(SYS_rt_sigqueueinfo, 0x3fffffff, signals[i], &u), printf(" %d", errno);
        }
        printf("\n");
    }
    memset(&u, 0, sizeof u), u.info.si_code = -70, u.bytes[47] = 1;
    CALL(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &u)), u.bytes[48] = 1, CALL(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &u)), CALL(syscall(SYS_rt_tgsigqueueinfo, 0, 0, 0, &u));
    u.info.si_code = SI_QUEUE, CALL(syscall(SYS_rt_tgsigqueueinfo, 0, 0, 0, &u));
    sigset_t set, old;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigprocmask(SIG_BLOCK, &set, &old);
    memset(&u, 7, sizeof u), u.info.si_code = SI_QUEUE;
    CALL(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &u)), memset(&u, 9, sizeof u), CALL(sigwaitinfo(&set, &u.info));
    for (unsigned i = 0; i < 128; i++) printf("%d%s", u.bytes[i], i % 32 == 31 ? "\n" : " ");
    sigprocmask(SIG_SETMASK, &old, NULL);
}

int main(void) {
    actions();
    masks();
    restarts();
    stacks();
    timers();
    unknown();
    /* ends by the default action, with a line still to print before */
    signal(SIGUSR1, SIG_DFL);
    SECTION("end");
    sigset_t none;
    sigemptyset(&none), sigprocmask(SIG_SETMASK, &none, NULL);
    raise(SIGUSR1);
    return 0;
}
