/* io_uring: chains, what breaks them, draining, submissions without completions, time limits of what is linked. */
#include "uring.h"

static struct uring r;
static int file, ends[2];
static char buf[64];

static struct io_uring_sqe *nop(uint64_t data, int flags) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, data);
    s->flags = flags;
    return s;
}
static struct io_uring_sqe *read_file(uint64_t data, int flags, unsigned len) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_READ, file, buf, len, 0, data);
    s->flags = flags;
    return s;
}
static struct io_uring_sqe *read_pipe(uint64_t data, int flags) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_READ, ends[0], buf, 1, 0, data);
    s->flags = flags;
    return s;
}
static struct io_uring_sqe *limit(uint64_t data, int flags, const struct __kernel_timespec *t) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_LINK_TIMEOUT, -1, t, 1, 0, data);
    s->flags = flags;
    return s;
}
static void go(const char *what, unsigned n) {
    printf("%s: %ld\n", what, uring_submit(&r, n));
    uring_show(&r, n);
    if (uring_ready(&r)) LEFT(&r);
}
static void go_sorted(const char *what, unsigned n) {
    printf("%s: %ld\n", what, uring_submit(&r, 0));
    uring_show_sorted(&r, n);
    if (uring_ready(&r)) LEFT(&r);
}

static void chains(void) {
    SECTION("chains");
    nop(1, IOSQE_IO_LINK); nop(2, IOSQE_IO_LINK); nop(3, 0); nop(4, 0);
    go_sorted("all well", 4);
    read_file(1, IOSQE_IO_LINK, 10); nop(2, 0);
    go("a whole read", 2);
    read_file(1, IOSQE_IO_LINK, 64); nop(2, IOSQE_IO_LINK); nop(3, 0); nop(4, 0);
    go_sorted("a short read breaks it", 4);
    read_file(1, IOSQE_IO_HARDLINK, 64); nop(2, 0);
    go("but not a hard link", 2);
    uring_sqe(&r, IORING_OP_READ, 99, buf, 1, 0, 1)->flags = IOSQE_IO_LINK; nop(2, IOSQE_IO_LINK); nop(3, 0);
    go("an error breaks it", 3);
    uring_sqe(&r, IORING_OP_READ, 99, buf, 1, 0, 1)->flags = IOSQE_IO_HARDLINK; nop(2, 0);
    go("but not a hard link", 2);
    uring_sqe(&r, IORING_OP_READ, 99, buf, 1, 0, 1)->flags = IOSQE_IO_HARDLINK; nop(2, IOSQE_IO_LINK); nop(3, 0);
    go("hard, then soft", 3);
    nop(1, IOSQE_IO_LINK); uring_sqe(&r, 200, -1, 0, 0, 0, 2)->flags = IOSQE_IO_LINK; nop(3, 0); nop(4, 0);
    go_sorted("one that is refused", 4);
    nop(1, IOSQE_IO_LINK); nop(2, IOSQE_IO_LINK);
    go("ends with its submission", 2);
    nop(3, 0);
    go("what follows is apart", 1);
    uring_sqe(&r, IORING_OP_WRITE, file, "0123456789abcdef", 16, 0, 1)->flags = IOSQE_IO_LINK;
    uring_sqe(&r, IORING_OP_FSYNC, file, 0, 0, 0, 2)->flags = IOSQE_IO_LINK;
    uring_sqe(&r, IORING_OP_READ, file, buf, 16, 0, 3);
    go("write, fsync, read", 3);
    printf("%.16s\n", buf);
    ftruncate(file, 10);
    read_pipe(1, IOSQE_IO_LINK); read_file(2, IOSQE_IO_LINK, 10); nop(3, 0); nop(4, 0);
    go("one that waits", 1);
    write(ends[1], "x", 1);
    uring_show(&r, 3);
    nop(1, IOSQE_IO_LINK); uring_sqe(&r, 200, -1, 0, 0, 0, 2); nop(3, 0);
    go_sorted("one that is refused ends it", 2);
    go("and the batch", 1);
    /* What a waiting chain points to may change: it was read. */
    struct iovec v = {buf, 3};
    read_pipe(1, IOSQE_IO_LINK); uring_sqe(&r, IORING_OP_READV, file, &v, 1, 0, 2);
    CALL(uring_submit(&r, 0));
    v = (struct iovec){BADPTR, 99};
    write(ends[1], "x", 1);
    uring_show(&r, 2);
}

