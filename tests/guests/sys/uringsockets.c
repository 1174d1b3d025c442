/* io_uring: sockets, and buffers that the kernel picks. */
#include "uring.h"
#include <sys/socket.h>
#include <sys/un.h>

static struct uring r;
static char buf[256], area[8][64];
static struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "sock"};

static void connections(void) {
    SECTION("connections");
    uring_sqe(&r, IORING_OP_SOCKET, AF_UNIX, 0, 0, SOCK_STREAM | SOCK_CLOEXEC, 1); int l = uring_do(&r); HOLDS(l > 0);
    SHOW(fcntl(l, F_GETFD));
    uring_sqe(&r, IORING_OP_SOCKET, 77, 0, 0, SOCK_STREAM, 1); RES("no family", uring_do(&r));
    uring_sqe(&r, IORING_OP_SOCKET, AF_UNIX, 0, 0, SOCK_STREAM, 1)->rw_flags = 1; RES("flags", uring_do(&r));
    CALL(bind(l, (void *)&name, sizeof name)); CALL(listen(l, 4));
    struct sockaddr_un peer;
    socklen_t len = sizeof peer;
    uring_sqe(&r, IORING_OP_ACCEPT, l, &peer, 0, (uintptr_t)&len, 1)->accept_flags = SOCK_CLOEXEC;
    CALL(uring_submit(&r, 0)); LEFT(&r);
    int c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    uring_sqe(&r, IORING_OP_CONNECT, c, &name, 0, sizeof name, 2); CALL(uring_submit(&r, 0));
    struct uring_cqe done[2] = {uring_take(&r), uring_take(&r)};
    int a = done[0].user_data == 1 ? done[0].res : done[1].res;
    HOLDS(a > 0); SHOW(len); SHOW(fcntl(a, F_GETFD));
    uring_sqe(&r, IORING_OP_CONNECT, c, &name, 0, sizeof name, 2); RES("again", uring_do(&r));
    uring_sqe(&r, IORING_OP_CONNECT, 99, &name, 0, sizeof name, 2); RES("no file", uring_do(&r));
    uring_sqe(&r, IORING_OP_CONNECT, c, BADPTR, 0, sizeof name, 2); RES("no address", uring_do(&r));
    uring_sqe(&r, IORING_OP_CONNECT, c, &name, 0, 999, 2); RES("a long address", uring_do(&r));
    uring_sqe(&r, IORING_OP_ACCEPT, c, 0, 0, 0, 2); RES("accept of none", uring_do(&r));
    uring_sqe(&r, IORING_OP_ACCEPT, 0, 0, 0, 0, 2); RES("accept of no socket", uring_do(&r));
    uring_sqe(&r, IORING_OP_ACCEPT, l, 0, 0, 0, 2)->accept_flags = 1 << 30; RES("flags", uring_do(&r));
    uring_sqe(&r, IORING_OP_ACCEPT, l, 0, 1, 0, 2); RES("length", uring_do(&r));
    uring_sqe(&r, IORING_OP_SHUTDOWN, c, 0, SHUT_WR, 0, 2); RES("shutdown", uring_do(&r));
    uring_sqe(&r, IORING_OP_RECV, a, buf, 8, 0, 2); RES("the end", uring_do(&r));
    uring_sqe(&r, IORING_OP_SHUTDOWN, c, 0, 9, 0, 2); RES("no such way", uring_do(&r));
    uring_sqe(&r, IORING_OP_SHUTDOWN, 0, 0, SHUT_WR, 0, 2); RES("no socket", uring_do(&r));
    SECTION("many");
    uring_sqe(&r, IORING_OP_ACCEPT, l, 0, 0, 0, 1)->ioprio = IORING_ACCEPT_MULTISHOT;
    CALL(uring_submit(&r, 0));
    int many[3];
    for (int i = 0; i < 3; i++) {
        many[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        connect(many[i], (void *)&name, sizeof name);
        struct uring_cqe x = uring_take(&r);
        printf("%llu %s %u\n", (unsigned long long)x.user_data, x.res > 0 ? "ok" : "error", x.flags);
        close(x.res);
    }
    uring_sqe(&r, IORING_OP_ASYNC_CANCEL, -1, (void *)1, 0, 0, 2); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2);
    for (int i = 0; i < 3; i++) close(many[i]);
    uring_sqe(&r, IORING_OP_CLOSE, l, 0, 0, 0, 1); RES("close", uring_do(&r));
    uring_sqe(&r, IORING_OP_CLOSE, l, 0, 0, 0, 1); RES("close again", uring_do(&r));
    uring_sqe(&r, IORING_OP_CLOSE, r.fd, 0, 0, 0, 1); RES("close a ring", uring_do(&r));
    close(a); close(c);
}

