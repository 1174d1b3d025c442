/* Namespaces: unshare, setns, clone; the tree of mounts above all, and pivot_root. */
#include "oracle.h"
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/utsname.h>
#include <sys/wait.h>

static long unshare_(unsigned long flags) { return syscall(SYS_unshare, flags); }
static long setns_(int fd, int kind) { return syscall(SYS_setns, fd, kind); }
static long pivot(const char *new, const char *old) { return syscall(SYS_pivot_root, new, old); }
static long new_process(unsigned long flags) { return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0); }

/* The rest of what a child does, and its end. */
#define CHILD(...) do { fflush(stdout); pid_t pid_ = fork(); if (pid_ == 0) { __VA_ARGS__; _exit(0); } \
        int status_; waitpid(pid_, &status_, 0); if (status_) printf("child ended with %x\n", status_); } while (0)
static void nobody(void) { setresgid(1000, 1000, 1000), setresuid(1000, 1000, 1000); }
static void host(void) {
    struct utsname u;
    uname(&u);
    printf("%.*s\n", 10, u.nodename);
}
static int same(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}
static int there(const char *name) { return access(name, F_OK) == 0; }
static int listed(const char *word) {
    char line[4096];
    int n = 0;
    FILE *f = fopen("/proc/self/mountinfo", "r");
    while (f && fgets(line, sizeof line, f)) n += strstr(line, word) != NULL;
    if (f) fclose(f);
    return n;
}
static void mark(const char *path) { close(creat(path, 0644)); }
/* A place of its own to do all this in, which nobody else sees. */
static void alone(void) {
    if (unshare_(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) perror("alone");
}

static void mounts(void) {
    SECTION("mounts");
    mkdir("m", 0755);
    int p[2], q[2];
    char c;
    pipe(p), pipe(q);
    fflush(stdout);
    if (fork() == 0) {
        alone();
        CALL(mount("marked", "m", "tmpfs", 0, NULL));
        mark("m/inside");
        SHOW(listed("marked"));
        write(p[1], "x", 1), read(q[0], &c, 1);
        SHOW(there("m/later"));
        _exit(0);
    }
    read(p[0], &c, 1);
    SHOW(there("m/inside"));
    SHOW(listed("marked"));
    mark("m/outside");
    write(q[1], "x", 1);
    wait(NULL);
    SHOW(there("m/outside"));
    /* One made in a namespace of its own. */
    fflush(stdout);
    pid_t pid = new_process(CLONE_NEWNS);
    if (pid == 0) {
        CALL(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
        CALL(mount("marked", "m", "tmpfs", 0, NULL));
        SHOW(there("m/outside"));
        SHOW(listed("marked"));
        CALL(umount("m"));
        SHOW(there("m/outside"));
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    SHOW(listed("marked"));
    /* The working directory comes along, and open files stay where they are. */
    CHILD({
        alone();
        mount("t", "m", "tmpfs", 0, NULL);
        mkdir("m/d", 0755);
        chdir("m/d");
        int fd = open(".", O_RDONLY);
        CALL(unshare_(CLONE_NEWNS));
        char cwd[4096];
        getcwd(cwd, sizeof cwd);
        SHOW(strcmp(cwd + strlen(cwd) - 4, "/m/d"));
        mark("file");
        SHOW(faccessat(fd, "file", F_OK, 0));
        CALL(mount("u", "../d", "tmpfs", 0, NULL));
        CALL(fchdir(fd));
        SHOW(there("file"));
        SHOW(there("../d/file"));
        chdir("/");
    });
}

static void root(void) {
    SECTION("pivot_root");
    mkdir("r", 0755), mkdir("s", 0755);
    CHILD({
        alone();
        char top[4096];
        getcwd(top, sizeof top);
        CALL(mount("newroot", "r", "tmpfs", 0, NULL));
        mkdir("r/old", 0755), mkdir("r/proc", 0755), mark("r/newfile");
        mkdir("r/below", 0755);
        CALL(pivot("r", "s"));
        CALL(pivot("s", "s"));
        CALL(pivot("r/old", "r/old"));
        CALL(pivot("r", "nothing"));
        CALL(pivot("nothing", "r/old"));
        CALL(pivot("r/newfile", "r/old"));
        CALL(pivot(BADPTR, "r/old"));
        CALL(pivot("r", BADPTR));
        CALL(pivot("/", "r/old"));
        CALL(mount("t", "r/below", "tmpfs", 0, NULL));
        CALL(pivot("r/below", "r/old"));
        CALL(pivot("r", "r/old"));
        SHOW(there("/newfile"));
        SHOW(there("newfile"));
        char path[8192];
        snprintf(path, sizeof path, "/old%s/r", top);
        SHOW(there(path));
        snprintf(path, sizeof path, "/old%s/s", top);
        SHOW(there(path));
        CALL(chdir("/"));
        CALL(mount("proc", "/proc", "proc", 0, NULL));
        SHOW(listed("newroot") > 0);
        SHOW(listed(" /old ") > 0);
        CALL(umount2("/old", MNT_DETACH));
        SHOW(listed(" /old ") > 0);
        SHOW(there("/old/usr"));
        char cwd[64];
        HOLDS(getcwd(cwd, sizeof cwd) == cwd);
        SHOW(strcmp(cwd, "/"));
        CALL(mount("again", "/old", "tmpfs", 0, NULL));
        mark("/old/third");
        /* The one on top of the other, as container tools do it. */
        CALL(chdir("/old"));
        CALL(pivot(".", "."));
        SHOW(there("/third"));
        CALL(umount2(".", MNT_DETACH));
        SHOW(there("third"));
        SHOW(there("/newfile"));
    });
    SHOW(there("/newfile"));
    CHILD({
        alone();
        mount("t", "r", "tmpfs", 0, NULL);
        mkdir("r/old", 0755);
        nobody();
        CALL(pivot("r", "r/old"));
        CALL(pivot(BADPTR, "r/old"));
    });
    CHILD({
        alone();
        mount("t", "r", "tmpfs", 0, NULL);
        mkdir("r/d", 0755), mkdir("r/d/old", 0755);
        CALL(chroot("r/d"));
        CALL(chdir("/"));
        CALL(pivot("/", "/old"));
    });
    /* A process that stands in the old root is taken along. */
    CHILD({
        alone();
        int p[2], q[2];
        char c;
        pipe(p), pipe(q);
        mount("t", "r", "tmpfs", 0, NULL);
        mkdir("r/old", 0755), mark("r/newfile");
        if (fork() == 0) {
            chdir("/");
            write(p[1], "x", 1), read(q[0], &c, 1);
            SHOW(there("/newfile"));
            SHOW(there("newfile"));
            _exit(0);
        }
        read(p[0], &c, 1);
        CALL(pivot("r", "r/old"));
        write(q[1], "x", 1);
        wait(NULL);
    });
}

static void names(void) {
    SECTION("names");
    CHILD({
        int first = open("/proc/self/ns/uts", O_RDONLY);
        CALL(unshare_(CLONE_NEWUTS));
        CALL(sethostname("inner", 5));
        host();
        int own = open("/proc/self/ns/uts", O_RDONLY);
        pid_t pid = new_process(CLONE_NEWUTS);
        if (pid == 0) {
            host();
            CALL(sethostname("third", 5));
            host();
            CALL(setns_(own, CLONE_NEWUTS));
            host();
            _exit(0);
        }
        waitpid(pid, NULL, 0);
        host();
        CALL(setns_(first, 0));
        struct utsname u;
        uname(&u);
        SHOW(strcmp(u.nodename, "inner") != 0);
        CALL(setns_(own, 0));
        host();
    });
}

static void objects(void) {
    SECTION("objects");
    int id = msgget(0x4711, IPC_CREAT | 0600);
    CHILD({
        SHOW(msgget(0x4711, 0) == id);
        int before = open("/proc/self/ns/ipc", O_RDONLY);
        CALL(unshare_(CLONE_NEWIPC));
        CALL(msgget(0x4711, 0));
        OK(msgget(0x4711, IPC_CREAT | 0600));
        CALL(setns_(before, CLONE_NEWIPC));
        SHOW(msgget(0x4711, 0) == id);
    });
    CALL(msgctl(id, IPC_RMID, NULL));
}

static void files(void) {
    SECTION("files of namespaces");
    const char *all[] = {"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char path[64], text[64] = "";
        snprintf(path, sizeof path, "/proc/self/ns/%s", all[i]);
        ssize_t n = readlink(path, text, sizeof text - 1);
        printf("%s: %.*s\n", all[i], (int)(n > 0 ? strcspn(text, "[") : 0), text);
        struct stat st;
        int fd = open(path, O_RDONLY);
        char want[64];
        CALL(fstat(fd, &st));
        snprintf(want, sizeof want, "%s:[%lu]", text[0] ? strtok(strdup(text), ":") : "", (unsigned long)st.st_ino);
        SHOW(strcmp(want, text));
        printf("mode %o type %x\n", st.st_mode, ioctl(fd, 0xb703));
        char c;
        CALL(read(fd, &c, 1));
        close(fd);
    }
    CALL(open("/proc/self/ns/uts", O_RDWR));
    CALL(open("/proc/self/ns/nothing", O_RDONLY));
    HOLDS(same("/proc/self/ns/mnt", "/proc/self/ns/mnt"));
    CHILD({
        unshare_(CLONE_NEWNS);
        char parent[64];
        snprintf(parent, sizeof parent, "/proc/%d/ns/mnt", getppid());
        HOLDS(!same("/proc/self/ns/mnt", parent));
        snprintf(parent, sizeof parent, "/proc/%d/ns/uts", getppid());
        HOLDS(same("/proc/self/ns/uts", parent));
        unshare_(CLONE_NEWCGROUP);
        snprintf(parent, sizeof parent, "/proc/%d/ns/cgroup", getppid());
        HOLDS(!same("/proc/self/ns/cgroup", parent));
    });
}

static void entering(void) {
    SECTION("entering");
    int mnt = open("/proc/self/ns/mnt", O_RDONLY), pid = open("/proc/self/ns/pid", O_RDONLY);
    int user = open("/proc/self/ns/user", O_RDONLY), null = open("/dev/null", O_RDONLY);
    CALL(setns_(99, 0));
    CALL(setns_(null, 0));
    CALL(setns_(null, CLONE_NEWNS));
    CALL(setns_(mnt, CLONE_NEWUTS));
    CALL(setns_(mnt, 77));
    CALL(setns_(user, 0));
    CALL(setns_(pid, CLONE_NEWPID));
    CHILD({
        alone();
        mount("t", "m", "tmpfs", 0, NULL);
        mark("m/inside");
        char here[4096];
        getcwd(here, sizeof here);
        int own = open("/proc/self/ns/mnt", O_RDONLY);
        chdir("m");
        CALL(setns_(mnt, CLONE_NEWNS));
        char cwd[4096];
        getcwd(cwd, sizeof cwd);
        SHOW(strcmp(cwd, "/"));
        chdir(here);
        SHOW(there("m/inside"));
        CALL(setns_(own, CLONE_NEWNS));
        chdir(here);
        SHOW(there("m/inside"));
        /* One that shares where it is may not. */
        pid_t child = new_process(CLONE_FS);
        if (child == 0) pause();
        CALL(setns_(mnt, CLONE_NEWNS));
        kill(child, SIGKILL), waitpid(child, NULL, 0);
        CALL(setns_(mnt, CLONE_NEWNS));
    });
    /* Those of another process, by its pidfd. */
    CHILD({
        int p[2];
        char c;
        pipe(p);
        pid_t child = new_process(CLONE_NEWUTS);
        if (child == 0) {
            sethostname("other", 5);
            write(p[1], "x", 1);
            pause();
        }
        read(p[0], &c, 1);
        int fd = syscall(SYS_pidfd_open, child, 0);
        CALL(setns_(fd, 0));
        CALL(setns_(fd, 0x80000000));
        CALL(setns_(fd, CLONE_NEWUTS | CLONE_NEWIPC));
        host();
        kill(child, SIGKILL), waitpid(child, NULL, 0);
        CALL(setns_(fd, CLONE_NEWUTS));
    });
    CHILD({
        nobody();
        CALL(setns_(mnt, 0));
        CALL(setns_(null, 0));
        CALL(unshare_(CLONE_NEWNS));
        CALL(unshare_(CLONE_NEWUTS | CLONE_NEWIPC));
        CALL(unshare_(CLONE_NEWPID));
        CALL(unshare_(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM));
        CALL(new_process(CLONE_NEWNS));
    });
}

int main(void) {
    SECTION("flags");
    CALL(unshare_(0));
    CALL(unshare_(1));
    CALL(unshare_(CLONE_PARENT));
    CALL(unshare_(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM));
    CALL(unshare_(CLONE_THREAD | CLONE_VM | CLONE_SIGHAND));
    CALL(new_process(CLONE_NEWNS | CLONE_FS));
    mounts();
    root();
    names();
    objects();
    files();
    entering();
    return 0;
}
