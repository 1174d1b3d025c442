/* io_uring: a guest that writes nonsense into its rings while the kernel uses them. It costs the guest errors, and nobody else anything. */
// inside: 0
// timeout: 120
// uncounted
#include "uring.h"
#include <sys/socket.h>
#include <sys/wait.h>
#include <pthread.h>

static unsigned seed;
static unsigned any(void) { return rand_r(&seed) << 17 ^ rand_r(&seed) << 2 ^ rand_r(&seed); }
static uint64_t any64(void) { return (uint64_t)any() << 32 | any(); }
static char buf[4096];
static int fds[8];

static uint64_t number(void) {
    switch (any() % 8) {
    case 0: return 0;
    case 1: return any() % 8;
    case 2: return (uintptr_t)buf + any() % 4096;
    case 3: return any64();
    case 4: return ~0ULL;
    case 5: return 1ULL << any() % 64;
    case 6: return any() % 4096;
    default: return (uintptr_t)"name";
    }
}
static void fill(struct io_uring_sqe *s) {
    *s = (struct io_uring_sqe){.opcode = any() % 66, .fd = fds[any() % 8]};
    if (any() % 3 == 0) s->flags = any();
    if (any() % 4 == 0) s->ioprio = any();
    if (any() % 8 == 0) s->fd = any();
    s->off = number(), s->addr = number(), s->len = number(), s->user_data = any() % 16;
    if (any() % 2) s->rw_flags = number();
    if (any() % 4 == 0) s->buf_index = any() % 4, s->file_index = any() % 10, s->addr3 = number();
    /* Not for long, and not other processes. */
    if (s->opcode == IORING_OP_OPENAT || s->opcode == IORING_OP_OPENAT2) s->fd = AT_FDCWD;
}
static struct uring r;
static volatile int over;
static void *scribble(void *arg) {
    (void)arg;
    while (!over) {
        unsigned *words = (unsigned *)r.rings;
        words[any() % 16] = any() % 3 ? any() % 64 : any();
        fill(r.sqes + any() % r.p.sq_entries);
        if (any() % 64 == 0) msleep(1);
    }
    return NULL;
}

static void child(unsigned flags, int scribbles) {
    r = uring_new(1 << any() % 6, flags);
    int p[2], s[2];
    pipe(p); socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    int own[8] = {p[0], p[1], s[0], s[1], r.fd, open(".", O_RDONLY), open("file", O_RDWR | O_CREAT, 0600), -1};
    memcpy(fds, own, sizeof own);
    uring_register(r.fd, IORING_REGISTER_FILES, own, 4);
    struct iovec v = {buf, sizeof buf};
    uring_register(r.fd, IORING_REGISTER_BUFFERS, &v, 1);
    pthread_t t;
    if (scribbles) pthread_create(&t, 0, scribble, 0);
    /* Whoever waits for room that nobody makes has only himself to blame. */
    alarm(2);
    for (int i = 0; i < 300; i++) {
        unsigned n = any() % (r.p.sq_entries + 1);
        for (unsigned k = 0; k < n; k++) fill(r.sqes + (r.tail + k & r.p.sq_entries - 1));
        r.tail += n;
        *SQ(&r, tail) = any() % 16 ? r.tail : any();
        if (any() % 16 == 0 && r.p.sq_off.array) SQ(&r, array)[any() % r.p.sq_entries] = any();
        uring_enter(r.fd, any() % 8 ? n : any(), 0, any() % 4 ? 0 : any() % 8, 0, 0);
        if (any() % 4) *CQ(&r, head) = *CQ(&r, tail);
        if (any() % 32 == 0) uring_register(r.fd, any() % 36, (void *)number(), any() % 40);
    }
    over = 1;
    _exit(0);
}

int main(void) {
    unsigned kinds[] = {0, IORING_SETUP_SQPOLL, IORING_SETUP_SUBMIT_ALL, IORING_SETUP_SQE128 | IORING_SETUP_CQE32, 1 << 16};
    for (unsigned round = 0; round < 40; round++) {
        seed = round + 1;
        pid_t pid = fork();
        if (!pid) child(kinds[round % 5], round % 2);
        int status;
        if (waitpid(pid, &status, 0) != pid) return 1;
    }
    return 0;
}
