// Stream sockets of the Internet families: making, binding, listening, connecting, accepting, moving bytes, shutting down, closing, resetting.
#include "inet.h"

static void making(void) {
    SECTION("making");
    CALL(socket(AF_INET, SOCK_STREAM, 0)), CALL(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)), CALL(socket(AF_INET6, SOCK_STREAM, 0));
    CALL(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP)), CALL(socket(AF_INET, SOCK_SEQPACKET, 0)), CALL(socket(AF_INET, SOCK_RDM, 0)), CALL(socket(AF_INET, 0, 0));
    CALL(socket(AF_INET, SOCK_STREAM, -1)), CALL(socket(AF_INET, SOCK_STREAM, 1000)), CALL(socket(AF_INET, 11, 0)), CALL(socket(AF_INET, SOCK_STREAM | 0x20, 0));
    SHOW(get(3, SOL_SOCKET, SO_TYPE)), SHOW(get(3, SOL_SOCKET, SO_PROTOCOL)), SHOW(get(3, SOL_SOCKET, SO_DOMAIN)), SHOW(get(5, SOL_SOCKET, SO_DOMAIN)), SHOW(get(3, SOL_SOCKET, SO_ACCEPTCONN));
    int s[2];
    CALL(socketpair(AF_INET, SOCK_STREAM, 0, s)), CALL(socketpair(AF_INET, SOCK_STREAM, 77, s));
    names(3), names(5), READY(3);
    CALL(recv(3, b, 1, 0)), CALL(send(3, b, 1, MSG_NOSIGNAL)), CALL(shutdown(3, SHUT_WR)), CALL(accept(3, NULL, NULL)), CALL(read(3, b, 0));
    CALL(lseek(3, 0, SEEK_CUR)), CALL(pread(3, b, 1, 0));
    syscall(SYS_close_range, 3, ~0U, 0);
}

static void binding(void) {
    SECTION("binding");
    int s = socket(AF_INET, SOCK_STREAM, 0), t = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET6, SOCK_STREAM, 0);
    CALL(bind(s, v4("127.0.0.1", 0), 15)), CALL(bind(s, v4("127.0.0.1", 0), 0)), CALL(bind(s, v4("127.0.0.1", 0), -1)), CALL(bind(s, v4("127.0.0.1", 0), 129));
    CALL(bind(s, V6("::1", 0))), CALL(bind(u, V4("127.0.0.1", 0))), CALL(bind(u, v6("::1", 0), 23)), CALL(bind(s, V4("203.0.113.7", 0))), CALL(bind(u, V6("2001:db8::1", 0)));
    CALL(bind(s, V4("127.0.0.1", 0))), HOLDS(port_of(s) >= 32768 && port_of(s) <= 60999), names(s), CALL(bind(s, V4("127.0.0.1", 0)));
    int port = port_of(s);
    CALL(bind(t, V4("127.0.0.1", port))), CALL(bind(t, V4("0.0.0.0", port))), CALL(bind(u, V6("::", port))), CALL(bind(u, V6("::ffff:127.0.0.1", port)));
    CALL(bind(t, V4("127.0.0.2", port))), CALL(bind(u, V6("::1", port))), names(u);
    close(t), close(u);
    u = socket(AF_INET6, SOCK_STREAM, 0);
    CALL(set(u, IPPROTO_IPV6, IPV6_V6ONLY, 1)), CALL(bind(u, V6("::ffff:127.0.0.1", 0))), CALL(bind(u, V6("::", port))), CALL(set(u, IPPROTO_IPV6, IPV6_V6ONLY, 0));
    close(u), u = socket(AF_INET6, SOCK_STREAM, 0);
    CALL(bind(u, V6("::ffff:127.0.0.1", 0))), names(u), close(u);
    t = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr *vague = v4("0.0.0.0", 0);
    vague->sa_family = AF_UNSPEC, CALL(bind(t, vague, 16)), names(t), close(t);
    t = socket(AF_INET, SOCK_STREAM, 0), vague = v4("127.0.0.1", 0), vague->sa_family = AF_UNSPEC, CALL(bind(t, vague, 16)), close(t);
    close(s);

    SECTION("reusing");
    for (int mode = 0; mode < 8; mode++) {
        int x = socket(AF_INET, SOCK_STREAM, 0), y = socket(AF_INET, SOCK_STREAM, 0);
        int option = mode & 4 ? SO_REUSEPORT : SO_REUSEADDR;
        set(x, SOL_SOCKET, option, mode & 1), set(y, SOL_SOCKET, option, !!(mode & 2));
        bind(x, V4("127.0.0.1", 0));
        printf("mode %d\n", mode), CALL(bind(y, V4("127.0.0.1", port_of(x))));
        CALL(listen(x, 1)), CALL(listen(y, 1));
        int z = socket(AF_INET, SOCK_STREAM, 0);
        set(z, SOL_SOCKET, option, 1), CALL(bind(z, V4("127.0.0.1", port_of(x))));
        close(x), close(y), close(z);
    }
}

