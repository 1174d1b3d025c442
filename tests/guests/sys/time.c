// Clocks, sleeps, timerfd, process times.
#include "oracle.h"
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>

/* The latest time that any thread has seen, ns. */
static _Atomic int64_t latest;
static void *watch(void *back) {
    for (int i = 0; i < 20000; i++) {
        struct timespec t;
        int64_t seen = latest;
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
        int64_t now = t.tv_sec * 1000000000LL + t.tv_nsec;
        if (now < seen) *(int *)back = 1;
        while (seen < now && !__atomic_compare_exchange_n((int64_t *)&latest, &seen, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    }
    return NULL;
}

int main(void) {
    SECTION("clocks");
    struct timespec a, b;
    struct timeval tv;
    for (int c = 0; c <= 11; c++) printf("clock %d: gettime %ld getres %ld\n", c, (long)syscall(SYS_clock_gettime, c, &a), (long)syscall(SYS_clock_getres, c, &b));
    syscall(SYS_clock_getres, CLOCK_MONOTONIC, &b), SHOW(b.tv_nsec);
    CALL(syscall(SYS_clock_gettime, 99, &a));
    CALL(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, BADPTR));
    CALL(syscall(SYS_clock_getres, CLOCK_MONOTONIC, NULL));
    CALL(syscall(SYS_clock_getres, 99, &a));
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 100000; i++) {
        if (i % 2) clock_gettime(CLOCK_MONOTONIC, &b); else syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &b);
        if (b.tv_sec < a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec < a.tv_nsec)) { printf("went back\n"); break; }
        a = b;
    }
    pthread_t threads[2];
    int back[2] = {0};
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, watch, &back[i]);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL), SHOW(back[i]);
    /* Clocks that run all the time run through a sleep. */
    int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
    for (int i = 0; i < 3; i++) {
        struct timespec before, after;
        clock_gettime(clocks[i], &before), msleep(20), clock_gettime(clocks[i], &after);
        HOLDS(after.tv_nsec < 1000000000 && (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec >= 20000000);
    }
    CALL(gettimeofday(&tv, NULL));
    CALL(syscall(SYS_gettimeofday, BADPTR, NULL));
    HOLDS(syscall(SYS_time, NULL) - tv.tv_sec <= 1);
    clock_gettime(CLOCK_REALTIME, &a), HOLDS(a.tv_sec - tv.tv_sec <= 1);
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu); while ((cpu.tv_sec - a.tv_sec) * 1000000000L + cpu.tv_nsec - a.tv_nsec < 20000000);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b), HOLDS(b.tv_sec * 1000000000L + b.tv_nsec > 15000000);
    struct tms t;
    OK(times(&t)), HOLDS(t.tms_utime + t.tms_stime >= 1);
    CALL(syscall(SYS_times, BADPTR));
    struct rusage ru;
    CALL(getrusage(RUSAGE_SELF, &ru)), HOLDS(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec + ru.ru_utime.tv_sec > 10000), HOLDS(ru.ru_maxrss > 100);
    CALL(getrusage(RUSAGE_THREAD, &ru));
    CALL(getrusage(RUSAGE_CHILDREN, &ru)), SHOW(ru.ru_utime.tv_usec);
    CALL(syscall(SYS_getrusage, 99, &ru));
    CALL(syscall(SYS_getrusage, 0, BADPTR));
    SECTION("sleeps");
    struct timespec ms30 = {0, 30000000}, bad = {0, 1000000000}, neg = {-1, 0};
    int64_t start = now_ms();
    CALL(nanosleep(&ms30, NULL)), HOLDS(now_ms() - start >= 29);
    CALL(nanosleep(&bad, NULL));
    CALL(nanosleep(&neg, NULL));
    CALL(syscall(SYS_nanosleep, BADPTR, NULL));
    start = now_ms();
    CALL(clock_nanosleep(CLOCK_REALTIME, 0, &ms30, NULL)), HOLDS(now_ms() - start >= 29);
    clock_gettime(CLOCK_MONOTONIC, &a);
    a.tv_nsec += 30000000;
    if (a.tv_nsec >= 1000000000) a.tv_sec++, a.tv_nsec -= 1000000000;
    CALL(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &a, NULL));
    clock_gettime(CLOCK_MONOTONIC, &b), HOLDS(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
    CALL(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &a, NULL));
    CALL(syscall(SYS_clock_nanosleep, 99, 0, &ms30, NULL));
    CALL(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, BADPTR, NULL));
    CALL(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &ms30, NULL));
    SECTION("timerfd");
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    uint64_t n;
    struct itimerspec its = {{0, 10000000}, {0, 10000000}}, old;
    struct pollfd p = {fd, POLLIN, 0};
    CALL(read(fd, &n, 8));
    CALL(timerfd_settime(fd, 0, &its, &old)), SHOW(old.it_value.tv_nsec);
    CALL(poll(&p, 1, 1000)), SHOW(p.revents);
    CALL(read(fd, &n, 8)), HOLDS(n >= 1);
    CALL(timerfd_gettime(fd, &old)), SHOW(old.it_interval.tv_nsec);
    msleep(50);
    CALL(read(fd, &n, 8)), HOLDS(n >= 4);
    CALL(read(fd, &n, 7));
    its = (struct itimerspec){0};
    CALL(timerfd_settime(fd, 0, &its, &old)), SHOW(old.it_interval.tv_nsec);
    CALL(poll(&p, 1, 30));
    CALL(write(fd, &n, 8));
    CALL(lseek(fd, 0, SEEK_SET));
    int blocking = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
    clock_gettime(CLOCK_REALTIME, &its.it_value), its.it_value.tv_sec -= 5;
    CALL(timerfd_settime(blocking, TFD_TIMER_ABSTIME, &its, NULL));
    CALL(read(blocking, &n, 8)), SHOW(n);
    its.it_value = (struct timespec){0, 20000000};
    CALL(timerfd_settime(blocking, 0, &its, NULL));
    CALL(read(blocking, &n, 8)), SHOW(n);
    CALL(timerfd_create(99, 0));
    CALL(timerfd_create(CLOCK_MONOTONIC, 0x1234));
    CALL(timerfd_settime(0, 0, &its, NULL));
    CALL(timerfd_settime(99, 0, &its, NULL));
    CALL(timerfd_settime(fd, 99, &its, NULL));
    its.it_value.tv_nsec = -1;
    CALL(timerfd_settime(fd, 0, &its, NULL));
    CALL(syscall(SYS_timerfd_settime, fd, 0, BADPTR, NULL));
    CALL(syscall(SYS_timerfd_gettime, fd, BADPTR));
    return 0;
}
