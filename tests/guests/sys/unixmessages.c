// Messages over sockets of the family AF_UNIX: sendmsg, recvmsg, sendmmsg, recvmmsg; open files and credentials beside the bytes; options.
#include "unix.h"
#include <sys/resource.h>
#include <stdarg.h>

struct ucred cred(int pid, int uid, int gid) { return (struct ucred){pid, uid, gid}; }

/* Control messages to send. */
static char out[8192] __attribute__((aligned(8)));
static size_t out_len;
static void *add(int level, int type, const void *data, size_t len) {
    struct cmsghdr *c = (void *)(out + out_len);
    memset(c, 0, CMSG_SPACE(len));
    c->cmsg_len = CMSG_LEN(len), c->cmsg_level = level, c->cmsg_type = type;
    memcpy(CMSG_DATA(c), data, len);
    out_len += CMSG_SPACE(len);
    return c;
}
static void rights(int n, ...) {
    int fds[300];
    va_list l;
    va_start(l, n);
    for (int i = 0; i < n; i++) fds[i] = va_arg(l, int);
    va_end(l);
    out_len = 0;
    add(SOL_SOCKET, SCM_RIGHTS, fds, n * sizeof *fds);
}
static long post(int s, const char *text, int flags) {
    struct iovec v = {(void *)text, strlen(text)};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = out_len ? out : NULL, .msg_controllen = out_len};
    return sendmsg(s, &m, flags);
}
/* Receives and shows all there is to it; the descriptors that came are in `came`. */
static int came[300], arrived;
static long take(int s, int len, int control_len, int flags) {
    static char c[8192] __attribute__((aligned(8)));
    struct sockaddr_un a;
    struct iovec v = {b, len};
    memset(c, 0x7f, sizeof c), memset(&a, 0, sizeof a);
    struct msghdr m = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &v, .msg_iovlen = 1, .msg_control = control_len ? c : NULL, .msg_controllen = control_len, .msg_flags = 77};
    long n = recvmsg(s, &m, flags);
    int e = errno;
    arrived = 0;
    if (n >= 0) {
        printf("  \"%.*s\" name %d flags %x control %d", (int)(n < len ? n : len), b, m.msg_namelen, m.msg_flags, (int)m.msg_controllen);
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
            int size = h->cmsg_len - CMSG_LEN(0);
            if (h->cmsg_type == SCM_RIGHTS) {
                printf(" rights %d", size);
                for (int i = 0; i < size / 4; i++) memcpy(&came[arrived++], CMSG_DATA(h) + 4 * i, 4);
            } else if (h->cmsg_type == SCM_CREDENTIALS) {
                struct ucred u = {-2, -2, -2};
                memcpy(&u, CMSG_DATA(h), size < sizeof u ? size : sizeof u);
                printf(" credentials %d: %s %d %d", size, u.pid == getpid() ? "me" : u.pid == 0 ? "nobody" : "?", u.uid, u.gid);
            } else printf(" type %d", h->cmsg_type);
        }
        printf("\n");
    }
    errno = e;
    return n;
}
static void shut_arrived(void) { for (int i = 0; i < arrived; i++) close(came[i]); }
static int open_count(void) {
    int n = 0;
    for (int i = 0; i < 1024; i++) n += fcntl(i, F_GETFD) >= 0;
    return n;
}

