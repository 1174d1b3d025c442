/* Namespaces of networks: unshare, setns, clone; what is in a new one, and what its device does that is down, comes up and goes down again. */
#include "inet.h"
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/un.h>
#include <sys/wait.h>

static long unshare_(unsigned long flags) { return syscall(SYS_unshare, flags); }
static long setns_(int fd, int kind) { return syscall(SYS_setns, fd, kind); }

/* The rest of what a child does, and its end. */
#define CHILD(...) do { fflush(stdout); pid_t pid_ = fork(); if (pid_ == 0) { __VA_ARGS__; _exit(0); } \
        int status_; waitpid(pid_, &status_, 0); if (status_) printf("child ended with %x\n", status_); } while (0)
static void nobody(void) { setresgid(1000, 1000, 1000), setresuid(1000, 1000, 1000); }

static int same(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}
static void text(const char *path) {
    char t[4096];
    int fd = open(path, O_RDONLY);
    long n = read(fd, t, sizeof t - 1);
    printf("%s: %ld %s\n", path, n, n < 0 ? oracle_errname(errno) : "");
    if (n > 0) t[n] = 0, fputs(t, stdout);
    close(fd);
}

/* lo */
static int flags_of(const char *name) {
    struct ifreq r = {0};
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    strcpy(r.ifr_name, name);
    int e = ioctl(s, SIOCGIFFLAGS, &r) ? -errno : (unsigned short)r.ifr_flags;
    close(s);
    return e;
}
static long set_flags(const char *name, int flags) {
    struct ifreq r = {.ifr_flags = flags};
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    strcpy(r.ifr_name, name);
    long n = ioctl(s, SIOCSIFFLAGS, &r), e = errno;
    close(s), errno = e;
    return n;
}
static long up(void) { return set_flags("lo", IFF_UP); }
static long down(void) { return set_flags("lo", 0); }

/* What comes of trying to reach an address, all ways. */
static void try(const char *name, struct sockaddr *a, socklen_t len) {
    int f = a->sa_family, t = socket(f, SOCK_STREAM | SOCK_NONBLOCK, 0), u = socket(f, SOCK_DGRAM, 0), b1 = socket(f, SOCK_STREAM, 0), b2 = socket(f, SOCK_DGRAM, 0);
    printf("-- %s\n", name);
    CALL(connect(t, a, len));
    CALL(sendto(u, "x", 1, 0, a, len));
    CALL(connect(u, a, len));
    if (f == AF_INET) ((struct sockaddr_in *)a)->sin_port = 0;
    else ((struct sockaddr_in6 *)a)->sin6_port = 0;
    CALL(bind(b1, a, len));
    CALL(bind(b2, a, len));
    close(t), close(u), close(b1), close(b2);
}
#define TRY4(ip) try(ip, v4(ip, 9), sizeof(struct sockaddr_in))
#define TRY6(ip) try(ip, v6(ip, 9), sizeof(struct sockaddr_in6))
static void reach(void) {
    TRY4("127.0.0.1"), TRY4("127.9.9.9"), TRY4("10.1.2.3"), TRY6("::1"), TRY6("fd00::1"), TRY6("::ffff:127.0.0.1");
}

