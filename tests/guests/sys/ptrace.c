// timeout: 120
// Tracing: each request of ptrace(2), the stops that it makes, and what becomes of tracees.
#include "oracle.h"
#include <elf.h>
#include <asm/ptrace-abi.h>
#include <linux/ptrace.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/user.h>
#include <sys/wait.h>

static long trace(long request, pid_t pid, uint64_t addr, uint64_t data) {
    return syscall(SYS_ptrace, request, pid, addr, data);
}
#define T(request, pid, addr, data) trace(request, pid, (uint64_t)(addr), (uint64_t)(data))

/* What wait says of a stop or an end; 0 is that nothing is to be waited for. */
static int status;
static pid_t look(const char *what, pid_t pid, int options) {
    pid_t got = waitpid(pid, &status, options);
    printf("%s: ", what);
    if (got < 0) printf("%s\n", oracle_errname(errno));
    else if (!got) printf("nothing\n");
    else if (WIFSTOPPED(status)) printf("stopped by %d, event %d\n", WSTOPSIG(status), status >> 16);
    else if (WIFSIGNALED(status)) printf("killed by %d\n", WTERMSIG(status));
    else if (WIFCONTINUED(status)) printf("continued\n");
    else printf("exited with %d\n", WEXITSTATUS(status));
    return got;
}
static void show_info(const char *what, pid_t pid) {
    siginfo_t info = {0};
    long r = T(PTRACE_GETSIGINFO, pid, 0, &info);
    if (r < 0) printf("%s: %s\n", what, oracle_errname(errno));
    else printf("%s: signal %d, code %#x\n", what, info.si_signo, info.si_code);
}
static struct user_regs_struct regs_of(pid_t pid) {
    struct user_regs_struct r = {0};
    OK(T(PTRACE_GETREGS, pid, 0, &r));
    return r;
}

static volatile long word = 0x1122334455667788;
static volatile int handled;
static void handler(int sig) { handled = sig; }
static void bound(void) { prctl(PR_SET_PDEATHSIG, SIGKILL); }

/* A child that asks to be traced and stops, before it does `what`. */
static pid_t traced(int (*what)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid) return pid;
    bound();
    T(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    _exit(what());
}
/* The same, once it has stopped. */
static pid_t stopped(int (*what)(void)) {
    pid_t pid = traced(what);
    look("first", pid, 0);
    return pid;
}
/* On to the next stop, or the end. */
static void resume(long request, pid_t pid, const char *to) {
    T(request, pid, 0, 0);
    look(to, pid, 0);
}
static int seven(void) { return 7; }
static int kill_self(void) { raise(SIGUSR1); return handled; }
static int with_handler(void) { signal(SIGUSR1, handler); raise(SIGUSR1); return handled; }
static int ignoring(void) { signal(SIGUSR1, SIG_IGN); raise(SIGUSR1); return 3; }
static int stop_self(void) { raise(SIGTSTP); return 4; }
static int two_calls(void) { syscall(SYS_getppid); syscall(SYS_close, 12345); return 5; }
static int a_word(void) { return word == 42; }

static void begin_and_end(void) {
    SECTION("begin, end");
    CALL(T(PTRACE_CONT, getpid(), 0, 0));
    CALL(T(PTRACE_CONT, 999999, 0, 0));
    CALL(T(PTRACE_ATTACH, 999999, 0, 0));
    CALL(T(PTRACE_ATTACH, getpid(), 0, 0));
    CALL(T(12345, getpid(), 0, 0));
    pid_t pid = stopped(seven);
    show_info("info", pid);
    look("again", pid, WNOHANG);
    CALL(T(12345, pid, 0, 0));
    CALL(T(PTRACE_ATTACH, pid, 0, 0));
    CALL(T(PTRACE_SEIZE, pid, 0, 0));
    CALL(T(PTRACE_INTERRUPT, pid, 0, 0));
    CALL(T(PTRACE_LISTEN, pid, 0, 0));
    CALL(T(PTRACE_SETOPTIONS, pid, 0, 0x40000000));
    CALL(T(PTRACE_CONT, pid, 0, 1000));
    CALL(T(PTRACE_CONT, pid, 0, 0));
    look("end", pid, 0);
    CALL(T(PTRACE_CONT, pid, 0, 0));
    pid = stopped(seven);
    CALL(T(PTRACE_DETACH, pid, 0, 0));
    look("detached", pid, 0);
    pid = stopped(seven);
    CALL(T(PTRACE_KILL, pid, 0, 0));
    look("killed", pid, 0);
    pid = stopped(seven);
    kill(pid, SIGKILL);
    look("killed", pid, 0);
}

