// inotify: which event each change makes, in which order, for the file and for its directory; flags of watches; reading.
#include "oracle.h"
#include <dirent.h>
#include <grp.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

static int in;
static const char *names[] = {"ACCESS", "MODIFY", "ATTRIB", "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN", "MOVED_FROM", "MOVED_TO", "CREATE", "DELETE", "DELETE_SELF", "MOVE_SELF", "?", "UNMOUNT", "Q_OVERFLOW", "IGNORED"};

static void events(void) {
    static char buf[1 << 16] __attribute__((aligned(8)));
    ssize_t n;
    uint32_t cookies[8] = {0};
    while ((n = read(in, buf, sizeof buf)) > 0)
        for (ssize_t at = 0; at < n;) {
            struct inotify_event *e = (void *)(buf + at);
            printf("  %d", e->wd);
            for (int i = 0; i < 16; i++)
                if (e->mask >> i & 1) printf(" %s", names[i]);
            if (e->mask & IN_ISDIR) printf(" ISDIR");
            if (e->cookie)
                for (int i = 0; i < 8; i++) {
                    if (!cookies[i]) cookies[i] = e->cookie;
                    if (cookies[i] == e->cookie) {
                        printf(" cookie %d", i);
                        break;
                    }
                }
            printf(e->len ? " %u %s\n" : "\n", e->len, e->name);
            at += sizeof *e + e->len;
        }
    if (n < 0 && errno != EAGAIN) printf("  %s\n", oracle_errname(errno));
}
#define DO(e) (CALL(e), events())
#define TOUCH(n) close(open(n, O_CREAT | O_WRONLY, 0644))