static void device(void) {
    SECTION("the device");
    CHILD({
        CALL(unshare_(CLONE_NEWNET));
        int s = socket(AF_INET, SOCK_DGRAM, 0);
        struct ifreq r = {.ifr_name = "lo"};
        SHOW(flags_of("lo")), SHOW(flags_of("eth0")), SHOW(if_nametoindex("lo"));
        CALL(ioctl(s, SIOCGIFADDR, &r)), CALL(ioctl(s, SIOCGIFNETMASK, &r)), CALL(ioctl(s, SIOCGIFBRDADDR, &r)), CALL(ioctl(s, SIOCGIFMTU, &r)), SHOW(r.ifr_mtu);
        struct ifconf c = {.ifc_len = sizeof b, .ifc_buf = b};
        CALL(ioctl(s, SIOCGIFCONF, &c)), SHOW(c.ifc_len);
        text("/proc/net/dev"), text("/proc/net/if_inet6"), text("/proc/net/route"), text("/proc/net/tcp"), text("/proc/net/unix");
        reach();
        CALL(up()), SHOW(flags_of("lo")), CALL(up());
        c.ifc_len = sizeof b, CALL(ioctl(s, SIOCGIFCONF, &c)), SHOW(c.ifc_len);
        text("/proc/net/if_inet6"), text("/proc/net/route");
        reach();
        CALL(ioctl(s, SIOCGIFADDR, &r)), printf("%s\n", inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
        CALL(down()), SHOW(flags_of("lo")), CALL(ioctl(s, SIOCGIFADDR, &r));
        text("/proc/net/if_inet6");
        reach();
        CALL(up()), SHOW(flags_of("lo"));
        TRY4("127.0.0.1"), TRY6("::1");
        CALL(set_flags("nowhere", IFF_UP)), CALL(ioctl(s, SIOCSIFFLAGS, BADPTR));
        nobody();
        CALL(up()), CALL(set_flags("nowhere", 0)), CALL(ioctl(s, SIOCSIFFLAGS, BADPTR));
    });
    /* Addresses by ioctl. */
    CHILD({
        unshare_(CLONE_NEWNET);
        int s = socket(AF_INET, SOCK_DGRAM, 0);
        struct ifreq r = {.ifr_name = "lo"};
        memcpy(&r.ifr_addr, V4("127.0.0.1", 0));
        CALL(ioctl(s, SIOCSIFADDR, &r)), CALL(ioctl(s, SIOCSIFADDR, &r)), CALL(ioctl(s, SIOCGIFADDR, &r));
        CALL(ioctl(s, SIOCGIFNETMASK, &r)), printf("%s\n", inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr)), CALL(ioctl(s, SIOCSIFNETMASK, &r));
        SHOW(flags_of("lo"));
        TRY4("127.0.0.1");
    });
}

/* Sends a request of netlink and shows what comes back. */
static void request(int s, int type, int flags, const void *body, size_t len, int attribute, const void *value, size_t value_len) {
    struct { struct nlmsghdr h; char more[128]; } q = {{NLMSG_LENGTH(len), type, NLM_F_REQUEST | flags, 7, 0}, {0}};
    memcpy(q.more, body, len);
    if (attribute) {
        struct rtattr *a = (void *)((char *)&q + NLMSG_ALIGN(q.h.nlmsg_len));
        a->rta_type = attribute, a->rta_len = RTA_LENGTH(value_len), memcpy(RTA_DATA(a), value, value_len);
        q.h.nlmsg_len = NLMSG_ALIGN(q.h.nlmsg_len) + RTA_ALIGN(a->rta_len);
    }
    CALL(send(s, &q, q.h.nlmsg_len, 0));
}
static void answers(int s) {
    for (long n; (n = recv(s, b, sizeof b, MSG_DONTWAIT)) > 0;) {
        for (struct nlmsghdr *h = (void *)b; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            struct ifinfomsg *link = NLMSG_DATA(h);
            struct ifaddrmsg *address = NLMSG_DATA(h);
            if (h->nlmsg_type == NLMSG_ERROR) printf("error %d, flags %x, %d bytes\n", ((struct nlmsgerr *)link)->error, h->nlmsg_flags, h->nlmsg_len);
            else if (h->nlmsg_type == NLMSG_DONE) printf("done\n");
            else if (h->nlmsg_type == RTM_NEWLINK) printf("link %d, type %d, flags %x, %x\n", link->ifi_index, link->ifi_type, link->ifi_flags, h->nlmsg_flags);
            else if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_DELADDR) printf("%s address, family %d, prefix %d, scope %d, flags %x\n", h->nlmsg_type == RTM_NEWADDR ? "new" : "old", address->ifa_family, address->ifa_prefixlen, address->ifa_scope, address->ifa_flags);
            else printf("type %d\n", h->nlmsg_type);
        }
    }
}
static void link_(int s, int type, int flags, int index, unsigned ifi_flags, unsigned change, const char *name) {
    struct ifinfomsg i = {.ifi_index = index, .ifi_flags = ifi_flags, .ifi_change = change};
    request(s, type, flags | NLM_F_ACK, &i, sizeof i, name ? IFLA_IFNAME : 0, name, name ? strlen(name) + 1 : 0), answers(s);
}
static void address_(int s, int type, int flags, int family, int prefix, int index, const void *ip, size_t len) {
    struct ifaddrmsg a = {family, prefix, IFA_F_PERMANENT, RT_SCOPE_HOST, index};
    request(s, type, flags | NLM_F_ACK, &a, sizeof a, ip ? IFA_LOCAL : 0, ip, len), answers(s);
}
static const unsigned char own4[] = {127, 0, 0, 1}, own6[16] = {[15] = 1};

