// What goes beside the bytes of Internet sockets: datagrams cut and put together, partial checksums, time stamps, sending without a copy; and who asks about sockets.
#include "inet.h"
#include <linux/errqueue.h>
#include <linux/inet_diag.h>
#include <linux/net_tstamp.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/udp.h>
#include <sys/un.h>

#define UDPLITE_SEND_CSCOV 10
#define UDPLITE_RECV_CSCOV 11

static int bound(int protocol) {
    int fd = socket(AF_INET, SOCK_DGRAM, protocol);
    if (bind(fd, V4("127.0.0.1", 0))) abort();
    return fd;
}
/* What recvmsg finds beside the bytes. */
static void receive(int fd, int flags) {
    char control[512] = {0};
    struct iovec v = {b, sizeof b};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (CALL(recvmsg(fd, &m, flags | MSG_DONTWAIT)) < 0) return;
    printf("flags %x\n", m.msg_flags);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        printf("control %d %d %d:", c->cmsg_level, c->cmsg_type, (int)c->cmsg_len);
        unsigned char *d = CMSG_DATA(c);
        struct timespec *t = (void *)d;
        if (c->cmsg_level != SOL_SOCKET) for (int i = 0; i < (int)(c->cmsg_len - CMSG_LEN(0)); i++) printf(" %02x", d[i]);
        else printf(" %s %d %d", labs(t->tv_sec - time(NULL)) < 5 ? "now" : "NOT NOW", c->cmsg_type == SCM_TIMESTAMPING ? (int)t[1].tv_sec : 0, c->cmsg_type == SCM_TIMESTAMPING ? (int)t[2].tv_sec : 0);
        printf("\n");
    }
}
static int send_cut(int fd, int len, int size) {
    char control[CMSG_SPACE(2)] = {0};
    struct iovec v = {b, len};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_UDP, c->cmsg_type = UDP_SEGMENT, c->cmsg_len = CMSG_LEN(2), *(uint16_t *)CMSG_DATA(c) = size;
    return sendmsg(fd, &m, 0);
}
static void drain(int fd) {
    int n, sizes[200], found = 0;
    while ((n = recv(fd, b, sizeof b, MSG_DONTWAIT)) >= 0 && found < 200) sizes[found++] = n;
    printf("%d datagrams", found);
    if (found) printf(" of %d to %d", sizes[0], sizes[found - 1]);
    printf("\n");
}

static void segments(void) {
    SECTION("segments");
    int s = bound(0), t = bound(0);
    connect(t, V4("127.0.0.1", port_of(s)));
    SHOW(get(t, SOL_UDP, UDP_SEGMENT)), SHOW(get(t, SOL_UDP, UDP_GRO)), CALL(set(t, SOL_UDP, UDP_SEGMENT, -1)), CALL(set(t, SOL_UDP, UDP_SEGMENT, 65536)), CALL(set(t, SOL_UDP, UDP_SEGMENT, 1000)), SHOW(get(t, SOL_UDP, UDP_SEGMENT));
    CALL(send(t, b, 5500, 0)), msleep(10), drain(s), CALL(send(t, b, 1000, 0)), CALL(send(t, b, 10, 0)), CALL(send(t, "", 0, 0)), msleep(10), drain(s);
    CALL(set(t, SOL_UDP, UDP_SEGMENT, 0)), CALL(send_cut(t, 3001, 1500)), msleep(10), drain(s), CALL(send(t, b, 3001, 0)), msleep(10), drain(s);
    CALL(send_cut(t, 3000, 10)), CALL(send_cut(t, 65507, 2000)), CALL(send_cut(t, 65508, 2000)), msleep(10), drain(s);
    CALL(set(s, SOL_UDP, UDP_GRO, 1)), SHOW(get(s, SOL_UDP, UDP_GRO)), CALL(send_cut(t, 4500, 1000)), msleep(10), receive(s, 0), CALL(send_cut(t, 1000, 1000)), msleep(10), receive(s, 0), receive(s, 0);
    CALL(set(s, SOL_UDP, UDP_GRO, 0)), CALL(send_cut(t, 100, 0)), msleep(10), drain(s);
    SECTION("parts");
    CALL(send(t, "ab", 2, MSG_MORE)), msleep(10), CALL(recv(s, b, 9, MSG_DONTWAIT)), CALL(send(t, "cde", 3, MSG_MORE)), CALL(send(t, "f", 1, 0)), msleep(10), drain(s), SHOW(!memcmp(b, "abcdef", 6));
    SHOW(get(t, SOL_UDP, UDP_CORK)), CALL(set(t, SOL_UDP, UDP_CORK, 1)), SHOW(get(t, SOL_UDP, UDP_CORK)), CALL(send(t, "12", 2, 0)), CALL(write(t, "3", 1)), msleep(10), CALL(recv(s, b, 9, MSG_DONTWAIT)), CALL(set(t, SOL_UDP, UDP_CORK, 0)), msleep(10), drain(s);
    int other = bound(0);
    CALL(sendto(other, "x", 1, MSG_MORE, V4("127.0.0.1", port_of(s)))), CALL(sendto(other, "y", 1, 0, V4("127.0.0.1", 1))), msleep(10), drain(s), CALL(send(other, "x", 1, MSG_MORE)), CALL(send(t, b, 60000, MSG_MORE)), CALL(send(t, b, 60000, 0)), CALL(send(t, "", 0, 0)), msleep(10), drain(s), close(other);
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    CALL(set(tcp, SOL_UDP, UDP_SEGMENT, 1)), SHOW(get(s, SOL_UDP, 999)), CALL(set(s, SOL_UDP, 999, 1));
    close(s), close(t), close(tcp);
}

