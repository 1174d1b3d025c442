// Who and where one is: ids, limits, names, prctl, randomness, sysinfo, arch_prctl.
#include "oracle.h"
#include <asm/prctl.h>
#include <grp.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

int main(void) {
    SECTION("ids");
    uid_t r, e, s;
    CALL(getuid()), CALL(geteuid()), CALL(getgid()), CALL(getegid());
    CALL(getresuid(&r, &e, &s)), SHOW(r), SHOW(e), SHOW(s);
    CALL(getresgid(&r, &e, &s)), SHOW(r), SHOW(e), SHOW(s);
    CALL(syscall(SYS_getresuid, BADPTR, &e, &s));
    gid_t groups[64];
    CALL(getgroups(0, NULL));
    CALL(getgroups(64, groups));
    CALL(getgroups(-1, groups));
    HOLDS(getpid() > 0 && getppid() >= 0);
    HOLDS(getpgid(0) == getpgrp());
    OK(getsid(0));
    CALL(getpgid(0x3fffffff)), CALL(getsid(0x3fffffff)), CALL(getpgid(-1));
    CALL(setpgid(0x3fffffff, 0)), CALL(setpgid(0, -1));
    CALL(setfsuid(-1)), CALL(setfsgid(-1));
    SECTION("limits");
    struct rlimit l, o;
    for (int i = 0; i < 16; i++) if (i != RLIMIT_NPROC && i != RLIMIT_SIGPENDING && i != RLIMIT_MEMLOCK) printf("limit %d: %ld\n", i, (long)getrlimit(i, &l));
    CALL(getrlimit(RLIMIT_STACK, &l)), SHOW(l.rlim_cur);
    CALL(getrlimit(99, &l));
    CALL(syscall(SYS_getrlimit, 0, BADPTR));
    CALL(syscall(SYS_setrlimit, 0, BADPTR));
    l = (struct rlimit){100, 200};
    CALL(setrlimit(RLIMIT_NOFILE, &l)), getrlimit(RLIMIT_NOFILE, &l), SHOW(l.rlim_cur), SHOW(l.rlim_max);
    l = (struct rlimit){300, 200};
    CALL(setrlimit(RLIMIT_NOFILE, &l));
    l = (struct rlimit){100, RLIM_INFINITY}, CALL(setrlimit(RLIMIT_NOFILE, &l)); /* more than a table can have */
    l = (struct rlimit){50, 200};
    CALL(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &l, &o)), SHOW(o.rlim_cur);
    CALL(syscall(SYS_prlimit64, 0x3fffffff, RLIMIT_NOFILE, NULL, &o));
    CALL(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, BADPTR));
    char b[100] = {0};
    SECTION("names");
    struct utsname u;
    CALL(uname(&u)), printf("%s %s\n", u.sysname, u.machine), HOLDS(u.release[0] >= '4');
    CALL(syscall(SYS_uname, BADPTR));
    CALL(prctl(PR_SET_NAME, "a-rather-long-name-of-a-thread"));
    CALL(prctl(PR_GET_NAME, b)), printf("%s\n", b);
    CALL(prctl(PR_SET_NAME, BADPTR));
    CALL(prctl(PR_GET_DUMPABLE)), CALL(prctl(PR_SET_DUMPABLE, 7)), CALL(prctl(PR_GET_KEEPCAPS)), CALL(prctl(PR_SET_PDEATHSIG, 99));
    CALL(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)), CALL(prctl(PR_GET_TIMERSLACK) > 0), CALL(prctl(PR_CAPBSET_READ, 0)), CALL(prctl(PR_CAPBSET_READ, 999)), CALL(prctl(PR_GET_SECCOMP));
    CALL(prctl(0x12345, 0)), CALL(personality(0xffffffff)), CALL(personality(0));
    SECTION("randomness");
    unsigned char x[64] = {0}, y[64] = {0};
    CALL(getrandom(x, 64, 0)), CALL(getrandom(y, 64, GRND_NONBLOCK)), HOLDS(memcmp(x, y, 64));
    CALL(getrandom(x, 64, 0x100)), CALL(getrandom(x, 64, GRND_INSECURE | GRND_RANDOM)), CALL(getrandom(x, 0, 0)), CALL(syscall(SYS_getrandom, BADPTR, 10, 0));
    SECTION("sysinfo");
    struct sysinfo si;
    CALL(sysinfo(&si)), HOLDS(si.totalram > 0 && si.freeram <= si.totalram && si.mem_unit >= 1 && si.procs >= 1);
    CALL(syscall(SYS_sysinfo, BADPTR));
    unsigned cpu = 99, node = 99;
    CALL(syscall(SYS_getcpu, &cpu, &node, NULL)), HOLDS(cpu < 64), SHOW(node);
    CALL(syscall(SYS_getcpu, BADPTR, NULL, NULL));
    SECTION("arch_prctl");
    unsigned long base;
    CALL(syscall(SYS_arch_prctl, ARCH_GET_FS, &base)), HOLDS(base != 0);
    CALL(syscall(SYS_arch_prctl, ARCH_SET_FS, base)), HOLDS(errno == 0);
    CALL(syscall(SYS_arch_prctl, ARCH_SET_FS, 1UL << 62));
    CALL(syscall(SYS_arch_prctl, ARCH_GET_FS, BADPTR));
    CALL(syscall(SYS_arch_prctl, ARCH_GET_GS, &base)), SHOW(base);
    CALL(syscall(SYS_arch_prctl, 0x9999, 0));
    SECTION("auxv");
    SHOW(getauxval(AT_PAGESZ)), SHOW(getauxval(AT_CLKTCK)), SHOW(getauxval(AT_SECURE)), SHOW(getauxval(AT_UID)), SHOW(getauxval(AT_PHENT));
    HOLDS(getauxval(AT_HWCAP) != 0), HOLDS(getauxval(AT_RANDOM) != 0), SHOW(getauxval(AT_HWCAP2) & 2);
    printf("%s\n", (char *)getauxval(AT_PLATFORM));
    SECTION("capabilities");
    struct { uint32_t version; int pid; } head = {0x20080522, 0};
    struct { uint32_t effective, permitted, inheritable; } caps[2];
    CALL(syscall(SYS_capget, &head, caps)), HOLDS(caps[0].effective != 0);
    head.version = 1, CALL(syscall(SYS_capget, &head, caps)), SHOW(head.version);
    CALL(syscall(SYS_capget, BADPTR, caps));
    SECTION("absent");
    CALL(syscall(999)), CALL(syscall(-1)), CALL(syscall(387)), CALL(syscall(423)), CALL(syscall(0x40000000 | 39)), CALL(syscall(SYS_uselib)), CALL(syscall(SYS_create_module)), CALL(syscall(SYS_nfsservctl)), CALL(syscall(SYS_vserver));
    return 0;
}
