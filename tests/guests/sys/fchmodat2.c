// inside: 0
// fchmodat2, which hosts have only since Linux 6.6: as chmod and fchmod, with flags.
#include "oracle.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#define IS(wanted, ...) do { \
    errno = 0; \
    long r_ = syscall(SYS_fchmodat2, __VA_ARGS__); \
    if ((r_ < 0 ? errno : 0) != wanted) printf("%s: %s\n", #__VA_ARGS__, oracle_errname(errno)), wrong = 1; } while (0)

int main(void) {
    int wrong = 0, fd = oracle_file("f", 1);
    char longname[300];
    struct stat st;
    memset(longname, 'x', 299), longname[299] = 0;
    symlink("f", "l"), symlink("loop", "loop"), mkdir("closed", 0700), oracle_file("closed/f", 1);
    IS(0, AT_FDCWD, "f", 0604, 0);
    IS(0, AT_FDCWD, "l", 04711, 0);
    wrong |= stat("f", &st) || st.st_mode != (S_IFREG | 04711);
    IS(0, fd, "", 0611, AT_EMPTY_PATH);
    wrong |= stat("f", &st) || st.st_mode != (S_IFREG | 0611);
    IS(0, AT_FDCWD, "f", 0644, AT_SYMLINK_NOFOLLOW);
    IS(EOPNOTSUPP, AT_FDCWD, "l", 0644, AT_SYMLINK_NOFOLLOW);
    IS(EINVAL, AT_FDCWD, "f", 0644, 0x40);
    IS(ENOTDIR, fd, "x", 0644, 0);
    IS(EBADF, 77, "x", 0644, 0);
    IS(ENOENT, 77, "", 0644, 0);
    IS(ENOENT, AT_FDCWD, "nope", 0644, 0);
    IS(ENOTDIR, AT_FDCWD, "f/x", 0644, 0);
    IS(ELOOP, AT_FDCWD, "loop", 0644, 0);
    IS(ENAMETOOLONG, AT_FDCWD, longname, 0644, 0);
    IS(EFAULT, AT_FDCWD, BADPTR, 0644, 0);
    if (setresuid(65534, 65534, 65534)) return 2;
    IS(EPERM, AT_FDCWD, "f", 0644, 0);
    IS(EACCES, AT_FDCWD, "closed/f", 0644, 0);
    return wrong;
}
