// Names: stat, directories, links, renames, modes, owners, times, attributes.
#include "oracle.h"
#include <dirent.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <utime.h>

static char longname[300], longpath[5000];

static void stats(void) {
    SECTION("stat");
    struct stat st;
    struct statx sx;
    oracle_file("f", 5000);
    chmod("f", 0640);
    mkdir("d", 0711);
    symlink("f", "l");
    symlink("loop", "loop");
    CALL(stat("f", &st));
    SHOW(st.st_size), SHOW(st.st_mode), SHOW(st.st_nlink), SHOW(st.st_uid), SHOW(st.st_gid), SHOW(st.st_blksize);
    SHOW(st.st_blocks > 0);
    CALL(stat("l", &st));
    SHOW(S_ISREG(st.st_mode));
    CALL(lstat("l", &st));
    SHOW(st.st_mode), SHOW(st.st_size);
    CALL(stat("d", &st));
    SHOW(st.st_mode), SHOW(st.st_nlink);
    CALL(stat("nope", &st));
    CALL(stat("", &st));
    CALL(stat("f/", &st));
    CALL(stat("f/x", &st));
    CALL(stat("loop", &st));
    CALL(stat(longname, &st));
    CALL(stat(longpath, &st));
    CALL(syscall(SYS_stat, BADPTR, &st));
    CALL(syscall(SYS_stat, "f", BADPTR));
    CALL(syscall(SYS_fstat, 77, &st));
    CALL(syscall(SYS_newfstatat, AT_FDCWD, "", &st, AT_EMPTY_PATH));
    CALL(syscall(SYS_newfstatat, 77, "f", &st, 0));
    CALL(syscall(SYS_newfstatat, AT_FDCWD, "l", &st, AT_SYMLINK_NOFOLLOW));
    CALL(syscall(SYS_newfstatat, AT_FDCWD, "f", &st, 0x40000));
    CALL(stat("/dev/null", &st));
    SHOW(st.st_mode), SHOW(major(st.st_rdev)), SHOW(minor(st.st_rdev));
    CALL(stat("/dev/null/x", &st));
    CALL(stat(".", &st)), SHOW(S_ISDIR(st.st_mode));
    CALL(stat("d/..", &st)), SHOW(S_ISDIR(st.st_mode));
    CALL(stat("d/../f", &st)), SHOW(st.st_size);
    CALL(stat("nope/../f", &st));
    CALL(stat("/../../etc/passwd", &st)), SHOW(S_ISREG(st.st_mode));
    CALL(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &sx));
    SHOW(sx.stx_size), SHOW(sx.stx_mode), SHOW(sx.stx_nlink), SHOW((sx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    CALL(statx(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_MODE, &sx)), SHOW(sx.stx_mode);
    CALL(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_MODE, &sx));
    CALL(statx(AT_FDCWD, "f", 0, 0x80000000u, &sx));
    CALL(statx(AT_FDCWD, "f", 0x80000, STATX_MODE, &sx));
    CALL(statx(AT_FDCWD, "f", 0, STATX_MODE, BADPTR));
    CALL(statx(77, "", AT_EMPTY_PATH, STATX_MODE, &sx));
    SECTION("access");
    CALL(access("f", F_OK));
    CALL(access("f", R_OK | W_OK));
    CALL(access("f", X_OK));
    CALL(access("d", X_OK));
    CALL(access("nope", F_OK));
    CALL(access("f/x", F_OK));
    CALL(access("f", 99));
    CALL(syscall(SYS_access, BADPTR, F_OK));
    CALL(syscall(SYS_faccessat, AT_FDCWD, "l", F_OK));
    CALL(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW | AT_EACCESS));
    CALL(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, 0x80000));
    SECTION("statfs");
    struct statfs fs;
    CALL(statfs(".", &fs)), SHOW(fs.f_namelen), HOLDS(fs.f_bsize > 0 && fs.f_blocks > 0);
    CALL(statfs("nope", &fs));
    CALL(fstatfs(0, &fs));
    CALL(fstatfs(77, &fs));
    CALL(syscall(SYS_statfs, ".", BADPTR));
    CALL(statfs("/proc", &fs)), SHOW(fs.f_type);
}

