// Users, groups and what comes with them: each call as root, then as a user who may no longer.
#include "oracle.h"
#include <grp.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <linux/capability.h>

#define C(name, ...) syscall(SYS_##name, __VA_ARGS__)
enum { NOBODY = 65534 };
static void show(void) {
    uid_t u[3];
    gid_t g[3];
    getresuid(&u[0], &u[1], &u[2]), getresgid(&g[0], &g[1], &g[2]);
    printf("users %d %d %d groups %d %d %d fs %d %d\n", u[0], u[1], u[2], g[0], g[1], g[2], setfsuid(-1), setfsgid(-1));
}
static void capabilities(void) {
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];
    CALL(C(capget, &h, d));
    printf("any capability: effective %d permitted %d\n", d[0].effective != 0, d[0].permitted != 0);
}

int main(void) {
    struct rlimit l = {10, 20};
    struct sched_param p = {0};
    struct timespec ts;
    struct timeval tv = {0, 1};
    struct timex tx = {0};
    gid_t groups[4] = {7, 5, 9, 5};
    SECTION("root");
    show();
    CALL(C(setgroups, 4L, groups)), CALL(getgroups(4, groups)), printf("%d %d %d %d\n", groups[0], groups[1], groups[2], groups[3]), CALL(getgroups(2, groups)), CALL(C(getgroups, 4, BADPTR)), CALL(C(setgroups, 3L, BADPTR)), CALL(C(setgroups, 65537L, groups)), CALL(C(setgroups, 1L, &(gid_t){-1})), CALL(C(setgroups, 0L, NULL)), CALL(getgroups(0, NULL));
    CALL(setgid(-1)), CALL(setuid(-1)), CALL(setfsgid(55)), CALL(setfsgid(0)), CALL(setfsuid(55)), CALL(setfsuid(0)), show();
    CALL(setresgid(1, 2, 3)), show(), CALL(setresgid(-1, -1, 7)), show(), CALL(setregid(4, 5)), show(), CALL(setregid(-1, 4)), show(), CALL(setregid(6, -1)), show(), CALL(setregid(-1, -1)), show(), CALL(setgid(NOBODY)), show();
    CALL(setresuid(-1, -1, 3)), show(), CALL(setresuid(0, 0, 0)), show();
    CALL(setrlimit(RLIMIT_LOCKS, &l)), l.rlim_cur = 21, CALL(setrlimit(RLIMIT_LOCKS, &l)), CALL(getrlimit(RLIMIT_LOCKS, &l)), SHOW(l.rlim_cur), SHOW(l.rlim_max);
    l = (struct rlimit){0, 0}, CALL(setrlimit(RLIMIT_RTPRIO, &l)), CALL(setrlimit(RLIMIT_NICE, &l)), l = (struct rlimit){4096, 4096}, CALL(setrlimit(RLIMIT_MEMLOCK, &l));
    CALL(C(setrlimit, RLIMIT_LOCKS, &(struct rlimit){9, 20})), CALL(C(setrlimit, RLIMIT_LOCKS, &(struct rlimit){21, 20})), CALL(C(setrlimit, 16, &l)), CALL(C(setrlimit, -1, &l)), CALL(C(getrlimit, 16, &l)), CALL(C(getrlimit, RLIMIT_LOCKS, &l)), CALL(C(getrlimit, -1, &l)), CALL(C(prlimit64, 0, 16, NULL, &l)), CALL(C(prlimit64, -1, RLIMIT_LOCKS, NULL, &l));
    SECTION("half a user");
    CALL(setresuid(0, NOBODY, 0)), show(), capabilities(), CALL(C(setgroups, 0L, NULL)), CALL(setgid(5)), CALL(open("/etc/shadow", O_RDONLY)), CALL(seteuid(0)), show(), CALL(setreuid(NOBODY, -1)), show(), CALL(setreuid(-1, NOBODY)), show(), CALL(setreuid(0, 0)), show();
    CALL(setresuid(0, 0, 0)), CALL(setreuid(NOBODY, 0)), show(), CALL(setreuid(0, NOBODY)), show(), CALL(setresuid(0, 0, 0)), show();
    CALL(prctl(PR_CAPBSET_READ, 41)), CALL(prctl(PR_CAPBSET_READ, CAP_CHOWN));
    SECTION("user");
    CALL(setuid(NOBODY)), show(), capabilities();
    CALL(setuid(0)), CALL(setgid(0)), CALL(setresuid(0, -1, -1)), CALL(setresuid(-1, 1, -1)), CALL(setresuid(NOBODY, NOBODY, NOBODY)), CALL(setresgid(0, -1, -1)), CALL(setresgid(-1, -1, 1)), CALL(setreuid(0, -1)), CALL(setreuid(-1, 0)), CALL(setregid(0, -1)), CALL(setregid(-1, 1)), CALL(setregid(NOBODY, NOBODY)), CALL(C(setgroups, 0L, NULL)), CALL(setfsuid(0)), CALL(setfsuid(-1)), CALL(setfsgid(0)), CALL(setfsgid(-1)), CALL(setuid(NOBODY)), CALL(setgid(NOBODY)), show();
    l = (struct rlimit){1, 100}, CALL(setrlimit(RLIMIT_LOCKS, &l)), l.rlim_max = 15, CALL(setrlimit(RLIMIT_LOCKS, &l)), CALL(C(setrlimit, RLIMIT_LOCKS, &(struct rlimit){5, 1000})), CALL(C(prlimit64, 0, RLIMIT_LOCKS, &(struct rlimit){5, 1000}, NULL)), CALL(C(prlimit64, getpid(), RLIMIT_LOCKS, NULL, &l));
    CALL(C(settimeofday, &tv, NULL)), CALL(C(settimeofday, BADPTR, NULL)), CALL(C(settimeofday, &tv, BADPTR)), CALL(C(settimeofday, &(struct timeval){0, 1000000}, NULL)), CALL(C(settimeofday, &(struct timeval){-1, 0}, NULL)), CALL(C(settimeofday, NULL, &(int[2]){0, 0}));
    ts = (struct timespec){1, 0}, CALL(C(clock_settime, CLOCK_REALTIME, &ts)), CALL(C(clock_settime, CLOCK_MONOTONIC, &ts)), CALL(C(clock_settime, 99, &ts)), CALL(C(clock_settime, CLOCK_REALTIME, BADPTR)), CALL(C(clock_settime, CLOCK_REALTIME, &(struct timespec){0, 1000000000})), CALL(C(clock_settime, CLOCK_PROCESS_CPUTIME_ID, &ts));
    OK(C(adjtimex, &tx)), SHOW(tx.tick > 0), tx.modes = ADJ_OFFSET_SS_READ, OK(C(adjtimex, &tx)), CALL(C(adjtimex, BADPTR));
    unsigned modes[] = {ADJ_OFFSET, ADJ_TICK, ADJ_STATUS, ADJ_OFFSET_SINGLESHOT, 0x8000, 0xa000, 0x4000};
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) tx = (struct timex){.modes = modes[i], .tick = 10000}, CALL(C(adjtimex, &tx)), CALL(clock_adjtime(CLOCK_REALTIME, &tx));
    for (int clock = -6; clock < 14; clock++) tx = (struct timex){0}, printf("%d: ", clock), OK(clock_adjtime(clock, &tx)), CALL(C(clock_adjtime, clock, BADPTR));
    CALL(sethostname("x", 1)), CALL(C(sethostname, BADPTR, 1L)), CALL(C(sethostname, "x", -1L)), CALL(setdomainname("x", 1)), CALL(C(setdomainname, BADPTR, 1L)), CALL(chroot(".")), CALL(chroot("nope")), CALL(C(chroot, BADPTR)), CALL(C(chroot, ""));
    CALL(setpriority(PRIO_PROCESS, 0, 5)), CALL(setpriority(PRIO_PROCESS, 0, 0)), CALL(setpriority(PRIO_PROCESS, 0, -5)), CALL(setpriority(9, 0, 0)), CALL(setpriority(PRIO_PROCESS, 0x3fffffff, 0)), CALL(setpriority(PRIO_PROCESS, 0, 100)), CALL(C(getpriority, PRIO_PROCESS, 0));
    p.sched_priority = 1, CALL(sched_setscheduler(0, SCHED_FIFO, &p)), CALL(sched_setscheduler(0, SCHED_RR, &p)), p.sched_priority = 100, CALL(sched_setscheduler(0, SCHED_FIFO, &p)), p.sched_priority = 0, CALL(sched_setscheduler(0, SCHED_FIFO, &p)), CALL(sched_setscheduler(-1, SCHED_OTHER, &p)), CALL(C(sched_setscheduler, 0, SCHED_OTHER, BADPTR)), CALL(C(sched_setscheduler, 0, SCHED_OTHER, NULL));
    void *m = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CALL(mlock(m, 4096)), CALL(mlock(m, 1 << 16)), CALL(C(mlock2, m, 1L << 16, 1)), CALL(munlock(m, 4096)), CALL(mlockall(MCL_CURRENT | MCL_FUTURE)), CALL(munlockall());
    SECTION("processes");
    int status;
    CALL(wait4(-1, &status, 0, NULL)), CALL(wait4(-1, &status, WNOHANG, NULL)), CALL(wait4(-1, &status, 0x100, NULL)), CALL(wait4(0x3fffffff, NULL, 0, NULL)), CALL(wait4(INT_MIN, NULL, 0, NULL));
    setpgid(0, 0); /* a leader of its group in any case */
    CALL(setpgid(0, 0x3fffffff)), CALL(setpgid(-1, 0)), CALL(setpgid(0, -1)), CALL(setpgid(0x3fffffff, 0)), CALL(getpgid(-1)), CALL(getsid(-1)), CALL(getsid(0x3fffffff)), HOLDS(getpgid(getpid()) == getpgrp()), CALL(setsid()), HOLDS(getpgrp() == getpid());
    return 0;
}
