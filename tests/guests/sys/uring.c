/* io_uring: making rings, their memory, submitting and completing. */
#include "uring.h"

static void setups(void) {
    SECTION("setup");
    struct io_uring_params p;
    CALL(uring_setup(8, NULL));
    CALL(uring_setup(8, BADPTR));
#define TRY(n, ...) (p = (struct io_uring_params){__VA_ARGS__}, uring_setup(n, &p))
    CALL(TRY(0));
    CALL(TRY(0, .flags = IORING_SETUP_CLAMP));
    CALL(TRY(32769));
    CALL(TRY(8, .resv = {1}));
    CALL(TRY(8, .flags = 1u << 31));
    CALL(TRY(8, .flags = IORING_SETUP_CQSIZE));
    CALL(TRY(8, .flags = IORING_SETUP_CQSIZE, .cq_entries = 4));
    CALL(TRY(8, .flags = IORING_SETUP_DEFER_TASKRUN));
    CALL(TRY(8, .flags = IORING_SETUP_TASKRUN_FLAG));
    CALL(TRY(8, .flags = IORING_SETUP_SQPOLL | IORING_SETUP_COOP_TASKRUN));
    CALL(TRY(8, .flags = IORING_SETUP_SQ_AFF));
    struct { unsigned n, flags, cq; } good[] = {
        {1, 0, 0}, {5, 0, 0}, {64, IORING_SETUP_CQSIZE, 65}, {4096, 0, 0}, {1 << 20, IORING_SETUP_CLAMP, 0},
        {8, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0}, {8, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0},
        {8, IORING_SETUP_SQE128 | IORING_SETUP_CQE32, 0}, {8, IORING_SETUP_SUBMIT_ALL, 0}, {8, 1 << 16, 0},
    };
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
        p = (struct io_uring_params){.flags = good[i].flags, .cq_entries = good[i].cq};
        int fd = OK(uring_setup(good[i].n, &p));
        printf("%u %u %u %u array %u cqes %u features %d\n", p.sq_entries, p.cq_entries, p.sq_off.head, p.cq_off.head,
               p.sq_off.array, p.cq_off.cqes, (p.features & URING_FEATURES) == URING_FEATURES);
        SHOW(fcntl(fd, F_GETFD));
        close(fd);
    }
}

static void mappings(void) {
    SECTION("memory");
    struct uring r = uring_new(8, 0);
    char *again = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, IORING_OFF_CQ_RING);
    HOLDS(!memcmp(again, r.rings, 64));
    SHOW(*SQ(&r, ring_mask)); SHOW(*SQ(&r, ring_entries)); SHOW(*CQ(&r, ring_mask)); SHOW(*CQ(&r, ring_entries));
    SHOW(*SQ(&r, head)); SHOW(*SQ(&r, tail)); SHOW(*SQ(&r, flags)); SHOW(*SQ(&r, dropped)); SHOW(*CQ(&r, overflow)); SHOW(*CQ(&r, flags));
    PTR(mmap(0, 4096, PROT_READ, MAP_SHARED, r.fd, 0x20000000));
    PTR(mmap(0, 1 << 20, PROT_READ, MAP_SHARED, r.fd, IORING_OFF_SQES));
    PTR(mmap(0, 4096, PROT_READ, MAP_SHARED, r.fd, 0x80000000 | 7 << 16));
    char byte;
    CALL(read(r.fd, &byte, 1)); CALL(write(r.fd, &byte, 1)); CALL(lseek(r.fd, 0, SEEK_SET));
    struct pollfd pf = {r.fd, POLLIN | POLLOUT, 0};
    CALL(poll(&pf, 1, 0)); SHOW(pf.revents);
    uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, 1);
    CALL(uring_submit(&r, 0));
    CALL(poll(&pf, 1, 0)); SHOW(pf.revents);
    uring_show(&r, 1);
    char name[64] = "", path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", r.fd);
    readlink(path, name, sizeof name - 1);
    printf("%s\n", name);
    uring_close(&r);
}

