// Makes threads until the kernel refuses, ends them all, and can make one again.
#include "oracle.h"
#include <pthread.h>
#include <sys/resource.h>

static int go;
static void *waits(void *arg) {
    while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE)) msleep(20);
    return arg;
}
int main(void) {
    struct rlimit space = {2000UL << 20, RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &space);
    static pthread_t t[10000];
    int made = 0, error = 0;
    while (made < 10000 && !(error = pthread_create(&t[made], NULL, waits, NULL))) made++;
    HOLDS(made > 100 && made < 300); /* 8 MiB of stack each */
    printf("%s\n", oracle_errname(error));
    __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < made; i++) pthread_join(t[i], NULL);
    SHOW(pthread_create(&t[0], NULL, waits, NULL));
    SHOW(pthread_join(t[0], NULL));
    return 0;
}
