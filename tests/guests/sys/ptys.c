// flags: -lutil -lpthread
// retry: 2
// Pseudo-terminals: opening, the line discipline, settings, packet mode, the ends of either side.
#include "oracle.h"
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>

static int m, s;
static char name[64];

static void fresh(void) {
    if (openpty(&m, &s, name, NULL, NULL)) perror("openpty"), exit(1);
}
static void done(void) { close(s), close(m); }

/* Waits until nothing more comes: the host moves bytes in its own time. */
static void settle(void) { msleep(15); }

/* Prints what there is, escaped. */
static void show(const char *what, int fd) {
    char b[9000];
    struct pollfd p = {fd, POLLIN, 0};
    settle();
    printf("%s:", what);
    for (int i = 0; i < 50 && poll(&p, 1, 0) == 1 && (p.revents & POLLIN); i++) {
        ssize_t n = read(fd, b, sizeof b);
        if (n <= 0) {
            printf(" [%zd %s]", n, n ? oracle_errname(errno) : "");
            break;
        }
        printf(" ");
        for (ssize_t k = 0; k < n; k++) {
            if (b[k] >= ' ' && b[k] < 127) putchar(b[k]);
            else printf("\\x%02x", (unsigned char)b[k]);
        }
    }
    printf("\n");
}
static void type(const char *keys, size_t n) {
    if (write(m, keys, n) != (ssize_t)n) printf("typed less\n");
    settle();
}
#define TYPE(k) type(k, sizeof k - 1)
/* What keys do under the settings as they are. */
#define KEYS(k) (TYPE(k), printf("%s\n", #k), show("  screen", m), show("  read", s))

