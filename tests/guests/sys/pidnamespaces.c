/* Namespaces of process numbers: who is called what from where, init and its end. */
// flags: -pthread
#include "oracle.h"
#include <dirent.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

static long unshare_(unsigned long flags) { return syscall(SYS_unshare, flags); }
static long setns_(int fd, int kind) { return syscall(SYS_setns, fd, kind); }
static pid_t new_process(unsigned long flags) { return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0); }
static long tid(void) { return syscall(SYS_gettid); }

/* What a child with `flags` does, and its end. */
#define IN(flags, ...) do { fflush(stdout); pid_t pid_ = new_process(flags); if (pid_ == 0) { __VA_ARGS__; fflush(stdout); _exit(0); } \
        int status_; waitpid(pid_, &status_, 0); if (status_) printf("child ended with %x\n", status_); } while (0)
#define CHILD(...) IN(0, __VA_ARGS__)

static int numbers_in(const char *path) {
    DIR *d = opendir(path);
    struct dirent *e;
    int n = 0;
    while (d && (e = readdir(d))) n += e->d_name[0] >= '0' && e->d_name[0] <= '9';
    if (d) closedir(d);
    return n;
}
static void line_of(const char *path, const char *word) {
    char line[512];
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) if (!strncmp(line, word, strlen(word))) fputs(line, stdout);
    if (f) fclose(f);
}
/* How many numbers a line of status has. */
static int depth(const char *path) {
    char line[512];
    int n = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "NSpid:", 6)) for (char *p = line; *p; p++) n += *p == '\t';
    if (f) fclose(f);
    return n;
}
static void link_of(const char *path) {
    char text[64] = "";
    readlink(path, text, sizeof text - 1);
    printf("%s -> %s\n", path, text);
}

static void *other_thread(void *arg) { SHOW(tid()); SHOW(getpid()); return arg; }

static void numbers(void) {
    SECTION("numbers");
    pid_t outside = getpid();
    IN(CLONE_NEWPID, {
        SHOW(getpid()); SHOW(tid()); SHOW(getppid()); SHOW(getpgrp()); SHOW(getsid(0));
        CALL(getpgid(1)); CALL(getpgid(2)); CALL(getsid(1));
        CALL(kill(outside + 100000, 0));
        CALL(setsid()); SHOW(getpgrp()); SHOW(getsid(0));
        SHOW(syscall(SYS_set_tid_address, 0));
        pthread_t t;
        pthread_create(&t, NULL, other_thread, NULL), pthread_join(t, NULL);
        int told = 0, own = 0;
        pid_t p = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &told, &own, 0);
        if (p == 0) { SHOW(own); SHOW(getpid()); SHOW(getppid()); fflush(stdout); _exit(7); }
        int status;
        CALL(waitpid(p, &status, 0)); SHOW(p); SHOW(told); SHOW(WEXITSTATUS(status));
        p = fork();
        if (p == 0) { CALL(setpgid(0, 0)); SHOW(getpgrp()); fflush(stdout); pause(); }
        msleep(30);
        CALL(getpgid(p)); CALL(kill(-p, SIGTERM));
        siginfo_t info = {0};
        CALL(waitid(P_PGID, p, &info, WEXITED)); SHOW(info.si_pid); SHOW(info.si_status);
        CALL(waitpid(outside, NULL, 0)); CALL(waitpid(-99, NULL, 0));
        CALL(sched_getscheduler(1)); CALL(sched_getscheduler(outside + 100000));
    });
    SHOW(getpid() == outside);
    /* Two deep: each sees inwards. */
    IN(CLONE_NEWPID, {
        int p[2];
        pipe(p);
        fflush(stdout);
        pid_t inner = new_process(CLONE_NEWPID);
        if (inner == 0) { SHOW(getpid()); SHOW(getppid()); fflush(stdout); write(p[1], "x", 1); pause(); }
        char c;
        read(p[0], &c, 1);
        SHOW(inner); SHOW(getpid());
        CALL(kill(inner, SIGTERM)); CALL(kill(inner, 0));
        CALL(kill(inner, SIGKILL));
        int status;
        CALL(waitpid(inner, &status, 0)); SHOW(WTERMSIG(status));
    });
}

static void on_signal(int n, siginfo_t *info, void *c) {
    (void)c;
    printf("signal %d code %d from %s\n", n, info->si_code, info->si_pid == 0 ? "outside" : info->si_pid == 1 ? "init" : "inside");
}
static void listen_to(int signal) {
    struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(signal, &a, NULL);
}