static void connecting(void) {
    SECTION("connecting");
    int l = listener(AF_INET, 5), s = socket(AF_INET, SOCK_STREAM, 0), port = port_of(l);
    CALL(connect(s, v4("127.0.0.1", port), 15)), CALL(connect(s, v4("127.0.0.1", port), 1)), CALL(connect(s, V6("::1", port)));
    READY(l), CALL(accept4(l, NULL, NULL, SOCK_NONBLOCK | 0x20)), nonblock(l), CALL(accept(l, NULL, NULL)), CALL(connect(l, V4("127.0.0.1", port))), CALL(recv(l, b, 1, 0)), CALL(shutdown(l, SHUT_WR));
    CALL(connect(s, V4("127.0.0.1", port))), CALL(connect(s, V4("127.0.0.1", port))), names(s), CALL(listen(s, 1)), CALL(bind(s, V4("127.0.0.1", 0)));
    until(l, POLLIN), READY(l), READY(s);
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    int c = CALL(accept4(l, (void *)&a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC));
    show_address(&a, len), HOLDS(ntohs(a.sin_port) == port_of(s)), HOLDS(port_of(c) == port), HOLDS(peer_port(s) == port), names(c), CALL(fcntl(c, F_GETFL)), CALL(fcntl(c, F_GETFD));
    SHOW(get(l, SOL_SOCKET, SO_ACCEPTCONN)), SHOW(get(c, SOL_SOCKET, SO_ACCEPTCONN)), SHOW(get(s, SOL_SOCKET, SO_ERROR));
    close(s), close(c);

    SECTION("without waiting");
    s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CALL(connect(s, V4("127.0.0.1", port))), until(s, POLLOUT), READY(s), SHOW(get(s, SOL_SOCKET, SO_ERROR)), CALL(connect(s, V4("127.0.0.1", port))), CALL(connect(s, V4("127.0.0.1", port)));
    close(accept(l, NULL, NULL)), close(s);
    close(l);
    s = socket(AF_INET, SOCK_STREAM, 0);
    CALL(connect(s, V4("127.0.0.1", port))), SHOW(get(s, SOL_SOCKET, SO_ERROR)), READY(s), names(s), CALL(connect(s, V4("127.0.0.1", port)));
    close(s), s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CALL(connect(s, V4("127.0.0.1", port))), until(s, POLLOUT), READY(s), SHOW(get(s, SOL_SOCKET, SO_ERROR)), READY(s), CALL(connect(s, V4("127.0.0.1", port))), CALL(connect(s, V4("127.0.0.1", port)));
    close(s), s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CALL(connect(s, V4("127.0.0.1", port))), until(s, POLLOUT), CALL(send(s, b, 1, MSG_NOSIGNAL)), CALL(send(s, b, 1, MSG_NOSIGNAL)), CALL(recv(s, b, 1, 0)), READY(s);
    close(s), s = socket(AF_INET, SOCK_STREAM, 0);
    CALL(connect(s, V4("224.0.0.1", port))), CALL(connect(s, V4("255.255.255.255", port)));
    close(s);

    SECTION("again");
    l = listener(AF_INET, 5), port = port_of(l), s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    CALL(connect(s, &nowhere, sizeof nowhere)), CALL(connect(s, V4("127.0.0.1", port)));
    c = accept(l, NULL, NULL);
    CALL(connect(s, &nowhere, sizeof nowhere)), READY(s), SHOW(get(s, SOL_SOCKET, SO_ERROR)), READY(s), names(s), until(c, POLLIN), READY(c), CALL(recv(c, b, 1, 0)), CALL(recv(c, b, 1, 0));
    CALL(connect(s, V4("127.0.0.1", port))), close(c), c = accept(l, NULL, NULL), CALL(send(s, "x", 1, 0)), CALL(recv(c, b, 9, 0));
    close(c), close(s), close(l);

    SECTION("both families");
    l = socket(AF_INET6, SOCK_STREAM, 0);
    CALL(bind(l, V6("::", 0))), CALL(listen(l, 5)), port = port_of(l);
    s = socket(AF_INET, SOCK_STREAM, 0), CALL(connect(s, V4("127.0.0.1", port))), c = accept(l, NULL, NULL), names(c), names(s), close(s), close(c);
    s = socket(AF_INET6, SOCK_STREAM, 0), CALL(connect(s, V6("::1", port))), c = accept(l, NULL, NULL), names(c), names(s), close(s), close(c);
    s = socket(AF_INET6, SOCK_STREAM, 0), CALL(connect(s, V6("::ffff:127.0.0.1", port))), c = accept(l, NULL, NULL), names(c), names(s), close(s), close(c);
    s = socket(AF_INET6, SOCK_STREAM, 0), CALL(connect(s, V6("::", port))), c = accept(l, NULL, NULL), names(c), close(s), close(c);
    s = socket(AF_INET, SOCK_STREAM, 0), CALL(connect(s, V4("0.0.0.0", port))), c = accept(l, NULL, NULL), names(c), names(s), close(s), close(c);
    s = socket(AF_INET, SOCK_STREAM, 0), CALL(connect(s, V4("127.0.0.77", port))), c = accept(l, NULL, NULL), names(c), names(s), close(s), close(c);
    s = socket(AF_INET6, SOCK_STREAM, 0), set(s, IPPROTO_IPV6, IPV6_V6ONLY, 1), CALL(connect(s, V6("::ffff:127.0.0.1", port))), close(s);
    close(l);
}

