// System V message queues: types and places, what fits, who waits, permissions.
// flags: -pthread
#include "oracle.h"
#include <grp.h>
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/msg.h>

struct message {
    long type;
    char text[10000];
};
static int id;
static struct message got;

static long get(long type, size_t room, int flags) {
    memset(&got, 0, sizeof got);
    long n = msgrcv(id, &got, room, type, flags);
    int e = errno;
    printf("[%ld %.20s] ", got.type, got.text);
    errno = e;
    return n;
}
static long put(long type, const char *text, size_t len, int flags) {
    struct message m = {type, ""};
    memcpy(m.text, text, len < sizeof m.text ? len : sizeof m.text);
    return msgsnd(id, &m, len, flags);
}
static void status(void) {
    struct msqid_ds d;
    CALL(msgctl(id, IPC_STAT, &d));
    printf("%ld bytes in %ld messages of %ld, mode %o, me %d %d\n", (long)d.__msg_cbytes, (long)d.msg_qnum, (long)d.msg_qbytes, d.msg_perm.mode, d.msg_lspid == getpid(), d.msg_lrpid == getpid());
    printf("times %d %d %d\n", labs(time(NULL) - d.msg_stime) < 5, labs(time(NULL) - d.msg_rtime) < 5, labs(time(NULL) - d.msg_ctime) < 5);
}
static int listed(void) {
    FILE *f = fopen("/proc/sysvipc/msg", "r");
    char line[400];
    int key, n, mode, found = 0;
    unsigned long bytes, count;
    fgets(line, sizeof line, f);
    printf("%s", line);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%d %d %o %lu %lu", &key, &n, &mode, &bytes, &count) == 5 && n == id) printf("mode %o bytes %lu count %lu line %zu\n", mode, bytes, count, strlen(line)), found = 1;
    fclose(f);
    return found;
}
static void nothing(int s) { (void)s; }
struct work {
    int sends;
    long type, result;
    int error;
    pthread_t thread;
};
static struct message mine;
static void *run(void *p) {
    struct work *w = p;
    w->result = w->sends ? put(w->type, "a message that was waited with", 30, 0) : msgrcv(id, &mine, 100, w->type, 0);
    w->error = errno;
    return NULL;
}
static void start(struct work *w) {
    pthread_create(&w->thread, NULL, run, w);
    msleep(50);
}
static void end(struct work *w) {
    pthread_join(w->thread, NULL);
    printf("ended with %ld %s\n", w->result, w->result < 0 ? oracle_errname(w->error) : "");
}