static void signals(void) {
    SECTION("signals");
    int (*const kinds[])(void) = {kill_self, with_handler, ignoring};
    for (int i = 0; i < 3; i++) {
        pid_t pid = stopped(kinds[i]);
        resume(PTRACE_CONT, pid, "signal");
        show_info("info", pid);
        CALL(T(PTRACE_CONT, pid, 0, SIGUSR1));
        look("end", pid, 0);
    }
    pid_t pid = stopped(kill_self);
    resume(PTRACE_CONT, pid, "signal");
    CALL(T(PTRACE_CONT, pid, 0, SIGTERM));
    look("another", pid, 0);
    pid = stopped(kill_self);
    resume(PTRACE_CONT, pid, "signal");
    CALL(T(PTRACE_CONT, pid, 0, 0));
    look("none", pid, 0);

    pid = stopped(with_handler);
    resume(PTRACE_CONT, pid, "signal");
    siginfo_t info;
    CALL(T(PTRACE_GETSIGINFO, pid, 0, &info));
    info.si_code = SI_QUEUE;
    CALL(T(PTRACE_SETSIGINFO, pid, 0, &info));
    show_info("changed", pid);
    CALL(T(PTRACE_GETSIGINFO, pid, 0, BADPTR));
    CALL(T(PTRACE_SETSIGINFO, pid, 0, BADPTR));
    uint64_t mask = 1 << (SIGUSR1 - 1), before = 9;
    CALL(T(PTRACE_GETSIGMASK, pid, 8, &before));
    SHOW(before);
    CALL(T(PTRACE_GETSIGMASK, pid, 4, &before));
    CALL(T(PTRACE_SETSIGMASK, pid, 8, &mask));
    CALL(T(PTRACE_GETSIGMASK, pid, 8, &before));
    SHOW(before);
    CALL(T(PTRACE_CONT, pid, 0, SIGUSR1));
    look("blocked", pid, 0);

    pid = stopped(seven);
    kill(pid, SIGRTMIN), kill(pid, SIGRTMIN), syscall(SYS_tgkill, pid, pid, SIGUSR2);
    struct ptrace_peeksiginfo_args args = {.nr = 4};
    siginfo_t infos[4];
    CALL(T(PTRACE_PEEKSIGINFO, pid, &args, infos));
    SHOW(infos[0].si_signo);
    args.flags = PTRACE_PEEKSIGINFO_SHARED;
    CALL(T(PTRACE_PEEKSIGINFO, pid, &args, infos));
    SHOW(infos[1].si_signo);
    args.off = 1;
    CALL(T(PTRACE_PEEKSIGINFO, pid, &args, infos));
    args.nr = -1;
    CALL(T(PTRACE_PEEKSIGINFO, pid, &args, infos));
    CALL(T(PTRACE_DETACH, pid, 0, SIGKILL));
    look("end", pid, 0);
}

static void job_control(void) {
    SECTION("job control");
    pid_t pid = stopped(stop_self);
    resume(PTRACE_CONT, pid, "signal");
    CALL(T(PTRACE_CONT, pid, 0, SIGTSTP));
    look("group stop", pid, 0);
    show_info("info", pid);
    CALL(T(PTRACE_CONT, pid, 0, 0));
    look("end", pid, 0);
}

