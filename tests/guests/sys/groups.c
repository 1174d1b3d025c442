// Job control and what else processes do to each other: groups, sessions, stopping, orphans, signals, limits, memory.
#include "oracle.h"
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;
static char self[PATH_MAX];

static void show_info(const char *what, const siginfo_t *info, pid_t pid) {
    printf("%s: signo %d code %d status %d, pid %s, uid %s\n", what, info->si_signo, info->si_code, info->si_status,
           info->si_pid == pid ? "right" : "other", info->si_uid == getuid() ? "right" : "other");
}

/* This program again, in another role. It reads from descriptor 0 what we tell it, and writes to 2 what it tells us. */
static int to_child[2], from_child[2];
static pid_t start(const char *role, short flags, pid_t group) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions), posix_spawnattr_init(&attributes);
    pipe2(to_child, O_CLOEXEC), pipe2(from_child, O_CLOEXEC);
    posix_spawn_file_actions_adddup2(&actions, to_child[0], 0), posix_spawn_file_actions_adddup2(&actions, from_child[1], 2);
    posix_spawnattr_setflags(&attributes, flags), posix_spawnattr_setpgroup(&attributes, group);
    char number[20];
    snprintf(number, sizeof number, "%d", getpid());
    char *argv[] = {"groups", (char *)role, number, NULL};
    pid_t pid = -1;
    int error = posix_spawn(&pid, self, &actions, &attributes, argv, environ);
    if (error) printf("%s: %s\n", role, oracle_errname(error));
    posix_spawn_file_actions_destroy(&actions), posix_spawnattr_destroy(&attributes);
    close(from_child[1]), close(to_child[0]);
    return pid;
}
/* What the child says next. */
static const char *said(void) {
    static char text[200];
    ssize_t len = read(from_child[0], text, sizeof text - 1);
    text[len > 0 ? len : 0] = 0;
    return text;
}
/* All that it and its children still say. */
static const char *rest(void) {
    static char text[1000];
    size_t len = 0;
    for (ssize_t got; (got = read(from_child[0], text + len, sizeof text - 1 - len)) > 0; len += got) {}
    text[len] = 0;
    return text;
}
static void end(pid_t pid) {
    int status = -1;
    close(to_child[1]);
    HOLDS(waitpid(pid, &status, 0) == pid), SHOW(status), close(from_child[0]);
}
static void say(const char *text) { write(2, text, strlen(text)); }

static char state(pid_t pid, int field, long *value) {
    char path[64], text[1000] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0) return '?';
    close(fd);
    char *at = strrchr(text, ')') + 2, result = *at;
    for (int i = 3; i < field; i++) at = strchr(at, ' ') + 1;
    if (field > 3) *value = atol(at);
    return result;
}

static char stack[64 << 10] __attribute__((aligned(16)));
static volatile int go;
static int waits(void *arg) {
    while (!go) sched_yield();
    return arg != NULL;
}
static int looks_up(void *starter) { return getppid() == (pid_t)(intptr_t)starter ? 9 : 10; }

