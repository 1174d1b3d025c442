// Raw sockets: echo requests and their answers, headers, filters, who hears what.
#include "oracle.h"
#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>

#ifndef ICMP_FILTER
#define ICMP_FILTER 1
#endif
#ifndef SOL_RAW
#define SOL_RAW 255
#endif
enum { NOBODY = 65534 };

static unsigned short sum(const void *data, int len) {
    const unsigned char *b = data;
    unsigned long s = 0;
    for (int i = 0; i < len; i += 2) s += b[i] << 8 | (i + 1 < len ? b[i + 1] : 0);
    while (s >> 16) s = (s & 0xffff) + (s >> 16);
    return htons(~s);
}
// An echo request of 12 bytes.
static unsigned char request[12];
static void ask(int type, int sequence) {
    memset(request, 0, sizeof request);
    request[0] = type, request[5] = 77, request[7] = sequence, memcpy(request + 8, "data", 4);
    unsigned short s = sum(request, sizeof request);
    memcpy(request + 2, &s, 2);
}
static struct sockaddr_in four(const char *ip, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}
static struct sockaddr_in6 six(const char *ip, int port) {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    inet_pton(AF_INET6, ip, &a.sin6_addr);
    return a;
}
static void name(const void *address, socklen_t len) {
    char text[64] = "";
    const struct sockaddr_in *v4 = address;
    const struct sockaddr_in6 *v6 = address;
    if (v4->sin_family == AF_INET) inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    if (v4->sin_family == AF_INET6) inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    printf("%s port %d len %d", text, ntohs(v4->sin_port), (int)len);
}
static void names(int s) {
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    if (CALL(getsockname(s, (void *)&a, &len)) == 0) printf("  "), name(&a, len), puts("");
    len = sizeof a;
    if (CALL(getpeername(s, (void *)&a, &len)) == 0) printf("  "), name(&a, len), puts("");
}
// All that has come, without what is different each time: the number of a packet and the sum over it.
static void hear(const char *who, int s) {
    unsigned char b[256];
    struct sockaddr_storage a;
    for (;;) {
        socklen_t len = sizeof a;
        ssize_t n = recvfrom(s, b, sizeof b, MSG_DONTWAIT, (void *)&a, &len);
        if (n < 0) break;
        printf("%s hears %zd bytes from ", who, n), name(&a, len), printf(":");
        for (int i = 0; i < n; i++) {
            int v4 = ((struct sockaddr_in *)&a)->sin_family == AF_INET;
            if (v4 && (i == 4 || i == 5 || i == 10 || i == 11)) continue;
            printf(" %02x", b[i]);
        }
        puts("");
    }
}
#define SEND(s, to) CALL(sendto(s, request, sizeof request, 0, (void *)&(to), sizeof(to)))

