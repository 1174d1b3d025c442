// part: 4
// splice, tee, vmsplice between pipes and files.
#include "oracle.h"

int main(void) {
    int p[2];
    char b[100];
    SECTION("splice, tee");
    int q[2];
    pipe(p), pipe(q);
    write(p[1], "spliced", 7);
    CALL(syscall(SYS_tee, p[0], q[1], 100, 0));
    CALL(splice(p[0], NULL, q[1], NULL, 4, 0));
    CALL(read(q[0], b, 100)), printf("%.11s\n", b);
    int f = oracle_file("spl", 100);
    off_t o = 10;
    CALL(splice(f, &o, q[1], NULL, 20, 0)), SHOW(o);
    CALL(splice(q[0], NULL, f, NULL, 20, 0));
    CALL(splice(f, NULL, open("spl", O_RDONLY), NULL, 5, 0));
    struct iovec v[2] = {{"ab", 2}, {"cde", 3}};
    CALL(vmsplice(q[1], v, 2, 0));
    CALL(read(q[0], b, 10));
    return 0;
}
