// Processes: making them with vfork, clone and posix_spawn, and waiting for them.
#include "oracle.h"
#include <linux/sched.h>
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

static void show_status(const char *what, int status) {
    if (WIFEXITED(status)) printf("%s: exited %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status)) printf("%s: killed by %d\n", what, WTERMSIG(status));
    else printf("%s: %x\n", what, status);
}

static void show_info(const char *what, const siginfo_t *info, pid_t pid) {
    printf("%s: signo %d code %d status %d, pid %s, uid %s\n", what, info->si_signo, info->si_code, info->si_status,
           info->si_pid == pid ? "right" : "other", info->si_uid == getuid() ? "right" : "other");
}

static int spawn(pid_t *pid, char *const argv[]) { return posix_spawn(pid, argv[0], NULL, NULL, argv, environ); }

static void spawning(void) {
    SECTION("posix_spawn");
    pid_t pid = 0;
    int status = -1;
    char *yes[] = {"/bin/true", NULL}, *no[] = {"/bin/false", NULL}, *sh[] = {"/bin/sh", "-c", "exit 7", NULL};
    CALL(spawn(&pid, yes)), HOLDS(waitpid(pid, &status, 0) == pid), show_status("true", status);
    CALL(spawn(&pid, no)), HOLDS(waitpid(-1, &status, 0) == pid), show_status("false", status);
    CALL(spawn(&pid, sh)), HOLDS(waitpid(0, &status, 0) == pid), show_status("sh", status);
    char *none[] = {"/does/not/exist", NULL};
    SHOW(spawn(&pid, none));
    CALL(waitpid(-1, &status, 0));
    char *echo[] = {"/bin/echo", "from", "the child", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    int ends[2];
    CALL(pipe2(ends, O_CLOEXEC));
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    CALL(posix_spawn(&pid, echo[0], &actions, NULL, echo, environ));
    close(ends[1]);
    char text[100] = "";
    HOLDS(read(ends[0], text, sizeof text) == 15), printf("%s", text), SHOW(read(ends[0], text, 1)), close(ends[0]);
    HOLDS(waitpid(pid, &status, 0) == pid), show_status("echo", status);
    posix_spawn_file_actions_destroy(&actions);
}

static volatile int seen;
static volatile pid_t seen_parent;

static void vforking(void) {
    SECTION("vfork");
    int status;
    seen = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        seen = 1, seen_parent = getppid();
        _exit(3);
    }
    SHOW(seen), HOLDS(seen_parent == getpid()), HOLDS(wait(&status) == pid), show_status("vforked", status);
    pid = vfork();
    if (pid == 0) {
        raise(SIGKILL);
        _exit(3);
    }
    HOLDS(waitpid(pid, &status, WUNTRACED) == pid), show_status("killed", status);
    pid = vfork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "kill -TERM $$", NULL);
        _exit(3);
    }
    HOLDS(wait4(pid, &status, 0, NULL) == pid), show_status("terminated", status);
    CALL(kill(pid, 0));
    CALL(wait(&status));
}

static char stack[64 << 10] __attribute__((aligned(16)));

static int child(void *arg) {
    (*(volatile int *)arg)++;
    return 5;
}

static int dawdler(void *arg) {
    while (!*(volatile int *)arg) sched_yield();
    return 6;
}

static int runs_true(void *arg) {
    execl("/bin/true", "true", NULL);
    return arg == NULL;
}

static volatile int go;

