/* A thread that never makes a system call beside one that makes many: on one CPU only preemption lets both go on. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile int stop;
static volatile unsigned long spins;

static void *spin(void *arg) {
    (void)arg;
    while (!stop) spins++;
    return NULL;
}
int main(void) {
    pthread_t spinner;
    pthread_create(&spinner, NULL, spin, NULL);
    struct timespec pause = {0, 1000000};
    for (int i = 0; i < 50; i++) {
        nanosleep(&pause, NULL);
        if (getppid() < 0) return 1;
    }
    printf("called\n");
    fflush(stdout);
    while (spins < 1000000) {}
    stop = 1;
    pthread_join(spinner, NULL);
    printf("spun\n");
    return 0;
}