static void signals(void) {
    SECTION("signals");
    setvbuf(stdout, NULL, _IONBF, 0);
    int p[2], q[2];
    char c;
    pipe(p), pipe(q);
    pid_t init = new_process(CLONE_NEWPID);
    if (init == 0) {
        /* Nothing without a handler does anything to it from within, not even what nobody can handle. */
        CALL(kill(1, SIGTERM)); CALL(kill(1, SIGKILL)); CALL(kill(1, SIGSTOP)); CALL(raise(SIGINT));
        listen_to(SIGUSR1); listen_to(SIGUSR2); listen_to(SIGRTMIN);
        CALL(kill(1, SIGUSR1)); CALL(raise(SIGUSR2));
        sigset_t usr1;
        sigemptyset(&usr1); sigaddset(&usr1, SIGUSR1); sigaddset(&usr1, SIGUSR2); sigaddset(&usr1, SIGRTMIN);
        sigprocmask(SIG_BLOCK, &usr1, NULL);
        write(p[1], "x", 1);
        for (int i = 0; i < 3; i++) {
            siginfo_t info;
            sigwaitinfo(&usr1, &info);
            on_signal(info.si_signo, &info, NULL);
            write(p[1], "x", 1);
        }
        pid_t child = fork();
        if (child == 0) { kill(1, SIGUSR1); _exit(0); }
        siginfo_t info;
        sigwaitinfo(&usr1, &info);
        on_signal(info.si_signo, &info, NULL);
        CALL(waitpid(-1, NULL, 0));
        listen_to(SIGCHLD);
        if (fork() == 0) _exit(0);
        CALL(waitpid(-1, NULL, 0));
        write(p[1], "x", 1);
        for (;;) pause();
    }
    read(p[0], &c, 1);
    union sigval v = {.sival_int = 3};
    /* One of us prints at a time. */
    kill(init, SIGUSR1), read(p[0], &c, 1);
    syscall(SYS_tgkill, init, init, SIGUSR2), read(p[0], &c, 1);
    sigqueue(init, SIGRTMIN, v), read(p[0], &c, 1);
    read(p[0], &c, 1);
    CALL(kill(init, SIGTERM)); CALL(kill(init, SIGHUP));
    msleep(30);
    CALL(waitpid(init, NULL, WNOHANG));
    int status;
    CALL(kill(init, SIGSTOP));
    CALL(waitpid(init, &status, WUNTRACED) == init); SHOW(WIFSTOPPED(status));
    CALL(kill(init, SIGCONT));
    CALL(kill(init, SIGKILL));
    CALL(waitpid(init, &status, 0) == init); SHOW(WTERMSIG(status));
    /* What it does itself ends it. */
    init = new_process(CLONE_NEWPID);
    if (init == 0) { *(volatile int *)1 = 0; _exit(0); }
    CALL(waitpid(init, &status, 0) == init); SHOW(WTERMSIG(status));
    init = new_process(CLONE_NEWPID);
    if (init == 0) {
        for (int i = 0; i < 3; i++) if (fork() == 0) { for (;;) pause(); }
        msleep(20);
        CALL(kill(-1, SIGKILL));
        for (int i = 0; i < 3; i++) { wait(&status); SHOW(WTERMSIG(status)); }
        CALL(wait(NULL));
        _exit(0);
    }
    waitpid(init, &status, 0);
    setvbuf(stdout, NULL, _IOLBF, 4096);
}

