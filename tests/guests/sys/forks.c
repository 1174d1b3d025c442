// fork: what the child has of its own, what it shares and what it does not have.
#include "oracle.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>

static void show_status(const char *what, int status) {
    if (WIFEXITED(status)) printf("%s: exited %d\n", what, WEXITSTATUS(status));
    else printf("%s: killed by %d\n", what, WTERMSIG(status));
}
/* Has a child do `what` and shows how it ends. */
#define CHILD(what) do { \
    fflush(stdout); \
    pid_t pid_ = fork(); \
    if (pid_ == 0) { what; exit(0); } \
    int status_ = -1; \
    HOLDS(waitpid(pid_, &status_, 0) == pid_), show_status(#what, status_); \
} while (0)

static int global = 1;
static __thread int local = 2;
static volatile sig_atomic_t signals;
static void on_signal(int signal) { (void)signal, signals++; }
static void *waits(void *arg) {
    while (!*(volatile int *)arg) msleep(1);
    return NULL;
}

static void memory(void) {
    SECTION("memory");
    int stack = 3, *heap = malloc(sizeof *heap), *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *large = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = oracle_file("file", 8192);
    char *of_file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), *of_file_shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    *heap = 4, *shared = 5, large[0] = 'x', large[3 << 20] = 'y', of_file[1] = 'P';
    CHILD((SHOW(global), SHOW(local), SHOW(stack), SHOW(*heap), SHOW(*shared), SHOW(large[0]), SHOW(large[3 << 20]), SHOW(of_file[0]), SHOW(of_file[1]),
           global = local = stack = *heap = *shared = 99, large[0] = large[3 << 20] = 'z', of_file[0] = 'Q', of_file_shared[4096] = 'S', exit(7)));
    SHOW(global), SHOW(local), SHOW(stack), SHOW(*heap), SHOW(*shared), SHOW(large[0]), SHOW(large[3 << 20]), SHOW(of_file[0]), SHOW(of_file[1]), SHOW(of_file_shared[4096]);
    void *end = sbrk(0);
    CHILD((HOLDS(sbrk(0) == end), sbrk(4096), HOLDS(sbrk(0) != end)));
    HOLDS(sbrk(0) == end);
    CHILD(munmap(large, 4096));
    SHOW(large[0]), munmap(large, 4096);
    CHILD(large[0] = 1);
    mprotect(large + 4096, 4096, PROT_READ);
    CHILD(large[4096] = 1);
    munmap(of_file_shared, 8192), close(fd);
}

static void descriptors(void) {
    SECTION("descriptors");
    int fd = oracle_file("file", 100), ends[2];
    char byte;
    lseek(fd, 10, SEEK_SET), pipe(ends);
    CHILD((CALL(lseek(fd, 5, SEEK_CUR)), close(ends[0]), dup2(ends[1], 20), CALL(write(20, "hello", 5)), umask(077), CALL(chdir("/"))));
    CALL(lseek(fd, 0, SEEK_CUR)), CALL(fcntl(20, F_GETFD)), SHOW(umask(022));
    char text[6] = "", here[PATH_MAX];
    CALL(read(ends[0], text, 5)), puts(text), HOLDS(strcmp(getcwd(here, sizeof here), "/") != 0);
    struct flock lock = {.l_type = F_WRLCK};
    CALL(fcntl(fd, F_SETLK, &lock));
    CHILD((CALL(fcntl(fd, F_GETLK, &lock)), SHOW(lock.l_type), HOLDS(lock.l_pid == getppid()), lock.l_type = F_WRLCK, CALL(fcntl(fd, F_SETLK, &lock))));
    close(ends[1]), SHOW(read(ends[0], &byte, 1)), close(ends[0]), close(fd);
}

