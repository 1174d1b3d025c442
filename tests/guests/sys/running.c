// What runs: /proc/PID/exe is the file itself wherever it has gone since, and a stack can become executable as ld.so does it.
#include "oracle.h"
#include <sys/wait.h>

#define P 4096

static void show(const char *path) {
    char to[PATH_MAX] = {0};
    struct stat st;
    char magic[5] = {0};
    int fd = open(path, O_RDONLY);
    readlink(path, to, sizeof to - 1);
    char *name = strrchr(to, '/');
    printf("%s: %d %s\n", name ? name : to, stat(path, &st), fd < 0 || read(fd, magic, 4) < 0 ? oracle_errname(errno) : magic + 1);
    close(fd);
}

static void put(const char *text) {
    int fd = open("/proc/self/loginuid", O_WRONLY);
    printf("%s: %d %s\n", text, fd < 0, write(fd, text, strlen(text)) < 0 ? oracle_errname(errno) : "written"), close(fd);
}

/* Sessions are counted on, from wherever. */
static void login(void) {
    static char before[20];
    char user[20] = {0}, session[20] = {0};
    int fd = open("/proc/self/loginuid", O_RDONLY), other = open("/proc/self/sessionid", O_RDONLY);
    read(fd, user, 19), read(other, session, 19), close(fd), close(other);
    printf("%s, %s session\n", user, !strcmp(session, "4294967295") ? "no" : strcmp(session, before) ? "a new" : "the same");
    strcpy(before, session);
}

static void copy(const char *to) {
    char buffer[P];
    int in = open("/proc/self/exe", O_RDONLY), out = open(to, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    for (long n; (n = read(in, buffer, P)) > 0;) write(out, buffer, n);
    close(in), close(out);
}

static int moved(char **argv) {
    char theirs[40];
    sprintf(theirs, "/proc/%d/exe", getpid());
    show(theirs);
    rename("copy", "elsewhere"), show(theirs);
    link("elsewhere", "kept"), unlink("elsewhere"), show(theirs);
    oracle_file("elsewhere", 10), show(theirs), unlink("elsewhere"), unlink("kept"), show(theirs);
    fflush(stdout);
    execl("/proc/self/exe", "again", "again", NULL);
    printf("%s\n", oracle_errname(errno));
    return 1;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "moved")) return moved(argv);
    if (argc > 1) { show("/proc/self/exe"); return 0; }
    SECTION("a program that goes away");
    copy("copy");
    int status;
    pid_t child = fork();
    if (!child) execl("copy", "copy", "moved", NULL), _exit(1);
    waitpid(child, &status, 0), SHOW(status);

    SECTION("a stack that becomes executable");
    char *page = (char *)((uintptr_t)__builtin_frame_address(0) & -P), *heap = mmap(NULL, 2 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int all = PROT_READ | PROT_WRITE | PROT_EXEC;
    CALL(mprotect(page, P, all | PROT_GROWSDOWN | PROT_GROWSUP)), CALL(mprotect(heap, P, PROT_READ | PROT_GROWSDOWN)), CALL(mprotect(heap, P, PROT_READ | PROT_GROWSUP));
    munmap(heap, 2 * P), CALL(mprotect(heap, P, PROT_READ | PROT_GROWSDOWN));
    CALL(mprotect(page + 1, P, all | PROT_GROWSDOWN));
    volatile unsigned char code[16] = {0xb8, 42, 0, 0, 0, 0xc3};
    child = fork();
    if (!child) _exit(((int (*)(void))code)());
    waitpid(child, &status, 0), SHOW(status);
    CALL(mprotect(page, P, all | PROT_GROWSDOWN));
    SHOW(((int (*)(void))code)());
    /* ... down to where it begins */
    volatile unsigned char far[10 * P];
    far[8] = 0xb8, far[9] = 43, far[10] = far[11] = far[12] = 0, far[13] = 0xc3;
    SHOW(((int (*)(void))(far + 8))());
    CALL(mprotect(page, P, PROT_READ | PROT_WRITE | PROT_GROWSDOWN)), far[8] = 0;

    SECTION("who logged in");
    put("x"), put("5"), login(), put("4294967295"), login(), put("7"), login();
    fflush(stdout);
    if (!fork()) { login(), setresuid(9, 9, 9), put("6"), login(), exit(0); }
    wait(NULL);
    return 0;
}
