/* File handles: name_to_handle_at, open_by_handle_at. */
#include "oracle.h"
#include <sys/mount.h>
#include <sys/wait.h>

union handle { struct file_handle h; char bytes[sizeof(struct file_handle) + 128]; };

static int name(int dir, const char *path, union handle *h, int *mount, int flags) {
    return syscall(SYS_name_to_handle_at, dir, path, h, mount, flags);
}
static int found(int fd, union handle *h, int flags) { return syscall(SYS_open_by_handle_at, fd, h, flags); }
static union handle empty(unsigned len) {
    union handle h;
    memset(&h, 0, sizeof h);
    h.h.handle_bytes = len;
    return h;
}
static int equal(union handle *a, union handle *b) {
    return a->h.handle_bytes == b->h.handle_bytes && a->h.handle_type == b->h.handle_type &&
           memcmp(a->h.f_handle, b->h.f_handle, a->h.handle_bytes) == 0;
}

int main(void) {
    int fd = oracle_file("f", 100), mount_id = -1, other = -1;
    union handle h = empty(128), g = empty(128);
    char buf[8];
    /* On a file system that has handles wherever this runs. */
    mkdir("d", 0755);

    SECTION("name");
    CALL(name(AT_FDCWD, "f", &h, &mount_id, 0));
    HOLDS(h.h.handle_bytes > 0 && h.h.handle_bytes <= 128);
    HOLDS(mount_id > 0);
    CALL(name(fd, "", &g, &other, AT_EMPTY_PATH));
    HOLDS(equal(&h, &g));
    HOLDS(mount_id == other);
    symlink("f", "l");
    g = empty(128);
    CALL(name(AT_FDCWD, "l", &g, &other, 0));
    HOLDS(!equal(&h, &g));
    g = empty(128);
    CALL(name(AT_FDCWD, "l", &g, &other, AT_SYMLINK_FOLLOW));
    HOLDS(equal(&h, &g));
    g = empty(0);
    CALL(name(AT_FDCWD, "f", &g, &other, 0));
    HOLDS(g.h.handle_bytes == h.h.handle_bytes);
    g = empty(129);
    CALL(name(AT_FDCWD, "f", &g, &other, 0));
    g = empty(128);
    CALL(name(AT_FDCWD, "nothing", &g, &other, 0));
    CALL(name(AT_FDCWD, "", &g, &other, 0));
    CALL(name(AT_FDCWD, "f/x", &g, &other, 0));
    CALL(name(99, "f", &g, &other, 0));
    CALL(name(AT_FDCWD, "f", &g, &other, 0x8000));
    CALL(name(AT_FDCWD, "f", BADPTR, &other, 0));
    CALL(name(AT_FDCWD, "f", &g, BADPTR, 0));
    CALL(name(AT_FDCWD, BADPTR, &g, &other, 0));
    g = empty(128);
    CALL(name(AT_FDCWD, "/proc/self/stat", &g, &other, 0));
    symlink("loop", "loop");
    CALL(name(AT_FDCWD, "loop/x", &g, &other, 0));

    SECTION("open");
    int dir = open(".", O_RDONLY), found_fd;
    found_fd = OK(found(dir, &h, O_RDONLY));
    CALL(read(found_fd, buf, 5));
    CALL(write(found_fd, buf, 5));
    close(found_fd);
    found_fd = OK(found(AT_FDCWD, &h, O_RDWR | O_CLOEXEC));
    CALL(fcntl(found_fd, F_GETFD));
    CALL(write(found_fd, "XYZ", 3));
    CALL(pread(fd, buf, 5, 0));
    printf("%.5s\n", buf);
    close(found_fd);
    found_fd = OK(found(fd, &h, O_PATH));
    CALL(read(found_fd, buf, 5));
    close(found_fd);
    rename("f", "d/moved");
    found_fd = OK(found(dir, &h, O_RDONLY));
    CALL(read(found_fd, buf, 5));
    close(found_fd);
    CALL(found(dir, &h, O_RDONLY | O_DIRECTORY));
    g = empty(128);
    CALL(name(AT_FDCWD, "d", &g, &other, 0));
    found_fd = OK(found(dir, &g, O_RDONLY | O_DIRECTORY));
    CALL(faccessat(found_fd, "moved", F_OK, 0));
    close(found_fd);
    CALL(found(dir, &g, O_RDWR));
    g = empty(128);
    name(AT_FDCWD, "l", &g, &other, 0);
    CALL(found(dir, &g, O_RDONLY));
    CALL(found(99, &h, O_RDONLY));
    CALL(found(dir, BADPTR, O_RDONLY));
    g = h, g.h.handle_bytes = 0;
    CALL(found(dir, &g, O_RDONLY));
    g = h, g.h.handle_bytes = 200;
    CALL(found(dir, &g, O_RDONLY));
    g = h, memset(g.h.f_handle, 0xff, g.h.handle_bytes);
    CALL(found(dir, &g, O_RDONLY));
    close(fd);
    unlink("d/moved");
    CALL(found(dir, &h, O_RDONLY));
    fflush(stdout);
    if (fork() == 0) {
        setresgid(1000, 1000, 1000), setresuid(1000, 1000, 1000);
        g = empty(128);
        CALL(name(AT_FDCWD, "d", &g, &other, 0));
        CALL(found(dir, &g, O_RDONLY));
        _exit(0);
    }
    wait(NULL);
    return 0;
}