static void cloning(void) {
    SECTION("clone of a process");
    int status, value = 41;
    pid_t pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &value);
    HOLDS(pid > 0), SHOW(value), HOLDS(waitpid(pid, &status, 0) == pid), show_status("shares memory", status);
    go = 0;
    pid = clone(dawdler, stack + sizeof stack, CLONE_VM | SIGCHLD, (void *)&go);
    HOLDS(pid > 0), CALL(waitpid(pid, &status, WNOHANG)), CALL(waitpid(-1, &status, WNOHANG)), CALL(kill(pid, 0));
    go = 1;
    HOLDS(waitpid(pid, &status, 0) == pid), show_status("runs beside", status);
    pid_t parent_tid = 0, child_tid = 0;
    pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_FILES | SIGCHLD, &value, &parent_tid, NULL, &child_tid);
    HOLDS(parent_tid == pid), HOLDS(child_tid == pid), HOLDS(wait(NULL) == pid);
    pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, &value, NULL, NULL, &child_tid);
    SHOW(child_tid), HOLDS(wait(NULL) == pid);
    // A child without a signal is one of those that only __WCLONE and __WALL wait for.
    pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK, &value);
    CALL(waitpid(pid, &status, 0)), CALL(waitpid(-1, &status, __WCLONE | __WNOTHREAD) == pid), show_status("no signal", status);
    // A program that was executed is like any other child.
    pid = clone(runs_true, stack + sizeof stack, CLONE_VM | CLONE_VFORK, NULL);
    HOLDS(waitpid(pid, &status, 0) == pid), show_status("no signal, executed", status);
    signal(SIGUSR2, SIG_IGN);
    pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGUSR2, &value);
    CALL(waitpid(pid, &status, 0));
    HOLDS(waitpid(pid, &status, __WALL) == pid), show_status("another signal", status);
}

static void refusing(void) {
    SECTION("what clone refuses");
    CALL(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0));
    CALL(syscall(SYS_clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0, 0, 0));
    CALL(syscall(SYS_clone, CLONE_NEWUSER | CLONE_FS | SIGCHLD, 0, 0, 0, 0));
    CALL(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &seen, 0, 0));
    CALL(syscall(SYS_clone, CLONE_PIDFD | CLONE_DETACHED | SIGCHLD, 0, &seen, 0, 0));
    struct clone_args ca = {.flags = SIGCHLD};
    CALL(syscall(SYS_clone3, &ca, sizeof ca));
    ca = (struct clone_args){.exit_signal = 65};
    CALL(syscall(SYS_clone3, &ca, sizeof ca));
    ca = (struct clone_args){.exit_signal = SIGCHLD, .flags = CLONE_PARENT};
    CALL(syscall(SYS_clone3, &ca, sizeof ca));
    ca = (struct clone_args){.exit_signal = SIGCHLD, .flags = CLONE_DETACHED};
    CALL(syscall(SYS_clone3, &ca, sizeof ca));
    ca = (struct clone_args){.exit_signal = SIGCHLD, .flags = CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND};
    CALL(syscall(SYS_clone3, &ca, sizeof ca));
    ca = (struct clone_args){.exit_signal = SIGCHLD, .flags = 1ULL << 40};
    CALL(syscall(SYS_clone3, &ca, sizeof ca));
    ca = (struct clone_args){.exit_signal = SIGCHLD, .stack = (uintptr_t)stack};
    CALL(syscall(SYS_clone3, &ca, sizeof ca));
}

static volatile sig_atomic_t signals;
static siginfo_t last;
static void on_child(int signal, siginfo_t *info, void *context) {
    (void)context;
    signals++, last = *info;
    if (signal != info->si_signo) signals += 100;
}

static void telling(void) {
    SECTION("SIGCHLD");
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART};
    CALL(sigaction(SIGCHLD, &action, NULL));
    sigset_t set, old, pending;
    sigemptyset(&set), sigaddset(&set, SIGCHLD), sigprocmask(SIG_BLOCK, &set, &old);
    int status, value = 0;
    pid_t pid = vfork();
    if (pid == 0) _exit(9);
    while (!signals) sigsuspend(&old);
    SHOW(signals), show_info("exited", &last, pid), HOLDS(waitpid(pid, &status, WNOHANG) == pid), show_status("it", status);
    pid = vfork();
    if (pid == 0) raise(SIGKILL);
    while (signals < 2) sigsuspend(&old);
    show_info("killed", &last, pid), HOLDS(waitpid(pid, &status, WNOHANG) == pid);
    // With the signal blocked it is pending when the child can be waited for.
    pid = vfork();
    if (pid == 0) _exit(1);
    HOLDS(wait(NULL) == pid), sigpending(&pending), HOLDS(sigismember(&pending, SIGCHLD));
    sigprocmask(SIG_UNBLOCK, &set, NULL), SHOW(signals);
    SECTION("children that nobody waits for");
    action = (struct sigaction){.sa_handler = SIG_IGN};
    sigaction(SIGCHLD, &action, NULL);
    pid = vfork();
    if (pid == 0) _exit(1);
    CALL(waitpid(pid, &status, 0));
    action = (struct sigaction){.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_NOCLDWAIT};
    sigaction(SIGCHLD, &action, NULL);
    signals = 0;
    pid = vfork();
    if (pid == 0) _exit(1);
    CALL(wait(&status)), SHOW(signals);
    // A wait that has begun before is not interrupted by the signal of what it waits for.
    int interrupted = 0;
    for (int i = 0; i < 100; i++) {
        if (i == 50) action.sa_flags = SA_SIGINFO, sigaction(SIGCHLD, &action, NULL);
        pid = fork();
        if (pid == 0) usleep(1 + i % 50 * 20), _exit(0);
        pid_t waited = wait(&status);
        interrupted += i < 50 ? waited != -1 || errno != ECHILD : waited != pid;
    }
    SHOW(interrupted);
    action.sa_flags = SA_SIGINFO | SA_NOCLDWAIT;
    sigaction(SIGCHLD, &action, NULL);
    // Another signal than SIGCHLD is another matter.
    pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK, &value);
    HOLDS(waitpid(pid, &status, __WALL) == pid);
    signal(SIGCHLD, SIG_DFL);
}

