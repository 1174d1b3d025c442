/* `readers COUNT`: so many threads that are all blocked in read(2). Prints `blocked COUNT` when they are, waits for the end of its
 * input, gives each thread a byte, and prints the sum of what they got. */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int pipes[2];
static long arrived;

static void *reader(void *arg) {
    unsigned char byte = 0;
    __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
    if (read(pipes[0], &byte, 1) != 1) abort();
    (void)arg;
    return (void *)(long)byte;
}

int main(int argc, char **argv) {
    long count = argc > 1 ? atol(argv[1]) : 0, sum = 0;
    pthread_t *threads = calloc(count + 1, sizeof *threads);
    pthread_attr_t small;
    if (!threads || pipe(pipes) || pthread_attr_init(&small)) return 10;
    if (pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN)) return 11;
    for (long i = 0; i < count; i++) {
        if (pthread_create(&threads[i], &small, reader, NULL)) {
            perror("pthread_create");
            return 12;
        }
    }
    /* The last one has counted itself before it reads. */
    while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < count) usleep(1000);
    usleep(200000);
    printf("blocked %ld\n", count);
    fflush(stdout);
    char input[16];
    while (read(0, input, sizeof input) > 0) {}
    for (long i = 0; i < count; i++) {
        unsigned char byte = i % 251;
        if (write(pipes[1], &byte, 1) != 1) return 13;
    }
    for (long i = 0; i < count; i++) {
        void *got;
        if (pthread_join(threads[i], &got)) return 14;
        sum += (long)got;
    }
    printf("sum %ld\n", sum);
    return 0;
}
