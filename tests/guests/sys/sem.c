// System V semaphores: operations that happen together or not at all, who waits and is woken, what a process owes, permissions.
// flags: -pthread
#include "oracle.h"
#include <grp.h>
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/wait.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
    struct seminfo *info;
};
#define OP(n, v, f) ((struct sembuf){n, v, f})
#define DO(...) ({ struct sembuf s_[] = {__VA_ARGS__}; semop(id, s_, sizeof s_ / sizeof *s_); })
/* glibc's makes the other call. */
#define semop(set, ops, count) syscall(SYS_semop, set, ops, count)
static int id;

static void values(void) {
    unsigned short v[3];
    semctl(id, 0, GETALL, v);
    printf("values %d %d %d, growing %d %d, zero %d %d\n", v[0], v[1], v[2], semctl(id, 0, GETNCNT), semctl(id, 1, GETNCNT), semctl(id, 0, GETZCNT), semctl(id, 1, GETZCNT));
}
static int listed(void) {
    FILE *f = fopen("/proc/sysvipc/sem", "r");
    char line[400];
    int key, n, mode, found = 0;
    unsigned count;
    fgets(line, sizeof line, f);
    printf("%s", line);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%d %d %o %u", &key, &n, &mode, &count) == 4 && n == id) printf("mode %o count %u line %zu\n", mode, count, strlen(line)), found = 1;
    fclose(f);
    return found;
}
static void nothing(int s) { (void)s; }

struct work {
    struct sembuf ops[2];
    int count, result, error;
    struct timespec *limit;
    pthread_t thread;
};
static void *run(void *p) {
    struct work *w = p;
    w->result = semtimedop(id, w->ops, w->count, w->limit);
    w->error = w->result ? errno : 0;
    return NULL;
}
static void start(struct work *w, int waiting) {
    pthread_create(&w->thread, NULL, run, w);
    for (int i = 0, n = 0; i < 2000 && n != waiting; i++, msleep(1))
        for (int k = n = 0; k < 3; k++) n += semctl(id, k, GETNCNT) + semctl(id, k, GETZCNT);
}
static void end(struct work *w) {
    pthread_join(w->thread, NULL);
    printf("ended with %d %s\n", w->result, w->result ? oracle_errname(w->error) : "");
}

