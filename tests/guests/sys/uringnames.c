/* io_uring: names, attributes, memory, pipes, futexes, children, other rings. */
#include "uring.h"
#include <linux/futex.h>
#include <linux/openat2.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static struct uring r;
static char buf[256];
#define OP(text, ...) RES(text, (uring_sqe(&r, __VA_ARGS__), uring_do(&r)))
#define OPS(text, set, ...) do { struct io_uring_sqe *s = uring_sqe(&r, __VA_ARGS__); set; RES(text, uring_do(&r)); } while (0)

static void names(void) {
    SECTION("names");
    struct stat st;
    OPS("create", s->open_flags = O_CREAT | O_RDWR | O_CLOEXEC, IORING_OP_OPENAT, AT_FDCWD, "a", 0640, 0, 1);
    SHOW(stat("a", &st)); SHOW(st.st_mode & 0777);
    OP("open nothing", IORING_OP_OPENAT, AT_FDCWD, "none", 0, 0, 1);
    OP("open nowhere", IORING_OP_OPENAT, AT_FDCWD, BADPTR, 0, 0, 1);
    OPS("open fixed", s->flags = IOSQE_FIXED_FILE, IORING_OP_OPENAT, AT_FDCWD, "a", 0, 0, 1);
    struct open_how how = {.flags = O_RDWR};
    OK((uring_sqe(&r, IORING_OP_OPENAT2, AT_FDCWD, "a", sizeof how, (uintptr_t)&how, 1), uring_do(&r)));
    how.resolve = 1 << 30; OP("openat2", IORING_OP_OPENAT2, AT_FDCWD, "a", sizeof how, (uintptr_t)&how, 1);
    OP("openat2 short", IORING_OP_OPENAT2, AT_FDCWD, "a", 8, (uintptr_t)&how, 1);
    OP("mkdir", IORING_OP_MKDIRAT, AT_FDCWD, "dir", 0750, 0, 1);
    OP("mkdir again", IORING_OP_MKDIRAT, AT_FDCWD, "dir", 0750, 0, 1);
    OP("rename", IORING_OP_RENAMEAT, AT_FDCWD, "a", AT_FDCWD, (uintptr_t)"dir/b", 1);
    OP("rename again", IORING_OP_RENAMEAT, AT_FDCWD, "a", AT_FDCWD, (uintptr_t)"dir/b", 1);
    OPS("rename flags", s->rename_flags = 1 << 20, IORING_OP_RENAMEAT, AT_FDCWD, "a", AT_FDCWD, (uintptr_t)"dir/b", 1);
    OP("symlink", IORING_OP_SYMLINKAT, AT_FDCWD, "dir/b", 0, (uintptr_t)"sym", 1);
    OP("link", IORING_OP_LINKAT, AT_FDCWD, "dir/b", AT_FDCWD, (uintptr_t)"hard", 1);
    OPS("link flags", s->hardlink_flags = 1 << 20, IORING_OP_LINKAT, AT_FDCWD, "dir/b", AT_FDCWD, (uintptr_t)"hard2", 1);
    SHOW(stat("sym", &st)); SHOW(st.st_nlink);
    struct statx sx;
    memset(&sx, 0, sizeof sx);
    OP("statx", IORING_OP_STATX, AT_FDCWD, "hard", STATX_BASIC_STATS, (uintptr_t)&sx, 1);
    SHOW(sx.stx_nlink); SHOW(sx.stx_mode);
    OPS("statx flags", s->statx_flags = AT_SYMLINK_NOFOLLOW, IORING_OP_STATX, AT_FDCWD, "sym", STATX_MODE, (uintptr_t)&sx, 1); SHOW(S_ISLNK(sx.stx_mode));
    OP("statx to nowhere", IORING_OP_STATX, AT_FDCWD, "hard", STATX_BASIC_STATS, 1, 1);
    OP("unlink", IORING_OP_UNLINKAT, AT_FDCWD, "hard", 0, 0, 1);
    OP("unlink again", IORING_OP_UNLINKAT, AT_FDCWD, "hard", 0, 0, 1);
    OP("unlink a directory", IORING_OP_UNLINKAT, AT_FDCWD, "dir", 0, 0, 1);
    OPS("unlink flags", s->unlink_flags = 1, IORING_OP_UNLINKAT, AT_FDCWD, "dir", 0, 0, 1);
    OPS("rmdir", s->unlink_flags = AT_REMOVEDIR, IORING_OP_UNLINKAT, AT_FDCWD, "dir", 0, 0, 1);
    /* Names that change after they were submitted. */
    int ends[2];
    char path[16] = "chained", byte;
    pipe(ends);
    uring_sqe(&r, IORING_OP_READ, ends[0], &byte, 1, 0, 1)->flags = IOSQE_IO_LINK;
    uring_sqe(&r, IORING_OP_MKDIRAT, AT_FDCWD, path, 0755, 0, 2);
    CALL(uring_submit(&r, 0));
    strcpy(path, "wrong");
    write(ends[1], "x", 1);
    uring_show(&r, 2);
    SHOW(rmdir("chained"));
}

