/* io_uring: waiting for files, once and often, and what is cancelled. */
#include "uring.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static struct uring r;
static char buf[64];
static struct io_uring_sqe *add(uint64_t data, int fd, unsigned events, unsigned flags) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_POLL_ADD, fd, 0, flags, 0, data);
    s->poll32_events = events;
    return s;
}
static struct io_uring_sqe *change(uint64_t data, uint64_t target, unsigned flags, unsigned events, uint64_t to) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_POLL_REMOVE, -1, (void *)target, flags, to, data);
    s->poll32_events = events;
    return s;
}
static struct io_uring_sqe *cancel(uint64_t data, int fd, uint64_t target, unsigned flags) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_ASYNC_CANCEL, fd, (void *)target, 0, 0, data);
    s->cancel_flags = flags;
    return s;
}
static void wait_read(uint64_t data, int fd) { uring_sqe(&r, IORING_OP_READ, fd, buf, 8, 0, data); }

static void polls(void) {
    SECTION("polls");
    int ends[2], file = oracle_file("f", 10), e = eventfd(0, EFD_NONBLOCK);
    pipe(ends);
    add(1, ends[1], POLLOUT, 0); RES("writable", uring_do(&r));
    add(1, file, POLLIN, 0); RES("a file", uring_do(&r));
    add(1, 99, POLLIN, 0); RES("nothing", uring_do(&r));
    add(1, ends[0], POLLIN, 1 << 20); RES("flags", uring_do(&r));
    add(1, ends[0], POLLIN, 0)->addr = 1; RES("address", uring_do(&r));
    add(1, ends[0], POLLIN, 0); CALL(uring_submit(&r, 0)); LEFT(&r);
    write(ends[1], "x", 1); uring_show(&r, 1);
    read(ends[0], buf, 8);
    add(1, ends[0], POLLIN, 0); CALL(uring_submit(&r, 0));
    close(ends[1]); uring_show(&r, 1);
    add(1, ends[0], 0, 0); RES("hung up", uring_do(&r));
    close(ends[0]);

    SECTION("often");
    uint64_t one = 1;
    add(1, e, POLLIN, IORING_POLL_ADD_MULTI); CALL(uring_submit(&r, 0)); LEFT(&r);
    for (int i = 0; i < 3; i++) { write(e, &one, 8); uring_show(&r, 1); read(e, &one, 8); one = 1; }
    LEFT(&r);
    change(2, 1, 0, 0, 0); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2);
    write(e, &one, 8); LEFT(&r);
    add(1, e, POLLIN, IORING_POLL_ADD_MULTI); CALL(uring_submit(&r, 0)); uring_show(&r, 1); LEFT(&r);
    change(2, 1, 0, 0, 0); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2);

    SECTION("changed");
    change(2, 1, 0, 0, 0); RES("gone", uring_do(&r));
    change(2, 1, IORING_POLL_UPDATE_EVENTS, POLLIN, 0); RES("gone", uring_do(&r));
    change(2, 1, 1 << 20, 0, 0); RES("flags", uring_do(&r));
    change(2, 1, 0, POLLIN, 0); RES("events for nothing", uring_do(&r));
    read(e, &one, 8); one = 1;
    add(1, e, POLLIN, 0); CALL(uring_submit(&r, 0)); LEFT(&r);
    change(2, 1, IORING_POLL_UPDATE_EVENTS, POLLOUT, 0); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2);
    add(1, e, POLLIN, 0); CALL(uring_submit(&r, 0)); LEFT(&r);
    change(2, 1, IORING_POLL_UPDATE_USER_DATA, 0, 7); CALL(uring_submit(&r, 0)); uring_show(&r, 1);
    write(e, &one, 8); uring_show(&r, 1);

    SECTION("epoll");
    int set = epoll_create1(0);
    struct epoll_event ev = {EPOLLIN, {.u32 = 5}};
    uring_sqe(&r, IORING_OP_EPOLL_CTL, set, &ev, EPOLL_CTL_ADD, e, 1); RES("add", uring_do(&r));
    uring_sqe(&r, IORING_OP_EPOLL_CTL, set, &ev, EPOLL_CTL_ADD, e, 1); RES("add again", uring_do(&r));
    CALL(epoll_wait(set, &ev, 1, 0));
    uring_sqe(&r, IORING_OP_EPOLL_CTL, set, 0, EPOLL_CTL_DEL, e, 1); RES("remove", uring_do(&r));
    ev.data.u32 = 6;
    CALL(epoll_ctl(set, EPOLL_CTL_ADD, r.fd, &ev));
    CALL(epoll_wait(set, &ev, 1, 0));
    uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, 1); CALL(uring_submit(&r, 0));
    CALL(epoll_wait(set, &ev, 1, 1000)); SHOW(ev.data.u32);
    uring_show(&r, 1);
    close(set); close(e); close(file);
}