static void lite(void) {
    SECTION("UDP-Lite");
    int s = bound(IPPROTO_UDPLITE), t = CALL(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE)), u = socket(AF_INET, SOCK_DGRAM, 0), six = OK(socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE));
    SHOW(get(s, SOL_SOCKET, SO_PROTOCOL)), SHOW(get(s, SOL_SOCKET, SO_TYPE));
    SHOW(get(s, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV)), CALL(set(s, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, 20)), SHOW(get(s, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV)), CALL(set(s, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, 3)), SHOW(get(s, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV)), CALL(set(s, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, 100000)), SHOW(get(s, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV)), CALL(set(u, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, 20));
    // Its ports are its own.
    CALL(bind(u, V4("127.0.0.1", port_of(s)))), CALL(sendto(u, "udp", 3, 0, V4("127.0.0.1", port_of(s)))), CALL(recv(s, b, 9, MSG_DONTWAIT)), CALL(recv(u, b, 9, MSG_DONTWAIT));
    CALL(set(t, IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, 8)), CALL(set(s, IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, 8)), CALL(sendto(t, "lite", 4, 0, V4("127.0.0.1", port_of(s)))), msleep(10), CALL(recv(s, b, 9, MSG_DONTWAIT));
    close(s), close(t), close(u), close(six);
}

static void stamps(void) {
    SECTION("time stamps");
    int s = bound(0), t = bound(0);
    connect(t, V4("127.0.0.1", port_of(s)));
    SHOW(get(s, SOL_SOCKET, SO_TIMESTAMPING)), CALL(set(s, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE)), SHOW(get(s, SOL_SOCKET, SO_TIMESTAMPING)), CALL(set(s, SOL_SOCKET, SO_TIMESTAMPING, 1 << 30));
    // The host begins to stamp a moment later.
    msleep(100);
    CALL(send(t, "x", 1, 0)), msleep(10), receive(s, 0);
    CALL(set(s, SOL_SOCKET, SO_TIMESTAMPNS, 1)), CALL(send(t, "x", 1, 0)), msleep(10), receive(s, 0);
    CALL(set(s, SOL_SOCKET, SO_TIMESTAMPING, 0)), CALL(send(t, "x", 1, 0)), msleep(10), receive(s, 0);
    CALL(set(s, SOL_SOCKET, SO_TIMESTAMPNS, 0)), CALL(send(t, "x", 1, 0)), msleep(10), receive(s, 0);
    close(s), close(t);
}

static void copies(void) {
    SECTION("sending without a copy");
    int server = socket(AF_INET, SOCK_STREAM, 0), s = socket(AF_INET, SOCK_STREAM, 0);
    bind(server, V4("127.0.0.1", 0)), listen(server, 5), connect(s, V4("127.0.0.1", port_of(server)));
    int a = accept(server, NULL, NULL);
    SHOW(get(s, SOL_SOCKET, SO_ZEROCOPY)), CALL(send(s, b, 20000, MSG_ZEROCOPY)), msleep(20), receive(s, MSG_ERRQUEUE), READY(s);
    CALL(set(s, SOL_SOCKET, SO_ZEROCOPY, 2)), CALL(set(s, SOL_SOCKET, SO_ZEROCOPY, 1)), SHOW(get(s, SOL_SOCKET, SO_ZEROCOPY));
    CALL(send(s, b, 20000, MSG_ZEROCOPY)), CALL(recv(a, b, 40000, MSG_WAITALL)), msleep(20), READY(s), receive(s, MSG_ERRQUEUE), READY(s), receive(s, MSG_ERRQUEUE);
    for (int i = 0; i < 3; i++) CALL(send(s, b, 20000, MSG_ZEROCOPY)), CALL(recv(a, b, 20000, MSG_WAITALL));
    CALL(send(s, b, 20000, 0)), CALL(recv(a, b, 20000, MSG_WAITALL)), msleep(20), SHOW(get(s, SOL_SOCKET, SO_ERROR)), CALL(send(s, "x", 1, 0)), receive(s, MSG_ERRQUEUE), READY(s), CALL(recv(s, b, 1, MSG_ERRQUEUE | MSG_DONTWAIT)), CALL(recv(a, b, 9, MSG_DONTWAIT));
    int u = bound(0), t = bound(0), x = socket(AF_UNIX, SOCK_STREAM, 0);
    connect(u, V4("127.0.0.1", port_of(t))), CALL(set(u, SOL_SOCKET, SO_ZEROCOPY, 1)), CALL(send(u, b, 20000, MSG_ZEROCOPY)), CALL(recv(t, b, 20000, 0)), msleep(20), READY(u), receive(u, MSG_ERRQUEUE), CALL(set(x, SOL_SOCKET, SO_ZEROCOPY, 1));
    close(s), close(a), close(server), close(u), close(t), close(x);
}

