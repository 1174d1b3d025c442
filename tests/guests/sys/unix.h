/* What the programs about Unix sockets share. */
#ifndef UNIX_H
#define UNIX_H
#include "oracle.h"
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/sockios.h>

static char b[400000];

/* An address of the first `len` bytes of a name. */
static struct sockaddr *name(const char *path, int len) {
    static struct sockaddr_un a;
    memset(&a, 0, sizeof a);
    a.sun_family = AF_UNIX;
    memcpy(a.sun_path, path, len);
    return (struct sockaddr *)&a;
}
#define AT(n, len) name(n, len), offsetof(struct sockaddr_un, sun_path) + (len)
#define PATH(p) AT(p, strlen(p) + 1)
#define ABSTRACT(p) AT("\0" p, sizeof p)

/* An address that a call stored, with its length. */
static void show_address(const struct sockaddr_un *a, socklen_t len) {
    printf("%d bytes", (int)len);
    if (len > 1) printf(", family %d", a->sun_family);
    if (len > 2 && a->sun_path[0]) printf(", path %.*s", (int)(len - 2), a->sun_path);
    if (len > 2 && !a->sun_path[0]) printf(", abstract %.*s", (int)(len - 3), a->sun_path + 1);
    printf("\n");
}
static void names(int fd) {
    struct sockaddr_un a;
    socklen_t len = sizeof a;
    memset(&a, 0x7f, sizeof a);
    if (!CALL(getsockname(fd, (void *)&a, &len))) show_address(&a, len);
    len = sizeof a;
    if (!CALL(getpeername(fd, (void *)&a, &len))) show_address(&a, len);
}
static int option(int fd, int name) {
    int value = -77;
    socklen_t len = sizeof value;
    if (getsockopt(fd, SOL_SOCKET, name, &value, &len)) return -errno;
    return value;
}
static int set(int fd, int name, int value) { return setsockopt(fd, SOL_SOCKET, name, &value, sizeof value); }
static int ready(int fd) {
    struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND, 0};
    if (poll(&p, 1, 0) < 0) return -1;
    return p.revents;
}
#define READY(fd) printf("ready " #fd ": %x\n", ready(fd))
static void nonblock(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }
static void block(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); }

/* Something that another thread does a little later. */
struct later { int what, fd; const void *data; long len; pthread_t thread; };
enum { WRITE, READ, CLOSE, CONNECT, ACCEPT, SHUT, SIGNAL };
static void *do_later(void *arg) {
    struct later *l = arg;
    static char into[400000];
    msleep(60);
    switch (l->what) {
    case WRITE: write(l->fd, l->data, l->len); break;
    case READ: for (long got = 0, n; got < l->len && (n = read(l->fd, into, sizeof into)) > 0;) got += n; break;
    case CLOSE: close(l->fd); break;
    case CONNECT: connect(l->fd, l->data, l->len); break;
    case ACCEPT: close(accept(l->fd, NULL, NULL)); break;
    case SHUT: shutdown(l->fd, l->len); break;
    case SIGNAL: pthread_kill((pthread_t)l->data, SIGUSR1); break;
    }
    return NULL;
}
static void later(struct later *l) { pthread_create(&l->thread, NULL, do_later, l); }
static void joined(struct later *l) { pthread_join(l->thread, NULL); }
#define LATER(...) struct later l_ = {__VA_ARGS__}; later(&l_)
#define JOINED() joined(&l_)

static volatile int pipes;
static void on_pipe(int s) { (void)s; pipes++; }
static void on_signal(int s) { (void)s; }
static inline void catch(int s, void (*f)(int), int flags) {
    struct sigaction a = {.sa_handler = f, .sa_flags = flags};
    sigaction(s, &a, NULL);
}
#endif
