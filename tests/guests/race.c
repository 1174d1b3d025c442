// Two who count in one place without a lock, with a call between the look and the write: what is lost depends on their order alone.
// `race threads` counts in memory that two threads have, `race processes` in a mapping that two processes share, `race file` in a file.
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 3 };

static volatile long *count;
static int file = -1;

static long look(void) {
    long value = 0;
    if (file < 0) {
        value = *count;
        syscall(SYS_getppid);
    } else if (pread(file, &value, sizeof(value), 0) < 0) {
        _exit(3);
    }
    return value;
}

static void put(long value) {
    if (file < 0)
        *count = value;
    else if (pwrite(file, &value, sizeof(value), 0) != sizeof(value))
        _exit(3);
}

static void *counts(void *nothing) {
    for (int round = 0; round < ROUNDS; round++)
        put(look() + 1);
    return nothing;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    long own = 0;
    count = &own;
    if (!strcmp(what, "threads")) {
        pthread_t threads[2];
        for (int i = 0; i < 2; i++)
            pthread_create(&threads[i], NULL, counts, NULL);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
    } else {
        if (!strcmp(what, "file")) {
            file = open("/tmp/count", O_RDWR | O_CREAT | O_TRUNC, 0600);
            put(0);
        } else {
            count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
            if (count == MAP_FAILED)
                return 2;
        }
        for (int i = 0; i < 2; i++)
            if (fork() == 0) {
                counts(NULL);
                _exit(0);
            }
        while (wait(NULL) > 0) {
        }
    }
    printf("%ld of %d\n", look(), 2 * ROUNDS);
    return look() == 2 * ROUNDS ? 0 : 1;
}
