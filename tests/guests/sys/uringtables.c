/* io_uring: registered files, buffers and rings, restrictions, the probe. */
#include "uring.h"
#include <sys/eventfd.h>
#include <pthread.h>
#include <sys/resource.h>

static struct uring r;
static char buf[4096], other[64];
static int reg(struct uring *u, unsigned op, void *arg, unsigned n) { return uring_register(u->fd, op, arg, n); }
static struct io_uring_sqe *read_at(int fd, int flags) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_READ, fd, buf, 4, 0, 1);
    s->flags = flags;
    return s;
}
#define REG(op, arg, n) CALL(reg(&r, op, arg, n))

static void files(void) {
    SECTION("files");
    int f = oracle_file("f", 10), g = oracle_file("g", 20);
    int fds[4] = {f, -1, g, -1};
    REG(IORING_UNREGISTER_FILES, 0, 0);
    REG(IORING_REGISTER_FILES, fds, 0);
    REG(IORING_REGISTER_FILES, BADPTR, 4);
    REG(IORING_REGISTER_FILES, ((int[]){f, 99}), 2);
    REG(IORING_REGISTER_FILES, &r.fd, 1);
    REG(IORING_REGISTER_FILES, fds, 1 << 20);
    read_at(0, IOSQE_FIXED_FILE); RES("without a table", uring_do(&r));
    REG(IORING_REGISTER_FILES, fds, 4);
    REG(IORING_REGISTER_FILES, fds, 4);
    for (int i = -1; i < 5; i++) { read_at(i, IOSQE_FIXED_FILE); RES("read", uring_do(&r)); }
    close(f); close(g);
    read_at(2, IOSQE_FIXED_FILE); RES("closed", uring_do(&r));
    int h = oracle_file("h", 30);
    struct io_uring_files_update up = {.offset = 1, .fds = (uintptr_t)&h};
    REG(IORING_REGISTER_FILES_UPDATE, &up, 1);
    up.offset = 3; REG(IORING_REGISTER_FILES_UPDATE, &up, 2);
    up.offset = 2; up.fds = (uintptr_t)(int[]){IORING_REGISTER_FILES_SKIP, 99}; REG(IORING_REGISTER_FILES_UPDATE, &up, 2);
    up.fds = (uintptr_t)(int[]){99, 99}; REG(IORING_REGISTER_FILES_UPDATE, &up, 2);
    up.fds = (uintptr_t)(int[]){-1}; REG(IORING_REGISTER_FILES_UPDATE, &up, 1);
    up.resv = 1; REG(IORING_REGISTER_FILES_UPDATE, &up, 1);
    for (int i = 0; i < 4; i++) { read_at(i, IOSQE_FIXED_FILE); RES("read", uring_do(&r)); }
    SECTION("places for new files");
    int any[3] = {h, h, h};
    uring_sqe(&r, IORING_OP_FILES_UPDATE, -1, any, 1, 0, 1); RES("a place", uring_do(&r));
    uring_sqe(&r, IORING_OP_FILES_UPDATE, -1, any, 3, ~0u, 1); RES("any places", uring_do(&r));
    printf("%d %d\n", any[0], any[1]);
    uring_sqe(&r, IORING_OP_FILES_UPDATE, -1, any, 0, 0, 1); RES("none", uring_do(&r));
    struct io_uring_sqe *s;
    s = uring_sqe(&r, IORING_OP_CLOSE, 0, 0, 0, 0, 1); s->file_index = 2; RES("close a place", uring_do(&r));
    s = uring_sqe(&r, IORING_OP_CLOSE, 0, 0, 0, 0, 1); s->file_index = 2; RES("again", uring_do(&r));
    s = uring_sqe(&r, IORING_OP_CLOSE, 0, 0, 0, 0, 1); s->file_index = 9; RES("beyond", uring_do(&r));
    s = uring_sqe(&r, IORING_OP_CLOSE, 3, 0, 0, 0, 1); s->file_index = 2; RES("two ways", uring_do(&r));
    s = uring_sqe(&r, IORING_OP_OPENAT, AT_FDCWD, "h", 0, 0, 1); s->file_index = 2; RES("open", uring_do(&r));
    s = uring_sqe(&r, IORING_OP_OPENAT, AT_FDCWD, "h", 0, 0, 1); s->file_index = IORING_FILE_INDEX_ALLOC; RES("open anywhere", uring_do(&r));
    s = uring_sqe(&r, IORING_OP_OPENAT, AT_FDCWD, "h", 0, 0, 1); s->file_index = 9; RES("open beyond", uring_do(&r));
    s = uring_sqe(&r, IORING_OP_OPENAT, AT_FDCWD, "h", 0, 0, 1); s->file_index = 2; s->open_flags = O_CLOEXEC; RES("open and close", uring_do(&r));
    read_at(1, IOSQE_FIXED_FILE); RES("read it", uring_do(&r));
    /* A chain: opened, read, closed. */
    s = uring_sqe(&r, IORING_OP_OPENAT, AT_FDCWD, "h", 0, 0, 1); s->file_index = 1; s->flags = IOSQE_IO_LINK;
    read_at(0, IOSQE_FIXED_FILE | IOSQE_IO_LINK);
    s = uring_sqe(&r, IORING_OP_CLOSE, 0, 0, 0, 0, 3); s->file_index = 1;
    CALL(uring_submit(&r, 0)); uring_show(&r, 3);
    REG(IORING_UNREGISTER_FILES, 0, 0);
    SECTION("sparse, and a range");
    struct io_uring_rsrc_register sparse = {.nr = 4, .flags = IORING_RSRC_REGISTER_SPARSE};
    REG(IORING_REGISTER_FILES2, &sparse, sizeof sparse);
    struct io_uring_file_index_range range = {.off = 2, .len = 2};
    REG(IORING_REGISTER_FILE_ALLOC_RANGE, &range, 0);
    REG(IORING_REGISTER_FILE_ALLOC_RANGE, &range, 1);
    range.len = 3; REG(IORING_REGISTER_FILE_ALLOC_RANGE, &range, 0);
    for (int i = 0; i < 3; i++) {
        s = uring_sqe(&r, IORING_OP_OPENAT, AT_FDCWD, "h", 0, 0, 1); s->file_index = IORING_FILE_INDEX_ALLOC; RES("open anywhere", uring_do(&r));
    }
    REG(IORING_UNREGISTER_FILES, 0, 0);
    SECTION("tags");
    uint64_t tags[2] = {70, 71};
    struct io_uring_rsrc_register tagged = {.nr = 2, .data = (uintptr_t)(int[]){h, h}, .tags = (uintptr_t)tags};
    REG(IORING_REGISTER_FILES2, &tagged, sizeof tagged);
    REG(IORING_REGISTER_FILES2, &tagged, 8);
    LEFT(&r);
    uint64_t tag = 72;
    struct io_uring_rsrc_update2 up2 = {.offset = 0, .nr = 1, .data = (uintptr_t)&h, .tags = (uintptr_t)&tag};
    REG(IORING_REGISTER_FILES_UPDATE2, &up2, sizeof up2);
    uring_show(&r, 1);
    REG(IORING_UNREGISTER_FILES, 0, 0);
    uring_show_sorted(&r, 2);
    close(h);
}