static void memory(void) {
    SECTION("memory");
    pid_t pid = stopped(a_word);
    uint64_t got = 0;
    CALL(T(PTRACE_PEEKDATA, pid, &word, &got));
    HOLDS(got == 0x1122334455667788);
    CALL(T(PTRACE_PEEKTEXT, pid, (char *)&word + 1, &got));
    CALL(T(PTRACE_PEEKDATA, pid, 8, &got));
    CALL(T(PTRACE_PEEKDATA, pid, &word, BADPTR));
    CALL(T(PTRACE_POKEDATA, pid, 8, 1));
    CALL(T(PTRACE_POKEDATA, pid, &word, 42));
    CALL(T(PTRACE_PEEKTEXT, pid, seven, &got));
    HOLDS(!memcmp(&got, seven, 8));
    CALL(T(PTRACE_POKETEXT, pid, seven, ~got));
    uint64_t back = 0;
    CALL(T(PTRACE_PEEKTEXT, pid, seven, &back));
    HOLDS(back == ~got && !memcmp(&got, seven, 8));
    char name[40];
    sprintf(name, "/proc/%d/mem", pid);
    int fd = open(name, O_RDWR);
    HOLDS(fd >= 0);
    CALL(pread(fd, &back, 8, (off_t)&word));
    SHOW(back);
    CALL(pread(fd, &back, 8, 8));
    CALL(pwrite(fd, &got, 8, (off_t)seven));
    CALL(T(PTRACE_PEEKTEXT, pid, seven, &back));
    HOLDS(back == got);
    close(fd);
    CALL(T(PTRACE_CONT, pid, 0, 0));
    look("end", pid, 0);
}

