// POSIX message queues: names, capacities, priorities, who waits and who is told, polling, permissions.
// flags: -pthread -lrt
#include "oracle.h"
#include <grp.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>

#define OPEN(n, flags, mode, attr) (int)syscall(SYS_mq_open, n, flags, mode, attr)
static char name[32], other[32], buf[8192];
static int q;

static void attributes(int fd) {
    struct mq_attr a;
    if (CALL(mq_getattr(fd, &a)) == 0) printf("flags %lx, %ld of %ld messages of %ld bytes\n", a.mq_flags, a.mq_curmsgs, a.mq_maxmsg, a.mq_msgsize);
}
static long get(int fd, size_t room, long ms) {
    unsigned priority = 99;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += ms * 1000000, t.tv_sec += t.tv_nsec / 1000000000, t.tv_nsec %= 1000000000;
    memset(buf, 0, 100);
    long n = mq_timedreceive(fd, buf, room, &priority, &t);
    int e = errno;
    printf("[%.20s %u] ", buf, priority);
    errno = e;
    return n;
}
static int ready(int fd) {
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}
static char mine[8192];
static int told, value, code;
static void tell(int s, siginfo_t *i, void *c) {
    (void)s, (void)c;
    told++, value = i->si_value.sival_int, code = i->si_code;
    if (i->si_pid != getpid() || i->si_uid != getuid()) value = -1;
}
struct work {
    int sends, result, error;
    pthread_t thread;
};
static void *run(void *p) {
    struct work *w = p;
    unsigned priority;
    w->result = w->sends ? mq_send(q, "late", 4, 5) : mq_receive(q, mine, sizeof mine, &priority);
    w->error = errno;
    return NULL;
}
static void start(struct work *w) {
    pthread_create(&w->thread, NULL, run, w);
    msleep(50);
}
static void end(struct work *w) {
    pthread_join(w->thread, NULL);
    printf("ended with %d %s\n", w->result, w->result < 0 ? oracle_errname(w->error) : w->sends ? "" : mine);
}

