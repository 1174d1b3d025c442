// What programs ask about the network: the device lo by ioctl(2) and netlink, getifaddrs(3), getaddrinfo(3), files of /proc.
// Of the machine's devices only lo is shown, which is everywhere the same.
#include "inet.h"
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netdb.h>

static void ioctls(void) {
    SECTION("ioctl");
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {.ifr_name = "lo"};
    struct sockaddr_in *a = (void *)&r.ifr_addr;
    CALL(ioctl(s, SIOCGIFFLAGS, &r)), SHOW(r.ifr_flags), CALL(ioctl(s, SIOCGIFINDEX, &r)), SHOW(r.ifr_ifindex), CALL(ioctl(s, SIOCGIFMTU, &r)), SHOW(r.ifr_mtu), CALL(ioctl(s, SIOCGIFTXQLEN, &r)), SHOW(r.ifr_qlen), CALL(ioctl(s, SIOCGIFMETRIC, &r)), SHOW(r.ifr_metric);
    CALL(ioctl(s, SIOCGIFHWADDR, &r)), SHOW(r.ifr_hwaddr.sa_family), SHOW(r.ifr_hwaddr.sa_data[0]);
    CALL(ioctl(s, SIOCGIFADDR, &r)), printf("%s\n", inet_ntoa(a->sin_addr)), CALL(ioctl(s, SIOCGIFNETMASK, &r)), printf("%s\n", inet_ntoa(a->sin_addr)), CALL(ioctl(s, SIOCGIFDSTADDR, &r)), printf("%s\n", inet_ntoa(a->sin_addr)), CALL(ioctl(s, SIOCGIFBRDADDR, &r)), printf("%s\n", inet_ntoa(a->sin_addr));
    memset(&r, 0, sizeof r), r.ifr_ifindex = 1, CALL(ioctl(s, SIOCGIFNAME, &r)), printf("%s\n", r.ifr_name), r.ifr_ifindex = 9999, CALL(ioctl(s, SIOCGIFNAME, &r));
    strcpy(r.ifr_name, "nowhere"), CALL(ioctl(s, SIOCGIFFLAGS, &r)), CALL(ioctl(s, SIOCGIFINDEX, &r)), CALL(ioctl(s, SIOCGIFFLAGS, BADPTR)), CALL(ioctl(s, TCGETS, &r));
    struct ifconf c = {.ifc_len = 0, .ifc_buf = NULL};
    CALL(ioctl(s, SIOCGIFCONF, &c)), HOLDS(c.ifc_len >= (int)sizeof r && c.ifc_len % sizeof r == 0);
    c.ifc_len = sizeof b, c.ifc_buf = b, CALL(ioctl(s, SIOCGIFCONF, &c));
    for (struct ifreq *f = c.ifc_req; (char *)f < c.ifc_buf + c.ifc_len; f++) if (!strcmp(f->ifr_name, "lo")) printf("%s %s\n", f->ifr_name, inet_ntoa(((struct sockaddr_in *)&f->ifr_addr)->sin_addr));
    c.ifc_len = 10, CALL(ioctl(s, SIOCGIFCONF, &c)), SHOW(c.ifc_len);
    SHOW(if_nametoindex("lo")), printf("%s\n", if_indextoname(1, b)), SHOW(if_nametoindex("nowhere"));
    close(s);
}

