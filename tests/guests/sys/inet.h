/* What the programs about Internet sockets share. */
#ifndef INET_H
#define INET_H
#include "oracle.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>

static char b[1 << 20];

/* Addresses; ports are given by the machine, so they are never printed, only whether they are what they must be. */
static struct sockaddr_in v4_;
static struct sockaddr_in6 v6_;
static inline struct sockaddr *v4(const char *ip, int port) {
    memset(&v4_, 0, sizeof v4_);
    v4_.sin_family = AF_INET, v4_.sin_port = htons(port), inet_pton(AF_INET, ip, &v4_.sin_addr);
    return (struct sockaddr *)&v4_;
}
static inline struct sockaddr *v6(const char *ip, int port) {
    memset(&v6_, 0, sizeof v6_);
    v6_.sin6_family = AF_INET6, v6_.sin6_port = htons(port), inet_pton(AF_INET6, ip, &v6_.sin6_addr);
    return (struct sockaddr *)&v6_;
}
#define V4(ip, port) v4(ip, port), sizeof(struct sockaddr_in)
#define V6(ip, port) v6(ip, port), sizeof(struct sockaddr_in6)

/* The port of a socket, and of its peer. */
static inline int port_of(int fd) {
    struct sockaddr_in6 a;
    socklen_t len = sizeof a;
    return getsockname(fd, (void *)&a, &len) ? -1 : ntohs(a.sin6_port);
}
static inline int peer_port(int fd) {
    struct sockaddr_in6 a;
    socklen_t len = sizeof a;
    return getpeername(fd, (void *)&a, &len) ? -1 : ntohs(a.sin6_port);
}
static inline void show_address(const void *address, socklen_t len) {
    char text[64] = "?";
    const struct sockaddr_in *a = address;
    const struct sockaddr_in6 *c = address;
    if (a->sin_family == AF_INET) inet_ntop(AF_INET, &a->sin_addr, text, sizeof text);
    if (a->sin_family == AF_INET6) inet_ntop(AF_INET6, &c->sin6_addr, text, sizeof text);
    printf("%d bytes, family %d, %s, port %s", (int)len, a->sin_family, text, a->sin_port ? "some" : "none");
    if (a->sin_family == AF_INET6) printf(", flow %x, scope %d", c->sin6_flowinfo, c->sin6_scope_id);
    printf("\n");
}
static inline void names(int fd) {
    struct sockaddr_in6 a;
    socklen_t len = sizeof a;
    memset(&a, 0x7f, sizeof a);
    if (!CALL(getsockname(fd, (void *)&a, &len))) show_address(&a, len);
    len = sizeof a;
    if (!CALL(getpeername(fd, (void *)&a, &len))) show_address(&a, len);
}
static inline int get(int fd, int level, int name) {
    int value = -77;
    socklen_t len = sizeof value;
    if (getsockopt(fd, level, name, &value, &len)) return -errno;
    return value;
}
static inline int set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value); }
static inline int ready(int fd) {
    struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND, 0};
    if (poll(&p, 1, 0) < 0) return -1;
    return p.revents;
}
#define READY(fd) printf("ready " #fd ": %x\n", ready(fd))
/* Waits until something is so that a packet has to arrive for first. */
static inline int until(int fd, int events) {
    struct pollfd p = {fd, events, 0};
    return poll(&p, 1, 2000);
}
static inline void nonblock(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }
static inline void block(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); }

/* A socket that listens at a port of its own, and two that are connected. */
static inline int listener(int family, int backlog) {
    int fd = socket(family, SOCK_STREAM, 0);
    if (family == AF_INET ? bind(fd, V4("127.0.0.1", 0)) : bind(fd, V6("::1", 0))) abort();
    if (listen(fd, backlog)) abort();
    return fd;
}
static inline void connected(int s[2]) {
    int l = listener(AF_INET, 1);
    s[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s[0], V4("127.0.0.1", port_of(l)))) abort();
    s[1] = accept(l, NULL, NULL);
    close(l);
}
static volatile int pipes;
static inline void on_pipe(int s) { (void)s; pipes++; }
static inline void count_pipes(void) {
    struct sigaction a = {.sa_handler = on_pipe};
    sigaction(SIGPIPE, &a, NULL);
}
#endif