static void orphans(void) {
    SECTION("orphans");
    IN(CLONE_NEWPID, {
        if (fork() == 0) {
            if (fork() == 0) { msleep(50); SHOW(getppid()); fflush(stdout); _exit(5); }
            _exit(0);
        }
        int status;
        CALL(wait(NULL)); CALL(wait(&status)); SHOW(WEXITSTATUS(status)); CALL(wait(NULL));
    });
    /* A subreaper outside gets nobody from inside, one inside does. */
    CHILD({
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        IN(CLONE_NEWPID, {
            pid_t reaper = fork();
            if (reaper == 0) {
                prctl(PR_SET_CHILD_SUBREAPER, 1);
                if (fork() == 0) { if (fork() == 0) { msleep(50); SHOW(getppid()); fflush(stdout); _exit(0); } _exit(0); }
                CALL(wait(NULL)); CALL(wait(NULL));
                fflush(stdout);
                _exit(0);
            }
            CALL(waitpid(reaper, NULL, 0));
        });
        CALL(wait(NULL));
    });
    /* Its end ends all the others, who are gone before anybody hears of it. */
    int p[2];
    pipe(p);
    pid_t init = new_process(CLONE_NEWPID);
    if (init == 0) {
        close(p[0]);
        for (int i = 0; i < 5; i++) if (fork() == 0) { signal(SIGTERM, SIG_IGN); if (i & 1) setsid(); if (i == 3) fork(); for (;;) pause(); }
        if (new_process(CLONE_NEWPID) == 0) { if (fork() == 0) for (;;) pause(); for (;;) pause(); }
        msleep(50);
        _exit(9);
    }
    close(p[1]);
    int status;
    CALL(waitpid(init, &status, 0) == init); SHOW(WEXITSTATUS(status));
    char c;
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    CALL(read(p[0], &c, 1));
    /* Nobody is born after it. */
    CHILD({
        CALL(unshare_(CLONE_NEWPID));
        CALL(unshare_(CLONE_NEWPID));
        pid_t first = fork();
        if (first == 0) _exit(0);
        waitpid(first, NULL, 0);
        CALL(fork());
        CALL(fork());
        pthread_t t;
        HOLDS(pthread_create(&t, NULL, other_thread, NULL) == EINVAL);
    });
}

static void proc(void) {
    SECTION("proc");
    mkdir("p", 0755);
    IN(CLONE_NEWPID | CLONE_NEWNS, {
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
        link_of("/proc/self/nothing");
        CALL(mount("proc", "p", "proc", 0, NULL));
        link_of("p/self"); link_of("p/thread-self");
        SHOW(numbers_in("p")); SHOW(numbers_in("p/1/task"));
        line_of("p/1/status", "Pid:"); line_of("p/1/status", "PPid:"); line_of("p/1/status", "NSpid:"); line_of("p/1/status", "Tgid:");
        pid_t child = fork();
        if (child == 0) { for (;;) pause(); }
        msleep(20);
        SHOW(numbers_in("p"));
        line_of("p/2/status", "PPid:"); line_of("p/2/status", "NStgid:");
        char text[64] = ""; int fd = open("p/2/stat", O_RDONLY);
        int pid = 0, ppid = 0;
        read(fd, text, 60); sscanf(text, "%d (%*[^)]) %*c %d", &pid, &ppid); SHOW(pid); SHOW(ppid);
        char children[16] = ""; fd = open("p/1/task/1/children", O_RDONLY); read(fd, children, 15); printf("children: %s\n", children);
        CALL(access("p/3", F_OK));
        int pidfd = syscall(SYS_pidfd_open, child, 0);
        char name[64]; sprintf(name, "p/self/fdinfo/%d", pidfd);
        line_of(name, "Pid:"); line_of(name, "NSpid:");
        /* The old one shows them by the outer numbers. */
        SHOW(depth("/proc/self/status"));
        kill(child, SIGKILL); wait(NULL);
        SHOW(numbers_in("p"));
        line_of(name, "Pid:");
        CALL(umount("p"));
    });
    SHOW(depth("/proc/self/status"));
}

