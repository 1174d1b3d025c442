// session
// flags: -lutil
// Job control: what a terminal does to groups in the background, and what the ends of leaders and terminals are to the groups of a session.
#include "oracle.h"
#include <poll.h>
#include <pty.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static int m, s;
static char name[64];
extern char **environ;

/* What a child does, by the name of it; it tells by its status. */
static int caught;
static void note(int sig) { caught = sig; }
static int job(const char *what) {
    char b[20];
    struct termios t;
    if (*what == '-') {
        signal(SIGTTIN, SIG_IGN), signal(SIGTTOU, SIG_IGN);
        what++;
    }
    if (*what == '+') {
        struct sigaction a = {.sa_handler = note};
        sigaction(SIGTTIN, &a, NULL), sigaction(SIGTTOU, &a, NULL), sigaction(SIGHUP, &a, NULL), sigaction(SIGCONT, &a, NULL);
        what++;
    }
    long r = 99;
    if (!strcmp(what, "read")) r = read(0, b, sizeof b);
    if (!strcmp(what, "write")) r = write(1, "out", 3);
    if (!strcmp(what, "set")) tcgetattr(0, &t), r = tcsetattr(0, TCSANOW, &t);
    if (!strcmp(what, "flush")) r = tcflush(0, TCIFLUSH);
    if (!strcmp(what, "drain")) r = tcdrain(0);
    if (!strcmp(what, "get")) r = tcgetattr(0, &t);
    if (!strcmp(what, "foreground")) r = tcsetpgrp(0, getpgrp());
    if (!strcmp(what, "size")) r = ioctl(0, TIOCSWINSZ, &(struct winsize){1, 2, 3, 4});
    if (!strcmp(what, "wait")) r = poll(NULL, 0, 30000);
    if (!strcmp(what, "tty")) r = open("/dev/tty", O_RDWR) >= 0 ? 0 : -1;
    return r < 0 ? 100 + errno : r;
}

static pid_t start(const char *what, int flags) {
    posix_spawnattr_t a;
    posix_spawn_file_actions_t f;
    sigset_t none, all;
    pid_t p = -1;
    sigemptyset(&none), sigfillset(&all);
    posix_spawnattr_init(&a), posix_spawnattr_setflags(&a, flags | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&a, 0), posix_spawnattr_setsigdefault(&a, &all), posix_spawnattr_setsigmask(&a, &none);
    posix_spawn_file_actions_init(&f);
    posix_spawn_file_actions_adddup2(&f, s, 0), posix_spawn_file_actions_adddup2(&f, s, 1);
    int e = posix_spawn(&p, "/proc/self/exe", &f, &a, (char *[]){"job", (char *)what, name, NULL}, environ);
    if (e) printf("spawn: %s\n", oracle_errname(e));
    return p;
}
static void report(const char *what, int status) {
    if (WIFSTOPPED(status)) printf("%s: stopped by %s\n", what, sigabbrev_np(WSTOPSIG(status)));
    else if (WIFCONTINUED(status)) printf("%s: continued\n", what);
    else if (WIFSIGNALED(status)) printf("%s: killed by %s\n", what, sigabbrev_np(WTERMSIG(status)));
    else if (WEXITSTATUS(status) > 100) printf("%s: %s\n", what, oracle_errname(WEXITSTATUS(status) - 100));
    else printf("%s: %d\n", what, WEXITSTATUS(status));
}
static int await(pid_t p, const char *what) {
    int status = 0;
    if (waitpid(p, &status, WUNTRACED) != p) return printf("%s: not waited for\n", what), 0;
    report(what, status);
    return WIFSTOPPED(status);
}
/* A background job, stopped perhaps, then in the foreground. */
static void background(const char *what) {
    pid_t p = start(what, POSIX_SPAWN_SETPGROUP);
    if (await(p, what)) {
        tcsetpgrp(s, p), write(m, "hi\n", 3), kill(-p, SIGCONT);
        await(p, "  in the foreground");
        tcsetpgrp(s, getpgrp());
    }
    tcflush(s, TCIOFLUSH);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "leader")) { /* leads a session, has a child in the foreground and ends */
        strcpy(name, argv[2]);
        s = open(name, O_RDWR);
        if (tcgetpgrp(s) != getpgrp()) return 1;
        pid_t p = start("+wait", POSIX_SPAWN_SETPGROUP);
        tcsetpgrp(s, p);
        msleep(200); /* until it waits */
        return 0;
    }
    if (argc > 1) return job(argv[1]);
    int status;
    signal(SIGTTOU, SIG_IGN), signal(SIGHUP, SIG_IGN);
    if (openpty(&m, &s, name, NULL, NULL)) return 1;
    CALL(ioctl(s, TIOCSCTTY, 0));
    struct termios t;
    tcgetattr(s, &t);
    SECTION("in the background");
    background("get"), background("read"), background("set"), background("flush"), background("drain"), background("foreground");
    background("size"), background("write"), background("tty");
    t.c_lflag |= TOSTOP, tcsetattr(s, TCSANOW, &t);
    background("write"), background("-write"), background("-read"), background("-set");
    SECTION("with handlers");
    background("+read"), background("+write"), background("+set");
    SECTION("keys");
    pid_t p = start("wait", POSIX_SPAWN_SETPGROUP), q = start("wait", POSIX_SPAWN_SETPGROUP);
    tcsetpgrp(s, p), msleep(50), write(m, "\x1a", 1), await(p, "^Z");
    tcsetpgrp(s, getpgrp()), kill(-p, SIGCONT), CALL(waitpid(p, &status, WCONTINUED) == p), report("SIGCONT", status);
    tcsetpgrp(s, p), write(m, "\x03", 1), await(p, "^C");
    tcsetpgrp(s, q), write(m, "\x1c", 1), await(q, "^\\");
    CALL(tcsetpgrp(s, q)); /* there is none any more */
    tcsetpgrp(s, getpgrp());
    SECTION("without a parent in the session");
    p = start("leader", POSIX_SPAWN_SETSID), await(p, "a terminal that controls another session");
    int m2, s2, old = s;
    openpty(&m2, &s2, name, NULL, NULL);
    s = s2, p = start("read", POSIX_SPAWN_SETSID), write(m2, "x\n", 2), await(p, "another session reads");
    p = start("leader", POSIX_SPAWN_SETSID), await(p, "the leader ends");
    char b[20];
    CALL(tcgetpgrp(m2)), CALL(ioctl(m2, TIOCGSID, b));
    s = old;
    SECTION("the end of the terminal");
    p = start("wait", POSIX_SPAWN_SETPGROUP), tcsetpgrp(s, p), msleep(50);
    signal(SIGHUP, note), close(m), msleep(50), SHOW(caught), CALL(waitpid(p, &status, WNOHANG)), kill(p, SIGKILL), await(p, "not told");
    CALL(read(s, b, 1)), CALL(tcgetpgrp(s)), CALL(open("/dev/tty", O_RDWR));
    return 0;
}
