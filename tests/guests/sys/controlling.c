// session
// flags: -lutil
// The controlling terminal of a session, and what keys, sizes and ends of it are to the session's leader.
#include "oracle.h"
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static int m, s;
static char name[64];
static volatile int seen[65], code[65];
static void note(int sig, siginfo_t *info, void *context) {
    (void)context;
    seen[sig]++, code[sig] = info->si_code;
}
static void shown(const char *what) {
    msleep(20);
    printf("%s:", what);
    for (int i = 1; i < 65; i++)
        if (seen[i]) printf(" %s*%d code %d", sigabbrev_np(i), seen[i], code[i]), seen[i] = 0;
    printf("\n");
}
static void type(const char *keys) { write(m, keys, strlen(keys)); }
static void fresh(void) {
    if (openpty(&m, &s, name, NULL, NULL)) perror("openpty"), exit(1);
}

int main(void) {
    int n, t, other;
    pid_t me = getpid();
    struct winsize w = {10, 20, 0, 0};
    struct termios x;
    char b[100];
    struct sigaction a = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
    for (int i = 1; i < 65; i++)
        if (i != SIGKILL && i != SIGSTOP && i != SIGSEGV) sigaction(i, &a, NULL);
    HOLDS(getsid(0) == me);

    SECTION("none");
    CALL(open("/dev/tty", O_RDWR));
    fresh();
    CALL(tcgetpgrp(s)), CALL(tcgetsid(s)), CALL(tcsetpgrp(s, me)), CALL(ioctl(s, TIOCNOTTY));
    CALL(tcgetpgrp(m)), CALL(ioctl(m, TIOCGSID, &n)), CALL(ioctl(m, TIOCNOTTY));
    type("\x03"), shown("^C");
    CALL(vhangup());

    SECTION("by opening");
    OK(t = open(name, O_RDWR | O_NOCTTY)), CALL(open("/dev/tty", O_RDWR)), close(t);
    OK(t = open(name, O_WRONLY)), CALL(open("/dev/tty", O_RDWR)), close(t);
    OK(t = open(name, O_RDWR));
    HOLDS(tcgetpgrp(s) == getpgrp()), HOLDS(tcgetsid(s) == me), HOLDS(tcgetpgrp(m) == getpgrp());
    CALL(ioctl(m, TIOCGSID, &n)), HOLDS(n == me);
    CALL(tcsetpgrp(s, getpgrp())), CALL(tcsetpgrp(s, -1)), CALL(tcsetpgrp(s, 4000000)), CALL(ioctl(s, TIOCSPGRP, BADPTR));
    CALL(tcsetpgrp(m, getpgrp())), CALL(ioctl(s, TIOCSCTTY, 0));
    OK(t = open("/dev/tty", O_RDWR));
    CALL(ttyname_r(t, b, sizeof b)), printf("%s\n", b);
    struct stat st;
    CALL(fstat(t, &st)), SHOW(st.st_rdev);
    CALL(write(t, "hi", 2)), msleep(10), CALL(read(m, b, 9)), CALL(tcgetattr(t, &x)), HOLDS(tcgetpgrp(t) == getpgrp());
    close(t);
    SECTION("keys");
    type("ab\x03"), shown("^C"), type("\x1c"), shown("^\\"), type("\x1a"), shown("^Z");
    type("\n"), msleep(10), CALL(read(s, b, 9)), tcflush(m, TCIFLUSH);
    CALL(ioctl(m, TIOCSIG, SIGQUIT)), shown("sent"), CALL(ioctl(m, TIOCSIG, SIGTERM)), CALL(ioctl(s, TIOCSIG, SIGINT));
    SECTION("size");
    CALL(ioctl(m, TIOCSWINSZ, &w)), shown("changed"), CALL(ioctl(s, TIOCSWINSZ, &w)), shown("the same");
    w.ws_col = 30, CALL(ioctl(s, TIOCSWINSZ, &w)), shown("changed by itself");
    SECTION("another");
    int m2, s2;
    openpty(&m2, &s2, NULL, NULL, NULL);
    CALL(ioctl(s2, TIOCSCTTY, 0)), CALL(tcgetpgrp(s2)), CALL(tcgetsid(s2)), CALL(tcsetpgrp(s2, getpgrp())), CALL(ioctl(s2, TIOCNOTTY));
    CALL(tcgetpgrp(m2));
    SECTION("given up");
    CALL(ioctl(s, TIOCNOTTY)), shown("signals"), CALL(tcgetpgrp(s)), CALL(open("/dev/tty", O_RDWR));
    CALL(ioctl(s2, TIOCSCTTY, 0)), HOLDS(tcgetpgrp(s2) == getpgrp()), HOLDS(tcgetpgrp(m2) == getpgrp());
    SECTION("hung up");
    close(m2), shown("signals"), CALL(open("/dev/tty", O_RDWR)), CALL(read(s2, b, 9));
    CALL(ioctl(s, TIOCSCTTY, 0)), CALL(vhangup()), shown("signals"), CALL(read(s, b, 9)), CALL(write(s, b, 1));
    other = open(name, O_RDWR), HOLDS(tcgetpgrp(other) == getpgrp());
    CALL(ioctl(other, TIOCVHANGUP)), shown("signals"), CALL(tcgetpgrp(other)), CALL(ioctl(other, TIOCSPGRP, &n));
    SECTION("without rights");
    fresh();
    int wide = open(name, O_RDWR | O_NOCTTY);
    fchmod(wide, 0666), ioctl(s, TIOCEXCL);
    CALL(setresuid(65534, 65534, 65534));
    CALL(vhangup()), CALL(ioctl(s, TIOCVHANGUP)), CALL(open(name, O_RDWR)), CALL(ioctl(s, TIOCSCTTY, 1));
    ioctl(s, TIOCNXCL), OK(t = open(name, O_RDWR)), CALL(ioctl(t, TIOCSCTTY, 1));
    openpty(&m2, &s2, name, NULL, NULL), CALL(fstat(s2, &st)), SHOW(st.st_uid);
    return 0;
}
