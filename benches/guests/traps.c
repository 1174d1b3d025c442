/* Measures what single system calls cost: `traps DIRECTORY ROW...` prints "row<TAB>nanoseconds an operation".
 *
 * The same program runs natively and inside. DIRECTORY is in memory: /dev/shm natively, any directory inside. A row is
 * measured in batches of about 10 ms, and the best batch counts: the one that nothing else on the machine disturbed. Rows of two threads pin the program to one CPU. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int zero, null, file, a[2], b[2];
static char page[4096], deep[600], base[500];
static struct stat st;
static struct timespec ts;

static void getppid_(void) { syscall(SYS_getppid); }
static void clock_(void) { syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts); }
static void yield_(void) { syscall(SYS_sched_yield); }
static void read_zero(void) { if (read(zero, page, 1) != 1) abort(); }
static void write_null(void) { if (write(null, page, 1) != 1) abort(); }
static void fstat_(void) { if (syscall(SYS_fstat, file, &st)) abort(); }
static void lseek_(void) { if (lseek(file, 100, SEEK_SET) != 100) abort(); }
static void pread_(void) { if (pread(file, page, 4096, 8192) != 4096) abort(); }
static void pwrite_(void) { if (pwrite(file, page, 4096, 8192) != 4096) abort(); }
static void wake_(void) {
    static int word;
    if (syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0)) abort();
}
static void open_close(void) {
    int fd = open(deep, O_RDONLY);
    if (fd < 0) abort();
    close(fd);
}
static void stat_(void) { if (stat(deep, &st)) abort(); }
static void mmap_(void) {
    char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) abort();
    for (int i = 0; i < 65536; i += 4096) p[i] = 1;
    if (munmap(p, 65536)) abort();
}
/* To the handler and back; the signal that the thread sends to itself is delivered at the end of the call. */
static volatile sig_atomic_t handled;
static void handle(int signal) { handled = signal; }
static void signal_round(void) {
    handled = 0;
    if (raise(SIGUSR1) || handled != SIGUSR1) abort();
}
/* Ping-pong: one operation is one round trip. */
static void *echo(void *arg) {
    char c;
    (void)arg;
    while (read(a[0], &c, 1) == 1 && c) write(b[1], &c, 1);
    return NULL;
}
static void pipe_round(void) {
    char c = 1;
    if (write(a[1], &c, 1) != 1 || read(b[0], &c, 1) != 1) abort();
}
/* The same over a stream socket; one way, one operation is a message that the other thread has read, or will before there is room for many more. */
static int sock[2];
static char message[65536];
static void *echo_socket(void *arg) {
    char c;
    (void)arg;
    while (recv(sock[1], &c, 1, 0) == 1 && c) send(sock[1], &c, 1, 0);
    return NULL;
}
static void socket_round(void) {
    char c = 1;
    if (send(sock[0], &c, 1, 0) != 1 || recv(sock[0], &c, 1, 0) != 1) abort();
}
static void *drain_socket(void *arg) {
    static char into[65536];
    (void)arg;
    while (recv(sock[1], into, sizeof into, 0) > 0) {}
    return NULL;
}
static void one_way(size_t len) { if (send(sock[0], message, len, 0) != (ssize_t)len) abort(); }
static void one_way_1(void) { one_way(1); }
static void one_way_4k(void) { one_way(4096); }
static void one_way_64k(void) { one_way(65536); }
/* Sleeping beside a thread that makes no call: one operation is a sleep of a millisecond. */
static volatile int busy;
static void *spin(void *arg) {
    (void)arg;
    while (busy) {}
    return NULL;
}
static void sleep_round(void) {
    struct timespec one = {0, 1000000};
    if (nanosleep(&one, NULL)) abort();
}
static int turn;
static void wait_while(int v) {
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) == v) syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, v, NULL, NULL, 0);
}
static void set_turn(int v) {
    __atomic_store_n(&turn, v, __ATOMIC_RELEASE);
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
static void *partner(void *arg) {
    (void)arg;
    for (;;) {
        wait_while(0);
        if (turn == 2) return NULL;
        set_turn(0);
    }
}
static void futex_round(void) {
    set_turn(1);
    wait_while(1);
}

static const struct row {
    const char *name;
    void (*run)(void);
    void *(*other)(void *);
} rows[] = {
    {"getppid", getppid_, NULL}, {"clock_gettime", clock_, NULL}, {"sched_yield", yield_, NULL}, {"read /dev/zero 1 B", read_zero, NULL},
    {"write /dev/null 1 B", write_null, NULL}, {"fstat", fstat_, NULL}, {"lseek", lseek_, NULL}, {"pread 4 KiB", pread_, NULL}, {"pwrite 4 KiB", pwrite_, NULL},
    {"futex wake, no waiter", wake_, NULL}, {"open + close", open_close, NULL}, {"stat, three deep", stat_, NULL}, {"mmap + touch + munmap 64 KiB", mmap_, NULL},
    {"signal to a handler and back", signal_round, NULL},
    {"pipe ping-pong", pipe_round, echo}, {"Unix stream ping-pong", socket_round, echo_socket},
    {"Unix stream 1 B one way", one_way_1, drain_socket}, {"Unix stream 4 KiB one way", one_way_4k, drain_socket}, {"Unix stream 64 KiB one way", one_way_64k, drain_socket},
    {"futex ping-pong", futex_round, partner},
    {"sleep 1 ms beside a busy thread", sleep_round, spin},
};

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double measure(const struct row *r) {
    enum { BATCHES = 15 };
    double times[BATCHES];
    long n = 1;
    pthread_t t;
    if (r->other) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(0, &one);
        sched_setaffinity(0, sizeof one, &one);
        turn = 0, busy = 1;
        if (pipe(a) || pipe(b) || socketpair(AF_UNIX, SOCK_STREAM, 0, sock) || pthread_create(&t, NULL, r->other, NULL)) abort();
    }
    for (;; n *= 2) {
        double start = seconds();
        for (long i = 0; i < n; i++) r->run();
        if (seconds() - start > 0.005) break;
    }
    for (int k = 0; k < BATCHES; k++) {
        double start = seconds();
        for (long i = 0; i < n; i++) r->run();
        times[k] = (seconds() - start) / n * 1e9;
    }
    if (r->other == echo) write(a[1], "", 1);
    if (r->other == echo_socket || r->other == drain_socket) shutdown(sock[0], SHUT_WR);
    if (r->other == partner) set_turn(2);
    busy = 0;
    if (r->other) pthread_join(t, NULL);
    double best = times[0];
    for (int k = 1; k < BATCHES; k++) best = times[k] < best ? times[k] : best;
    return best;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    snprintf(base, sizeof base, "%s/traps-%d", argv[1], getpid());
    mkdir(base, 0755);
    strcpy(deep, base);
    strcat(deep, "/one"), mkdir(deep, 0755), strcat(deep, "/two"), mkdir(deep, 0755), strcat(deep, "/file");
    signal(SIGUSR1, handle);
    zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY), file = open(deep, O_RDWR | O_CREAT, 0644);
    if (zero < 0 || null < 0 || file < 0 || ftruncate(file, 1 << 20)) return 1;
    for (int i = 0; i < 256; i++) pwrite(file, page, 4096, i * 4096L);
    int status = 0;
    for (int i = 2; i < argc; i++) {
        const struct row *r = NULL;
        for (unsigned k = 0; k < sizeof rows / sizeof *rows; k++)
            if (!strcmp(rows[k].name, argv[i])) r = &rows[k];
        if (!r) { status = 3; continue; }
        printf("%s\t%.1f\n", r->name, measure(r));
        fflush(stdout);
    }
    unlink(deep);
    strcpy(deep, base), strcat(deep, "/one/two"), rmdir(deep);
    strcpy(deep, base), strcat(deep, "/one"), rmdir(deep), rmdir(base);
    return status;
}