static void headers(void) {
    SECTION("headers");
    int s[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
    struct iovec v[2] = {{"ab", 2}, {"cde", 3}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    CALL(sendmsg(s[0], &m, 0)), CALL(take(s[1], 100, 100, 0)), CALL(sendmsg(s[0], BADPTR, 0)), CALL(recvmsg(s[0], BADPTR, 0)), CALL(sendmsg(-1, &m, 0)), CALL(recvmsg(0, &m, 0) < 0);
    m.msg_iovlen = 1025, CALL(sendmsg(s[0], &m, 0)), CALL(recvmsg(s[0], &m, 0)), m.msg_iovlen = 2, m.msg_iov = BADPTR, CALL(sendmsg(s[0], &m, 0)), CALL(recvmsg(s[0], &m, 0)), m.msg_iov = v;
    m.msg_namelen = -1, CALL(sendmsg(s[0], &m, 0)), CALL(recvmsg(s[0], &m, MSG_DONTWAIT)), m.msg_namelen = 5, CALL(sendmsg(s[0], &m, 0)), m.msg_name = BADPTR, CALL(sendmsg(s[0], &m, 0)), m.msg_name = NULL, m.msg_namelen = 0;
    v[1].iov_len = -1, CALL(sendmsg(s[0], &m, 0)), v[1].iov_len = 3;
    m.msg_control = BADPTR, m.msg_controllen = 16, CALL(sendmsg(s[0], &m, 0)), m.msg_controllen = 1 << 20, CALL(sendmsg(s[0], &m, 0)), m.msg_control = NULL, m.msg_controllen = 0;
    m.msg_iovlen = 0, CALL(sendmsg(s[0], &m, 0));
    while (recv(s[1], b, 9, MSG_DONTWAIT) >= 0) {}
    SECTION("bad control messages");
    struct cmsghdr *c;
    out_len = 0, c = add(SOL_SOCKET, SCM_RIGHTS, s, 4), c->cmsg_len = 15, CALL(post(s[0], "x", 0)), c->cmsg_len = 100, CALL(post(s[0], "x", 0)), c->cmsg_len = -1, CALL(post(s[0], "x", 0)), c->cmsg_len = 16, CALL(post(s[0], "x", 0)), CALL(take(s[1], 10, 100, 0));
    out_len = 0, add(SOL_SOCKET, 99, s, 4), CALL(post(s[0], "x", 0)), out_len = 0, add(99, 99, s, 4), CALL(post(s[0], "other level", 0)), CALL(take(s[1], 20, 100, 0)), out_len = 0, add(SOL_SOCKET, SCM_CREDENTIALS, s, 4), CALL(post(s[0], "x", 0)), out_len = 8, CALL(post(s[0], "short", 0)), CALL(take(s[1], 20, 100, 0));
    rights(1, 99), CALL(post(s[0], "x", 0)), rights(1, -1), CALL(post(s[0], "x", 0)), rights(2, s[0], 99), CALL(post(s[0], "x", 0));
    int many[260];
    for (int i = 0; i < 260; i++) many[i] = s[0];
    out_len = 0, add(SOL_SOCKET, SCM_RIGHTS, many, 4 * 254), CALL(post(s[0], "x", 0)), out_len = 0, add(SOL_SOCKET, SCM_RIGHTS, many, 4 * 253), CALL(post(s[0], "most", 0)), CALL(take(s[1], 20, 4096, 0)), SHOW(arrived), shut_arrived();
    out_len = 0, add(SOL_SOCKET, SCM_RIGHTS, many, 8), add(SOL_SOCKET, SCM_RIGHTS, many, 4), CALL(post(s[0], "twice", 0)), CALL(take(s[1], 20, 100, 0)), SHOW(arrived), shut_arrived();
    close(s[0]), close(s[1]);
}

static void files(int kind) {
    printf("== files over kind %d\n", kind);
    int s[2], p[2], base, f = oracle_file("file", 100);
    socketpair(AF_UNIX, kind, 0, s), pipe(p), base = open_count();
    rights(2, p[1], f), CALL(post(s[0], "hello", 0)), READY(s[1]);
    CALL(take(s[1], 100, 100, 0)), SHOW(arrived), CALL(fcntl(came[0], F_GETFD)), CALL(write(came[0], "through", 7)), CALL(read(p[0], b, 100));
    lseek(f, 50, SEEK_SET), CALL(lseek(came[1], 0, SEEK_CUR)), shut_arrived(), SHOW(open_count() - base);
    post(s[0], "cloexec", 0), CALL(take(s[1], 100, 100, MSG_CMSG_CLOEXEC)), CALL(fcntl(came[0], F_GETFD)), shut_arrived();
    SECTION("no room for them");
    int rooms[] = {0, 8, 15, 16, 19, 20, 23, 24, 28, 32};
    for (int i = 0; i < 10; i++) post(s[0], "cut", 0), CALL(take(s[1], 100, rooms[i], 0)), SHOW(arrived), shut_arrived();
    post(s[0], "dropped", 0), CALL(read(s[1], b, 100)), post(s[0], "dropped", 0), CALL(recv(s[1], b, 100, 0)), SHOW(open_count() - base);
    struct rlimit l, old;
    getrlimit(RLIMIT_NOFILE, &old), l = old, l.rlim_cur = dup(0), setrlimit(RLIMIT_NOFILE, &l), close(l.rlim_cur);
    l.rlim_cur++, setrlimit(RLIMIT_NOFILE, &l), post(s[0], "one fits", 0), CALL(take(s[1], 100, 100, 0)), SHOW(arrived), shut_arrived();
    l.rlim_cur--, setrlimit(RLIMIT_NOFILE, &l), post(s[0], "none fits", 0), CALL(take(s[1], 100, 100, 0)), SHOW(arrived), setrlimit(RLIMIT_NOFILE, &old);
    SECTION("peeking at them");
    post(s[0], "peeked", 0), CALL(take(s[1], 3, 100, MSG_PEEK)), SHOW(arrived), shut_arrived(), CALL(take(s[1], 100, 100, MSG_PEEK)), shut_arrived(), CALL(take(s[1], 100, 100, 0)), shut_arrived(), SHOW(open_count() - base);
    SECTION("between other bytes");
    write(s[0], "before", 6), post(s[0], "with", 0), write(s[0], "after", 5), post(s[0], "again", 0);
    for (int i = 0; i < 4; i++) CALL(take(s[1], 100, 100, MSG_DONTWAIT)), shut_arrived();
    post(s[0], "in parts", 0), write(s[0], "more", 4);
    for (int i = 0; i < 4; i++) CALL(take(s[1], 5, 100, MSG_DONTWAIT)), shut_arrived();
    while (recv(s[1], b, 100, MSG_DONTWAIT) > 0) {}
    CALL(post(s[0], "", 0)), CALL(take(s[1], 5, 100, MSG_DONTWAIT)), shut_arrived();
    post(s[0], "waitall", 0), write(s[0], "xyz", 3), CALL(take(s[1], 9, 100, MSG_WAITALL)), shut_arrived();
    SECTION("what is on the way stays open");
    while (recv(s[1], b, 100, MSG_DONTWAIT) > 0) {}
    post(s[0], "kept", 0), close(p[1]), nonblock(p[0]), CALL(read(p[0], b, 1)), close(s[1]), CALL(read(p[0], b, 1)), close(s[0]), close(p[0]), close(f);
}

static void credentials(int kind) {
    printf("== credentials over kind %d\n", kind);
    int s[2];
    struct ucred u = {-9, -9, -9};
    socklen_t len = sizeof u;
    socketpair(AF_UNIX, kind, 0, s);
    CALL(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &u, &len)), HOLDS(u.pid == getpid()), SHOW(u.uid), SHOW(u.gid), SHOW(len), len = 5, CALL(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &u, &len)), SHOW(len);
    out_len = 0, CALL(post(s[0], "before", 0)), SHOW(option(s[1], SO_PASSCRED)), CALL(set(s[1], SO_PASSCRED, 5)), SHOW(option(s[1], SO_PASSCRED)), CALL(post(s[0], "after", 0)), CALL(write(s[0], "written", 7));
    for (int i = 0; i < 4; i++) CALL(take(s[1], 100, 100, MSG_DONTWAIT));
    CALL(write(s[0], "1", 1)), CALL(send(s[0], "2", 1, 0)), CALL(writev(s[0], &(struct iovec){"3", 1}, 1)), CALL(take(s[1], 100, 0, 0)), CALL(take(s[1], 100, 20, MSG_DONTWAIT)), CALL(take(s[1], 100, 27, MSG_DONTWAIT));
    u = cred(getpid(), 0, 0), out_len = 0, add(SOL_SOCKET, SCM_CREDENTIALS, &u, sizeof u), CALL(post(s[0], "given", 0)), CALL(take(s[1], 100, 100, 0));
    u.uid = 1234, u.gid = 77, out_len = 0, add(SOL_SOCKET, SCM_CREDENTIALS, &u, sizeof u), CALL(post(s[0], "root may", 0)), post(s[0], "!", 0), write(s[0], "?", 1), CALL(take(s[1], 100, 100, 0)), CALL(take(s[1], 100, 100, MSG_DONTWAIT)), CALL(take(s[1], 100, 100, MSG_DONTWAIT));
    u.pid = 99999999, out_len = 0, add(SOL_SOCKET, SCM_CREDENTIALS, &u, sizeof u), CALL(post(s[0], "x", 0));
    out_len = 0, add(SOL_SOCKET, SCM_CREDENTIALS, &(struct ucred){getpid(), 0, 0}, sizeof u), add(SOL_SOCKET, SCM_RIGHTS, s, 8), CALL(post(s[0], "both", 0)), CALL(take(s[1], 100, 100, 0)), shut_arrived(), CALL(post(s[0], "both", 0)), CALL(take(s[1], 100, 36, 0)), shut_arrived();
    setegid(55), seteuid(1000);
    u = cred(getpid(), 0, 0), out_len = 0, add(SOL_SOCKET, SCM_CREDENTIALS, &u, sizeof u), CALL(post(s[0], "real ids", 0)), CALL(take(s[1], 100, 100, 0));
    u.uid = 1000, u.gid = 55, memcpy(CMSG_DATA((struct cmsghdr *)out), &u, sizeof u), CALL(post(s[0], "effective ids", 0)), CALL(take(s[1], 100, 100, 0));
    u.uid = 1001, memcpy(CMSG_DATA((struct cmsghdr *)out), &u, sizeof u), CALL(post(s[0], "x", 0)), u.uid = 0, u.pid = 1, memcpy(CMSG_DATA((struct cmsghdr *)out), &u, sizeof u), HOLDS(getpid() == 1 || post(s[0], "x", 0) < 0);
    out_len = 0, CALL(post(s[0], "implicit", 0)), CALL(take(s[1], 100, 100, 0));
    int t[2];
    socketpair(AF_UNIX, kind, 0, t), len = sizeof u, CALL(getsockopt(t[0], SOL_SOCKET, SO_PEERCRED, &u, &len)), SHOW(u.uid), SHOW(u.gid);
    seteuid(0), setegid(0), close(s[0]), close(s[1]), close(t[0]), close(t[1]);
    SECTION("who listens and who connects");
    if (kind == SOCK_DGRAM) return;
    int l = socket(AF_UNIX, kind, 0), c = socket(AF_UNIX, kind, 0);
    len = sizeof u, CALL(getsockopt(l, SOL_SOCKET, SO_PEERCRED, &u, &len)), SHOW(u.pid), SHOW((int)u.uid), SHOW((int)u.gid);
    unlink("cred"), bind(l, PATH("cred")), chmod("cred", 0777), seteuid(7), listen(l, 1), seteuid(0), seteuid(8), connect(c, PATH("cred")), seteuid(0);
    int d = accept(l, NULL, NULL);
    getsockopt(c, SOL_SOCKET, SO_PEERCRED, &u, &len), SHOW(u.uid), getsockopt(d, SOL_SOCKET, SO_PEERCRED, &u, &len), SHOW(u.uid), getsockopt(l, SOL_SOCKET, SO_PEERCRED, &u, &len), SHOW((int)u.uid == -1 || u.uid == 7);
    SECTION("a sender that passes credentials is given a name");
    struct sockaddr_un a;
    int n = socket(AF_UNIX, kind, 0);
    set(n, SO_PASSCRED, 1), CALL(connect(n, PATH("cred"))), len = sizeof a, getsockname(n, (void *)&a, &len), SHOW(len);
    close(l), close(c), close(d), close(n);
}

