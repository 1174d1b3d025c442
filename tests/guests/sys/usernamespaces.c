/* Namespaces of users: maps and who may write them, ids seen from inside and outside, what capabilities count for, setns, ioctl_ns. */
// timeout: 60
#include "oracle.h"
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define USER CLONE_NEWUSER
#define NS_GET_USERNS 0xb701
#define NS_GET_PARENT 0xb702
#define NS_GET_NSTYPE 0xb703
#define NS_GET_OWNER_UID 0xb704

static long unshare_(unsigned long flags) { return syscall(SYS_unshare, flags); }
static long setns_(int fd, int kind) { return syscall(SYS_setns, fd, kind); }
static long new_process(unsigned long flags) { return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0); }

/* The rest of what a child does, and its end. */
#define CHILD(...) do { fflush(stdout); pid_t pid_ = fork(); if (pid_ == 0) { __VA_ARGS__; _exit(0); } \
        int status_; waitpid(pid_, &status_, 0); if (status_) printf("child ended with %x\n", status_); } while (0)

static void user(uid_t id) {
    setgroups(0, NULL), setresgid(id, id, id), setresuid(id, id, id);
    prctl(PR_SET_DUMPABLE, 1);
}
static long put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0) return -1;
    long n = write(fd, text, strlen(text));
    int e = errno;
    close(fd);
    errno = e;
    return n;
}
static long put_of(pid_t pid, const char *file, const char *text) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    return put(path, text);
}
static void print(const char *path) {
    char text[4096];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    printf("%s: %.*s\n", strrchr(path, '/') + 1, (int)(n > 0 ? n : 0), text);
    close(fd);
}
static void print_of(pid_t pid, const char *file) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    print(path);
}
/* Those lines of a status file that are about ids and capabilities. */
static void status_lines(pid_t pid, int capabilities) {
    char path[64], line[4096];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "Uid", 3) || !strncmp(line, "Gid", 3) || !strncmp(line, "Groups", 6) || (capabilities && !strncmp(line, "Cap", 3))) {
            line[strcspn(line, "\n")] = 0;
            for (size_t n = strlen(line); n && line[n - 1] == ' '; n--) line[n - 1] = 0;
            puts(line);
        }
    if (f) fclose(f);
}
static void status(pid_t pid) { status_lines(pid, 1); }
static void ids(void) {
    uid_t r, e, s;
    gid_t g, h, i;
    getresuid(&r, &e, &s), getresgid(&g, &h, &i);
    printf("uid %d %d %d, %d %d; gid %d %d %d, %d %d\n", r, e, s, getuid(), geteuid(), g, h, i, getgid(), getegid());
}
static void owner(const char *path) {
    struct stat st;
    struct statx sx;
    int r = lstat(path, &st) | syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &sx);
    if (r) printf("%s: %s\n", path, strerrorname_np(errno));
    else printf("%s: %d %d, %d %d, mode %o\n", path, st.st_uid, st.st_gid, sx.stx_uid, sx.stx_gid, st.st_mode);
}
/* A process in new namespaces that has the maps given, runs `body` and is waited for. */
static void in(unsigned long flags, const char *uids, const char *gids, void (*body)(void)) {
    int ready[2], go[2];
    char c;
    pipe(ready), pipe(go);
    fflush(stdout);
    pid_t pid = new_process(flags);
    if (pid == 0) {
        close(go[1]);
        read(go[0], &c, 1);
        body();
        fflush(stdout);
        _exit(0);
    }
    if (uids) CALL(put_of(pid, "uid_map", uids));
    if (gids) CALL(put_of(pid, "gid_map", gids));
    print_of(pid, "uid_map"), print_of(pid, "gid_map");
    write(go[1], "x", 1);
    int status;
    waitpid(pid, &status, 0);
    if (status) printf("ended with %x\n", status);
    close(ready[0]), close(ready[1]), close(go[0]), close(go[1]);
}

static void *sleeper(void *arg) { pause(); return arg; }