static void enters(void) {
    SECTION("enter");
    struct uring r = uring_new(4, 0);
    int file = oracle_file("f", 10);
    CALL(uring_enter(-1, 0, 0, 0, 0, 0));
    CALL(uring_enter(file, 0, 0, 0, 0, 0));
    CALL(uring_enter(r.fd, 0, 0, 1u << 31, 0, 0));
    CALL(uring_enter(r.fd, 1, 0, 0, 0, 0));
    CALL(uring_enter(r.fd, 0, 0, IORING_ENTER_GETEVENTS, 0, 0));
    CALL(uring_enter(r.fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, 0, 0));
    CALL(uring_enter(r.fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, BADPTR, sizeof(struct io_uring_getevents_arg)));
    CALL(uring_enter(r.fd, 0, 1, IORING_ENTER_GETEVENTS, &file, 4));
    CALL(uring_enter(0, 0, 0, IORING_ENTER_REGISTERED_RING, 0, 0));
    CALL(uring_enter(99, 0, 0, IORING_ENTER_REGISTERED_RING, 0, 0));
    struct io_uring_getevents_arg arg = {.ts = (uintptr_t)&uring_soon};
    int64_t start = now_ms();
    CALL(uring_enter(r.fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg));
    HOLDS(now_ms() - start >= 19);
    uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, 1);
    *SQ(&r, tail) = r.tail;
    /* A completion that is there counts more than that time is up. */
    CALL(uring_enter(r.fd, 1, 2, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg));
    CALL(uring_enter(r.fd, 0, 2, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg));
    uring_show(&r, 1);
    /* More than there are, and an index that names none. */
    for (int i = 0; i < 4; i++) uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, i);
    *SQ(&r, tail) = r.tail;
    CALL(uring_enter(r.fd, 9, 4, IORING_ENTER_GETEVENTS, 0, 0));
    uring_show(&r, 4);
    SQ(&r, array)[(r.tail + 1) & 3] = 99;
    for (int i = 0; i < 3; i++) uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, i);
    CALL(uring_submit(&r, 0));
    SHOW(*SQ(&r, dropped));
    SHOW(*SQ(&r, tail) - *SQ(&r, head));
    CALL(uring_submit(&r, 0));
    uring_show(&r, 2);
    LEFT(&r);
    uring_close(&r);
    close(file);
}

static void on_alarm(int s) { (void)s; }
static void interrupted(void) {
    SECTION("interrupted");
    struct uring r = uring_new(4, 0);
    struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &sa, 0);
    sigset_t alarms, none;
    sigemptyset(&none); sigemptyset(&alarms); sigaddset(&alarms, SIGALRM);
    struct itimerval it = {.it_value = {0, 20000}};
    setitimer(ITIMER_REAL, &it, 0);
    CALL(uring_enter(r.fd, 0, 1, IORING_ENTER_GETEVENTS, 0, 0));
    sigprocmask(SIG_BLOCK, &alarms, 0);
    raise(SIGALRM);
    CALL(uring_enter(r.fd, 0, 1, IORING_ENTER_GETEVENTS, &none, 8));
    struct io_uring_getevents_arg arg = {.sigmask = (uintptr_t)&none, .sigmask_sz = 8};
    raise(SIGALRM);
    CALL(uring_enter(r.fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg));
    sigset_t now;
    sigprocmask(SIG_SETMASK, 0, &now);
    HOLDS(sigismember(&now, SIGALRM));
    uring_close(&r);
}

static void refused(void) {
    SECTION("refused");
    struct uring r = uring_new(8, 0), all = uring_new(8, IORING_SETUP_SUBMIT_ALL);
    struct uring *rings[] = {&r, &all};
    for (int i = 0; i < 2; i++) {
        uring_sqe(rings[i], IORING_OP_NOP, -1, 0, 0, 0, 1);
        uring_sqe(rings[i], 200, -1, 0, 0, 0, 2);
        uring_sqe(rings[i], IORING_OP_NOP, -1, 0, 0, 0, 3);
        CALL(uring_submit(rings[i], 0));
        uring_show(rings[i], uring_ready(rings[i]));
        CALL(uring_submit(rings[i], 0));
        uring_show(rings[i], uring_ready(rings[i]));
    }
#define BAD(what) do { struct io_uring_sqe *s = uring_sqe(&all, IORING_OP_NOP, -1, 0, 0, 0, 1); what; RES(#what, uring_do(&all)); } while (0)
    BAD(s->flags = 0x80);
    BAD(s->flags = IOSQE_BUFFER_SELECT);
    BAD(s->ioprio = 1);
    BAD(s->personality = 7);
    BAD(s->flags = IOSQE_ASYNC);
    uring_close(&r);
    uring_close(&all);
}

