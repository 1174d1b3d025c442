/* A ring of io_uring(7) by hand, without liburing: what is in its memory is part of what is tested. */
#ifndef URING_H
#define URING_H
#include "oracle.h"
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <poll.h>
#include <sys/time.h>

#define URING_FEATURES (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_RW_CUR_POS | \
    IORING_FEAT_CUR_PERSONALITY | IORING_FEAT_FAST_POLL | IORING_FEAT_POLL_32BITS | IORING_FEAT_SQPOLL_NONFIXED | \
    IORING_FEAT_EXT_ARG | IORING_FEAT_NATIVE_WORKERS | IORING_FEAT_RSRC_TAGS | IORING_FEAT_CQE_SKIP | IORING_FEAT_LINKED_FILE)

/* A completion, without what only large ones have. */
struct uring_cqe {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};

struct uring {
    int fd;
    struct io_uring_params p;
    char *rings;
    struct io_uring_sqe *sqes;
    unsigned tail;
};

static inline long uring_setup(unsigned n, struct io_uring_params *p) { return syscall(SYS_io_uring_setup, n, p); }
static inline long uring_enter(int fd, unsigned n, unsigned min, unsigned flags, void *arg, size_t size) {
    return syscall(SYS_io_uring_enter, fd, n, min, flags, arg, size);
}
static inline long uring_register(int fd, unsigned op, void *arg, unsigned n) {
    return syscall(SYS_io_uring_register, fd, op, arg, n);
}

#define SQ(r, field) ((unsigned *)((r)->rings + (r)->p.sq_off.field))
#define CQ(r, field) ((unsigned *)((r)->rings + (r)->p.cq_off.field))

static inline struct uring uring_with(unsigned n, struct io_uring_params p) {
    struct uring r = {.p = p};
    r.fd = uring_setup(n, &r.p);
    if (r.fd < 0) { perror("io_uring_setup"); exit(1); }
    size_t sq = r.p.sq_off.array + r.p.sq_entries * 4;
    size_t cq = r.p.cq_off.cqes + r.p.cq_entries * (r.p.flags & IORING_SETUP_CQE32 ? 32 : 16);
    r.rings = mmap(0, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r.fd, IORING_OFF_SQ_RING);
    r.sqes = mmap(0, r.p.sq_entries * (r.p.flags & IORING_SETUP_SQE128 ? 128 : 64), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_POPULATE, r.fd, IORING_OFF_SQES);
    if (r.rings == MAP_FAILED || r.sqes == MAP_FAILED) { perror("mmap"); exit(1); }
    if (r.p.sq_off.array)
        for (unsigned i = 0; i < r.p.sq_entries; i++) SQ(&r, array)[i] = i;
    return r;
}
static inline struct uring uring_new(unsigned n, unsigned flags) {
    return uring_with(n, (struct io_uring_params){.flags = flags});
}

/* The next entry, empty but for what most have. */
static inline struct io_uring_sqe *uring_sqe(struct uring *r, int op, int fd, const void *addr, unsigned len, uint64_t off, uint64_t data) {
    unsigned index = r->tail++ & (r->p.sq_entries - 1);
    struct io_uring_sqe *s = r->sqes + (r->p.flags & IORING_SETUP_SQE128 ? 2 * index : index);
    memset(s, 0, sizeof *s);
    s->opcode = op, s->fd = fd, s->addr = (uintptr_t)addr, s->len = len, s->off = off, s->user_data = data;
    return s;
}
/* Submits what was prepared, and waits for `wait` completions. */
static inline long uring_submit(struct uring *r, unsigned wait) {
    unsigned head = __atomic_load_n(SQ(r, head), __ATOMIC_ACQUIRE);
    __atomic_store_n(SQ(r, tail), r->tail, __ATOMIC_RELEASE);
    return uring_enter(r->fd, r->tail - head, wait, wait ? IORING_ENTER_GETEVENTS : 0, 0, 0);
}
static inline unsigned uring_ready(struct uring *r) {
    return __atomic_load_n(CQ(r, tail), __ATOMIC_ACQUIRE) - *CQ(r, head);
}
static inline struct uring_cqe *uring_peek(struct uring *r) {
    if (!uring_ready(r)) return NULL;
    unsigned at = *CQ(r, head) & *CQ(r, ring_mask);
    if (r->p.flags & IORING_SETUP_CQE32) at *= 2;
    return (struct uring_cqe *)(r->rings + r->p.cq_off.cqes) + at;
}
static inline void uring_seen(struct uring *r) { __atomic_store_n(CQ(r, head), *CQ(r, head) + 1, __ATOMIC_RELEASE); }

static inline const char *uring_res(int res) {
    static char buf[32];
    if (res < 0) return oracle_errname(-res);
    snprintf(buf, sizeof buf, "%d", res);
    return buf;
}
static inline void uring_print(const struct uring_cqe *c) {
    /* Not every kernel says that a socket has more. */
    printf("  %llu: %s", (unsigned long long)c->user_data, uring_res(c->res));
    if (c->flags & IORING_CQE_F_BUFFER) printf(" buffer %u", c->flags >> 16);
    if (c->flags & IORING_CQE_F_MORE) printf(" more");
    printf("\n");
}
/* Takes one completion, waiting for it. */
static inline struct uring_cqe uring_take(struct uring *r) {
    while (!uring_ready(r))
        if (uring_enter(r->fd, 0, 1, IORING_ENTER_GETEVENTS, 0, 0) < 0 && errno != EINTR) { perror("enter"); exit(1); }
    struct uring_cqe c = *uring_peek(r);
    uring_seen(r);
    return c;
}
/* Takes `n` completions and prints them in the order in which they came. */
static inline void uring_show(struct uring *r, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        struct uring_cqe c = uring_take(r);
        uring_print(&c);
    }
}
static int uring_compare(const void *a, const void *b) {
    const struct uring_cqe *x = a, *y = b;
    return x->user_data < y->user_data ? -1 : x->user_data > y->user_data;
}
/* The same, where the order is nobody's: by what they are known by. */
static inline void uring_show_sorted(struct uring *r, unsigned n) {
    struct uring_cqe c[64];
    for (unsigned i = 0; i < n && i < 64; i++) c[i] = uring_take(r);
    qsort(c, n, sizeof *c, uring_compare);
    for (unsigned i = 0; i < n; i++) uring_print(c + i);
}
/* One operation, alone: its result. */
static inline int uring_do(struct uring *r) {
    if (uring_submit(r, 1) < 0) return -errno;
    return uring_take(r).res;
}
static inline void uring_close(struct uring *r) { close(r->fd); }
#define DO(r) printf("%s: %s\n", __func__, uring_res(uring_do(r)))
#define RES(text, e) printf("%s: %s\n", text, uring_res(e))
#define LEFT(r) printf("  left: %u\n", uring_ready(r))
static const struct __kernel_timespec uring_soon = {0, 20000000}, uring_late = {30, 0}, uring_never = {3000, 0};
#endif