static void flags(void) {
    SECTION("flags");
    CALL(new_process(USER | CLONE_FS));
    CALL(new_process(USER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM));
    CHILD({ CALL(unshare_(USER | CLONE_FS)); });
    CHILD({ CALL(unshare_(USER | CLONE_FILES)); });
    CHILD({
        pthread_t thread;
        pthread_create(&thread, NULL, sleeper, NULL);
        CALL(unshare_(USER));
    });
    CHILD({
        CALL(chroot("/usr"));
        CALL(unshare_(USER));
        CALL(new_process(USER));
    });
    struct { uint64_t flags, pidfd, child, parent, signal, stack, size, tls; } args = {USER, 0, 0, 0, SIGCHLD, 0, 0, 0};
    fflush(stdout);
    pid_t pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) { ids(); _exit(0); }
    waitpid(pid, NULL, 0);
}

static void nobody_is_mapped(void) {
    SECTION("nobody is mapped");
    creat("file", 0600);
    CHILD({
        user(1000);
        CALL(unshare_(USER));
        ids();
        print("/proc/self/uid_map"), print("/proc/self/gid_map"), print("/proc/self/setgroups"), print("/proc/self/projid_map");
        status(getpid());
        owner("/etc/passwd"), owner("/proc/self");
        CALL(setuid(0));
        CALL(setgid(0));
        CALL(setreuid(0, -1));
        CALL(setregid(-1, 0));
        CALL(setresuid(-1, -1, 0));
        CALL(setresgid(0, -1, -1));
        CALL(setuid(1000));
        CALL(setresuid(-1, -1, -1));
        CALL(setfsuid(0));
        CALL(setfsuid(-1));
        CALL(setgroups(0, NULL));
        gid_t group = 0;
        CALL(setgroups(1, &group));
        CALL(getgroups(1, &group));
        CALL(getpriority(PRIO_USER, 1000));
        CALL(chown("file", 0, -1));
        CALL(chown("file", -1, 0));
        CALL(chown("file", -1, -1));
        CALL(unshare_(USER));
    });
    CHILD({
        /* Without a number a program has no capabilities. */
        user(1000);
        unshare_(USER);
        execl("/bin/grep", "grep", "^Cap", "/proc/self/status", NULL);
    });
}