static void buffers(void) {
    SECTION("buffers");
    int f = oracle_file("f", 100);
    struct iovec v[3] = {{buf, 64}, {NULL, 0}, {other, 64}};
    struct io_uring_sqe *s;
    REG(IORING_UNREGISTER_BUFFERS, 0, 0);
    REG(IORING_REGISTER_BUFFERS, v, 0);
    REG(IORING_REGISTER_BUFFERS, BADPTR, 1);
    REG(IORING_REGISTER_BUFFERS, (&(struct iovec){NULL, 4}), 1);
    REG(IORING_REGISTER_BUFFERS, (&(struct iovec){BADPTR, 4}), 1);
    REG(IORING_REGISTER_BUFFERS, (&(struct iovec){buf, 0}), 1);
    REG(IORING_REGISTER_BUFFERS, (&(struct iovec){buf, 2UL << 30}), 1);
    REG(IORING_REGISTER_BUFFERS, v, 3);
    REG(IORING_REGISTER_BUFFERS, v, 3);
#define FIXED(op, index, at, len) (s = uring_sqe(&r, op, f, at, len, 0, 1), s->buf_index = index, uring_do(&r))
    RES("read", FIXED(IORING_OP_READ_FIXED, 0, buf, 64));
    RES("a part", FIXED(IORING_OP_READ_FIXED, 0, buf + 10, 4)); printf("%.14s\n", buf);
    RES("too long", FIXED(IORING_OP_READ_FIXED, 0, buf, 65));
    RES("another one's", FIXED(IORING_OP_READ_FIXED, 2, buf, 4));
    RES("none", FIXED(IORING_OP_READ_FIXED, 1, buf, 4));
    RES("beyond", FIXED(IORING_OP_READ_FIXED, 3, buf, 4));
    RES("write", FIXED(IORING_OP_WRITE_FIXED, 2, other, 4));
    struct iovec w = {other, 32};
    uint64_t tag = 80;
    struct io_uring_rsrc_update2 up = {.offset = 1, .nr = 1, .data = (uintptr_t)&w, .tags = (uintptr_t)&tag};
    REG(IORING_REGISTER_BUFFERS_UPDATE, &up, sizeof up);
    RES("filled", FIXED(IORING_OP_READ_FIXED, 1, other, 4));
    REG(IORING_UNREGISTER_BUFFERS, 0, 0);
    uring_show(&r, 1);
    struct io_uring_rsrc_register sparse = {.nr = 4, .flags = IORING_RSRC_REGISTER_SPARSE};
    REG(IORING_REGISTER_BUFFERS2, &sparse, sizeof sparse);
    sparse.data = 1; REG(IORING_REGISTER_BUFFERS2, &sparse, sizeof sparse);
    REG(IORING_UNREGISTER_BUFFERS, 0, 0);
    close(f);
}