int main(void) {
    sprintf(name, "lo.%d", getpid()), sprintf(other, "lo.o.%d", getpid());
    char longname[300];
    memset(longname, 'n', 256), longname[256] = 0;
    struct mq_attr small = {.mq_maxmsg = 3, .mq_msgsize = 20}, bad = {.mq_maxmsg = 0, .mq_msgsize = 20}, bad2 = {.mq_maxmsg = 1, .mq_msgsize = -1}, bad3 = {.mq_maxmsg = 1L << 40, .mq_msgsize = 1}, huge = {.mq_maxmsg = 1, .mq_msgsize = 1L << 40};
    SECTION("open");
    CALL(OPEN(name, O_RDWR, 0, NULL)), CALL(OPEN("", O_RDWR | O_CREAT, 0600, NULL)), CALL(OPEN("a/b", O_RDWR | O_CREAT, 0600, NULL)), CALL(OPEN(".", O_RDWR | O_CREAT, 0600, NULL)), CALL(OPEN("..", O_RDWR, 0600, NULL)), CALL(OPEN("/x", O_RDWR, 0600, NULL)), CALL(OPEN(longname, O_RDWR | O_CREAT, 0600, NULL)), CALL(OPEN(BADPTR, O_RDWR, 0, NULL)), CALL(OPEN(name, O_RDWR, 0, BADPTR));
    CALL(OPEN(name, O_RDWR | O_CREAT, 0600, &bad)), CALL(OPEN(name, O_RDWR | O_CREAT, 0600, &bad2)), CALL(OPEN(name, O_RDWR | O_CREAT, 0600, &bad3)), CALL(OPEN(name, O_RDWR | O_CREAT, 0600, &huge)), CALL(OPEN(name, O_RDWR, 0, NULL));
    q = CALL(OPEN(name, O_RDWR | O_CREAT | O_EXCL, 0666, &small)), attributes(q), CALL(OPEN(name, O_RDWR | O_CREAT | O_EXCL, 0666, &small)), CALL(OPEN(name, O_ACCMODE, 0, NULL));
    int r = CALL(OPEN(name, O_RDONLY | O_NONBLOCK, 0, NULL)), w = CALL(OPEN(name, O_WRONLY | O_CREAT, 0, &bad)), d = CALL(OPEN(other, O_RDWR | O_CREAT, 0600, NULL));
    attributes(d), attributes(r), CALL(fcntl(q, F_GETFD)), CALL(fcntl(r, F_GETFL) & ~0100000), CALL(fcntl(q, F_GETFL) & ~0100000);
    struct stat st;
    CALL(fstat(q, &st)), SHOW(st.st_mode), SHOW(st.st_size), SHOW(st.st_nlink);
    struct rlimit files = {5, 4096}, before;
    getrlimit(RLIMIT_NOFILE, &before), files.rlim_max = before.rlim_max, setrlimit(RLIMIT_NOFILE, &files), CALL(OPEN(name, O_RDWR, 0, NULL)), setrlimit(RLIMIT_NOFILE, &before);

    SECTION("send and receive");
    CALL(mq_send(q, "one", 3, 1)), CALL(mq_send(w, "two", 3, 2)), CALL(mq_send(q, "one again", 9, 1)), attributes(q), CALL(ready(q)), CALL(mq_send(r, "x", 1, 1)), CALL(mq_receive(w, buf, 20, NULL)), CALL(mq_send(q, "x", 21, 0)), CALL(mq_send(q, "x", 1, 32768)), CALL(mq_send(99, "x", 1, 0)), CALL(mq_send(1, "x", 1, 0)), CALL(mq_receive(1, buf, 20, NULL)), CALL(mq_receive(q, buf, 19, NULL));
    struct timespec t = {0, 1000000000}, past = {1, 0}, negative = {-1, 0};
    CALL(mq_timedsend(q, "x", 1, 0, &t)), CALL(mq_timedsend(q, "x", 1, 0, &negative)), CALL(mq_timedsend(q, "x", 1, 0, &past)), CALL(mq_timedsend(q, "x", 1, 0, BADPTR)), CALL(syscall(SYS_mq_timedsend, q, BADPTR, 1, 0, NULL));
    char text[100] = "";
    CALL(pread(r, text, 99, 0)), printf("%s", text), CALL(write(q, "x", 1)), CALL(lseek(r, 0, SEEK_END)), CALL(lseek(r, 0, SEEK_SET));
    CALL(get(q, 20, 0)), CALL(get(r, 8192, 0)), CALL(get(q, 20, 0)), CALL(get(q, 20, 20)), CALL(get(r, 20, 20)), CALL(ready(q)), CALL(mq_timedreceive(q, buf, 20, NULL, &t)), CALL(mq_timedreceive(q, buf, 20, NULL, BADPTR));
    CALL(mq_send(q, "", 0, 32767)), CALL(ready(q)), CALL(get(q, 20, 0)), mq_send(q, "lost", 4, 0), CALL(syscall(SYS_mq_timedreceive, q, BADPTR, 20, NULL, NULL)), attributes(q);

    SECTION("attributes");
    struct mq_attr a = {.mq_flags = O_NONBLOCK, .mq_maxmsg = 77}, old;
    CALL(mq_setattr(q, &a, &old)), SHOW(old.mq_flags), attributes(q), CALL(mq_receive(q, buf, 20, NULL)), a.mq_flags = 0, CALL(mq_setattr(q, &a, NULL)), a.mq_flags = O_APPEND, CALL(mq_setattr(q, &a, NULL)), CALL(syscall(SYS_mq_getsetattr, q, BADPTR, NULL)), CALL(syscall(SYS_mq_getsetattr, q, NULL, BADPTR)), CALL(mq_getattr(1, &a)), CALL(mq_getattr(99, &a));

    SECTION("waiting");
    struct work in = {0}, out = {.sends = 1};
    start(&in), CALL(mq_send(q, "for you", 8, 0)), end(&in);
    for (int i = 0; i < 3; i++) mq_send(q, "full", 5, 0);
    start(&out), CALL(get(q, 20, 0)), end(&out), CALL(get(q, 20, 0)), CALL(get(q, 20, 0)), CALL(get(q, 20, 0));
    struct sigaction sa = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &sa, NULL), start(&in), pthread_kill(in.thread, SIGUSR1), end(&in);

    SECTION("told");
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42}, no = {.sigev_notify = SIGEV_NONE};
    told = 0, CALL(mq_notify(q, &ev)), CALL(mq_notify(q, &ev)), CALL(mq_notify(r, &no)), CALL(mq_send(q, "now", 4, 0)), SHOW(told), SHOW(value), SHOW(code);
    CALL(mq_notify(q, &ev)), CALL(mq_send(q, "not the first", 14, 0)), SHOW(told), get(q, 20, 0), get(q, 20, 0), CALL(mq_notify(q, NULL)), CALL(mq_send(q, "nobody", 7, 0)), SHOW(told), get(q, 20, 0);
    CALL(mq_notify(q, &ev)), start(&in), CALL(mq_send(q, "waited for", 11, 0)), end(&in), SHOW(told), CALL(mq_notify(q, &ev)), CALL(mq_notify(q, NULL)), CALL(mq_notify(q, NULL));
    CALL(mq_notify(q, &no)), CALL(mq_send(q, "quiet", 6, 0)), SHOW(told), get(q, 20, 0), CALL(mq_notify(q, &ev)), CALL(mq_close(dup(q))), CALL(mq_notify(q, &ev)), mq_notify(q, NULL);
    ev.sigev_signo = 65, CALL(mq_notify(q, &ev)), ev.sigev_signo = 0, CALL(mq_notify(q, &ev)), CALL(mq_notify(q, NULL)), ev.sigev_notify = 9, CALL(mq_notify(q, &ev)), CALL(syscall(SYS_mq_notify, q, BADPTR)), CALL(mq_notify(1, &no)), CALL(mq_notify(99, &no));

    SECTION("unlink");
    CALL(syscall(SYS_mq_unlink, other)), CALL(syscall(SYS_mq_unlink, other)), CALL(syscall(SYS_mq_unlink, BADPTR)), CALL(syscall(SYS_mq_unlink, "")), CALL(syscall(SYS_mq_unlink, "a/b")), CALL(syscall(SYS_mq_unlink, longname)), CALL(mq_send(d, "still there", 12, 0)), CALL(get(d, 8192, 0)), CALL(fstat(d, &st)), SHOW(st.st_nlink), CALL(OPEN(other, O_RDWR, 0, NULL));

    SECTION("somebody else");
    CALL(setgroups(0, NULL)), CALL(setresgid(1000, 1000, 1000)), CALL(setresuid(1000, 1000, 0));
    CALL(OPEN(name, O_RDONLY, 0, NULL) >= 0), CALL(OPEN(name, O_RDWR, 0, NULL)), CALL(OPEN(name, O_WRONLY, 0, NULL)), CALL(syscall(SYS_mq_unlink, name));
    small.mq_maxmsg = 11, CALL(OPEN(other, O_RDWR | O_CREAT, 0600, &small)), small.mq_maxmsg = 1, small.mq_msgsize = 8193, CALL(OPEN(other, O_RDWR | O_CREAT, 0600, &small)), small.mq_msgsize = 8192, small.mq_maxmsg = 10;
    int many = 0;
    for (; many < 20; many++) {
        char n[40];
        sprintf(n, "lo.%d.%d", getpid(), many);
        if (OPEN(n, O_RDWR | O_CREAT, 0600, &small) < 0) break;
    }
    printf("%d queues, %s\n", many, oracle_errname(errno));
    for (int i = 0; i < many; i++) {
        char n[40];
        sprintf(n, "lo.%d.%d", getpid(), i);
        if (syscall(SYS_mq_unlink, n)) printf("unlink: %s\n", oracle_errname(errno));
    }
    CALL(setresuid(0, 0, 0)), CALL(syscall(SYS_mq_unlink, name));
    return 0;
}