static void rules(void) {
    SECTION("rules of maps");
    const char *bad[] = {"", "\n", "0", "0 1000", "0 1000 0", "0 1000 1 1", "a 1000 1", "0 a 1", "-1 1000 1", "4294967295 1000 1",
        "0 1000 1\n\n", "0 1000 1\n0 1001 1", "0 1000 1\n1 1000 1", "0 1000 4294967295", "0 1001 1", "0 0 1", "0 1000 2", "0 1000 1\n1 1001 1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        printf("%zu\n", i);
        CHILD({
            user(1000);
            unshare_(USER);
            CALL(put("/proc/self/uid_map", bad[i]));
            CALL(put("/proc/self/gid_map", bad[i]));
            CALL(put("/proc/self/projid_map", bad[i]));
        });
    }
    CHILD({
        user(1000);
        unshare_(USER);
        int fd = open("/proc/self/uid_map", O_RDWR);
        lseek(fd, 1, SEEK_SET);
        CALL(write(fd, "0 1000 1", 8));
        lseek(fd, 0, SEEK_SET);
        char page[4096];
        memset(page, ' ', sizeof page);
        CALL(write(fd, page, sizeof page));
        CALL(write(fd, " 0\t1000   1 \n", 13));
        lseek(fd, 0, SEEK_SET);
        CALL(write(fd, "0 1000 1", 8));
        print("/proc/self/uid_map");
        ids();
        CALL(put("/proc/self/gid_map", "0 1000 1"));
        CALL(put("/proc/self/setgroups", "maybe"));
        CALL(put("/proc/self/setgroups", "deny and so"));
        CALL(put("/proc/self/setgroups", "deny"));
        CALL(put("/proc/self/setgroups", "allow"));
        print("/proc/self/setgroups");
        CALL(put("/proc/self/gid_map", "0 0 1"));
        CALL(put("/proc/self/gid_map", "5 1000 1"));
        CALL(put("/proc/self/setgroups", "deny\n"));
        ids();
        status(getpid());
        CALL(setgroups(0, NULL));
        CALL(unshare_(USER));
        ids();
        print("/proc/self/setgroups");
        CALL(put("/proc/self/uid_map", "7 0 1"));
        CALL(put("/proc/self/gid_map", "7 5 1"));
        ids();
        print("/proc/self/uid_map");
    });
    CALL(put("/proc/self/uid_map", "0 0 1"));
    CALL(put("/proc/self/gid_map", "0 0 1"));
    CALL(put("/proc/self/setgroups", "deny"));
    CALL(put("/proc/self/setgroups", "allow"));
    print("/proc/self/uid_map");
    CHILD({
        user(1000);
        CALL(open("/proc/self/setgroups", O_WRONLY));
        CALL(put("/proc/self/uid_map", "0 1000 1"));
        /* Somebody else's. */
        fflush(stdout);
        pid_t pid = new_process(USER);
        if (pid == 0) { pause(); _exit(0); }
        CALL(put_of(pid, "uid_map", "0 1001 1"));
        CALL(put_of(pid, "uid_map", "3 1000 1"));
        print_of(pid, "uid_map");
        status(pid);
        kill(pid, SIGKILL), waitpid(pid, NULL, 0);
    });
    CHILD({
        /* Lines as many as there may be, and one more. */
        fflush(stdout);
        pid_t pid = new_process(USER);
        if (pid == 0) { pause(); _exit(0); }
        static char text[8192];
        int n = 0, last = 0;
        for (int i = 0; i < 341; i++) last = n, n += sprintf(text + n, "%d %d 1\n", i, i + 1);
        CALL(put_of(pid, "uid_map", text));
        text[last] = 0;
        CALL(put_of(pid, "uid_map", text) == last);
        kill(pid, SIGKILL), waitpid(pid, NULL, 0);
    });
}

static void body_ids(void) {
    ids();
    status(getpid());
    status_lines(getppid(), 0);
    owner("mapped"), owner("other"), owner("theirs");
    close(creat("made", 0644));
    CALL(setgroups(3, (gid_t[]){0, 7, 3}));
    CALL(setgroups(1, (gid_t[]){100}));
    gid_t list[8];
    int n = getgroups(8, list);
    for (int i = 0; i < n; i++) printf("group %d\n", list[i]);
    CALL(chown("made", 4, 5));
    CALL(chown("made", 10, -1));
    CALL(chown("mapped", 6, 6));
    CALL(chown("other", 0, 0));
    CALL(chmod("other", 0600));
    CALL(chmod("mapped", 06755));
    CALL(access("other", R_OK));
    CALL(open("other", O_RDONLY));
    OK(open("mapped", O_RDWR));
    CALL(unlink("theirs"));
    owner("made"), owner("mapped");
    CALL(setresgid(8, 8, 8));
    CALL(setresuid(3, 4, 5));
    ids();
    status(getpid());
    CALL(setuid(6));
    CALL(setreuid(-1, 5));
    CALL(setfsuid(4));
    CALL(setfsuid(-1));
    ids();
}

static void seen(void) {
    SECTION("ids");
    close(creat("mapped", 0644)), close(creat("other", 0600)), close(creat("theirs", 0644));
    chown("mapped", 100002, 200002), chown("other", 99, 99), chown("theirs", 100001, 99);
    chmod(".", 0777);
    in(USER, "0 100000 5\n5 300000 5", "0 200000 10", body_ids);
    owner("made"), owner("mapped"), owner("other"), owner("theirs");
}

