// Names of sockets of the family AF_UNIX: paths, abstract names, names that the kernel finds; listening, connecting, accepting.
#include "unix.h"

static int listener(int kind, const char *path, int backlog) {
    int s = socket(AF_UNIX, kind, 0);
    if (bind(s, PATH(path)) || listen(s, backlog)) abort();
    return s;
}
static int client(int kind) { return socket(AF_UNIX, kind, 0); }

static void binding(void) {
    SECTION("paths");
    struct stat st;
    int s = client(SOCK_STREAM), t = client(SOCK_STREAM);
    names(s);
    CALL(bind(s, PATH("one"))), names(s);
    CALL(lstat("one", &st)), SHOW(st.st_mode), SHOW(st.st_nlink), SHOW(st.st_size), CALL(open("one", O_RDWR)), CALL(open("one", O_PATH));
    CALL(bind(s, PATH("two"))), CALL(bind(t, PATH("one"))), CALL(bind(s, PATH("one"))), CALL(bind(t, PATH("no/two"))), CALL(bind(t, PATH("one/two"))), CALL(bind(t, PATH("."))), CALL(bind(t, PATH("two/")));
    umask(077);
    int u = client(SOCK_DGRAM);
    CALL(bind(u, PATH("masked"))), CALL(lstat("masked", &st)), SHOW(st.st_mode), umask(022);
    CALL(bind(t, AT("unterminated", 12))), names(t), CALL(lstat("unterminated", &st));
    char longest[109];
    memset(longest, 'x', 108), longest[108] = 0;
    int v = client(SOCK_STREAM);
    CALL(bind(v, name(longest, 108), 111)), CALL(bind(v, AT(longest, 108))), names(v), CALL(lstat(longest, &st));
    CALL(access("one", W_OK)), CALL(link("one", "other name")), CALL(rename("one", "renamed")), CALL(chmod("renamed", 0600)), CALL(lstat("renamed", &st)), SHOW(st.st_mode), SHOW(st.st_nlink);
    CALL(truncate("renamed", 0)), CALL((long)fopen("renamed", "r") == 0);
    SECTION("bad addresses");
    int w = client(SOCK_STREAM);
    CALL(bind(w, name("x", 1), 1)), CALL(bind(w, name("x", 1), 0)), CALL(bind(w, name("x", 1), -1)), CALL(bind(w, name("x", 1), 200)), CALL(bind(w, BADPTR, 10)), CALL(bind(-1, AT("x", 1))), CALL(bind(0, AT("x", 1)) < 0);
    struct sockaddr_un other = {AF_INET, "x"};
    CALL(bind(w, (void *)&other, 4)), CALL(connect(w, (void *)&other, 4)), CALL(connect(w, name("x", 1), 2)), CALL(connect(w, name("x", 1), 0)), CALL(connect(w, BADPTR, 10)), CALL(connect(w, name("x", 1), 129)), CALL(connect(99, AT("x", 1)));
    socklen_t len = 1;
    struct sockaddr_un a;
    memset(&a, 0x7f, sizeof a);
    CALL(getsockname(v, (void *)&a, &len)), SHOW(len), SHOW(a.sun_family), len = 0, CALL(getsockname(v, BADPTR, &len)), SHOW(len), len = -1, CALL(getsockname(v, (void *)&a, &len)), len = 9, CALL(getsockname(v, BADPTR, &len)), CALL(getsockname(v, (void *)&a, BADPTR)), len = sizeof a, CALL(getpeername(v, (void *)&a, &len)), len = 5, CALL(getsockname(v, (void *)&a, &len)), SHOW(len);
    syscall(SYS_close_range, 3, ~0U, 0);
    CALL(bind(client(SOCK_STREAM), PATH("renamed"))); /* the name stays when the socket is closed */
    CALL(connect(client(SOCK_STREAM), PATH("renamed"))), CALL(unlink("renamed")), CALL(bind(client(SOCK_STREAM), PATH("renamed")));
    SECTION("abstract names");
    s = client(SOCK_STREAM), t = client(SOCK_STREAM), u = client(SOCK_DGRAM);
    CALL(bind(s, ABSTRACT("libos-test"))), names(s), CALL(bind(t, ABSTRACT("libos-test"))), CALL(bind(s, ABSTRACT("libos-test-2"))), CALL(bind(u, ABSTRACT("libos-test"))), CALL(listen(s, 1));
    CALL(connect(t, ABSTRACT("libos-tes"))), CALL(connect(t, ABSTRACT("libos-test"))), names(t), CALL(connect(t, ABSTRACT("libos-test"))), CALL(connect(t, ABSTRACT("libos-none")));
    close(s), CALL(bind(client(SOCK_STREAM), ABSTRACT("libos-test")));
    SECTION("names that the kernel finds");
    v = client(SOCK_DGRAM), w = client(SOCK_DGRAM);
    CALL(bind(v, AT("", 0)));
    len = sizeof a, CALL(getsockname(v, (void *)&a, &len)), SHOW(len), SHOW(a.sun_path[0]), HOLDS(strspn(a.sun_path + 1, "0123456789abcdef") >= 5);
    CALL(bind(v, AT("", 0))), CALL(bind(v, ABSTRACT("x")));
    CALL(sendto(w, "found", 5, 0, (void *)&a, len)), CALL(read(v, b, 100));
    syscall(SYS_close_range, 3, ~0U, 0);
}

