/* io_uring: more completions than there is room for, and eventfds that tell of them. */
#include "uring.h"
#include <sys/eventfd.h>

static struct uring r;
static void nops(int n, uint64_t first) {
    for (int i = 0; i < n; i++) uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, first + i);
    CALL(uring_submit(&r, 0));
}
static void state(void) { printf("  ready %u flags %u overflow %u\n", uring_ready(&r), *SQ(&r, flags), *CQ(&r, overflow)); }
static void take(int n) {
    for (int i = 0; i < n; i++) { uring_print(uring_peek(&r)); uring_seen(&r); }
}

int main(void) {
    SECTION("overflow");
    r = uring_new(4, 0);
    nops(4, 0); nops(4, 4); state();
    nops(4, 8); state();
    struct pollfd pf = {r.fd, POLLIN, 0};
    CALL(poll(&pf, 1, 0)); SHOW(pf.revents);
    take(8); state();
    CALL(poll(&pf, 1, 0)); SHOW(pf.revents);
    CALL(uring_enter(r.fd, 0, 0, IORING_ENTER_GETEVENTS, 0, 0)); state();
    take(4); state();
    for (int i = 0; i < 5; i++) nops(4, 20 + 4 * i);
    state();
    take(8);
    CALL(uring_enter(r.fd, 0, 1, IORING_ENTER_GETEVENTS, 0, 0)); state();
    /* Order is kept while some wait. */
    take(2); nops(1, 90); state();
    CALL(uring_enter(r.fd, 0, 8, IORING_ENTER_GETEVENTS, 0, 0)); state();
    take(uring_ready(&r));
    CALL(uring_enter(r.fd, 0, 1, IORING_ENTER_GETEVENTS, 0, 0)); state();
    take(uring_ready(&r)); state();
    /* One that repeats ends when there is no room. */
    int e = eventfd(0, EFD_NONBLOCK);
    uint64_t one = 1;
    uring_sqe(&r, IORING_OP_POLL_ADD, e, 0, IORING_POLL_ADD_MULTI, 0, 7)->poll32_events = POLLIN;
    CALL(uring_submit(&r, 0));
    nops(4, 0); nops(4, 4);
    write(e, &one, 8);
    for (int i = 0; i < 100 && !(*SQ(&r, flags) & IORING_SQ_CQ_OVERFLOW); i++) { uring_enter(r.fd, 0, 0, IORING_ENTER_GETEVENTS, 0, 0); msleep(2); }
    state();
    take(8);
    uring_show(&r, 1); state();
    /* A guest that says it has taken more than there was. */
    *CQ(&r, head) += 3;
    nops(1, 50);
    CALL(uring_enter(r.fd, 0, 0, IORING_ENTER_GETEVENTS, 0, 0));
    *CQ(&r, head) = *CQ(&r, tail);
    uring_close(&r);

    SECTION("eventfd");
    r = uring_new(8, 0);
    int file = oracle_file("f", 1);
    CALL(uring_register(r.fd, IORING_UNREGISTER_EVENTFD, 0, 0));
    CALL(uring_register(r.fd, IORING_REGISTER_EVENTFD, &file, 1));
    int none = 99;
    CALL(uring_register(r.fd, IORING_REGISTER_EVENTFD, &none, 1));
    CALL(uring_register(r.fd, IORING_REGISTER_EVENTFD, &e, 2));
    CALL(uring_register(r.fd, IORING_REGISTER_EVENTFD, BADPTR, 1));
    uint64_t v;
    read(e, &v, 8);
    CALL(uring_register(r.fd, IORING_REGISTER_EVENTFD, &e, 1));
    CALL(uring_register(r.fd, IORING_REGISTER_EVENTFD, &e, 1));
#define TOLD() (v = 0, read(e, &v, 8), (int)v)
    SHOW(TOLD());
    nops(1, 1); SHOW(TOLD()); uring_show(&r, 1);
    nops(4, 1); SHOW(TOLD() > 0); uring_show(&r, 4);
    *CQ(&r, flags) = IORING_CQ_EVENTFD_DISABLED;
    nops(1, 1); SHOW(TOLD()); uring_show(&r, 1);
    *CQ(&r, flags) = 0;
    CALL(uring_register(r.fd, IORING_UNREGISTER_EVENTFD, 0, 0));
    nops(1, 1); SHOW(TOLD()); uring_show(&r, 1);
    CALL(uring_register(r.fd, IORING_REGISTER_EVENTFD_ASYNC, &e, 1));
    nops(1, 1); SHOW(TOLD()); uring_show(&r, 1);
    int ends[2];
    char byte;
    pipe(ends);
    uring_sqe(&r, IORING_OP_READ, ends[0], &byte, 1, 0, 1); CALL(uring_submit(&r, 0)); SHOW(TOLD());
    write(ends[1], "x", 1); uring_show(&r, 1);
    SHOW(TOLD() >= 0);
}