static void body_capable(void) {
    ids();
    CALL(sethostname("inner", 5));
    CALL(mount("t", "m", "tmpfs", 0, NULL));
    CALL(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
    CALL(umount("m"));
    CALL(msgget(0x4712, IPC_CREAT | 0600) >= 0);
    CALL(mknod("device", S_IFCHR | 0600, makedev(1, 3)));
    CALL(mknod("fifo", S_IFIFO | 0600, 0));
    struct timeval now;
    gettimeofday(&now, NULL);
    CALL(settimeofday(&now, NULL));
    struct rlimit limit;
    getrlimit(RLIMIT_NPROC, &limit);
    limit.rlim_max = limit.rlim_cur = 100;
    CALL(setrlimit(RLIMIT_NPROC, &limit));
    limit.rlim_max = limit.rlim_cur = 200;
    CALL(setrlimit(RLIMIT_NPROC, &limit));
    CALL(setpriority(PRIO_PROCESS, 0, -5));
    CALL(kill(getppid(), 0));
    CALL(syscall(SYS_syslog, 3, NULL, 0));
    CALL(prctl(PR_CAPBSET_DROP, CAP_KILL));
    CALL(prctl(PR_CAPBSET_READ, CAP_KILL));
    CALL(chroot("."));
    CALL(unshare_(CLONE_NEWUTS));
    CALL(unshare_(USER));
}
static void body_alone(void) {
    alarm(20);
    CALL(unshare_(CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWCGROUP));
    CALL(sethostname("inner", 5));
    struct utsname u;
    uname(&u);
    printf("%s\n", u.nodename);
    CALL(mount("t", "m", "tmpfs", 0, "uid=1,gid=1,mode=750"));
    owner("m");
    CALL(umount("m"));
    CALL(mount("t", "m", "tmpfs", 0, "uid=77"));
    CALL(mount("t", "m", "tmpfs", 0, NULL));
    owner("m");
    CALL(mkdir("m/d", 0755));
    CALL(mknod("m/device", S_IFCHR | 0600, makedev(1, 3)));
    CALL(mount(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL));
    CALL(mkdir("m/e", 0755));
    CALL(mount("r", "m/d", "ramfs", 0, NULL));
    CALL(umount("m/d"));
    CALL(mount("p", "m/d", "proc", 0, NULL));
    CALL(mount("q", "m/d", "mqueue", 0, NULL));
    CALL(umount("m/d"));
    CALL(mount("x", "m/d", "nothing", 0, NULL));
    CALL(mount("m/d", "bound", NULL, MS_BIND, NULL));
    CALL(umount("bound"));
    struct msqid_ds ds;
    int id = msgget(0x4712, IPC_CREAT | 0600);
    CALL(msgctl(id, IPC_STAT, &ds));
    printf("%d %d %d %d\n", ds.msg_perm.uid, ds.msg_perm.gid, ds.msg_perm.cuid, ds.msg_perm.cgid);
    ds.msg_perm.uid = 77;
    CALL(msgctl(id, IPC_SET, &ds));
    ds.msg_perm.uid = 1;
    CALL(msgctl(id, IPC_SET, &ds));
    msgctl(id, IPC_STAT, &ds);
    printf("%d %d %d %d\n", ds.msg_perm.uid, ds.msg_perm.gid, ds.msg_perm.cuid, ds.msg_perm.cgid);
    CALL(chroot("m"));
}
/* What was mounted before stays. */
static void body_locked(void) {
    CALL(umount("m"));
    CALL(umount2("m", MNT_DETACH));
    CALL(mount("m", "bound", NULL, MS_MOVE, NULL));
    CALL(mount(NULL, "m", NULL, MS_REMOUNT, NULL));
    CALL(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND, NULL));
    CALL(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    CALL(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL));
    CALL(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL));
    CALL(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOATIME, NULL));
    CALL(mount("outer", "bound", NULL, MS_BIND, NULL));
    CALL(mount("outer", "bound", NULL, MS_BIND | MS_REC, NULL));
    CALL(umount("bound/inner"));
    CALL(umount("bound"));
    CALL(umount2("bound", MNT_DETACH));
    CALL(mount("m", "bound", NULL, MS_BIND, NULL));
    CALL(mount(NULL, "bound", NULL, MS_REMOUNT | MS_BIND, NULL));
    CALL(umount("bound"));
}