static void connecting(int kind) {
    printf("== connecting %d\n", kind);
    struct sockaddr_un a;
    socklen_t len = sizeof a;
    unlink("here");
    int l = client(kind), c = client(kind), d;
    CALL(connect(c, PATH("nowhere"))), CALL(listen(l, 1)), CALL(bind(l, PATH("here"))), CALL(connect(c, PATH("here"))), CALL(accept(l, NULL, NULL)), READY(l);
    CALL(listen(l, 1)), CALL(listen(l, 1)), READY(l), SHOW(option(l, SO_ACCEPTCONN)), SHOW(option(c, SO_ACCEPTCONN));
    CALL(read(l, b, 1)), CALL(write(l, b, 1)), CALL(connect(l, PATH("here"))), CALL(ioctl(l, FIONREAD, b)), CALL(recv(l, b, 1, MSG_DONTWAIT)), names(l);
    CALL(connect(c, PATH("here"))), names(c), READY(l), READY(c), CALL(connect(c, PATH("here"))), CALL(connect(c, PATH("nowhere"))), CALL(listen(c, 1)), CALL(accept(c, NULL, NULL));
    CALL(write(c, "early", 5));
    d = CALL(accept(l, (void *)&a, &len)), show_address(&a, len), names(d), READY(d), CALL(read(d, b, 100)), CALL(write(d, "back", 4)), CALL(read(c, b, 100)), READY(l), SHOW(option(d, SO_ACCEPTCONN)), SHOW(option(d, SO_ERROR)), CALL(fcntl(d, F_GETFL));
    close(c), CALL(read(d, b, 100)), READY(d), close(d);
    SECTION("a client with a name");
    c = client(kind), unlink("client"), bind(c, PATH("client")), CALL(connect(c, PATH("here")));
    memset(&a, 0x7f, sizeof a), len = sizeof a, d = CALL(accept4(l, (void *)&a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)), show_address(&a, len), names(d), CALL(fcntl(d, F_GETFL)), CALL(fcntl(d, F_GETFD)), CALL(read(d, b, 1));
    len = sizeof a, CALL(write(c, "x", 1)), CALL(recvfrom(d, b, 9, 0, (void *)&a, &len)), show_address(&a, len);
    close(c), names(d), close(d);
    CALL(accept4(l, NULL, NULL, 0x1000)), CALL(accept4(-1, NULL, NULL, 0)), CALL(accept(0, NULL, NULL) < 0);
    SECTION("backlog");
    nonblock(l), CALL(accept(l, NULL, NULL)), block(l);
    int n = 0, many[20];
    for (; n < 20; n++) {
        many[n] = socket(AF_UNIX, kind | SOCK_NONBLOCK, 0);
        if (connect(many[n], PATH("here"))) break;
    }
    SHOW(n), CALL(connect(many[n], PATH("here"))), READY(many[n]), READY(many[0]);
    block(many[n]);
    { LATER(ACCEPT, l, NULL, 0); CALL(connect(many[n], PATH("here"))); JOINED(); }
    CALL(listen(l, 5));
    for (int k = n + 1; k < 20; k++) {
        many[k] = socket(AF_UNIX, kind | SOCK_NONBLOCK, 0);
        if (connect(many[k], PATH("here"))) { SHOW(k); break; }
    }
    struct timeval t = {0, 50000};
    int slow = client(kind);
    setsockopt(slow, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t), CALL(connect(slow, PATH("here")));
    catch(SIGUSR1, on_signal, 0);
    { int interrupted = client(kind); LATER(SIGNAL, 0, (void *)pthread_self(), 0); CALL(connect(interrupted, PATH("here"))); JOINED(); }
    SECTION("closing what listens");
    READY(many[0]), READY(many[1]), READY(many[3]), CALL(write(many[1], b, 1));
    close(l);
    READY(many[1]), READY(many[3]), CALL(read(many[3], b, 1)), CALL(read(many[3], b, 1)), CALL(connect(slow, PATH("here")));
    signal(SIGPIPE, SIG_IGN), CALL(write(many[1], b, 1));
    syscall(SYS_close_range, 3, ~0U, 0);
    SECTION("waiting to accept");
    unlink("here"), l = listener(kind, "here", 3), c = client(kind);
    { static struct sockaddr_un at; memcpy(&at, name("here", 5), sizeof at); LATER(CONNECT, c, &at, 7); CALL(accept(l, NULL, NULL)); JOINED(); }
    setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), CALL(accept(l, NULL, NULL)), memset(&t, 0, sizeof t), setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    { LATER(SHUT, l, NULL, SHUT_RD); CALL(accept(l, NULL, NULL)); JOINED(); }
    CALL(connect(client(kind), PATH("here"))), READY(l);
    CALL(accept(client(kind), NULL, NULL)), CALL(listen(client(SOCK_DGRAM), 1)), CALL(accept(client(SOCK_DGRAM), NULL, NULL)), CALL(listen(-1, 1)), CALL(listen(0, 1) < 0);
    syscall(SYS_close_range, 3, ~0U, 0);
    SECTION("no room for an address");
    unlink("here"), l = listener(kind, "here", 3);
    CALL(connect(client(kind), PATH("here"))), len = 9, CALL(accept(l, BADPTR, &len)), CALL(connect(client(kind), PATH("here"))), CALL(accept(l, (void *)&a, BADPTR));
    nonblock(l), CALL(accept(l, NULL, NULL)), CALL(connect(client(kind), PATH("here"))), len = 1, CALL(accept(l, (void *)&a, &len)), SHOW(len);
    syscall(SYS_close_range, 3, ~0U, 0);
}

