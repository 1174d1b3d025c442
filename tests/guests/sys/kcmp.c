// kcmp, and clone3 of a task whose number is chosen.
#include "oracle.h"
#include <linux/sched.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <sys/wait.h>

#define C(name, ...) syscall(SYS_##name, __VA_ARGS__)
enum { NOBODY = 65534, FILE_ = 0, VM, FILES, FS, SIGHAND, IO, SYSVSEM, EPOLL_TFD };

/* Whether two tasks have one and the same, for all that can be; -1 is an error. */
static void show(const char *what, pid_t one, pid_t other) {
    printf("%s:", what);
    for (int kind = VM; kind <= SIGHAND; kind++) {
        long result = C(kcmp, one, other, kind, 0, 0);
        printf(" %s", result < 0 ? "error" : result == 0 ? "same" : "different");
    }
    puts("");
    fflush(stdout);
}

static int wait_for_end(void *end) {
    char byte;
    close(((int *)end)[1]);
    return read(((int *)end)[0], &byte, 1);
}

static void sharing(void) {
    SECTION("sharing");
    static char stack[1 << 16];
    int end[2];
    pid_t self = getpid();
    show("itself", self, self);
    int flags[] = {0, CLONE_FILES, CLONE_VM, CLONE_VM | CLONE_SIGHAND, CLONE_VM | CLONE_FILES | CLONE_SIGHAND};
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (pipe(end) != 0) abort();
        /* Who shares the descriptors must not close what ends it. */
        int own[2] = {end[0], flags[i] & CLONE_FILES ? -1 : end[1]};
        pid_t child = clone(wait_for_end, stack + sizeof stack, flags[i] | SIGCHLD, own);
        printf("%#x ", flags[i]);
        show("child", self, child);
        HOLDS(C(kcmp, self, child, VM, 0, 0) + C(kcmp, child, self, VM, 0, 0) == (flags[i] & CLONE_VM ? 0 : 3));
        HOLDS(C(kcmp, self, child, FILE_, end[0], end[0]) == 0);
        if (write(end[1], "x", 1) != 1) abort();
        waitpid(child, NULL, 0);
        CALL(C(kcmp, self, child, VM, 0, 0));
        close(end[0]), close(end[1]);
    }
}

static void files(void) {
    SECTION("files");
    pid_t self = getpid();
    int a = open("/dev/null", O_RDONLY), b = dup(a), c = open("/dev/null", O_RDONLY);
    CALL(C(kcmp, self, self, FILE_, a, b));
    HOLDS(C(kcmp, self, self, FILE_, a, c) + C(kcmp, self, self, FILE_, c, a) == 3);
    CALL(C(kcmp, self, self, FILE_, a, 99));
    CALL(C(kcmp, self, self, FILE_, -1, a));
    CALL(C(kcmp, self, self, 99, a, b));
    CALL(C(kcmp, self, 0, VM, 0, 0));
    CALL(C(kcmp, 0x3fffffff, self, 99, 0, 0));
}

/* What Linux has only when it is needed: who has none has the same as another who has none. */
static void rarely_there(void) {
    SECTION("rarely there");
    static char stack[1 << 16];
    pid_t self = getpid();
    CALL(C(kcmp, self, self, IO, 0, 0));
    CALL(C(kcmp, self, self, SYSVSEM, 0, 0));
    for (int round = 0; round < 4; round++) {
        int end[2];
        if (round == 1) CALL(C(ioprio_set, 1, 0, 2 << 13 | 5));
        if (round == 3) {
            struct sembuf add = {0, 1, SEM_UNDO};
            int set = semget(IPC_PRIVATE, 1, 0600);
            CALL(semop(set, &add, 1));
            semctl(set, 0, IPC_RMID);
        }
        if (pipe(end) != 0) abort();
        pid_t child = clone(wait_for_end, stack + sizeof stack, (round == 2 ? CLONE_IO : 0) | SIGCHLD, end);
        HOLDS(C(kcmp, self, child, IO, 0, 0) == 0);
        HOLDS(C(kcmp, self, child, SYSVSEM, 0, 0) == 0);
        CALL(C(ioprio_get, 1, child));
        CALL(C(ioprio_set, 1, child, 2 << 13 | 6));
        CALL(C(ioprio_get, 1, self));
        CALL(C(ioprio_set, 1, self, round == 0 ? 0 : 2 << 13 | 5));
        close(end[0]), close(end[1]);
        waitpid(child, NULL, 0);
    }
    CALL(C(ioprio_set, 1, 0, 0));
}

