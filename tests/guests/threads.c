/* Plain POSIX threads: mutex, condition, thread-local storage, join values, many short lives. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn, total;
static __thread long mine;

static void *player(void *arg) {
    int me = (int)(long)arg;
    for (int round = 0; round < 500; round++) {
        pthread_mutex_lock(&lock);
        while (turn % 4 != me) pthread_cond_wait(&changed, &lock);
        turn++, mine++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return (void *)mine;
}
static void *adder(void *arg) {
    __atomic_fetch_add(&total, (int)(long)arg, __ATOMIC_SEQ_CST);
    return NULL;
}
int main(void) {
    pthread_t players[4];
    for (long i = 0; i < 4; i++) pthread_create(&players[i], NULL, player, (void *)i);
    for (int i = 0; i < 4; i++) {
        void *value;
        pthread_join(players[i], &value);
        printf("player %d: %ld\n", i, (long)value);
    }
    for (long i = 0; i < 1000; i++) {
        pthread_t one;
        if (pthread_create(&one, NULL, adder, (void *)i)) abort();
        if (i % 2) pthread_join(one, NULL); else pthread_detach(one);
    }
    while (__atomic_load_n(&total, __ATOMIC_SEQ_CST) != 499500) {}
    printf("turns %d total %d\n", turn, total);
    return 0;
}
