// Processes by descriptor: pidfd_open, CLONE_PIDFD, pidfd_send_signal, pidfd_getfd, waiting and polling; execveat.
#include "oracle.h"
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define C(name, ...) syscall(SYS_##name, ##__VA_ARGS__)

static char stack[64 << 10] __attribute__((aligned(16)));
static volatile int go;
static int waits(void *arg) {
    while (!go) sched_yield();
    return 12 + (arg != NULL);
}
static volatile pid_t thread_id;
static void *sleeps(void *arg) {
    thread_id = gettid();
    while (!go) msleep(1);
    return arg;
}
static volatile sig_atomic_t signals;
static volatile pid_t signalled;
static siginfo_t last;
static void on_signal(int signal, siginfo_t *info, void *context) { (void)signal, (void)context, signalled = gettid(), last = *info, signals++; }

/* One thread, PIDFD_THREAD. */
static void of_threads(void) {
    SECTION("PIDFD_THREAD");
    pthread_t thread;
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    go = 0, thread_id = 0, pthread_create(&thread, NULL, sleeps, NULL);
    while (!thread_id) sched_yield();
    pid_t tid = thread_id;
    int fd = CALL(C(pidfd_open, tid, O_EXCL)), own = CALL(C(pidfd_open, getpid(), O_EXCL | O_NONBLOCK));
    struct pollfd polled = {fd, POLLIN, 0};
    CALL(poll(&polled, 1, 0));
    CALL(C(pidfd_send_signal, fd, SIGUSR1, NULL, 0));
    while (!signals) sched_yield();
    HOLDS(signalled == tid);
    CALL(C(pidfd_send_signal, own, SIGUSR1, NULL, 1));
    HOLDS(signalled == getpid());
    CALL(C(pidfd_send_signal, fd, SIGUSR1, NULL, 1));
    while (signals < 3) sched_yield();
    HOLDS(signalled == tid);
    int copy = CALL(C(pidfd_getfd, fd, 1, 0));
    close(copy);
    CALL(fcntl(own, F_GETFL) & O_NONBLOCK);
    go = 1;
    CALL(poll(&polled, 1, 5000));
    pthread_join(thread, NULL);
    HOLDS(polled.revents & POLLIN);
    CALL(C(pidfd_send_signal, fd, SIGUSR1, NULL, 0));
    CALL(C(pidfd_open, tid, O_EXCL));
    CALL(C(pidfd_open, 0x3fffffff, O_EXCL)), CALL(C(pidfd_open, 0, O_EXCL));
    close(fd), close(own), signals = 0, thread_id = 0;
}

static void opening(void) {
    SECTION("pidfd_open");
    char path[64], text[300] = "";
    pthread_t thread;
    go = 0, pthread_create(&thread, NULL, sleeps, NULL);
    while (!thread_id) sched_yield();
    CALL(C(pidfd_open, thread_id, 0)), CALL(C(pidfd_open, 0, 0)), CALL(C(pidfd_open, -1, 0)), CALL(C(pidfd_open, getpid(), 1)), CALL(C(pidfd_open, 0x3fffffff, 0));
    go = 1, pthread_join(thread, NULL);
    int fd = CALL(C(pidfd_open, getpid(), 0));
    CALL(read(fd, text, 1)), CALL(write(fd, text, 1)), CALL(lseek(fd, 0, SEEK_SET)), CALL(fcntl(fd, F_GETFD)), CALL(fcntl(fd, F_GETFL));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd), CALL(readlink(path, text, sizeof text)), puts(text);
    CALL(C(pidfd_send_signal, fd, 0, NULL, 0)), CALL(C(pidfd_send_signal, fd, 0, NULL, 64)), CALL(C(pidfd_send_signal, fd, 65, NULL, 0)), CALL(C(pidfd_send_signal, 0, 0, NULL, 0)), CALL(C(pidfd_send_signal, -1, 0, NULL, 0)), CALL(C(pidfd_send_signal, fd, 0, BADPTR, 0));
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE, .si_value.sival_int = 5};
    CALL(C(pidfd_send_signal, fd, SIGUSR2, &info, 0)), CALL(C(pidfd_send_signal, fd, SIGUSR1, &info, 0)), SHOW(last.si_value.sival_int), SHOW(last.si_code);
    CALL(C(pidfd_send_signal, fd, SIGUSR1, NULL, 0)), SHOW(last.si_code), HOLDS(last.si_pid == getpid()), SHOW(signals);
    CALL(C(pidfd_getfd, fd, 99, 0)), CALL(C(pidfd_getfd, fd, 1, 1)), CALL(C(pidfd_getfd, 0, 1, 0)), CALL(C(pidfd_getfd, fd, 1, 0)), close(fd + 1), close(fd);
}