static int byname(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
static void list(const char *path) {
    DIR *d = opendir(path);
    char *names[100];
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d)) && n < 100;) {
        char b[300];
        snprintf(b, 300, "%s:%d", e->d_name, e->d_type);
        names[n++] = strdup(b);
    }
    if (d) closedir(d);
    qsort(names, n, sizeof *names, byname);
    printf("list %s:", path);
    for (int i = 0; i < n; i++) printf(" %s", names[i]);
    printf("\n");
}

static void directories(void) {
    SECTION("directories");
    CALL(mkdir("m", 0755));
    CALL(mkdir("m", 0755));
    CALL(mkdir("m/", 0755));
    CALL(mkdir("f/x", 0755));
    CALL(mkdir("no/x", 0755));
    CALL(mkdir("", 0755));
    CALL(mkdir(longname, 0755));
    CALL(mkdir(".", 0755));
    CALL(mkdir("/", 0755));
    CALL(syscall(SYS_mkdir, BADPTR, 0));
    CALL(mkdir("m/a/", 0700));
    CALL(mkdirat(AT_FDCWD, "m/b", 0777));
    CALL(mkdirat(77, "m/b", 0777));
    symlink("../f", "m/link");
    mkfifo("m/fifo", 0600);
    close(open("m/file", O_CREAT | O_WRONLY, 0600));
    list("m");
    CALL(rmdir("m"));
    CALL(rmdir("m/a"));
    CALL(rmdir("m/nope"));
    CALL(rmdir("f"));
    CALL(rmdir("m/."));
    CALL(rmdir("m/b/.."));
    CALL(rmdir("l"));
    CALL(unlink("m"));
    CALL(unlink("nope"));
    CALL(unlink("m/file/"));
    CALL(unlinkat(AT_FDCWD, "m/b", 0));
    CALL(unlinkat(AT_FDCWD, "m/b", AT_REMOVEDIR));
    CALL(unlinkat(AT_FDCWD, "m/file", AT_REMOVEDIR));
    CALL(unlinkat(AT_FDCWD, "m/file", 99));
    CALL(unlinkat(AT_FDCWD, "m/file", 0));
    list("m");
    SECTION("getdents");
    mkdir("many", 0755);
    for (int i = 0; i < 300; i++) {
        char n[64];
        sprintf(n, "many/entry-%03d", i);
        close(open(n, O_CREAT | O_WRONLY, 0600));
    }
    int d = open("many", O_RDONLY | O_DIRECTORY), total = 0, calls = 0;
    char buf[1000], seen[300] = {0};
    for (int n; (n = syscall(SYS_getdents64, d, buf, sizeof buf)) > 0; calls++)
        for (int o = 0; o < n;) {
            struct { uint64_t ino; int64_t off; uint16_t len; uint8_t type; char name[]; } *e = (void *)(buf + o);
            int i;
            if (sscanf(e->name, "entry-%d", &i) == 1) seen[i]++;
            total++, o += e->len;
        }
    SHOW(total), HOLDS(calls > 5);
    for (int i = 0; i < 300; i++) if (seen[i] != 1) printf("entry %d seen %d times\n", i, seen[i]);
    CALL(lseek(d, 0, SEEK_SET));
    OK(syscall(SYS_getdents64, d, buf, sizeof buf) > 0);
    CALL(syscall(SYS_getdents64, d, buf, 3));
    CALL(syscall(SYS_getdents64, d, BADPTR, 1000));
    CALL(syscall(SYS_getdents64, open("f", O_RDONLY), buf, 1000));
    CALL(syscall(SYS_getdents64, 77, buf, 1000));
    DIR *dir = opendir("many");
    int removed = 0;
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] == 'e') removed += unlinkat(dirfd(dir), e->d_name, 0) == 0;
    SHOW(removed);
    CALL(rmdir("many"));
    struct stat st;
    CALL(fstat(d, &st)), SHOW(st.st_nlink);
    CALL(syscall(SYS_getdents64, d, buf, sizeof buf));
    CALL(openat(d, "x", O_CREAT | O_RDWR, 0600));
    SECTION("working directory");
    char cwd[PATH_MAX], here[PATH_MAX];
    getcwd(here, sizeof here);
    mkdir("w", 0755), mkdir("w/x", 0755);
    CALL(chdir("w/x"));
    HOLDS(getcwd(cwd, sizeof cwd) && !strcmp(cwd + strlen(here), "/w/x"));
    CALL(chdir("../.."));
    CALL(chdir("f"));
    CALL(chdir("nope"));
    CALL(chdir(BADPTR));
    CALL(fchdir(open("w", O_RDONLY)));
    CALL(fchdir(open("../f", O_RDONLY)));
    CALL(fchdir(77));
    CALL(rename("x", "y"));
    CALL(rmdir("../w/y"));
    chdir(here);
    CALL(syscall(SYS_getcwd, cwd, 2));
    CALL(syscall(SYS_getcwd, BADPTR, 4096));
    CALL(syscall(SYS_getcwd, cwd, 0));
    CALL(chdir("w"));
    CALL(rmdir("../w"));
    CALL(syscall(SYS_getcwd, cwd, 4096));
    CALL(open("x", O_CREAT | O_RDWR, 0600));
    CALL(mkdir("x", 0700));
    OK(open(".", O_RDONLY));
    CALL(chdir(here));
}