static void messages(void) {
    SECTION("messages");
    int s[2], d[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s); socketpair(AF_UNIX, SOCK_DGRAM, 0, d);
    uring_sqe(&r, IORING_OP_SEND, s[0], "hello", 5, 0, 1); RES("send", uring_do(&r));
    uring_sqe(&r, IORING_OP_RECV, s[1], buf, 3, 0, 1)->msg_flags = MSG_PEEK; RES("peek", uring_do(&r));
    uring_sqe(&r, IORING_OP_RECV, s[1], buf, 99, 0, 1); RES("recv", uring_do(&r)); printf("%.5s\n", buf);
    uring_sqe(&r, IORING_OP_RECV, s[1], buf, 9, 0, 1)->msg_flags = MSG_DONTWAIT; RES("not to wait", uring_do(&r));
    fcntl(s[1], F_SETFL, O_NONBLOCK);
    uring_sqe(&r, IORING_OP_RECV, s[1], buf, 9, 0, 1); CALL(uring_submit(&r, 0)); LEFT(&r);
    send(s[0], "later", 5, 0); uring_show(&r, 1);
    uring_sqe(&r, IORING_OP_RECV, s[1], buf, 6, 0, 1)->msg_flags = MSG_WAITALL; CALL(uring_submit(&r, 0));
    send(s[0], "abc", 3, 0); msleep(5); LEFT(&r); send(s[0], "def", 3, 0); uring_show(&r, 1);
    uring_sqe(&r, IORING_OP_RECV, 0, buf, 6, 0, 1); RES("no socket", uring_do(&r));
    uring_sqe(&r, IORING_OP_RECV, s[1], BADPTR, 6, 0, 1); CALL(uring_submit(&r, 0));
    send(s[0], "abc", 3, 0); uring_show(&r, 1); recv(s[1], buf, 9, 0);
    struct iovec v[2] = {{"one", 3}, {"two", 3}}, w = {buf, 64};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr out = {.msg_iov = v, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&out);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &d[0], sizeof(int));
    uring_sqe(&r, IORING_OP_SENDMSG, s[0], &out, 1, 0, 1); RES("sendmsg", uring_do(&r));
    char got[128];
    struct sockaddr_un from;
    struct msghdr in = {.msg_iov = &w, .msg_iovlen = 1, .msg_control = got, .msg_controllen = sizeof got, .msg_name = &from, .msg_namelen = sizeof from};
    uring_sqe(&r, IORING_OP_RECVMSG, s[1], &in, 1, 0, 1); RES("recvmsg", uring_do(&r));
    printf("%.6s namelen %u control %zu flags %d\n", buf, in.msg_namelen, in.msg_controllen, in.msg_flags);
    close(*(int *)CMSG_DATA(CMSG_FIRSTHDR(&in)));
    uring_sqe(&r, IORING_OP_SENDMSG, s[0], BADPTR, 1, 0, 1); RES("no message", uring_do(&r));
    uring_sqe(&r, IORING_OP_SEND, d[0], "datagram", 8, 0, 1); RES("datagram", uring_do(&r));
    in = (struct msghdr){.msg_iov = &(struct iovec){buf, 4}, .msg_iovlen = 1};
    uring_sqe(&r, IORING_OP_RECVMSG, d[1], &in, 1, 0, 1); RES("cut", uring_do(&r)); SHOW(in.msg_flags == MSG_TRUNC);
    close(s[1]);
    uring_sqe(&r, IORING_OP_SEND, s[0], "x", 1, 0, 1); RES("nobody there", uring_do(&r));
    uring_sqe(&r, IORING_OP_SEND, s[0], "x", 1, 0, 1)->flags = IOSQE_IO_LINK; uring_sqe(&r, IORING_OP_NOP, -1, 0, 0, 0, 2);
    CALL(uring_submit(&r, 0)); uring_show(&r, 2);
    close(s[0]); close(d[0]); close(d[1]);
}

