/* `untidy HOW`: takes some of everything that a kernel gives and ends without giving it back: by exit_group(2) with
 * blocked threads left behind (0), by a fault (1), by a signal while it sleeps (2). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static int word, pipes[2], epoll;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *on_futex(void *arg) {
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return arg;
}
static void *on_pipe(void *arg) {
    char c;
    return read(pipes[0], &c, 1) < 0 ? NULL : arg;
}
static void *on_epoll(void *arg) {
    struct epoll_event e;
    return epoll_wait(epoll, &e, 1, -1) < 0 ? NULL : arg;
}
static void *on_time(void *arg) {
    struct timespec t = {1000, 0};
    nanosleep(&t, NULL);
    return arg;
}
static void *on_lock(void *arg) {
    pthread_mutex_lock(&lock);
    return arg;
}

int main(int argc, char **argv) {
    int how = argc > 1 ? atoi(argv[1]) : 0;
    pthread_mutex_lock(&lock);
    if (pipe(pipes) || (epoll = epoll_create1(0)) < 0) return 10;
    int event = eventfd(0, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, 0);
    struct itimerspec far = {{0, 0}, {1000, 0}};
    if (event < 0 || timer < 0 || signals < 0 || timerfd_settime(timer, 0, &far, NULL)) return 11;
    struct epoll_event e = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, event, &e), epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &e);
    epoll_ctl(epoll, EPOLL_CTL_ADD, signals, &e);
    struct itimerval alarm = {{0, 0}, {1000, 0}};
    setitimer(ITIMER_REAL, &alarm, NULL);
    timer_t t;
    if (timer_create(CLOCK_REALTIME, NULL, &t) || timer_settime(t, 0, &far, NULL)) return 12;
    kill(getpid(), SIGUSR1);

    int file = open("/tmp/untidy", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, 1 << 20)) return 13;
    char *shared = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *copy = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    char *own = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || copy == MAP_FAILED || own == MAP_FAILED) return 14;
    for (int i = 0; i < 1 << 20; i += 4096) shared[i] = copy[i] = own[i] = 1;
    munmap(own + 8192, 4096), mprotect(own + 65536, 4096, PROT_READ);
    int memory = memfd_create("untidy", 0);
    if (memory >= 0 && (ftruncate(memory, 65536) || pwrite(memory, "x", 1, 4096) != 1)) return 15;
    unlink("/tmp/untidy");
    if (open("/proc/self/maps", O_RDONLY) < 0 || open("/", O_RDONLY | O_DIRECTORY) < 0) return 16;
    if (write(pipes[1], "", 0) < 0) return 17;

    void *(*waits[])(void *) = {on_futex, on_pipe, on_epoll, on_time, on_lock};
    for (int i = 0; i < 5; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, waits[i], NULL)) return 18;
    }
    sched_yield();
    if (how == 1) *(volatile int *)8 = 1;
    if (how == 2) kill(getpid(), SIGKILL), pause();
    _exit(0);
}