static void many(void) {
    SECTION("several at once");
    int s[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
    struct iovec v[4] = {{"one", 3}, {"two", 3}, {"three", 5}, {"x", -1}}, w[4] = {{b, 3}, {b + 10, 9}, {b + 20, 3}, {b + 30, 9}};
    struct mmsghdr m[4] = {{{.msg_iov = v, .msg_iovlen = 1}}, {{.msg_iov = v + 1, .msg_iovlen = 1}}, {{.msg_iov = v + 2, .msg_iovlen = 1}}, {{.msg_iov = v + 3, .msg_iovlen = 1}}}, r[4];
    CALL(sendmmsg(s[0], m, 3, 0)), SHOW(m[0].msg_len), SHOW(m[2].msg_len), CALL(sendmmsg(s[0], m + 2, 2, 0)), CALL(sendmmsg(s[0], m + 3, 1, 0)), CALL(sendmmsg(s[0], m, 0, 0)), CALL(sendmmsg(s[0], BADPTR, 1, 0)), CALL(sendmmsg(-1, m, 1, 0)), CALL(sendmmsg(0, m, 1, 0) < 0);
#define FRESH() ({ for (int i = 0; i < 4; i++) r[i] = (struct mmsghdr){{.msg_iov = w + i, .msg_iovlen = 1, .msg_flags = 9}, 77}; })
    FRESH(), CALL(recvmmsg(s[1], r, 3, 0, NULL)), SHOW(r[0].msg_len), SHOW(r[2].msg_len), SHOW(r[2].msg_hdr.msg_flags), SHOW(r[3].msg_len);
    FRESH(), CALL(recvmmsg(s[1], r, 4, MSG_DONTWAIT, NULL)), CALL(recvmmsg(s[1], r, 4, MSG_DONTWAIT, NULL));
    sendmmsg(s[0], m, 2, 0), FRESH(), CALL(recvmmsg(s[1], r, 4, MSG_WAITFORONE, NULL));
    struct timespec t = {0, 1}, bad = {0, -1};
    sendmmsg(s[0], m, 2, 0), FRESH(), CALL(recvmmsg(s[1], r, 4, 0, &t)), SHOW(t.tv_sec + t.tv_nsec), CALL(recvmmsg(s[1], r, 4, 0, &bad)), CALL(recvmmsg(s[1], r, 4, 0, BADPTR)), CALL(recvmmsg(-1, r, 1, 0, NULL)), CALL(recvmmsg(s[1], BADPTR, 1, MSG_DONTWAIT, NULL)), CALL(recvmmsg(0, r, 1, 0, NULL) < 0);
    { LATER(WRITE, s[0], "late", 4); FRESH(); CALL(recvmmsg(s[1], r, 4, MSG_WAITFORONE, NULL)); JOINED(); }
    catch(SIGUSR1, on_signal, 0);
    { LATER(SIGNAL, 0, (void *)pthread_self(), 0); FRESH(); while (recv(s[1], b, 9, MSG_DONTWAIT) > 0) {} CALL(recvmmsg(s[1], r, 4, 0, NULL)); JOINED(); }
    { LATER(SIGNAL, 0, (void *)pthread_self(), 0); CALL(take(s[1], 9, 0, 0)); JOINED(); }
    { LATER(SIGNAL, 0, (void *)pthread_self(), 0); while (send(s[0], b, 9000, MSG_DONTWAIT) > 0) {} out_len = 0; CALL(post(s[0], "full", 0)); JOINED(); }
    { LATER(SIGNAL, 0, (void *)pthread_self(), 0); CALL(sendmmsg(s[0], m, 1, 0)); JOINED(); }
    CALL(sendmmsg(s[0], m, 1, MSG_DONTWAIT)), CALL(post(s[0], "full", MSG_DONTWAIT));
    close(s[1]), CALL(sendmmsg(s[0], m, 1, 0)), CALL(post(s[0], "x", 0));
    signal(SIGPIPE, SIG_IGN), socketpair(AF_UNIX, SOCK_STREAM, 0, s), close(s[1]), CALL(sendmmsg(s[0], m, 1, 0)), CALL(post(s[0], "x", 0)), CALL(sendto(s[0], "x", 1, 0, NULL, 0)), CALL(sendmmsg(socket(AF_UNIX, SOCK_STREAM, 0), m, 1, 0)), CALL(take(socket(AF_UNIX, SOCK_SEQPACKET, 0), 1, 0, 0));
    int u = socket(AF_UNIX, SOCK_DGRAM, 0), l = socket(AF_UNIX, SOCK_DGRAM, 0);
    unlink("m"), bind(l, PATH("m"));
    m[0].msg_hdr.msg_name = name("m", 2), m[0].msg_hdr.msg_namelen = 4, CALL(sendmmsg(u, m, 1, 0)), out_len = 0, CALL(take(l, 9, 0, 0));
    set(u, SO_PASSCRED, 1), CALL(sendmmsg(u, m, 1, 0)), CALL(take(l, 9, 100, 0)); /* which gave it a name */
    syscall(SYS_close_range, 3, ~0U, 0);
}

static void options(void) {
    SECTION("options");
    int s[2], value = 1;
    socklen_t len;
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    int plain[] = {SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_DONTROUTE, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_PRIORITY, SO_PASSCRED, SO_RCVLOWAT, SO_SNDLOWAT, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN, SO_PEEK_OFF, 999};
    for (unsigned i = 0; i < sizeof plain / sizeof *plain; i++) printf("%d: %d", plain[i], option(s[0], plain[i])), errno = 0, printf(" set %d", set(s[0], plain[i], 3)), printf(" %s: %d\n", oracle_errname(errno), option(s[0], plain[i]));
    CALL(set(s[0], SO_PRIORITY, 6)), CALL(set(s[0], SO_PRIORITY, 7)), SHOW(option(s[0], SO_PRIORITY)), CALL(set(s[0], SO_PEEK_OFF, -1));
    struct linger l = {1, 7}, got = {9, 9};
    CALL(setsockopt(s[0], SOL_SOCKET, SO_LINGER, &l, sizeof l)), len = sizeof got, CALL(getsockopt(s[0], SOL_SOCKET, SO_LINGER, &got, &len)), SHOW(got.l_onoff), SHOW(got.l_linger), SHOW(len), l.l_onoff = 0, CALL(setsockopt(s[0], SOL_SOCKET, SO_LINGER, &l, sizeof l)), CALL(getsockopt(s[0], SOL_SOCKET, SO_LINGER, &got, &len)), SHOW(got.l_onoff), CALL(setsockopt(s[0], SOL_SOCKET, SO_LINGER, &l, 4));
    CALL(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &value, 3)), CALL(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, BADPTR, 4)), CALL(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &value, -1)), CALL(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &value, 9)), CALL(setsockopt(s[0], 6, 1, &value, 4)), CALL(setsockopt(-1, SOL_SOCKET, SO_SNDBUF, &value, 4));
    len = 2, CALL(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &value, &len)), SHOW(len), len = 100, CALL(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &value, &len)), SHOW(len), len = -1, CALL(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &value, &len)), len = 4, CALL(getsockopt(s[0], SOL_SOCKET, SO_TYPE, BADPTR, &len)), CALL(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &value, BADPTR)), CALL(getsockopt(s[0], 6, 1, &value, &len)), CALL(getsockopt(-1, SOL_SOCKET, SO_TYPE, &value, &len)), len = 0, CALL(getsockopt(s[0], SOL_SOCKET, SO_TYPE, BADPTR, &len));
    struct sockaddr_un a;
    len = sizeof a, CALL(getsockopt(s[0], SOL_SOCKET, SO_PEERNAME, &a, &len)), len = 2, CALL(getsockopt(s[0], SOL_SOCKET, SO_PEERNAME, &a, &len)), SHOW(len), len = 2, CALL(getsockopt(socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_PEERNAME, &a, &len));
    close(s[0]), close(s[1]);
}

