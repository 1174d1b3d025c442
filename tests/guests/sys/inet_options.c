// The options of Internet sockets: which there are, what they are at first, which values they take.
#include "inet.h"

static void show(int fd, int level, int name, const char *what) {
    int value = -77;
    socklen_t len = sizeof value;
    int r = getsockopt(fd, level, name, &value, &len);
    if (r) printf("%s: %s\n", what, oracle_errname(errno));
    else printf("%s: %d (%d bytes)\n", what, value, (int)len);
}
/* Sets values and shows what comes of each. */
static void values(int fd, int level, int name, const char *what) {
    int tried[] = {0, 1, 2, -1, -2, 5, 64, 255, 256, 32767, 32768, 1000000, INT_MIN};
    printf("%s:", what);
    for (unsigned i = 0; i < sizeof tried / sizeof *tried; i++) {
        int r = set(fd, level, name, tried[i]);
        if (r) printf(" %d %s", tried[i], oracle_errname(errno));
        else printf(" %d -> %d", tried[i], get(fd, level, name));
    }
    printf("\n");
}
#define FIRST(level, name) show(fd, level, name, #name)
#define VALUES(level, name) values(fd, level, name, #name)

static void of_all(int fd, int six) {
    FIRST(SOL_SOCKET, SO_REUSEADDR), FIRST(SOL_SOCKET, SO_REUSEPORT), FIRST(SOL_SOCKET, SO_KEEPALIVE), FIRST(SOL_SOCKET, SO_BROADCAST), FIRST(SOL_SOCKET, SO_DONTROUTE), FIRST(SOL_SOCKET, SO_OOBINLINE), FIRST(SOL_SOCKET, SO_PRIORITY), FIRST(SOL_SOCKET, SO_RCVLOWAT), FIRST(SOL_SOCKET, SO_SNDLOWAT), FIRST(SOL_SOCKET, SO_TYPE), FIRST(SOL_SOCKET, SO_PROTOCOL), FIRST(SOL_SOCKET, SO_DOMAIN), FIRST(SOL_SOCKET, SO_ERROR), FIRST(SOL_SOCKET, SO_ACCEPTCONN), FIRST(SOL_SOCKET, SO_MARK), FIRST(SOL_SOCKET, SO_BUSY_POLL), FIRST(SOL_SOCKET, SO_TIMESTAMP), FIRST(SOL_SOCKET, SO_TIMESTAMPNS), FIRST(SOL_SOCKET, SO_RCVBUF), FIRST(SOL_SOCKET, SO_SNDBUF), FIRST(SOL_SOCKET, SO_PASSCRED), FIRST(SOL_SOCKET, 999), FIRST(999, 1);
    VALUES(SOL_SOCKET, SO_REUSEADDR), VALUES(SOL_SOCKET, SO_REUSEPORT), VALUES(SOL_SOCKET, SO_KEEPALIVE), VALUES(SOL_SOCKET, SO_BROADCAST), VALUES(SOL_SOCKET, SO_OOBINLINE), VALUES(SOL_SOCKET, SO_MARK), VALUES(SOL_SOCKET, SO_TIMESTAMP), VALUES(SOL_SOCKET, SO_TIMESTAMPNS), VALUES(SOL_SOCKET, SO_PASSCRED), VALUES(SOL_SOCKET, SO_TYPE), VALUES(SOL_SOCKET, SO_PROTOCOL), VALUES(SOL_SOCKET, SO_ERROR), VALUES(SOL_SOCKET, 999), VALUES(999, 1);
    CALL(set(fd, SOL_SOCKET, SO_RCVBUF, 10000)), SHOW(get(fd, SOL_SOCKET, SO_RCVBUF)), CALL(set(fd, SOL_SOCKET, SO_SNDBUF, 0)), SHOW(get(fd, SOL_SOCKET, SO_SNDBUF)), CALL(set(fd, SOL_SOCKET, SO_SNDBUFFORCE, 3000000)), SHOW(get(fd, SOL_SOCKET, SO_SNDBUF)), CALL(set(fd, SOL_SOCKET, SO_RCVBUFFORCE, 3000000)), SHOW(get(fd, SOL_SOCKET, SO_RCVBUF));
    struct linger l = {-1, -1};
    socklen_t len = sizeof l;
    CALL(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len)), SHOW(l.l_onoff), SHOW(l.l_linger), SHOW(len), l.l_onoff = 5, l.l_linger = 7, CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l)), CALL(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len)), SHOW(l.l_onoff), SHOW(l.l_linger), CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, 4));
    struct timeval t = {3, 5000};
    CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)), len = sizeof t, CALL(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, &len)), SHOW(t.tv_sec), t.tv_usec = 1000000, CALL(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t));
    char name[16] = "?";
    CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nowhere", 8)), CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3)), len = sizeof name, CALL(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len)), SHOW(len), printf("%s\n", name), CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0)), len = sizeof name, CALL(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len)), SHOW(len);
    uint64_t cookie = 0, cookie2 = 0;
    len = sizeof cookie, CALL(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len)), getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie2, &len), HOLDS(cookie && cookie == cookie2), len = 4, CALL(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len));

    FIRST(IPPROTO_IP, IP_TOS), FIRST(IPPROTO_IP, IP_TTL), FIRST(IPPROTO_IP, IP_MTU_DISCOVER), FIRST(IPPROTO_IP, IP_MTU), FIRST(IPPROTO_IP, IP_RECVERR), FIRST(IPPROTO_IP, IP_RECVTTL), FIRST(IPPROTO_IP, IP_RECVTOS), FIRST(IPPROTO_IP, IP_PKTINFO), FIRST(IPPROTO_IP, IP_FREEBIND), FIRST(IPPROTO_IP, IP_TRANSPARENT), FIRST(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), FIRST(IPPROTO_IP, IP_MINTTL), FIRST(IPPROTO_IP, IP_MULTICAST_TTL), FIRST(IPPROTO_IP, IP_MULTICAST_LOOP), FIRST(IPPROTO_IP, IP_MULTICAST_ALL), FIRST(IPPROTO_IP, IP_OPTIONS), FIRST(IPPROTO_IP, 999);
    VALUES(IPPROTO_IP, IP_TOS), VALUES(IPPROTO_IP, IP_TTL), VALUES(IPPROTO_IP, IP_MTU_DISCOVER), VALUES(IPPROTO_IP, IP_RECVERR), VALUES(IPPROTO_IP, IP_FREEBIND), VALUES(IPPROTO_IP, IP_MINTTL), VALUES(IPPROTO_IP, IP_MULTICAST_TTL), VALUES(IPPROTO_IP, IP_MULTICAST_LOOP), VALUES(IPPROTO_IP, IP_MULTICAST_ALL), VALUES(IPPROTO_IP, IP_TRANSPARENT), VALUES(IPPROTO_IP, 999);
    unsigned char byte = 9;
    CALL(setsockopt(fd, IPPROTO_IP, IP_TTL, &byte, 1)), len = 1, CALL(getsockopt(fd, IPPROTO_IP, IP_TTL, &byte, &len)), SHOW(byte), SHOW(len), CALL(setsockopt(fd, IPPROTO_IP, IP_TTL, &byte, 0)), CALL(setsockopt(fd, IPPROTO_IP, IP_TTL, BADPTR, 4)), CALL(setsockopt(fd, IPPROTO_IP, IP_TTL, &byte, -1)), CALL(getsockopt(fd, IPPROTO_IP, IP_TTL, BADPTR, &len)), len = -1, CALL(getsockopt(fd, IPPROTO_IP, IP_TTL, &byte, &len));
    FIRST(IPPROTO_IPV6, IPV6_V6ONLY);
    if (!six) return;
    FIRST(IPPROTO_IPV6, IPV6_UNICAST_HOPS), FIRST(IPPROTO_IPV6, IPV6_MULTICAST_HOPS), FIRST(IPPROTO_IPV6, IPV6_MULTICAST_LOOP), FIRST(IPPROTO_IPV6, IPV6_RECVPKTINFO), FIRST(IPPROTO_IPV6, IPV6_RECVERR), FIRST(IPPROTO_IPV6, IPV6_TCLASS), FIRST(IPPROTO_IPV6, IPV6_RECVTCLASS), FIRST(IPPROTO_IPV6, IPV6_MTU_DISCOVER), FIRST(IPPROTO_IPV6, IPV6_MTU), FIRST(IPPROTO_IPV6, IPV6_DONTFRAG), FIRST(IPPROTO_IPV6, 999);
    VALUES(IPPROTO_IPV6, IPV6_V6ONLY), VALUES(IPPROTO_IPV6, IPV6_UNICAST_HOPS), VALUES(IPPROTO_IPV6, IPV6_MULTICAST_HOPS), VALUES(IPPROTO_IPV6, IPV6_MULTICAST_LOOP), VALUES(IPPROTO_IPV6, IPV6_RECVPKTINFO), VALUES(IPPROTO_IPV6, IPV6_TCLASS), VALUES(IPPROTO_IPV6, IPV6_MTU_DISCOVER), VALUES(IPPROTO_IPV6, IPV6_DONTFRAG), CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &byte, 1));
}

