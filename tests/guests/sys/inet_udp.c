// Datagram sockets of the Internet families: sending to anybody, connecting, what comes back, what comes beside, groups.
// again: --net host
#include "inet.h"
#include <linux/errqueue.h>

static int bound(int family) {
    int fd = socket(family, SOCK_DGRAM, 0);
    if (family == AF_INET ? bind(fd, V4("127.0.0.1", 0)) : bind(fd, V6("::1", 0))) abort();
    return fd;
}
/* What recvmsg finds beside the bytes. */
static void receive(int fd, int flags) {
    char control[512];
    struct sockaddr_in6 a;
    struct iovec v = {b, 100};
    struct msghdr m = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    memset(control, 0, sizeof control);
    if (CALL(recvmsg(fd, &m, flags | MSG_DONTWAIT)) < 0) return;
    printf("flags %x, from ", m.msg_flags), show_address(&a, m.msg_namelen);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        printf("control %d %d %d:", c->cmsg_level, c->cmsg_type, (int)c->cmsg_len);
        int len = c->cmsg_len - CMSG_LEN(0), when = c->cmsg_level == SOL_SOCKET;
        unsigned char *d = CMSG_DATA(c);
        for (int i = 0; i < len && !when; i++) printf(" %02x", d[i]);
        if (when) printf(" %s", labs(((struct timeval *)d)->tv_sec - time(NULL)) < 5 ? "now" : "NOT NOW");
        printf("\n");
    }
}

static void making(void) {
    SECTION("making");
    int s = CALL(socket(AF_INET, SOCK_DGRAM, 0)), t = CALL(socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP));
    CALL(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP)), CALL(socket(AF_INET, SOCK_DGRAM, 99));
    SHOW(get(s, SOL_SOCKET, SO_PROTOCOL)), SHOW(get(s, SOL_SOCKET, SO_TYPE)), READY(s), names(s), names(t);
    CALL(listen(s, 1)), CALL(accept(s, NULL, NULL)), CALL(send(s, "x", 1, 0)), CALL(write(s, "x", 1)), CALL(recv(s, b, 1, MSG_DONTWAIT)), CALL(shutdown(s, SHUT_WR));
    close(s), close(t);
}

static void sending(void) {
    SECTION("sending");
    int s = bound(AF_INET), t = socket(AF_INET, SOCK_DGRAM, 0), port = port_of(s), n = -1;
    CALL(sendto(t, "hello", 5, 0, V4("127.0.0.1", port))), names(t), until(s, POLLIN), READY(s), CALL(ioctl(s, FIONREAD, &n)), SHOW(n);
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    CALL(recvfrom(s, b, 100, 0, (void *)&a, &len)), show_address(&a, len), HOLDS(ntohs(a.sin_port) == port_of(t)), READY(s);
    CALL(sendto(t, "hello", 5, 0, v4("127.0.0.1", port), 15)), CALL(sendto(t, "hello", 5, 0, v4("127.0.0.1", 0), 16)), CALL(sendto(t, "hello", 5, 0, V6("::1", port))), CALL(sendto(t, "x", 1, MSG_OOB, V4("127.0.0.1", port)));
    CALL(sendto(t, b, 65507, 0, V4("127.0.0.1", port))), CALL(sendto(t, b, 65508, 0, V4("127.0.0.1", port))), CALL(sendto(t, b, 70000, 0, V4("127.0.0.1", port))), CALL(recv(s, b, sizeof b, 0));
    CALL(sendto(t, BADPTR, 5, 0, V4("127.0.0.1", port))), CALL(sendto(t, "x", 1, 0, V4("127.255.255.255", port)));
    CALL(sendto(t, "", 0, 0, V4("127.0.0.1", port))), until(s, POLLIN), READY(s), CALL(recv(s, b, 9, 0)), READY(s);
    for (int i = 0; i < 3; i++) sendto(t, "abcdef", 6, 0, V4("127.0.0.1", port));
    msleep(10);
    CALL(recv(s, b, 3, MSG_PEEK)), CALL(recv(s, b, 3, MSG_PEEK | MSG_TRUNC)), CALL(recv(s, b, 3, MSG_TRUNC)), CALL(recv(s, b, 3, 0)), CALL(read(s, b, 0)), CALL(recv(s, b, 0, 0)), CALL(recv(s, b, 9, MSG_DONTWAIT));
    sendto(t, "abcdef", 6, 0, V4("127.0.0.1", port)), msleep(10), CALL(read(s, BADPTR, 3)), CALL(recv(s, b, 9, MSG_DONTWAIT));
    struct sockaddr *vague = v4("127.0.0.1", port);
    vague->sa_family = AF_UNSPEC, CALL(sendto(t, "v", 1, 0, vague, 16)), msleep(10), CALL(recv(s, b, 9, MSG_DONTWAIT));
    struct iovec v[2] = {{"ab", 2}, {"cd", 2}};
    struct mmsghdr m[2] = {{{v4("127.0.0.1", port), 16, v, 2}}, {{&v4_, 16, v, 1}}};
    CALL(sendmmsg(t, m, 2, 0)), SHOW(m[0].msg_len), SHOW(m[1].msg_len), msleep(10);
    struct iovec w = {b, 100};
    struct mmsghdr r[3] = {{{NULL, 0, &w, 1}}, {{NULL, 0, &w, 1}}, {{NULL, 0, &w, 1}}};
    CALL(recvmmsg(s, r, 3, MSG_WAITFORONE, NULL)), SHOW(r[0].msg_len), SHOW(r[1].msg_len);
    close(s), close(t);
    SECTION("too many");
    s = bound(AF_INET), t = socket(AF_INET, SOCK_DGRAM, 0), connect(t, V4("127.0.0.1", port_of(s)));
    int sent = 0, got = 0;
    for (; sent < 3000; sent++) if (send(t, b, 1000, 0) != 1000) break;
    while (recv(s, b, 2000, MSG_DONTWAIT) == 1000) got++;
    SHOW(sent), HOLDS(got > 50 && got < 3000);
    close(s), close(t);
}