static void registers(void) {
    SECTION("registers");
    pid_t pid = stopped(two_calls);
    CALL(T(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
    resume(PTRACE_SYSCALL, pid, "entry of getppid");
    show_info("info", pid);
    struct user_regs_struct r = regs_of(pid);
    SHOW(r.orig_rax);
    SHOW(r.rax);
    SHOW(r.cs), SHOW(r.ss), SHOW(r.ds), SHOW(r.es), SHOW(r.fs), SHOW(r.gs), SHOW(r.gs_base);
    struct ptrace_syscall_info info = {0};
    CALL(T(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info));
    SHOW(info.op), SHOW(info.arch), SHOW(info.entry.nr);
    HOLDS(info.instruction_pointer == r.rip && info.stack_pointer == r.rsp);
    resume(PTRACE_SYSCALL, pid, "exit of getppid");
    r = regs_of(pid);
    HOLDS(r.rax == (unsigned)getpid());
    CALL(T(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info));
    SHOW(info.op), SHOW(info.exit.is_error);
    resume(PTRACE_SYSCALL, pid, "entry of close");
    r = regs_of(pid);
    SHOW(r.orig_rax), SHOW(r.rdi);
    uint64_t got = 0;
    CALL(T(PTRACE_PEEKUSR, pid, offsetof(struct user, regs.rdi), &got));
    SHOW(got);
    CALL(T(PTRACE_PEEKUSR, pid, 3, &got));
    CALL(T(PTRACE_PEEKUSR, pid, sizeof(struct user), &got));
    CALL(T(PTRACE_POKEUSR, pid, offsetof(struct user, regs.orig_rax), -1));
    resume(PTRACE_SYSCALL, pid, "exit of no call");
    r = regs_of(pid);
    SHOW(r.rax);
    CALL(T(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info));
    SHOW(info.op), SHOW(info.exit.rval), SHOW(info.exit.is_error);
    resume(PTRACE_SYSCALL, pid, "entry of exit");
    r = regs_of(pid);
    SHOW(r.orig_rax), SHOW(r.rdi);
    r.rdi = 9;
    CALL(T(PTRACE_SETREGS, pid, 0, &r));
    struct iovec v = {&r, sizeof r};
    r.rdi = 0;
    CALL(T(PTRACE_GETREGSET, pid, NT_PRSTATUS, &v));
    SHOW(v.iov_len), SHOW(r.rdi);
    v.iov_len = 16;
    CALL(T(PTRACE_GETREGSET, pid, NT_PRSTATUS, &v));
    SHOW(v.iov_len);
    v.iov_len = 15;
    CALL(T(PTRACE_GETREGSET, pid, NT_PRSTATUS, &v));
    CALL(T(PTRACE_GETREGSET, pid, 0x7777, &v));
    v = (struct iovec){&r, sizeof r};
    CALL(T(PTRACE_SETREGSET, pid, NT_PRSTATUS, &v));
    /* arch_prctl, as libthread_db asks for it */
    unsigned long base = 1;
    CALL(T(30, pid, &base, 0x1003)), HOLDS(base == r.fs_base && base);
    CALL(T(30, pid, &base, 0x1004)), SHOW(base);
    CALL(T(30, pid, r.fs_base, 0x1002)), CALL(T(30, pid, -1L, 0x1002));
    CALL(T(30, pid, BADPTR, 0x1003)), CALL(T(30, pid, &base, 0x9999));
    struct user_fpregs_struct fp;
    CALL(T(PTRACE_GETFPREGS, pid, 0, &fp));
    HOLDS(fp.cwd == 0x37f && fp.mxcsr == 0x1f80);
    fp.xmm_space[0] = 0x12345678;
    CALL(T(PTRACE_SETFPREGS, pid, 0, &fp));
    fp.xmm_space[0] = 0;
    v = (struct iovec){&fp, sizeof fp};
    CALL(T(PTRACE_GETREGSET, pid, NT_PRFPREG, &v));
    SHOW(v.iov_len), SHOW(fp.xmm_space[0]);
    static char state[16384] __attribute__((aligned(64)));
    v = (struct iovec){state, sizeof state};
    CALL(T(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &v));
    HOLDS(v.iov_len >= 576 && (state[464] & 3) == 3 && !memcmp(state + 160, &fp.xmm_space, 4));
    state[160] = 1;
    CALL(T(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &v));
    CALL(T(PTRACE_GETFPREGS, pid, 0, &fp));
    SHOW(fp.xmm_space[0]);
    r.cs = 0;
    CALL(T(PTRACE_SETREGS, pid, 0, &r));
    CALL(T(PTRACE_SETREGS, pid, 0, BADPTR));
    CALL(T(PTRACE_GETREGS, pid, 0, BADPTR));
    resume(PTRACE_CONT, pid, "end");
}

static volatile int steps;
static int stepped(void) {
    __asm__ volatile("int3\n nop\n nop\n nop\n int3" ::: "memory");
    for (volatile int i = 0; i < 100; i++) syscall(SYS_getppid);
    signal(SIGUSR1, handler);
    __asm__ volatile("int3");
    raise(SIGUSR1);
    return 6;
}
static void stepping(void) {
    SECTION("stepping");
    pid_t pid = stopped(stepped);
    resume(PTRACE_CONT, pid, "breakpoint");
    show_info("info", pid);
    uint64_t rip = regs_of(pid).rip;
    for (int i = 1; i <= 3; i++) {
        CALL(T(PTRACE_SINGLESTEP, pid, 0, 0));
        look("step", pid, 0);
        show_info("info", pid);
        struct user_regs_struct r = regs_of(pid);
        HOLDS(r.rip == rip + i);
        HOLDS(!(r.eflags & 0x100));
    }
    resume(PTRACE_CONT, pid, "breakpoint");
    /* Through many calls, one instruction at a time: all of them are there. */
    long calls = 0, stops = 0;
    for (;; stops++) {
        struct user_regs_struct r;
        uint64_t code = 0;
        T(PTRACE_GETREGS, pid, 0, &r);
        T(PTRACE_PEEKTEXT, pid, r.rip, &code);
        if ((code & 0xffff) == 0x050f && r.rax == SYS_getppid) calls++;
        if ((code & 0xff) == 0xcc) break;
        if (T(PTRACE_SINGLESTEP, pid, 0, 0) || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) break;
    }
    SHOW(calls);
    HOLDS(stops > 300);
    resume(PTRACE_CONT, pid, "breakpoint");
    resume(PTRACE_CONT, pid, "signal");
    CALL(T(PTRACE_SINGLESTEP, pid, 0, SIGUSR1));
    look("into the handler", pid, 0);
    HOLDS(regs_of(pid).rip == (uint64_t)handler);
    resume(PTRACE_CONT, pid, "end");
    /* A breakpoint where a call is. */
    pid = stopped(two_calls);
    uint64_t code, at = (uint64_t)two_calls;
    T(PTRACE_PEEKTEXT, pid, at, &code);
    CALL(T(PTRACE_POKETEXT, pid, at, (code & ~0xffUL) | 0xcc));
    resume(PTRACE_CONT, pid, "breakpoint");
    struct user_regs_struct r = regs_of(pid);
    HOLDS(r.rip == at + 1);
    T(PTRACE_POKETEXT, pid, at, code);
    r.rip = at;
    CALL(T(PTRACE_SETREGS, pid, 0, &r));
    resume(PTRACE_CONT, pid, "end");
}

static volatile long watched;
static int writes(void) {
    for (int i = 0; i < 100; i++) syscall(SYS_getppid);
    watched = 5;
    return watched;
}
static void watching(void) {
    SECTION("watching");
    pid_t pid = stopped(writes);
    uint64_t debug = offsetof(struct user, u_debugreg);
    CALL(T(PTRACE_POKEUSR, pid, debug, &watched));
    CALL(T(PTRACE_POKEUSR, pid, debug + 56, 1 | 9 << 16));
    uint64_t got = 0;
    CALL(T(PTRACE_PEEKUSR, pid, debug + 56, &got));
    SHOW(got);
    CALL(T(PTRACE_POKEUSR, pid, debug + 32, 1));
    resume(PTRACE_CONT, pid, "written");
    show_info("info", pid);
    CALL(T(PTRACE_PEEKUSR, pid, debug + 48, &got));
    SHOW(got & 15);
    CALL(T(PTRACE_PEEKDATA, pid, &watched, &got));
    SHOW(got);
    CALL(T(PTRACE_POKEUSR, pid, debug + 56, 0));
    resume(PTRACE_CONT, pid, "end");
}

static int forks(void) {
    pid_t pid = fork();
    if (!pid) _exit(2);
    int s;
    waitpid(pid, &s, 0);
    return WEXITSTATUS(s) + 10;
}
static int vforks(void) {
    pid_t pid = vfork();
    if (!pid) _exit(3);
    int s;
    waitpid(pid, &s, 0);
    return WEXITSTATUS(s) + 10;
}
static void *nothing(void *arg) { return arg; }
static int clones(void) {
    pthread_t t;
    pthread_create(&t, NULL, nothing, NULL);
    pthread_join(t, NULL);
    return 8;
}
static int executes(void) {
    execl("/bin/true", "true", NULL);
    return 99;
}
static void events(void) {
    SECTION("events");
    int all = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEVFORKDONE |
              PTRACE_O_TRACEEXIT;
    int (*const kinds[])(void) = {forks, vforks, clones, executes, kill_self};
    for (int i = 0; i < 5; i++) {
        printf("-- %d\n", i);
        pid_t pid = stopped(kinds[i]), child = 0;
        CALL(T(PTRACE_SETOPTIONS, pid, 0, all));
        T(PTRACE_CONT, pid, 0, 0);
        for (;;) {
            pid_t got = look("maker", pid, __WALL);
            if (got != pid || !WIFSTOPPED(status)) break;
            uint64_t message = 0;
            T(PTRACE_GETEVENTMSG, pid, 0, &message);
            int event = status >> 16, sig = event ? 0 : WSTOPSIG(status);
            if (event) show_info("event", pid);
            if (event == PTRACE_EVENT_EXIT) SHOW(message);
            if (event == PTRACE_EVENT_EXEC) HOLDS(message == (unsigned)pid);
            if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
                child = message;
                look("made", child, __WALL);
                CALL(T(PTRACE_CONT, child, 0, 0));
                look("made", child, __WALL);
                SHOW(status >> 16);
                T(PTRACE_CONT, child, 0, 0);
                look("made", child, __WALL);
            }
            T(PTRACE_CONT, pid, 0, sig);
        }
    }
    /* Without the option execve(2) is a SIGTRAP. */
    pid_t pid = stopped(executes);
    resume(PTRACE_CONT, pid, "exec");
    show_info("info", pid);
    resume(PTRACE_CONT, pid, "end");
}

/* A child that is not traced yet and waits for ever. */
static pid_t waiting(void) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid) return pid;
    bound();
    signal(SIGUSR1, handler);
    for (;;) pause();
}
/* Until it waits in a call. */
static void asleep(pid_t pid) {
    char path[40], state = 0;
    sprintf(path, "/proc/%d/stat", pid);
    for (int seen = 0; seen < 3; seen = state == 'S' ? seen + 1 : 0) {
        msleep(10);
        FILE *f = fopen(path, "re");
        if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1) abort();
        fclose(f);
    }
}
static void attaching(void) {
    SECTION("attaching");
    pid_t pid = waiting();
    asleep(pid);
    CALL(T(PTRACE_ATTACH, pid, 0, 0));
    look("attached", pid, 0);
    show_info("info", pid);
    char path[40], line[200];
    sprintf(path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        int tracer;
        if (!strncmp(line, "State:", 6)) printf("%s", line);
        if (sscanf(line, "TracerPid: %d", &tracer) == 1) HOLDS(tracer == getpid());
    }
    fclose(f);
    CALL(T(PTRACE_CONT, pid, 0, 0));
    CALL(T(PTRACE_PEEKUSR, pid, 0, &status));
    kill(pid, SIGUSR1);
    look("signal", pid, 0);
    CALL(T(PTRACE_DETACH, pid, 0, SIGUSR1));
    look("detached", pid, WNOHANG);
    CALL(T(PTRACE_SEIZE, pid, 1, 0));
    CALL(T(PTRACE_SEIZE, pid, 0, 0x40000000));
    CALL(T(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD));
    look("seized", pid, WNOHANG);
    CALL(T(PTRACE_CONT, pid, 0, 0));
    /* It is in pause(2) again. */
    asleep(pid);
    CALL(T(PTRACE_INTERRUPT, pid, 0, 0));
    look("interrupted", pid, 0);
    show_info("info", pid);
    struct user_regs_struct r = regs_of(pid);
    SHOW(r.orig_rax), SHOW(r.rax);
    CALL(T(PTRACE_CONT, pid, 0, 0));
    kill(pid, SIGSTOP);
    look("signal", pid, 0);
    CALL(T(PTRACE_CONT, pid, 0, SIGSTOP));
    look("group stop", pid, 0);
    show_info("info", pid);
    CALL(T(PTRACE_LISTEN, pid, 0, 0));
    look("listening", pid, WNOHANG);
    CALL(T(PTRACE_CONT, pid, 0, 0));
    kill(pid, SIGCONT);
    look("again", pid, 0);
    show_info("info", pid);
    CALL(T(PTRACE_CONT, pid, 0, 0));
    look("signal", pid, 0);
    CALL(T(PTRACE_CONT, pid, 0, 0));
    CALL(T(PTRACE_INTERRUPT, pid, 0, 0));
    look("interrupted", pid, 0);
    CALL(T(PTRACE_DETACH, pid, 0, 0));
    kill(pid, SIGSTOP);
    look("stopped", pid, WUNTRACED);
    CALL(T(PTRACE_ATTACH, pid, 0, 0));
    look("attached", pid, 0);
    CALL(T(PTRACE_DETACH, pid, 0, 0));
    kill(pid, SIGCONT);
    kill(pid, SIGKILL);
    look("killed", pid, 0);
    /* A blocked call goes on after a stop. */
    int p[2];
    pipe(p);
    fflush(stdout);
    if (!(pid = fork())) {
        char c = 0;
        bound();
        _exit(read(p[0], &c, 1) == 1 ? c : 99);
    }
    asleep(pid);
    CALL(T(PTRACE_SEIZE, pid, 0, 0));
    CALL(T(PTRACE_INTERRUPT, pid, 0, 0));
    look("interrupted", pid, 0);
    r = regs_of(pid);
    SHOW(r.orig_rax), SHOW(r.rax);
    CALL(T(PTRACE_CONT, pid, 0, 0));
    write(p[1], "A", 1);
    look("end", pid, 0);
}