static void signalling(void) {
    SECTION("signals and timers");
    sigset_t set, pending;
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigprocmask(SIG_BLOCK, &set, NULL), signal(SIGUSR2, on_signal), raise(SIGUSR1);
    struct itimerval timer = {{0, 0}, {100, 0}};
    setitimer(ITIMER_REAL, &timer, NULL);
    char *other = malloc(SIGSTKSZ);
    stack_t altstack = {.ss_sp = other, .ss_size = SIGSTKSZ};
    sigaltstack(&altstack, NULL);
    CHILD((sigpending(&pending), SHOW(sigismember(&pending, SIGUSR1)), sigprocmask(SIG_BLOCK, NULL, &set), SHOW(sigismember(&set, SIGUSR1)), raise(SIGUSR2), SHOW(signals), getitimer(ITIMER_REAL, &timer), SHOW(timer.it_value.tv_sec),
           sigaltstack(NULL, &altstack), SHOW(altstack.ss_flags), signal(SIGUSR2, SIG_DFL), SHOW(times(&(struct tms){0}) > 0)));
    SHOW(signals), sigpending(&pending), SHOW(sigismember(&pending, SIGUSR1)), getitimer(ITIMER_REAL, &timer), HOLDS(timer.it_value.tv_sec > 90), alarm(0);
    raise(SIGUSR2), SHOW(signals);
    signal(SIGUSR1, SIG_IGN), sigemptyset(&set), sigprocmask(SIG_SETMASK, &set, NULL), signal(SIGUSR1, SIG_DFL);
    CHILD(abort());
    CHILD(raise(SIGKILL));
    CHILD(*(volatile int *)NULL = 1);
    CHILD(__builtin_trap());
    CHILD(HOLDS(getppid() != getpid() && gettid() == getpid()));
    CHILD(kill(getppid(), SIGUSR2));
    SHOW(signals);
}

static void threads(void) {
    SECTION("one thread of many");
    volatile int go = 0;
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) pthread_create(&thread[i], NULL, waits, (void *)&go);
    CHILD((go = 1, HOLDS(gettid() == getpid()), CALL(pthread_create(&thread[0], NULL, waits, (void *)&go)), CALL(pthread_join(thread[0], NULL))));
    SHOW(go), go = 1;
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
}

static void many(void) {
    SECTION("many");
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), sum = 0, status, fd[2];
    sem_t *lock = (sem_t *)(shared + 100);
    sem_init(lock, 1, 1), fflush(stdout);
    for (int i = 0; i < 20; i++) {
        if (fork()) continue;
        for (int k = 0; k < 100; k++) sem_wait(lock), *shared += 1, sem_post(lock);
        _exit(i);
    }
    while (wait(&status) > 0) sum += WEXITSTATUS(status);
    SHOW(sum), SHOW(*shared), SHOW(errno == ECHILD);
    // Each makes the next one.
    int depth = 0;
    while (depth < 6 && fork() == 0) depth++;
    if (depth == 6) _exit(40);
    wait(&status);
    if (depth) _exit(WEXITSTATUS(status) + 1);
    show_status("six deep", status);
    // A pipeline.
    pipe(fd), fflush(stdout);
    if (fork() == 0) dup2(fd[1], 1), close(fd[0]), close(fd[1]), execlp("seq", "seq", "1000", NULL), _exit(1);
    if (fork() == 0) dup2(fd[0], 0), close(fd[0]), close(fd[1]), execlp("wc", "wc", "-l", NULL), _exit(1);
    close(fd[0]), close(fd[1]), wait(&status), wait(&sum), show_status("one", status), show_status("other", sum);
}

static void calls(void) {
    SECTION("the calls");
    int status, tid = 0;
    pid_t pid = syscall(SYS_fork);
    if (pid == 0) _exit(5);
    HOLDS(waitpid(pid, &status, 0) == pid), show_status("fork", status);
    pid = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_FILES | SIGCHLD, 0, &tid, &tid, 0);
    if (pid == 0) _exit(tid == getpid() ? (open("/dev/null", O_RDONLY), 6) : 7);
    HOLDS(tid == pid), HOLDS(waitpid(pid, &status, 0) == pid), show_status("clone", status), CALL(fcntl(3, F_GETFD)), close(3);
    struct clone_args ca = {.exit_signal = SIGCHLD, .flags = CLONE_CLEAR_SIGHAND | CLONE_PIDFD, .pidfd = (uintptr_t)&tid};
    signal(SIGUSR1, on_signal);
    pid = syscall(SYS_clone3, &ca, sizeof ca);
    if (pid == 0) raise(SIGUSR1), _exit(1);
    HOLDS(waitid(P_PIDFD, tid, NULL, WEXITED | WNOWAIT) == 0), HOLDS(waitpid(pid, &status, 0) == pid), show_status("clone3", status), close(tid);
    // The parent waits though nothing is shared.
    pid = syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) msleep(20), _exit(3);
    HOLDS(waitpid(pid, &status, 0) == pid), show_status("CLONE_VFORK alone", status);
}

int main(void) {
    memory(), descriptors(), signalling(), threads(), many(), calls();
    return 0;
}