static int credentials_of(int fd, int *pid) {
    char c, control[64];
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int n = recvmsg(fd, &m, 0);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (h) *pid = ((struct ucred *)CMSG_DATA(h))->pid;
    return n;
}
static int send_as(int fd, int pid) {
    char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
    struct iovec v = {"x", 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_CREDENTIALS, h->cmsg_len = CMSG_LEN(sizeof(struct ucred));
    struct ucred who = {pid, 0, 0};
    memcpy(CMSG_DATA(h), &who, sizeof who);
    return sendmsg(fd, &m, 0);
}

static void between(void) {
    SECTION("between");
    int s[2], one = 1, seen = -1, p[2];
    char c;
    socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
    setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
    setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
    pipe(p);
    int lock = oracle_file("lock", 100);
    fflush(stdout);
    pid_t init = new_process(CLONE_NEWPID);
    if (init == 0) {
        CALL(credentials_of(s[1], &seen)); SHOW(seen);
        CALL(write(s[1], "x", 1)); CALL(send_as(s[1], 1)); CALL(send_as(s[1], 77777));
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
        CALL(fcntl(lock, F_GETLK, &l)); SHOW(l.l_type == F_WRLCK); SHOW(l.l_pid);
        l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 50, .l_len = 10};
        CALL(fcntl(lock, F_SETLK, &l));
        struct ucred peer; socklen_t len = sizeof peer;
        int t[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, t);
        CALL(getsockopt(t[0], SOL_SOCKET, SO_PEERCRED, &peer, &len)); SHOW(peer.pid);
        CALL(fcntl(t[0], F_SETOWN, getpid())); CALL(fcntl(t[0], F_GETOWN));
        CALL(fcntl(t[0], F_SETOWN, 77777));
        fflush(stdout);
        write(p[1], "x", 1);
        for (;;) pause();
    }
    struct flock mine = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
    fcntl(lock, F_SETLK, &mine);
    write(s[0], "x", 1);
    read(p[0], &c, 1);
    CALL(credentials_of(s[0], &seen)); HOLDS(seen == init);
    CALL(credentials_of(s[0], &seen)); HOLDS(seen == init);
    struct flock theirs = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 50, .l_len = 10};
    CALL(fcntl(lock, F_GETLK, &theirs)); HOLDS(theirs.l_pid == init);
    /* Entering: for children only, and inwards only. */
    char name[64];
    sprintf(name, "/proc/%d/ns/pid", init);
    int ns = open(name, O_RDONLY), own = open("/proc/self/ns/pid", O_RDONLY);
    fflush(stdout);
    if (fork() == 0) {
        CALL(setns_(ns, CLONE_NEWUTS));
        CALL(setns_(ns, CLONE_NEWPID));
        struct stat a, b, d;
        stat("/proc/self/ns/pid", &a), stat("/proc/self/ns/pid_for_children", &b), fstat(ns, &d);
        HOLDS(a.st_ino != b.st_ino && b.st_ino == d.st_ino);
        CALL(unshare_(CLONE_NEWPID));
        CALL(syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0));
        CHILD({
            SHOW(getpid()); SHOW(getppid()); CALL(kill(1, 0)); CALL(setns_(own, CLONE_NEWPID)); CALL(setns_(ns, CLONE_NEWPID));
            /* It is an orphan of theirs, though its parent is not one of them. */
            if (fork() == 0) { if (fork() == 0) { msleep(30); SHOW(getppid()); fflush(stdout); _exit(0); } _exit(0); }
            wait(NULL); msleep(60);
        });
        CALL(setns_(own, 0)); CHILD(HOLDS(getpid() > 3));
        int fd = syscall(SYS_pidfd_open, init, 0);
        CALL(setns_(fd, CLONE_NEWPID)); CHILD(HOLDS(getpid() < 9));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    kill(init, SIGKILL), waitpid(init, NULL, 0);
    CHILD(CALL(setns_(ns, CLONE_NEWPID)); CALL(fork()));
}

static long clone3_as(unsigned long flags, int *tids, int count) {
    struct clone_args a = {.flags = flags, .exit_signal = SIGCHLD, .set_tid = (uintptr_t)tids, .set_tid_size = count};
    return syscall(SYS_clone3, &a, sizeof a);
}
static void asked_for(void) {
    SECTION("asked for");
    int seven = 7, one = 1;
    CALL(clone3_as(CLONE_NEWPID, &seven, 1));
    fflush(stdout);
    long init = clone3_as(CLONE_NEWPID, &one, 1);
    if (init == 0) {
        SHOW(getpid());
        long p = clone3_as(0, &seven, 1);
        if (p == 0) _exit(getpid());
        CALL(clone3_as(0, &seven, 1)); CALL(clone3_as(0, &one, 1));
        int status;
        CALL(waitpid(p, &status, 0)); SHOW(WEXITSTATUS(status));
        int both[2] = {9, 0};
        CALL(clone3_as(0, both, 2)); CALL(clone3_as(0, both, 3));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    CHILD({
        setresuid(1000, 1000, 1000);
        CALL(unshare_(CLONE_NEWPID)); CALL(new_process(CLONE_NEWPID));
    });
    CALL(syscall(SYS_clone, CLONE_NEWPID | CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0));
    /* So deep and no deeper. */
    int deep = 0;
    fflush(stdout);
    pid_t p = fork();
    if (p == 0) {
        for (;; deep++) {
            p = new_process(CLONE_NEWPID);
            if (p < 0) { printf("%d deep: %s\n", deep, oracle_errname(errno)); fflush(stdout); _exit(0); }
            if (p > 0) { wait(NULL); _exit(0); }
        }
    }
    wait(NULL);
}

int main(void) {
    numbers();
    signals();
    orphans();
    proc();
    between();
    asked_for();
    return 0;
}
