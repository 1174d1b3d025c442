// kcmp, and clone3 of a task whose number is chosen.
#include "oracle.h"
#include <linux/sched.h>
#include <sched.h>
#include <sys/wait.h>

#define C(name, ...) syscall(SYS_##name, __VA_ARGS__)
enum { NOBODY = 65534, FILE_ = 0, VM, FILES, FS, SIGHAND };

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
