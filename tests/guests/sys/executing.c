// execve: what can not be executed and why, and what a new image keeps of the old process.
#include "oracle.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>

#define C(name, ...) syscall(SYS_##name, ##__VA_ARGS__)
extern char **environ;
static void put(const char *name, const char *text, size_t len, int mode) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    write(fd, text, len), fchmod(fd, mode), close(fd);
}
/* The second image: says what it finds. */
static int second(int argc, char **argv) {
    SECTION("the new image");
    SHOW(argc);
    for (int i = 1; i < argc; i++) if (i != 2) printf("argument %d: %s\n", i, argv[i]);
    for (char **e = environ; *e; e++) printf("environment: %s\n", *e);
    CALL(fcntl(30, F_GETFD)), CALL(fcntl(31, F_GETFD)), CALL(lseek(30, 0, SEEK_CUR));
    struct sigaction sa;
    sigaction(SIGUSR1, NULL, &sa), HOLDS(sa.sa_handler == SIG_DFL), sigaction(SIGUSR2, NULL, &sa), HOLDS(sa.sa_handler == SIG_IGN);
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set), SHOW(sigismember(&set, SIGTERM)), sigpending(&set), SHOW(sigismember(&set, SIGTERM));
    stack_t ss;
    CALL(sigaltstack(NULL, &ss)), SHOW(ss.ss_flags);
    SHOW(umask(0)), HOLDS(atoi(argv[2]) == getpid() && gettid() == getpid()), HOLDS(alarm(0) > 0);
    struct rlimit l;
    getrlimit(RLIMIT_CORE, &l), SHOW(l.rlim_cur);
    char name[16] = {0}, here[PATH_MAX];
    CALL(C(prctl, 16, name) < 0), CALL(getcwd(here, sizeof here) && !strcmp(strrchr(here, '/'), "/sub"));
    timer_t id = 0;
    CALL(timer_delete(id));
    return 7;
}
static void handler(int s) { (void)s; }
static void *other(void *arg) { for (;;) pause(); return arg; }
static void *replaces(void *arg) {
    char **args = arg;
    execve("/proc/self/exe", args, (char *[]){"ONE=1", "TWO=2", NULL});
    return NULL;
}

int main(int argc, char **argv) {
    if (argc > 1) return second(argc, argv);
    char *args[] = {"x", NULL}, *big = malloc(200000), *many[] = {"x", big, NULL};
    SECTION("what can not be executed");
    put("text", "hello\n", 6, 0755), put("empty", "", 0, 0755), put("plain", "\177ELF", 4, 0644), put("short", "\177ELF\2\1\1", 7, 0755), put("noshell", "#!nope\n", 7, 0755), put("bare", "#!\n", 3, 0755), put("loop", "#!loop\n", 7, 0755), put("shdir", "#!sub\n", 6, 0755), put("nonl", "#!nope", 6, 0755), mkdir("sub", 0755), symlink("self", "self");
    char elf[64] = "\177ELF\2\1\1";
    elf[16] = 2, elf[18] = 3, put("foreign", elf, 64, 0755), elf[4] = 1, put("narrow", elf, 64, 0755), elf[4] = 2, elf[18] = 62, put("hollow", elf, 64, 0755), elf[16] = 1, put("object", elf, 64, 0755);
    const char *names[] = {"text", "empty", "plain", "short", "noshell", "bare", "loop", "shdir", "nonl", "sub", "self", "foreign", "narrow", "hollow", "object", "nope", "text/x", "", "/dev/null", "/proc/self/maps"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) printf("%s: %ld", names[i], C(execve, names[i], args, NULL)), printf(" %s\n", oracle_errname(errno));
    memset(big, 'a', 199999), big[199999] = 0;
    CALL(C(execve, "/proc/self/exe", many, NULL)), CALL(C(execve, "/proc/self/exe", args, many));
    CALL(C(execve, "/proc/self/exe", BADPTR, NULL)), CALL(C(execve, "/proc/self/exe", args, BADPTR)), CALL(C(execve, "/proc/self/exe", (char *[]){"x", BADPTR, NULL}, NULL)), CALL(C(execve, BADPTR, args, NULL));
    SECTION("what is written to does not run, what runs is not written to");
    char self[PATH_MAX] = {0};
    readlink("/proc/self/exe", self, sizeof self - 1);
    int out = open("text", O_WRONLY), again = dup(out), in = open("text", O_RDONLY);
    CALL(C(execve, "text", args, NULL)), close(out), CALL(C(execve, "text", args, NULL)), close(again), CALL(C(execve, "text", args, NULL)), close(in);
    CALL(open("text", O_RDWR) >= 0), CALL(C(execve, "text", args, NULL));
    CALL(open(self, O_WRONLY)), CALL(C(open, self, O_RDWR)), CALL(open(self, O_RDONLY | O_TRUNC)), CALL(open("/proc/self/exe", O_WRONLY)), CALL(truncate(self, 10)), CALL(open(self, O_RDONLY) >= 0), CALL(open(self, O_PATH | O_RDWR) >= 0);
    SECTION("what can");
    int fd = oracle_file("f", 100);
    dup2(fd, 30), dup3(fd, 31, O_CLOEXEC), lseek(fd, 42, SEEK_SET);
    signal(SIGUSR1, handler), signal(SIGUSR2, SIG_IGN);
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGTERM), sigprocmask(SIG_BLOCK, &set, NULL), raise(SIGTERM);
    stack_t ss = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    sigaltstack(&ss, NULL), umask(027), alarm(100), chdir("sub"), C(prctl, 15, "renamed");
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    timer_t id;
    timer_create(CLOCK_MONOTONIC, NULL, &id);
    char pid[16];
    sprintf(pid, "%d", getpid());
    /* by a thread that is not the first, beside one that waits: the new image has one thread, with the number of the process */
    char *next[] = {"second", "one argument", pid, "", NULL};
    pthread_t t;
    pthread_create(&t, NULL, other, NULL), pthread_create(&t, NULL, replaces, next);
    for (;;) pause();
}
