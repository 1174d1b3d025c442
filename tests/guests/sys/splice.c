// splice, tee, vmsplice between pipes and files, and the errors that their manual pages list.
#include "oracle.h"
#include <sys/eventfd.h>
#include <sys/resource.h>

static char b[70000];

static void set(int fd, int flags) { fcntl(fd, F_SETFL, flags); }

int main(void) {
    int p[2], q[2];
    SECTION("splice, tee");
    pipe(p), pipe(q);
    write(p[1], "spliced", 7);
    CALL(syscall(SYS_tee, p[0], q[1], 100, 0));
    CALL(splice(p[0], NULL, q[1], NULL, 4, 0));
    CALL(read(q[0], b, 100)), printf("%.11s\n", b);
    int f = oracle_file("spl", 100);
    off_t o = 10;
    CALL(splice(f, &o, q[1], NULL, 20, 0)), SHOW(o);
    CALL(splice(q[0], NULL, f, NULL, 20, 0));
    int readonly = open("spl", O_RDONLY);
    CALL(splice(f, NULL, readonly, NULL, 5, 0));
    struct iovec v[2] = {{"ab", 2}, {"cde", 3}};
    CALL(vmsplice(q[1], v, 2, 0));
    CALL(read(q[0], b, 10));
    SECTION("from and to files");
    CALL(lseek(f, 0, SEEK_CUR));
    CALL(read(p[0], b, 100));
    lseek(f, 90, SEEK_SET);
    CALL(splice(f, NULL, p[1], NULL, 100, 0)), CALL(lseek(f, 0, SEEK_CUR));
    CALL(splice(f, NULL, p[1], NULL, 100, 0));
    o = 105; /* not over the bytes themselves, which Linux may still share with the pipe */
    CALL(splice(p[0], NULL, f, &o, 100, 0)), SHOW(o), CALL(lseek(f, 0, SEEK_END));
    CALL(pread(f, b, 100, 105)), printf("%.10s\n", b);
    o = 1000;
    CALL(splice(f, &o, p[1], NULL, 100, 0)), SHOW(o);
    o = -1;
    CALL(splice(f, &o, p[1], NULL, 100, 0));
    write(p[1], "12345678", 8);
    CALL(splice(p[0], NULL, f, &o, 100, 0));
    CALL(splice(p[0], BADPTR, f, NULL, 1, 0)), CALL(splice(p[0], NULL, f, BADPTR, 1, 0));
    CALL(splice(p[0], &o, f, NULL, 1, 0)), CALL(splice(f, NULL, p[1], &o, 1, 0));
    int append = open("spl", O_WRONLY | O_APPEND);
    CALL(splice(p[0], NULL, append, NULL, 1, 0));
    CALL(splice(p[0], NULL, readonly, NULL, 1, 0));
    CALL(splice(append, NULL, p[1], NULL, 1, 0));
    CALL(splice(p[0], NULL, open("/dev/null", O_WRONLY), NULL, 3, 0));
    CALL(splice(open("/dev/zero", O_RDONLY), NULL, p[1], NULL, 3, 0));
    CALL(splice(open(".", O_RDONLY), NULL, p[1], NULL, 3, 0));
    CALL(splice(eventfd(1, 0), NULL, p[1], NULL, 8, 0));
    CALL(read(p[0], b, 100)), HOLDS(b[4] == '8' && b[5] == 0);
    SECTION("descriptors and flags");
    CALL(splice(-1, NULL, -1, NULL, 0, 0xffff)), CALL(splice(-1, NULL, p[1], NULL, 1, 0)), CALL(splice(p[0], NULL, 99, NULL, 1, 0));
    CALL(splice(p[0], NULL, q[1], NULL, 1, 0x10)), CALL(syscall(SYS_tee, p[0], q[1], 0, 0x10)), CALL(syscall(SYS_tee, -1, -1, 0, 0));
    CALL(splice(p[1], NULL, q[1], NULL, 1, 0)), CALL(splice(p[0], NULL, q[0], NULL, 1, 0)), CALL(splice(p[0], NULL, p[1], NULL, 1, 0));
    CALL(syscall(SYS_tee, p[0], p[1], 1, 0)), CALL(syscall(SYS_tee, f, p[1], 1, 0)), CALL(syscall(SYS_tee, p[1], q[1], 1, 0)), CALL(syscall(SYS_tee, 99, q[1], 1, 0));
    CALL(splice(p[0], NULL, q[1], NULL, 1, SPLICE_F_NONBLOCK)), CALL(syscall(SYS_tee, p[0], q[1], 1, SPLICE_F_NONBLOCK));
    CALL(splice(p[0], NULL, f, NULL, 1, SPLICE_F_NONBLOCK));
    set(p[0], O_NONBLOCK), CALL(splice(p[0], NULL, q[1], NULL, 1, 0)), CALL(splice(p[0], NULL, f, NULL, 1, 0)), set(p[0], 0);
    SECTION("full and ended pipes");
    signal(SIGPIPE, SIG_IGN);
    CALL(write(q[1], b, 65536));
    CALL(splice(f, NULL, q[1], NULL, 1, SPLICE_F_NONBLOCK));
    write(p[1], "x", 1);
    CALL(splice(p[0], NULL, q[1], NULL, 1, SPLICE_F_NONBLOCK)), CALL(syscall(SYS_tee, p[0], q[1], 1, SPLICE_F_NONBLOCK));
    CALL(vmsplice(q[1], v, 1, SPLICE_F_NONBLOCK));
    close(q[0]);
    CALL(splice(p[0], NULL, q[1], NULL, 1, 0)), CALL(splice(f, NULL, q[1], NULL, 1, 0)), CALL(vmsplice(q[1], v, 1, 0));
    close(q[1]), pipe(q), close(p[1]);
    CALL(splice(p[0], NULL, q[1], NULL, 9, 0)), CALL(splice(p[0], NULL, q[1], NULL, 9, 0)), CALL(splice(p[0], NULL, f, NULL, 9, 0));
    CALL(syscall(SYS_tee, p[0], q[1], 9, 0));
    SECTION("vmsplice");
    CALL(read(q[0], b, 100));
    CALL(vmsplice(f, v, 1, 0)), CALL(vmsplice(99, v, 1, 0)), CALL(vmsplice(q[1], v, 1, 0x10)), CALL(vmsplice(q[1], v, 2000, 0)), CALL(vmsplice(q[1], v, 0, 0));
    CALL(vmsplice(q[1], BADPTR, 1, 0));
    struct iovec into[2] = {{b, 3}, {b + 10, 20}};
    CALL(vmsplice(q[0], into, 2, SPLICE_F_NONBLOCK));
    CALL(vmsplice(q[1], v, 2, SPLICE_F_GIFT)), CALL(vmsplice(q[0], into, 2, 0)), printf("%.3s %.2s\n", b, b + 10);
    SECTION("the size limit");
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit l = {1000, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &l);
    write(q[1], b, 100), o = 950;
    CALL(splice(q[0], NULL, f, &o, 100, 0)), SHOW(o);
    CALL(splice(q[0], NULL, f, &o, 100, 0)), SHOW(o);
    return 0;
}
