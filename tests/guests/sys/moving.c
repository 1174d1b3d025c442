// Bytes between memories and files, and files without names: process_vm_*, memfd, the vectored and positioned calls, extended attributes by link and descriptor.
#include "oracle.h"
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>

#define C(name, ...) syscall(SYS_##name, ##__VA_ARGS__)
static void memories(void) {
    SECTION("process_vm");
    char a[100] = "abcdefghij", b[100] = {0}, *gone = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(gone + 4096, 4096), memset(gone, 'g', 4096);
    struct iovec one = {b, 10}, from = {a, 10}, two[2] = {{b, 3}, {b + 50, 4}}, edge = {gone + 4090, 20}, none = {b, 0}, none_there = {gone + 4096, 4}, huge = {b, -1};
    CALL(process_vm_readv(getpid(), &one, 1, &from, 1, 0)), printf("%.10s\n", b);
    CALL(process_vm_readv(getpid(), two, 2, &from, 1, 0)), printf("%.3s %.4s\n", b, b + 50);
    CALL(process_vm_writev(getpid(), two, 2, &from, 1, 0)), printf("%.10s\n", a);
    CALL(process_vm_readv(getpid(), &(struct iovec){b, 100}, 1, &edge, 1, 0)), CALL(process_vm_readv(getpid(), &one, 1, &none_there, 1, 0)), CALL(process_vm_writev(getpid(), &one, 1, &none_there, 1, 0)), CALL(process_vm_writev(getpid(), &one, 1, &edge, 1, 0));
    CALL(process_vm_readv(getpid(), &none, 1, &from, 1, 0)), CALL(process_vm_readv(getpid(), &one, 1, &none, 1, 0)), CALL(process_vm_readv(getpid(), &one, 0, &from, 1, 0)), CALL(process_vm_readv(getpid(), &one, 1, &from, 0, 0)), CALL(process_vm_writev(getpid(), &one, 0, &from, 1, 0));
    CALL(process_vm_readv(getpid(), &one, 1, &from, 1, 1)), CALL(process_vm_writev(getpid(), &one, 1, &from, 1, 1)), CALL(process_vm_readv(0x3fffffff, &one, 1, &from, 1, 0)), CALL(process_vm_writev(0x3fffffff, &one, 1, &from, 1, 0)), CALL(process_vm_readv(-1, &one, 1, &from, 1, 0)), CALL(process_vm_readv(getpid(), &huge, 1, &from, 1, 0)), CALL(process_vm_readv(getpid(), &one, 1025, &from, 1, 0)), CALL(process_vm_readv(getpid(), &one, 1, &from, 1025, 0)), CALL(process_vm_writev(getpid(), &one, -1, &from, 1, 0));
}
static void memfds(void) {
    SECTION("memfd_create");
    char name[300], b[100] = {0};
    memset(name, 'n', 299), name[250] = 0;
    CALL(C(memfd_create, name, 0)), name[249] = 0, CALL(C(memfd_create, name, 0) < 0), CALL(C(memfd_create, "", 0) < 0), CALL(C(memfd_create, "m", 0x40)), CALL(C(memfd_create, BADPTR, 0));
    int m = C(memfd_create, "name", 1), s = C(memfd_create, "sealed", 2);
    CALL(fcntl(m, F_GETFD)), CALL(write(m, "content", 7)), CALL(lseek(m, 0, SEEK_END)), CALL(pread(m, b, 10, 2)), printf("%.5s\n", b), CALL(ftruncate(m, 3)), CALL(pread(m, b, 10, 0)), CALL(fcntl(m, F_GETFL) & O_ACCMODE);
    CALL(fcntl(m, F_GET_SEALS)), CALL(fcntl(m, F_ADD_SEALS, F_SEAL_GROW)), CALL(fcntl(s, F_GET_SEALS)), CALL(fcntl(s, F_ADD_SEALS, F_SEAL_SHRINK)), CALL(write(s, "12345678", 8)), CALL(ftruncate(s, 4)), CALL(ftruncate(s, 9)), CALL(fcntl(s, F_ADD_SEALS, F_SEAL_GROW)), CALL(ftruncate(s, 10)), CALL(pwrite(s, "x", 1, 20)), CALL(pwrite(s, "x", 1, 0)), CALL(fcntl(s, F_ADD_SEALS, F_SEAL_WRITE)), CALL(pwrite(s, "x", 1, 0)), CALL(fallocate(s, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4)), CALL(fcntl(s, F_ADD_SEALS, F_SEAL_SEAL)), CALL(fcntl(s, F_ADD_SEALS, F_SEAL_WRITE)), CALL(fcntl(s, F_GET_SEALS));
    struct stat st;
    CALL(fstat(m, &st)), SHOW(st.st_mode), SHOW(st.st_nlink), CALL(readlink("/proc/self/fd/3", b, 100) > 0);
    CALL(C(open, "/proc/self/fd/77", O_RDWR));
    CALL(setrlimit(RLIMIT_NOFILE, &(struct rlimit){m + 2, m + 2})), CALL(C(memfd_create, "m", 0)), CALL(C(eventfd, 0)), CALL(C(eventfd2, 0, 0)), CALL(C(epoll_create, 1)), CALL(C(epoll_create1, 0)), CALL(C(timerfd_create, 1, 0)), CALL(C(signalfd, -1, &(uint64_t){0}, 8L)), CALL(C(signalfd4, -1, &(uint64_t){0}, 8L, 0)), CALL(C(open, ".", O_RDONLY)), CALL(C(creat, "c", 0600)), CALL(C(openat, AT_FDCWD, ".", O_RDONLY)), CALL(C(openat2, AT_FDCWD, ".", &(uint64_t[3]){0}, 24L)), CALL(C(dup, m)), CALL(C(dup2, m, m + 2)), CALL(C(dup3, m, m + 2, 0)), CALL(C(fcntl, m, F_DUPFD, 0)), CALL(C(fcntl, m, F_DUPFD_CLOEXEC, m + 2)), CALL(C(pipe, b)), CALL(C(pipe2, b, 0)), CALL(setrlimit(RLIMIT_NOFILE, &(struct rlimit){m + 1, m + 2})), CALL(access("c", F_OK));
    close(s), close(m);
    CALL(setrlimit(RLIMIT_NOFILE, &(struct rlimit){m + 2, m + 2}));
}
static void attributes(void) {
    SECTION("extended attributes");
    char b[300], name[300], big[70000] = {0};
    memset(name, 'n', 299), memcpy(name, "user.", 5), name[255] = 0;
    int fd = oracle_file("x", 1);
    symlink("x", "xl"), mkdir("xd", 0755);
    CALL(fsetxattr(fd, "user.a", "12345", 5, XATTR_REPLACE)), CALL(fsetxattr(fd, "user.a", "12345", 5, XATTR_CREATE)), CALL(fsetxattr(fd, "user.a", "12345", 5, XATTR_CREATE)), CALL(fsetxattr(fd, "user.a", "123", 3, XATTR_REPLACE)), CALL(fsetxattr(fd, "user.a", "", 0, 0)), CALL(fgetxattr(fd, "user.a", b, 5)), CALL(fsetxattr(fd, "user.a", "12345", 5, 0)), CALL(fsetxattr(fd, "user.a", "1", 1, 99)), CALL(fsetxattr(fd, "user.a", "1", 1, XATTR_CREATE | XATTR_REPLACE));
    CALL(fgetxattr(fd, "user.a", b, 4)), CALL(fgetxattr(fd, "user.a", b, 5)), CALL(fgetxattr(fd, "user.a", NULL, 0)), CALL(flistxattr(fd, b, 300)), CALL(flistxattr(fd, b, 3)), CALL(flistxattr(fd, NULL, 0));
    CALL(setxattr("x", name, "v", 1, 0)), name[255] = 'n', name[256] = 0, CALL(setxattr("x", name, "v", 1, 0)), CALL(fsetxattr(fd, name, "v", 1, 0)), CALL(lsetxattr("x", name, "v", 1, 0)), CALL(getxattr("x", name, b, 9)), CALL(lgetxattr("x", name, b, 9)), CALL(fgetxattr(fd, name, b, 9)), CALL(removexattr("x", name)), CALL(lremovexattr("x", name)), CALL(fremovexattr(fd, name)), name[255] = 0, CALL(removexattr("x", name));
    CALL(setxattr("x", "", "v", 1, 0)), CALL(getxattr("x", "", b, 9)), CALL(setxattr("x", "user.b", big, 65537, 0)), CALL(fsetxattr(fd, "user.b", big, 65537, 0)), CALL(lsetxattr("x", "user.b", big, 65537, 0));
    const char *odd[] = {"user", "nothing.a", "user.", "user"};
    for (int i = 0; i < 4; i++) CALL(lsetxattr("x", odd[i], "v", 1, 0)), CALL(fsetxattr(fd, odd[i], "v", 1, 0)), CALL(lgetxattr("x", odd[i], b, 9)), CALL(fgetxattr(fd, odd[i], b, 9)), CALL(lremovexattr("x", odd[i])), CALL(fremovexattr(fd, odd[i])), CALL(removexattr("x", odd[i]));
    CALL(lsetxattr("xl", "user.a", "v", 1, 0)), CALL(lgetxattr("xl", "user.a", b, 9)), CALL(lremovexattr("xl", "user.a")), CALL(setxattr("xl", "user.c", "v", 1, 0)), CALL(lgetxattr("x", "user.c", b, 9)), CALL(llistxattr("x", b, 300)), CALL(llistxattr("x", b, 1)), CALL(listxattr("x", b, 1)), CALL(lsetxattr("x", "user.c", "w", 1, XATTR_CREATE)), CALL(lsetxattr("x", "user.d", "w", 1, XATTR_REPLACE)), CALL(lgetxattr("xd", "user.c", b, 9)), CALL(lsetxattr("xd", "user.c", "dir", 3, 0)), CALL(lgetxattr("xd", "user.c", b, 2)), CALL(lgetxattr("xd", "user.c", b, 9)), CALL(lremovexattr("x", "user.c")), CALL(fremovexattr(fd, "user.a")), CALL(fremovexattr(fd, "user.a")), CALL(flistxattr(fd, b, 300));
}
static void locks(void) {
    SECTION("locks of open files");
    int a = oracle_file("k", 100), b = open("k", O_RDWR), r = open("k", O_RDONLY);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
    CALL(fcntl(a, F_OFD_SETLK, &l)), CALL(fcntl(b, F_OFD_SETLK, &l)), CALL(fcntl(r, F_OFD_SETLK, &l)), l.l_type = F_RDLCK, CALL(fcntl(r, F_OFD_SETLK, &l)), l.l_start = 20, CALL(fcntl(r, F_OFD_SETLK, &l)), l.l_start = 0, l.l_len = 0, CALL(fcntl(b, F_OFD_GETLK, &l)), SHOW(l.l_type), SHOW(l.l_start), SHOW(l.l_len), SHOW(l.l_pid);
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -10, .l_len = -5}, CALL(fcntl(a, F_SETLK, &l)), l.l_whence = 9, CALL(fcntl(a, F_SETLK, &l)), l.l_whence = SEEK_SET, CALL(fcntl(a, F_SETLK, &l)), l.l_pid = 5, l.l_start = 0, l.l_len = 1, CALL(fcntl(a, F_OFD_SETLK, &l)), l.l_start = INT64_MAX, l.l_len = 2, l.l_pid = 0, CALL(fcntl(a, F_SETLK, &l)), l.l_start = 5, l.l_len = -6, CALL(fcntl(a, F_SETLK, &l)), l.l_type = F_UNLCK, l.l_len = 0, CALL(fcntl(a, F_SETLK, &l)), CALL(fcntl(a, F_GETLK, &l));
    CALL(flock(a, LOCK_EX)), CALL(flock(b, LOCK_SH | LOCK_NB)), CALL(flock(b, LOCK_UN)), CALL(flock(r, LOCK_EX | LOCK_NB)), CALL(flock(a, LOCK_UN)), CALL(flock(r, LOCK_EX | LOCK_NB));
}
static void positions(void) {
    SECTION("positions");
    int fd = oracle_file("p", 100), to = open("q", O_RDWR | O_CREAT, 0644);
    char b[16];
    struct iovec v = {b, 4}, many[2] = {{b, INT64_MAX}, {b, INT64_MAX}};
    CALL(lseek(fd, INT64_MAX, SEEK_END)), CALL(lseek(fd, INT64_MIN, SEEK_CUR)), CALL(lseek(fd, 5, SEEK_SET)), CALL(lseek(fd, -6, SEEK_CUR)), CALL(lseek(fd, 101, SEEK_DATA)), CALL(lseek(fd, 100, SEEK_HOLE)), CALL(lseek(fd, -1, SEEK_HOLE)), CALL(lseek(fd, 0, SEEK_HOLE));
    CALL(readv(fd, many, 2)), CALL(writev(fd, many, 2)), CALL(preadv2(fd, &v, 1, -2, 0)), CALL(pwritev2(fd, &v, 1, -2, 0)), CALL(preadv2(fd, &v, 1, -1, 0x1000000)), CALL(pwritev2(fd, &v, 1, -1, 0x1000000)), CALL(pwritev2(fd, &v, 1, 0, 0x1)), CALL(preadv2(fd, &v, 1, 0, 0x2)), CALL(preadv2(fd, &v, 1, 0, 0x10));
    CALL(truncate("p", INT64_MIN)), CALL(ftruncate(fd, INT64_MIN)), CALL(fallocate(fd, 0, INT64_MAX, 1)), CALL(fallocate(fd, 0, 1, INT64_MAX)), CALL(fallocate(fd, 0x80, 0, 1)), CALL(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1)), CALL(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 8)), CALL(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 1));
    off_t o = 0, minus = -1;
    CALL(sendfile(to, fd, &minus, 1)), CALL(sendfile(to, fd, &o, 0)), CALL(copy_file_range(fd, &minus, to, NULL, 1, 0)), CALL(copy_file_range(fd, &o, to, &minus, 1, 0)), CALL(copy_file_range(fd, &o, to, NULL, 0, 0)), CALL(copy_file_range(fd, &o, fd, &o, 10, 0)), CALL(sync_file_range(fd, 5, INT64_MAX, 0)), CALL(sync_file_range(fd, 0, 0, 7)), CALL(C(fadvise64, fd, -1L, -1L, 0)), CALL(C(fadvise64, fd, 0L, 10L, 5)), CALL(C(fadvise64, fd, 0L, 10L, 6));
    sync();
}

int main(void) {
    memories();
    attributes();
    locks();
    positions();
    memfds(); /* leaves no room for more descriptors */
    return 0;
}
