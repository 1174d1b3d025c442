/* The kernel's log, syslog(2); what is in it is each kernel's own. */
#include "oracle.h"
#include <sys/wait.h>

static long log_(int type, void *buf, int len) { return syscall(SYS_syslog, type, buf, len); }

int main(void) {
    static char buf[1 << 20];
    CALL(log_(0, 0, 0)), CALL(log_(1, 0, 0));
    CALL(log_(11, buf, 5)), CALL(log_(-1, buf, 5));
    HOLDS(log_(10, 0, 0) > 0);
    HOLDS(log_(9, 0, 0) >= 0);
    long n = log_(3, buf, sizeof buf);
    HOLDS(n > 0 && buf[0] == '<' && buf[n - 1] == '\n');
    CALL(log_(3, buf, 0)), CALL(log_(3, buf, -1)), CALL(log_(3, 0, 10)), CALL(log_(3, BADPTR, 10000));
    CALL(log_(2, buf, 0)), CALL(log_(2, buf, -1)), CALL(log_(2, 0, 10));
    CALL(log_(4, 0, 10)), CALL(log_(4, buf, -1));
    CALL(log_(8, 0, 0)), CALL(log_(8, 0, 9));
    fflush(stdout);
    if (fork() == 0) {
        setresuid(1000, 1000, 1000);
        CALL(log_(0, 0, 0)), CALL(log_(2, buf, 10)), CALL(log_(4, buf, 10)), CALL(log_(5, 0, 0)), CALL(log_(6, 0, 0));
        CALL(log_(8, 0, 4)), CALL(log_(9, 0, 0));
        _exit(0);
    }
    wait(0);
    return 0;
}
