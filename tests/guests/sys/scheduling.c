// Scheduling policies, priorities and affinities: checked and kept as wished.
// options: --cpus 2
#include "oracle.h"
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t min, max;
} a;
#define SETATTR(...) ({ a = (struct attr){.size = sizeof a, __VA_ARGS__}; syscall(SYS_sched_setattr, 0, &a, 0); })
static void show(void) {
    memset(&a, 0, sizeof a);
    CALL(syscall(SYS_sched_getattr, 0, &a, 48, 0));
    SHOW(a.size), SHOW(a.policy), SHOW(a.flags), SHOW(a.nice), SHOW(a.priority);
}
static void line(const char *name) {
    char text[256];
    sprintf(text, "/proc/self/task/%d/status", gettid());
    FILE *f = fopen(text, "r");
    while (fgets(text, sizeof text, f))
        if (!strncmp(text, name, strlen(name))) fputs(text, stdout);
    fclose(f);
}
static int stat_field(int n) {
    char text[1024];
    FILE *f = fopen("/proc/self/stat", "r");
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    char *p = strrchr(text, ')') + 1;
    for (int i = 2; i < n - 1; i++) p = strchr(p + 1, ' ');
    return atoi(p);
}

static void policies(void) {
    SECTION("policies");
    struct sched_param p = {0};
    CALL(sched_getscheduler(0));
    for (int policy = -1; policy < 9; policy++)
        for (p.sched_priority = -1; p.sched_priority < 2; p.sched_priority++) {
            SHOW(policy), SHOW(p.sched_priority);
            CALL(sched_setscheduler(0, policy, &p));
        }
    p.sched_priority = 99;
    CALL(sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &p));
    CALL(sched_getscheduler(0));
    SHOW(stat_field(18)), SHOW(stat_field(40)), SHOW(stat_field(41));
    p.sched_priority = 100;
    CALL(sched_setscheduler(0, SCHED_RR, &p));
    CALL(sched_setparam(0, &p));
    p.sched_priority = 7;
    CALL(sched_setparam(0, &p));
    p.sched_priority = 0;
    CALL(sched_getparam(0, &p)), SHOW(p.sched_priority);
    p.sched_priority = 0;
    CALL(sched_setparam(0, &p));
    show();
    CALL(sched_setscheduler(0, SCHED_BATCH, &p));
    CALL(sched_getscheduler(0));
    SHOW(stat_field(18)), SHOW(stat_field(40)), SHOW(stat_field(41));
    CALL(sched_setscheduler(0, SCHED_OTHER, &p));
    CALL(sched_setscheduler(-1, 0, &p)), CALL(sched_setscheduler(4000000, 0, &p)), CALL(sched_setscheduler(0, 0, NULL));
    CALL(sched_setscheduler(0, 0, BADPTR)), CALL(sched_getscheduler(-1)), CALL(sched_getscheduler(4000000));
    CALL(sched_setparam(-1, &p)), CALL(sched_setparam(0, NULL)), CALL(sched_setparam(0, BADPTR)), CALL(sched_setparam(4000000, &p));
    CALL(sched_getparam(-1, &p)), CALL(sched_getparam(0, NULL)), CALL(sched_getparam(0, BADPTR));
    for (int i = -1; i < 7; i++) CALL(sched_get_priority_max(i)), CALL(sched_get_priority_min(i));
}

static void attributes(void) {
    SECTION("sched_setattr");
    CALL(SETATTR(.policy = SCHED_RR, .priority = 3)), show();
    CALL(SETATTR(.policy = SCHED_BATCH, .nice = 5)), show();
    CALL(SETATTR(.policy = SCHED_OTHER, .nice = -100, .flags = 1)), show();
    CALL(SETATTR(.policy = SCHED_OTHER, .nice = 100)), show();
    CALL(getpriority(PRIO_PROCESS, 0));
    CALL(SETATTR(.policy = SCHED_FIFO, .priority = 4, .flags = 8)), show();
    CALL(SETATTR(.policy = SCHED_IDLE, .priority = 4, .flags = 16)), show();
    CALL(SETATTR(.policy = SCHED_OTHER, .priority = 4)), CALL(SETATTR(.policy = 77)), CALL(SETATTR(.policy = -1));
    CALL(SETATTR(.policy = SCHED_OTHER, .flags = 0x1000));
    CALL(SETATTR(.policy = 6)), CALL(SETATTR(.policy = 6, .runtime = 2000000, .deadline = 1000000));
    a = (struct attr){.size = 47}, CALL(syscall(SYS_sched_setattr, 0, &a, 0)), SHOW(a.size >= 56);
    a = (struct attr){.size = 5000}, CALL(syscall(SYS_sched_setattr, 0, &a, 0)), SHOW(a.size >= 56);
    a = (struct attr){.size = 0}, CALL(syscall(SYS_sched_setattr, 0, &a, 0));
    CALL(syscall(SYS_sched_setattr, 0, NULL, 0)), CALL(syscall(SYS_sched_setattr, 0, BADPTR, 0)), CALL(syscall(SYS_sched_setattr, 0, &a, 1));
    CALL(syscall(SYS_sched_setattr, -1, &a, 0)), CALL(syscall(SYS_sched_setattr, 4000000, &a, 0));
    CALL(syscall(SYS_sched_getattr, 0, NULL, 48, 0)), CALL(syscall(SYS_sched_getattr, 0, &a, 47, 0)), CALL(syscall(SYS_sched_getattr, 0, &a, 4097, 0));
    CALL(syscall(SYS_sched_getattr, 0, &a, 48, 1)), CALL(syscall(SYS_sched_getattr, -1, &a, 48, 0)), CALL(syscall(SYS_sched_getattr, 4000000, &a, 48, 0));
    CALL(syscall(SYS_sched_getattr, 0, BADPTR, 48, 0));
}