static void attributes(void) {
    SECTION("attributes");
    int f = oracle_file("f", 100), ends[2];
    pipe(ends);
    struct stat st;
    OP("fallocate", IORING_OP_FALLOCATE, f, (void *)1000, 0, 500, 1); fstat(f, &st); SHOW(st.st_size);
    OP("fallocate of nothing", IORING_OP_FALLOCATE, f, 0, 0, 0, 1);
    OP("fallocate of a pipe", IORING_OP_FALLOCATE, ends[1], (void *)10, 0, 0, 1);
    OPS("fallocate flags", s->rw_flags = 1, IORING_OP_FALLOCATE, f, (void *)10, 0, 0, 1);
    OPS("fadvise", s->fadvise_advice = POSIX_FADV_WILLNEED, IORING_OP_FADVISE, f, 0, 100, 0, 1);
    OPS("fadvise what", s->fadvise_advice = 99, IORING_OP_FADVISE, f, 0, 100, 0, 1);
    OPS("fadvise of a pipe", s->fadvise_advice = 0, IORING_OP_FADVISE, ends[0], 0, 100, 0, 1);
    OPS("sync a range", s->sync_range_flags = SYNC_FILE_RANGE_WRITE, IORING_OP_SYNC_FILE_RANGE, f, 0, 100, 0, 1);
    OPS("sync a range how", s->sync_range_flags = 99, IORING_OP_SYNC_FILE_RANGE, f, 0, 100, 0, 1);
    OP("sync a range of a pipe", IORING_OP_SYNC_FILE_RANGE, ends[0], 0, 100, 0, 1);
    char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *page = 1;
    OPS("madvise", s->fadvise_advice = MADV_DONTNEED, IORING_OP_MADVISE, -1, page, 4096, 0, 1); SHOW(*page);
    OPS("madvise what", s->fadvise_advice = 99, IORING_OP_MADVISE, -1, page, 4096, 0, 1);
    OPS("madvise where", s->fadvise_advice = 0, IORING_OP_MADVISE, -1, page + 1, 4096, 0, 1);
    SECTION("pipes");
    int to[2];
    pipe(to);
    write(ends[1], "spliced", 7);
    OPS("tee", s->splice_fd_in = ends[0], IORING_OP_TEE, to[1], 0, 3, 0, 1); read(to[0], buf, 9); printf("%.3s\n", buf);
    OPS("splice", (s->splice_fd_in = ends[0], s->splice_off_in = -1), IORING_OP_SPLICE, to[1], 0, 4, -1, 1); read(to[0], buf, 9); printf("%.4s\n", buf);
    OPS("to a file", (s->splice_fd_in = ends[0], s->splice_off_in = -1), IORING_OP_SPLICE, f, 0, 4, 10, 1); pread(f, buf, 3, 10); printf("%.3s\n", buf);
    OPS("from a file", (s->splice_fd_in = f, s->splice_off_in = 10), IORING_OP_SPLICE, to[1], 0, 5, -1, 1); read(to[0], buf, 9); printf("%.3s\n", buf);
    OPS("from nothing", (s->splice_fd_in = 99, s->splice_off_in = -1), IORING_OP_SPLICE, to[1], 0, 4, -1, 1);
    OPS("flags", (s->splice_fd_in = f, s->splice_flags = 1 << 20), IORING_OP_SPLICE, to[1], 0, 4, -1, 1);
    OPS("between files", (s->splice_fd_in = f, s->splice_off_in = -1), IORING_OP_SPLICE, f, 0, 4, -1, 1);
    OPS("of no length", (s->splice_fd_in = f, s->splice_off_in = -1), IORING_OP_SPLICE, to[1], 0, 0, -1, 1);
    close(f); close(ends[0]); close(ends[1]); close(to[0]); close(to[1]);
}