static void drains(void) {
    SECTION("drains");
    nop(1, IOSQE_IO_DRAIN); nop(2, 0);
    go("nothing to drain", 2);
    read_pipe(1, 0); nop(2, IOSQE_IO_DRAIN); nop(3, 0); nop(4, IOSQE_IO_LINK); nop(5, 0);
    CALL(uring_submit(&r, 0));
    LEFT(&r);
    write(ends[1], "x", 1);
    uring_show(&r, 2); uring_show_sorted(&r, 3);
    read_pipe(1, 0); nop(2, IOSQE_IO_DRAIN); nop(3, IOSQE_IO_DRAIN);
    CALL(uring_submit(&r, 0));
    nop(4, 0);
    CALL(uring_submit(&r, 0));
    LEFT(&r);
    write(ends[1], "x", 1);
    uring_show(&r, 4);
    read_pipe(1, 0); nop(2, IOSQE_IO_LINK); nop(3, IOSQE_IO_LINK | IOSQE_IO_DRAIN); nop(4, 0); nop(5, 0);
    CALL(uring_submit(&r, 0));
    LEFT(&r);
    write(ends[1], "x", 1);
    uring_show(&r, 5);
}

static void silent(void) {
    SECTION("without completions");
    nop(1, IOSQE_CQE_SKIP_SUCCESS); nop(2, 0);
    go("only one tells", 1);
    uring_sqe(&r, IORING_OP_READ, 99, buf, 1, 0, 1)->flags = IOSQE_CQE_SKIP_SUCCESS; nop(2, 0);
    go("an error tells", 2);
    nop(1, IOSQE_CQE_SKIP_SUCCESS | IOSQE_IO_LINK); nop(2, IOSQE_CQE_SKIP_SUCCESS | IOSQE_IO_LINK); nop(3, 0);
    go("the last of a chain", 1);
    nop(1, IOSQE_IO_DRAIN);
    go("no draining any more", 1);
}

static void limits(void) {
    SECTION("limits");
    read_pipe(1, IOSQE_IO_LINK); limit(2, 0, &uring_soon);
    go_sorted("time is up", 2);
    read_file(1, IOSQE_IO_LINK, 10); limit(2, 0, &uring_late);
    go_sorted("in time", 2);
    read_pipe(1, IOSQE_IO_LINK); limit(2, IOSQE_IO_LINK, &uring_soon); nop(3, IOSQE_IO_LINK); nop(4, 0);
    go_sorted("time is up for a chain", 4);
    read_pipe(1, IOSQE_IO_HARDLINK); limit(2, IOSQE_IO_HARDLINK, &uring_soon); nop(3, 0);
    go_sorted("time is up, hard", 3);
    read_file(1, IOSQE_IO_LINK, 10); limit(2, IOSQE_IO_LINK, &uring_late); nop(3, IOSQE_IO_LINK); nop(4, 0);
    go_sorted("in time, and more", 4);
    limit(1, 0, &uring_late);
    go("of nothing", 1);
    read_file(1, IOSQE_IO_LINK, 10); limit(2, 0, BADPTR);
    go_sorted("no time", 2);
    read_file(1, IOSQE_IO_LINK, 10); limit(2, 0, &uring_late)->len = 2;
    go_sorted("two times", 2);
    read_pipe(1, IOSQE_IO_LINK); limit(2, 0, &uring_late);
    CALL(uring_submit(&r, 0));
    write(ends[1], "x", 1);
    uring_show_sorted(&r, 2);
}

int main(void) {
    file = oracle_file("f", 10);
    pipe(ends);
    r = uring_new(16, 0);
    chains();
    drains();
    limits();
    silent();
}