static void groups(void) {
    SECTION("groups and sessions");
    pid_t pid = start("idle", POSIX_SPAWN_SETPGROUP, 0);
    puts(said());
    HOLDS(getpgid(pid) == pid), HOLDS(getsid(pid) == getsid(0)), CALL(setpgid(pid, getpgrp()));
    long value = 0;
    state(pid, 4, &value), HOLDS(value == getpid()), state(pid, 5, &value), HOLDS(value == pid), state(pid, 6, &value), HOLDS(value == getsid(0));
    CALL(kill(-pid, 0)), CALL(killpg(pid, SIGUSR1)), puts(said());
    CALL(waitpid(0, NULL, WNOHANG)), CALL(waitpid(-pid, NULL, WNOHANG)), CALL(waitid(P_PGID, pid, NULL, WEXITED | WNOHANG)), CALL(waitid(P_PGID, 0x3fffffff, NULL, WEXITED | WNOHANG));
    CALL(setpriority(PRIO_PGRP, pid, 3)), CALL(getpriority(PRIO_PROCESS, pid)), CALL(getpriority(PRIO_PGRP, pid)), CALL(getpriority(PRIO_PGRP, 0x3fffffff));
    end(pid);
    CALL(kill(-pid, 0)), CALL(getpgid(pid));
    pid = start("idle", POSIX_SPAWN_SETSID, 0);
    puts(said());
    HOLDS(getsid(pid) == pid), HOLDS(getpgid(pid) == pid), CALL(setpgid(pid, pid)), CALL(setpgid(0, pid)), end(pid);
    // Before it executes a program a child can be moved; here it is a thread of another process in our memory.
    go = 0;
    pid = clone(waits, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    HOLDS(getpgid(pid) == getpgrp()), CALL(setpgid(pid, 0)), HOLDS(getpgid(pid) == pid), CALL(setpgid(pid, getpgrp()) == 0), HOLDS(getpgid(pid) == getpgrp());
    CALL(setpgid(pid, 0x3ffffff0)), CALL(setpgid(pid, -1));
    struct rlimit limit = {77, 99}, old;
    CALL(prlimit(pid, RLIMIT_NOFILE, &limit, NULL)), CALL(prlimit(pid, RLIMIT_NOFILE, NULL, &old)), SHOW(old.rlim_cur), SHOW(old.rlim_max), CALL(prlimit(0x3fffffff, RLIMIT_NOFILE, NULL, &old));
    getrlimit(RLIMIT_NOFILE, &old), HOLDS(old.rlim_cur != 77);
    go = 1;
    HOLDS(waitpid(pid, NULL, 0) == pid);
    // A group lives on in a child that has ended.
    pid = vfork();
    if (pid == 0) setpgid(0, 0), _exit(0);
    CALL(waitid(P_PID, pid, NULL, WEXITED | WNOWAIT)), CALL(kill(-pid, 0)), HOLDS(state(pid, 3, NULL) == 'Z'), state(pid, 5, &value), HOLDS(value == pid);
    char path[64], text[10];
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    int fd = open(path, O_RDONLY);
    CALL(read(fd, text, sizeof text)), close(fd);
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid()), snprintf(text, sizeof text, "%d ", pid);
    char list[100] = "";
    fd = open(path, O_RDONLY), read(fd, list, sizeof list - 1), close(fd), HOLDS(!strcmp(list, text));
    CALL(kill(pid, SIGKILL)), HOLDS(waitpid(pid, NULL, 0) == pid), CALL(kill(-pid, 0)), HOLDS(state(pid, 3, NULL) == '?');
}

static volatile sig_atomic_t signals;
static siginfo_t last;
static void on_child(int signal, siginfo_t *info, void *context) { (void)signal, (void)context, signals++, last = *info; }

static void stopping(void) {
    SECTION("stopping");
    siginfo_t info;
    int status;
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO};
    sigset_t none, set;
    sigemptyset(&none), sigemptyset(&set), sigaddset(&set, SIGCHLD), sigprocmask(SIG_BLOCK, &set, NULL), sigaction(SIGCHLD, &action, NULL);
    pid_t pid = start("idle", POSIX_SPAWN_SETSIGMASK, 0);
    puts(said());
    CALL(kill(pid, SIGSTOP)), HOLDS(waitpid(pid, &status, WUNTRACED) == pid), SHOW(status);
    sigsuspend(&none), SHOW(signals), show_info("stopped", &last, pid), HOLDS(state(pid, 3, NULL) == 'T');
    CALL(waitpid(pid, &status, WUNTRACED | WNOHANG)), CALL(kill(pid, SIGUSR1));
    struct pollfd quiet = {from_child[0], POLLIN, 0};
    CALL(poll(&quiet, 1, 50));
    CALL(kill(pid, SIGCONT)), HOLDS(waitpid(pid, &status, WCONTINUED) == pid), SHOW(status), HOLDS(WIFCONTINUED(status));
    sigsuspend(&none), SHOW(signals), show_info("continued", &last, pid), puts(said());
    CALL(waitpid(pid, &status, WCONTINUED | WNOHANG)), CALL(kill(pid, SIGCONT)), CALL(waitpid(pid, &status, WCONTINUED | WNOHANG));
    CALL(kill(pid, SIGTSTP)), CALL(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT)), show_info("looked", &info, pid), CALL(waitid(P_PID, pid, &info, WSTOPPED)), show_info("taken", &info, pid);
    CALL(kill(pid, SIGCONT)), CALL(waitid(P_ALL, 0, &info, WCONTINUED)), show_info("continued", &info, pid);
    sigsuspend(&none), action.sa_flags |= SA_NOCLDSTOP, sigaction(SIGCHLD, &action, NULL), signals = 0;
    CALL(kill(pid, SIGSTOP)), HOLDS(waitpid(pid, &status, WUNTRACED) == pid), CALL(kill(pid, SIGKILL)), HOLDS(waitpid(pid, &status, 0) == pid), SHOW(status);
    sigsuspend(&none), SHOW(signals), show_info("killed", &last, pid);
    close(to_child[1]), close(from_child[0]), sigprocmask(SIG_UNBLOCK, &set, NULL), signal(SIGCHLD, SIG_DFL);
}

