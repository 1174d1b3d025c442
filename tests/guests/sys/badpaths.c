// Every call that takes a path, given each kind of path that leads nowhere, and each directory that is none.
#include "oracle.h"
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/xattr.h>

static char longname[300], longbelow[300] = "d/", longpath[5000];
static int here, file, dir;

/* What the calls may have made or removed is there again before each. */
static void fixture(void) {
    mkdir("d", 0755), mkdir("d/full", 0755), mkdir("empty", 0755);
    if (file <= 0) close(oracle_file("f", 10)), file = open("f", O_RDONLY), dir = open("d", O_RDONLY | O_DIRECTORY);
    close(open("f", O_CREAT | O_RDWR, 0644)), close(open("d/full/x", O_CREAT | O_RDWR, 0644));
    symlink("loop", "loop"), symlink("f", "l"), symlink("nowhere", "dangling"), symlink("d", "ld");
    unlink("x"), rmdir("x"), unlink("nowhere"), rmdir("nowhere");
}
static struct { const char *what, *path; } bad[] = {
    {"missing", "nope"}, {"missing directory", "nope/x"}, {"empty", ""}, {"through a file", "f/x"}, {"a file with a slash", "f/"}, {"a loop", "loop"}, {"through a loop", "loop/x"},
    {"nowhere", "dangling"}, {"through nowhere", "dangling/x"}, {"a dot below a file", "f/."}, {"dots below a file", "f/.."}, {"dot", "."}, {"dots", "d/.."}, {"a directory", "d"}, {"a directory with a slash", "d/"},
    {"a full directory", "d/full"}, {"a file", "f"}, {"a link", "l"}, {"a link with a slash", "ld/"}, {"below a link", "ld/full/x"}, {"long name", longname}, {"long name below", longbelow}, {"long path", longpath}, {"wild pointer", BADPTR}, {"null", NULL}, {"kernel's", (char *)0xffff888000000000},
};
enum { COUNT = sizeof bad / sizeof *bad };
static void say(const char *call, const char *what, long r) {
    if (r < 0) printf("%s, %s: %s\n", call, what, oracle_errname(errno));
    else printf("%s, %s: ok\n", call, what);
}
/* The expression with p as each of the paths. */
#define EACH(...) for (int i_ = 0; i_ < COUNT; i_++) { \
    fixture(); \
    const char *p = bad[i_].path; \
    errno = 0; \
    long r_ = (__VA_ARGS__); \
    int e_ = errno; \
    if (r_ > file && r_ < 100) close(r_); \
    errno = e_, say(#__VA_ARGS__, bad[i_].what, r_); }
/* The expression with d as what is no directory, and one that is. */
#define BASES(...) do { int bases[] = {-1, 77, file, dir, AT_FDCWD}; const char *names[] = {"-1", "closed", "a file", "a directory", "here"}; \
    for (int i_ = 0; i_ < 5; i_++) { \
        fixture(); \
        long d = bases[i_]; \
        errno = 0; \
        long r_ = (__VA_ARGS__); \
        int e_ = errno; \
        if (r_ > 10 && r_ < 100) close(r_); \
        errno = e_, say(#__VA_ARGS__, names[i_], r_); } } while (0)
#define C(name, ...) syscall(SYS_##name, __VA_ARGS__)

static long moved(const char *p) {
    long r = C(rename, p, "x");
    if (r == 0) C(rename, "x", p);
    return r;
}
static long changed(const char *p) {
    long r = C(chdir, p);
    if (r == 0) fchdir(here);
    return r;
}

int main(void) {
    struct stat st;
    struct statx sx;
    struct statfs fs;
    char b[100];
    struct { uint64_t flags, mode, resolve; } how = {O_RDONLY, 0, 0};
    memset(longname, 'x', 299), strncat(longbelow, longname, 260), memset(longpath, 'x', 4999);
    for (int i = 10; i < 4999; i += 10) longpath[i] = '/';
    here = open(".", O_RDONLY);
    fixture();
    SECTION("asking");
    EACH(C(open, p, O_RDONLY)); EACH(C(open, p, O_RDWR)); EACH(C(open, p, O_RDONLY | O_DIRECTORY)); EACH(C(open, p, O_RDONLY | O_NOFOLLOW)); EACH(C(open, p, O_PATH | O_NOFOLLOW));
    EACH(C(openat, AT_FDCWD, p, O_WRONLY)); EACH(C(openat2, AT_FDCWD, p, &how, 24L));
    EACH(C(stat, p, &st)); EACH(C(lstat, p, &st)); EACH(C(newfstatat, AT_FDCWD, p, &st, 0)); EACH(C(statx, AT_FDCWD, p, 0, 0x7ff, &sx)); EACH(C(statx, dir, p, AT_SYMLINK_NOFOLLOW, 0x7ff, &sx));
    EACH(C(statfs, p, &fs)); EACH(C(access, p, 0)); EACH(C(faccessat, AT_FDCWD, p, 0)); EACH(C(faccessat2, AT_FDCWD, p, 0, AT_SYMLINK_NOFOLLOW));
    EACH(C(readlink, p, b, 100)); EACH(C(readlinkat, AT_FDCWD, p, b, 100));
    EACH(C(getxattr, p, "user.a", b, 100L)); EACH(C(lgetxattr, p, "user.a", b, 100L)); EACH(C(listxattr, p, b, 100L)); EACH(C(llistxattr, p, b, 100L));
    SECTION("making");
    EACH(C(creat, p, 0644)); EACH(C(open, p, O_CREAT | O_EXCL | O_RDWR, 0644)); EACH(C(open, p, O_CREAT | O_RDWR | O_NOFOLLOW, 0644)); EACH(C(mkdir, p, 0755)); EACH(C(mkdirat, AT_FDCWD, p, 0755));
    EACH(C(mknod, p, S_IFREG | 0600, 0)); EACH(C(mknodat, AT_FDCWD, p, S_IFIFO | 0600, 0));
    EACH(C(symlink, "y", p)); EACH(C(symlinkat, "y", AT_FDCWD, p)); EACH(C(link, "f", p)); EACH(C(linkat, AT_FDCWD, "f", AT_FDCWD, p, 0));
    SECTION("taken");
    EACH(C(link, p, "x")); EACH(C(linkat, AT_FDCWD, p, AT_FDCWD, "x", AT_SYMLINK_FOLLOW)); EACH(moved(p)); EACH(C(symlink, p, "x"));
    SECTION("changing");
    EACH(C(chmod, p, 0755)); EACH(C(fchmodat, AT_FDCWD, p, 0755));
    EACH(C(chown, p, -1, -1)); EACH(C(lchown, p, -1, -1)); EACH(C(fchownat, AT_FDCWD, p, -1, -1, AT_SYMLINK_NOFOLLOW));
    EACH(C(utime, p, NULL)); EACH(C(utimes, p, NULL)); EACH(C(futimesat, AT_FDCWD, p, NULL)); EACH(C(utimensat, AT_FDCWD, p, NULL, AT_SYMLINK_NOFOLLOW));
    EACH(C(truncate, p, 5L));
    EACH(C(setxattr, p, "user.a", "b", 1L, 0)); EACH(C(lsetxattr, p, "user.b", "b", 1L, 0)); EACH(C(removexattr, p, "user.a")); EACH(C(lremovexattr, p, "user.b"));
    char *args[] = {"x", NULL};
    EACH(C(execve, p, args, NULL));
    EACH(changed(p));
    SECTION("removing");
    EACH(C(unlink, p)); EACH(C(rmdir, p)); EACH(C(unlinkat, AT_FDCWD, p, 0)); EACH(C(unlinkat, AT_FDCWD, p, AT_REMOVEDIR));
    EACH(C(rename, "l", p)); EACH(C(renameat2, AT_FDCWD, "empty", AT_FDCWD, p, RENAME_NOREPLACE)); EACH(C(rename, "empty", p)); EACH(C(renameat, AT_FDCWD, "f", AT_FDCWD, p));
    SECTION("relative to what");
    BASES(C(openat, d, "f", O_RDONLY)); BASES(C(openat, d, "", O_RDONLY)); BASES(C(openat2, d, "f", &how, 24L)); BASES(C(newfstatat, d, "f", &st, 0)); BASES(C(newfstatat, d, "", &st, AT_EMPTY_PATH)); BASES(C(statx, d, "f", 0, 0x7ff, &sx)); BASES(C(statx, d, "", AT_EMPTY_PATH, 0x7ff, &sx));
    BASES(C(faccessat, d, "f", 0)); BASES(C(faccessat2, d, "f", 0, 0)); BASES(C(faccessat2, d, "", 0, AT_EMPTY_PATH)); BASES(C(readlinkat, d, "l", b, 100)); BASES(C(readlinkat, d, "", b, 100)); BASES(C(mkdirat, d, "x", 0755)); BASES(C(mknodat, d, "n", S_IFREG | 0600, 0));
    BASES(C(symlinkat, "y", d, "s")); BASES(C(linkat, d, "f", AT_FDCWD, "h1", 0)); BASES(C(linkat, AT_FDCWD, "f", d, "h2", 0)); BASES(C(renameat, d, "f", AT_FDCWD, "f2")); BASES(C(renameat, AT_FDCWD, "f", d, "f3")); BASES(C(renameat2, d, "f", d, "f4", 0));
    BASES(C(unlinkat, d, "f", 0)); BASES(C(fchmodat, d, "f", 0644)); BASES(C(fchmodat, d, "", 0644)); BASES(C(fchownat, d, "f", -1, -1, 0)); BASES(C(fchownat, d, "", -1, -1, AT_EMPTY_PATH)); BASES(C(futimesat, d, "f", NULL)); BASES(C(futimesat, d, NULL, NULL));
    BASES(C(utimensat, d, "f", NULL, 0)); BASES(C(utimensat, d, NULL, NULL, 0)); BASES(C(utimensat, d, "", NULL, AT_EMPTY_PATH));
    /* an absolute path needs no directory */
    CALL(openat(77, "/dev/null", O_RDONLY) < 0), CALL(C(faccessat, 77, "/dev/null", 0)), CALL(C(newfstatat, -1, "/dev/null", &st, 0));
    return 0;
}