static void connecting(void) {
    SECTION("connecting");
    int s = bound(AF_INET), t = socket(AF_INET, SOCK_DGRAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0), port = port_of(s);
    CALL(connect(t, v4("127.0.0.1", port), 15)), CALL(connect(t, v4("127.0.0.1", port), 1)), CALL(connect(t, V6("::1", port)));
    CALL(connect(t, V4("127.0.0.1", port))), names(t), READY(t), CALL(send(t, "one", 3, 0)), CALL(sendto(t, "two", 3, 0, V4("127.0.0.1", port)));
    CALL(connect(s, V4("127.0.0.1", port_of(t)))), CALL(sendto(u, "other", 5, 0, V4("127.0.0.1", port)));
    msleep(10), CALL(recv(s, b, 9, MSG_DONTWAIT)), CALL(recv(s, b, 9, MSG_DONTWAIT)), CALL(recv(s, b, 9, MSG_DONTWAIT));
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    CALL(connect(s, &nowhere, sizeof nowhere)), names(s), HOLDS(port_of(s) == port), CALL(sendto(u, "other", 5, 0, V4("127.0.0.1", port))), msleep(10), CALL(recv(s, b, 9, MSG_DONTWAIT));
    CALL(connect(t, &nowhere, sizeof nowhere)), names(t), CALL(send(t, "x", 1, 0)), CALL(connect(t, V4("0.0.0.0", port))), names(t);
    close(s), close(u);
    SECTION("nobody there");
    CALL(send(t, "x", 1, 0)), msleep(20), READY(t), CALL(send(t, "x", 1, 0)), READY(t), CALL(send(t, "x", 1, 0)), msleep(20), CALL(recv(t, b, 1, MSG_DONTWAIT)), CALL(recv(t, b, 1, MSG_DONTWAIT)), CALL(send(t, "x", 1, 0)), msleep(20), SHOW(get(t, SOL_SOCKET, SO_ERROR)), SHOW(get(t, SOL_SOCKET, SO_ERROR));
    close(t), t = socket(AF_INET, SOCK_DGRAM, 0);
    CALL(sendto(t, "x", 1, 0, V4("127.0.0.1", port))), msleep(20), READY(t), receive(t, MSG_ERRQUEUE);
    CALL(set(t, IPPROTO_IP, IP_RECVERR, 1)), CALL(sendto(t, "why", 3, 0, V4("127.0.0.1", port))), msleep(20), READY(t), receive(t, MSG_ERRQUEUE), READY(t), CALL(sendto(t, "why", 3, 0, V4("127.0.0.1", port))), msleep(20), CALL(sendto(t, "why", 3, 0, V4("127.0.0.1", port))), READY(t), receive(t, MSG_ERRQUEUE), READY(t);
    close(t), t = socket(AF_INET6, SOCK_DGRAM, 0);
    CALL(set(t, IPPROTO_IPV6, IPV6_RECVERR, 1)), CALL(sendto(t, "why", 3, 0, V6("::1", port))), msleep(20), READY(t), receive(t, MSG_ERRQUEUE), READY(t);
    close(t);
    SECTION("shutting down");
    s = bound(AF_INET), t = bound(AF_INET), connect(t, V4("127.0.0.1", port_of(s)));
    CALL(shutdown(s, SHUT_RD)), READY(s), CALL(recv(s, b, 1, MSG_DONTWAIT)), CALL(shutdown(t, SHUT_WR)), READY(t), CALL(send(t, "x", 1, 0)), SHOW(pipes), CALL(shutdown(t, SHUT_RDWR)), READY(t), CALL(recv(t, b, 1, 0));
    close(s), close(t);
}

