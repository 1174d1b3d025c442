// What a process may say of itself and its children: prctl, personality, the largest file.
#include "oracle.h"
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int main(void) {
    struct rlimit l;
    l = (struct rlimit){1 << 20, RLIM_INFINITY};
    CALL(setrlimit(RLIMIT_FSIZE, &l));
    signal(SIGXFSZ, SIG_IGN);
    int f = oracle_file("f", 10);
    char b[2000] = {0};
    CALL(pwrite(f, b, 2000, (1 << 20) - 500));
    CALL(pwrite(f, b, 10, 1 << 20));
    CALL(ftruncate(f, 2 << 20));
    l.rlim_cur = RLIM_INFINITY, l.rlim_max = RLIM_INFINITY;
    CALL(setrlimit(RLIMIT_FSIZE, &l));
    int sig;
    CALL(prctl(PR_GET_DUMPABLE)), CALL(prctl(PR_SET_DUMPABLE, 0)), CALL(prctl(PR_GET_DUMPABLE)), CALL(prctl(PR_SET_DUMPABLE, 7)), CALL(prctl(PR_SET_DUMPABLE, 1));
    CALL(prctl(PR_GET_KEEPCAPS)), CALL(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)), CALL(prctl(PR_SET_PDEATHSIG, 99)), CALL(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    CALL(prctl(PR_GET_PDEATHSIG, &sig)), SHOW(sig);
    CALL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)), CALL(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    CALL(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    CALL(prctl(PR_GET_TIMERSLACK) > 0), CALL(prctl(PR_CAPBSET_READ, 0)), CALL(prctl(PR_CAPBSET_READ, 999)), CALL(prctl(PR_GET_SECCOMP));
    CALL(prctl(PR_SET_CHILD_SUBREAPER, 1)), CALL(prctl(PR_GET_CHILD_SUBREAPER, &sig)), SHOW(sig);
    CALL(prctl(0x12345, 0));
    CALL(prctl(PR_GET_TSC, &sig)), SHOW(sig);
    CALL(personality(0xffffffff));
    CALL(personality(ADDR_NO_RANDOMIZE)), CALL(personality(0xffffffff)), CALL(personality(0));
    return 0;
}
