// What a program says of itself: prctl, personality, capget, limits.
#include "oracle.h"
#include <linux/capability.h>
#include <pthread.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define P(...) prctl(__VA_ARGS__)

static void *thread(void *x) {
    int n;
    SHOW(P(PR_GET_DUMPABLE)), P(PR_GET_PDEATHSIG, &n), SHOW(n), SHOW(P(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)), SHOW(P(PR_GET_TIMERSLACK));
    CALL(P(PR_SET_TIMERSLACK, 0)), SHOW(P(PR_GET_TIMERSLACK)), CALL(P(PR_SET_TIMERSLACK, 5)), SHOW(P(PR_GET_TIMERSLACK));
    CALL(P(PR_SET_TIMERSLACK, 0)), SHOW(P(PR_GET_TIMERSLACK));
    SHOW(personality(0xffffffff)), personality(PER_LINUX), P(PR_GET_CHILD_SUBREAPER, &n), SHOW(n), P(PR_SET_CHILD_SUBREAPER, 0);
    return x;
}

static void options(void) {
    SECTION("prctl");
    int n = 7;
    char name[17] = {0};
    CALL(P(PR_SET_NAME, "a name that is too long")), CALL(P(PR_GET_NAME, name)), puts(name), CALL(P(PR_SET_NAME, BADPTR)), CALL(P(PR_GET_NAME, BADPTR));
    CALL(P(PR_GET_DUMPABLE)), CALL(P(PR_SET_DUMPABLE, 0)), CALL(P(PR_GET_DUMPABLE)), CALL(P(PR_SET_DUMPABLE, 2)), CALL(P(PR_SET_DUMPABLE, 7)), CALL(P(PR_SET_DUMPABLE, 1));
    CALL(P(PR_GET_KEEPCAPS)), CALL(P(PR_SET_KEEPCAPS, 1)), CALL(P(PR_GET_KEEPCAPS)), CALL(P(PR_SET_KEEPCAPS, 2)), CALL(P(PR_SET_KEEPCAPS, 0));
    CALL(P(PR_SET_PDEATHSIG, 99)), CALL(P(PR_SET_PDEATHSIG, 65)), CALL(P(PR_SET_PDEATHSIG, -1)), CALL(P(PR_SET_PDEATHSIG, 64));
    CALL(P(PR_GET_PDEATHSIG, &n)), SHOW(n), CALL(P(PR_GET_PDEATHSIG, BADPTR)), CALL(P(PR_SET_PDEATHSIG, SIGUSR1));
    CALL(P(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)), CALL(P(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0)), CALL(P(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)), CALL(P(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
    CALL(P(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)), CALL(P(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)), CALL(P(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    CALL(P(PR_GET_TIMERSLACK)), CALL(P(PR_SET_TIMERSLACK, 1234)), CALL(P(PR_GET_TIMERSLACK)), CALL(P(PR_SET_TIMERSLACK, 0)), CALL(P(PR_GET_TIMERSLACK)), CALL(P(PR_SET_TIMERSLACK, 777));
    CALL(P(PR_SET_CHILD_SUBREAPER, 5)), CALL(P(PR_GET_CHILD_SUBREAPER, &n)), SHOW(n), CALL(P(PR_GET_CHILD_SUBREAPER, BADPTR));
    CALL(P(PR_GET_THP_DISABLE, 0, 0, 0, 0)), CALL(P(PR_GET_THP_DISABLE, 1, 0, 0, 0)), CALL(P(PR_SET_THP_DISABLE, 1, 0, 0, 0)), CALL(P(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    CALL(P(PR_SET_THP_DISABLE, 1, 0, 1, 0)), CALL(P(PR_SET_THP_DISABLE, 0, 0, 0, 0)), CALL(P(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    CALL(P(PR_GET_TIMING)), CALL(P(PR_SET_TIMING, 0)), CALL(P(PR_SET_TIMING, 1)), CALL(P(PR_GET_TSC, &n)), SHOW(n), CALL(P(PR_SET_TSC, 1)), CALL(P(PR_SET_TSC, 9)), CALL(P(PR_GET_TSC, BADPTR));
    CALL(P(PR_GET_SECCOMP)), CALL(P(PR_GET_SECUREBITS)), CALL(P(PR_MCE_KILL_GET, 0, 0, 0, 0)), CALL(P(PR_MCE_KILL_GET, 1, 0, 0, 0));
    CALL(P(PR_CAPBSET_READ, 0)), CALL(P(PR_CAPBSET_READ, 999)), CALL(P(PR_CAPBSET_READ, -1)), CALL(P(PR_CAPBSET_DROP, 999)), CALL(P(PR_CAPBSET_DROP, CAP_SYS_BOOT)), CALL(P(PR_CAPBSET_READ, CAP_SYS_BOOT));
    CALL(P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0)), CALL(P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0)), CALL(P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, 0, 0, 0));
    CALL(P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)), CALL(P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0)), CALL(P(PR_CAP_AMBIENT, 9, 0, 0, 0)), CALL(P(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 99, 0, 0));
    CALL(P(PR_TASK_PERF_EVENTS_DISABLE)), CALL(P(PR_TASK_PERF_EVENTS_ENABLE)), CALL(P(0x12345, 0)), CALL(P(-1, 0));
    CALL(personality(ADDR_NO_RANDOMIZE | PER_LINUX32));
    pthread_t t;
    pthread_create(&t, NULL, thread, NULL), pthread_join(t, NULL);
    P(PR_GET_CHILD_SUBREAPER, &n), SHOW(n), SHOW(P(PR_GET_TIMERSLACK)), SHOW(personality(0xffffffff));
}

static void personas(void) {
    SECTION("personality");
    struct utsname u;
    CALL(personality(PER_LINUX32)), CALL(personality(0xffffffff)), uname(&u), puts(u.machine);
    CALL(personality(UNAME26)), uname(&u), HOLDS(!strncmp(u.release, "2.6.", 4)), puts(u.machine);
    CALL(personality(0x12345678)), CALL(personality(0)), CALL(personality(0xffffffff)), uname(&u), puts(u.machine);
}

static void capabilities(void) {
    SECTION("capget");
    uint32_t versions[] = {0x19980330, 0x20071026, 0x20080522, 0, 0x20080523};
    for (int i = 0; i < 5; i++) {
        struct __user_cap_header_struct h = {versions[i], 0};
        uint32_t d[9];
        memset(d, 0xee, sizeof d);
        CALL(syscall(SYS_capget, &h, d)), SHOW(h.version), SHOW(d[0] & 0xff), SHOW(d[2]), SHOW(d[4] == 0xeeeeeeee), SHOW(d[5]), SHOW(d[6] == 0xeeeeeeee);
        h = (struct __user_cap_header_struct){versions[i], -1}, CALL(syscall(SYS_capget, &h, NULL)), SHOW(h.version);
        h = (struct __user_cap_header_struct){versions[i], -1}, CALL(syscall(SYS_capget, &h, d));
        h = (struct __user_cap_header_struct){versions[i], 4000000}, CALL(syscall(SYS_capget, &h, d));
        h = (struct __user_cap_header_struct){versions[i], 0}, CALL(syscall(SYS_capget, &h, BADPTR));
        CALL(syscall(SYS_capget, BADPTR, d));
    }
}

static void limits(void) {
    SECTION("limits");
    struct rlimit l;
    for (int i = 0; i < 17; i++) {
        CALL(getrlimit(i, &l)), printf("%d: %lx %lx\n", i, l.rlim_cur, l.rlim_max);
        CALL(setrlimit(i, &l));
    }
    l = (struct rlimit){2, 1}, CALL(setrlimit(RLIMIT_CORE, &l)), CALL(setrlimit(RLIMIT_NOFILE, &l)), CALL(setrlimit(99, &l)), CALL(setrlimit(RLIMIT_CORE, BADPTR));
    l = (struct rlimit){100, RLIM_INFINITY}, CALL(setrlimit(RLIMIT_NOFILE, &l));
    l = (struct rlimit){100, 200}, CALL(setrlimit(RLIMIT_CORE, &l)), CALL(getrlimit(RLIMIT_CORE, &l)), SHOW(l.rlim_cur), SHOW(l.rlim_max);
    struct rlimit new = {50, 150}, old;
    CALL(prlimit(0, RLIMIT_CORE, &new, &old)), SHOW(old.rlim_cur), SHOW(old.rlim_max), CALL(prlimit(getpid(), RLIMIT_CORE, NULL, &old)), SHOW(old.rlim_cur);
    CALL(prlimit(4000000, RLIMIT_CORE, NULL, &old)), CALL(prlimit(-1, RLIMIT_CORE, NULL, &old)), CALL(prlimit(0, 99, NULL, &old)), CALL(prlimit(0, RLIMIT_CORE, BADPTR, &old)), CALL(prlimit(0, RLIMIT_CORE, NULL, BADPTR));
    CALL(prlimit(0, RLIMIT_CORE, NULL, NULL));
}

static void users(void) {
    SECTION("users");
    CALL(P(PR_GET_DUMPABLE)), CALL(P(PR_SET_KEEPCAPS, 1)), CALL(setgid(1000)), CALL(P(PR_SET_DUMPABLE, 1)), CALL(setresuid(1000, 1000, 1000));
    struct __user_cap_header_struct h = {0x20080522, 0};
    uint32_t d[6];
    CALL(syscall(SYS_capget, &h, d)), SHOW(d[0]), SHOW(d[1] & 0xff), CALL(P(PR_GET_KEEPCAPS)), CALL(P(PR_CAPBSET_DROP, 1));
    struct rlimit l = {50, 151};
    CALL(setrlimit(RLIMIT_CORE, &l)), l.rlim_max = 120, CALL(setrlimit(RLIMIT_CORE, &l));
}

int main(void) {
    options(), personas(), capabilities(), limits(), users();
    return 0;
}