static void netlink(void) {
    SECTION("netlink");
    CHILD({
        unshare_(CLONE_NEWNET);
        int s = CALL(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
        struct ifinfomsg all = {0};
        CALL(bind(s, (void *)&(struct sockaddr_nl){.nl_family = AF_NETLINK}, sizeof(struct sockaddr_nl)));
        request(s, RTM_GETLINK, NLM_F_DUMP, &all, sizeof all, 0, NULL, 0), answers(s);
        request(s, RTM_GETADDR, NLM_F_DUMP, &all, sizeof all, 0, NULL, 0), answers(s);
        request(s, RTM_GETROUTE, NLM_F_DUMP, &all, sizeof all, 0, NULL, 0), answers(s);
        int types[] = {RTM_NEWLINK, RTM_SETLINK, RTM_DELLINK};
        for (int i = 0; i < 3; i++) {
            printf("-- type %d\n", types[i]);
            link_(s, types[i], 0, 0, 0, 0, NULL), link_(s, types[i], 0, 1, 0, 0, NULL), link_(s, types[i], 0, -1, 0, 0, NULL), link_(s, types[i], 0, 99, 0, 0, NULL);
            link_(s, types[i], 0, 0, 0, 0, "lo"), link_(s, types[i], 0, 0, 0, 0, "nowhere");
        }
        link_(s, RTM_NEWLINK, NLM_F_CREATE, 0, 0, 0, NULL), link_(s, RTM_NEWLINK, NLM_F_EXCL, 1, 0, 0, NULL), link_(s, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 1, 0, 0, NULL), link_(s, RTM_NEWLINK, NLM_F_REPLACE, 1, 0, 0, NULL);
        request(s, RTM_NEWLINK, NLM_F_ACK, "", 1, 0, NULL, 0), answers(s);
        /* As bubblewrap does it. */
        SECTION("an address, and up");
        address_(s, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, AF_INET, 8, 1, own4, 4);
        TRY4("127.0.0.1"), TRY4("127.0.0.2");
        link_(s, RTM_NEWLINK, 0, 1, IFF_UP, IFF_UP, NULL), SHOW(flags_of("lo"));
        TRY4("127.0.0.1"), TRY6("::1");
        request(s, RTM_GETADDR, NLM_F_DUMP, &all, sizeof all, 0, NULL, 0), answers(s);
        SECTION("addresses");
        address_(s, RTM_NEWADDR, 0, AF_INET, 8, 1, own4, 4), address_(s, RTM_NEWADDR, NLM_F_REPLACE, AF_INET, 8, 1, own4, 4), address_(s, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, AF_INET, 8, 1, own4, 4);
        address_(s, RTM_NEWADDR, 0, AF_INET, 8, 1, NULL, 0), address_(s, RTM_NEWADDR, 0, AF_INET, 8, 9, own4, 4), address_(s, RTM_NEWADDR, 0, AF_INET, 33, 1, own4, 4), address_(s, RTM_NEWADDR, 0, AF_INET, 8, 1, own4, 2), address_(s, RTM_NEWADDR, 0, AF_UNSPEC, 8, 1, own4, 4);
        address_(s, RTM_NEWADDR, 0, AF_INET6, 128, 1, own6, 16), address_(s, RTM_NEWADDR, 0, AF_INET6, 128, 1, NULL, 0), address_(s, RTM_NEWADDR, 0, AF_INET6, 128, 9, own6, 16);
        address_(s, RTM_DELADDR, 0, AF_INET, 8, 9, own4, 4), address_(s, RTM_DELADDR, 0, AF_INET, 8, 1, own4, 2), address_(s, RTM_DELADDR, 0, AF_INET, 8, 1, (unsigned char[]){127, 0, 0, 2}, 4), address_(s, RTM_DELADDR, 0, AF_INET, 8, 1, own4, 4), address_(s, RTM_DELADDR, 0, AF_INET, 8, 1, own4, 4);
        address_(s, RTM_DELADDR, 0, AF_INET6, 128, 1, NULL, 0), address_(s, RTM_DELADDR, 0, AF_INET6, 128, 1, own6, 16), address_(s, RTM_DELADDR, 0, AF_INET6, 128, 1, own6, 16);
        TRY4("127.0.0.1"), TRY6("::1");
        address_(s, RTM_NEWADDR, 0, AF_INET, 8, 1, own4, 4), address_(s, RTM_NEWADDR, 0, AF_INET6, 128, 1, own6, 16);
        /* The host looks for duplicates of it behind our back. */
        msleep(300);
        TRY4("127.0.0.1"), TRY6("::1");
        link_(s, RTM_SETLINK, 0, 1, 0, IFF_UP, NULL), SHOW(flags_of("lo")), link_(s, RTM_NEWLINK, 0, 0, IFF_UP, 0, "lo"), SHOW(flags_of("lo"));
        SECTION("without the right");
        int t = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
        nobody();
        link_(s, RTM_NEWLINK, 0, 1, 0, IFF_UP, NULL), link_(s, RTM_NEWLINK, 0, 99, 0, 0, NULL), link_(t, RTM_SETLINK, 0, 0, 0, 0, NULL), address_(s, RTM_NEWADDR, 0, AF_INET, 8, 1, NULL, 0), address_(s, RTM_DELADDR, 0, AF_INET, 8, 1, own4, 4);
        request(s, RTM_NEWROUTE, NLM_F_ACK, &all, sizeof all, 0, NULL, 0), answers(s);
        SHOW(flags_of("lo"));
        request(s, RTM_GETLINK, NLM_F_DUMP, &all, sizeof all, 0, NULL, 0), answers(s);
        CALL(unshare_(CLONE_NEWNET));
    });
    SECTION("news");
    CHILD({
        unshare_(CLONE_NEWNET);
        int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), deaf = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), joined = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), six = RTNLGRP_IPV6_IFADDR;
        CALL(bind(s, (void *)&(struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR}, sizeof(struct sockaddr_nl)));
        CALL(bind(deaf, (void *)&(struct sockaddr_nl){.nl_family = AF_NETLINK}, sizeof(struct sockaddr_nl)));
        CALL(bind(joined, (void *)&(struct sockaddr_nl){.nl_family = AF_NETLINK}, sizeof(struct sockaddr_nl)));
        CALL(setsockopt(joined, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &six, sizeof six));
        struct sockaddr_nl me;
        socklen_t len = sizeof me;
        getsockname(joined, (void *)&me, &len), SHOW(me.nl_groups), getsockname(s, (void *)&me, &len), SHOW(me.nl_groups);
        CALL(up()), READY(s), READY(deaf), answers(s), answers(joined), answers(deaf);
        CALL(up()), READY(s);
        CALL(down()), answers(s), answers(joined);
        setsockopt(joined, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &six, sizeof six);
        link_(s, RTM_NEWLINK, 0, 1, IFF_UP, IFF_UP, NULL), READY(joined);
        /* Nobody hears of another namespace. */
        CHILD(unshare_(CLONE_NEWNET), up());
        READY(s);
    });
}