/* Sockets on their way through themselves and each other. That they go is seen by the pipes that they carry. */
static void cycles(void) {
    SECTION("cycles");
    int s[2], t[2], p[2];
    pipe(p), nonblock(p[0]);
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    rights(2, s[1], p[1]), CALL(post(s[0], "itself", 0)), close(p[1]), close(s[0]), close(s[1]);
    socketpair(AF_UNIX, SOCK_STREAM, 0, t), close(t[0]), close(t[1]), msleep(50); /* closing one makes the kernel look */
    CALL(read(p[0], b, 1)), close(p[0]);
    pipe(p), nonblock(p[0]), socketpair(AF_UNIX, SOCK_DGRAM, 0, s), socketpair(AF_UNIX, SOCK_SEQPACKET, 0, t);
    rights(2, t[0], t[1]), CALL(post(s[0], "one through the other", 0)), rights(3, s[0], s[1], p[1]), CALL(post(t[0], "the other through one", 0));
    close(p[1]), close(s[0]), close(t[0]), close(t[1]), close(socket(AF_UNIX, SOCK_STREAM, 0)), msleep(50), CALL(read(p[0], b, 1)); /* still to be received from */
    CALL(take(s[1], 100, 100, 0)), SHOW(arrived), CALL(take(came[1], 100, 100, 0)), SHOW(arrived);
    syscall(SYS_close_range, p[0] + 1, ~0U, 0), close(socket(AF_UNIX, SOCK_STREAM, 0)), msleep(50), CALL(read(p[0], b, 1)), close(p[0]), syscall(SYS_close_range, 3, ~0U, 0);
    pipe(p), nonblock(p[0]), socketpair(AF_UNIX, SOCK_DGRAM, 0, s), socketpair(AF_UNIX, SOCK_SEQPACKET, 0, t);
    rights(2, t[0], t[1]), post(s[0], "one through the other", 0), rights(3, s[0], s[1], p[1]), post(t[0], "the other through one", 0);
    close(p[1]), close(s[0]), close(s[1]), close(t[0]), close(t[1]), close(socket(AF_UNIX, SOCK_STREAM, 0)), msleep(50), CALL(read(p[0], b, 1)), close(p[0]);
    SECTION("in a connection that nobody accepts");
    int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    pipe(p), nonblock(p[0]), unlink("l"), bind(l, PATH("l")), listen(l, 1), connect(c, PATH("l")), rights(2, l, p[1]), CALL(post(c, "through itself", 0));
    close(p[1]), close(l), close(c), close(socket(AF_UNIX, SOCK_STREAM, 0)), msleep(50), CALL(read(p[0], b, 1)), close(p[0]);
    SECTION("a long chain");
    pipe(p), nonblock(p[0]);
    int last = p[1];
    for (int i = 0; i < 2000; i++) {
        socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
        rights(1, last), post(s[0], "x", 0), close(last), close(s[0]), last = s[1];
    }
    CALL(read(p[0], b, 1)), close(last);
    for (int i = 0; i < 100 && read(p[0], b, 1) < 0; i++) close(socket(AF_UNIX, SOCK_STREAM, 0)), msleep(50);
    CALL(read(p[0], b, 1));
}

int main(void) {
    headers();
    files(SOCK_STREAM), files(SOCK_DGRAM), files(SOCK_SEQPACKET);
    credentials(SOCK_STREAM), credentials(SOCK_DGRAM), credentials(SOCK_SEQPACKET);
    many();
    options();
    cycles();
    return 0;
}