int main(void) {
    key_t key = 0x6c6b0000 + getpid() % 0xffff;
    struct msqid_ds d;
    struct msginfo limits;
    SECTION("get");
    CALL(msgget(key, 0)), id = OK(msgget(key, IPC_CREAT | IPC_EXCL | 0640)), CALL(msgget(key, IPC_CREAT | IPC_EXCL)), HOLDS(msgget(key, 0) == id), HOLDS(msgget(key, IPC_CREAT) == id), status(), SHOW(listed());
    CALL(msgctl(id, IPC_STAT, BADPTR)), CALL(msgctl(-1, IPC_STAT, &d)), CALL(msgctl(1 << 30, IPC_STAT, &d)), CALL(msgctl(id, 99, &d)), CALL(msgctl(id, -1, &d)), CALL(msgctl(id, IPC_SET, BADPTR));
    HOLDS(msgctl(0, IPC_INFO, (void *)&limits) >= 0), SHOW(limits.msgpool), SHOW(limits.msgmap), SHOW(limits.msgmax), SHOW(limits.msgmnb), SHOW(limits.msgmni), SHOW(limits.msgssz), SHOW(limits.msgtql), SHOW(limits.msgseg), CALL(msgctl(0, IPC_INFO, BADPTR));
    HOLDS(msgctl(id & 0x7fff, MSG_STAT, &d) == id), HOLDS(msgctl(id & 0x7fff, 13 /* MSG_STAT_ANY */, &d) == id);

    SECTION("send");
    CALL(put(0, "x", 1, 0)), CALL(put(-1, "x", 1, 0)), CALL(put(1, "", 8193, 0)), CALL(put(1, "", -1, 0)), CALL(msgsnd(id, BADPTR, 1, 0)), CALL(msgsnd(-1, &got, 1, 0)), got.type = 1, CALL(msgsnd(1 << 30, &got, 1, 0)), CALL(msgsnd(-1, &got, 1, 0));
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096), *(long *)(page + 4088) = 1, CALL(msgsnd(id, page + 4088, 1, IPC_NOWAIT)), CALL(msgsnd(id, page + 4088, 0, IPC_NOWAIT)), CALL(get(0, 10, 0));
    static const struct { long type; const char *text; } all[] = {{5, "fivefive"}, {3, "three"}, {4, "four"}, {3, "third"}, {9, "nine"}};
    for (int i = 0; i < 5; i++) CALL(put(all[i].type, all[i].text, strlen(all[i].text), 0));
    status(), SHOW(listed()), HOLDS(msgctl(0, MSG_INFO, (void *)&limits) >= 0 && limits.msgpool >= 1 && limits.msgmap >= 5 && limits.msgtql >= 26);

    SECTION("receive");
    CALL(get(7, 20, IPC_NOWAIT)), CALL(get(-2, 20, IPC_NOWAIT)), CALL(get(4, 20, 0)), CALL(get(-4, 20, 0)), CALL(get(5, 20, MSG_EXCEPT)), CALL(get(0, 3, 0)), CALL(get(0, 3, MSG_NOERROR)), CALL(get(9, 0, 0)), CALL(get(LONG_MIN, 9, 0)), CALL(get(0, 9, IPC_NOWAIT)), CALL(get(0, -1, 0)), CALL(msgrcv(-1, &got, 1, 0, 0)), CALL(msgrcv(1 << 30, &got, 1, 0, 0));
    put(6, "lost", 4, 0), CALL(msgrcv(id, BADPTR, 10, 0, IPC_NOWAIT)), CALL(get(0, 10, IPC_NOWAIT)), status();

    SECTION("copy");
    put(1, "first", 5, 0), put(2, "second", 6, 0);
    CALL(get(1, 20, MSG_COPY | IPC_NOWAIT)), CALL(get(0, 20, MSG_COPY | IPC_NOWAIT)), CALL(get(2, 20, MSG_COPY | IPC_NOWAIT)), CALL(get(0, 20, MSG_COPY)), CALL(get(0, 20, MSG_COPY | IPC_NOWAIT | MSG_EXCEPT)), CALL(get(1, 3, MSG_COPY | IPC_NOWAIT)), CALL(get(1, 3, MSG_COPY | IPC_NOWAIT | MSG_NOERROR)), CALL(get(-1, 20, MSG_COPY | IPC_NOWAIT)), status();

    SECTION("full");
    CALL(msgctl(id, IPC_STAT, &d)), d.msg_qbytes = 40, d.msg_perm.mode = 0600, CALL(msgctl(id, IPC_SET, &d)), status(), CALL(put(1, "0123456789012345678901234567890", 30, IPC_NOWAIT));
    struct work s = {.sends = 1, .type = 8}, r = {.type = 50}, r2 = {.type = -60};
    start(&s), get(0, 100, 0), end(&s), status(), CALL(get(8, 100, 0));
    while (get(0, 100, IPC_NOWAIT) >= 0) printf("\n");
    for (int i = 0; i < 40; i++) put(1, "", 0, IPC_NOWAIT);
    CALL(put(1, "", 0, IPC_NOWAIT));
    while (msgrcv(id, &got, 100, 0, IPC_NOWAIT) >= 0) {}

    SECTION("waiting");
    start(&r), CALL(put(49, "for another", 11, 0)), CALL(put(50, "for it", 6, 0)), end(&r), printf("%ld %.11s\n", mine.type, mine.text);
    start(&r2), end(&r2), printf("%ld %.11s\n", mine.type, mine.text);
    signal(SIGUSR1, nothing), start(&r), pthread_kill(r.thread, SIGUSR1), end(&r);
    put(1, "0123456789012345678901234567890123456789", 40, 0), start(&s), pthread_kill(s.thread, SIGUSR1), end(&s);
    start(&r), start(&s), CALL(msgctl(id, IPC_RMID, 0)), end(&r), end(&s);
    CALL(put(1, "x", 1, 0)), CALL(get(0, 10, 0)), CALL(msgget(key, 0)), CALL(msgctl(id, IPC_RMID, 0)), SHOW(listed());

    SECTION("somebody else");
    id = msgget(key, IPC_CREAT | 0604), CALL(msgctl(id, IPC_STAT, &d)), d.msg_qbytes = 16384, CALL(msgctl(id, IPC_SET, &d)), d.msg_perm.uid = -1, CALL(msgctl(id, IPC_SET, &d)), put(1, "x", 1, 0);
    CALL(setgroups(0, NULL)), CALL(setresgid(1000, 1000, 1000)), CALL(setresuid(1000, 1000, -1));
    CALL(msgget(key, 0600)), HOLDS(msgget(key, 0400) == id), CALL(put(1, "x", 1, 0)), CALL(get(0, 1, 0)), CALL(msgctl(id, IPC_STAT, &d)), CALL(msgctl(id, IPC_SET, &d)), CALL(msgctl(id, IPC_RMID, 0));
    setresuid(0, 0, -1), d.msg_perm.uid = 1000, d.msg_perm.mode = 0200, CALL(msgctl(id, IPC_SET, &d)), setresuid(1000, 1000, -1), CALL(msgctl(id, IPC_STAT, &d)), CALL(get(0, 1, 0)), CALL(put(1, "x", 1, 0)), HOLDS(msgctl(id & 0x7fff, 13, &d) == id), CALL(msgctl(id & 0x7fff, MSG_STAT, &d));
    d.msg_perm.mode = 0600, d.msg_qbytes = 16385, CALL(msgctl(id, IPC_SET, &d)), d.msg_qbytes = 16384, CALL(msgctl(id, IPC_SET, &d)), CALL(msgctl(id, IPC_RMID, 0));
    return 0;
}