static struct termios now(void) {
    struct termios t;
    tcgetattr(s, &t);
    return t;
}
static void set(tcflag_t ion, tcflag_t ioff, tcflag_t oon, tcflag_t lon, tcflag_t loff) {
    struct termios t = now();
    t.c_iflag = (t.c_iflag & ~ioff) | ion, t.c_oflag |= oon, t.c_lflag = (t.c_lflag & ~loff) | lon;
    tcsetattr(s, TCSANOW, &t);
}
static void show_settings(int fd) {
    struct termios t;
    if (CALL(tcgetattr(fd, &t))) return;
    printf("%x %x %x %x:", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
    for (int i = 0; i < 19; i++) printf(" %x", t.c_cc[i]);
    printf(" speeds %x %x\n", cfgetispeed(&t), cfgetospeed(&t));
}

static void opening(void) {
    SECTION("opening");
    int a, number = -1, lock = -1;
    OK(a = open("/dev/ptmx", O_RDWR | O_NOCTTY));
    CALL(ioctl(a, TIOCGPTN, &number)), HOLDS(number >= 0);
    CALL(ioctl(a, TIOCGPTN, BADPTR));
    CALL(ioctl(a, TIOCGPTLCK, &lock)), SHOW(lock);
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    CALL(open(name, O_RDWR | O_NOCTTY));
    CALL(ioctl(a, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    CALL(grantpt(a)), CALL(unlockpt(a));
    CALL(ioctl(a, TIOCGPTLCK, &lock)), SHOW(lock);
    char other[64];
    CALL(ptsname_r(a, other, sizeof other)), HOLDS(!strcmp(name, other));
    int b, c;
    OK(b = open(name, O_RDWR | O_NOCTTY));
    OK(c = ioctl(a, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    CALL(fcntl(c, F_GETFD)), SHOW(fcntl(c, F_GETFL) & O_ACCMODE);
    CALL(ttyname_r(b, other, sizeof other)), HOLDS(!strcmp(name, other));
    CALL(ttyname_r(c, other, sizeof other)), HOLDS(!strcmp(name, other));
    CALL(isatty(a)), CALL(isatty(b));
    struct stat st;
    CALL(fstat(b, &st)), HOLDS(S_ISCHR(st.st_mode)), SHOW(st.st_rdev >> 8 & 0xfff), HOLDS((st.st_rdev & 0xff) == number % 256);
    HOLDS(st.st_ino == number + 3), SHOW(st.st_blksize), HOLDS(st.st_uid == geteuid());
    CALL(fstat(a, &st)), SHOW(st.st_rdev);
    unsigned dev = 0;
    CALL(ioctl(b, TIOCGDEV, &dev)), HOLDS(dev == (136u << 8) + number);
    CALL(ioctl(a, TIOCGDEV, &dev)), HOLDS(dev == (136u << 8) + number);
    CALL(ioctl(b, TIOCGPTN, &number)), CALL(ioctl(b, TIOCSPTLCK, &lock)), CALL(ioctl(b, TIOCPKT, &lock));
    CALL(ioctl(b, TIOCGPTPEER, O_RDWR));
    CALL(ioctl(a, TIOCSPTLCK, BADPTR)), CALL(ioctl(a, TIOCPKT, BADPTR));
    CALL(ioctl(a, TIOCGEXCL, &lock)), SHOW(lock);
    CALL(ioctl(b, TIOCEXCL)), CALL(ioctl(b, TIOCGEXCL, &lock)), SHOW(lock);
    CALL(ioctl(b, TIOCNXCL)), CALL(ioctl(b, TIOCGEXCL, &lock)), SHOW(lock);
    CALL(lseek(b, 0, SEEK_CUR)), CALL(pread(b, other, 1, 0)), CALL(lseek(a, 0, SEEK_CUR));
    CALL(ftruncate(b, 0)), CALL(fsync(b));
    struct statfs f;
    CALL(statfs("/dev/pts", &f)), SHOW(f.f_type), SHOW(f.f_bsize);
    CALL(access(name, F_OK)), close(a), CALL(access(name, F_OK));
    CALL(open("/dev/pts/99999", O_RDWR)), CALL(open("/dev/pts/007", O_RDWR)), CALL(open("/dev/pts/x", O_RDWR));
    CALL(open("/dev/pts/new", O_RDWR | O_CREAT, 0600)), CALL(mkdir("/dev/pts/new", 0700)), CALL(unlink("/dev/pts/ptmx"));
    close(b), close(c);
    CALL(access("/dev/tty", F_OK)), CALL(access("/dev/console", F_OK));
}

static void lines(void) {
    SECTION("lines");
    fresh();
    show_settings(s), show_settings(m);
    KEYS("hello\r"), KEYS("one\ntwo\nthree"), KEYS("\n");
    KEYS("ab\x7f" "c\n"), KEYS("\x7f\x7f" "a\n"), KEYS("one two\x17x\n"), KEYS("one,  two  \x17x\n");
    KEYS("abc\x15x\n"), KEYS("\x01\x02\x7f\x7f\x7f" "d\n"), KEYS("abc\x12" "d\n");
    KEYS("\x16\x03\x16\x7f\x16\n\n"), KEYS("a\tb\x7f\x7f" "c\n"), KEYS("\t\t\x7f\x7f" "c\n");
    KEYS("\xc3\xa9\x7f\n"), KEYS("\xff\x80\n");
    KEYS("ab\x04"), KEYS("\x04"), KEYS("ab\x04" "cd\n\x04"), KEYS("\x00\n");
    set(IUTF8, 0, 0, 0, 0);
    KEYS("a\xc3\xa9\xe2\x82\xac\x7f\x7f\n"), KEYS("\x80\x80\x7f\n"), KEYS("\xc3\xa9 x\xc3\xa9\x17\n");
    set(0, IUTF8, 0, 0, ECHO), printf("-ECHO\n"), KEYS("ab\x7f" "c\x12\n"), KEYS("ab\x15" "c\n");
    set(0, 0, 0, ECHONL, 0), printf("ECHONL\n"), KEYS("ab\n");
    set(0, 0, 0, ECHO, ECHOE | ECHONL), printf("-ECHOE\n"), KEYS("ab\x7f\n"), KEYS("ab\x17\n"), KEYS("ab\x15\n");
    set(0, 0, 0, ECHOE, ECHOKE), printf("-ECHOKE\n"), KEYS("ab\x15" "c\n");
    set(0, 0, 0, 0, ECHOK), printf("-ECHOK\n"), KEYS("ab\x15" "c\n");
    set(0, 0, 0, ECHOK | ECHOKE | ECHOPRT, 0), printf("ECHOPRT\n"), KEYS("abc\x7f\x7f" "d\n"), KEYS("ab\x7f\x7f\n"), KEYS("ab\x17\n");
    set(0, 0, 0, 0, ECHOPRT | ECHOCTL), printf("-ECHOCTL\n"), KEYS("\x01\x02\x7f" "a\t\x7f\n"), KEYS("\x16" "a\n");
    set(0, 0, 0, ECHOCTL, IEXTEN), printf("-IEXTEN\n"), KEYS("a\x16" "b\x17\x12\n");
    set(0, ICRNL, 0, IEXTEN, 0), printf("-ICRNL\n"), KEYS("a\rb\n");
    set(INLCR, 0, 0, 0, 0), printf("INLCR\n"), KEYS("a\nb\x04");
    set(IGNCR, INLCR, 0, 0, 0), printf("IGNCR\n"), KEYS("a\rb\n");
    set(ISTRIP | ICRNL, IGNCR, 0, 0, 0), printf("ISTRIP\n"), KEYS("\xe1\xe2\n");
    set(IUCLC, ISTRIP, 0, 0, 0), printf("IUCLC\n"), KEYS("AbZ\xc0\n");
    set(PARMRK, IUCLC, 0, 0, 0), printf("PARMRK\n"), KEYS("a\xff\xfe\n");
    set(0, PARMRK, 0, 0, 0);
    struct termios t = now();
    t.c_cc[VEOL] = '.', t.c_cc[VEOL2] = '!', t.c_cc[VERASE] = '#', t.c_cc[VEOF] = 0;
    tcsetattr(s, TCSANOW, &t);
    KEYS("a.b!c#d\x04\n");
    done();
    SECTION("reading parts of lines");
    fresh(), set(0, 0, 0, 0, ECHO);
    char b[8000];
    int n = -1;
    TYPE("abcd\x04" "ef\nxyz");
    CALL(ioctl(s, FIONREAD, &n)), SHOW(n), CALL(ioctl(s, TIOCOUTQ, &n)), SHOW(n);
    CALL(read(s, b, 2)), CALL(read(s, b, 0)), CALL(read(s, b, 2)), CALL(read(s, b, 2)), CALL(read(s, b, 9));
    fcntl(s, F_SETFL, O_NONBLOCK), CALL(read(s, b, 9));
    TYPE("\n"), CALL(read(s, BADPTR, 9));
    TYPE("more\n"), CALL(read(s, b, 99));
    static char big[6000];
    memset(big, 'z', sizeof big);
    type(big, 5000), TYPE("Q\nrest\n");
    CALL(read(s, b, 8000)), SHOW(b[4094]), SHOW(b[4095]), CALL(read(s, b, 8000));
    done();
}

static void output(void) {
    SECTION("output");
    fresh();
    const char text[] = "a\tb\nc\rd\x08" "e\x01\xe9Zz\n";
    const tcflag_t modes[] = {0, OCRNL, ONOCR, ONLRET, XTABS, OLCUC, OCRNL | ONLRET, XTABS | OLCUC};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct termios t = now();
        t.c_oflag = OPOST | ONLCR | modes[i];
        tcsetattr(s, TCSANOW, &t), printf("%x\n", t.c_oflag);
        CALL(write(s, text, sizeof text - 1)), show("  screen", m);
        t.c_oflag = OPOST | modes[i], tcsetattr(s, TCSANOW, &t);
        CALL(write(s, text, sizeof text - 1)), CALL(write(s, "\r\r", 2)), show("  screen", m);
    }
    struct termios t = now();
    t.c_oflag = ONLCR | XTABS, tcsetattr(s, TCSANOW, &t);
    CALL(write(s, text, sizeof text - 1)), show("  screen", m);
    CALL(write(s, BADPTR, 1)), CALL(write(s, "x", 0)), CALL(write(m, BADPTR, 1));
    t.c_oflag = OPOST | ONLCR, tcsetattr(s, TCSANOW, &t);
    write(s, "name: ", 6), KEYS("a\t\x7f" "b\x15\n");
    CALL(tcdrain(s)), CALL(tcsendbreak(s, 0)), CALL(tcdrain(m));
    done();
}

static void flow(void) {
    SECTION("stopping output");
    fresh();
    fcntl(s, F_SETFL, O_NONBLOCK);
    TYPE("\x13"), CALL(write(s, "abc", 3)), TYPE("x"), show("screen", m);
    struct pollfd p = {s, POLLOUT, 0};
    CALL(poll(&p, 1, 0));
    TYPE("\x11"), CALL(poll(&p, 1, 0)), SHOW(p.revents), CALL(write(s, "abc", 3)), show("screen", m);
    CALL(tcflow(s, TCOOFF)), TYPE("\x11"), CALL(write(s, "def", 3)), CALL(tcflow(s, TCOON)), CALL(write(s, "def", 3));
    CALL(tcflow(s, TCIOFF)), CALL(tcflow(s, TCION)), show("screen", m);
    CALL(tcflow(s, 9)), CALL(ioctl(s, TCXONC, -1L)), CALL(tcflush(s, 9));
    set(IXANY, 0, 0, 0, 0), TYPE("\x13"), CALL(write(s, "ghi", 3)), TYPE("a"), CALL(write(s, "ghi", 3)), show("screen", m);
    TYPE("\x13"), set(0, IXON, 0, 0, 0), CALL(write(s, "jkl", 3)), show("screen", m);
    TYPE("a\x13\x11" "b\n"), show("read", s);
    SECTION("flushing");
    TYPE("abc\ndef"), CALL(tcflush(s, TCOFLUSH)), CALL(tcflush(s, TCIFLUSH)), TYPE("ghi\n"), show("read", s), show("screen", m);
    TYPE("abc\n"), CALL(tcflush(m, TCIFLUSH)), show("screen", m), show("read", s);
    write(s, "out", 3), settle(), CALL(tcflush(s, TCOFLUSH)), show("screen", m);
    TYPE("abc\n"), CALL(tcflush(s, TCIOFLUSH)), fcntl(s, F_SETFL, O_NONBLOCK), show("read", s);
    struct termios t = now();
    TYPE("abc\n"), CALL(tcsetattr(s, TCSAFLUSH, &t)), show("read", s);
    TYPE("abc\n"), CALL(tcsetattr(s, TCSADRAIN, &t)), show("read", s);
    done();
}

static void *later(void *keys) {
    msleep(60);
    for (const char *k = keys; *k; k++) write(m, k, 1), msleep(60);
    return NULL;
}
static void raw(void) {
    SECTION("raw");
    fresh();
    struct termios t = now();
    cfmakeraw(&t), tcsetattr(s, TCSANOW, &t), show_settings(s);
    KEYS("a\r\n\x03\x7f\xff\x00z\x13\x11");
    char b[300];
    pthread_t th;
    struct pollfd p = {s, POLLIN, 0};
    int n;
    const struct { int min, time, want; const char *keys; } cases[] = {
        {0, 0, 10, ""},  {0, 2, 10, ""},    {0, 20, 10, "ab"}, {1, 0, 10, "ab"},   {3, 0, 10, "abcd"},
        {3, 0, 2, "abc"}, {5, 2, 10, "ab"}, {3, 20, 10, "abcd"}, {5, 20, 3, "abcd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        t.c_cc[VMIN] = cases[i].min, t.c_cc[VTIME] = cases[i].time, tcsetattr(s, TCSAFLUSH, &t);
        printf("min %d time %d: %s\n", cases[i].min, cases[i].time, cases[i].keys);
        pthread_create(&th, NULL, later, (void *)cases[i].keys);
        int64_t start = now_ms();
        CALL(read(s, b, cases[i].want));
        SHOW((now_ms() - start) / 1000);
        pthread_join(th, NULL);
        settle(), ioctl(s, FIONREAD, &n), SHOW(n);
        CALL(poll(&p, 1, 0));
    }
    fcntl(s, F_SETFL, O_NONBLOCK);
    t.c_cc[VMIN] = 5, t.c_cc[VTIME] = 0, tcsetattr(s, TCSAFLUSH, &t);
    CALL(read(s, b, 9)), TYPE("abc"), CALL(poll(&p, 1, 0)), CALL(read(s, b, 9)), TYPE("abcde"), CALL(poll(&p, 1, 0)), CALL(read(s, b, 9));
    t.c_cc[VMIN] = 0, tcsetattr(s, TCSAFLUSH, &t), CALL(read(s, b, 9)), CALL(poll(&p, 1, 0));
    t.c_cc[VTIME] = 5, tcsetattr(s, TCSAFLUSH, &t), CALL(read(s, b, 9));
    fcntl(s, F_SETFL, 0), t.c_cc[VMIN] = 100, t.c_cc[VTIME] = 0, tcsetattr(s, TCSAFLUSH, &t);
    char more[150] = {0};
    type(more, sizeof more), CALL(read(s, b, sizeof b));
    SECTION("from one mode to the other");
    t = now(), t.c_cc[VMIN] = 1, t.c_cc[VTIME] = 0, tcsetattr(s, TCSAFLUSH, &t);
    TYPE("abc"), set(0, 0, 0, ICANON, 0), show("read", s);
    t = now(), t.c_cc[VEOF] = 4, tcsetattr(s, TCSANOW, &t);
    TYPE("one\ntwo\x04three"), set(0, 0, 0, 0, ICANON), t = now(), t.c_cc[VMIN] = 1, tcsetattr(s, TCSANOW, &t), show("read", s);
    set(0, 0, 0, ICANON | EXTPROC, 0), TYPE("ab\x7f\n"), show("read", s);
    done();
}

static void settings(void) {
    SECTION("settings");
    fresh();
    struct termios t = now();
    cfsetspeed(&t, B115200), t.c_cflag |= CSTOPB | PARENB | CLOCAL, t.c_cflag = (t.c_cflag & ~CSIZE) | CS5;
    CALL(tcsetattr(s, TCSANOW, &t)), show_settings(s), show_settings(m);
    cfsetispeed(&t, B9600), CALL(tcsetattr(m, TCSANOW, &t)), show_settings(s);
    unsigned char old[18] = {0}, two[44] = {0};
    CALL(ioctl(s, TCGETA, old));
    for (int i = 0; i < 17; i++) printf("%02x ", old[i]);
    printf("\n");
    old[6] ^= 8, CALL(ioctl(s, TCSETA, old)), show_settings(s);
    CALL(ioctl(s, TCSETAW, old)), CALL(ioctl(s, TCSETAF, old));
    CALL(ioctl(s, 0x802c542a, two));
    for (int i = 0; i < 44; i++) printf("%02x ", two[i]);
    printf("\n");
    CALL(ioctl(s, 0x402c542b, two)), CALL(ioctl(s, 0x402c542c, two)), CALL(ioctl(s, 0x402c542d, two));
    CALL(ioctl(s, TCGETS, BADPTR)), CALL(ioctl(s, TCSETS, BADPTR)), CALL(ioctl(s, 0x802c542a, BADPTR));
    int n = 7;
    CALL(ioctl(s, TIOCGSOFTCAR, &n)), SHOW(n), n = 0, CALL(ioctl(s, TIOCSSOFTCAR, &n)), CALL(ioctl(s, TIOCGSOFTCAR, &n)), SHOW(n);
    CALL(ioctl(s, TIOCGETD, &n)), SHOW(n), CALL(ioctl(s, TIOCSETD, &n)), n = 999, CALL(ioctl(s, TIOCSETD, &n));
    CALL(ioctl(s, TIOCMGET, &n)), CALL(ioctl(s, TIOCSBRK)), CALL(ioctl(s, TIOCCBRK)), CALL(ioctl(s, TCSBRKP, 1)), CALL(ioctl(s, 0x5499, &n));
    CALL(ioctl(s, FIONREAD, BADPTR));
    struct winsize w = {1, 2, 3, 4};
    CALL(ioctl(s, TIOCGWINSZ, &w)), printf("%d %d %d %d\n", w.ws_row, w.ws_col, w.ws_xpixel, w.ws_ypixel);
    w.ws_row = 33, w.ws_xpixel = 5, CALL(ioctl(m, TIOCSWINSZ, &w)), memset(&w, 0, sizeof w);
    CALL(ioctl(s, TIOCGWINSZ, &w)), printf("%d %d %d %d\n", w.ws_row, w.ws_col, w.ws_xpixel, w.ws_ypixel);
    CALL(ioctl(s, TIOCSWINSZ, BADPTR)), CALL(ioctl(m, TIOCGWINSZ, BADPTR));
    SECTION("typing for the user");
    CALL(ioctl(s, TIOCSTI, "q")), CALL(ioctl(s, TIOCSTI, "\n")), CALL(ioctl(s, TIOCSTI, BADPTR)), show("read", s), show("screen", m);
    done();
}

static void packets(void) {
    SECTION("packet mode");
    fresh();
    int on = 1, n = -1;
    CALL(ioctl(m, TIOCGPKT, &n)), SHOW(n), CALL(ioctl(m, TIOCPKT, &on)), CALL(ioctl(m, TIOCGPKT, &n)), SHOW(n);
    struct pollfd p = {m, POLLIN | POLLPRI, 0};
    show("nothing", m);
    CALL(write(s, "abc", 3)), show("data", m);
    TYPE("\x13"), CALL(poll(&p, 1, 0)), SHOW(p.revents), show("stop", m), TYPE("\x11"), show("start", m);
    TYPE("ab\x03"), show("interrupt", m);
    CALL(tcflush(s, TCIFLUSH)), show("flush in", m), CALL(tcflush(s, TCIOFLUSH)), show("flush both", m);
    set(0, IXON, 0, 0, 0), show("no stop", m), set(IXON, 0, 0, 0, 0), show("do stop", m);
    set(0, 0, 0, 0, ECHO), show("no change", m), set(0, 0, 0, EXTPROC, 0), show("external", m);
    CALL(tcflow(s, TCOOFF)), show("off", m), CALL(tcflow(s, TCOON)), show("on", m);
    char b[10];
    CALL(write(s, "abc", 3)), settle(), CALL(read(m, b, 1)), CALL(read(m, b, 3)), show("rest", m);
    on = 0, TYPE("\x13"), CALL(ioctl(m, TIOCPKT, &on)), show("off", m);
    done();
}

static void *close_slave(void *a) {
    (void)a, msleep(60), close(s);
    return NULL;
}
static void *close_master(void *a) {
    (void)a, msleep(60), close(m);
    return NULL;
}
static void *read_later(void *a) {
    char b[30000];
    (void)a, msleep(60);
    for (int got = 0; got < 60000;) got += read(m, b, sizeof b);
    return NULL;
}
static void ends(void) {
    SECTION("the end of the slave");
    char b[100];
    pthread_t t;
    int a = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    struct pollfd p = {a, POLLIN | POLLOUT, 0};
    CALL(read(a, b, 9)), CALL(poll(&p, 1, 0)), SHOW(p.revents), close(a);
    fresh();
    p.fd = m;
    CALL(poll(&p, 1, 0)), SHOW(p.revents);
    write(s, "last", 4), settle(), close(s);
    CALL(poll(&p, 1, 0)), SHOW(p.revents), CALL(read(m, b, 99)), CALL(read(m, b, 99));
    CALL(poll(&p, 1, 0)), SHOW(p.revents), CALL(write(m, "x\n", 2));
    s = open(name, O_RDWR | O_NOCTTY);
    CALL(poll(&p, 1, 0)), show("read", s), show("screen", m);
    pthread_create(&t, NULL, close_slave, NULL), CALL(read(m, b, 9)), pthread_join(t, NULL), close(m);
    SECTION("the end of the master");
    fresh();
    pthread_create(&t, NULL, close_master, NULL), CALL(read(s, b, 9)), pthread_join(t, NULL);
    p.fd = s;
    CALL(poll(&p, 1, 0)), SHOW(p.revents), CALL(read(s, b, 9)), CALL(write(s, "x", 1));
    struct termios x;
    CALL(tcgetattr(s, &x)), CALL(tcsetpgrp(s, getpgrp())), CALL(tcgetpgrp(s)), CALL(isatty(s)), CALL(open(name, O_RDWR));
    close(s);
    SECTION("hanging up");
    fresh();
    int again = open(name, O_RDWR | O_NOCTTY);
    set(0, 0, 0, 0, ECHO), CALL(ioctl(s, TIOCVHANGUP));
    p.fd = s;
    CALL(poll(&p, 1, 0)), SHOW(p.revents), CALL(read(s, b, 9)), CALL(write(again, "x", 1)), CALL(tcgetattr(again, &x));
    p.fd = m, CALL(poll(&p, 1, 0)), SHOW(p.revents);
    close(s), close(again), CALL(poll(&p, 1, 0)), SHOW(p.revents);
    s = open(name, O_RDWR | O_NOCTTY), show_settings(s), CALL(write(s, "y", 1)), show("screen", m);
    done();
    SECTION("more than fits");
    fresh();
    set(0, 0, 0, 0, 0);
    struct termios r = now();
    cfmakeraw(&r), tcsetattr(s, TCSANOW, &r);
    static char big[60000];
    memset(big, 'b', sizeof big);
    pthread_create(&t, NULL, read_later, NULL), CALL(write(s, big, sizeof big)), pthread_join(t, NULL);
    fcntl(s, F_SETFL, O_NONBLOCK);
    long n = write(s, big, sizeof big);
    HOLDS(n > 4000 && n < 60000), settle(), n = write(s, big, sizeof big), n = write(s, big, sizeof big);
    CALL(n = write(s, big, sizeof big));
    p.fd = s, p.events = POLLOUT, CALL(poll(&p, 1, 0));
    done();
}

/* File systems of ptys that have nothing to do with each other. */
static void instances(void) {
    SECTION("instances");
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) perror("alone");
    mkdir("pts", 0755), mkdir("dev", 0755), mkdir("dev/pts", 0755);
    CALL(mount("devpts", "pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=620,gid=7"));
    CALL(mount("devpts", "dev/pts", "devpts", 0, ""));
    CALL(mount("devpts", "pts", "devpts", 0, "mode=x"));
    CALL(mount("devpts", "pts", "devpts", 0, "other"));
    unsigned number = 99;
    struct stat st;
    CALL(stat("pts/ptmx", &st)), SHOW(st.st_mode), SHOW(st.st_rdev == makedev(5, 2));
    int one = open("pts/ptmx", O_RDWR | O_NOCTTY), unlock = 0;
    CALL(ioctl(one, TIOCGPTN, &number)), SHOW(number), CALL(ioctl(one, TIOCSPTLCK, &unlock));
    CALL(stat("pts/0", &st)), SHOW(st.st_mode), SHOW(st.st_gid), SHOW(st.st_rdev == makedev(136, 0));
    CALL(access("dev/pts/0", F_OK));
    int side = open("pts/0", O_RDWR | O_NOCTTY);
    CALL(write(side, "x", 1)), CALL(read(one, &number, 1));
    CALL(mknod("dev/ptmx", S_IFCHR | 0666, makedev(5, 2)));
    int two = open("dev/ptmx", O_RDWR | O_NOCTTY), three = open("dev/ptmx", O_RDWR | O_NOCTTY);
    CALL(ioctl(three, TIOCGPTN, &number)), SHOW(number);
    CALL(stat("dev/pts/1", &st)), SHOW(st.st_mode), SHOW(st.st_gid);
    CALL(access("pts/1", F_OK)), CALL(access("dev/pts/0", F_OK));
    close(two), CALL(access("dev/pts/0", F_OK));
    CALL(umount("pts")), close(side), close(one), CALL(umount("pts")), close(three), CALL(umount("dev/pts"));
}

int main(void) {
    signal(SIGHUP, SIG_IGN);
    opening(), lines(), output(), flow(), raw(), settings(), packets(), ends(), instances();
    return 0;
}
