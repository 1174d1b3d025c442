// Datagram sockets of the family AF_UNIX: pairs, names, peers; what is full, what is ready, what is lost.
#include "unix.h"

static int named(const char *path) {
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    unlink(path);
    if (bind(s, PATH(path))) abort();
    return s;
}
static int unnamed(void) { return socket(AF_UNIX, SOCK_DGRAM, 0); }

static void pairs(int kind) {
    printf("== pairs of kind %d\n", kind);
    int s[2], n = 0;
    CALL(socketpair(AF_UNIX, kind, 0, s)), SHOW(option(s[0], SO_TYPE)), names(s[0]), READY(s[0]);
    CALL(send(s[0], "first", 5, 0)), CALL(write(s[0], "second message", 14)), CALL(send(s[0], b, 0, MSG_EOR)), CALL(write(s[0], "last", 4)), READY(s[0]), READY(s[1]);
    CALL(ioctl(s[1], FIONREAD, &n)), SHOW(n), CALL(ioctl(s[0], SIOCOUTQ, &n)), SHOW(n);
    CALL(recv(s[1], b, 100, MSG_PEEK)), CALL(recv(s[1], b, 2, MSG_PEEK | MSG_TRUNC)), CALL(recv(s[1], b, 2, MSG_PEEK)), CALL(read(s[1], b, 100)), printf("%.5s\n", b);
    CALL(recv(s[1], b, 6, MSG_TRUNC)), printf("%.6s\n", b), CALL(read(s[1], b, 100)), CALL(read(s[1], b, 2)), CALL(recv(s[1], b, 100, MSG_DONTWAIT)), CALL(ioctl(s[0], SIOCOUTQ, &n)), SHOW(n);
    struct iovec v[2] = {{"ab", 2}, {"cde", 3}}, w[2] = {{b, 1}, {b + 10, 3}};
    CALL(writev(s[0], v, 2)), CALL(readv(s[1], w, 2)), printf("%.1s %.3s\n", b, b + 10), CALL(recv(s[1], b, 1, MSG_DONTWAIT));
    CALL(writev(s[0], v, 0)), CALL(write(s[0], b, 0)), CALL(read(s[1], b, 0)), CALL(recv(s[1], b, 0, MSG_DONTWAIT)), CALL(recv(s[1], b, 0, MSG_DONTWAIT));
    CALL(write(s[0], BADPTR, 1)), CALL(write(s[0], "lost", 4)), CALL(read(s[1], BADPTR, 4)), CALL(recv(s[1], b, 4, MSG_DONTWAIT)), CALL(send(s[0], b, 1, MSG_OOB)), CALL(recv(s[0], b, 1, MSG_OOB));
    CALL(recv(s[1], b, 100, MSG_WAITALL | MSG_DONTWAIT)), CALL(send(s[0], "xy", 2, 0)), CALL(recv(s[1], b, 100, MSG_WAITALL));
    SECTION("peeking further");
    SHOW(option(s[1], SO_PEEK_OFF)), CALL(set(s[1], SO_PEEK_OFF, 0));
    send(s[0], "abcdef", 6, 0), send(s[0], "ghi", 3, 0);
    for (int k = 0; k < 5; k++) CALL(recv(s[1], b, 4, MSG_PEEK | MSG_DONTWAIT)), printf("%.4s %d\n", b, option(s[1], SO_PEEK_OFF));
    CALL(recv(s[1], b, 10, 0)), SHOW(option(s[1], SO_PEEK_OFF)), CALL(recv(s[1], b, 10, MSG_PEEK | MSG_DONTWAIT)), CALL(set(s[1], SO_PEEK_OFF, -1)), CALL(recv(s[1], b, 10, 0));
    SECTION("too long, and full");
    CALL(send(s[0], b, 212992 - 32, MSG_DONTWAIT)), CALL(recv(s[1], b, 1, MSG_TRUNC)), CALL(send(s[0], b, 212992 - 31, MSG_DONTWAIT));
    int lens[] = {0, 1, 100, 500, 1000, 4096, 8000, 17000, 32768, 65536, 100000};
    for (unsigned i = 0; i < sizeof lens / sizeof *lens; i++) {
        int q = 0, k = 0, last, got = 0;
        while ((last = send(s[0], b, lens[i], MSG_DONTWAIT)) == lens[i]) k++;
        ioctl(s[0], SIOCOUTQ, &q);
        printf("%d: %d times, then %d; ready %x; charged %d;", lens[i], k, last, ready(s[0]), q);
        while (!(ready(s[0]) & POLLOUT) && recv(s[1], b, 1, MSG_DONTWAIT) >= 0) got++;
        printf(" after %d it can write\n", got);
        while (recv(s[1], b, 1, MSG_DONTWAIT) >= 0) {}
    }
    { while (send(s[0], b, 4096, MSG_DONTWAIT) > 0) {} LATER(READ, s[1], NULL, 4096 * 26); CALL(send(s[0], b, 10, 0)); JOINED(); }
    while (recv(s[1], b, 1, MSG_DONTWAIT) >= 0) {}
    { LATER(WRITE, s[0], "late", 4); CALL(read(s[1], b, 100)); JOINED(); }
    SECTION("halves");
    catch(SIGPIPE, on_pipe, 0), pipes = 0;
    CALL(shutdown(s[0], SHUT_WR)), READY(s[0]), READY(s[1]), CALL(write(s[0], b, 1)), CALL(send(s[0], b, 1, 0)), SHOW(pipes), CALL(recv(s[1], b, 1, MSG_DONTWAIT)), CALL(write(s[1], "back", 4)), CALL(read(s[0], b, 9));
    CALL(shutdown(s[1], SHUT_RD)), READY(s[0]), READY(s[1]), CALL(read(s[1], b, 1)), CALL(recv(s[1], b, 1, MSG_DONTWAIT));
    close(s[0]), close(s[1]);
    SECTION("ends");
    socketpair(AF_UNIX, kind, 0, s), write(s[0], "left", 4), close(s[0]), READY(s[1]), CALL(send(s[1], b, 1, MSG_DONTWAIT)), SHOW(pipes), READY(s[1]), CALL(recv(s[1], b, 9, MSG_DONTWAIT)), CALL(recv(s[1], b, 9, MSG_DONTWAIT)), CALL(send(s[1], b, 1, 0)), names(s[1]), close(s[1]);
    socketpair(AF_UNIX, kind, 0, s), write(s[0], "left", 4), write(s[1], "unread", 6), close(s[0]), READY(s[1]), CALL(recv(s[1], b, 9, MSG_DONTWAIT)), CALL(recv(s[1], b, 9, MSG_DONTWAIT)), CALL(recv(s[1], b, 9, MSG_DONTWAIT)), ioctl(s[1], SIOCOUTQ, &n), SHOW(n), close(s[1]);
    int u = socket(AF_UNIX, kind, 0);
    READY(u), CALL(recv(u, b, 1, MSG_DONTWAIT)), CALL(send(u, b, 1, 0)), CALL(shutdown(u, SHUT_RDWR)), READY(u), CALL(ioctl(u, FIONREAD, &n)), SHOW(n), CALL(send(u, b, 1, 0)), close(u);
}