static void probe(void) {
    SECTION("probe");
    struct { struct io_uring_probe head; struct io_uring_probe_op ops[64]; } p = {0};
    REG(IORING_REGISTER_PROBE, &p, 300);
    REG(IORING_REGISTER_PROBE, NULL, 4);
    REG(IORING_REGISTER_PROBE, &p, 40);
    SHOW(p.head.ops_len); SHOW(p.head.last_op > 40);
    for (int i = 0; i < 40; i++) printf("%d:%d ", p.ops[i].op, p.ops[i].flags);
    printf("\n");
    REG(IORING_REGISTER_PROBE, &p, 40);
    REG(200, 0, 0);
    CALL(uring_register(-1, IORING_REGISTER_PROBE, &p, 1));
    CALL(uring_register(0, IORING_REGISTER_PROBE, &p, 1));
    unsigned workers[2] = {7, 9};
    REG(IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 1);
    REG(IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 2);
    REG(IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 2);
    printf("%u %u\n", workers[0], workers[1]);
}

static void restrictions(void) {
    SECTION("restrictions");
    struct io_uring_restriction one[4] = {
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_NOP}, {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_IO_LINK},
        {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_PROBE}, {.opcode = 99},
    };
    REG(IORING_REGISTER_RESTRICTIONS, one, 3);
    REG(IORING_REGISTER_ENABLE_RINGS, 0, 0);
    struct uring d = uring_new(8, IORING_SETUP_R_DISABLED);
    CALL(uring_enter(d.fd, 0, 0, 0, 0, 0));
    CALL(reg(&d, IORING_REGISTER_RESTRICTIONS, one, 4));
    CALL(reg(&d, IORING_REGISTER_RESTRICTIONS, BADPTR, 3));
    CALL(reg(&d, IORING_REGISTER_RESTRICTIONS, one, 200));
    CALL(reg(&d, IORING_REGISTER_RESTRICTIONS, one, 3));
    CALL(reg(&d, IORING_REGISTER_RESTRICTIONS, one, 3));
    CALL(reg(&d, IORING_REGISTER_ENABLE_RINGS, 0, 0));
    CALL(reg(&d, IORING_REGISTER_ENABLE_RINGS, 0, 0));
    uring_sqe(&d, IORING_OP_NOP, -1, 0, 0, 0, 1); RES("allowed", uring_do(&d));
    uring_sqe(&d, IORING_OP_READ, 0, buf, 1, 0, 1); RES("not allowed", uring_do(&d));
    uring_sqe(&d, IORING_OP_NOP, -1, 0, 0, 0, 1)->flags = IOSQE_ASYNC; RES("a flag", uring_do(&d));
    uring_sqe(&d, IORING_OP_NOP, -1, 0, 0, 0, 1)->flags = IOSQE_IO_LINK; RES("another flag", uring_do(&d));
    CALL(reg(&d, IORING_UNREGISTER_FILES, 0, 0));
    uring_close(&d);
}

static void *elsewhere(void *arg) {
    struct uring *u = arg;
    uring_sqe(u, IORING_OP_NOP, -1, 0, 0, 0, 9);
    CALL(uring_submit(u, 0));
    CALL(reg(u, IORING_UNREGISTER_FILES, 0, 0));
    CALL(uring_enter(0, 0, 0, IORING_ENTER_REGISTERED_RING, 0, 0));
    return NULL;
}

static void rings(void) {
    SECTION("rings");
    struct io_uring_rsrc_update up = {.offset = ~0u, .data = r.fd};
    REG(IORING_REGISTER_RING_FDS, &up, 0);
    REG(IORING_REGISTER_RING_FDS, &up, 1); SHOW(up.offset);
    struct io_uring_rsrc_update place = {.offset = 5, .data = r.fd};
    REG(IORING_REGISTER_RING_FDS, &place, 1);
    REG(IORING_REGISTER_RING_FDS, &place, 1);
    place.offset = 99; REG(IORING_REGISTER_RING_FDS, &place, 1);
    place = (struct io_uring_rsrc_update){.offset = ~0u, .data = 0}; REG(IORING_REGISTER_RING_FDS, &place, 1);
    uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, 1);
    *SQ(&r, tail) = r.tail;
    CALL(uring_enter(0, 1, 1, IORING_ENTER_REGISTERED_RING | IORING_ENTER_GETEVENTS, 0, 0)); uring_show(&r, 1);
    CALL(uring_enter(5, 0, 0, IORING_ENTER_REGISTERED_RING, 0, 0));
    CALL(uring_enter(6, 0, 0, IORING_ENTER_REGISTERED_RING, 0, 0));
    pthread_t t;
    struct uring single = uring_new(8, IORING_SETUP_SINGLE_ISSUER);
    pthread_create(&t, 0, elsewhere, &single); pthread_join(t, 0);
    struct io_uring_rsrc_update out = {.offset = 5};
    REG(IORING_UNREGISTER_RING_FDS, &out, 1);
    CALL(uring_enter(5, 0, 0, IORING_ENTER_REGISTERED_RING, 0, 0));
    uring_close(&single);
}

int main(void) {
    r = uring_new(16, 0);
    files();
    buffers();
    probe();
    restrictions();
    rings();
}