static void *tracee_thread(void *arg) {
    *(pid_t *)arg = gettid();
    for (;;) pause();
}
static void relations(void) {
    SECTION("relations");
    /* A tracer that is not the parent: it waits first. */
    pid_t child = waiting();
    int go[2];
    pipe(go);
    fflush(stdout);
    pid_t tracer = fork();
    if (!tracer) {
        CALL(T(PTRACE_ATTACH, child, 0, 0));
        look("tracer", child, 0);
        CALL(T(PTRACE_CONT, child, 0, 0));
        kill(child, SIGTERM);
        look("tracer", child, 0);
        CALL(T(PTRACE_CONT, child, 0, SIGTERM));
        msleep(50);
        look("tracer", child, 0);
        fflush(stdout);
        _exit(0);
    }
    look("parent", tracer, 0);
    look("parent", child, 0);
    /* A tracer that ends. */
    int options[] = {0, PTRACE_O_EXITKILL};
    for (int i = 0; i < 2; i++) {
        child = waiting();
        fflush(stdout);
        if (!(tracer = fork())) {
            T(PTRACE_SEIZE, child, 0, options[i]);
            T(PTRACE_INTERRUPT, child, 0, 0);
            waitpid(child, NULL, 0);
            _exit(0);
        }
        look("tracer", tracer, 0);
        if (!i) {
            look("child", child, WNOHANG);
            kill(child, SIGTERM);
        }
        look("child", child, 0);
    }
    /* Threads. */
    static pid_t *tid;
    tid = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fflush(stdout);
    if (!(child = fork())) {
        bound();
        pthread_t t;
        pthread_create(&t, NULL, tracee_thread, tid);
        for (;;) pause();
    }
    while (!*tid) msleep(1);
    CALL(T(PTRACE_SEIZE, *tid, 0, 0));
    CALL(T(PTRACE_INTERRUPT, *tid, 0, 0));
    HOLDS(look("thread", *tid, __WALL) == *tid);
    CALL(T(PTRACE_SEIZE, child, 0, 0));
    kill(child, SIGKILL);
    HOLDS(look("thread", *tid, __WALL) == *tid);
    HOLDS(look("first", child, __WALL) == child);
    look("nobody", -1, __WALL);
    /* waitid(2) tells of stops, too. */
    child = traced(seven);
    siginfo_t info = {0};
    CALL(waitid(P_PID, child, &info, WSTOPPED | WNOWAIT));
    SHOW(info.si_code), SHOW(info.si_status);
    CALL(waitid(P_PID, child, &info, WEXITED | WNOHANG));
    SHOW(info.si_code), SHOW(info.si_status);
    resume(PTRACE_CONT, child, "end");
}

int main(void) {
    begin_and_end();
    signals();
    job_control();
    memory();
    registers();
    stepping();
    watching();
    events();
    attaching();
    relations();
    return 0;
}
