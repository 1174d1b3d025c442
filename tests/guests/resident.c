/* `resident`: four threads that stay until somebody ends them: one computes, one waits for a futex, one for a pipe, the first
 * one for a signal. `resident CODE` ends with that status instead, while the others wait. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int word, pipes[2];
static volatile unsigned long spins;

static void *compute(void *arg) {
    for (;;) spins++;
    return arg;
}
static void *on_futex(void *arg) {
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return arg;
}
static void *on_pipe(void *arg) {
    char c;
    return read(pipes[0], &c, 1) < 0 ? NULL : arg;
}

int main(int argc, char **argv) {
    void *(*bodies[])(void *) = {compute, on_futex, on_pipe};
    if (pipe(pipes)) return 10;
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, bodies[i], NULL)) return 11;
    }
    if (argc > 1) exit(atoi(argv[1]));
    for (;;) pause();
}