/* Asks about sockets; how many answers there are, and how they end. */
static int ask(int s, int type, int flags, void *request, size_t len) {
    struct { struct nlmsghdr h; char rest[256]; } q = {{sizeof q.h + len, type, NLM_F_REQUEST | flags, 7, 0}};
    memcpy(q.rest, request, len);
    if (CALL(send(s, &q, q.h.nlmsg_len, 0)) < 0) return -1;
    for (int found = 0;;) {
        int n = recv(s, b, sizeof b, 0);
        for (struct nlmsghdr *h = (void *)b; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            if (h->nlmsg_type == NLMSG_ERROR) return printf("error %d\n", ((struct nlmsgerr *)NLMSG_DATA(h))->error), found;
            if (h->nlmsg_type == NLMSG_DONE) return found;
            found++;
            struct inet_diag_msg *m = NLMSG_DATA(h);
            if (m->idiag_family != AF_UNIX) printf("family %d state %d queues %d %d user %d, ino %s\n", m->idiag_family, m->idiag_state, m->idiag_rqueue, m->idiag_wqueue, m->idiag_uid, m->idiag_inode ? "some" : "none");
            if (!(flags & NLM_F_DUMP)) return found;
        }
    }
}

static void asking(void) {
    SECTION("asking about sockets");
    int s = CALL(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)), server = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), u = bound(0);
    SHOW(get(s, SOL_SOCKET, SO_PROTOCOL));
    bind(server, V4("127.0.0.1", 0)), listen(server, 5), connect(c, V4("127.0.0.1", port_of(server)));
    struct inet_diag_req_v2 r = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = -1, .id.idiag_sport = htons(port_of(server))};
    SHOW(ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &r, sizeof r));
    int a = accept(server, NULL, NULL);
    send(c, "abc", 3, 0), msleep(10);
    r.idiag_states = 1 << TCP_ESTABLISHED, SHOW(ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &r, sizeof r)), r.idiag_states = 1 << TCP_LISTEN, SHOW(ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &r, sizeof r)), r.idiag_states = 1 << TCP_CLOSE, SHOW(ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &r, sizeof r));
    r.idiag_states = -1, r.sdiag_protocol = IPPROTO_UDP, r.id.idiag_sport = htons(port_of(u)), SHOW(ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &r, sizeof r)), r.sdiag_protocol = 250, SHOW(ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &r, sizeof r));
    r.sdiag_protocol = IPPROTO_TCP, r.id.idiag_sport = htons(port_of(c)), r.id.idiag_dport = htons(port_of(server)), r.id.idiag_src[0] = r.id.idiag_dst[0] = htonl(INADDR_LOOPBACK), r.id.idiag_cookie[0] = r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE, SHOW(ask(s, SOCK_DIAG_BY_FAMILY, 0, &r, sizeof r)), r.id.idiag_dport = 1, SHOW(ask(s, SOCK_DIAG_BY_FAMILY, 0, &r, sizeof r));
    r.sdiag_family = 200, SHOW(ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &r, sizeof r)), SHOW(ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &r, 1)), SHOW(ask(s, 99, NLM_F_DUMP, &r, sizeof r));
    int p[2];
    struct stat st;
    socketpair(AF_UNIX, SOCK_STREAM, 0, p), fstat(p[0], &st);
    struct unix_diag_req x = {.sdiag_family = AF_UNIX, .udiag_states = -1, .udiag_ino = st.st_ino, .udiag_show = UDIAG_SHOW_PEER, .udiag_cookie = {-1, -1}};
    SHOW(ask(s, SOCK_DIAG_BY_FAMILY, 0, &x, sizeof x));
    struct unix_diag_msg *m = NLMSG_DATA(b);
    SHOW(m->udiag_type), SHOW(m->udiag_state), HOLDS(m->udiag_ino == st.st_ino);
    struct rtattr *peer = (void *)(m + 1);
    fstat(p[1], &st), SHOW(peer->rta_type), HOLDS(*(uint32_t *)RTA_DATA(peer) == st.st_ino);
    x.udiag_ino = 0, SHOW(ask(s, SOCK_DIAG_BY_FAMILY, 0, &x, sizeof x)), x.udiag_ino = 1, SHOW(ask(s, SOCK_DIAG_BY_FAMILY, 0, &x, sizeof x));
    close(s), close(server), close(c), close(u), close(a), close(p[0]), close(p[1]);
}

