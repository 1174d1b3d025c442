/* io_uring: time-outs, by the clock and by completions. */
#include "uring.h"

static struct uring r;
static struct io_uring_sqe *timeout(uint64_t data, const struct __kernel_timespec *t, unsigned count, unsigned flags) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_TIMEOUT, -1, t, 1, count, data);
    s->timeout_flags = flags;
    return s;
}
static struct io_uring_sqe *removal(uint64_t data, uint64_t target, const struct __kernel_timespec *t, unsigned flags) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_TIMEOUT_REMOVE, -1, (void *)target, 0, (uintptr_t)t, data);
    s->timeout_flags = flags;
    return s;
}
static void nop(uint64_t data) { uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, data); }
static struct __kernel_timespec at(int clock, long ms) {
    struct timespec t;
    clock_gettime(clock, &t);
    int64_t ns = t.tv_sec * 1000000000LL + t.tv_nsec + ms * 1000000;
    return (struct __kernel_timespec){ns / 1000000000, ns % 1000000000};
}

int main(void) {
    r = uring_new(16, 0);
    int64_t start;
    SECTION("by the clock");
    start = now_ms();
    timeout(1, &uring_soon, 0, 0); CALL(uring_submit(&r, 1)); uring_show(&r, 1);
    HOLDS(now_ms() - start >= 19);
    int clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME};
    unsigned flags[] = {0, IORING_TIMEOUT_BOOTTIME, IORING_TIMEOUT_REALTIME};
    for (int i = 0; i < 3; i++) {
        struct __kernel_timespec t = at(clocks[i], 20);
        start = now_ms();
        timeout(1, &t, 0, IORING_TIMEOUT_ABS | flags[i]); CALL(uring_submit(&r, 1)); uring_show(&r, 1);
        HOLDS(now_ms() - start >= 15);
        t = at(clocks[i], -1000);
        timeout(1, &t, 0, IORING_TIMEOUT_ABS | flags[i]); CALL(uring_submit(&r, 1)); uring_show(&r, 1);
        timeout(1, &uring_soon, 0, flags[i]); CALL(uring_submit(&r, 1)); uring_show(&r, 1);
    }
    struct __kernel_timespec wrong = {-1, 0};
    timeout(1, &wrong, 0, 0); RES("before time", uring_do(&r));
    timeout(1, BADPTR, 0, 0); RES("nowhere", uring_do(&r));
    timeout(1, &uring_soon, 0, 0)->len = 2; RES("two", uring_do(&r));
    timeout(1, &uring_soon, 0, IORING_TIMEOUT_BOOTTIME | IORING_TIMEOUT_REALTIME); RES("two clocks", uring_do(&r));
    timeout(1, &uring_soon, 0, 1 << 20); RES("flags", uring_do(&r));
    timeout(1, &uring_soon, 0, 1 << 6 | IORING_TIMEOUT_ABS); RES("often at one time", uring_do(&r));

    SECTION("who waits is told");
    timeout(1, &uring_soon, 0, 0); CALL(uring_submit(&r, 5)); uring_show(&r, 1); LEFT(&r);

    SECTION("in a chain");
    timeout(1, &uring_soon, 0, 0)->flags = IOSQE_IO_LINK; nop(2); CALL(uring_submit(&r, 0)); uring_show(&r, 2);
    timeout(1, &uring_soon, 0, IORING_TIMEOUT_ETIME_SUCCESS)->flags = IOSQE_IO_LINK; nop(2); CALL(uring_submit(&r, 0)); uring_show(&r, 2);
    timeout(1, &uring_soon, 0, 0)->flags = IOSQE_IO_HARDLINK; nop(2); CALL(uring_submit(&r, 0)); uring_show(&r, 2);

    SECTION("by completions");
    timeout(1, &uring_late, 2, 0); CALL(uring_submit(&r, 0)); LEFT(&r);
    nop(2); CALL(uring_submit(&r, 0)); LEFT(&r);
    nop(3); CALL(uring_submit(&r, 0)); uring_show(&r, 3);
    timeout(1, &uring_late, 1, 0); nop(2); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2);
    timeout(1, &uring_soon, 5, 0); CALL(uring_submit(&r, 0)); uring_show(&r, 1);

    SECTION("removed");
    timeout(1, &uring_late, 0, 0); CALL(uring_submit(&r, 0));
    removal(2, 1, 0, 0); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2);
    removal(2, 1, 0, 0); RES("gone", uring_do(&r));
    removal(2, 1, 0, 1 << 20); RES("flags", uring_do(&r));
    timeout(1, &uring_late, 0, 0); CALL(uring_submit(&r, 0));
    struct __kernel_timespec soon = uring_soon;
    removal(2, 1, &soon, IORING_TIMEOUT_UPDATE); CALL(uring_submit(&r, 0));
    soon.tv_sec = 1000;
    uring_show(&r, 2);
    removal(2, 1, &uring_soon, IORING_TIMEOUT_UPDATE); RES("gone", uring_do(&r));
    removal(2, 1, BADPTR, IORING_TIMEOUT_UPDATE); RES("nowhere", uring_do(&r));

    SECTION("often");
    timeout(1, &uring_soon, 3, 1 << 6); CALL(uring_submit(&r, 0)); uring_show(&r, 3); msleep(50); LEFT(&r);
    timeout(1, &uring_soon, 0, 1 << 6); CALL(uring_submit(&r, 0)); uring_show(&r, 5);
    removal(2, 1, 0, 0); CALL(uring_submit(&r, 0));
    for (;;) {
        struct uring_cqe c = uring_take(&r);
        if (c.user_data == 1 && c.flags & IORING_CQE_F_MORE) continue;
        if (c.user_data == 1) { uring_print(&c); break; }
    }
}