static void families(void) {
    SECTION("both families");
    int s = socket(AF_INET6, SOCK_DGRAM, 0), t = socket(AF_INET, SOCK_DGRAM, 0), u = socket(AF_INET6, SOCK_DGRAM, 0), port;
    CALL(bind(s, V6("::", 0))), port = port_of(s);
    CALL(sendto(t, "v4", 2, 0, V4("127.0.0.1", port))), msleep(10), receive(s, 0);
    CALL(sendto(u, "v6", 2, 0, V6("::1", port))), msleep(10), receive(s, 0);
    CALL(sendto(u, "mapped", 6, 0, V6("::ffff:127.0.0.1", port))), msleep(10), receive(s, 0);
    CALL(sendto(u, "as v4", 5, 0, V4("127.0.0.1", port))), msleep(10), receive(s, 0);
    CALL(sendto(u, "any", 3, 0, V6("::", port))), msleep(10), receive(s, 0);
    CALL(sendto(u, "short", 5, 0, v6("::1", port), 20)), CALL(connect(u, V6("::ffff:127.0.0.1", port))), names(u), CALL(send(u, "x", 1, 0)), msleep(10), receive(s, 0);
    CALL(bind(t, V4("127.0.0.1", 0))), CALL(set(u, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    int x = socket(AF_INET, SOCK_DGRAM, 0);
    CALL(bind(x, V4("127.0.0.1", port))), CALL(set(x, SOL_SOCKET, SO_REUSEADDR, 1)), CALL(bind(x, V4("127.0.0.1", port))), set(s, SOL_SOCKET, SO_REUSEADDR, 1), CALL(bind(x, V4("127.0.0.1", port)));
    CALL(sendto(t, "to v4", 5, 0, V4("127.0.0.1", port))), msleep(10), receive(s, 0), receive(x, 0);
    close(x), x = socket(AF_INET6, SOCK_DGRAM, 0), set(x, IPPROTO_IPV6, IPV6_V6ONLY, 1), CALL(bind(x, V6("::", 0))), CALL(sendto(x, "v", 1, 0, V6("::ffff:127.0.0.1", port))), CALL(sendto(x, "v", 1, 0, V4("127.0.0.1", port)));
    close(s), close(t), close(u), close(x);
    SECTION("addresses");
    s = socket(AF_INET, SOCK_DGRAM, 0), t = socket(AF_INET, SOCK_DGRAM, 0), set(s, SOL_SOCKET, SO_REUSEADDR, 1), set(t, SOL_SOCKET, SO_REUSEADDR, 1);
    CALL(bind(s, V4("0.0.0.0", 0))), port = port_of(s), CALL(bind(t, V4("127.0.0.5", port)));
    u = socket(AF_INET, SOCK_DGRAM, 0);
    sendto(u, "a", 1, 0, V4("127.0.0.5", port)), sendto(u, "b", 1, 0, V4("127.0.0.6", port)), msleep(10), receive(s, 0), receive(s, 0), receive(t, 0), receive(t, 0);
    close(s), close(t), close(u);
}

static void beside(void) {
    SECTION("beside");
    int s = socket(AF_INET, SOCK_DGRAM, 0), t = socket(AF_INET, SOCK_DGRAM, 0), port;
    bind(s, V4("0.0.0.0", 0)), port = port_of(s), connect(t, V4("127.0.0.9", port));
    CALL(set(s, IPPROTO_IP, IP_PKTINFO, 1)), CALL(set(s, IPPROTO_IP, IP_RECVTTL, 1)), CALL(set(s, IPPROTO_IP, IP_RECVTOS, 1)), CALL(set(s, SOL_SOCKET, SO_TIMESTAMP, 1));
    send(t, "x", 1, 0), msleep(10), receive(s, 0);
    set(t, IPPROTO_IP, IP_TTL, 7), set(t, IPPROTO_IP, IP_TOS, 0x28), CALL(set(s, SOL_SOCKET, SO_TIMESTAMPNS, 1)), SHOW(get(s, SOL_SOCKET, SO_TIMESTAMP)), send(t, "x", 1, 0), msleep(10), receive(s, 0);
    union { char space[CMSG_SPACE(4)]; struct cmsghdr h; } ttl = {.h = {CMSG_LEN(4), IPPROTO_IP, IP_TTL}};
    union { char space[CMSG_SPACE(12)]; struct cmsghdr h; } info = {.h = {CMSG_LEN(12), IPPROTO_IP, IP_PKTINFO}};
    *(int *)CMSG_DATA(&ttl.h) = 9;
    struct iovec v = {"c", 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &ttl, .msg_controllen = sizeof ttl};
    CALL(sendmsg(t, &m, 0)), msleep(10), receive(s, 0), *(int *)CMSG_DATA(&ttl.h) = 0, CALL(sendmsg(t, &m, 0)), ttl.h.cmsg_type = 77, CALL(sendmsg(t, &m, 0));
    close(t), t = socket(AF_INET, SOCK_DGRAM, 0);
    struct in_pktinfo *p = (void *)CMSG_DATA(&info.h);
    inet_pton(AF_INET, "127.0.0.44", &p->ipi_spec_dst), m.msg_control = &info, m.msg_controllen = sizeof info, m.msg_name = v4("127.0.0.1", port), m.msg_namelen = 16;
    CALL(sendmsg(t, &m, 0)), msleep(10), receive(s, 0);
    close(s), close(t);
    s = socket(AF_INET6, SOCK_DGRAM, 0), t = socket(AF_INET6, SOCK_DGRAM, 0), bind(s, V6("::", 0)), port = port_of(s);
    CALL(set(s, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)), CALL(set(s, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)), CALL(set(s, IPPROTO_IPV6, IPV6_RECVTCLASS, 1));
    sendto(t, "x", 1, 0, V6("::1", port)), msleep(10), receive(s, 0), sendto(t, "x", 1, 0, V6("::ffff:127.0.0.1", port)), msleep(10), receive(s, 0);
    CALL(set(t, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 5)), CALL(set(t, IPPROTO_IPV6, IPV6_TCLASS, 0x20)), sendto(t, "x", 1, 0, V6("::1", port)), msleep(10), receive(s, 0);
    close(s), close(t);
}

static void sharing(void) {
    SECTION("sharing");
    int s[3], t = socket(AF_INET, SOCK_DGRAM, 0), port = 0, got[3] = {0};
    for (int i = 0; i < 3; i++) s[i] = socket(AF_INET, SOCK_DGRAM, 0), set(s[i], SOL_SOCKET, SO_REUSEPORT, 1), CALL(bind(s[i], V4("127.0.0.1", port))), port = port_of(s[0]);
    for (int i = 0; i < 60; i++) {
        int u = socket(AF_INET, SOCK_DGRAM, 0);
        sendto(u, "x", 1, 0, V4("127.0.0.1", port)), close(u);
    }
    msleep(20);
    for (int i = 0; i < 3; i++) while (recv(s[i], b, 9, MSG_DONTWAIT) == 1) got[i]++;
    SHOW(got[0] + got[1] + got[2]), HOLDS(got[0] && got[1] && got[2]);
    CALL(bind(t, V4("127.0.0.1", port)));
    syscall(SYS_close_range, 3, ~0U, 0);
}

static void groups(void) {
    SECTION("groups");
    int s = socket(AF_INET, SOCK_DGRAM, 0), t = socket(AF_INET, SOCK_DGRAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0), port;
    set(s, SOL_SOCKET, SO_REUSEADDR, 1), set(u, SOL_SOCKET, SO_REUSEADDR, 1), bind(s, V4("0.0.0.0", 0)), port = port_of(s), bind(u, V4("0.0.0.0", port));
    struct ip_mreq join = {.imr_interface = {htonl(INADDR_LOOPBACK)}};
    inet_pton(AF_INET, "239.1.2.3", &join.imr_multiaddr);
    struct ip_mreqn lo = {.imr_multiaddr = join.imr_multiaddr, .imr_ifindex = 1};
    CALL(setsockopt(t, IPPROTO_IP, IP_MULTICAST_IF, &join.imr_interface, 4)), CALL(sendto(t, "nobody", 6, 0, V4("239.1.2.3", port))), msleep(10), CALL(recv(s, b, 9, MSG_DONTWAIT));
    CALL(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join)), CALL(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join)), CALL(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &lo, sizeof lo)), CALL(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, 4));
    set(s, IPPROTO_IP, IP_PKTINFO, 1), CALL(sendto(t, "group", 5, 0, V4("239.1.2.3", port))), msleep(10), receive(s, 0), receive(u, 0);
    CALL(set(u, IPPROTO_IP, IP_MULTICAST_ALL, 0)), CALL(sendto(t, "again", 5, 0, V4("239.1.2.3", port))), msleep(10), CALL(recv(u, b, 9, MSG_DONTWAIT)), CALL(recv(s, b, 9, MSG_DONTWAIT));
    CALL(setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &join, sizeof join)), CALL(setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &join, sizeof join));
    lo.imr_ifindex = 999, CALL(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &lo, sizeof lo)), inet_pton(AF_INET, "10.1.2.3", &join.imr_multiaddr), CALL(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join));
    SHOW(get(s, IPPROTO_IP, IP_MULTICAST_TTL)), SHOW(get(s, IPPROTO_IP, IP_MULTICAST_LOOP)), CALL(set(s, IPPROTO_IP, IP_MULTICAST_TTL, 256)), CALL(set(s, IPPROTO_IP, IP_MULTICAST_TTL, -1)), CALL(set(s, IPPROTO_IP, IP_MULTICAST_LOOP, 0)), SHOW(get(s, IPPROTO_IP, IP_MULTICAST_LOOP));
    SHOW(get(t, IPPROTO_IP, IP_MULTICAST_IF) == (int)htonl(INADDR_LOOPBACK));
    close(s), close(t), close(u);
    s = socket(AF_INET6, SOCK_DGRAM, 0), t = socket(AF_INET6, SOCK_DGRAM, 0), bind(s, V6("::", 0)), port = port_of(s);
    struct ipv6_mreq six = {.ipv6mr_interface = 1};
    inet_pton(AF_INET6, "ff02::1234", &six.ipv6mr_multiaddr);
    CALL(setsockopt(s, IPPROTO_IPV6, IPV6_JOIN_GROUP, &six, sizeof six)), CALL(setsockopt(s, IPPROTO_IPV6, IPV6_JOIN_GROUP, &six, sizeof six)), CALL(set(t, IPPROTO_IPV6, IPV6_MULTICAST_IF, 1)), CALL(set(t, IPPROTO_IPV6, IPV6_MULTICAST_IF, 999)), SHOW(get(t, IPPROTO_IPV6, IPV6_MULTICAST_IF));
    CALL(setsockopt(s, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &six, sizeof six)), CALL(setsockopt(s, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &six, sizeof six)), CALL(setsockopt(s, IPPROTO_IPV6, IPV6_JOIN_GROUP, &six, 16));
    close(s), close(t);
    SECTION("all");
    s = socket(AF_INET, SOCK_DGRAM, 0), t = socket(AF_INET, SOCK_DGRAM, 0), bind(s, V4("0.0.0.0", 0)), CALL(set(t, SOL_SOCKET, SO_BROADCAST, 1)), CALL(sendto(t, "all", 3, 0, V4("127.255.255.255", port_of(s)))), msleep(10), receive(s, 0);
    close(s), close(t);
}

int main(void) {
    count_pipes();
    making(), sending(), connecting(), families(), beside(), sharing(), groups();
    return 0;
}
