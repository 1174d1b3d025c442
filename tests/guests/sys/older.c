// The calls that C libraries no longer make: those without "at", without flags, without a size.
#include "oracle.h"
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>

#define C(name, ...) syscall(SYS_##name, ##__VA_ARGS__)
static int byname(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
static void entries(void) {
    SECTION("getdents");
    mkdir("d", 0755), mkdir("d/sub", 0755), symlink("x", "d/link"), mkfifo("d/fifo", 0600), close(open("d/file", O_CREAT | O_RDWR, 0600));
    int d = C(open, "d", O_RDONLY | O_DIRECTORY);
    char buf[1000], *found[20];
    int count = 0;
    for (int n; (n = C(getdents, d, buf, 1000)) > 0;)
        for (int o = 0; o < n;) {
            struct { unsigned long ino, off; unsigned short len; char name[]; } *e = (void *)(buf + o);
            char line[300];
            snprintf(line, 300, "%s:%d", e->name, buf[o + e->len - 1]);
            found[count++] = strdup(line), o += e->len;
        }
    qsort(found, count, sizeof *found, byname);
    for (int i = 0; i < count; i++) printf("%s\n", found[i]);
    CALL(C(getdents, d, buf, 1000)), CALL(C(lseek, d, 0L, SEEK_SET)), CALL(C(getdents, d, buf, 20)), CALL(C(getdents, d, BADPTR, 1000)), CALL(C(getdents, -1, buf, 1000)), CALL(C(unlink, "d/file")), CALL(C(unlink, "d/fifo")), CALL(C(unlink, "d/link")), CALL(C(rmdir, "d/sub")), CALL(C(rmdir, "d")), CALL(C(getdents, d, buf, 1000)), CALL(C(getdents64, d, buf, 1000));
}
static void names(void) {
    SECTION("names");
    struct stat st;
    char b[100] = {0};
    int fd = C(creat, "f", 0640);
    CALL(fcntl(fd, F_GETFL) & O_ACCMODE), CALL(C(write, fd, "12345", 5L)), CALL(close(C(creat, "f", 0600))), CALL(C(stat, "f", &st)), SHOW(st.st_size), SHOW(st.st_mode);
    CALL(C(mkdir, "m", 01777)), CALL(C(lstat, "m", &st)), SHOW(st.st_mode), CALL(C(link, "f", "g")), CALL(C(rename, "g", "h")), CALL(C(symlink, "h", "s")), CALL(C(readlink, "s", b, 100)), CALL(C(access, "s", R_OK)), CALL(C(chmod, "s", 0604)), CALL(C(stat, "h", &st)), SHOW(st.st_mode), SHOW(st.st_nlink), CALL(C(chown, "s", 5, 6)), CALL(C(lchown, "s", 7, 8)), CALL(C(lstat, "s", &st)), SHOW(st.st_uid), CALL(C(stat, "s", &st)), SHOW(st.st_uid), SHOW(st.st_gid);
    CALL(C(mknod, "n", S_IFREG | 0600, 0)), CALL(C(mknod, "p", S_IFIFO | 0600, 0)), CALL(C(mknod, "k", S_IFSOCK | 0600, 0)), CALL(C(lstat, "k", &st)), SHOW(st.st_mode), CALL(C(open, "k", O_RDONLY)), CALL(C(mknod, "z", S_IFDIR, 0)), CALL(C(mknod, "z", S_IFLNK, 0)), CALL(C(mknod, "z", 0170000, 0)), CALL(C(mknod, "z", 0600, 0)), CALL(C(lstat, "z", &st)), SHOW(st.st_mode);
    CALL(C(utime, "f", &(long[2]){100, 200})), CALL(C(stat, "f", &st)), SHOW(st.st_atime), SHOW(st.st_mtime), CALL(C(utimes, "f", &(long[4]){10, 999999, 20, 1})), CALL(C(stat, "f", &st)), SHOW(st.st_atim.tv_nsec), SHOW(st.st_mtim.tv_nsec), CALL(C(utimes, "f", &(long[4]){10, 1000000, 20, 1})), CALL(C(utimes, "f", &(long[4]){10, 0, 20, -1})), CALL(C(futimesat, AT_FDCWD, "f", &(long[4]){1, 2, 3, 4})), CALL(C(futimesat, AT_FDCWD, "f", &(long[4]){1, -2, 3, 4})), CALL(C(futimesat, fd, NULL, &(long[4]){5, 6, 7, 8})), CALL(C(stat, "f", &st)), SHOW(st.st_atime), CALL(C(utime, "f", NULL)), CALL(C(stat, "f", &st)), HOLDS(st.st_mtime > 1000000000);
    CALL(C(umask, 0777)), CALL(C(umask, 01234)), CALL(C(umask, 022));
    CALL(C(openat2, AT_FDCWD, "f", &(uint64_t[4]){0, 0, 0, 1}, 32L)), CALL(C(openat2, AT_FDCWD, "f", &(uint64_t[4]){0}, 32L) < 0), CALL(C(openat2, AT_FDCWD, "f", &(uint64_t[4]){0}, 5000L)), CALL(C(openat2, AT_FDCWD, "f", &(uint64_t[4]){1UL << 40}, 24L)), CALL(C(openat2, AT_FDCWD, "f", &(uint64_t[4]){0, 0, 0x80}, 24L)), CALL(C(openat2, AT_FDCWD, "f", &(uint64_t[4]){O_CREAT, 010000}, 24L)), CALL(C(openat2, AT_FDCWD, "f", &(uint64_t[4]){0, 0, 0x18}, 24L)), CALL(C(openat2, AT_FDCWD, "/proc/self/exe", &(uint64_t[4]){0, 0, 2}, 24L)), CALL(C(openat2, AT_FDCWD, "/proc/version", &(uint64_t[4]){0, 0, 1}, 24L));
}
static void files(void) {
    SECTION("files");
    int p[2];
    uint64_t n;
    CALL(C(pipe, p)), CALL(C(pipe, BADPTR)), CALL(close(C(epoll_create, 1))), CALL(C(epoll_create, -1)), CALL(C(epoll_create, 0));
    int e = C(eventfd, 7);
    CALL(fcntl(e, F_GETFL)), CALL(C(read, e, &n, 8L)), SHOW(n), CALL(close(C(signalfd, -1, &(uint64_t){1}, 8L))), CALL(C(signalfd, -1, &(uint64_t){1}, 4L)), CALL(C(signalfd4, -1, &(uint64_t){1}, 8L, 1)), CALL(C(dup2, e, 50)), CALL(C(dup2, 77, 51)), CALL(C(eventfd2, 0, 0x10)), CALL(C(epoll_create1, 1)), CALL(C(timerfd_create, 3, 0)), CALL(C(timerfd_create, 1, 1));
    CALL(C(time, NULL) > 0), CALL(C(time, BADPTR)), CALL(C(times, NULL) > 0), CALL(C(alarm, 0)), CALL(C(alarm, 100)), CALL(C(alarm, 0) > 98);
}
static void *nothing(void *arg) { return arg; }
static void process(void) {
    SECTION("process");
    CALL(C(getrlimit, RLIMIT_NOFILE, BADPTR)), CALL(C(personality, 0xffffffff)), CALL(C(personality, 0));
    CALL(C(membarrier, 0, 0, 0) > 0), CALL(C(membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0)), CALL(C(membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0)), CALL(C(membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0)), CALL(C(membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0)), CALL(C(membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0)), CALL(C(membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0)), CALL(C(membarrier, MEMBARRIER_CMD_GLOBAL, 1, 0)), CALL(C(membarrier, 1 << 20, 0, 0)), CALL(C(membarrier, 0, 1, 0)), CALL(C(membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 99, 0));
    pthread_t t;
    pthread_create(&t, NULL, nothing, NULL), pthread_join(t, NULL);
    CALL(C(membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    struct sched_param sp;
    struct timespec ts;
    for (int policy = 0; policy < 7; policy++) printf("policy %d: %ld", policy, C(sched_get_priority_min, policy)), printf(" %ld\n", C(sched_get_priority_max, policy));
    CALL(C(sched_get_priority_min, -1)), CALL(C(sched_get_priority_max, -1)), CALL(C(sched_getparam, 0, &sp)), CALL(C(sched_getparam, -1, &sp)), CALL(C(sched_getparam, 0x3fffffff, &sp)), CALL(C(sched_rr_get_interval, 0, &ts)), CALL(C(sched_rr_get_interval, -1, &ts)), CALL(C(sched_setaffinity, 0x3fffffff, 8L, &(uint64_t){1})), CALL(C(sched_setscheduler, 0x3fffffff, 0, &sp));
    char *m = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(m + 8192, 4096);
    CALL(C(mlock2, m, 4096L, 0)), CALL(C(mlock2, m, 4096L, 1)), CALL(C(mlock2, m, 16384L, 0)), CALL(C(mlock, m + 1, 1L)), CALL(C(mlock, m, -1L)), CALL(C(munlock, m, 4096L)), CALL(C(munlock, m, 16384L)), CALL(C(munlock, m, -1L)), CALL(C(mlockall, 0)), CALL(C(mlockall, 8)), CALL(C(mlockall, MCL_FUTURE)), CALL(C(munlockall));
    CALL(C(pkey_mprotect, m, 4096L, PROT_READ, -1)), CALL(C(pkey_mprotect, m, 4096L, PROT_READ, 15)), CALL(C(pkey_mprotect, m + 1, 4096L, PROT_READ, -1)), CALL(C(pkey_mprotect, m, 16384L, PROT_READ, -1)), CALL(C(mprotect, m, 4096L, 0x70)), CALL(C(mprotect, m, -1L, 1)), CALL(C(munmap, m, -1L)), CALL(C(msync, m, 16384L, MS_ASYNC)), CALL(C(msync, m, -1L, MS_ASYNC)), CALL(C(mincore, m, 8192L, BADPTR)), CALL(C(madvise, m, -1L, 0)), CALL(C(mremap, m, 4096L, -1L, 1, 0L));
    CALL(C(set_robust_list, NULL, 24L)), CALL(C(set_robust_list, NULL, 0L)), CALL(C(getitimer, 9, BADPTR)), CALL(C(getitimer, 9, &(long[4]){0})), CALL(C(setitimer, 0, &(long[4]){0, 1000000, 0, 0}, NULL)), CALL(C(setitimer, 0, &(long[4]){0, 0, -1, 0}, NULL)), CALL(C(getrusage, 5, &(long[40]){0})), CALL(C(prctl, 4, 9, 0, 0, 0) < 0);
    CALL(C(select, -1, NULL, NULL, NULL, NULL)), CALL(C(select, 0, NULL, NULL, NULL, &(long[2]){0, 1})), CALL(C(select, 0, NULL, NULL, NULL, &(long[2]){0, -1})), CALL(C(select, 0, NULL, NULL, NULL, &(long[2]){-1, 0})), CALL(C(pselect6, -1, NULL, NULL, NULL, NULL, NULL)), CALL(C(pselect6, 0, NULL, NULL, NULL, &(long[2]){0, 1000000000}, NULL)), CALL(C(pselect6, 0, NULL, NULL, NULL, &(long[2]){0, 0}, &(long[2]){(long)m, 4}));
    CALL(C(nanosleep, &(long[2]){0, 1}, NULL)), CALL(C(nanosleep, &(long[2]){0, -1}, NULL)), CALL(C(nanosleep, &(long[2]){-1, 0}, NULL)), CALL(C(clock_nanosleep, 1, 0, &(long[2]){0, 1}, NULL)), CALL(C(clock_nanosleep, 4, 0, &(long[2]){0, 1}, NULL)), CALL(C(clock_nanosleep, 1, 0, &(long[2]){0, 1000000000}, NULL));
    timer_t id;
    CALL(C(timer_create, 1, NULL, &id)), CALL(C(timer_gettime, id, &(long[4]){0})), CALL(C(timer_getoverrun, id)), CALL(C(timer_settime, id, 0, &(long[4]){0, 0, 0, -1}, NULL)), CALL(C(timer_delete, id)), CALL(C(timer_gettime, id, &(long[4]){0})), CALL(C(timer_getoverrun, id)), CALL(C(timer_create, 4, NULL, &id)), CALL(C(timer_create, 99, NULL, &id));
}
static void root(void) {
    SECTION("chroot");
    mkdir("r", 0755), mkdir("r/in", 0755), close(open("r/file", O_CREAT | O_RDWR, 0600)), symlink("/file", "r/abs");
    char b[100];
    CALL(C(chroot, "nope")), CALL(C(chroot, "f")), CALL(C(chroot, "r")), CALL(C(access, "/file", F_OK)), CALL(C(access, "/abs", F_OK)), CALL(C(access, "/../../file", F_OK)), CALL(C(access, "/etc", F_OK)), CALL(C(access, "r", F_OK)), CALL(C(chdir, "/in")), CALL(C(getcwd, b, 100L)), printf("%s\n", b), CALL(C(access, "../../file", F_OK)), CALL(C(access, "../file", F_OK));
}

int main(void) {
    umask(0);
    entries();
    names();
    files();
    process();
    root();
    return 0;
}