int main(void) {
    char buf[100], big[300];
    int fd, unread;
    SECTION("calls");
    CALL(inotify_init1(1)), in = CALL(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), CALL(fcntl(in, F_GETFD)), CALL(fcntl(in, F_GETFL));
    int plain = CALL(syscall(SYS_inotify_init));
    CALL(fcntl(plain, F_GETFD)), close(plain), mkdir("d", 0755), TOUCH("f");
    CALL(inotify_add_watch(in, "none", IN_OPEN)), CALL(inotify_add_watch(in, "f", 0)), CALL(inotify_add_watch(in, "f", 0x1000)), CALL(inotify_add_watch(in, "f", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE)), CALL(inotify_add_watch(in, "f", IN_OPEN | IN_ONLYDIR)), CALL(inotify_add_watch(in, BADPTR, IN_OPEN)), CALL(inotify_add_watch(0, "f", IN_OPEN)), CALL(inotify_add_watch(99, "f", IN_OPEN)), CALL(inotify_add_watch(in, "", IN_OPEN)), CALL(inotify_add_watch(in, "f/x", IN_OPEN));
    CALL(inotify_rm_watch(in, 1)), CALL(inotify_rm_watch(0, 1)), CALL(inotify_rm_watch(99, 1)), CALL(read(in, buf, 100)), CALL(write(in, buf, 100)), CALL(lseek(in, 0, SEEK_SET));
    struct stat st;
    CALL(fstat(in, &st)), SHOW(st.st_mode), CALL(readlink("/proc/self/fd/3", buf, 100)), printf("%.18s\n", buf);

    SECTION("a directory");
    CALL(inotify_add_watch(in, "d", IN_ALL_EVENTS)), CALL(inotify_add_watch(in, "d/../d", IN_ALL_EVENTS));
    DO(fd = open("d/a", O_CREAT | O_RDWR, 0644)), DO(write(fd, "hello", 5)), DO(write(fd, "", 0)), DO(pwrite(fd, "x", 1, 9)), DO(pread(fd, buf, 5, 0)), DO(read(fd, buf, 5)), DO(ftruncate(fd, 3)), DO(fallocate(fd, 0, 0, 10)), DO(fchmod(fd, 0600)), DO(fsync(fd)), DO(lseek(fd, 0, SEEK_SET)), DO(fstat(fd, &st)), DO(close(fd));
    DO(open("d/a", O_RDONLY)), DO(close(dup(fd))), DO(close(fd)), DO(fd = open("d/a", O_WRONLY | O_TRUNC)), DO(close(fd)), DO(fd = open("d/a", O_PATH)), DO(close(fd)), DO(truncate("d/a", 100)), DO(chmod("d/a", 0644)), DO(chown("d/a", -1, -1)), DO(access("d/a", R_OK)), DO(stat("d/a", &st));
    struct timespec both[2] = {{1, 0}, {2, 0}}, atime[2] = {{3, 0}, {0, UTIME_OMIT}}, mtime[2] = {{0, UTIME_OMIT}, {4, 0}}, none[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    DO(utimensat(AT_FDCWD, "d/a", both, 0)), DO(utimensat(AT_FDCWD, "d/a", atime, 0)), DO(utimensat(AT_FDCWD, "d/a", mtime, 0)), DO(utimensat(AT_FDCWD, "d/a", none, 0)), DO(utimensat(AT_FDCWD, "d/a", NULL, 0));
    DO(setxattr("d/a", "user.x", "1", 1, 0)), DO(getxattr("d/a", "user.x", buf, 9)), DO(removexattr("d/a", "user.x"));
    DO(mkdir("d/sub", 0755)), DO(chmod("d/sub", 0700)), DO(symlink("a", "d/link")), DO(readlink("d/link", buf, 9)), DO(mknod("d/pipe", S_IFIFO | 0600, 0)), DO(link("d/a", "d/hard")), DO(link("d/a", "outside")), DO(chmod("outside", 0640)), DO(unlink("outside")), DO(unlink("d/hard")), DO(unlink("d/link")), DO(unlink("d/pipe")), DO(mkdir("d/sub", 0)), DO(unlink("d/none"));
    DO(fd = open("d", O_RDONLY)), DO(syscall(SYS_getdents64, fd, big, sizeof big)), DO(close(fd)), DO(fd = open("d/sub", O_RDONLY)), DO(syscall(SYS_getdents64, fd, big, sizeof big)), DO(close(fd)), DO(TOUCH("d/sub/deep")), DO(unlink("d/sub/deep"));

    SECTION("rename");
    DO(rename("d/a", "d/b")), DO(rename("d/b", "c")), DO(rename("c", "d/a")), TOUCH("d/b"), events(), DO(rename("d/a", "d/b")), DO(rename("d/sub", "d/sub2")), DO(rename("d/b", "d/b"));
    TOUCH("d/x"), events(), DO(syscall(SYS_renameat2, AT_FDCWD, "d/x", AT_FDCWD, "d/sub2", RENAME_EXCHANGE)), DO(rename("d/x", "d/sub")), DO(unlink("d/sub2")), DO(rmdir("d/sub"));

    SECTION("a file");
    TOUCH("d/a"), events(), CALL(inotify_add_watch(in, "d/a", IN_ALL_EVENTS));
    DO(fd = open("d/a", O_RDWR)), DO(write(fd, "1", 1)), DO(write(fd, "2", 1)), DO(close(fd)), DO(chmod("d/a", 0600)), DO(link("d/a", "d/a2")), DO(unlink("d/a")), DO(chmod("d/a2", 0644)), DO(rename("d/a2", "d/a")), TOUCH("d/n"), events(), DO(rename("d/n", "d/a")), DO(unlink("d/a"));
    TOUCH("d/a"), events(), CALL(inotify_add_watch(in, "d/a", IN_ALL_EVENTS)), fd = open("d/a", O_RDWR), events(), DO(unlink("d/a")), DO(write(fd, "x", 1)), DO(fchmod(fd, 0600)), DO(close(fd));
    mkdir("d/sub", 0755), events(), CALL(inotify_add_watch(in, "d/sub", IN_ALL_EVENTS)), DO(TOUCH("d/sub/f")), DO(rename("d/sub", "d/sub2")), DO(rename("d/sub2/f", "d/f")), DO(chmod("d/sub2", 0700)), DO(rmdir("d/sub2"));
    DO(mkdir("d/sub", 0755)), CALL(inotify_add_watch(in, "d/sub", IN_ALL_EVENTS)), fd = open("d/sub", O_RDONLY), events(), DO(rmdir("d/sub")), DO(close(fd));

    SECTION("flags");
    CALL(inotify_rm_watch(in, 1)), events(), CALL(inotify_rm_watch(in, 1)), unlink("d/f"), TOUCH("d/f");
    int w = CALL(inotify_add_watch(in, "d/f", IN_OPEN | IN_ONESHOT));
    DO(fd = open("d/f", O_RDONLY)), close(fd), DO(fd = open("d/f", O_RDONLY)), close(fd), CALL(inotify_rm_watch(in, w));
    w = CALL(inotify_add_watch(in, "d/f", IN_OPEN)), HOLDS(inotify_add_watch(in, "d/f", IN_CLOSE | IN_MASK_ADD) == w), CALL(inotify_add_watch(in, "d/f", IN_CLOSE | IN_MASK_CREATE)), DO(TOUCH("d/f")), HOLDS(inotify_add_watch(in, "d/f", IN_CLOSE_WRITE) == w), DO(TOUCH("d/f")), CALL(inotify_rm_watch(in, w)), events();
    w = CALL(inotify_add_watch(in, "d", IN_MODIFY | IN_CLOSE | IN_EXCL_UNLINK | IN_ONLYDIR)), fd = open("d/f", O_RDWR), DO(write(fd, "1", 1)), DO(unlink("d/f")), DO(write(fd, "2", 1)), DO(close(fd)), CALL(inotify_rm_watch(in, w)), events();
    w = CALL(inotify_add_watch(in, "d", IN_MODIFY | IN_CLOSE)), fd = open("d/f", O_RDWR | O_CREAT, 0644), DO(unlink("d/f")), DO(write(fd, "2", 1)), DO(close(fd)), CALL(inotify_rm_watch(in, w)), events();
    symlink("d", "l"), w = CALL(inotify_add_watch(in, "l", IN_ATTRIB | IN_DELETE_SELF | IN_DONT_FOLLOW)), CALL(inotify_add_watch(in, "l", IN_CREATE | IN_ONLYDIR)), DO(TOUCH("d/f")), DO(unlink("l")), DO(unlink("d/f"));

    SECTION("reading");
    w = inotify_add_watch(in, "d", IN_CREATE), events(), TOUCH("d/sixteen_letters."), TOUCH("d/fifteen_letters");
    CALL(ioctl(in, FIONREAD, &unread)), SHOW(unread), CALL(ioctl(in, FIONREAD, 1)), CALL(ioctl(in, FIONBIO + 99, 0));
    struct pollfd p = {in, POLLIN | POLLOUT, 0};
    CALL(poll(&p, 1, 0)), SHOW(p.revents), CALL(read(in, buf, 0)), CALL(read(in, buf, 47)), CALL(read(in, buf, 50)), CALL(read(in, BADPTR, 100)), CALL(read(in, buf, 100)), CALL(poll(&p, 1, 0)), CALL(ioctl(in, FIONREAD, &unread)), SHOW(unread);
    for (int i = 0; i < 16500; i++) sprintf(buf, "d/%d", i & 1), close(open(buf, O_CREAT | O_WRONLY, 0644)), unlink(buf);
    long count = 0, lost = 0;
    static char all[1 << 20];
    for (ssize_t n; (n = read(in, all, sizeof all)) > 0;)
        for (ssize_t at = 0; at < n; count++) {
            struct inotify_event *e = (void *)(all + at);
            lost += e->mask == IN_Q_OVERFLOW && e->wd == -1;
            at += sizeof *e + e->len;
        }
    SHOW(count), SHOW(lost);

    SECTION("limits and permissions");
    int many[130], got = 0;
    while (got < 130 && (many[got] = inotify_init1(0)) >= 0) got++;
    printf("%d %s\n", got, oracle_errname(errno));
    while (got) close(many[--got]);
    mkdir("secret", 0700), TOUCH("secret/f"), TOUCH("private"), chmod("private", 0), chmod(".", 0755);
    CALL(setgroups(0, NULL)), CALL(setresgid(1000, 1000, 1000)), CALL(setresuid(1000, 1000, 0)), CALL(inotify_add_watch(in, "secret", IN_OPEN)), CALL(inotify_add_watch(in, "secret/f", IN_OPEN)), CALL(inotify_add_watch(in, "private", IN_OPEN)), HOLDS(inotify_add_watch(in, "d", IN_OPEN) == w);
    return 0;
}
