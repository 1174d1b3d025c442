/* io_uring: a ring that the kernel looks at by itself. */
#include "uring.h"

static struct uring r;
static int kicks;
static void submit(void) {
    __atomic_store_n(SQ(&r, tail), r.tail, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (*SQ(&r, flags) & IORING_SQ_NEED_WAKEUP) { kicks++; uring_enter(r.fd, 0, 0, IORING_ENTER_SQ_WAKEUP, 0, 0); }
}

int main(void) {
    struct io_uring_params p = {.flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 5};
    r = uring_with(8, p);
    char buf[16];
    int file = oracle_file("f", 10), ends[2], sum = 0;
    pipe(ends);
    for (int i = 0; i < 1000; i++) {
        uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, i);
        submit();
        struct uring_cqe c = uring_take(&r);
        sum += c.user_data == (unsigned)i && !c.res;
        if (i % 250 == 0) msleep(20);
    }
    SHOW(sum);
    for (int i = 0; i < 100 && !(*SQ(&r, flags) & IORING_SQ_NEED_WAKEUP); i++) msleep(10);
    HOLDS(*SQ(&r, flags) & IORING_SQ_NEED_WAKEUP);
    HOLDS(kicks > 0);
    uring_sqe(&r, IORING_OP_READ, file, buf, 10, 0, 1)->flags = IOSQE_IO_LINK;
    uring_sqe(&r, IORING_OP_READ, ends[0], buf, 1, 0, 2);
    submit();
    uring_show(&r, 1);
    write(ends[1], "x", 1);
    uring_show(&r, 1);
    /* More than the queue holds: whoever submits waits for room. */
    for (int i = 0; i < 100; i++) {
        while (r.tail - __atomic_load_n(SQ(&r, head), __ATOMIC_ACQUIRE) == 8) {
            submit();
            if (uring_enter(r.fd, 0, 0, IORING_ENTER_SQ_WAIT, 0, 0) < 0) perror("wait");
        }
        uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, i);
        submit();
        while (uring_ready(&r)) uring_seen(&r);
    }
    CALL(uring_enter(r.fd, 5, 0, 0, 0, 0));
    uring_close(&r);
    p = (struct io_uring_params){.flags = IORING_SETUP_SQPOLL | IORING_SETUP_R_DISABLED};
    r = uring_with(8, p);
    uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, 1);
    submit();
    msleep(20);
    LEFT(&r);
    CALL(uring_register(r.fd, IORING_REGISTER_ENABLE_RINGS, 0, 0));
    submit();
    uring_show(&r, 1);
}