static void on_alarm(int signal) { (void)signal; }

static void interrupting(void) {
    SECTION("a signal while waiting");
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    pid_t pid = start("idle", 0, 0);
    puts(said());
    ualarm(20000, 0), CALL(waitpid(pid, NULL, 0)), ualarm(20000, 0), CALL(waitid(P_ALL, 0, NULL, WEXITED));
    action.sa_flags = SA_RESTART, sigaction(SIGALRM, &action, NULL), ualarm(20000, 0), kill(pid, SIGUSR2), end(pid);
}

static void orphans(void) {
    SECTION("orphans");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t pid = start("leaves a stopped group", POSIX_SPAWN_SETSID, 0);
    int status;
    HOLDS(waitpid(pid, &status, 0) == pid), SHOW(status);
    printf("%s", rest()), HOLDS(wait(&status) > 0), SHOW(status), close(to_child[1]), close(from_child[0]);
    pid = start("leaves one that listens", 0, 0);
    HOLDS(waitpid(pid, &status, 0) == pid), SHOW(status);
    printf("%s", rest()), HOLDS(wait(&status) > 0), SHOW(status), close(to_child[1]), close(from_child[0]);
    pid = start("leaves a dead one", 0, 0);
    HOLDS(waitpid(pid, &status, 0) == pid), SHOW(status), HOLDS(wait(&status) > 0), SHOW(status), CALL(wait(&status)), close(to_child[1]), close(from_child[0]);
    pid = start("has a sibling", 0, 0);
    HOLDS(waitpid(pid, &status, 0) == pid), SHOW(status), HOLDS(wait(&status) > 0), SHOW(status), close(to_child[1]), close(from_child[0]);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static volatile char window[] = "old text";

static void reaching(void) {
    SECTION("signals and memory of others");
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL), sigaction(SIGRTMIN, &action, NULL);
    signals = 0;
    pid_t pid = start("signals its parent", 0, 0);
    int status;
    while (signals < 1) msleep(1);
    SHOW(last.si_code), HOLDS(last.si_pid == pid), write(to_child[1], "", 1);
    while (signals < 2) msleep(1);
    SHOW(last.si_code), HOLDS(last.si_pid == pid), SHOW(last.si_value.sival_int), write(to_child[1], "", 1);
    while (signals < 3) msleep(1);
    SHOW(last.si_code), HOLDS(last.si_pid == pid), end(pid);
    pid = start("shows memory", 0, 0);
    void *there = NULL;
    sscanf(said(), "%p", &there);
    char text[sizeof window] = "";
    struct iovec local = {text, sizeof window}, remote = {there, sizeof window};
    CALL(process_vm_readv(pid, &local, 1, &remote, 1, 0)), puts(text), memcpy(text, "new", 3);
    CALL(process_vm_writev(pid, &local, 1, &remote, 1, 0)), write(to_child[1], "", 1), puts(said()), end(pid), SHOW(strcmp((char *)window, "old text"));
    CALL(process_vm_readv(pid, &local, 1, &remote, 1, 0));
    SECTION("limits and rights");
    pid = start("is nobody", 0, 0);
    HOLDS(waitpid(pid, &status, 0) == pid), SHOW(status);
    close(to_child[1]), close(from_child[0]);
}

