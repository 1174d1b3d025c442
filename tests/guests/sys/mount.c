// mount and umount2: file systems in memory, binds, moves, remounts, what is busy, what a mount's flags forbid; sethostname.
#include "oracle.h"
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

static int there(const char *path) { return access(path, F_OK) == 0; }
static void put(const char *path) { close(open(path, O_CREAT | O_WRONLY, 0644)); }
/* The mount at the end of the working directory's path plus `name`, as /proc/mounts has it. */
static void listed(const char *name) {
    char line[1000], dev[200], at[300], kind[50], options[300], cwd[300];
    FILE *f = fopen("/proc/self/mounts", "r");
    getcwd(cwd, sizeof cwd - 50), strcat(cwd, "/"), strcat(cwd, name);
    int count = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%199s %299s %49s %299s", dev, at, kind, options) == 4 && !strcmp(at, cwd)) count++, printf("%s: %s %s %.2s%s%s%s\n", name, kind[0] == 't' ? dev : "", kind[0] == 't' ? kind : "", options, strstr(options, ",nosuid") ? " nosuid" : "", strstr(options, ",nodev") ? " nodev" : "", strstr(options, ",noexec") ? " noexec" : "");
    fclose(f);
    printf("%s: %d\n", name, count);
}

/* What a tmpfs with a size holds: writes up to it, and what is given back. */
static void sizes(void) {
    SECTION("sizes");
    static char block[3 << 12];
    struct statfs fs;
    CALL(mount("x", "m", "tmpfs", 0, "size=1x")), CALL(mount("x", "m", "tmpfs", 0, "size=")), CALL(mount("x", "m", "tmpfs", 0, "nr_inodes=q")), CALL(mount("x", "m", "tmpfs", 0, "size=31k,nr_inodes=5"));
    CALL(statfs("m", &fs)), SHOW(fs.f_blocks), SHOW(fs.f_bfree), SHOW(fs.f_bavail), SHOW(fs.f_files), SHOW(fs.f_ffree);
    int fd = open("m/a", O_CREAT | O_RDWR, 0644);
    CALL(write(fd, block, sizeof block)), CALL(statfs("m", &fs)), SHOW(fs.f_bfree), SHOW(fs.f_ffree);
    CALL(pwrite(fd, block, 100, 8 << 12)), CALL(pwrite(fd, block, sizeof block, (2 << 12) + 5)), CALL(pwrite(fd, block, sizeof block, 20 << 12)), CALL(pwrite(fd, block, sizeof block, 30 << 12)), CALL(pwrite(fd, block, 100, 5));
    CALL(ftruncate(fd, 1 << 30)), CALL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 << 12)), CALL(statfs("m", &fs)), SHOW(fs.f_bfree), CALL(fallocate(fd, 0, 40 << 12, 3 << 12)), CALL(fallocate(fd, 0, 40 << 12, 2 << 12)), CALL(write(fd, block, 1));
    CALL(mkdir("m/d", 0755)), CALL(symlink("x", "m/l")), CALL(link("m/a", "m/b")), CALL(mknod("m/p", S_IFIFO | 0644, 0)), CALL(mkdir("m/e", 0755)), CALL(rmdir("m/d")), CALL(mkdir("m/e", 0755));
    CALL(mount(NULL, "m", NULL, MS_REMOUNT, "size=16k")), CALL(mount(NULL, "m", NULL, MS_REMOUNT, "nr_inodes=2")), CALL(mount(NULL, "m", NULL, MS_REMOUNT, "size=64k,nr_inodes=20")), CALL(mkdir("m/f", 0755)), CALL(write(fd, block, 1));
    CALL(ftruncate(fd, 0)), CALL(statfs("m", &fs)), SHOW(fs.f_blocks), SHOW(fs.f_bfree), SHOW(fs.f_ffree), CALL(unlink("m/a")), CALL(unlink("m/b")), close(fd), CALL(statfs("m", &fs)), SHOW(fs.f_ffree);
    CALL(umount("m")), CALL(mount("x", "m", "tmpfs", 0, "nr_blocks=3")), CALL(statfs("m", &fs)), SHOW(fs.f_blocks), CALL(umount("m")), CALL(mount("x", "m", "tmpfs", 0, "size=0,nr_inodes=0")), fd = open("m/a", O_CREAT | O_RDWR, 0644), CALL(write(fd, block, sizeof block)), close(fd), CALL(umount("m"));
}