static void bytes(void) {
    SECTION("bytes");
    int s[2], n = -1;
    connected(s);
    READY(s[0]), CALL(write(s[0], "hello world", 11)), until(s[1], POLLIN), READY(s[1]);
    CALL(ioctl(s[1], FIONREAD, &n)), SHOW(n), CALL(ioctl(s[0], FIONREAD, &n)), SHOW(n), CALL(ioctl(s[1], FIONREAD, BADPTR)), CALL(ioctl(s[0], SIOCATMARK, &n)), SHOW(n);
    CALL(recv(s[1], b, 5, MSG_PEEK)), CALL(recv(s[1], b, 100, MSG_PEEK | MSG_DONTWAIT)), CALL(recv(s[1], b, 5, 0)), printf("%.5s\n", b);
    CALL(recv(s[1], b, 2, MSG_TRUNC)), CALL(recv(s[1], NULL, 1, MSG_TRUNC)), CALL(read(s[1], b, 100)), printf("%.3s\n", b);
    CALL(recv(s[1], b, 1, MSG_DONTWAIT)), CALL(recv(s[1], b, 0, MSG_DONTWAIT)), CALL(read(s[1], b, 0)), CALL(write(s[0], b, 0)), CALL(send(s[0], b, 0, 0));
    struct iovec v[3] = {{"ab", 2}, {NULL, 0}, {"cde", 3}}, w[2] = {{b, 1}, {b + 10, 9}};
    CALL(writev(s[0], v, 3)), until(s[1], POLLIN), CALL(readv(s[1], w, 2)), printf("%.1s %.4s\n", b, b + 10);
    CALL(write(s[0], BADPTR, 1)), CALL(send(s[0], BADPTR, 100, 0)), write(s[0], "xyz", 3), until(s[1], POLLIN), CALL(read(s[1], BADPTR, 2)), CALL(recv(s[1], b, 9, MSG_DONTWAIT));
    CALL(sendto(s[0], "q", 1, 0, V4("127.0.0.9", 9))), until(s[1], POLLIN);
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    memset(&a, 0x7f, sizeof a);
    CALL(recvfrom(s[1], b, 9, 0, (void *)&a, &len)), SHOW(len);
    struct msghdr m = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = w, .msg_iovlen = 2, .msg_control = b + 100, .msg_controllen = 100, .msg_flags = 77};
    write(s[0], "m", 1), CALL(recvmsg(s[1], &m, 0)), SHOW(m.msg_namelen), SHOW(m.msg_controllen), SHOW(m.msg_flags);
    write(s[0], "12", 2);
    set(s[1], SOL_SOCKET, SO_RCVLOWAT, 3), READY(s[1]), write(s[0], "3", 1), msleep(20), READY(s[1]), CALL(recv(s[1], b, 9, MSG_WAITALL | MSG_DONTWAIT));
    close(s[0]), close(s[1]);

    SECTION("much");
    connected(s), nonblock(s[0]);
    long total = 0, got = 0;
    for (ssize_t k; (k = write(s[0], b, sizeof b)) > 0;) total += k;
    HOLDS(errno == EAGAIN), HOLDS(total > 500000), SHOW(ready(s[0]) & POLLOUT);
    while (got < total) {
        ssize_t k = read(s[1], b, sizeof b);
        if (k <= 0) break;
        got += k;
    }
    HOLDS(got == total), until(s[0], POLLOUT), READY(s[0]), CALL(recv(s[1], b, 1, MSG_DONTWAIT));
    close(s[0]), close(s[1]);
}