static void rings(void) {
    SECTION("other rings");
    struct uring o = uring_new(8, 0), d = uring_new(8, IORING_SETUP_R_DISABLED);
    OP("a message", IORING_OP_MSG_RING, o.fd, 0, 77, 5, 1); uring_show(&o, 1);
    OPS("a silent one", s->rw_flags = 1, IORING_OP_MSG_RING, o.fd, 0, 77, 5, 1); LEFT(&o);
    OP("to itself", IORING_OP_MSG_RING, r.fd, 0, 78, 6, 2);
    uring_show(&r, 1);
    OP("to none", IORING_OP_MSG_RING, 0, 0, 77, 5, 1);
    OP("to one that is disabled", IORING_OP_MSG_RING, d.fd, 0, 77, 5, 1);
    OP("what", IORING_OP_MSG_RING, o.fd, (void *)9, 77, 5, 1);
    OPS("flags", s->rw_flags = 1 << 20, IORING_OP_MSG_RING, o.fd, 0, 77, 5, 1);
    int f = oracle_file("f", 10);
    uring_register(r.fd, IORING_REGISTER_FILES, &f, 1);
    struct io_uring_rsrc_register sparse = {.nr = 2, .flags = IORING_RSRC_REGISTER_SPARSE};
    uring_register(o.fd, IORING_REGISTER_FILES2, &sparse, sizeof sparse);
    OPS("a file", (s->addr3 = 0, s->file_index = 2), IORING_OP_MSG_RING, o.fd, (void *)1, 0, 9, 1); uring_show(&o, 1);
    OPS("no file", (s->addr3 = 7, s->file_index = 2), IORING_OP_MSG_RING, o.fd, (void *)1, 0, 9, 1);
    uring_sqe(&o, IORING_OP_READ, 1, buf, 4, 0, 1)->flags = IOSQE_FIXED_FILE; RES("read there", uring_do(&o));
    uring_register(r.fd, IORING_UNREGISTER_FILES, 0, 0);
    close(f); uring_close(&o); uring_close(&d);
}

static void children(void) {
    SECTION("children and futexes");
    siginfo_t info = {0};
    if (!fork()) _exit(7);
    OPS("waitid", s->file_index = WEXITED, 50, 0, 0, P_ALL, (uintptr_t)&info, 1);
    printf("%d %d %d\n", info.si_signo, info.si_code, info.si_status);
    OPS("no children", s->file_index = WEXITED, 50, 0, 0, P_ALL, (uintptr_t)&info, 1);
    OPS("waitid what", s->file_index = 1 << 30, 50, 0, 0, P_ALL, (uintptr_t)&info, 1);
    int ends[2];
    char byte;
    pipe(ends);
    pid_t child = fork();
    if (!child) { read(ends[0], &byte, 1); _exit(9); }
    uring_sqe(&r, 50, child, 0, P_PID, (uintptr_t)&info, 1)->file_index = WEXITED;
    CALL(uring_submit(&r, 0)); LEFT(&r);
    write(ends[1], "x", 1); uring_show(&r, 1); printf("%d %d\n", info.si_code, info.si_status);
    static uint32_t word = 5;
    struct io_uring_sqe *s;
#define FUTEX(op, value, mask) (s = uring_sqe(&r, op, 2 | FUTEX_PRIVATE_FLAG, &word, 0, value, 1), s->addr3 = mask, s)
    FUTEX(51, 4, 1); RES("another value", uring_do(&r));
    FUTEX(51, 5, 0); RES("no mask", uring_do(&r));
    FUTEX(51, 5, 1)->fd = 1 << 20; RES("flags", uring_do(&r));
    FUTEX(52, 1, 1); RES("nobody", uring_do(&r));
    FUTEX(51, 5, 1); CALL(uring_submit(&r, 0)); LEFT(&r);
    FUTEX(52, 1, 2); RES("another mask", uring_do(&r));
    FUTEX(52, 1, 1)->user_data = 2; CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2);
    FUTEX(51, 5, 1); CALL(uring_submit(&r, 0));
    CALL(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1)); uring_show(&r, 1);
    FUTEX(51, 5, 1); CALL(uring_submit(&r, 0));
    uring_sqe(&r, IORING_OP_ASYNC_CANCEL, -1, (void *)1, 0, 0, 2); CALL(uring_submit(&r, 0)); uring_show_sorted(&r, 2);
}

int main(void) {
    r = uring_new(16, 0);
    names();
    attributes();
    rings();
    children();
}
