/* Linux's own asynchronous I/O: io_setup, io_submit, io_getevents, io_pgetevents, io_cancel, io_destroy. */
#include "oracle.h"
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

static long setup(unsigned n, aio_context_t *c) { return syscall(SYS_io_setup, n, c); }
static long submit(aio_context_t c, long n, struct iocb **l) { return syscall(SYS_io_submit, c, n, l); }
static long events(aio_context_t c, long min, long n, struct io_event *e, struct timespec *t) {
    return syscall(SYS_io_getevents, c, min, n, e, t);
}
static long cancel(aio_context_t c, struct iocb *b, struct io_event *e) { return syscall(SYS_io_cancel, c, b, e); }
static long destroy(aio_context_t c) { return syscall(SYS_io_destroy, c); }

struct mask { const sigset_t *set; size_t size; };
static long pevents(aio_context_t c, long min, long n, struct io_event *e, struct timespec *t, struct mask *m) {
    return syscall(SYS_io_pgetevents, c, min, n, e, t, m);
}

static struct iocb operation(int code, int fd, void *buf, size_t len, off_t at, int tag) {
    struct iocb b = {0};
    b.aio_lio_opcode = code, b.aio_fildes = fd, b.aio_data = tag;
    b.aio_buf = (uintptr_t)buf, b.aio_nbytes = len, b.aio_offset = at;
    return b;
}
static struct io_event got[64];
/* One operation by itself: what io_submit says, and what comes of it. */
static void one(const char *what, aio_context_t c, struct iocb b) {
    struct iocb *list[] = {&b};
    errno = 0;
    long r = submit(c, 1, list);
    printf("%s: submit %ld %s", what, r, r < 0 ? strerrorname_np(errno) : "");
    if (r == 1) {
        struct timespec second = {1, 0};
        long n = events(c, 1, 4, got, &second);
        printf(" events %ld res %lld res2 %lld data %lld ours %d", n, (long long)got[0].res, (long long)got[0].res2,
               (long long)got[0].data, got[0].obj == (uintptr_t)&b);
    }
    printf("\n");
}

static void on_alarm(int s) { (void)s; }