static void of_tcp(int fd) {
    FIRST(IPPROTO_TCP, TCP_NODELAY), FIRST(IPPROTO_TCP, TCP_CORK), FIRST(IPPROTO_TCP, TCP_MAXSEG), FIRST(IPPROTO_TCP, TCP_KEEPIDLE), FIRST(IPPROTO_TCP, TCP_KEEPINTVL), FIRST(IPPROTO_TCP, TCP_KEEPCNT), FIRST(IPPROTO_TCP, TCP_SYNCNT), FIRST(IPPROTO_TCP, TCP_LINGER2), FIRST(IPPROTO_TCP, TCP_DEFER_ACCEPT), FIRST(IPPROTO_TCP, TCP_QUICKACK), FIRST(IPPROTO_TCP, TCP_USER_TIMEOUT), FIRST(IPPROTO_TCP, TCP_FASTOPEN), FIRST(IPPROTO_TCP, TCP_FASTOPEN_CONNECT), FIRST(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS), FIRST(IPPROTO_TCP, TCP_SAVE_SYN), FIRST(IPPROTO_TCP, 999);
    VALUES(IPPROTO_TCP, TCP_NODELAY), VALUES(IPPROTO_TCP, TCP_CORK), VALUES(IPPROTO_TCP, TCP_MAXSEG), VALUES(IPPROTO_TCP, TCP_KEEPIDLE), VALUES(IPPROTO_TCP, TCP_KEEPINTVL), VALUES(IPPROTO_TCP, TCP_KEEPCNT), VALUES(IPPROTO_TCP, TCP_SYNCNT), VALUES(IPPROTO_TCP, TCP_LINGER2), VALUES(IPPROTO_TCP, TCP_USER_TIMEOUT), VALUES(IPPROTO_TCP, TCP_FASTOPEN_CONNECT), VALUES(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS), VALUES(IPPROTO_TCP, TCP_SAVE_SYN), VALUES(IPPROTO_TCP, 999);
    for (int seconds = 0; seconds < 12; seconds++) set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, seconds), printf("defer %d: %d\n", seconds, get(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT));
    char name[32] = "";
    socklen_t len = sizeof name;
    CALL(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len)), SHOW(len), HOLDS(strlen(name) > 2), CALL(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5)), CALL(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nonesuch", 8)), CALL(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "", 0)), CALL(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "nonesuch", 8)), len = sizeof name, CALL(getsockopt(fd, IPPROTO_TCP, TCP_ULP, name, &len)), SHOW(len), CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, name, 3));
}