static void directory(void) {
    SECTION("a directory of /proc");
    signals = 0;
    int self = open("/proc/self", O_RDONLY | O_DIRECTORY), place = open("/proc/self", O_PATH), other = open("/proc/self/task", O_RDONLY), proc = open("/proc", O_RDONLY), plain = open("/", O_RDONLY);
    CALL(C(pidfd_send_signal, self, SIGUSR1, NULL, 0)), SHOW(signals), CALL(C(pidfd_send_signal, self, 0, NULL, 0)), CALL(C(pidfd_send_signal, self, 65, NULL, 0));
    CALL(C(pidfd_send_signal, place, 0, NULL, 0)), CALL(C(pidfd_send_signal, other, 0, NULL, 0)), CALL(C(pidfd_send_signal, proc, 0, NULL, 0)), CALL(C(pidfd_send_signal, plain, 0, NULL, 0)), CALL(C(pidfd_getfd, self, 0, 0));
    char path[64];
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    snprintf(path, sizeof path, "/proc/%d", pid);
    int child = open(path, O_RDONLY);
    siginfo_t info;
    waitid(P_PID, pid, &info, WEXITED | WNOWAIT), CALL(C(pidfd_send_signal, child, 0, NULL, 0)), waitpid(pid, NULL, 0), CALL(C(pidfd_send_signal, child, 0, NULL, 0));
    close(self), close(place), close(other), close(proc), close(plain), close(child);
}

static void waiting(void) {
    SECTION("a child by descriptor");
    struct clone_args ca = {.flags = CLONE_VM | CLONE_PIDFD, .exit_signal = SIGCHLD};
    int fd = -1, other;
    siginfo_t info = {0};
    go = 0;
    pid_t pid = clone(waits, stack + sizeof stack, CLONE_VM | CLONE_PIDFD | SIGCHLD, NULL, &fd);
    SHOW(fd), CALL(fcntl(fd, F_GETFD));
    struct pollfd ready = {fd, POLLIN, 0};
    CALL(poll(&ready, 1, 0)), CALL(waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG)), SHOW(info.si_pid);
    other = C(pidfd_open, pid, O_NONBLOCK), CALL(waitid(P_PIDFD, other, &info, WEXITED));
    int set = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.u32 = 9}};
    CALL(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event)), CALL(epoll_wait(set, &event, 1, 0));
    CALL(C(pidfd_getfd, fd, 1, 0)), close(set + 1);
    go = 1;
    CALL(epoll_wait(set, &event, 1, -1)), SHOW(event.events & EPOLLIN), CALL(poll(&ready, 1, -1)), SHOW(ready.revents & POLLIN);
    CALL(C(pidfd_send_signal, fd, 0, NULL, 0));
    CALL(waitid(P_PIDFD, fd, &info, WEXITED | WNOWAIT)), CALL(waitid(P_PIDFD, other, &info, WEXITED)), HOLDS(info.si_pid == pid), SHOW(info.si_status);
    CALL(waitid(P_PIDFD, fd, &info, WEXITED)), CALL(C(pidfd_send_signal, fd, 0, NULL, 0)), CALL(C(pidfd_getfd, fd, 1, 0)), CALL(poll(&ready, 1, 0)), SHOW(ready.revents & POLLIN);
    close(fd), close(other), close(set);
    ca.pidfd = 1;
    CALL(C(clone3, &ca, sizeof ca)), CALL(waitpid(-1, NULL, WNOHANG));
}

extern char **environ;
static void put(const char *name, const char *text, int mode) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    write(fd, text, strlen(text)), fchmod(fd, mode), close(fd);
}
static void run(const char *what, int dir, const char *path, int flags) {
    char *argv[] = {"first", "second", NULL}, *env[] = {"A=b", NULL};
    int status = -1;
    volatile int error = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        C(execveat, dir, path, argv, env, flags);
        error = errno, _exit(1);
    }
    waitpid(pid, &status, 0);
    printf("%s: %s, %x\n", what, error ? oracle_errname(error) : "ran", status);
}
static void executing(void) {
    SECTION("execveat");
    char self[PATH_MAX] = "";
    readlink("/proc/self/exe", self, sizeof self - 1);
    mkdir("dir", 0755), put("dir/script", "#!/bin/echo with\n", 0755), put("dir/plain", "text", 0644), symlink("script", "dir/link");
    int dir = open("dir", O_RDONLY | O_DIRECTORY), closing = open("dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int script = open("dir/script", O_RDONLY), gone = open("dir/script", O_RDONLY | O_CLOEXEC), program = open(self, O_RDONLY | O_CLOEXEC), path = open(self, O_PATH | O_CLOEXEC);
    run("a script in a directory", dir, "script", 0), run("in one that closes", closing, "script", 0), run("by a link", dir, "link", 0), run("by a link that is not followed", dir, "link", AT_SYMLINK_NOFOLLOW);
    run("by descriptor", script, "", AT_EMPTY_PATH), run("by one that closes", gone, "", AT_EMPTY_PATH), run("without the flag", script, "", 0), run("what is not executable", dir, "plain", 0), run("nothing", dir, "nope", 0);
    run("a program", program, "", AT_EMPTY_PATH), run("by path only", path, "", AT_EMPTY_PATH), run("a directory", dir, "", AT_EMPTY_PATH), run("flags", dir, "script", 0x8000), run("no descriptor", -1, "script", 0), run("not a directory", script, "x", 0), run("no string", dir, BADPTR, 0);
    run("relative to here", AT_FDCWD, "dir/script", 0), run("absolute", -1, self, 0);
}

static int second(char **argv) {
    char name[17] = "", link[PATH_MAX] = "";
    prctl(PR_GET_NAME, name), readlink("/proc/self/exe", link, sizeof link - 1);
    printf("%s %s, %s, of %d characters\n", argv[0], argv[1], environ[0], (int)strlen(strrchr(link, '/')));
    HOLDS(strlen(name) > 1);
    return 4;
}

int main(int argc, char **argv) {
    if (argc > 1) return second(argv);
    of_threads(), opening(), directory(), waiting(), executing();
    return 0;
}