int main(void) {
    key_t key = 0x6c6a0000 + getpid() % 0xffff;
    struct semid_ds d;
    union semun arg = {.buf = &d};
    unsigned short all[3] = {1, 2, 3};
    SECTION("get");
    CALL(semget(key, 1, 0)), CALL(semget(IPC_PRIVATE, 0, 0600)), CALL(semget(IPC_PRIVATE, -1, 0600)), CALL(semget(IPC_PRIVATE, 32001, 0600));
    id = OK(semget(key, 3, IPC_CREAT | IPC_EXCL | 0640));
    CALL(semget(key, 3, IPC_CREAT | IPC_EXCL)), HOLDS(semget(key, 0, 0) == id), HOLDS(semget(key, 2, IPC_CREAT) == id), CALL(semget(key, 4, 0));
    CALL(semctl(id, 0, IPC_STAT, arg)), HOLDS(d.sem_perm.__key == key), SHOW(d.sem_nsems), SHOW(d.sem_otime), HOLDS(labs(time(NULL) - d.sem_ctime) < 5), SHOW(d.sem_perm.mode), SHOW(listed());
    CALL(semctl(id, 0, IPC_STAT, BADPTR)), CALL(semctl(-1, 0, IPC_STAT, arg)), CALL(semctl(1 << 30, 0, IPC_STAT, arg)), CALL(semctl(id, 0, 99, arg)), CALL(semctl(id, 0, IPC_SET, BADPTR)), CALL(semctl(id, 0, -1, arg));
    struct seminfo limits;
    arg.info = &limits;
    HOLDS(semctl(0, 0, IPC_INFO, arg) >= 0), SHOW(limits.semmni), SHOW(limits.semmns), SHOW(limits.semmsl), SHOW(limits.semopm), SHOW(limits.semvmx), SHOW(limits.semume), SHOW(limits.semusz), SHOW(limits.semaem), SHOW(limits.semmap), SHOW(limits.semmnu);
    HOLDS(semctl(0, 0, SEM_INFO, arg) >= 0), HOLDS(limits.semusz >= 1 && limits.semaem >= 3), CALL(semctl(0, 0, IPC_INFO, BADPTR));
    arg.buf = &d, HOLDS(semctl(id & 0x7fff, 0, SEM_STAT, arg) == id), HOLDS(semctl(id & 0x7fff, 0, 20 /* SEM_STAT_ANY */, arg) == id);

    SECTION("values");
    values(), CALL(semctl(id, 0, SETALL, all)), values(), CALL(semctl(id, 1, GETVAL)), HOLDS(semctl(id, 1, GETPID) == getpid()), CALL(semctl(id, 3, GETVAL)), CALL(semctl(id, -1, GETVAL)), CALL(semctl(id, 0, GETALL, BADPTR)), CALL(semctl(id, 0, SETALL, BADPTR));
    CALL(semctl(id, 0, SETVAL, 7)), CALL(semctl(id, 0, SETVAL, -1)), CALL(semctl(id, 0, SETVAL, 32768)), CALL(semctl(id, 3, SETVAL, 1)), CALL(semctl(id, 0, SETVAL, 32767)), all[2] = 40000, CALL(semctl(id, 0, SETALL, all)), values();

    SECTION("operations");
    all[2] = 0, semctl(id, 0, SETALL, all);
    CALL(DO(OP(0, 5, 0), OP(1, -2, 0))), values(), CALL(DO(OP(0, -6, 0), OP(1, -1, IPC_NOWAIT))), values(), CALL(DO(OP(0, 1, 0), OP(0, 32767, 0))), values(), CALL(DO(OP(3, 1, 0))), CALL(DO(OP(2, 0, 0), OP(0, -6, 0))), values();
    CALL(DO(OP(0, 0, IPC_NOWAIT))), CALL(DO(OP(1, -1, IPC_NOWAIT))), CALL(DO(OP(0, 2, 0), OP(0, -1, 0), OP(0, -1, 0), OP(0, 0, 0))), values();
    struct sembuf one = OP(0, 1, 0), many[501];
    CALL(semop(id, NULL, 0)), CALL(semop(-1, &one, 1)), CALL(semop(1 << 30, &one, 1)), CALL(semop(id, BADPTR, 1)), CALL(semop(id, many, 501)), CALL(semop(id, &one, 0));
    struct timespec bad = {0, 1000000000}, short_time = {0, 20000000}, none = {0, 0};
    CALL(semtimedop(id, &one, 1, &bad)), CALL(semtimedop(id, &one, 1, BADPTR)), CALL(semtimedop(id, &one, 1, &none)), one.sem_op = -2, CALL(semtimedop(id, &one, 1, &none));
    int64_t before = now_ms();
    CALL(semtimedop(id, &one, 1, &short_time)), HOLDS(now_ms() - before >= 19), values(), HOLDS(semctl(id, 0, IPC_STAT, arg) == 0 && labs(time(NULL) - d.sem_otime) < 5);
    for (int i = 0; i < 500; i++) many[i] = OP(i / 2 % 3, i % 2 ? -1 : 1, 0);
    semctl(id, 0, SETALL, (unsigned short[]){0, 0, 0}), CALL(semop(id, many, 500)), values(), CALL(semtimedop(id, many, 501, NULL));

    SECTION("waiting");
    semctl(id, 0, SETALL, (unsigned short[]){0, 0, 0});
    struct work a = {.ops = {OP(0, -2, 0)}, .count = 1}, b = {.ops = {OP(0, -1, 0), OP(1, 1, 0)}, .count = 2}, c = {.ops = {OP(1, -1, 0), OP(0, 0, 0)}, .count = 2}, z = {.ops = {OP(0, 0, 0)}, .count = 1};
    start(&a, 1), start(&b, 2), start(&c, 3), values(), DO(OP(0, 1, 0)), end(&b), end(&c), values(), CALL(DO(OP(0, 3, 0))), end(&a), values();
    start(&z, 1), values(), CALL(semctl(id, 0, SETVAL, 0)), end(&z);
    start(&a, 1), CALL(semctl(id, 0, SETALL, (unsigned short[]){3, 1, 0})), end(&a), values();
    struct work e = {.ops = {OP(1, -2, 0), OP(2, -1, IPC_NOWAIT)}, .count = 2};
    start(&e, 1), values(), CALL(DO(OP(1, 1, 0))), end(&e), values();
    struct timespec long_time = {0, 50000000};
    a.ops[0] = OP(0, -9, 0), a.limit = &long_time, start(&a, 1), end(&a), values();
    signal(SIGUSR1, nothing), a.limit = NULL;
    struct sigaction sa = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &sa, NULL);
    start(&a, 1), pthread_kill(a.thread, SIGUSR1), end(&a), values();
    start(&a, 1), start(&z, 2), CALL(semctl(id, 0, IPC_RMID)), end(&a), end(&z);
    CALL(semctl(id, 0, GETVAL)), CALL(DO(OP(0, 1, 0))), CALL(semget(key, 0, 0)), CALL(semctl(id, 0, IPC_RMID)), SHOW(listed());

    SECTION("owed");
    id = OK(semget(IPC_PRIVATE, 3, 0600)), CALL(DO(OP(0, 32767, SEM_UNDO))), CALL(DO(OP(0, -32767, 0))), CALL(DO(OP(0, 1, SEM_UNDO))), CALL(DO(OP(0, 1, SEM_UNDO))), values(), CALL(semctl(id, 0, SETVAL, 0)), CALL(DO(OP(0, 1, SEM_UNDO))), CALL(semctl(id, 0, IPC_RMID));

    SECTION("a child");
    id = semget(IPC_PRIVATE, 3, 0600), semctl(id, 0, SETVAL, 5);
    int status;
    pid_t child = vfork();
    if (child == 0) DO(OP(0, -3, SEM_UNDO), OP(1, 2, SEM_UNDO), OP(2, 1, 0)), _exit(semctl(id, 0, GETVAL));
    waitpid(child, &status, 0), SHOW(WEXITSTATUS(status)), values(), HOLDS(semctl(id, 0, GETPID) == child), HOLDS(semctl(id, 2, GETPID) == child), CALL(semctl(id, 0, IPC_RMID));

    SECTION("somebody else");
    id = semget(key, 3, IPC_CREAT | 0604);
    CALL(semctl(id, 0, IPC_STAT, arg)), d.sem_perm.mode = 07444, CALL(semctl(id, 0, IPC_SET, arg)), CALL(semctl(id, 0, IPC_STAT, arg)), SHOW(d.sem_perm.mode), d.sem_perm.gid = -1, CALL(semctl(id, 0, IPC_SET, arg));
    CALL(setgroups(0, NULL)), CALL(setresgid(1000, 1000, 1000)), CALL(setresuid(1000, 1000, -1));
    CALL(semget(key, 0, 0600)), HOLDS(semget(key, 0, 0444) == id), values(), CALL(DO(OP(0, 0, 0))), CALL(DO(OP(0, 1, 0))), CALL(semctl(id, 0, SETVAL, 1)), CALL(semctl(id, 0, SETALL, BADPTR)), CALL(semctl(id, 0, SETALL, all)), CALL(semctl(id, 0, IPC_STAT, arg)), CALL(semctl(id, 0, IPC_SET, arg)), CALL(semctl(id, 0, IPC_RMID));
    setresuid(0, 0, -1), d.sem_perm.mode = 0, CALL(semctl(id, 0, IPC_SET, arg)), setresuid(1000, 1000, -1), CALL(semctl(id, 0, GETVAL)), CALL(semctl(id, 0, GETALL, all)), CALL(semctl(id, 0, IPC_STAT, arg)), HOLDS(semctl(id & 0x7fff, 0, 20, arg) == id), CALL(DO(OP(0, 0, 0))), CALL(semtimedop(id, &one, 1, &none));
    CALL(setresuid(0, 0, -1)), CALL(semctl(id, 0, IPC_RMID));
    return 0;
}