static void links(void) {
    SECTION("links");
    struct stat st;
    char b[100];
    CALL(link("f", "hard"));
    stat("f", &st), SHOW(st.st_nlink);
    CALL(link("f", "hard"));
    CALL(link("d", "hard2"));
    CALL(link("nope", "hard2"));
    CALL(link("l", "hardlink-to-link"));
    lstat("hardlink-to-link", &st), SHOW(S_ISLNK(st.st_mode));
    CALL(linkat(AT_FDCWD, "l", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
    lstat("followed", &st), SHOW(S_ISREG(st.st_mode)), SHOW(st.st_nlink);
    CALL(linkat(AT_FDCWD, "f", AT_FDCWD, "x", 99));
    CALL(link("f", "/dev/shm-none/x"));
    OK(link("f", "/proc/x") < 0);
    int t = open(".", O_TMPFILE | O_RDWR, 0600);
    write(t, "tmp", 3);
    CALL(linkat(t, "", AT_FDCWD, "from-tmp", AT_EMPTY_PATH));
    stat("from-tmp", &st), SHOW(st.st_size), SHOW(st.st_nlink);
    CALL(unlink("hard"));
    CALL(unlink("followed"));
    stat("f", &st), SHOW(st.st_nlink);
    int fd = open("from-tmp", O_RDWR);
    CALL(unlink("from-tmp"));
    CALL(pread(fd, b, 10, 0));
    fstat(fd, &st), SHOW(st.st_nlink);
    CALL(symlink("target/anything", "s"));
    CALL(symlink("x", "s"));
    CALL(symlink("", "s2"));
    CALL(symlink("x", "nope/s"));
    CALL(symlink(longpath, "s3"));
    CALL(readlink("s", b, sizeof b));
    CALL(readlink("s", b, 3));
    CALL(readlink("s", b, 0));
    CALL(readlink("f", b, 10));
    CALL(readlink("nope", b, 10));
    CALL(syscall(SYS_readlink, "s", BADPTR, 10));
    CALL(readlinkat(open("s", O_PATH | O_NOFOLLOW), "", b, 100));
    CALL(symlinkat("y", 77, "s4"));
    symlink(".", "dot");
    CALL(stat("dot/dot/dot/dot/f", &st));
    char chain[20] = "f", next[20];
    for (int i = 0; i < 45; i++) {
        sprintf(next, "chain%d", i);
        symlink(chain, next);
        strcpy(chain, next);
    }
    CALL(stat("chain38", &st));
    CALL(stat("chain39", &st));
    CALL(stat("chain40", &st));
    SECTION("rename");
    oracle_file("r1", 10), oracle_file("r2", 20), mkdir("rd", 0755), mkdir("rd2", 0755), oracle_file("rd2/x", 1);
    CALL(rename("r1", "r2"));
    stat("r2", &st), SHOW(st.st_size);
    CALL(stat("r1", &st));
    CALL(rename("r2", "rd"));
    CALL(rename("rd", "r2"));
    CALL(rename("rd", "rd2"));
    CALL(rename("rd2", "rd"));
    CALL(stat("rd/x", &st));
    CALL(rename("rd", "rd/sub"));
    CALL(rename("rd/x", "rd/x"));
    CALL(rename("nope", "x"));
    CALL(rename("r2", "nope/x"));
    CALL(rename("r2", ""));
    CALL(rename("r2", "new/"));
    CALL(rename("rd", "newdir/"));
    CALL(rename(".", "x"));
    CALL(rename("newdir/..", "x"));
    CALL(rename("r2", longname));
    CALL(rename("s", "s5"));
    CALL(lstat("s5", &st)), SHOW(S_ISLNK(st.st_mode));
    link("r2", "r2-hard");
    CALL(rename("r2", "r2-hard"));
    CALL(stat("r2", &st));
    CALL(rename("r2", "/proc/x"));
    oracle_file("e1", 1), oracle_file("e2", 2);
    CALL(renameat2(AT_FDCWD, "e1", AT_FDCWD, "e2", RENAME_NOREPLACE));
    CALL(renameat2(AT_FDCWD, "e1", AT_FDCWD, "e3", RENAME_NOREPLACE));
    CALL(renameat2(AT_FDCWD, "e3", AT_FDCWD, "e2", RENAME_EXCHANGE));
    stat("e3", &st), SHOW(st.st_size);
    CALL(renameat2(AT_FDCWD, "e3", AT_FDCWD, "newdir", RENAME_EXCHANGE));
    CALL(renameat2(AT_FDCWD, "e3", AT_FDCWD, "nope", RENAME_EXCHANGE));
    CALL(renameat2(AT_FDCWD, "e3", AT_FDCWD, "e2", RENAME_EXCHANGE | RENAME_NOREPLACE));
    CALL(renameat2(AT_FDCWD, "e3", AT_FDCWD, "e2", 99));
    CALL(renameat(77, "e3", AT_FDCWD, "e2"));
    CALL(syscall(SYS_rename, BADPTR, "x"));
}

static void modes(void) {
    SECTION("modes, owners, times");
    struct stat st;
    int fd = oracle_file("p", 10);
    CALL(chmod("p", 07777)), stat("p", &st), SHOW(st.st_mode);
    CALL(fchmod(fd, 0600)), stat("p", &st), SHOW(st.st_mode);
    CALL(fchmodat(AT_FDCWD, "p", 0644, 0));
    CALL(chmod("nope", 0));
    CALL(fchmod(77, 0));
    CALL(syscall(SYS_fchmodat, 77, "p", 0));
    CALL(syscall(SYS_chmod, BADPTR, 0));
    CALL(chown("p", 1, 2)), stat("p", &st), SHOW(st.st_uid), SHOW(st.st_gid);
    CALL(chown("p", -1, 5)), stat("p", &st), SHOW(st.st_uid), SHOW(st.st_gid);
    chmod("p", 06755);
    CALL(chown("p", 0, 0)), stat("p", &st), SHOW(st.st_mode);
    symlink("p", "pl");
    CALL(lchown("pl", 7, 8)), lstat("pl", &st), SHOW(st.st_uid);
    stat("p", &st), SHOW(st.st_uid);
    CALL(fchown(fd, 3, 3));
    CALL(fchownat(AT_FDCWD, "", 0, 0, 0));
    CALL(fchownat(fd, "", 4, 4, AT_EMPTY_PATH));
    CALL(fchownat(AT_FDCWD, "p", 0, 0, 0x80000));
    CALL(fchown(77, 0, 0));
    CALL(chown("nope", 0, 0));
    SHOW(umask(027));
    close(open("u", O_CREAT | O_RDWR, 0666)), stat("u", &st), SHOW(st.st_mode);
    mkdir("ud", 0777), stat("ud", &st), SHOW(st.st_mode);
    SHOW(umask(0xffff));
    SHOW(umask(022));
    struct timespec ts[2] = {{1000, 5}, {2000, 999999999}};
    CALL(utimensat(AT_FDCWD, "p", ts, 0)), stat("p", &st), SHOW(st.st_atim.tv_sec), SHOW(st.st_mtim.tv_sec), SHOW(st.st_mtim.tv_nsec);
    ts[0].tv_nsec = UTIME_OMIT, ts[1] = (struct timespec){3000, 7};
    CALL(futimens(fd, ts)), stat("p", &st), SHOW(st.st_atim.tv_sec), SHOW(st.st_mtim.tv_sec);
    ts[0].tv_nsec = UTIME_NOW, ts[1].tv_nsec = UTIME_OMIT;
    CALL(utimensat(AT_FDCWD, "p", ts, 0)), stat("p", &st), HOLDS(st.st_atim.tv_sec > 1000000000), SHOW(st.st_mtim.tv_sec);
    CALL(utimensat(AT_FDCWD, "pl", NULL, AT_SYMLINK_NOFOLLOW));
    ts[0].tv_nsec = 2000000000;
    CALL(utimensat(AT_FDCWD, "p", ts, 0));
    CALL(utimensat(AT_FDCWD, "nope", NULL, 0));
    CALL(utimensat(77, "p", NULL, 0));
    CALL(syscall(SYS_utimensat, AT_FDCWD, "p", BADPTR, 0));
    CALL(syscall(SYS_utimensat, AT_FDCWD, "p", NULL, 0x80000));
    struct timeval tv[2] = {{50, 1}, {60, 2}};
    CALL(utimes("p", tv)), stat("p", &st), SHOW(st.st_mtim.tv_sec), SHOW(st.st_mtim.tv_nsec);
    struct utimbuf ut = {70, 80};
    CALL(syscall(SYS_utime, "p", &ut)), stat("p", &st), SHOW(st.st_atim.tv_sec);
    time_t before = st.st_mtim.tv_sec;
    write(fd, "x", 1), fstat(fd, &st), HOLDS(st.st_mtim.tv_sec > before);
    SECTION("special nodes");
    CALL(mknod("fifo", S_IFIFO | 0600, 0)), stat("fifo", &st), SHOW(st.st_mode);
    CALL(mknod("reg", S_IFREG | 0600, 0)), stat("reg", &st), SHOW(st.st_mode);
    CALL(mknod("reg", S_IFREG | 0600, 0));
    CALL(mknod("bad", S_IFDIR | 0600, 0));
    CALL(mknod("nope/x", S_IFREG | 0600, 0));
    CALL(open("fifo", O_WRONLY | O_NONBLOCK));
    int r = OK(open("fifo", O_RDONLY | O_NONBLOCK)), w = OK(open("fifo", O_WRONLY | O_NONBLOCK));
    char b[10];
    CALL(read(r, b, 10));
    CALL(write(w, "fifo", 4));
    CALL(read(r, b, 10));
    close(w);
    CALL(read(r, b, 10));
}

static void attributes(void) {
    SECTION("extended attributes");
    char b[100];
    int fd = oracle_file("x", 1);
    CALL(setxattr("x", "user.one", "value", 5, 0));
    CALL(setxattr("x", "user.one", "value", 5, XATTR_CREATE));
    CALL(setxattr("x", "user.two", "v", 1, XATTR_REPLACE));
    CALL(fsetxattr(fd, "user.two", "longer value", 12, 0));
    CALL(getxattr("x", "user.one", b, sizeof b));
    CALL(getxattr("x", "user.one", b, 2));
    CALL(getxattr("x", "user.one", NULL, 0));
    CALL(getxattr("x", "user.none", b, sizeof b));
    CALL(fgetxattr(fd, "user.two", b, sizeof b));
    CALL(listxattr("x", b, sizeof b));
    CALL(listxattr("x", b, 3));
    CALL(listxattr("x", NULL, 0));
    CALL(removexattr("x", "user.one"));
    CALL(removexattr("x", "user.one"));
    CALL(listxattr("x", b, sizeof b));
    CALL(setxattr("x", "nonamespace", "v", 1, 0));
    CALL(setxattr("x", "user.", "v", 1, 0));
    CALL(getxattr("nope", "user.one", b, 10));
    CALL(fgetxattr(77, "user.one", b, 10));
    CALL(setxattr("x", "user.x", "v", 1, 99));
    CALL(syscall(SYS_setxattr, "x", BADPTR, "v", 1, 0));
    CALL(syscall(SYS_getxattr, "x", "user.two", BADPTR, 20));
}

int main(void) {
    memset(longname, 'x', 299);
    memset(longpath, 'x', 4999);
    for (int i = 10; i < 4999; i += 10) longpath[i] = '/';
    stats();
    directories();
    links();
    modes();
    attributes();
    return 0;
}