static void capable(void) {
    SECTION("what capabilities count for");
    mkdir("m", 0777), mkdir("bound", 0777);
    chmod("m", 0777), chmod("bound", 0777);
    CHILD({ user(1000); in(USER, "0 1000 1", NULL, body_capable); });
    SECTION("own namespaces");
    in(USER, "0 0 10", "0 0 10", body_alone);
    CHILD({
        user(1000);
        unshare_(USER | CLONE_NEWNS | CLONE_NEWUTS);
        put("/proc/self/uid_map", "0 1000 1");
        CALL(sethostname("inner", 5));
        CALL(mount("t", "m", "tmpfs", 0, NULL));
        CALL(mkdir("m/d", 0755));
        owner("m"), owner("m/d");
    });
    CHILD({
        /* Nobody there makes files in it. */
        unshare_(USER | CLONE_NEWNS);
        CALL(mount("t", "m", "tmpfs", 0, NULL));
        CALL(mkdir("m/d", 0755));
        CALL(creat("m/f", 0644));
    });
    SECTION("locked mounts");
    CHILD({
        unshare_(CLONE_NEWNS);
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
        mkdir("outer", 0755);
        mount("t", "m", "tmpfs", MS_RDONLY | MS_NOSUID, NULL);
        mount("t", "outer", "tmpfs", 0, NULL);
        mkdir("outer/inner", 0755);
        mount("t", "outer/inner", "tmpfs", 0, NULL);
        in(USER | CLONE_NEWNS, "0 0 10", "0 0 10", body_locked);
    });
    SECTION("somebody else's tree");
    CHILD({
        int here = open(".", O_RDONLY);
        unshare_(USER | CLONE_NEWNS);
        CALL(fchdir(here));
        CALL(mount("t", "m", "tmpfs", 0, NULL));
        CALL(umount("/proc"));
    });
}