/* The name of a socket without a path. */
static struct sockaddr_un *abstract(const char *name) {
    static struct sockaddr_un u;
    memset(&u, 0, sizeof u), u.sun_family = AF_UNIX, strcpy(u.sun_path + 1, name);
    return &u;
}
#define ABSTRACT(name) (struct sockaddr *)abstract(name), (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))
static int lines(const char *path, const char *word) {
    char l[512];
    int n = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(l, sizeof l, f)) n += strstr(l, word) != NULL;
    if (f) fclose(f);
    return n;
}

static void sockets(void) {
    SECTION("sockets");
    char name[32], port[16];
    sprintf(name, "netns-%d", getpid());
    int l = listener(AF_INET, 3), u = socket(AF_UNIX, SOCK_STREAM, 0), p = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un path = {AF_UNIX, "by-path"};
    sprintf(port, ":%04X ", port_of(l));
    CALL(bind(u, ABSTRACT(name))), listen(u, 9), CALL(bind(p, (void *)&path, sizeof path)), listen(p, 9);
    HOLDS(lines("/proc/net/tcp", port) > 0), HOLDS(lines("/proc/net/unix", name) > 0);
    CHILD({
        int before = socket(AF_INET, SOCK_STREAM, 0), ubefore = socket(AF_UNIX, SOCK_STREAM, 0), first = open("/proc/self/ns/net", O_RDONLY);
        CALL(unshare_(CLONE_NEWNET));
        CALL(up());
        int after = socket(AF_INET, SOCK_STREAM, 0), uafter = socket(AF_UNIX, SOCK_STREAM, 0), pafter = socket(AF_UNIX, SOCK_STREAM, 0);
        /* A socket is where it was made. */
        CALL(connect(before, V4("127.0.0.1", port_of(l)))), CALL(connect(after, V4("127.0.0.1", port_of(l))));
        CALL(connect(ubefore, ABSTRACT(name))), CALL(connect(uafter, ABSTRACT(name)));
        /* Paths lead everywhere. */
        CALL(connect(pafter, (void *)&path, sizeof path));
        SHOW(lines("/proc/net/tcp", port)), SHOW(lines("/proc/net/unix", name));
        char parent[64];
        sprintf(parent, "/proc/%d/net/unix", getppid()), HOLDS(lines(parent, name) > 0);
        int other = socket(AF_UNIX, SOCK_STREAM, 0), same_port = socket(AF_INET, SOCK_STREAM, 0);
        CALL(bind(other, ABSTRACT(name))), CALL(listen(other, 1)), CALL(bind(same_port, V4("127.0.0.1", port_of(l)))), CALL(listen(same_port, 1));
        SHOW(lines("/proc/net/unix", name)), SHOW(lines("/proc/net/tcp", port));
        int c = socket(AF_INET, SOCK_STREAM, 0), uc = socket(AF_UNIX, SOCK_STREAM, 0);
        CALL(connect(c, V4("127.0.0.1", port_of(l)))), CALL(connect(uc, ABSTRACT(name)));
        char x = 0;
        int d = accept(same_port, NULL, NULL);
        CALL(send(c, "y", 1, 0)), CALL(recv(d, &x, 1, 0)), SHOW(x);
        /* Back again, with a socket of the other one. */
        int inner = open("/proc/self/ns/net", O_RDONLY), from_there = socket(AF_INET, SOCK_STREAM, 0);
        CALL(setns_(first, CLONE_NEWNET));
        HOLDS(lines("/proc/net/unix", name) > 0);
        CALL(connect(from_there, V4("127.0.0.1", port_of(l)))), HOLDS(lines("/proc/net/tcp", port) > 2);
        struct ifreq r = {.ifr_name = "lo"};
        CALL(ioctl(from_there, SIOCGIFADDR, &r)), CALL(ioctl(after, SIOCGIFADDR, &r));
        CALL(setns_(inner, 0)), CALL(down()), CALL(ioctl(from_there, SIOCGIFADDR, &r)), SHOW(flags_of("lo"));
    });
    unlink("by-path");
    close(l), close(u), close(p);
}