static void sets(void) {
    SECTION("epoll sets");
    pid_t self = getpid();
    int set = epoll_create1(0), one[2], other[2];
    if (pipe(one) != 0 || pipe(other) != 0) abort();
    struct epoll_event event = {.events = EPOLLIN};
    struct { unsigned set, target, offset; } slot = {set, one[0], 0};
    CALL(C(kcmp, self, self, EPOLL_TFD, one[0], &slot));
    epoll_ctl(set, EPOLL_CTL_ADD, one[0], &event);
    CALL(C(kcmp, self, self, EPOLL_TFD, one[0], &slot));
    HOLDS(C(kcmp, self, self, EPOLL_TFD, other[0], &slot) > 0);
    /* The same number again, while the file lives on under another. */
    int kept = dup(one[0]);
    dup2(other[0], one[0]);
    epoll_ctl(set, EPOLL_CTL_ADD, one[0], &event);
    long first = C(kcmp, self, self, EPOLL_TFD, kept, &slot);
    slot.offset = 1;
    long second = C(kcmp, self, self, EPOLL_TFD, kept, &slot);
    HOLDS(first == 0 || second == 0);
    HOLDS(first != second);
    slot.offset = 2;
    CALL(C(kcmp, self, self, EPOLL_TFD, kept, &slot));
    slot.offset = 0, slot.set = kept;
    CALL(C(kcmp, self, self, EPOLL_TFD, kept, &slot));
    slot.set = 99;
    CALL(C(kcmp, self, self, EPOLL_TFD, kept, &slot));
    CALL(C(kcmp, self, self, EPOLL_TFD, 99, &slot));
    CALL(C(kcmp, self, self, EPOLL_TFD, 99, BADPTR));
}

/* A number that was somebody's and is nobody's now. */
static pid_t unused(void) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
    return child;
}

static long chosen(pid_t *tid, size_t size) {
    struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)tid, .set_tid_size = size};
    long child = C(clone3, &args, sizeof args);
    if (child == 0) _exit(tid && *tid == getpid() ? 7 : 8);
    int status = 0;
    if (child > 0) {
        waitpid(child, &status, 0);
        printf("as chosen: %d, status %d\n", child == *tid, WEXITSTATUS(status));
        return 0;
    }
    return child;
}

static void numbers(void) {
    SECTION("numbers");
    pid_t free = unused(), self = getpid(), many[40] = {0}, bad = 0, negative = -5, large = 1 << 30;
    CALL(chosen(&free, 1));
    CALL(chosen(&free, 1)); /* it was given back */
    CALL(chosen(&self, 1));
    CALL(chosen(&bad, 1));
    CALL(chosen(&negative, 1));
    CALL(chosen(&large, 1));
    CALL(chosen(many, 33));
    CALL(chosen(NULL, 1));
    CALL(chosen(&free, 0));
    CALL(chosen(BADPTR, 1));
}

int main(void) {
    sharing();
    files();
    rarely_there();
    sets();
    numbers();
    SECTION("user");
    pid_t self = getpid(), free = unused(), root = fork();
    if (root == 0) {
        alarm(2); /* nobody who may end it will */
        close(STDOUT_FILENO), close(STDERR_FILENO);
        for (;;) pause();
    }
    if (setresuid(NOBODY, NOBODY, NOBODY) != 0) abort();
    CALL(chosen(&free, 1));
    CALL(C(kcmp, self, root, VM, 0, 0));
    CALL(C(kcmp, root, self, 99, 0, 0));
    return 0;
}
