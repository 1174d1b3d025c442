// System V shared memory: sizes and keys, attaching where and how, what is left after removal, permissions, /proc/sysvipc/shm.
#include "oracle.h"
#include <grp.h>
#include <sys/ipc.h>
#include <sys/shm.h>

enum { P = 4096 };
#define RW (PROT_READ | PROT_WRITE)
#define ATT(id, at, flags) (void *)syscall(SYS_shmat, id, at, flags)

static int attached(int id) {
    struct shmid_ds d;
    return shmctl(id, IPC_STAT, &d) ? -1 : (int)d.shm_nattch;
}
/* Whether the segment has a line in /proc/sysvipc/shm, and what of it can be known before. */
static int listed(int id) {
    FILE *f = fopen("/proc/sysvipc/shm", "r");
    char line[400], rest[400];
    int key, n, mode, cpid, lpid, found = 0;
    long size;
    long nattch;
    fgets(line, sizeof line, f);
    printf("%s", line);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%d %d %o %ld %d %d %ld %[^\n]", &key, &n, &mode, &size, &cpid, &lpid, &nattch, rest) == 8 && n == id) {
            printf("mode %o size %ld attached %ld mine %d %d line %zu\n", mode, size, nattch, cpid == getpid(), lpid == getpid(), strlen(line));
            found = 1;
        }
    fclose(f);
    return found;
}
static int mapped(const char *what, int id) {
    FILE *f = fopen("/proc/self/maps", "r");
    char line[400];
    int found = 0;
    while (fgets(line, sizeof line, f)) {
        char perms[8], name[100] = "";
        unsigned long a, b, off, ino;
        sscanf(line, "%lx-%lx %7s %lx %*s %lu %99[^\n]", &a, &b, perms, &off, &ino, name);
        if (strstr(name, what) && ino == (unsigned long)id) printf("%lx %s %lx %.9s%s\n", b - a, perms, off, name, strchr(name, ' ')), found++;
    }
    fclose(f);
    return found;
}