static struct io_uring_sqe *provide(int group, int first, int count) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_PROVIDE_BUFFERS, count, area[first & 7], 64, first, 1);
    s->buf_group = group;
    return s;
}
static struct io_uring_sqe *recv_any(int fd, unsigned len, uint64_t data, int group) {
    struct io_uring_sqe *s = uring_sqe(&r, IORING_OP_RECV, fd, 0, len, 0, data);
    s->flags = IOSQE_BUFFER_SELECT;
    s->buf_group = group;
    return s;
}

static void provided(void) {
    SECTION("provided buffers");
    int s[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    send(s[0], "abcdef", 6, 0);
    recv_any(s[1], 4, 1, 3); RES("none", uring_do(&r));
    provide(3, 0, 0); RES("no buffers", uring_do(&r));
    provide(3, 65535, 2); RES("too many", uring_do(&r));
    provide(3, 0, 2)->len = 0; RES("empty", uring_do(&r));
    provide(3, 0, 2); RES("two", uring_do(&r));
    recv_any(s[1], 4, 1, 3); CALL(uring_submit(&r, 0)); uring_show(&r, 1); printf("%.4s\n", area[0]);
    recv_any(s[1], 0, 1, 3); CALL(uring_submit(&r, 0)); uring_show(&r, 1); printf("%.2s\n", area[1]);
    recv_any(s[1], 4, 1, 3); CALL(uring_submit(&r, 0)); LEFT(&r);
    provide(3, 7, 1); CALL(uring_submit(&r, 0)); uring_show(&r, 1);
    send(s[0], "later", 5, 0); uring_show(&r, 1);
    struct io_uring_sqe *q = uring_sqe(&r, IORING_OP_REMOVE_BUFFERS, 4, 0, 0, 0, 1); q->buf_group = 9; RES("remove of none", uring_do(&r));
    recv(s[1], buf, 64, 0);
    provide(3, 4, 3); RES("three", uring_do(&r));
    q = uring_sqe(&r, IORING_OP_REMOVE_BUFFERS, 2, 0, 0, 0, 1); q->buf_group = 3; RES("remove", uring_do(&r));
    q = uring_sqe(&r, IORING_OP_REMOVE_BUFFERS, 9, 0, 0, 0, 1); q->buf_group = 3; RES("remove", uring_do(&r));
    /* Reads of a file and of a pipe. */
    int f = oracle_file("f", 10), ends[2];
    pipe(ends);
    provide(3, 0, 4); RES("four", uring_do(&r));
    q = uring_sqe(&r, IORING_OP_READ, f, 0, 5, 2, 1); q->flags = IOSQE_BUFFER_SELECT; q->buf_group = 3; CALL(uring_submit(&r, 0)); uring_show(&r, 1);
    printf("%.5s\n", area[0]);
    q = uring_sqe(&r, IORING_OP_READ, ends[0], 0, 5, 0, 1); q->flags = IOSQE_BUFFER_SELECT; q->buf_group = 3; CALL(uring_submit(&r, 0)); LEFT(&r);
    write(ends[1], "pipe", 4); uring_show(&r, 1); printf("%.4s\n", area[1]);
    SECTION("often");
    q = recv_any(s[1], 0, 5, 3); q->ioprio = IORING_RECV_MULTISHOT; CALL(uring_submit(&r, 0));
    send(s[0], "one", 3, 0); uring_show(&r, 1); send(s[0], "two", 3, 0); uring_show(&r, 1);
    printf("%.3s %.3s\n", area[2], area[3]);
    send(s[0], "three", 5, 0); uring_show(&r, 1);
    q = uring_sqe(&r, IORING_OP_RECV, s[1], buf, 4, 0, 1); q->ioprio = IORING_RECV_MULTISHOT; RES("without buffers", uring_do(&r));
    provide(3, 0, 4); RES("four", uring_do(&r));
    q = recv_any(s[1], 0, 5, 3); q->ioprio = IORING_RECV_MULTISHOT; CALL(uring_submit(&r, 0)); uring_show(&r, 1);
    close(s[0]);
    struct uring_cqe last = uring_take(&r);
    printf("end: %d more %d\n", last.res, last.flags & IORING_CQE_F_MORE);
    close(s[1]); close(f); close(ends[0]); close(ends[1]);
}

static void ring_of_buffers(int mapped) {
    printf("== a ring of buffers, %s\n", mapped ? "the kernel's" : "the guest's");
    int s[2], group = 20 + mapped;
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    struct io_uring_buf_reg reg = {.ring_entries = 4, .bgid = group};
    struct io_uring_buf_ring *b = NULL;
    if (!mapped) {
        b = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        reg.ring_entries = 3; reg.ring_addr = (uintptr_t)b; CALL(uring_register(r.fd, IORING_REGISTER_PBUF_RING, &reg, 1));
        reg.ring_entries = 65536; CALL(uring_register(r.fd, IORING_REGISTER_PBUF_RING, &reg, 1));
        reg.ring_entries = 4; reg.ring_addr += 8; CALL(uring_register(r.fd, IORING_REGISTER_PBUF_RING, &reg, 1));
        reg.ring_addr = 0; CALL(uring_register(r.fd, IORING_REGISTER_PBUF_RING, &reg, 1));
        reg.ring_addr = (uintptr_t)b;
    } else {
        reg.pad = 1;
    }
    CALL(uring_register(r.fd, IORING_REGISTER_PBUF_RING, &reg, 1));
    CALL(uring_register(r.fd, IORING_REGISTER_PBUF_RING, &reg, 1));
    if (mapped) b = PTR(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, 0x80000000u | (uint64_t)group << 16));
    recv_any(s[1], 4, 1, group); CALL(uring_submit(&r, 0)); LEFT(&r);
    send(s[0], "early", 5, 0); uring_show(&r, 1);
    struct io_uring_buf *slot = (void *)b;
    for (int i = 0; i < 3; i++) slot[i].addr = (uintptr_t)area[i], slot[i].len = 64, slot[i].bid = 30 + i;
    __atomic_store_n(&b->tail, 3, __ATOMIC_RELEASE);
    recv_any(s[1], 4, 1, group); CALL(uring_submit(&r, 0)); uring_show(&r, 1); printf("%.4s\n", area[0]);
    struct io_uring_sqe *q = recv_any(s[1], 0, 5, group); q->ioprio = IORING_RECV_MULTISHOT; CALL(uring_submit(&r, 0));
    uring_show(&r, 1); send(s[0], "two", 3, 0); uring_show(&r, 1); send(s[0], "three", 5, 0); uring_show(&r, 1);
    struct { uint32_t group, head, resv[8]; } status = {.group = group};
    CALL(uring_register(r.fd, 26, &status, 1)); SHOW(status.head);
    q = provide(group, 0, 1); RES("provided, too", uring_do(&r));
    reg = (struct io_uring_buf_reg){.bgid = group};
    CALL(uring_register(r.fd, IORING_UNREGISTER_PBUF_RING, &reg, 1));
    CALL(uring_register(r.fd, IORING_UNREGISTER_PBUF_RING, &reg, 1));
    recv_any(s[1], 4, 1, group); CALL(uring_submit(&r, 0)); uring_show(&r, 1);
    /* A message with its sender, into one buffer. */
    int d[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, d);
    provide(40, 0, 2); RES("two", uring_do(&r));
    struct msghdr m = {.msg_namelen = 8, .msg_controllen = 16};
    q = uring_sqe(&r, IORING_OP_RECVMSG, d[1], &m, 1, 0, 6); q->flags = IOSQE_BUFFER_SELECT; q->buf_group = 40; q->ioprio = IORING_RECV_MULTISHOT;
    CALL(uring_submit(&r, 0));
    send(d[0], "gram", 4, 0); uring_show(&r, 1);
    struct { uint32_t name, control, payload, flags; } *head = (void *)area[0];
    printf("%u %u %u %u %.4s\n", head->name, head->control, head->payload, head->flags, area[0] + 16 + 8 + 16);
    send(d[0], "a message that is longer than its buffer", 40, 0); uring_show(&r, 1);
    send(d[0], "x", 1, 0); uring_show(&r, 1);
    close(d[0]); close(d[1]); close(s[0]); close(s[1]);
}

int main(void) {
    signal(SIGPIPE, SIG_DFL);
    r = uring_new(16, 0);
    connections();
    messages();
    provided();
    ring_of_buffers(0);
    ring_of_buffers(1);
}