static void entering(void) {
    SECTION("entering");
    int own = open("/proc/self/ns/user", O_RDONLY);
    CALL(setns_(own, 0));
    CALL(setns_(own, USER));
    CALL(setns_(own, CLONE_NEWUTS));
    int ready[2];
    char c;
    pipe(ready);
    fflush(stdout);
    /* User 1000 makes one with names of its own, and root gives it ids. */
    pid_t pid = fork();
    if (pid == 0) {
        user(1000);
        unshare_(USER | CLONE_NEWUTS);
        sethostname("inner", 5);
        write(ready[1], "x", 1);
        pause();
    }
    read(ready[0], &c, 1);
    put_of(pid, "uid_map", "0 1000 2"), put_of(pid, "gid_map", "0 1000 2");
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    int fd = open(path, O_RDONLY), pidfd = syscall(SYS_pidfd_open, pid, 0);
    snprintf(path, sizeof path, "/proc/%d/ns/uts", pid);
    int uts = open(path, O_RDONLY);
    struct utsname u;
    CHILD({
        /* Root may, and is nobody there. */
        CALL(setns_(fd, USER));
        ids();
        status(getpid());
        CALL(setns_(fd, USER));
        CALL(setns_(own, USER));
        CALL(setns_(uts, 0));
        uname(&u);
        printf("%s\n", u.nodename);
        CALL(setresgid(0, 0, 0));
        CALL(setresuid(0, 0, 0));
        ids();
    });
    CHILD({
        user(1000);
        CALL(setns_(uts, 0));
        CALL(setns_(fd, USER));
        ids();
        CALL(setns_(uts, 0));
        CALL(sethostname("other", 5));
        CALL(kill(pid, 0));
    });
    CHILD({
        user(1000);
        CALL(setns_(pidfd, USER | CLONE_NEWUTS));
        uname(&u);
        printf("%s\n", u.nodename);
        ids();
    });
    CHILD({ CALL(setns_(pidfd, CLONE_NEWUTS)); });
    CHILD({
        user(1001);
        CALL(setns_(fd, USER));
        CALL(setns_(uts, 0));
        CALL(setns_(pidfd, USER | CLONE_NEWUTS));
        CALL(kill(pid, 0));
    });
    CHILD({
        pthread_t thread;
        pthread_create(&thread, NULL, sleeper, NULL);
        CALL(setns_(fd, USER));
    });
    CHILD({
        pid_t sharer = new_process(CLONE_FS);
        if (sharer == 0) pause();
        CALL(setns_(fd, USER));
        kill(sharer, SIGKILL);
    });

    SECTION("ioctl_ns");
    struct stat a, b;
    fstat(fd, &a);
    int got = ioctl(uts, NS_GET_USERNS);
    HOLDS(got >= 0 && fstat(got, &b) == 0 && a.st_ino == b.st_ino);
    HOLDS(fcntl(got, F_GETFD) == FD_CLOEXEC);
    printf("%x\n", ioctl(got, NS_GET_NSTYPE));
    fstat(own, &b);
    int parent = ioctl(fd, NS_GET_PARENT);
    HOLDS(parent >= 0 && fstat(parent, &a) == 0 && a.st_ino == b.st_ino);
    parent = ioctl(fd, NS_GET_USERNS);
    HOLDS(parent >= 0 && fstat(parent, &a) == 0 && a.st_ino == b.st_ino);
    CALL(ioctl(own, NS_GET_PARENT));
    CALL(ioctl(own, NS_GET_USERNS));
    CALL(ioctl(uts, NS_GET_PARENT));
    uid_t id = 5;
    CALL(ioctl(uts, NS_GET_OWNER_UID, &id));
    CALL(ioctl(fd, NS_GET_OWNER_UID, &id));
    SHOW(id);
    CALL(ioctl(own, NS_GET_OWNER_UID, &id));
    SHOW(id);
    CALL(ioctl(fd, NS_GET_OWNER_UID, BADPTR));
    CALL(ioctl(fd, 0xb7ff));
    CHILD({
        int mine = open("/proc/self/ns/uts", O_RDONLY);
        setns_(fd, USER);
        CALL(ioctl(mine, NS_GET_USERNS));
        CALL(ioctl(fd, NS_GET_PARENT));
        CALL(ioctl(fd, NS_GET_OWNER_UID, &id));
        SHOW(id);
        HOLDS(ioctl(uts, NS_GET_USERNS) >= 0);
    });
    kill(pid, SIGKILL), waitpid(pid, NULL, 0);
    close(fd), close(uts), close(pidfd), close(own);
}