int main(void) {
    aio_context_t c = 0, other = 1;
    struct timespec none = {0, 0}, some = {0, 20000000}, bad = {0, -1};
    char buf[8192], in[8192];
    int fd = oracle_file("f", 10000), dir = open(".", O_RDONLY), ro = open("f", O_RDONLY), wo = open("f", O_WRONLY);
    int at = open("f", O_PATH), p[2], null = open("/dev/null", O_RDWR);
    pipe(p);

    SECTION("setup");
    CALL(setup(0, &c));
    CALL(setup(1, &other));
    CALL(setup(1, BADPTR));
    CALL(setup(0x10000000, &c));
    CALL(setup(100000000, &c));
    CALL(setup(1000000, &c));
    CALL(setup(8, &c));
    HOLDS(c != 0 && (c & 4095) == 0);
    CALL(setup(8, &c));
    unsigned *ring = (unsigned *)c;
    printf("ring: index %u head %u tail %u magic %x compat %u incompat %u header %u\n", 0, ring[2], ring[3], ring[4], ring[5],
           ring[6], ring[7]);
    HOLDS(ring[1] >= 16);

    SECTION("transfers");
    one("read", c, operation(IOCB_CMD_PREAD, fd, buf, 100, 5, 1));
    SHOW(memcmp(buf, "fghij", 5));
    memset(in, 'X', sizeof in);
    one("write", c, operation(IOCB_CMD_PWRITE, fd, in, 50, 3, 2));
    pread(fd, buf, 60, 0);
    printf("%.60s\n", buf);
    one("read at end", c, operation(IOCB_CMD_PREAD, fd, buf, 100, 9990, 3));
    one("read behind end", c, operation(IOCB_CMD_PREAD, fd, buf, 100, 20000, 4));
    struct iovec v[2] = {{buf, 10}, {in, 20}};
    one("readv", c, operation(IOCB_CMD_PREADV, fd, v, 2, 0, 5));
    one("writev", c, operation(IOCB_CMD_PWRITEV, fd, v, 2, 100, 6));
    one("too many ranges", c, operation(IOCB_CMD_PREADV, fd, v, 2000, 0, 6));
    one("bad ranges", c, operation(IOCB_CMD_PREADV, fd, BADPTR, 2, 0, 6));
    one("nothing", c, operation(IOCB_CMD_PREAD, fd, buf, 0, 0, 7));
    one("no operation", c, operation(IOCB_CMD_NOOP, fd, buf, 1, 0, 7));
    one("unknown", c, operation(77, fd, buf, 1, 0, 7));
    one("bad descriptor", c, operation(IOCB_CMD_PREAD, 99, buf, 1, 0, 7));
    one("O_PATH", c, operation(IOCB_CMD_PREAD, at, buf, 1, 0, 7));
    one("read of write-only", c, operation(IOCB_CMD_PREAD, wo, buf, 1, 0, 7));
    one("write of read-only", c, operation(IOCB_CMD_PWRITE, ro, buf, 1, 0, 7));
    one("directory", c, operation(IOCB_CMD_PREAD, dir, buf, 1, 0, 7));
    one("bad buffer", c, operation(IOCB_CMD_PREAD, fd, BADPTR, 10, 0, 8));
    one("bad write buffer", c, operation(IOCB_CMD_PWRITE, fd, BADPTR, 10, 0, 8));
    one("impossible buffer", c, operation(IOCB_CMD_PREAD, fd, (void *)-4096L, 10, 0, 8));
    one("negative offset", c, operation(IOCB_CMD_PREAD, fd, buf, 10, -5, 9));
    one("negative length", c, operation(IOCB_CMD_PREAD, fd, buf, -5, 0, 9));
    one("null write", c, operation(IOCB_CMD_PWRITE, null, buf, 10, 0, 10));
    one("null read", c, operation(IOCB_CMD_PREAD, null, buf, 10, 0, 10));
    one("pipe write", c, operation(IOCB_CMD_PWRITE, p[1], "hello", 5, 0, 11));
    one("pipe read", c, operation(IOCB_CMD_PREAD, p[0], buf, 10, 0, 12));
    SHOW(memcmp(buf, "hello", 5));
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    one("empty pipe", c, operation(IOCB_CMD_PREAD, p[0], buf, 10, 0, 12));
    one("fsync", c, operation(IOCB_CMD_FSYNC, fd, 0, 0, 0, 13));
    one("fdsync", c, operation(IOCB_CMD_FDSYNC, fd, 0, 0, 0, 14));
    one("fsync with a buffer", c, operation(IOCB_CMD_FSYNC, fd, buf, 0, 0, 14));
    one("fsync of a pipe", c, operation(IOCB_CMD_FSYNC, p[0], 0, 0, 0, 15));
    struct iocb b = operation(IOCB_CMD_PREAD, fd, buf, 10, 0, 16);
    b.aio_reserved2 = 1;
    one("reserved", c, b);
    b = operation(IOCB_CMD_PREAD, fd, buf, 10, 0, 16);
    b.aio_rw_flags = 0x8000;
    one("bad rw flags", c, b);
    b.aio_rw_flags = 8;
    one("nowait", c, b);
    b = operation(IOCB_CMD_PWRITE, fd, "END", 3, 0, 16);
    b.aio_rw_flags = 16;
    one("append", c, b);
    SHOW(lseek(fd, 0, SEEK_END));
    b = operation(IOCB_CMD_PREAD, fd, buf, 10, 0, 16);
    b.aio_flags = 2, b.aio_reqprio = 2 << 13;
    one("priority", c, b);
    b.aio_reqprio = 7 << 13;
    one("bad priority", c, b);
    b = operation(IOCB_CMD_PREAD, fd, buf, 10, 0, 16);
    b.aio_flags = 1, b.aio_resfd = fd;
    one("no eventfd", c, b);
    b.aio_resfd = 99;
    one("bad eventfd", c, b);
    b.aio_flags = 64;
    one("unknown flag", c, b);
    int ev = eventfd(0, EFD_NONBLOCK);
    uint64_t count;
    b.aio_flags = 1, b.aio_resfd = ev;
    one("eventfd", c, b);
    CALL(read(ev, &count, 8));
    SHOW(count);

    SECTION("several");
    struct iocb many[4];
    struct iocb *list[4];
    for (int i = 0; i < 4; i++) many[i] = operation(IOCB_CMD_PREAD, fd, buf + i * 100, 100, i * 100, 20 + i), list[i] = &many[i];
    CALL(submit(c, 4, list));
    CALL(events(c, 4, 64, got, NULL));
    for (int i = 0; i < 4; i++) printf("%lld %lld\n", (long long)got[i].data, (long long)got[i].res);
    many[2].aio_fildes = 99;
    CALL(submit(c, 4, list));
    CALL(events(c, 0, 64, got, &none));
    list[1] = BADPTR;
    CALL(submit(c, 4, list));
    CALL(events(c, 0, 64, got, &none));
    CALL(submit(c, 0, list));
    CALL(submit(c, -1, list));
    CALL(submit(c, 1, BADPTR));
    list[0] = BADPTR;
    CALL(submit(c, 1, list));
    CALL(submit(12345, 1, list));
    CALL(submit(0, 1, list));
    list[0] = &many[0];
    CALL(submit(c, 1, list));
    CALL(events(c, 0, 0, got, &none));
    CALL(events(c, 1, 1, BADPTR, &none));
    CALL(events(c, 1, 1, got, &none));
    SHOW(got[0].data);

    SECTION("waiting");
    CALL(events(c, 1, 1, got, &none));
    CALL(events(c, 1, 1, got, &some));
    CALL(events(c, 2, 1, got, &none));
    CALL(events(c, -1, 1, got, &none));
    CALL(events(c, 1, -1, got, &none));
    CALL(events(c, 0, 1, got, &bad));
    CALL(events(c, 0, 1, got, BADPTR));
    CALL(events(777, 0, 1, got, &none));
    struct sigaction sa = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &sa, NULL);
    struct itimerspec soon = {.it_value = {0, 30000000}};
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, NULL, &timer);
    timer_settime(timer, 0, &soon, NULL);
    CALL(events(c, 1, 1, got, NULL));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    struct mask m = {&set, 8}, wrong = {&set, 3}, nowhere = {BADPTR, 8};
    timer_settime(timer, 0, &soon, NULL);
    struct timespec longer = {0, 80000000};
    CALL(pevents(c, 1, 1, got, &longer, &m));
    CALL(pevents(c, 1, 1, got, &none, &wrong));
    CALL(pevents(c, 1, 1, got, &none, &nowhere));
    CALL(pevents(c, 1, 1, got, &none, BADPTR));
    CALL(pevents(c, 1, 1, got, &none, NULL));
    CALL(pevents(777, 1, 1, got, &none, NULL));
    timer_settime(timer, 0, &soon, NULL);
    sigemptyset(&set);
    CALL(pevents(c, 1, 1, got, NULL, &m));

    SECTION("poll");
    struct iocb polled = operation(IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 0, 30);
    struct iocb *polls[] = {&polled};
    CALL(submit(c, 1, polls));
    CALL(events(c, 0, 1, got, &none));
    write(p[1], "x", 1);
    CALL(events(c, 1, 1, got, NULL));
    printf("%lld %lld\n", (long long)got[0].data, (long long)got[0].res);
    one("ready", c, operation(IOCB_CMD_POLL, p[0], (void *)(POLLIN | POLLOUT), 0, 0, 31));
    one("too much", c, operation(IOCB_CMD_POLL, p[0], (void *)0x10000, 0, 0, 31));
    one("with a length", c, operation(IOCB_CMD_POLL, p[0], (void *)POLLIN, 1, 0, 31));
    one("of a file", c, operation(IOCB_CMD_POLL, fd, (void *)POLLIN, 0, 0, 31));
    read(p[0], buf, 10);
    CALL(submit(c, 1, polls));
    CALL(cancel(c, &polled, got));
    CALL(events(c, 1, 1, got, &longer));
    printf("%lld %lld\n", (long long)got[0].data, (long long)got[0].res);
    CALL(cancel(c, &polled, got));
    CALL(cancel(c, &many[0], got));
    CALL(cancel(c, BADPTR, got));
    CALL(cancel(777, &polled, got));
    /* The one who waits is woken. */
    CALL(submit(c, 1, polls));
    if (fork() == 0) {
        msleep(30);
        write(p[1], "y", 1);
        /* What the child has of it is nothing. */
        _exit(events(c, 0, 1, got, &none) == -1 && errno == EINVAL ? 7 : 8);
    }
    CALL(events(c, 1, 1, got, NULL));
    int status;
    wait(&status);
    SHOW(WEXITSTATUS(status));
    read(p[0], buf, 10);

    SECTION("full");
    aio_context_t small = 0;
    CALL(setup(1, &small));
    long done = 0;
    struct iocb again = operation(IOCB_CMD_PREAD, fd, buf, 1, 0, 40);
    struct iocb *agains[] = {&again};
    while (done < 10000 && submit(small, 1, agains) == 1) done++;
    printf("%s\n", strerrorname_np(errno));
    HOLDS(done >= 1 && done < 10000);
    long back = 0, n;
    while ((n = events(small, 0, 64, got, &none)) > 0) back += n;
    HOLDS(back == done);
    CALL(submit(small, 1, agains));
    /* Taken from the ring by hand, as libraries do. */
    ring = (unsigned *)small;
    struct io_event *slots = (struct io_event *)(ring + 8);
    SHOW(slots[ring[2]].data);
    SHOW(slots[ring[2]].res);
    ring[2] = (ring[2] + 1) % ring[1];
    HOLDS(ring[2] == ring[3]);
    CALL(events(small, 0, 1, got, &none));
    ring[2] = 123456789;
    CALL(submit(small, 1, agains));
    CALL(events(small, 0, 1, got, &none) <= 1);

    SECTION("destroy");
    CALL(submit(c, 1, polls));
    CALL(destroy(c));
    CALL(destroy(c));
    CALL(destroy(0));
    CALL(submit(c, 1, polls));
    CALL(events(c, 0, 1, got, &none));
    CALL(destroy(small));
    c = 0;
    CALL(setup(4, &c));
    CALL(munmap((void *)c, 4096));
    CALL(events(c, 0, 1, got, &none));
    CALL(destroy(c));
    return 0;
}
