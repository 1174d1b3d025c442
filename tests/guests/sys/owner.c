// fcntl: whom a file's readiness is told, by which signal, and that it is.
#include "oracle.h"
#include <sys/inotify.h>
#include <sys/ioctl.h>

static volatile int got, code, fd_told, band;
static void tell(int s, siginfo_t *i, void *c) {
    (void)c;
    got = s, code = i->si_code, fd_told = i->si_fd, band = i->si_band;
}
#define TOLD() (printf("  %s code %d fd %d band %x\n", got ? sigabbrev_np(got) ? sigabbrev_np(got) : "RT" : "nothing", got ? code : 0, got && code > 0 && code < 10 ? fd_told : 0, got && code > 0 && code < 10 ? band : 0), got = 0)

int main(void) {
    int p[2], on = 1, off = 0;
    struct f_owner_ex ex;
    struct sigaction sa = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO};
    sigaction(SIGIO, &sa, NULL), sigaction(SIGUSR1, &sa, NULL), sigaction(SIGRTMIN + 3, &sa, NULL);
    pipe(p);
    SECTION("owners");
    CALL(fcntl(p[0], F_GETOWN)), CALL(fcntl(p[0], F_GETOWN_EX, &ex)), SHOW(ex.type), SHOW(ex.pid), CALL(fcntl(p[0], F_SETOWN, 999999)), CALL(fcntl(p[0], F_SETOWN, -999999)), CALL(fcntl(p[0], F_SETOWN, INT_MIN)), CALL(fcntl(p[0], F_SETOWN, getpid())), HOLDS(fcntl(p[0], F_GETOWN) == getpid());
    CALL(fcntl(p[0], F_GETOWN_EX, &ex)), SHOW(ex.type), HOLDS(ex.pid == getpid()), CALL(fcntl(p[0], F_SETOWN, -getpgrp())), CALL(fcntl(p[0], F_GETOWN_EX, &ex)), SHOW(ex.type), HOLDS(ex.pid == getpgrp()), HOLDS(fcntl(p[0], F_GETOWN) == -getpgrp());
    ex.type = 9, CALL(fcntl(p[0], F_SETOWN_EX, &ex)), ex.type = F_OWNER_TID, ex.pid = 999999, CALL(fcntl(p[0], F_SETOWN_EX, &ex)), ex.pid = gettid(), CALL(fcntl(p[0], F_SETOWN_EX, &ex)), ex.pid = 0, CALL(fcntl(p[0], F_GETOWN_EX, &ex)), SHOW(ex.type), HOLDS(ex.pid == gettid()), CALL(fcntl(p[0], F_SETOWN_EX, BADPTR)), CALL(fcntl(p[0], F_GETOWN_EX, BADPTR)), CALL(fcntl(p[0], F_SETOWN, 0)), CALL(fcntl(p[0], F_GETOWN));
    CALL(fcntl(p[0], F_GETSIG)), CALL(fcntl(p[0], F_SETSIG, 65)), CALL(fcntl(p[0], F_SETSIG, -1)), CALL(fcntl(p[0], F_SETSIG, SIGUSR1)), CALL(fcntl(p[0], F_GETSIG)), CALL(fcntl(p[0], F_SETSIG, 0));
    int path = open(".", O_PATH);
    CALL(fcntl(path, F_SETOWN, 0)), CALL(fcntl(path, F_GETOWN)), CALL(fcntl(path, F_SETSIG, 0)), close(path);

    SECTION("told");
    CALL(write(p[1], "a", 1)), TOLD(), CALL(fcntl(p[0], F_SETFL, O_ASYNC)), CALL(fcntl(p[0], F_GETFL)), CALL(read(p[0], &(char){0}, 1)), CALL(write(p[1], "a", 1)), TOLD(), read(p[0], &(char){0}, 1);
    CALL(fcntl(p[0], F_SETOWN, getpid())), CALL(write(p[1], "a", 1)), TOLD(), read(p[0], &(char){0}, 1), CALL(fcntl(p[0], F_SETSIG, SIGUSR1)), CALL(write(p[1], "a", 1)), TOLD(), read(p[0], &(char){0}, 1), CALL(fcntl(p[0], F_SETSIG, SIGRTMIN + 3)), CALL(write(p[1], "a", 1)), TOLD(), read(p[0], &(char){0}, 1);
    CALL(fcntl(p[0], F_SETFL, 0)), CALL(write(p[1], "a", 1)), TOLD(), read(p[0], &(char){0}, 1), CALL(ioctl(p[0], FIOASYNC, &on)), CALL(fcntl(p[0], F_GETFL)), CALL(write(p[1], "a", 1)), TOLD(), read(p[0], &(char){0}, 1), CALL(ioctl(p[0], FIOASYNC, &off)), CALL(write(p[1], "a", 1)), TOLD(), read(p[0], &(char){0}, 1), CALL(ioctl(p[0], FIOASYNC, BADPTR));
    int in = inotify_init1(0);
    inotify_add_watch(in, ".", IN_CREATE), CALL(fcntl(in, F_SETOWN, getpid())), CALL(fcntl(in, F_SETFL, O_ASYNC)), close(open("f", O_CREAT | O_RDWR, 0600)), TOLD(), close(in), unlink("f"), close(open("f", O_CREAT | O_RDWR, 0600)), TOLD();
    int f = open("f", O_RDWR);
    CALL(fcntl(f, F_SETFL, O_ASYNC)), CALL(fcntl(f, F_GETFL) & O_ASYNC), CALL(ioctl(f, FIOASYNC, &on)), CALL(ioctl(f, FIOASYNC, &off)), CALL(fcntl(f, F_GETFL) & O_ASYNC);
    return 0;
}