static void waiting(void) {
    SECTION("waitid");
    siginfo_t info;
    pid_t pid = vfork();
    if (pid == 0) _exit(4);
    memset(&info, 0x55, sizeof info);
    CALL(waitid(P_PID, pid, &info, WEXITED | WNOWAIT)), show_info("looked", &info, pid);
    CALL(waitid(P_PID, pid, &info, WEXITED | WNOHANG)), show_info("taken", &info, pid);
    memset(&info, 0x55, sizeof info);
    CALL(waitid(P_PID, pid, &info, WEXITED)), SHOW(info.si_signo), SHOW(info.si_pid), SHOW(info.si_status);
    memset(&info, 0x55, sizeof info);
    CALL(waitid(P_ALL, 0, &info, 0)), SHOW(info.si_signo);
    CALL(waitid(P_ALL, 0, &info, WEXITED | 0x100)), CALL(waitid(P_PID, 0, &info, WEXITED)), CALL(waitid(P_PID, -1, &info, WEXITED)), CALL(waitid(P_PGID, -1, &info, WEXITED)), CALL(waitid(7, 1, &info, WEXITED));
    CALL(waitid(P_PIDFD, -1, &info, WEXITED)), CALL(waitid(P_PIDFD, 1000, &info, WEXITED)), CALL(waitid(P_PIDFD, 1, &info, WEXITED));
    CALL(waitid(P_ALL, 0, &info, WEXITED)), CALL(waitid(P_PGID, 0, &info, WEXITED | WNOHANG));
    pid = vfork();
    if (pid == 0) _exit(4);
    CALL(waitid(P_ALL, 0, &info, WSTOPPED)), CALL(waitid(P_ALL, 0, &info, WSTOPPED | WNOHANG));
    CALL(syscall(SYS_waitid, P_ALL, 0, BADPTR, WEXITED, NULL)), CALL(wait(NULL));
    pid = vfork();
    if (pid == 0) _exit(4);
    CALL(syscall(SYS_wait4, pid, BADPTR, 0, NULL)), CALL(wait(NULL));
    SECTION("rusage");
    struct rusage usage, before, after;
    getrusage(RUSAGE_CHILDREN, &before);
    go = 0;
    pid = vfork();
    if (pid == 0) {
        int64_t end = now_ms() + 50;
        while (now_ms() < end) {}
        _exit(0);
    }
    HOLDS(wait4(pid, NULL, 0, &usage) == pid);
    HOLDS(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec > 10000);
    getrusage(RUSAGE_CHILDREN, &after);
    HOLDS(after.ru_utime.tv_sec * 1000000 + after.ru_utime.tv_usec + after.ru_stime.tv_usec > before.ru_utime.tv_usec + before.ru_stime.tv_usec + 10000);
    pid = vfork();
    if (pid == 0) _exit(0);
    HOLDS(syscall(SYS_waitid, P_PID, pid, NULL, WEXITED, &usage) == 0);
    CALL(wait4(-1, NULL, 0, BADPTR));
}

int main(void) {
    spawning(), vforking(), cloning(), refusing(), telling(), waiting();
    return 0;
}