static void of_connections(void) {
    SECTION("connections");
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    set(l, IPPROTO_TCP, TCP_NODELAY, 1), set(l, SOL_SOCKET, SO_KEEPALIVE, 1), set(l, IPPROTO_TCP, TCP_KEEPIDLE, 77), set(l, SOL_SOCKET, SO_RCVBUF, 50000), set(l, IPPROTO_IP, IP_TOS, 0x10), set(l, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(l, V4("127.0.0.1", 0)), CALL(listen(l, 3)), CALL(set(l, IPPROTO_TCP, TCP_FASTOPEN, 5)), SHOW(get(l, IPPROTO_TCP, TCP_FASTOPEN));
    struct tcp_info i;
    socklen_t len = sizeof i;
    CALL(getsockopt(l, IPPROTO_TCP, TCP_INFO, &i, &len)), SHOW(i.tcpi_state), SHOW(i.tcpi_unacked), SHOW(i.tcpi_sacked);
    connect(c, V4("127.0.0.1", port_of(l))), until(l, POLLIN), getsockopt(l, IPPROTO_TCP, TCP_INFO, &i, &len), SHOW(i.tcpi_unacked);
    int a = accept(l, NULL, NULL), fd = a;
    SHOW(get(a, IPPROTO_TCP, TCP_NODELAY)), SHOW(get(a, SOL_SOCKET, SO_KEEPALIVE)), SHOW(get(a, IPPROTO_TCP, TCP_KEEPIDLE)), SHOW(get(a, SOL_SOCKET, SO_RCVBUF)), SHOW(get(a, IPPROTO_IP, IP_TOS)), SHOW(get(a, SOL_SOCKET, SO_REUSEADDR)), SHOW(get(c, IPPROTO_TCP, TCP_NODELAY));
    len = sizeof i, CALL(getsockopt(c, IPPROTO_TCP, TCP_INFO, &i, &len)), SHOW(i.tcpi_state), SHOW(i.tcpi_retransmits), SHOW(i.tcpi_lost), SHOW(i.tcpi_pmtu);
    len = 1, CALL(getsockopt(c, IPPROTO_TCP, TCP_INFO, &i, &len)), SHOW(len);
    HOLDS(get(a, IPPROTO_TCP, TCP_MAXSEG) > 30000), FIRST(IPPROTO_IP, IP_MTU), CALL(set(a, IPPROTO_TCP, TCP_FASTOPEN, 5)), CALL(set(a, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)), HOLDS(get(c, SOL_SOCKET, SO_SNDBUF) > 1000000);
    shutdown(c, SHUT_WR), until(a, POLLIN), len = sizeof i, getsockopt(c, IPPROTO_TCP, TCP_INFO, &i, &len), HOLDS(i.tcpi_state == 4 || i.tcpi_state == 5), getsockopt(a, IPPROTO_TCP, TCP_INFO, &i, &len), SHOW(i.tcpi_state);
    close(a), close(c), close(l);
}

static void of_others(void) {
    SECTION("without rights");
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (setresuid(65534, 65534, 65534)) abort();
    CALL(bind(s, V4("127.0.0.1", 80))), CALL(set(s, SOL_SOCKET, SO_MARK, 1)), CALL(set(s, SOL_SOCKET, SO_SNDBUFFORCE, 1)), CALL(set(s, SOL_SOCKET, SO_PRIORITY, 7)), CALL(set(s, IPPROTO_IP, IP_TRANSPARENT, 1)), CALL(set(s, IPPROTO_IP, IP_FREEBIND, 1)), CALL(bind(s, V4("203.0.113.5", 0))), CALL(set(s, IPPROTO_TCP, TCP_REPAIR, 1));
    CALL(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), CALL(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)), CALL(socket(AF_INET, SOCK_RAW, 0)), CALL(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)), CALL(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6)), CALL(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMP));
    close(s);
}

int main(void) {
    int fd;
    SECTION("TCP"), fd = socket(AF_INET, SOCK_STREAM, 0), of_all(fd, 0), of_tcp(fd), close(fd);
    SECTION("TCP over IPv6"), fd = socket(AF_INET6, SOCK_STREAM, 0), of_all(fd, 1), close(fd);
    SECTION("UDP"), fd = socket(AF_INET, SOCK_DGRAM, 0), of_all(fd, 0), FIRST(IPPROTO_TCP, TCP_NODELAY), close(fd);
    SECTION("UDP over IPv6"), fd = socket(AF_INET6, SOCK_DGRAM, 0), of_all(fd, 1), close(fd);
    of_connections();
    of_others();
    return 0;
}