/* The roles. */
static void on_usr1(int signal) { (void)signal, say("SIGUSR1"); }
static void on_hup(int signal) { (void)signal, say("hung up\n"); }
static void on_cont(int signal) { (void)signal, say("goes on\n"); }
static void on_death(int signal) { (void)signal, say("the parent has died\n"); }

static int role(const char *name, pid_t starter) {
    char byte;
    int status = 0;
    if (!strcmp(name, "idle")) {
        signal(SIGUSR1, on_usr1), signal(SIGUSR2, SIG_DFL);
        say("here");
        while (read(0, &byte, 1) < 0 && errno == EINTR) {}
        return 0;
    }
    if (!strcmp(name, "leaves a stopped group")) {
        pid_t pid = vfork();
        if (pid == 0) setpgid(0, 0), execl(self, "groups", "stops", "0", NULL), _exit(1);
        return waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) ? 3 : 4;
    }
    if (!strcmp(name, "stops")) {
        signal(SIGHUP, on_hup), signal(SIGCONT, on_cont);
        raise(SIGTSTP); // its session has somebody who could let it go on
        msleep(1);
        raise(SIGTSTP); // nobody could: nothing happens
        return 5;
    }
    if (!strcmp(name, "leaves one that listens")) {
        sigset_t set;
        sigemptyset(&set), sigaddset(&set, SIGUSR2), sigprocmask(SIG_BLOCK, &set, NULL);
        if (vfork() == 0) execl(self, "groups", "listens", "0", NULL), _exit(1);
        return sigwaitinfo(&set, NULL) == SIGUSR2 ? 3 : 4;
    }
    if (!strcmp(name, "listens")) {
        pid_t parent = getppid();
        sigset_t set, old;
        signal(SIGUSR1, on_death), sigemptyset(&set), sigaddset(&set, SIGUSR1), sigprocmask(SIG_BLOCK, &set, &old);
        prctl(PR_SET_PDEATHSIG, SIGUSR1);
        kill(parent, SIGUSR2), sigsuspend(&old);
        return getppid() == parent ? 6 : 7;
    }
    if (!strcmp(name, "leaves a dead one")) {
        if (vfork() == 0) _exit(8);
        return 3;
    }
    if (!strcmp(name, "has a sibling")) {
        void *arg = (void *)(intptr_t)starter;
        return clone(looks_up, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PARENT | SIGCHLD, arg) > 0 && waitpid(-1, NULL, 0) < 0 && errno == ECHILD ? 3 : 4;
    }
    if (!strcmp(name, "signals its parent")) {
        union sigval value = {.sival_int = 77};
        kill(starter, SIGUSR1), read(0, &byte, 1), sigqueue(starter, SIGRTMIN, value), read(0, &byte, 1);
        syscall(SYS_tgkill, starter, starter, SIGUSR1);
        return 0;
    }
    if (!strcmp(name, "shows memory")) {
        char text[40];
        snprintf(text, sizeof text, "%p", (void *)window), say(text), read(0, &byte, 1), say((char *)window);
        return 0;
    }
    if (!strcmp(name, "is nobody")) {
        struct rlimit limit = {0, 0};
        CALL(setrlimit(RLIMIT_NPROC, &limit)), CALL(setresgid(65534, 65534, 65534)), CALL(setresuid(65534, 65534, 65534));
        CALL(kill(starter, 0)), CALL(kill(starter, SIGCONT)), CALL(kill(starter, SIGTERM)), CALL(vfork());
        CALL(prlimit(starter, RLIMIT_NOFILE, NULL, &limit)), CALL(setpriority(PRIO_PROCESS, starter, 5)), CALL(syscall(SYS_sched_setaffinity, starter, 8, "\1\0\0\0\0\0\0")), CALL(process_vm_readv(starter, &(struct iovec){&byte, 1}, 1, &(struct iovec){&byte, 1}, 1, 0)), CALL(syscall(SYS_tgkill, starter, starter, SIGUSR1));
        return 0;
    }
    return 99;
}

int main(int argc, char **argv) {
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) return 1;
    if (argc > 2) return role(argv[1], atoi(argv[2]));
    groups(), stopping(), interrupting(), orphans(), reaching();
    return 0;
}