static void kinds(void) {
    SECTION("other kinds and other files");
    unlink("here");
    listener(SOCK_STREAM, "here", 9), oracle_file("file", 1), mkdir("dir", 0755), symlink("here", "link"), symlink("gone", "dangling");
    CALL(connect(client(SOCK_DGRAM), PATH("here"))), CALL(connect(client(SOCK_SEQPACKET), PATH("here"))), CALL(connect(client(SOCK_STREAM), PATH("file"))), CALL(connect(client(SOCK_STREAM), PATH("dir"))), CALL(connect(client(SOCK_STREAM), PATH("link"))), CALL(connect(client(SOCK_STREAM), PATH("dangling"))), CALL(connect(client(SOCK_STREAM), PATH("file/here"))), CALL(bind(client(SOCK_STREAM), PATH("dangling")));
    CALL(mknod("node", S_IFSOCK | 0666, 0)), CALL(connect(client(SOCK_STREAM), PATH("node")));
    CALL(chmod("here", 0)), CALL(connect(client(SOCK_STREAM), PATH("here")));
    CALL(link("here", "hard link")), CALL(unlink("here")), CALL(connect(client(SOCK_STREAM), PATH("here"))), CALL(connect(client(SOCK_STREAM), PATH("hard link")));
    SECTION("without permission");
    chmod("hard link", 0600), chmod(".", 0755);
    CALL(setegid(1000)), CALL(seteuid(1000));
    CALL(connect(client(SOCK_STREAM), PATH("hard link"))), CALL(bind(client(SOCK_STREAM), PATH("refused"))), CALL(sendto(client(SOCK_DGRAM), b, 1, 0, PATH("hard link")));
    CALL(seteuid(0)), CALL(setegid(0));
    syscall(SYS_close_range, 3, ~0U, 0);
    SECTION("/proc/net/unix");
    int s = client(SOCK_STREAM), count = 0;
    bind(s, PATH("shown")), listen(s, 1);
    struct stat st;
    fstat(s, &st);
    FILE *f = fopen("/proc/net/unix", "r");
    char line[500], first[500] = "", path[500];
    unsigned long ref, protocol, flags, kind, state, ino;
    fgets(first, sizeof first, f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%*s %lx %lx %lx %lx %lx %lu %s", &ref, &protocol, &flags, &kind, &state, &ino, path) == 7 && ino == st.st_ino) count++, printf("%s %lx %lx %lx %s\n", first, flags, kind, state, path);
    SHOW(count);
}

int main(void) {
    binding();
    connecting(SOCK_STREAM);
    connecting(SOCK_SEQPACKET);
    kinds();
    return 0;
}
