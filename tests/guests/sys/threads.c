// Threads at the level of the system calls: clone, futex in all its operations, robust lists, scheduling.
#include "oracle.h"
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/time.h>

static long futex(void *a, int op, int v, const void *t, void *b, int v3) { return syscall(SYS_futex, a, op, v, t, b, v3); }
static int word, other, turn;
static struct timespec soon = {0, 20000000};

static void *waiter(void *arg) {
    long r = futex(&word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0);
    __atomic_fetch_add((int *)arg, 1 + (r != 0) * 1000, __ATOMIC_SEQ_CST);
    return NULL;
}
static void *bitwaiter(void *arg) {
    long bits = (long)arg;
    long r = futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, bits);
    return (void *)(r * 1000 + bits);
}
static void *clone_child_tid_test(void *arg) { return arg; }

static void futexes(void) {
    SECTION("futex");
    CALL(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0));
    CALL(futex(&word, FUTEX_WAIT, 0, &soon, NULL, 0));
    CALL(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
    CALL(futex((char *)&word + 1, FUTEX_WAIT, 0, &soon, NULL, 0));
    CALL(futex((char *)&word + 2, FUTEX_WAKE, 1, NULL, NULL, 0));
    CALL(futex(BADPTR, FUTEX_WAIT, 0, &soon, NULL, 0));
    CALL(futex(NULL, FUTEX_WAIT, 0, &soon, NULL, 0));
    CALL(futex((void *)64, FUTEX_WAKE, 1, NULL, NULL, 0));
    CALL(futex((void *)64, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
    CALL(futex(&word, 99, 0, &soon, NULL, 0));
    CALL(futex(&word, FUTEX_WAIT, 0, BADPTR, NULL, 0));
    struct timespec bad = {0, 2000000000}, past = {0, 1}, negative = {-1, 0};
    CALL(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0));
    CALL(futex(&word, FUTEX_WAIT, 0, &negative, NULL, 0));
    CALL(futex(&word, FUTEX_WAIT_BITSET, 0, &past, NULL, -1));
    CALL(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &past, NULL, -1));
    CALL(futex(&word, FUTEX_WAIT_BITSET, 0, &soon, NULL, 0));
    CALL(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
    CALL(futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0));
    struct timespec abs;
    clock_gettime(CLOCK_MONOTONIC, &abs), abs.tv_nsec += 20000000;
    if (abs.tv_nsec >= 1000000000) abs.tv_sec++, abs.tv_nsec -= 1000000000;
    CALL(futex(&word, FUTEX_WAIT_BITSET, 0, &abs, NULL, -1));
    SECTION("wake, requeue");
    pthread_t t[8];
    int woken = 0;
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, waiter, &woken);
    msleep(100);
    CALL(futex(&word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
    CALL(futex(&word, FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 1, (void *)1, &other, 5));
    CALL(futex(&word, FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG, 1, (void *)1, &other, 0));
    CALL(futex(&word, FUTEX_REQUEUE | FUTEX_PRIVATE_FLAG, 0, (void *)10, &other, 0));
    CALL(futex(&word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 10, NULL, NULL, 0));
    CALL(futex(&other, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0));
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    SHOW(woken);
    CALL(futex(&word, FUTEX_CMP_REQUEUE, -1, (void *)1, &other, 0));
    for (long i = 0; i < 3; i++) pthread_create(&t[i], NULL, bitwaiter, (void *)(1L << i));
    msleep(100);
    CALL(futex(&word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 8));
    CALL(futex(&word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 6));
    CALL(futex(&word, FUTEX_WAKE, 10, NULL, NULL, 0));
    for (int i = 0; i < 3; i++) {
        void *r;
        pthread_join(t[i], &r), SHOW((long)r);
    }
    SECTION("wake_op");
    woken = 0;
    pthread_create(&t[0], NULL, waiter, &woken);
    msleep(50);
    other = 5;
    CALL(futex(&word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)));
    SHOW(other);
    CALL(futex(&word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_GT, 100)));
    SHOW(other);
    CALL(futex(&word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ANDN, 1, FUTEX_OP_CMP_NE, 0)));
    SHOW(other);
    CALL(futex(&word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1, BADPTR, FUTEX_OP(FUTEX_OP_OR, 1, FUTEX_OP_CMP_NE, 0)));
    CALL(futex(&word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, (void *)1, &other, FUTEX_OP(7, 1, FUTEX_OP_CMP_NE, 0)));
    pthread_join(t[0], NULL);
    SHOW(woken);
    SECTION("shared across mappings");
    int fd = oracle_file("f", 4096);
    int *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    *a = 0;
    void *wait_shared(void *p) { return (void *)futex(p, FUTEX_WAIT, 0, NULL, NULL, 0); }
    pthread_create(&t[0], NULL, wait_shared, a);
    msleep(50);
    CALL(futex(b, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
    CALL(futex(b, FUTEX_WAKE, 1, NULL, NULL, 0));
    pthread_join(t[0], NULL);
    SECTION("priority inheritance");
    int pi = 0;
    CALL(futex(&pi, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    HOLDS(pi == gettid());
    CALL(futex(&pi, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    CALL(futex(&pi, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
    CALL(futex(&pi, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
    SHOW(pi);
    CALL(futex(&pi, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
}

static void *robust_thread(void *m) {
    pthread_mutex_lock(m);
    return NULL;
}
static void robust(void) {
    SECTION("robust lists");
    pthread_mutexattr_t a;
    pthread_mutex_t m;
    pthread_t t;
    pthread_mutexattr_init(&a), pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&m, &a);
    pthread_create(&t, NULL, robust_thread, &m);
    pthread_join(t, NULL);
    SHOW(pthread_mutex_lock(&m) == EOWNERDEAD);
    SHOW(pthread_mutex_consistent(&m));
    SHOW(pthread_mutex_unlock(&m));
    void *head;
    size_t len;
    CALL(syscall(SYS_get_robust_list, 0, &head, &len)), SHOW(len);
    CALL(syscall(SYS_get_robust_list, 0x3fffffff, &head, &len));
    CALL(syscall(SYS_get_robust_list, 0, BADPTR, &len));
    CALL(syscall(SYS_set_robust_list, head, 23));
}

static volatile int child_ran;
static int tids[2];
static int bare(void *arg) {
    child_ran = *(int *)arg;
    syscall(SYS_exit, 3);
    return 0;
}
static void clones(void) {
    SECTION("clone");
    char *stack = malloc(64 << 10);
    int arg = 42;
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    tids[1] = 1;
    long tid = OK(clone(bare, stack + (64 << 10), flags, &arg, &tids[0], NULL, &tids[1]));
    while (__atomic_load_n(&tids[1], __ATOMIC_SEQ_CST)) futex(&tids[1], FUTEX_WAIT, 1, &soon, NULL, 0);
    SHOW(child_ran), HOLDS(tids[0] == tid), SHOW(tids[1]);
    CALL(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
    CALL(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0));
    CALL(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0));
    struct clone_args ca = {.flags = CLONE_THREAD};
    CALL(syscall(SYS_clone3, &ca, sizeof ca));
    CALL(syscall(SYS_clone3, &ca, 8));
    CALL(syscall(SYS_clone3, BADPTR, sizeof ca));
    CALL(syscall(SYS_clone3, &ca, 100000));
    ca.flags = 0x100000000000;
    CALL(syscall(SYS_clone3, &ca, sizeof ca));
    HOLDS(syscall(SYS_set_tid_address, &tids[1]) == gettid());
    pthread_t t;
    void *r;
    for (long i = 0; i < 3; i++) {
        pthread_create(&t, NULL, clone_child_tid_test, (void *)(i * 7));
        pthread_join(t, &r), SHOW((long)r);
    }
    HOLDS(gettid() == getpid());
    void *ids(void *x) { (void)x; return (void *)(long)(gettid() != getpid()); }
    pthread_create(&t, NULL, ids, NULL);
    pthread_join(t, &r), SHOW((long)r);
}

static void scheduling(void) {
    SECTION("scheduling");
    cpu_set_t set;
    struct sched_param p = {0};
    struct timespec ts;
    CALL(sched_yield());
    CALL(sched_getscheduler(0));
    CALL(sched_getparam(0, &p)), SHOW(p.sched_priority);
    CALL(sched_setscheduler(0, SCHED_OTHER, &p));
    CALL(sched_setscheduler(0, SCHED_OTHER, &p));
    p.sched_priority = 5;
    CALL(sched_setscheduler(0, SCHED_OTHER, &p));
    CALL(sched_setscheduler(0, 99, &p));
    CALL(sched_setscheduler(0x3fffffff, SCHED_OTHER, &p));
    CALL(sched_getscheduler(0x3fffffff));
    CALL(sched_getscheduler(-1));
    CALL(sched_get_priority_max(SCHED_FIFO));
    CALL(sched_get_priority_min(SCHED_FIFO));
    CALL(sched_get_priority_max(SCHED_OTHER));
    CALL(sched_get_priority_max(99));
    CALL(sched_rr_get_interval(0x3fffffff, &ts));
    CPU_ZERO(&set);
    OK(syscall(SYS_sched_getaffinity, 0, sizeof set, &set));
    SHOW(CPU_COUNT(&set));
    CALL(syscall(SYS_sched_getaffinity, 0, 3, &set));
    CALL(syscall(SYS_sched_getaffinity, 0, sizeof set, BADPTR));
    CALL(syscall(SYS_sched_getaffinity, 0x3fffffff, sizeof set, &set));
    CALL(sched_setaffinity(0, sizeof set, &set));
    CPU_ZERO(&set); CPU_SET(0, &set);
    CALL(sched_setaffinity(0, sizeof set, &set));
    OK(sched_getcpu());
    CPU_ZERO(&set);
    CALL(sched_setaffinity(0, sizeof set, &set));
    CPU_SET(1000, &set);
    CALL(sched_setaffinity(0, sizeof set, &set));
    CALL(sched_setaffinity(0, sizeof set, BADPTR));
    setpriority(PRIO_PROCESS, 0, 0); /* whatever the tests run with */
    CALL(getpriority(PRIO_PROCESS, 0));
    CALL(setpriority(PRIO_PROCESS, 0, 5));
    CALL(getpriority(PRIO_PROCESS, 0));
    CALL(setpriority(PRIO_PROCESS, 0, 100));
    CALL(syscall(SYS_getpriority, PRIO_PROCESS, 0));
    CALL(getpriority(99, 0));
    CALL(getpriority(PRIO_PROCESS, 0x3fffffff));
}

static void *leader_outlived(void *arg) {
    (void)arg;
    msleep(100);
    printf("the leader is gone\n");
    exit(4);
}
int main(void) {
    futexes();
    robust();
    clones();
    scheduling();
    SECTION("the leader exits first");
    pthread_t t;
    pthread_create(&t, NULL, leader_outlived, NULL);
    fflush(stdout);
    pthread_exit(NULL);
}
