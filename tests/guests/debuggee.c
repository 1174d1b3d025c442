/* What debuggers are tried on: each argument does something that one wants to see. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int total;

__attribute__((noinline)) int add(int x) {
    int sum = x + 1;
    total += sum;
    return sum;
}

__attribute__((noinline)) int deep(int n) {
    return n ? deep(n - 1) + 1 : add(n);
}

static void *worker(void *arg) {
    add((int)(long)arg);
    return NULL;
}

static void forks(void) {
    pid_t pid = fork();
    if (!pid) {
        add(100);
        _exit(3);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("child %d\n", WEXITSTATUS(status));
}

static void threads(void) {
    pthread_t t[3];
    for (long i = 0; i < 3; i++) pthread_create(&t[i], NULL, worker, (void *)i);
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
}

static void handler(int sig) { total += sig; }

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 4096);
    const char *what = argc > 1 ? argv[1] : "calls";
    if (!strcmp(what, "calls")) {
        for (int i = 0; i < 3; i++) add(i);
        printf("deep %d\n", deep(3));
    }
    if (!strcmp(what, "fork")) forks();
    if (!strcmp(what, "threads")) threads();
    if (!strcmp(what, "signal")) {
        signal(SIGUSR1, handler);
        raise(SIGUSR1);
    }
    if (!strcmp(what, "crash")) *(volatile int *)8 = 1;
    if (!strcmp(what, "wait")) {
        puts("waiting");
        while (!total) usleep(1000);
    }
    if (!strcmp(what, "exec")) execl("/bin/true", "true", NULL);
    printf("total %d\n", total);
    return total & 63;
}
