// What a program gets of its caller's capabilities: none for a user, what is ambient, the bounding set for root.
#include "oracle.h"
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { NOBODY = 65534, PORTS = 1 << CAP_NET_BIND_SERVICE };
static const char *self;

// The sets of this process, as far as they do not depend on what the host lets root have.
static void show(void) {
    char line[256];
    unsigned long long inheritable = 0, permitted = 0, effective = 0, bounding = 0, ambient = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, f)) {
        sscanf(line, "CapInh: %llx", &inheritable), sscanf(line, "CapPrm: %llx", &permitted);
        sscanf(line, "CapEff: %llx", &effective), sscanf(line, "CapBnd: %llx", &bounding);
        sscanf(line, "CapAmb: %llx", &ambient);
    }
    fclose(f);
    if (permitted == bounding) permitted = ~0ULL;
    if (effective == bounding) effective = ~0ULL;
    printf("inheritable %llx permitted %llx effective %llx ambient %llx\n", inheritable, permitted, effective, ambient);
}
static int set(unsigned permitted, unsigned inheritable) {
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2] = {{permitted, permitted, inheritable}};
    return syscall(SYS_capset, &h, d);
}
static int ambient(int what, int cap) { return prctl(PR_CAP_AMBIENT, what, cap, 0, 0); }
// In a child, which becomes another program at the end.
#define CHILD(...)                                        \
    do {                                                  \
        fflush(stdout);                                   \
        if (fork() == 0) {                                \
            __VA_ARGS__;                                  \
            fflush(stdout);                               \
            execl(self, self, "show", NULL), _exit(1);    \
        }                                                 \
        wait(NULL);                                       \
    } while (0)

int main(int argc, char **argv) {
    self = argv[0];
    if (argc > 1) {
        show(), CALL(access("/etc/shadow", R_OK)), CALL(setuid(0));
        return 0;
    }
    SECTION("root");
    CHILD();
    CHILD(CALL(set(PORTS, PORTS)), show());
    CHILD(CALL(set(PORTS, 0)), CALL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)));
    CHILD(CALL(setresuid(0, NOBODY, 0)));
    CHILD(CALL(setresuid(NOBODY, 0, 0)));
    SECTION("a user");
    CHILD(CALL(setuid(NOBODY)));
    CHILD(CALL(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)), CALL(setuid(NOBODY)), CALL(set(PORTS, PORTS)), show());
    SECTION("ambient");
    CALL(ambient(PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE)), CALL(ambient(PR_CAP_AMBIENT_IS_SET, CAP_NET_BIND_SERVICE)), CALL(ambient(PR_CAP_AMBIENT_RAISE, 99)), CALL(ambient(9, 1)), CALL(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0));
    CHILD(CALL(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)), CALL(set(PORTS, PORTS)), CALL(ambient(PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE)), CALL(ambient(PR_CAP_AMBIENT_IS_SET, CAP_NET_BIND_SERVICE)), CALL(setuid(NOBODY)), show());
    CHILD(CALL(set(PORTS, PORTS)), CALL(ambient(PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE)), CALL(setuid(NOBODY)), show());
    CHILD(CALL(set(PORTS, PORTS)), CALL(ambient(PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE)), CALL(set(PORTS, 0)), show());
    CHILD(CALL(set(PORTS, PORTS)), CALL(ambient(PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE)), CALL(ambient(PR_CAP_AMBIENT_LOWER, CAP_NET_BIND_SERVICE)), show());
    CHILD(CALL(set(PORTS, PORTS)), CALL(ambient(PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE)), CALL(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)), show());
    return 0;
}