static void ending(void) {
    SECTION("half");
    int s[2];
    connected(s), write(s[0], "last", 4);
    CALL(shutdown(s[0], 7)), CALL(shutdown(s[0], SHUT_WR)), until(s[1], POLLRDHUP), READY(s[0]), READY(s[1]), CALL(send(s[0], "x", 1, 0)), SHOW(pipes), CALL(recv(s[1], b, 9, 0)), CALL(recv(s[1], b, 9, 0)), CALL(recv(s[1], b, 9, 0));
    CALL(send(s[1], "back", 4, 0)), CALL(recv(s[0], b, 9, 0)), CALL(shutdown(s[1], SHUT_WR)), until(s[0], POLLHUP), READY(s[0]), READY(s[1]), CALL(recv(s[0], b, 9, 0)), CALL(recv(s[0], b, 9, 0)), names(s[0]), names(s[1]), CALL(shutdown(s[0], SHUT_RDWR)), CALL(shutdown(s[1], SHUT_RD));
    close(s[0]), close(s[1]);
    SECTION("reading half");
    connected(s), CALL(shutdown(s[0], SHUT_RD)), READY(s[0]), READY(s[1]), CALL(recv(s[0], b, 9, 0)), CALL(send(s[1], "more", 4, 0)), msleep(20), CALL(recv(s[0], b, 9, 0)), CALL(recv(s[0], b, 9, 0)), CALL(send(s[0], "x", 1, 0));
    close(s[0]), close(s[1]);
    SECTION("both halves");
    connected(s), CALL(shutdown(s[0], SHUT_RDWR)), until(s[1], POLLRDHUP), READY(s[0]), READY(s[1]), CALL(recv(s[0], b, 9, 0)), CALL(send(s[0], "x", 1, MSG_NOSIGNAL)), CALL(send(s[1], "x", 1, MSG_NOSIGNAL)), msleep(20), READY(s[1]), CALL(send(s[1], "x", 1, MSG_NOSIGNAL));
    close(s[0]), close(s[1]);
    SECTION("closed");
    connected(s), write(s[0], "bye", 3), close(s[0]), until(s[1], POLLRDHUP), READY(s[1]), CALL(recv(s[1], b, 9, 0)), CALL(recv(s[1], b, 9, 0));
    CALL(send(s[1], "x", 1, 0)), until(s[1], POLLHUP), READY(s[1]), CALL(send(s[1], "x", 1, 0)), SHOW(pipes), READY(s[1]), CALL(send(s[1], "x", 1, 0)), SHOW(pipes), CALL(recv(s[1], b, 9, 0)), SHOW(get(s[1], SOL_SOCKET, SO_ERROR)), names(s[1]);
    close(s[1]);
    SECTION("closed with bytes unread");
    connected(s), write(s[1], "unread", 6), write(s[0], "sent", 4), until(s[0], POLLIN), close(s[0]), until(s[1], POLLHUP), READY(s[1]), CALL(recv(s[1], b, 9, 0)), CALL(recv(s[1], b, 9, 0)), READY(s[1]), CALL(recv(s[1], b, 9, 0)), CALL(send(s[1], "x", 1, 0)), SHOW(pipes);
    close(s[1]);
    SECTION("reset");
    struct linger now = {1, 0};
    connected(s), setsockopt(s[0], SOL_SOCKET, SO_LINGER, &now, sizeof now), close(s[0]), until(s[1], POLLHUP), READY(s[1]), CALL(send(s[1], "x", 1, 0)), CALL(send(s[1], "x", 1, 0)), SHOW(pipes), CALL(recv(s[1], b, 9, 0)), READY(s[1]), CALL(shutdown(s[1], SHUT_WR));
    close(s[1]);
    connected(s), setsockopt(s[0], SOL_SOCKET, SO_LINGER, &now, sizeof now), close(s[0]), until(s[1], POLLHUP), SHOW(get(s[1], SOL_SOCKET, SO_ERROR)), SHOW(get(s[1], SOL_SOCKET, SO_ERROR)), READY(s[1]), CALL(recv(s[1], b, 9, 0));
    close(s[1]);
    SECTION("listener closed");
    int l = listener(AF_INET, 5), c = socket(AF_INET, SOCK_STREAM, 0);
    CALL(connect(c, V4("127.0.0.1", port_of(l)))), write(c, "x", 1), msleep(20), close(l), until(c, POLLHUP), READY(c), CALL(recv(c, b, 9, 0)), CALL(recv(c, b, 9, 0)), close(c);
    l = listener(AF_INET, 5);
    CALL(shutdown(l, SHUT_RD)), READY(l), CALL(accept(l, NULL, NULL)), CALL(listen(l, 5)), SHOW(get(l, SOL_SOCKET, SO_ACCEPTCONN)), close(l);
    SECTION("accepted after the end");
    l = listener(AF_INET, 5), c = socket(AF_INET, SOCK_STREAM, 0), connect(c, V4("127.0.0.1", port_of(l))), write(c, "hi", 2), close(c), until(l, POLLIN), c = CALL(accept(l, NULL, NULL)) < 0 ? -1 : 5;
    syscall(SYS_close_range, 3, ~0U, 0);
}

