// What a user without privileges may not do to the files of others: every call on names and attributes.
#include "oracle.h"
#include <grp.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

enum { USER = 65534 };
#define C(name, ...) syscall(SYS_##name, __VA_ARGS__)
static const char *const paths[] = {"closed/f", "closed/new", "shut/f", "shut/new", "shut/d", "sticky/f", "sticky/d", "sticky/mine", "none", "own/f", "open"};
enum { COUNT = sizeof paths / sizeof *paths };
/* The expression with p as each of the paths. */
#define EACH(...) for (int i_ = 0; i_ < COUNT; i_++) { \
    const char *p = paths[i_]; \
    errno = 0; \
    long r_ = (__VA_ARGS__); \
    int e_ = errno; \
    if (r_ > 2 && r_ < 100) close(r_); \
    if (r_ < 0) printf("%s, %s: %s\n", #__VA_ARGS__, p, oracle_errname(e_)); \
    else printf("%s, %s: ok\n", #__VA_ARGS__, p); }

static void file(const char *name, int mode, uid_t owner) {
    close(oracle_file(name, 10));
    chown(name, owner, owner), chmod(name, mode);
}
static void fixture(void) {
    mkdir("closed", 0700), mkdir("shut", 0755), mkdir("shut/d", 0755), mkdir("sticky", 0777), mkdir("sticky/d", 0755), mkdir("own", 0755), mkdir("work", 0777);
    chmod("sticky", 01777), chmod("work", 0777), chown("own", USER, USER);
    file("closed/f", 0666, 0), file("shut/f", 0644, 0), file("sticky/f", 0666, 0), file("sticky/mine", 0644, USER), file("none", 0, 0), file("own/f", 0400, USER), file("open", 0666, 0), file("setid", 06777, USER);
    setxattr("open", "user.a", "value", 5, 0);
}

int main(void) {
    struct stat st;
    struct statx sx;
    struct statfs fs;
    struct timespec ts[2] = {{1, 0}, {2, 0}}, now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    char b[100], *args[] = {"x", NULL};
    struct { uint64_t flags, mode, resolve; } how = {O_RDWR, 0, 0};
    umask(0);
    fixture();
    int none = open("none", O_RDWR), shut = open("shut", O_RDONLY), closed = open("closed", O_RDONLY), other = open("shut/f", O_RDWR);
    CALL(setgroups(0, NULL)), CALL(setresgid(USER, USER, USER)), CALL(setresuid(USER, USER, USER));
    SECTION("asking");
    EACH(C(open, p, O_RDONLY)); EACH(C(open, p, O_WRONLY)); EACH(C(open, p, O_RDONLY | O_NOATIME)); EACH(C(open, p, O_RDONLY | O_TRUNC | O_DIRECTORY)); EACH(C(open, p, O_PATH)); EACH(C(openat, AT_FDCWD, p, O_RDWR | O_APPEND)); EACH(C(openat2, AT_FDCWD, p, &how, 24L));
    EACH(C(stat, p, &st)); EACH(C(lstat, p, &st)); EACH(C(newfstatat, AT_FDCWD, p, &st, 0)); EACH(C(statx, AT_FDCWD, p, 0, 0x7ff, &sx)); EACH(C(statfs, p, &fs));
    EACH(C(access, p, R_OK)); EACH(C(access, p, W_OK)); EACH(C(access, p, X_OK)); EACH(C(access, p, R_OK | W_OK)); EACH(C(faccessat, AT_FDCWD, p, W_OK)); EACH(C(faccessat2, AT_FDCWD, p, R_OK, AT_EACCESS)); EACH(C(readlink, p, b, 100)); EACH(C(readlinkat, AT_FDCWD, p, b, 100));
    EACH(C(getxattr, p, "user.a", b, 100L)); EACH(C(lgetxattr, p, "trusted.a", b, 100L)); EACH(C(listxattr, p, b, 0L)); EACH(C(llistxattr, p, b, 0L));
    EACH(C(execve, p, args, NULL));
    SECTION("making");
    EACH(C(creat, p, 0644)); EACH(C(open, p, O_CREAT | O_EXCL | O_RDWR, 0644)); EACH(C(openat, AT_FDCWD, p, O_CREAT | O_RDONLY, 0644)); EACH(C(mkdir, p, 0755)); EACH(C(mkdirat, AT_FDCWD, p, 0755)); EACH(C(mknod, p, S_IFREG | 0600, 0)); EACH(C(mknodat, AT_FDCWD, p, S_IFIFO | 0600, 0)); EACH(C(mknod, p, S_IFCHR | 0600, 0x103)); EACH(C(mknodat, AT_FDCWD, p, S_IFBLK | 0600, 0x700));
    EACH(C(symlink, "y", p)); EACH(C(symlinkat, "y", AT_FDCWD, p)); EACH(C(link, "own/f", p)); EACH(C(linkat, AT_FDCWD, "own/f", AT_FDCWD, p, 0)); EACH(C(open, p, O_TMPFILE | O_RDWR, 0600));
    SECTION("changing");
    EACH(C(chmod, p, 0600)); EACH(C(fchmodat, AT_FDCWD, p, 0644)); EACH(C(chown, p, 0, -1)); EACH(C(chown, p, -1, 0)); EACH(C(chown, p, USER, USER)); EACH(C(lchown, p, 0, 0)); EACH(C(fchownat, AT_FDCWD, p, 7, 7, 0)); EACH(C(chown, p, -1, -1));
    EACH(C(utime, p, NULL)); EACH(C(utimes, p, NULL)); EACH(C(utime, p, &ts)); EACH(C(utimes, p, &(long[4]){1, 2, 3, 4})); EACH(C(futimesat, AT_FDCWD, p, &(long[4]){1, 2, 3, 4})); EACH(C(utimensat, AT_FDCWD, p, ts, 0)); EACH(C(utimensat, AT_FDCWD, p, now, 0));
    EACH(C(truncate, p, 5L)); EACH(C(setxattr, p, "user.b", "v", 1L, 0)); EACH(C(lsetxattr, p, "trusted.b", "v", 1L, 0)); EACH(C(setxattr, p, "security.b", "v", 1L, 0)); EACH(C(removexattr, p, "user.none")); EACH(C(lremovexattr, p, "trusted.none"));
    EACH(C(chdir, p)); EACH(C(chroot, p));
    SECTION("by descriptor");
    CALL(fchmod(none, 0)), CALL(fchown(none, 1, 1)), CALL(C(utimensat, none, NULL, ts, 0)), CALL(C(utimensat, none, NULL, now, 0)), CALL(ftruncate(other, 5)), CALL(write(other, "x", 1)), CALL(fsetxattr(other, "user.b", "v", 1, 0)), CALL(fgetxattr(none, "user.b", b, 10)), CALL(fremovexattr(other, "user.none"));
    CALL(fchdir(shut)), CALL(fchdir(closed)), CALL(openat(closed, "f", O_RDONLY)), CALL(openat(shut, "new", O_CREAT | O_RDWR, 0644)), CALL(mkdirat(shut, "new", 0755)), CALL(unlinkat(shut, "f", 0)), CALL(renameat(shut, "f", shut, "g")), CALL(C(fchdir, open("..", O_RDONLY)));
    CALL(C(open, "/proc/self/fd/77", O_RDONLY)), CALL(fcntl(other, F_SETFL, O_NOATIME)), CALL(fcntl(other, F_SETPIPE_SZ, 1 << 26));
    SECTION("removing");
    EACH(C(rename, p, "work/x") == 0 ? C(rename, "work/x", p) : -1); EACH(C(rename, "own/f", p) == 0 ? C(rename, p, "own/f") : -1); EACH(C(renameat2, AT_FDCWD, p, AT_FDCWD, "open", RENAME_EXCHANGE)); EACH(C(renameat, AT_FDCWD, p, AT_FDCWD, "new"));
    EACH(C(unlink, p)); EACH(C(unlinkat, AT_FDCWD, p, 0)); EACH(C(rmdir, p)); EACH(C(unlinkat, AT_FDCWD, p, AT_REMOVEDIR));
    SECTION("set-id bits");
    int f = open("setid", O_RDWR);
#define MODE fstat(f, &st), SHOW(st.st_mode & 07777), fchmod(f, 06777)
    MODE, CALL(write(f, "x", 0)), MODE, CALL(write(f, "x", 1)), MODE, CALL(pwrite(f, "x", 1, 0)), MODE, CALL(ftruncate(f, 0)), MODE, CALL(truncate("setid", 5)), MODE, CALL(chown("setid", -1, -1)), MODE, CALL(fchown(f, USER, -1)), MODE;
    CALL(open("setid", O_RDONLY | O_TRUNC) < 0), MODE, CALL(fchmod(f, 02766)), CALL(write(f, "x", 1)), MODE, CALL(sendfile(f, open("open", O_RDONLY), NULL, 4)), MODE, CALL(chmod("sticky/mine", 07777)), CALL(stat("sticky/mine", &st)), SHOW(st.st_mode & 07777);
    return 0;
}