static void libraries(void) {
    SECTION("getifaddrs");
    struct ifaddrs *list, *i;
    CALL(getifaddrs(&list));
    for (i = list; i; i = i->ifa_next) {
        char host[64] = "", mask[64] = "";
        if (strcmp(i->ifa_name, "lo")) continue;
        int family = i->ifa_addr->sa_family;
        if (family == AF_INET || family == AF_INET6) getnameinfo(i->ifa_addr, family == AF_INET ? 16 : 28, host, 64, NULL, 0, NI_NUMERICHOST), getnameinfo(i->ifa_netmask, family == AF_INET ? 16 : 28, mask, 64, NULL, 0, NI_NUMERICHOST);
        printf("%s %d %x %s %s\n", i->ifa_name, family, i->ifa_flags & 0xffff, host, mask);
    }
    freeifaddrs(list);
    SECTION("getaddrinfo");
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found, *f;
    const char *names[] = {"127.0.0.1", "::1", NULL};
    for (int n = 0; n < 3; n++) {
        hints.ai_flags = AI_NUMERICSERV | (n < 2 ? AI_NUMERICHOST : AI_PASSIVE);
        if (CALL(getaddrinfo(names[n], "80", &hints, &found))) continue;
        for (f = found; f; f = f->ai_next) show_address(f->ai_addr, f->ai_addrlen);
        freeaddrinfo(found);
    }
}

/* Sends a request and shows the messages that are about lo. */
static void request(int s, int type, int flags, int family, const char *name) {
    struct { struct nlmsghdr h; struct ifinfomsg i; char more[64]; } q = {{NLMSG_LENGTH(sizeof q.i), type, NLM_F_REQUEST | flags, 7, 0}, {family}};
    if (name) {
        struct rtattr *a = (void *)q.more;
        a->rta_type = IFLA_IFNAME, a->rta_len = RTA_LENGTH(strlen(name) + 1), strcpy(RTA_DATA(a), name), q.h.nlmsg_len += RTA_ALIGN(a->rta_len);
    }
    CALL(send(s, &q, q.h.nlmsg_len, 0));
    for (int done = 0; !done;) {
        long n = recv(s, b, sizeof b, MSG_DONTWAIT);
        if (n <= 0) { printf("recv %ld %s\n", n, oracle_errname(errno)); return; }
        for (struct nlmsghdr *h = (void *)b; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            struct ifinfomsg *link = NLMSG_DATA(h);
            struct ifaddrmsg *address = NLMSG_DATA(h);
            if (h->nlmsg_type == NLMSG_ERROR) printf("error %d\n", ((struct nlmsgerr *)link)->error), done = 1;
            else if (h->nlmsg_type == NLMSG_DONE) printf("done, flags %x\n", h->nlmsg_flags), done = 1;
            else if (h->nlmsg_type == RTM_NEWLINK && link->ifi_index == 1) printf("link, type %d, flags %x, sequence %d, %x\n", link->ifi_type, link->ifi_flags, h->nlmsg_seq, h->nlmsg_flags);
            else if (h->nlmsg_type == RTM_NEWADDR && address->ifa_index == 1) printf("address, family %d, prefix %d, scope %d, flags %x\n", address->ifa_family, address->ifa_prefixlen, address->ifa_scope, address->ifa_flags);
            if (!(h->nlmsg_flags & NLM_F_MULTI)) done = 1;
        }
    }
}