static void resting(void) {
    SECTION("resting");
    for (int reuse = 0; reuse < 4; reuse++) {
        int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), d, port;
        set(l, SOL_SOCKET, SO_REUSEADDR, reuse & 1), bind(l, V4("127.0.0.1", 0)), listen(l, 1), port = port_of(l);
        connect(c, V4("127.0.0.1", port)), d = accept(l, NULL, NULL), close(l);
        int n = socket(AF_INET, SOCK_STREAM, 0);
        set(n, SOL_SOCKET, SO_REUSEADDR, reuse >> 1), printf("reuse %d\n", reuse);
        CALL(bind(n, V4("127.0.0.1", port))), close(n), n = socket(AF_INET, SOCK_STREAM, 0), set(n, SOL_SOCKET, SO_REUSEADDR, reuse >> 1);
        close(d), until(c, POLLIN), close(c), msleep(10);
        CALL(bind(n, V4("127.0.0.1", port))), close(n);
    }
    int l = listener(AF_INET, 1), c = socket(AF_INET, SOCK_STREAM, 0), d, port = port_of(l);
    connect(c, V4("127.0.0.1", port)), d = accept(l, NULL, NULL), close(l), close(c), until(d, POLLIN), close(d), msleep(10);
    int n = socket(AF_INET, SOCK_STREAM, 0);
    CALL(bind(n, V4("127.0.0.1", port))), close(n);
}

static void urgent(void) {
    SECTION("urgent");
    int s[2], n;
    connected(s);
    CALL(recv(s[1], b, 9, MSG_OOB)), CALL(send(s[0], "abc", 3, 0)), CALL(send(s[0], "X", 1, MSG_OOB)), CALL(send(s[0], "def", 3, 0)), until(s[1], POLLPRI), msleep(20), READY(s[1]);
    CALL(ioctl(s[1], SIOCATMARK, &n)), SHOW(n), CALL(ioctl(s[1], FIONREAD, &n)), SHOW(n), CALL(recv(s[1], b, 9, 0)), CALL(ioctl(s[1], SIOCATMARK, &n)), SHOW(n), READY(s[1]);
    CALL(recv(s[1], b, 9, MSG_OOB | MSG_PEEK)), CALL(recv(s[1], b, 9, MSG_OOB)), printf("%.1s\n", b), READY(s[1]), CALL(recv(s[1], b, 9, MSG_OOB)), CALL(recv(s[1], b, 9, 0)), printf("%.3s\n", b), READY(s[1]);
    CALL(set(s[1], SOL_SOCKET, SO_OOBINLINE, 1)), send(s[0], "ab", 2, MSG_OOB), until(s[1], POLLIN), msleep(20), READY(s[1]), CALL(recv(s[1], b, 9, MSG_OOB)), CALL(recv(s[1], b, 9, 0)), CALL(ioctl(s[1], SIOCATMARK, &n)), SHOW(n), CALL(recv(s[1], b, 9, 0)), printf("%.1s\n", b), CALL(ioctl(s[1], SIOCATMARK, &n)), SHOW(n);
    close(s[0]), close(s[1]);
}

int main(void) {
    count_pipes();
    making(), binding(), connecting(), bytes(), ending(), resting(), urgent();
    return 0;
}