static void cancels(void) {
    SECTION("cancelled");
    int a[2], b[2];
    pipe(a); pipe(b);
    wait_read(1, a[0]); CALL(uring_submit(&r, 0));
    cancel(2, -1, 1, 0); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2);
    cancel(2, -1, 1, 0); RES("gone", uring_do(&r));
    cancel(2, -1, 1, 1 << 20); RES("flags", uring_do(&r));
    cancel(2, -1, 1, IORING_ASYNC_CANCEL_ALL); RES("all of none", uring_do(&r));
    cancel(2, 99, 0, IORING_ASYNC_CANCEL_FD); RES("no file", uring_do(&r));
    cancel(2, a[0], 0, IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ANY); RES("a file, or any", uring_do(&r));
    for (int i = 1; i < 4; i++) wait_read(i, a[0]);
    wait_read(4, b[0]); wait_read(5, b[0]); wait_read(5, b[0]);
    CALL(uring_submit(&r, 0));
    cancel(9, -1, 5, IORING_ASYNC_CANCEL_ALL); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 3);
    cancel(9, b[0], 0, IORING_ASYNC_CANCEL_FD); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2);
    cancel(9, b[0], 0, IORING_ASYNC_CANCEL_FD); RES("none of that file", uring_do(&r));
    cancel(9, a[0], 0, IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 4);
    wait_read(1, a[0]); wait_read(2, b[0]); add(3, b[0], POLLIN, IORING_POLL_ADD_MULTI);
    uring_sqe(&r, IORING_OP_TIMEOUT, -1, &uring_late, 1, 0, 4);
    CALL(uring_submit(&r, 0));
    cancel(9, -1, 0, IORING_ASYNC_CANCEL_ANY); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 5);
    cancel(9, -1, 0, IORING_ASYNC_CANCEL_ANY); RES("any of none", uring_do(&r));
    /* In a chain: what is linked is cancelled, too. */
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_READ, a[0], buf, 8, 0, 1);
    s->flags = IOSQE_IO_LINK;
    uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, 2);
    CALL(uring_submit(&r, 0));
    cancel(9, -1, 1, 0); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 3);
    s = uring_sqe(&r, IORING_OP_READ, a[0], buf, 8, 0, 1);
    s->flags = IOSQE_IO_HARDLINK;
    wait_read(2, b[0]);
    CALL(uring_submit(&r, 0));
    cancel(8, -1, 2, 0); RES("one that has not begun", uring_do(&r));
    cancel(9, -1, 1, 0); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2); msleep(20); LEFT(&r);
    write(b[1], "x", 1); uring_show(&r, 1);
    /* A descriptor that is closed: the operation has the file. */
    wait_read(1, a[0]); CALL(uring_submit(&r, 0));
    int twin = dup(a[0]);
    close(a[0]);
    write(a[1], "y", 1); uring_show(&r, 1);
    wait_read(1, twin); CALL(uring_submit(&r, 0));
    cancel(9, twin, 0, IORING_ASYNC_CANCEL_FD); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2);
}

int main(void) {
    r = uring_new(16, 0);
    polls();
    cancels();
}