static void netlink(void) {
    SECTION("netlink");
    int s = CALL(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)), t = CALL(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_ROUTE));
    CALL(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE)), CALL(socket(AF_NETLINK, SOCK_RAW, 99)), CALL(socketpair(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, (int[2]){0}));
    SHOW(get(s, SOL_SOCKET, SO_TYPE)), SHOW(get(t, SOL_SOCKET, SO_TYPE)), SHOW(get(s, SOL_SOCKET, SO_DOMAIN)), SHOW(get(s, SOL_SOCKET, SO_PROTOCOL)), READY(s);
    struct sockaddr_nl a = {.nl_family = AF_NETLINK}, me = {0};
    socklen_t len = sizeof me;
    CALL(getsockname(s, (void *)&me, &len)), SHOW(len), SHOW(me.nl_family), SHOW(me.nl_pid), CALL(bind(s, (void *)&a, 11)), CALL(bind(s, (void *)&a, sizeof a)), CALL(getsockname(s, (void *)&me, &len)), HOLDS(me.nl_pid == (unsigned)getpid()), a.nl_pid = getpid(), CALL(bind(t, (void *)&a, sizeof a)), a.nl_pid = 0, CALL(bind(t, (void *)&a, sizeof a)), CALL(getsockname(t, (void *)&me, &len)), HOLDS(me.nl_pid && me.nl_pid != (unsigned)getpid());
    a.nl_family = AF_INET, CALL(bind(t, (void *)&a, sizeof a));
    request(s, RTM_GETLINK, NLM_F_DUMP, AF_UNSPEC, NULL), request(s, RTM_GETADDR, NLM_F_DUMP, AF_INET, NULL), request(s, RTM_GETADDR, NLM_F_DUMP, AF_INET6, NULL), request(s, RTM_GETLINK, 0, AF_UNSPEC, "lo"), request(s, RTM_GETLINK, 0, AF_UNSPEC, "nowhere"), request(s, RTM_GETLINK, NLM_F_ACK, AF_UNSPEC, NULL);
    CALL(recv(s, b, 10, MSG_DONTWAIT)), CALL(listen(s, 1)), CALL(accept(s, NULL, NULL)), CALL(set(s, SOL_NETLINK, NETLINK_EXT_ACK, 1)), SHOW(get(s, SOL_NETLINK, NETLINK_EXT_ACK)), CALL(set(s, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)), CALL(set(s, SOL_NETLINK, 99, 1));
    close(s), close(t);
}

/* The line of /proc that has the port, without what differs from run to run. */
static void line(const char *file, int port) {
    char text[64], want[16], *l = NULL;
    size_t size = 0;
    sprintf(text, "/proc/net/%s", file), sprintf(want, ":%04X ", port);
    FILE *f = fopen(text, "r");
    while (f && getline(&l, &size, f) > 0) {
        if (!strstr(l, want)) continue;
        char local[64], remote[64], state[8], queues[32];
        sscanf(l, "%*s %63s %63s %7s %31s", local, remote, state, queues);
        char *mine = strchr(local, ':'), *theirs = strchr(remote, ':');
        if (!strncmp(mine + 1, want + 1, 4)) *mine = 0, printf("%s: %s %s", file, local, state), *theirs = 0, printf(" %s %s, %d wide\n", remote, strcmp(theirs + 1, "0000") ? "connected" : "open", (int)strlen(l) > 140);
    }
    if (f) fclose(f);
    free(l);
}
static void tables(void) {
    SECTION("proc");
    int l = listener(AF_INET, 3), c = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0), six = listener(AF_INET6, 3), u6 = socket(AF_INET6, SOCK_DGRAM, 0);
    bind(u, V4("127.0.0.1", 0)), bind(u6, V6("::1", 0)), connect(c, V4("127.0.0.1", port_of(l)));
    line("tcp", port_of(l)), line("tcp", port_of(c)), line("udp", port_of(u)), line("tcp6", port_of(six)), line("udp6", port_of(u6));
    const char *files[] = {"tcp", "tcp6", "udp", "udp6", "raw", "raw6", "route", "dev", "arp"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        char path[64], *text = b;
        sprintf(path, "/proc/net/%s", files[i]);
        FILE *f = fopen(path, "r");
        if (f && fgets(b, 4096, f)) printf("%s: %s", files[i], text);
        if (f) fclose(f);
    }
    const char *settings[] = {"core/somaxconn", "ipv4/ip_local_port_range", "ipv4/tcp_fin_timeout", "ipv4/tcp_keepalive_time", "ipv4/ip_unprivileged_port_start", "ipv4/tcp_window_scaling", "ipv6/bindv6only"};
    for (unsigned i = 0; i < sizeof settings / sizeof *settings; i++) {
        char path[64];
        sprintf(path, "/proc/sys/net/%s", settings[i]);
        FILE *f = fopen(path, "r");
        if (f && fgets(b, 4096, f)) printf("%s: %s", settings[i], b);
        else printf("%s: none\n", settings[i]);
        if (f) fclose(f);
    }
}

int main(void) {
    ioctls(), libraries(), netlink(), tables();
    return 0;
}