int main(void) {
    struct statfs fs;
    struct stat st;
    int fd;
    /* The host's own mounts and name must not change. */
    unshare(CLONE_NEWNS | CLONE_NEWUTS), mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mkdir("m", 0755), mkdir("n", 0755), mkdir("o", 0755), put("m/below"), put("file"), put("target"), symlink("m", "l");

    SECTION("mount");
    CALL(mount("x", "m", "nosuchfs", 0, NULL)), CALL(mount("x", "m", NULL, 0, NULL)), CALL(mount("x", "none", "tmpfs", 0, NULL)), CALL(mount("x", BADPTR, "tmpfs", 0, NULL)), CALL(mount("x", "m", BADPTR, 0, NULL)), CALL(mount("x", "file", "tmpfs", 0, NULL)), CALL(mount("x", "file/x", "tmpfs", 0, NULL)), CALL(mount("x", "m", "tmpfs", 0, "nonsense=1")), CALL(mount("x", "m", "tmpfs", 0, "mode=9")), CALL(mount("x", "m", "tmpfs", MS_NOUSER, NULL));
    CALL(mount("mine", "m", "tmpfs", MS_NOSUID, "mode=0711,uid=7,gid=8")), HOLDS(!there("m/below")), CALL(stat("m", &st)), SHOW(st.st_mode), SHOW(st.st_uid), SHOW(st.st_gid), CALL(statfs("m", &fs)), HOLDS(fs.f_type == 0x01021994), SHOW(fs.f_flags & 15), listed("m");
    put("m/a"), SHOW(there("m/a")), SHOW(there("l/a")), SHOW(there("m/../m/a")), CALL(rmdir("m")), CALL(rename("m", "z")), CALL(link("m/a", "outside")), CALL(rename("m/a", "outside"));
    CALL(mount("two", "m", "tmpfs", 0, NULL)), SHOW(there("m/a")), listed("m"), CALL(stat("m", &st)), SHOW(st.st_mode), CALL(umount("m")), SHOW(there("m/a"));

    SECTION("umount");
    CALL(umount2("m", 0x100)), CALL(umount("n")), CALL(umount("none")), CALL(umount(BADPTR)), CALL(umount("m/a")), CALL(umount2("l", UMOUNT_NOFOLLOW)), fd = open("m/a", O_RDWR), CALL(umount("m")), close(fd), chdir("m"), CALL(umount("../m")), chdir(".."), CALL(umount("l")), SHOW(there("m/below")), SHOW(there("m/a")), CALL(umount("m"));
    mount("x", "m", "tmpfs", 0, NULL), put("m/a"), mkdir("m/d", 0755), CALL(mount("x", "m/d", "tmpfs", 0, NULL)), CALL(umount("m")), fd = open("m/a", O_RDWR), CALL(umount2("m", MNT_DETACH)), SHOW(there("m/below")), SHOW(there("m/d")), CALL(write(fd, "x", 1)), CALL(close(fd)), CALL(umount2("m", MNT_DETACH)), CALL(umount2("m", MNT_EXPIRE | MNT_FORCE));

    SECTION("bind");
    put("m/here"), CALL(mount("m", "n", NULL, MS_BIND, NULL)), SHOW(there("n/here")), put("n/there"), SHOW(there("m/there")), CALL(mount("file", "n", NULL, MS_BIND, NULL)), CALL(mount("m", "file", NULL, MS_BIND, NULL)), CALL(mount("none", "n", NULL, MS_BIND, NULL)), CALL(mount("", "n", NULL, MS_BIND, NULL)), CALL(mount(NULL, "n", NULL, MS_BIND, NULL));
    CALL(mount(NULL, "n", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL)), CALL(open("n/x", O_CREAT | O_RDWR, 0644)), CALL(unlink("n/here")), CALL(mkdir("n/x", 0755)), CALL(chmod("n/here", 0600)), CALL(open("n/here", O_RDWR)), CALL(open("m/x", O_CREAT | O_RDWR, 0644) >= 0), SHOW(there("n/x")), listed("n"), CALL(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL)), CALL(mount(NULL, "n", NULL, MS_REMOUNT | MS_BIND, NULL)), CALL(mkdir("n/y", 0755)), CALL(umount("n"));
    CALL(mount("m/here", "target", NULL, MS_BIND, NULL)), fd = open("target", O_WRONLY), CALL(write(fd, "abc", 3)), close(fd), CALL(stat("m/here", &st)), SHOW(st.st_size), CALL(unlink("target")), CALL(umount("target")), CALL(stat("target", &st)), SHOW(st.st_size);
    mkdir("m/sub", 0755), mount("x", "m/sub", "tmpfs", 0, NULL), put("m/sub/deep"), CALL(mount("m", "n", NULL, MS_BIND, NULL)), SHOW(there("n/sub/deep")), CALL(umount("n")), CALL(mount("m", "n", NULL, MS_BIND | MS_REC, NULL)), SHOW(there("n/sub/deep")), CALL(umount("n")), CALL(umount("n/sub")), SHOW(there("m/sub/deep")), CALL(umount("n"));
    CALL(mount("m", "m/sub", NULL, MS_BIND | MS_REC, NULL)), SHOW(there("m/sub/here")), SHOW(there("m/sub/sub/deep")), CALL(umount("m/sub")), CALL(umount2("m/sub", MNT_DETACH)), SHOW(there("m/sub/deep")), CALL(umount("m/sub"));

    SECTION("move");
    mount("x", "m", "tmpfs", 0, NULL), put("m/a"), mkdir("m/in", 0755), CALL(mount("m", "n", NULL, MS_MOVE, NULL)), SHOW(there("n/a")), SHOW(there("m/a")), CALL(mount("m", "o", NULL, MS_MOVE, NULL)), CALL(mount("n", "file", NULL, MS_MOVE, NULL)), CALL(mount("n", "n/in", NULL, MS_MOVE, NULL)), fd = open("n/a", O_RDONLY), CALL(mount("n", "m", NULL, MS_MOVE, NULL)), CALL(umount("m")), close(fd), CALL(umount("m"));

    SECTION("flags");
    mount("x", "m", "tmpfs", MS_NODEV | MS_NOEXEC, NULL), listed("m"), CALL(mknod("m/null", S_IFCHR | 0666, 0x103)), CALL(open("m/null", O_RDWR)), CALL(close(open("m/null", O_PATH)));
    fd = open("m/run", O_CREAT | O_RDWR, 0755), write(fd, "#!/bin/true\n", 12), PTR(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0)), munmap(PTR(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0)), 4096);
    close(fd), CALL(execl("m/run", "run", NULL)), CALL(access("m/run", X_OK)), CALL(mount(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL)), CALL(open("m/new", O_CREAT | O_RDWR, 0644)), CALL(mount(NULL, "m", NULL, MS_REMOUNT, NULL)), CALL(close(open("m/null", O_RDWR))), CALL(mount(NULL, "o", NULL, MS_REMOUNT, NULL)), CALL(mount(NULL, "m", NULL, MS_PRIVATE, NULL)), CALL(mount(NULL, "o", NULL, MS_PRIVATE, NULL)), CALL(mount(NULL, "m", NULL, MS_SLAVE, NULL)), CALL(mount(NULL, "m", NULL, MS_PRIVATE | MS_SLAVE, NULL));
    int in = inotify_init1(IN_NONBLOCK), w = inotify_add_watch(in, "m/run", IN_OPEN);
    char buf[400];
    CALL(umount("m")), HOLDS(read(in, buf, sizeof buf) == 32), SHOW(((struct inotify_event *)buf)->mask), SHOW(((struct inotify_event *)(buf + 16))->mask), CALL(inotify_rm_watch(in, w));
    CALL(mount("proc", "m", "proc", 0, NULL)), SHOW(there("m/self/status")), SHOW(there("m/1")), CALL(umount("m")), CALL(mount("q", "m", "mqueue", 0, NULL)), CALL(umount("m")), CALL(mount("s", "m", "sysfs", 0, NULL)), SHOW(there("m/devices")), CALL(umount("m"));
    rmdir("o"), mkdir("o", 0755), chdir("o"), rmdir("../o"), CALL(mount("x", ".", "tmpfs", 0, NULL)), chdir("..");

    sizes();

    SECTION("names");
    struct utsname u;
    char name[70];
    CALL(sethostname("a.host", 6)), uname(&u), printf("%s\n", u.nodename), CALL(sethostname("", 0)), uname(&u), printf("[%s]\n", u.nodename), CALL(syscall(SYS_sethostname, BADPTR, 3L)), CALL(syscall(SYS_sethostname, "x", -1L)), CALL(syscall(SYS_sethostname, "x", 65L)), memset(name, 'h', 64), CALL(sethostname(name, 64)), uname(&u), SHOW(strlen(u.nodename));
    CALL(setdomainname("a.domain", 8)), uname(&u), printf("%s\n", u.domainname), CALL(syscall(SYS_setdomainname, BADPTR, 3L)), CALL(syscall(SYS_setdomainname, "x", -1L));

    SECTION("somebody else");
    CALL(setgroups(0, NULL)), CALL(setresgid(1000, 1000, 1000)), CALL(setresuid(1000, 1000, 0)), CALL(mount("x", "m", "tmpfs", 0, NULL)), CALL(mount("x", "none", "tmpfs", 0, NULL)), CALL(umount("m")), CALL(umount("none")), CALL(umount2("m", 0x100)), CALL(sethostname("x", 1)), CALL(setdomainname("x", 1));
    return 0;
}