static pthread_barrier_t barrier;
static pid_t other;
static void *child(void *x) {
    struct sched_param p;
    other = gettid();
    SHOW(sched_getscheduler(0)), sched_getparam(0, &p), SHOW(p.sched_priority), SHOW(getpriority(PRIO_PROCESS, 0));
    line("Cpus_allowed");
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    SHOW(sched_getscheduler(0)), SHOW(getpriority(PRIO_PROCESS, 0)), line("Cpus_allowed");
    return x;
}
static void inheritance(void) {
    SECTION("threads");
    struct sched_param p = {.sched_priority = 9};
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(1, &set);
    pthread_barrier_init(&barrier, NULL, 2);
    for (int reset = 0; reset < 2; reset++) {
        pthread_t t;
        p.sched_priority = 9;
        CALL(setpriority(PRIO_PROCESS, 0, -3)), CALL(sched_setscheduler(0, SCHED_RR | (reset ? SCHED_RESET_ON_FORK : 0), &p));
        pthread_create(&t, NULL, child, NULL);
        pthread_barrier_wait(&barrier);
        p.sched_priority = 0;
        CALL(sched_setscheduler(other, SCHED_IDLE, &p)), CALL(setpriority(PRIO_PROCESS, other, 4)), CALL(sched_setaffinity(other, sizeof set, &set));
        SHOW(sched_getscheduler(other)), SHOW(sched_getscheduler(0)), SHOW(getpriority(PRIO_PROCESS, other)), SHOW(getpriority(PRIO_PROCESS, 0));
        pthread_barrier_wait(&barrier);
        pthread_join(t, NULL);
    }
    CALL(sched_setscheduler(0, SCHED_OTHER, &p)), CALL(setpriority(PRIO_PROCESS, 0, 0));
}

static void affinity(void) {
    SECTION("affinity");
    unsigned long m[16] = {0};
    line("Cpus_allowed");
    m[0] = 1;
    CALL(sched_setaffinity(0, sizeof m, (cpu_set_t *)m));
    line("Cpus_allowed_list");
    memset(m, 0xee, sizeof m);
    OK(sched_getaffinity(0, sizeof m, (cpu_set_t *)m)), SHOW(m[0]);
    m[0] = 2, CALL(sched_setaffinity(0, 8, (cpu_set_t *)m)), line("Cpus_allowed_list");
    m[0] = 3, CALL(sched_setaffinity(0, 1, (cpu_set_t *)m)), line("Cpus_allowed_list");
    m[0] = 0, CALL(sched_setaffinity(0, 8, (cpu_set_t *)m)), CALL(sched_setaffinity(0, 0, (cpu_set_t *)m));
    m[0] = 1ul << 63, CALL(sched_setaffinity(0, 8, (cpu_set_t *)m));
    CALL(sched_setaffinity(0, 8, BADPTR)), CALL(sched_setaffinity(-1, 8, (cpu_set_t *)m)), CALL(sched_setaffinity(4000000, 8, (cpu_set_t *)m));
    CALL(syscall(SYS_sched_getaffinity, 0, 7, m)), CALL(syscall(SYS_sched_getaffinity, 0, 12, m)), CALL(syscall(SYS_sched_getaffinity, 0, 0, m));
    CALL(syscall(SYS_sched_getaffinity, -1, 8, m)), CALL(syscall(SYS_sched_getaffinity, 4000000, 8, m)), CALL(syscall(SYS_sched_getaffinity, 0, 8, BADPTR));
    CALL(sched_getcpu() < 2);
}

static void priorities(void) {
    SECTION("nice");
    for (int n = -25; n <= 25; n += 10) CALL(setpriority(PRIO_PROCESS, 0, n)), CALL(getpriority(PRIO_PROCESS, 0)), SHOW(stat_field(19)), SHOW(stat_field(18));
    CALL(setpriority(PRIO_PGRP, 0, 3)), CALL(syscall(SYS_getpriority, PRIO_PGRP, 0));
    CALL(setpriority(9, 0, 3)), CALL(getpriority(9, 0)), CALL(setpriority(PRIO_PROCESS, 4000000, 3)), CALL(getpriority(PRIO_PGRP, 4000000)), CALL(getpriority(PRIO_USER, 4000000));
    struct rlimit none = {0, 0};
    struct sched_param p = {0}, high = {.sched_priority = 5};
    CALL(sched_setscheduler(0, SCHED_FIFO, &high));
    CALL(setrlimit(RLIMIT_NICE, &none)), CALL(setrlimit(RLIMIT_RTPRIO, &none)), CALL(setuid(1000));
    CALL(setpriority(PRIO_PROCESS, 0, 2)), CALL(setpriority(PRIO_PROCESS, 0, 4));
    CALL(sched_setscheduler(0, SCHED_FIFO, &high)), high.sched_priority = 6, CALL(sched_setscheduler(0, SCHED_FIFO, &high));
    CALL(sched_setscheduler(0, SCHED_IDLE | SCHED_RESET_ON_FORK, &p)), CALL(sched_setscheduler(0, SCHED_IDLE, &p)), CALL(sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &p));
    CALL(sched_setscheduler(1, SCHED_BATCH, &p) < 0);
    CALL(SETATTR(.policy = 6, .runtime = 2000000, .deadline = 10000000, .flags = 1));
}

int main(void) {
    setpriority(PRIO_PROCESS, 0, 0); /* whatever was inherited */
    policies(), attributes(), inheritance(), affinity(), priorities();
    return 0;
}