static void body_messages(void) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    siginfo_t info;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setresuid(1, 1, 1);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    memset(&info, 0, sizeof info);
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    SHOW(info.si_uid);
    waitpid(child, NULL, 0);
    for (int i = 0; i < 2; i++) {
        int signal = sigwaitinfo(&set, &info);
        printf("signal %d of %d\n", signal, info.si_uid);
    }
    /* What somebody outside says of himself. */
    int on = 1, left[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, left);
    setsockopt(left[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    struct ucred cred;
    socklen_t len = sizeof cred;
    CALL(getsockopt(left[0], SOL_SOCKET, SO_PEERCRED, &cred, &len));
    printf("peer %d %d\n", cred.uid, cred.gid);
    struct ucred wanted[] = {{getpid(), 0, 0}, {getpid(), 1, 1}, {getpid(), 77, 0}, {getpid(), 0, 77}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        char control[CMSG_SPACE(sizeof cred)] = {0}, c = 'x';
        struct iovec iov = {&c, 1};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_CREDENTIALS, h->cmsg_len = CMSG_LEN(sizeof cred);
        memcpy(CMSG_DATA(h), &wanted[i], sizeof cred);
        if (CALL(sendmsg(left[1], &m, 0)) < 0) continue;
        m.msg_controllen = sizeof control;
        CALL(recvmsg(left[0], &m, 0));
        memcpy(&cred, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof cred);
        printf("from %d %d\n", cred.uid, cred.gid);
    }
}

static void messages(void) {
    SECTION("signals and messages");
    in(USER, "0 100000 2", "0 200000 2", body_messages);
    /* From inside to outside. */
    int pair[2], on = 1;
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        user(1000);
        unshare_(USER);
        put("/proc/self/uid_map", "0 1000 1");
        ids();
        write(pair[1], "x", 1);
        CALL(kill(getppid(), SIGUSR1));
        _exit(0);
    }
    waitpid(child, NULL, 0);
    struct ucred cred;
    char control[CMSG_SPACE(sizeof cred)] = {0}, c;
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    CALL(recvmsg(pair[0], &m, 0));
    memcpy(&cred, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof cred);
    printf("from %d %d\n", cred.uid, cred.gid);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        user(1000);
        unshare_(USER);
        put("/proc/self/uid_map", "0 1000 1");
        CALL(kill(getppid(), 0));
        siginfo_t info;
        memset(&info, 0, sizeof info);
        sigset_t mine;
        sigemptyset(&mine), sigaddset(&mine, SIGUSR2);
        sigprocmask(SIG_BLOCK, &mine, NULL);
        write(pair[1], "x", 1);
        int signal = sigwaitinfo(&mine, &info);
        printf("signal %d of %d\n", signal, info.si_uid);
        signal = sigwaitinfo(&mine, &info);
        printf("signal %d of %d, %d\n", signal, info.si_uid, info.si_value.sival_int);
        _exit(0);
    }
    recv(pair[0], &c, 1, 0);
    kill(child, SIGUSR2);
    msleep(50);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGUSR2, info.si_code = SI_QUEUE, info.si_pid = getpid(), info.si_uid = 1000, info.si_value.sival_int = 9;
    long queued = syscall(SYS_rt_sigqueueinfo, child, SIGUSR2, &info);
    waitpid(child, NULL, 0);
    SHOW(queued);
    close(pair[0]), close(pair[1]);
}

static void nested(void) {
    SECTION("in each other");
    CHILD({
        int depth = 0;
        long r = 0;
        while (depth < 40 && (r = unshare_(USER)) == 0) {
            depth++;
            put("/proc/self/setgroups", "deny");
            put("/proc/self/uid_map", "0 0 1");
            put("/proc/self/gid_map", "0 0 1");
        }
        CALL(unshare_(USER));
        SHOW(depth);
        CALL(new_process(USER));
        ids();
    });
    int fd = open("/proc/sys/user/max_user_namespaces", O_RDONLY);
    char text[32] = "";
    HOLDS(read(fd, text, sizeof text) > 1 && atoi(text) > 0);
    close(fd);
    print("/proc/sys/kernel/overflowuid"), print("/proc/sys/kernel/overflowgid");
}

static void programs(void) {
    SECTION("programs");
    const char *show = "id -u; id -g; grep ^CapEff /proc/self/status";
    CHILD({
        user(1000);
        unshare_(USER);
        put("/proc/self/uid_map", "0 1000 1");
        execl("/bin/sh", "sh", "-c", show, NULL);
    });
    CHILD({
        user(1000);
        unshare_(USER);
        put("/proc/self/uid_map", "5 1000 1");
        execl("/bin/sh", "sh", "-c", show, NULL);
    });
    CHILD({
        unshare_(USER);
        put("/proc/self/uid_map", "0 0 1");
        prctl(PR_CAPBSET_DROP, CAP_KILL);
        execl("/bin/sh", "sh", "-c", show, NULL);
    });
}

int main(void) {
    setgroups(0, NULL);
    flags();
    nobody_is_mapped();
    rules();
    seen();
    capable();
    entering();
    messages();
    nested();
    programs();
    return 0;
}