static volatile int urgents, readies;
static void on_urgent(int s) { (void)s, urgents++; }
static void on_ready(int s) { (void)s, readies++; }

static void owners(void) {
    SECTION("owners");
    int s[2], n = 0, me = getpid(), other = -getpgrp();
    connected(s), signal(SIGURG, on_urgent), signal(SIGIO, on_ready);
    send(s[0], "a", 1, MSG_OOB), msleep(20), SHOW(urgents);
    CALL(fcntl(s[1], F_SETOWN, me)), send(s[0], "b", 1, MSG_OOB), msleep(20), SHOW(urgents), SHOW(readies), send(s[0], "c", 1, 0), msleep(20), SHOW(urgents), SHOW(readies);
    CALL(ioctl(s[1], SIOCGPGRP, &n)), HOLDS(n == me), CALL(ioctl(s[1], SIOCSPGRP, &other)), CALL(ioctl(s[1], FIOGETOWN, &n)), HOLDS(n == other), CALL(ioctl(s[1], FIOSETOWN, &me)), CALL(ioctl(s[1], FIOSETOWN, BADPTR)), CALL(ioctl(0, FIOSETOWN, &me)), CALL(ioctl(s[1], SIOCSPGRP, &(int){1 << 22}));
    CALL(fcntl(s[1], F_SETFL, O_ASYNC)), send(s[0], "d", 1, 0), msleep(20), SHOW(urgents), SHOW(readies), CALL(shutdown(s[0], SHUT_WR)), msleep(20), SHOW(urgents);
    close(s[0]), close(s[1]);
}

static void patience(void) {
    SECTION("nobody answers");
    int l = listener(AF_INET, 0), port = port_of(l), fill = socket(AF_INET, SOCK_STREAM, 0), s = socket(AF_INET, SOCK_STREAM, 0), t = socket(AF_INET, SOCK_STREAM, 0);
    CALL(connect(fill, V4("127.0.0.1", port)));
    int64_t start = now_ms();
    CALL(set(s, IPPROTO_TCP, TCP_USER_TIMEOUT, 1500)), CALL(connect(s, V4("127.0.0.1", port))), HOLDS(now_ms() - start >= 1000 && now_ms() - start < 4000), READY(s), CALL(connect(fill, V4("127.0.0.1", port)));
    nonblock(t), CALL(set(t, IPPROTO_TCP, TCP_USER_TIMEOUT, 1500)), CALL(connect(t, V4("127.0.0.1", port))), READY(t), CALL(until(t, POLLOUT)), READY(t), SHOW(get(t, SOL_SOCKET, SO_ERROR)), CALL(connect(t, V4("127.0.0.1", 1)));
    close(l), close(fill), close(s), close(t);
}

static void deferred(void) {
    SECTION("deferred");
    int l = listener(AF_INET, 5), c[3];
    CALL(set(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1)), nonblock(l);
    for (int i = 0; i < 3; i++) c[i] = socket(AF_INET, SOCK_STREAM, 0);
    CALL(connect(c[0], V4("127.0.0.1", port_of(l)))), msleep(50), READY(l), READY(c[0]), CALL(accept(l, NULL, NULL)), CALL(send(c[0], "x", 1, 0)), CALL(until(l, POLLIN)), READY(l);
    int a = CALL(accept(l, NULL, NULL));
    CALL(recv(a, b, 9, 0)), close(a);
    CALL(connect(c[1], V4("127.0.0.1", port_of(l)))), msleep(50), READY(l), CALL(shutdown(c[1], SHUT_WR)), CALL(until(l, POLLIN)), a = CALL(accept(l, NULL, NULL)), CALL(recv(a, b, 9, 0)), close(a);
    // Nothing comes: then it is as good as the others after all.
    CALL(connect(c[2], V4("127.0.0.1", port_of(l)))), msleep(50), READY(l);
    struct pollfd p = {l, POLLIN, 0};
    CALL(poll(&p, 1, 10000)), a = CALL(accept(l, NULL, NULL));
    close(l), close(a), close(c[0]), close(c[1]), close(c[2]);
}

int main(void) {
    owners(), patience(), deferred(), segments(), lite(), stamps(), copies(), asking();
}