static void to_names(void) {
    SECTION("to names");
    struct sockaddr_un from;
    socklen_t len = sizeof from;
    int a = named("a"), c = named("c"), u = unnamed();
    CALL(sendto(u, "hello", 5, 0, PATH("a"))), CALL(recvfrom(a, b, 9, 0, (void *)&from, &len)), show_address(&from, len);
    CALL(sendto(c, "hello", 5, 0, PATH("a"))), memset(&from, 0, sizeof from), len = sizeof from, CALL(recvfrom(a, b, 9, 0, (void *)&from, &len)), show_address(&from, len), CALL(sendto(a, "back", 4, 0, (void *)&from, len)), CALL(read(c, b, 9));
    sendto(c, "hello", 5, 0, PATH("a")), len = 3, CALL(recvfrom(a, b, 9, MSG_PEEK, (void *)&from, &len)), SHOW(len), CALL(recvfrom(a, b, 9, 0, (void *)&from, BADPTR)), CALL(recv(a, b, 9, MSG_DONTWAIT));
    CALL(sendto(u, b, 1, 0, PATH("none"))), CALL(sendto(u, b, 1, 0, AT("a", 0))), CALL(sendto(u, b, 1, 0, BADPTR, 5)), CALL(sendto(u, b, 1, 0, name("a", 1), -1)), CALL(sendto(u, b, 1, 0, name("a", 1), 200)), CALL(sendto(u, b, 1, 0, NULL, 5)), CALL(sendto(u, b, 1, MSG_OOB, PATH("a"))), CALL(sendto(u, b, 300000, 0, PATH("a"))), CALL(sendto(0, b, 1, 0, NULL, 0) < 0);
    struct sockaddr_un other = {AF_INET, "x"};
    CALL(sendto(u, b, 1, 0, (void *)&other, 8)), oracle_file("file", 1), CALL(sendto(u, b, 1, 0, PATH("file")));
    int s = socket(AF_UNIX, SOCK_STREAM, 0), l = socket(AF_UNIX, SOCK_STREAM, 0);
    unlink("s"), bind(l, PATH("s")), listen(l, 1), CALL(sendto(u, b, 1, 0, PATH("s"))), CALL(sendto(s, b, 1, 0, PATH("s"))), CALL(connect(s, PATH("s"))), CALL(sendto(s, b, 1, 0, PATH("s")));
    CALL(connect(u, PATH("a"))), names(u), CALL(write(u, "to the peer", 11)), CALL(sendto(u, "to another", 10, 0, PATH("c"))), CALL(read(a, b, 99)), CALL(read(c, b, 99));
    CALL(sendto(a, "to itself", 9, 0, PATH("a"))), CALL(read(a, b, 99));
    SECTION("peers");
    CALL(connect(a, PATH("c"))), CALL(sendto(u, b, 1, 0, PATH("a"))), CALL(connect(u, PATH("a"))), CALL(send(u, b, 1, MSG_DONTWAIT)), CALL(connect(c, PATH("a"))), CALL(send(a, "x", 1, 0)), CALL(read(c, b, 9));
    struct sockaddr none = {AF_UNSPEC};
    write(a, "lost", 4), CALL(connect(c, &none, sizeof none)), CALL(recv(c, b, 9, MSG_DONTWAIT)), READY(a), SHOW(option(a, SO_ERROR)), CALL(send(c, b, 1, 0)), CALL(connect(c, &none, 2)), CALL(connect(c, &none, 1)), names(c);
    CALL(connect(a, PATH("none"))), CALL(send(a, b, 1, 0)), CALL(recv(c, b, 9, MSG_DONTWAIT));
    SECTION("peers that are closed");
    int d = named("d"), e = named("e");
    connect(d, PATH("e")), write(d, "left", 4), close(e), READY(d), CALL(write(d, b, 1)), CALL(write(d, b, 1)), CALL(sendto(d, b, 1, 0, PATH("e"))), READY(d), names(d);
    e = named("e"), connect(d, PATH("e")), connect(e, PATH("d")), write(e, "left", 4), close(e), READY(d), CALL(recv(d, b, 9, MSG_DONTWAIT)), CALL(write(d, b, 1)), close(d);
    SECTION("too many");
    int f = named("f"), n = 0;
    u = unnamed(), nonblock(u);
    while (n < 50 && sendto(u, b, 1, 0, PATH("f")) == 1) n++;
    SHOW(n), CALL(sendto(u, b, 1, 0, PATH("f"))), READY(u), CALL(connect(u, PATH("f"))), READY(u), CALL(send(u, b, 1, 0)), CALL(read(f, b, 1)), READY(u), CALL(send(u, b, 1, 0)), READY(u);
    int ep = epoll_create1(0);
    struct epoll_event v = {EPOLLOUT | EPOLLET, {.u32 = 1}}, got = {0};
    CALL(epoll_ctl(ep, EPOLL_CTL_ADD, u, &v)), CALL(epoll_wait(ep, &got, 1, 0)), read(f, b, 1), CALL(epoll_wait(ep, &got, 1, 0)), SHOW(got.events), CALL(epoll_wait(ep, &got, 1, 0)), send(u, b, 1, 0);
    block(u);
    { LATER(READ, f, NULL, 1); CALL(send(u, b, 1, 0)); JOINED(); }
    int w = unnamed();
    { LATER(READ, f, NULL, 1); CALL(sendto(w, b, 1, 0, PATH("f"))); JOINED(); }
    struct timeval t = {0, 50000};
    setsockopt(w, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t), CALL(sendto(w, b, 1, 0, PATH("f")));
    catch(SIGUSR1, on_signal, 0);
    { LATER(SIGNAL, 0, (void *)pthread_self(), 0); CALL(send(u, b, 1, 0)); JOINED(); }
    { LATER(CLOSE, f, NULL, 0); CALL(send(u, b, 1, 0)); JOINED(); }
    int g = named("g");
    { LATER(SHUT, g, NULL, SHUT_RD); CALL(recv(g, b, 1, 0)); JOINED(); }
    CALL(sendto(w, b, 1, 0, PATH("g")));
    setsockopt(w, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), CALL(recv(w, b, 1, 0));
}

int main(void) {
    pairs(SOCK_DGRAM);
    pairs(SOCK_SEQPACKET);
    to_names();
    return 0;
}