/* A namespace goes on as long as anything holds it. */
static void entering(void) {
    SECTION("entering");
    int net = open("/proc/self/ns/net", O_RDONLY);
    SHOW(ioctl(net, 0xb703));
    CALL(setns_(net, CLONE_NEWUTS)), CALL(setns_(net, CLONE_NEWNET)), CALL(setns_(net, 0));
    CHILD({
        int p[2];
        char c;
        pipe(p);
        pid_t child = syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0);
        if (child == 0) {
            up();
            write(p[1], "x", 1);
            pause();
        }
        read(p[0], &c, 1);
        char path[64];
        sprintf(path, "/proc/%d/ns/net", child);
        HOLDS(!same(path, "/proc/self/ns/net")), HOLDS(same("/proc/self/ns/net", "/proc/thread-self/ns/net"));
        int by_file = open(path, O_RDONLY), by_pid = syscall(SYS_pidfd_open, child, 0);
        CHILD(CALL(setns_(by_pid, CLONE_NEWNET)), HOLDS(same(path, "/proc/self/ns/net")), TRY4("127.0.0.1"));
        kill(child, SIGKILL), waitpid(child, NULL, 0);
        CALL(setns_(by_pid, CLONE_NEWNET));
        CALL(setns_(by_file, CLONE_NEWNET)), SHOW(flags_of("lo"));
        CALL(down()), CALL(setns_(net, 0)), SHOW(flags_of("lo") & IFF_UP), CALL(setns_(by_file, 0)), SHOW(flags_of("lo"));
    });
    CHILD({
        nobody();
        CALL(setns_(net, 0)), CALL(unshare_(CLONE_NEWNET)), CALL(syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0));
    });
    /* A mount of its file holds it, too. */
    SECTION("mounted");
    close(creat("held", 0644));
    CHILD({
        unshare_(CLONE_NEWNS), mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
        CHILD(unshare_(CLONE_NEWNET), up(), CALL(mount("/proc/self/ns/net", "held", NULL, MS_BIND, NULL)));
        int fd = open("held", O_RDONLY);
        char c;
        CALL(read(fd, &c, 1)), CALL(open("held", O_RDWR)), SHOW(ioctl(fd, 0xb703)), HOLDS(lines("/proc/self/mountinfo", " net:[") == 1), HOLDS(lines("/proc/self/mountinfo", " - nsfs nsfs ") == 1);
        HOLDS(!same("held", "/proc/self/ns/net")), CALL(setns_(fd, CLONE_NEWNET)), HOLDS(same("held", "/proc/self/ns/net")), SHOW(flags_of("lo"));
        close(fd), CALL(umount("held"));
        struct stat st;
        CALL(stat("held", &st)), SHOW(st.st_mode);
    });
    unlink("held");
}

/* /sys shows the network of who has mounted it. */
static void system_(void) {
    SECTION("sysfs");
    mkdir("sys", 0755);
    CHILD({
        unshare_(CLONE_NEWNS | CLONE_NEWNET), mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
        CALL(mount("sysfs", "sys", "sysfs", 0, NULL));
        const char *files[] = {"addr_len", "address", "carrier", "flags", "ifindex", "mtu", "operstate", "type"};
        for (int round = 0; round < 3; round++) {
            for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
                char path[64];
                sprintf(path, "sys/class/net/lo/%s", files[i]), text(path);
            }
            round ? down() : up();
        }
        SHOW(access("sys/class/net/eth0", F_OK));
    });
    rmdir("sys");
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    device();
    netlink();
    sockets();
    entering();
    system_();
    return 0;
}
