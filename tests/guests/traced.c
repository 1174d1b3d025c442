// What a trace is to show: a thread that waits in a call until another ends that, a call that fails, two threads at work at once, a child that is
// killed where it waits. Says nothing.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int ends[2], about_to_wait[2];

static void rest(long milliseconds) {
    struct timespec time = {0, milliseconds * 1000000};
    nanosleep(&time, NULL);
}

// Before each wait: whoever ends that gives it time to begin.
static void announce(void) {
    if (write(about_to_wait[1], "", 1) != 1) abort();
}

static void let_wait(void) {
    char byte;
    if (read(about_to_wait[0], &byte, 1) != 1) abort();
    rest(60);
}

static void *reader(void *unused) {
    char byte;
    (void)unused;
    pthread_setname_np(pthread_self(), "the \"reader\"");
    announce();
    if (read(ends[0], &byte, 1) != 1) abort();
    return NULL;
}

static void *worker(void *unused) {
    struct timespec begin, now;
    (void)unused;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        for (volatile int i = 0; i < 100000; i++) {}
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < 100);
    return NULL;
}

int main(void) {
    pthread_t threads[2];
    if (open("/no/such/file", O_RDONLY) >= 0 || pipe(ends) || pipe(about_to_wait)) abort();
    pthread_create(&threads[0], NULL, reader, NULL);
    let_wait();
    if (write(ends[1], "", 1) != 1) abort();
    pthread_join(threads[0], NULL);
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, worker, NULL);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    pid_t child = fork();
    if (child == 0) {
        announce();
        pause();
        abort();
    }
    let_wait();
    kill(child, SIGKILL);
    if (waitpid(child, NULL, 0) != child) abort();
    return 0;
}
