/* io_uring: processes that end, in every way and at any moment, with operations of every kind on their way: nothing of them is left. */
// timeout: 120
#include "uring.h"
#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define KINDS 12
static char area[8][64], buf[64];
static uint32_t word;

/* What the child holds and the parent sees the end of. */
struct held { int pipe[2], sock[2], listener; };

static void begin(struct uring *r, struct held *h, int kind) {
    struct io_uring_sqe *s;
    switch (kind) {
    case 0: uring_sqe(r, IORING_OP_READ, h->pipe[0], buf, 8, 0, 1); break;
    case 1: uring_sqe(r, IORING_OP_POLL_ADD, h->pipe[0], 0, IORING_POLL_ADD_MULTI, 0, 1)->poll32_events = POLLIN; break;
    case 2: uring_sqe(r, IORING_OP_TIMEOUT, -1, &uring_never, 1, 0, 1); break;
    case 3:
        uring_sqe(r, IORING_OP_PROVIDE_BUFFERS, 8, area, 64, 0, 1)->buf_group = 1;
        s = uring_sqe(r, IORING_OP_RECV, h->sock[0], 0, 0, 0, 1), s->flags = IOSQE_BUFFER_SELECT, s->buf_group = 1, s->ioprio = IORING_RECV_MULTISHOT;
        break;
    case 4: uring_sqe(r, IORING_OP_ACCEPT, h->listener, 0, 0, 0, 1)->ioprio = IORING_ACCEPT_MULTISHOT; break;
    case 5: s = uring_sqe(r, 51, 2 | FUTEX_PRIVATE_FLAG, &word, 0, 0, 1), s->addr3 = 1; break;
    case 6: s = uring_sqe(r, IORING_OP_SPLICE, h->sock[0], 0, 8, -1, 1), s->splice_fd_in = h->pipe[0], s->splice_off_in = -1; break;
    case 7:
        uring_sqe(r, IORING_OP_READ, h->pipe[0], buf, 8, 0, 1)->flags = IOSQE_IO_LINK;
        uring_sqe(r, IORING_OP_LINK_TIMEOUT, -1, &uring_never, 1, 0, 2)->flags = IOSQE_IO_LINK;
        uring_sqe(r, IORING_OP_WRITE, h->sock[0], buf, 8, 0, 3);
        break;
    case 8:
        uring_sqe(r, IORING_OP_READ, h->pipe[0], buf, 8, 0, 1);
        uring_sqe(r, IORING_OP_NOP, -1, 0, 0, 0, 2)->flags = IOSQE_IO_DRAIN;
        uring_sqe(r, IORING_OP_READ, h->sock[0], buf, 8, 0, 3);
        break;
    case 9: uring_sqe(r, IORING_OP_RECVMSG, h->sock[0], &(struct msghdr){0}, 1, 0, 1); break;
    case 10:
        uring_register(r->fd, IORING_REGISTER_FILES, &h->pipe[0], 1);
        uring_sqe(r, IORING_OP_READ, 0, buf, 8, 0, 1)->flags = IOSQE_FIXED_FILE;
        break;
    default:
        uring_sqe(r, IORING_OP_ASYNC_CANCEL, -1, 0, 0, 0, 1)->cancel_flags = IORING_ASYNC_CANCEL_ANY;
        uring_sqe(r, IORING_OP_READ, h->sock[0], buf, 8, 0, 1);
    }
}

static _Noreturn void child(struct held *h, int kind, int way, int polled, char **argv) {
    struct uring r = uring_new(32, polled ? IORING_SETUP_SQPOLL : 0);
    close(h->pipe[1]); close(h->sock[1]);
    begin(&r, h, kind);
    begin(&r, h, (kind + 5) % KINDS);
    uring_submit(&r, 0);
    switch (way) {
    case 0: _exit(0);
    case 1: execv(argv[0], (char *[]){argv[0], "nothing", NULL}); _exit(1);
    case 2: for (;;) uring_enter(r.fd, 0, 20, IORING_ENTER_GETEVENTS, 0, 0);
    case 3: uring_close(&r); munmap(r.sqes, 4096); _exit(0);
    case 4: if (!fork()) _exit(0); /* who has the ring, too */ _exit(0);
    default: kill(getpid(), SIGSEGV); _exit(1);
    }
}

/* Whether the other ends are gone, at last: a ring may be taken apart behind its process. */
static int gone(struct held *h) {
    for (int i = 0; i < 400; i++) {
        struct pollfd p[2] = {{h->pipe[1], POLLOUT, 0}, {h->sock[1], POLLIN, 0}};
        poll(p, 2, 0);
        if (p[0].revents & POLLERR && p[1].revents & POLLHUP) return 1;
        msleep(5);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1) return 0;
    signal(SIGPIPE, SIG_IGN);
    unsigned seed = 7, rounds = argc == 1 ? 2 : 1, left = 0;
    for (unsigned round = 0; round < rounds; round++)
        for (int kind = 0; kind < KINDS; kind++)
            for (int way = 0; way < 6; way++) {
                struct held h;
                pipe(h.pipe);
                socketpair(AF_UNIX, SOCK_STREAM, 0, h.sock);
                struct sockaddr_un name = {.sun_family = AF_UNIX};
                h.listener = socket(AF_UNIX, SOCK_STREAM, 0);
                bind(h.listener, (void *)&name, sizeof(sa_family_t)); listen(h.listener, 4);
                pid_t pid = fork();
                if (!pid) child(&h, kind, way, round % 2, argv);
                close(h.pipe[0]); close(h.sock[0]); close(h.listener);
                if (way == 2) {
                    usleep(rand_r(&seed) % 3000);
                    kill(pid, SIGKILL);
                }
                int status;
                waitpid(pid, &status, 0);
                int expected = way == 2 ? SIGKILL : way == 5 ? SIGSEGV : 0;
                if ((status & 0x7f) != expected || (!expected && status)) printf("kind %d way %d: status %x\n", kind, way, status);
                if (!gone(&h)) { printf("kind %d way %d: something is left\n", kind, way); left++; }
                close(h.pipe[1]); close(h.sock[1]);
            }
    SHOW(left);
}