int main(void) {
    struct sockaddr_in lo = four("127.0.0.1", 0), other = four("127.0.0.2", 0), far = four("192.0.2.1", 0); // of no machine
    struct sockaddr_in6 lo6 = six("::1", 0);
    int v, t;
    socklen_t len;
    SECTION("made");
    CALL(socket(AF_INET, SOCK_RAW, 0)), CALL(socket(AF_INET6, SOCK_RAW, 0)), CALL(socket(AF_INET, SOCK_RAW, -1)), CALL(socket(AF_INET, SOCK_RAW, 300));
    int s = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), s6 = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    names(s), names(s6);
    len = sizeof v, CALL(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &len)), SHOW(v), CALL(getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &v, &len)), SHOW(v);
    CALL(listen(s, 1)), CALL(accept(s, NULL, NULL));
    SECTION("echo");
    ask(8, 1), SEND(s, lo), hear("four", s), SEND(s, other), hear("four", s);
    ask(128, 1), SEND(s6, lo6), hear("six", s6);
    ask(8, 2), request[11]++, SEND(s, lo), hear("damaged", s);
    ask(0, 3), SEND(s, lo), hear("an answer to nobody", s);
    v = 9, CALL(setsockopt(s, IPPROTO_IP, IP_TTL, &v, sizeof v)), v = 0x20, CALL(setsockopt(s, IPPROTO_IP, IP_TOS, &v, sizeof v));
    ask(8, 4), SEND(s, lo), hear("nine hops", s);
    struct pollfd p = {s, POLLIN | POLLOUT, 0};
    CALL(poll(&p, 1, 0)), SHOW(p.revents);
    SECTION("errors");
    CALL(send(s, request, 8, 0)), SEND(s, lo6), CALL(sendto(s, request, 8, MSG_OOB, (void *)&lo, sizeof lo)), CALL(sendto(s, request, 8, 0, (void *)&lo, 5));
    static char large[70000];
    CALL(sendto(s, large, sizeof large, 0, (void *)&lo, sizeof lo)), CALL(sendto(s, large, 65530, 0, (void *)&lo, sizeof lo)), CALL(sendto(s, BADPTR, 8, 0, (void *)&lo, sizeof lo));
    struct sockaddr_in6 port = six("::1", 5), own = six("::1", IPPROTO_ICMPV6);
    SEND(s6, port), ask(128, 5), SEND(s6, own), hear("six", s6), CALL(sendto(s6, request, 3, 0, (void *)&lo6, sizeof lo6));
    SECTION("filters");
    struct icmp_filter { unsigned data; } f = {1 << 8};
    CALL(setsockopt(s, SOL_RAW, ICMP_FILTER, &f, sizeof f)), f.data = 0, len = sizeof f, CALL(getsockopt(s, SOL_RAW, ICMP_FILTER, &f, &len)), SHOW(f.data), SHOW(len);
    ask(8, 6), SEND(s, lo), hear("answers alone", s);
    struct icmp6_filter f6;
    ICMP6_FILTER_SETBLOCKALL(&f6);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &f6);
    CALL(setsockopt(s6, IPPROTO_ICMPV6, ICMP6_FILTER, &f6, sizeof f6)), ask(128, 6), SEND(s6, lo6), hear("answers alone", s6);
    CALL(setsockopt(s, SOL_RAW, 2, &f, sizeof f)), f.data = 0, CALL(setsockopt(s, SOL_RAW, ICMP_FILTER, &f, sizeof f));
    SECTION("sums");
    int sums = socket(AF_INET6, SOCK_RAW, 253), plain = socket(AF_INET6, SOCK_RAW, 253);
    len = sizeof v, CALL(getsockopt(sums, IPPROTO_IPV6, IPV6_CHECKSUM, &v, &len)), SHOW(v), CALL(getsockopt(s6, SOL_RAW, IPV6_CHECKSUM, &v, &len)), SHOW(v);
    v = 3, CALL(setsockopt(sums, IPPROTO_IPV6, IPV6_CHECKSUM, &v, sizeof v)), v = 4, CALL(setsockopt(sums, IPPROTO_IPV6, IPV6_CHECKSUM, &v, sizeof v)), v = 2, CALL(setsockopt(s6, IPPROTO_IPV6, IPV6_CHECKSUM, &v, sizeof v)), CALL(setsockopt(s6, SOL_RAW, IPV6_CHECKSUM, &v, sizeof v));
    CALL(sendto(sums, "12345678", 8, 0, (void *)&lo6, sizeof lo6)), hear("with a sum", plain), hear("with a sum", sums);
    CALL(sendto(plain, "12345678", 8, 0, (void *)&lo6, sizeof lo6)), hear("without", plain), hear("without", sums), CALL(sendto(sums, "12345", 5, 0, (void *)&lo6, sizeof lo6));
    SECTION("bound and connected");
    int bound = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    struct sockaddr_in at = four("127.0.0.2", 9);
    CALL(bind(bound, (void *)&far, sizeof far)), CALL(bind(bound, (void *)&at, sizeof at)), names(bound);
    ask(8, 7), SEND(s, lo), hear("bound", bound), hear("all", s), SEND(s, other), hear("bound", bound), hear("all", s);
    t = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), at = four("127.0.0.3", 9);
    CALL(connect(t, (void *)&at, sizeof at)), names(t);
    ask(8, 8), CALL(send(t, request, sizeof request, 0)), hear("connected", t), hear("all", s), SEND(s, lo), hear("connected", t), hear("all", s);
    at.sin_family = AF_UNSPEC, CALL(connect(t, (void *)&at, sizeof at)), names(t);
    SECTION("headers");
    unsigned char whole[32] = {0x45, 0, 0, 0, 0, 0, 0, 0, 33, 1, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1};
    ask(8, 9), memcpy(whole + 20, request, 12);
    int any = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    len = sizeof v, CALL(getsockopt(any, IPPROTO_IP, IP_HDRINCL, &v, &len)), SHOW(v), CALL(getsockopt(s, IPPROTO_IP, IP_HDRINCL, &v, &len)), SHOW(v);
    CALL(sendto(any, whole, sizeof whole, 0, (void *)&lo, sizeof lo)), hear("all", s), hear("raw", any);
    CALL(sendto(any, whole, 19, 0, (void *)&lo, sizeof lo));
    v = 1, CALL(setsockopt(t, IPPROTO_IP, IP_HDRINCL, &v, sizeof v)), CALL(sendto(t, whole, sizeof whole, 0, (void *)&lo, sizeof lo)), hear("all", s), hear("own", t);
    SECTION("another protocol");
    int one = socket(AF_INET, SOCK_RAW, 253), two = socket(AF_INET, SOCK_RAW, 253);
    CALL(sendto(one, "hello", 5, 0, (void *)&lo, sizeof lo)), hear("one", one), hear("two", two), hear("none", s);
    CALL(shutdown(one, SHUT_WR)), CALL(sendto(one, "hello", 5, 0, (void *)&lo, sizeof lo));
    SECTION("a user");
    CALL(setuid(NOBODY)), CALL(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), CALL(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)), CALL(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
    return 0;
}
