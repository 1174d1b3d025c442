/* Measures what making processes and talking between them costs: `processes ROW STATIC DYNAMIC` prints "ROW<TAB>nanoseconds an
 * operation". STATIC and DYNAMIC are programs that do nothing, linked either way.
 *
 * The same program runs natively and inside. A row is measured in batches, and the median batch counts. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 15

static const char *program;
static int to[2], from[2];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void await(pid_t child) {
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status) abort();
}

static void fork_exit(void) {
    pid_t child = fork();
    if (!child) _exit(0);
    await(child);
}

static void fork_exec(void) {
    pid_t child = fork();
    if (!child) {
        execl(program, program, NULL);
        _exit(1);
    }
    await(child);
}

static void getppid_(void) { syscall(SYS_getppid); }

static void round_trip(void) {
    char c = 1;
    if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1) abort();
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *row, void (*operation)(void), int times) {
    double batch[BATCHES];
    for (int i = 0; i < times; i++) operation();
    for (int b = 0; b < BATCHES; b++) {
        double start = now();
        for (int i = 0; i < times; i++) operation();
        batch[b] = (now() - start) / times;
    }
    qsort(batch, BATCHES, sizeof *batch, by_value);
    printf("%s\t%.1f\n", row, batch[BATCHES / 2]);
    fflush(stdout);
}

static void one_cpu(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    sched_setaffinity(0, sizeof set, &set);
}

/* Answers on descriptors 3 and 4 until nobody asks. */
static int echo(void) {
    char c;
    while (read(3, &c, 1) == 1)
        if (write(4, &c, 1) != 1) return 1;
    return 0;
}

/* A partner in another process, which executes this program again or goes on as a fork's child. */
static pid_t partner(const char *self) {
    if (pipe(to) || pipe(from)) abort();
    pid_t child = fork();
    if (child) {
        close(to[0]);
        close(from[1]);
        return child;
    }
    int in = dup2(to[0], 10), out = dup2(from[1], 11);
    close(to[0]), close(to[1]), close(from[0]), close(from[1]);
    dup2(in, 3), dup2(out, 4);
    close(in), close(out);
    if (self) {
        execl(self, self, "echo", "-", "-", NULL);
        _exit(1);
    }
    _exit(echo());
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    const char *row = argv[1];
    if (!strcmp(row, "echo")) return echo();
    if (!strcmp(row, "fork + exit + wait")) {
        measure(row, fork_exit, 20);
    } else if (!strcmp(row, "fork + exec + wait, static")) {
        program = argv[2];
        measure(row, fork_exec, 10);
    } else if (!strcmp(row, "fork + exec + wait, dynamic")) {
        program = argv[3];
        measure(row, fork_exec, 10);
    } else if (!strcmp(row, "getppid, isolated")) {
        measure(row, getppid_, 5000);
    } else {
        int executed = !strcmp(row, "pipe ping-pong, executed");
        if (executed) one_cpu();
        pid_t child = partner(executed ? argv[0] : NULL);
        measure(row, round_trip, 500);
        close(to[1]);
        await(child);
    }
    return 0;
}