int main(void) {
    key_t key = 0x6c690000 + getpid() % 0xffff;
    struct shmid_ds d;
    SECTION("get");
    CALL(shmget(key, 100, 0)), CALL(shmget(IPC_PRIVATE, 0, 0600)), CALL(shmget(key, 0, IPC_CREAT | 0600));
    CALL(shmget(IPC_PRIVATE, -1UL, 0600));
    int id = OK(shmget(key, 2 * P + 1, IPC_CREAT | IPC_EXCL | 0640));
    CALL(shmget(key, 100, IPC_CREAT | IPC_EXCL | 0600)), HOLDS(shmget(key, 0, 0) == id), HOLDS(shmget(key, 2 * P + 1, IPC_CREAT) == id), CALL(shmget(key, 3 * P, 0));
    CALL(shmget(key, 2 * P + 2, 0));

    SECTION("status");
    CALL(shmctl(id, IPC_STAT, &d)), HOLDS(d.shm_perm.__key == key), SHOW(d.shm_segsz), SHOW(d.shm_nattch), SHOW(d.shm_atime), SHOW(d.shm_dtime), HOLDS(labs(time(NULL) - d.shm_ctime) < 5);
    SHOW(d.shm_perm.mode), HOLDS(d.shm_perm.uid == geteuid() && d.shm_perm.cuid == geteuid() && d.shm_perm.gid == getegid()), HOLDS(d.shm_cpid == getpid()), SHOW(d.shm_lpid);
    CALL(shmctl(id, IPC_STAT, BADPTR)), CALL(shmctl(-1, IPC_STAT, &d)), CALL(shmctl(1 << 30, IPC_STAT, &d)), CALL(shmctl(id, 99, &d)), CALL(shmctl(id, -1, &d)), CALL(shmctl(id, IPC_SET, BADPTR));
    struct shminfo limits;
    HOLDS(shmctl(0, IPC_INFO, (void *)&limits) >= 0), HOLDS(limits.shmmax == -1UL - (1 << 24)), SHOW(limits.shmmin), SHOW(limits.shmmni), SHOW(limits.shmseg);
    struct shm_info used;
    HOLDS(shmctl(0, SHM_INFO, (void *)&used) >= 0), HOLDS(used.used_ids >= 1 && used.shm_tot >= 3), SHOW(used.shm_swp);
    CALL(shmctl(0, IPC_INFO, BADPTR)), CALL(shmctl(0, SHM_INFO, BADPTR));
    int place = id & 0x7fff;
    HOLDS(shmctl(place, SHM_STAT, &d) == id), HOLDS(shmctl(place, 15 /* SHM_STAT_ANY */, &d) == id), CALL(shmctl(place + 4000, SHM_STAT, &d));

    SECTION("attach");
    char *a = PTR(ATT(id, 0, 0)), *b = PTR(ATT(id, 0, SHM_RDONLY));
    if (a == MAP_FAILED || b == MAP_FAILED) return 1;
    SHOW(attached(id)), HOLDS(a != b), strcpy(a + 2 * P, "end"), HOLDS(!strcmp(b + 2 * P, "end"));
    CALL(mprotect(b, P, RW));
    CALL(shmctl(id, IPC_STAT, &d)), HOLDS(d.shm_lpid == getpid()), HOLDS(labs(time(NULL) - d.shm_atime) < 5), SHOW(d.shm_dtime);
    HOLDS(mapped("/SYSV", id) >= 2), SHOW(listed(id));
    CALL(shmdt(a + 1)), CALL(shmdt(a + P)), CALL(shmdt(b)), SHOW(attached(id)), CALL(shmdt(b)), CALL(shmctl(id, IPC_STAT, &d)), HOLDS(labs(time(NULL) - d.shm_dtime) < 5);
    PTR(ATT(id, a, 0)), PTR(ATT(id, a + 1, 0)), PTR(ATT(id, 0, SHM_REMAP)), PTR(ATT(-1, 0, 0)), PTR(ATT(1 << 30, 0, 0)), PTR(ATT(id, (char *)-4096L, 0));
    char *room = mmap(NULL, 16 * P, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(room, 16 * P);
    HOLDS(ATT(id, room + P + 7, SHM_RND) == room + P), SHOW(room[P + 2 * P]), PTR(ATT(id, room + 2 * P, 0)), HOLDS(ATT(id, room + 2 * P, SHM_REMAP) == room + 2 * P);
    SHOW(attached(id)), SHOW(room[4 * P]), CALL(shmdt(room + P)), CALL(shmdt(room + 2 * P)), SHOW(attached(id));

    SECTION("in pieces");
    char *c = ATT(id, 0, 0);
    munmap(c + P, P), SHOW(attached(id)), CALL(shmdt(c)), SHOW(attached(id));
    c = ATT(id, 0, 0), munmap(c, P), SHOW(attached(id)), CALL(shmdt(c + P)), CALL(shmdt(c)), SHOW(attached(id));
    c = ATT(id, 0, 0), c = mremap(c, 3 * P, 3 * P, MREMAP_MAYMOVE | MREMAP_FIXED, room), SHOW(c[2 * P]), CALL(shmdt(c));
    c = ATT(id, 0, SHM_EXEC | SHM_RDONLY), CALL(shmdt(c));

    SECTION("change");
    CALL(shmctl(id, IPC_STAT, &d)), d.shm_perm.mode = 0xffff, d.shm_perm.uid = 1000, CALL(shmctl(id, IPC_SET, &d)), CALL(shmctl(id, IPC_STAT, &d)), SHOW(d.shm_perm.mode), SHOW(d.shm_perm.uid), HOLDS(d.shm_perm.cuid == geteuid());
    d.shm_perm.uid = -1, CALL(shmctl(id, IPC_SET, &d));
    CALL(shmctl(id, SHM_LOCK, 0)), CALL(shmctl(id, IPC_STAT, &d)), SHOW(d.shm_perm.mode), CALL(shmctl(id, SHM_UNLOCK, 0)), CALL(shmctl(id, IPC_STAT, &d)), SHOW(d.shm_perm.mode);

    SECTION("removed");
    CALL(shmctl(id, IPC_RMID, 0)), CALL(shmget(key, 0, 0)), CALL(shmctl(id, IPC_STAT, &d)), SHOW(d.shm_perm.mode), SHOW(d.shm_perm.__key), SHOW(listed(id));
    b = PTR(ATT(id, 0, 0)), HOLDS(!strcmp(b + 2 * P, "end")), CALL(shmctl(id, IPC_RMID, 0)), CALL(shmdt(b)), SHOW(attached(id)), CALL(shmdt(a)), CALL(shmctl(id, IPC_STAT, &d)), SHOW(listed(id));
    int id2 = OK(shmget(key, P, IPC_CREAT | 0600));
    CALL(shmctl(id2, IPC_RMID, 0)), PTR(ATT(id2, 0, 0)), CALL(shmctl(id2, IPC_RMID, 0));
    int ids[300], distinct = 1;
    for (int i = 0; i < 300; i++) {
        ids[i] = shmget(IPC_PRIVATE, P, 0600);
        for (int k = 0; k < i; k++) distinct &= ids[k] != ids[i];
    }
    for (int i = 0; i < 300; i++) distinct &= !shmctl(ids[i], IPC_RMID, 0);
    SHOW(distinct);

    SECTION("somebody else");
    id = OK(shmget(key, P, IPC_CREAT | 0604)), id2 = shmget(IPC_PRIVATE, P, 0060);
    int own = shmget(IPC_PRIVATE, P, 0600);
    CALL(shmctl(own, IPC_STAT, &d)), d.shm_perm.uid = 1000, CALL(shmctl(own, IPC_SET, &d));
    CALL(setresuid(1000, 1000, -1)); /* of root's group still */
    HOLDS(shmget(key, 0, 0400) == id), CALL(shmget(key, 0, 0600)), PTR(ATT(id, 0, 0)), PTR(ATT(id2, 0, 0)), PTR(ATT(id2, 0, SHM_EXEC)), PTR(ATT(own, 0, 0));
    CALL(setresuid(0, 0, -1)), CALL(setgroups(0, NULL)), CALL(setresgid(1000, 1000, 1000)), CALL(setresuid(1000, 1000, -1));
    a = PTR(ATT(id, 0, SHM_RDONLY)), SHOW(a[0]), CALL(shmdt(a)), PTR(ATT(id, 0, 0)), PTR(ATT(id2, 0, 0)), PTR(ATT(id2, 0, SHM_RDONLY)), CALL(shmctl(id2, IPC_STAT, &d)), CALL(shmctl(id2 & 0x7fff, SHM_STAT, &d)), HOLDS(shmctl(id2 & 0x7fff, 15, &d) == id2);
    CALL(shmctl(id, IPC_STAT, &d)), CALL(shmctl(id, IPC_SET, &d)), CALL(shmctl(id, IPC_RMID, 0)), CALL(shmctl(id, SHM_LOCK, 0)), CALL(shmctl(own, SHM_LOCK, 0)), CALL(shmctl(id, SHM_UNLOCK, 0)), CALL(shmctl(own, SHM_UNLOCK, 0)), CALL(shmctl(own, IPC_RMID, 0));
    CALL(setresuid(0, 0, -1)), CALL(shmctl(id, IPC_RMID, 0)), CALL(shmctl(id2, IPC_RMID, 0)), CALL(shmctl(own, IPC_RMID, 0));
    return 0;
}
