// The size that files may grow to: short writes up to RLIMIT_FSIZE, then EFBIG and SIGXFSZ.
#include "oracle.h"
#include <sys/resource.h>
#include <sys/sendfile.h>

static volatile int signals;
static void count(int sig) { signals += sig == SIGXFSZ; }
static char b[5000];
#define TRY(e) CALL(e), SHOW(signals)

int main(void) {
    struct rlimit l = {4000, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &l);
    signal(SIGXFSZ, count);
    int f = oracle_file("f", 10), from = open("from", O_RDWR | O_CREAT, 0644);
    TRY(write(f, b, 5000)), TRY(write(f, b, 1)), TRY(lseek(f, 0, SEEK_CUR)), TRY(write(f, b, 0));
    TRY(pwrite(f, b, 10, 3995)), TRY(pwrite(f, b, 10, 4000)), TRY(pwrite(f, b, 10, 9000)), TRY(pwrite(f, b, 10, 0));
    struct iovec v[2] = {{b, 10}, {b, 10}};
    TRY(pwritev(f, v, 2, 3985)), TRY(pwritev(f, v, 2, 4000)), TRY(pwritev2(f, v, 2, 0, RWF_APPEND));
    TRY(ftruncate(f, 100)), TRY(ftruncate(f, 4000)), TRY(ftruncate(f, 4001)), TRY(truncate("f", 5000)), TRY(truncate("f", 50));
    TRY(fallocate(f, 0, 0, 4000)), TRY(fallocate(f, 0, 0, 4001)), TRY(fallocate(f, FALLOC_FL_KEEP_SIZE, 0, 8192));
    int append = open("f", O_WRONLY | O_APPEND);
    TRY(write(append, b, 1)), ftruncate(f, 3990), TRY(write(append, b, 20)), TRY(write(append, b, 20));
    TRY(write(from, b, 3000)), lseek(from, 0, SEEK_SET), ftruncate(f, 0), lseek(f, 2000, SEEK_SET);
    TRY(sendfile(f, from, NULL, 3000)), TRY(sendfile(f, from, NULL, 3000));
    off_t in = 0, out = 3990;
    TRY(copy_file_range(from, &in, f, &out, 100, 0)), SHOW(in), SHOW(out);
    TRY(copy_file_range(from, &in, f, &out, 100, 0));
    int p[2];
    pipe(p), fcntl(p[1], F_SETFL, O_NONBLOCK);
    TRY(write(p[1], b, 5000)), TRY(write(open("/dev/null", O_WRONLY), b, 5000));
    l.rlim_cur = 0, setrlimit(RLIMIT_FSIZE, &l);
    TRY(ftruncate(f, 10)), TRY(pwrite(f, b, 1, 0));
    signal(SIGXFSZ, SIG_IGN), TRY(pwrite(f, b, 1, 0));
    l.rlim_cur = RLIM_INFINITY, setrlimit(RLIMIT_FSIZE, &l);
    TRY(pwrite(f, b, 1, 9000));
    return 0;
}