static void transfers(void) {
    SECTION("transfers");
    struct uring r = uring_new(8, 0);
    char buf[64] = {0};
    int file = oracle_file("g", 100), ends[2];
    pipe(ends);
    uring_sqe(&r, IORING_OP_READ, file, buf, 5, 3, 1); RES("read at 3", uring_do(&r)); printf("%.5s\n", buf);
    uring_sqe(&r, IORING_OP_READ, file, buf, 4, -1, 1); RES("read at the position", uring_do(&r)); printf("%.4s\n", buf);
    SHOW(lseek(file, 0, SEEK_CUR));
    uring_sqe(&r, IORING_OP_READ, file, buf, 64, 90, 1); RES("short", uring_do(&r));
    uring_sqe(&r, IORING_OP_READ, file, buf, 64, 100, 1); RES("at the end", uring_do(&r));
    uring_sqe(&r, IORING_OP_READ, file, buf, 8, -5, 1); RES("negative", uring_do(&r));
    uring_sqe(&r, IORING_OP_READ, file, BADPTR, 8, 0, 1); RES("bad buffer", uring_do(&r));
    uring_sqe(&r, IORING_OP_READ, 99, buf, 8, 0, 1); RES("no file", uring_do(&r));
    uring_sqe(&r, IORING_OP_READ, ends[1], buf, 8, 0, 1); RES("wrong way", uring_do(&r));
    uring_sqe(&r, IORING_OP_READ, file, buf, 0, 0, 1); RES("nothing", uring_do(&r));
    uring_sqe(&r, IORING_OP_READ, file, buf, 8, 0, 1)->rw_flags = 1 << 30; RES("flags", uring_do(&r));
    uring_sqe(&r, IORING_OP_WRITE, file, "HELLO", 5, 0, 1); RES("write", uring_do(&r));
    uring_sqe(&r, IORING_OP_WRITE, file, "MORE", 4, 0, 1)->rw_flags = RWF_APPEND; RES("append", uring_do(&r));
    struct iovec v[2] = {{buf, 3}, {buf + 10, 4}};
    uring_sqe(&r, IORING_OP_READV, file, v, 2, 1, 1); RES("readv", uring_do(&r)); printf("%.3s %.4s\n", buf, buf + 10);
    uring_sqe(&r, IORING_OP_WRITEV, file, v, 2, 200, 1); RES("writev", uring_do(&r));
    uring_sqe(&r, IORING_OP_READV, file, BADPTR, 2, 0, 1); RES("bad vector", uring_do(&r));
    uring_sqe(&r, IORING_OP_READV, file, v, 2000, 0, 1); RES("long vector", uring_do(&r));
    struct stat st; fstat(file, &st); SHOW(st.st_size);
    uring_sqe(&r, IORING_OP_FSYNC, file, 0, 0, 0, 1); RES("fsync", uring_do(&r));
    uring_sqe(&r, IORING_OP_FSYNC, file, 0, 0, 0, 1)->fsync_flags = IORING_FSYNC_DATASYNC; RES("fdatasync", uring_do(&r));
    uring_sqe(&r, IORING_OP_FSYNC, file, buf, 0, 0, 1); RES("fsync with address", uring_do(&r));
    uring_sqe(&r, IORING_OP_FSYNC, ends[0], 0, 0, 0, 1); RES("fsync of a pipe", uring_do(&r));
    /* Reads that wait, of a pipe that would and of one that would not. */
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        if (nonblocking) fcntl(ends[0], F_SETFL, O_NONBLOCK);
        uring_sqe(&r, IORING_OP_READ, ends[0], buf, 8, 0, 1);
        CALL(uring_submit(&r, 0));
        LEFT(&r);
        uring_sqe(&r, IORING_OP_WRITE, ends[1], "pipe", 4, 0, 2);
        CALL(uring_submit(&r, 2));
        uring_show_sorted(&r, 2);
        printf("%.4s\n", buf);
    }
    uring_sqe(&r, IORING_OP_READ, ends[0], buf, 8, 0, 1)->rw_flags = RWF_NOWAIT; RES("not to wait", uring_do(&r));
    close(ends[1]);
    uring_sqe(&r, IORING_OP_READ, ends[0], buf, 8, 0, 1); RES("closed", uring_do(&r));
    uring_close(&r);
    close(file);
}

static void shapes(void) {
    SECTION("other shapes");
    struct uring large = uring_new(4, IORING_SETUP_SQE128 | IORING_SETUP_CQE32);
    struct uring bare = uring_new(4, 1 << 16);
    for (int i = 0; i < 10; i++) {
        uring_sqe(&large, IORING_OP_NOP, -1, 0, 0, 0, i); uring_submit(&large, 1); uring_show(&large, 1);
        uring_sqe(&bare, IORING_OP_NOP, -1, 0, 0, 0, i); uring_submit(&bare, 1); uring_show(&bare, 1);
    }
}

int main(void) {
    setups();
    mappings();
    enters();
    interrupted();
    refused();
    transfers();
    shapes();
}
