/* What processes share of directories and descriptors: CLONE_FS, CLONE_FILES, and unshare, which ends it. */
#include "oracle.h"
#include <pthread.h>
#include <sched.h>
#include <sys/sem.h>
#include <sys/wait.h>

static long new_process(unsigned long flags) { return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0); }
static int there(const char *name) { return access(name, F_OK) == 0; }
static void ended(pid_t pid) {
    int status;
    waitpid(pid, &status, 0);
    if (status) printf("child ended with %x\n", status);
}
static int open_fd(int fd) { return fcntl(fd, F_GETFD) != -1; }
/* Takes turns with the parent. */
static int up[2], down[2];
static void turn(void) { char c; write(up[1], "x", 1), read(down[0], &c, 1); }
static void wait_turn(void) { char c; read(up[0], &c, 1); }
static void give_turn(void) { write(down[1], "x", 1); }

static void directories(void) {
    SECTION("directories");
    mkdir("d", 0755), mkdir("d/e", 0755);
    close(creat("d/in_d", 0644)), close(creat("d/e/in_e", 0644));
    fflush(stdout);
    pid_t pid = new_process(CLONE_FS);
    if (pid == 0) {
        CALL(chdir("d"));
        umask(0777);
        turn();
        SHOW(there("in_e"));
        SHOW(umask(022) == 0);
        /* Credentials are nobody else's. */
        CALL(setresuid(0, 1000, 0));
        turn();
        CALL(setresuid(0, 0, 0));
        CALL(unshare(CLONE_FS));
        CALL(chdir("../.."));
        umask(077);
        SHOW(there("d/in_d"));
        turn();
        _exit(0);
    }
    wait_turn();
    SHOW(there("in_d"));
    SHOW(umask(0) == 0777);
    CALL(chdir("e"));
    give_turn();
    wait_turn();
    SHOW(geteuid());
    close(creat("mine", 0600));
    struct stat st;
    CALL(stat("mine", &st));
    SHOW(st.st_uid);
    give_turn();
    wait_turn();
    SHOW(there("in_e"));
    SHOW(umask(022) == 022);
    give_turn();
    ended(pid);
    CALL(chdir("../.."));
    /* The one made by one of those that share, and a root. */
    fflush(stdout);
    pid = new_process(CLONE_FS);
    if (pid == 0) {
        pid_t inner = new_process(CLONE_FS);
        if (inner == 0) {
            pid_t apart = new_process(0);
            if (apart == 0) {
                chdir("/");
                _exit(0);
            }
            waitpid(apart, NULL, 0);
            chdir("d");
            _exit(0);
        }
        waitpid(inner, NULL, 0);
        SHOW(there("in_d"));
        turn();
        CALL(chroot("."));
        turn();
        _exit(0);
    }
    wait_turn();
    SHOW(there("in_d"));
    int top = open("..", O_RDONLY);
    give_turn();
    wait_turn();
    SHOW(there("/in_d"));
    SHOW(there("/usr"));
    give_turn();
    ended(pid);
    CALL(fchdir(top));
    CALL(chroot("../../../../../../../.."));
    close(top);
    SHOW(there("/usr"));
    /* A program that is executed goes on sharing. */
    fflush(stdout);
    pid = new_process(CLONE_FS | CLONE_VFORK);
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "cd d", NULL);
        _exit(1);
    }
    ended(pid);
    SHOW(there("in_d"));
    CALL(chdir(".."));
}

static void descriptors(void) {
    SECTION("descriptors");
    int fd = open("/dev/null", O_RDONLY);
    fflush(stdout);
    pid_t pid = new_process(CLONE_FILES);
    if (pid == 0) {
        CALL(dup2(fd, 50));
        turn();
        SHOW(open_fd(51));
        CALL(unshare(CLONE_FILES));
        SHOW(open_fd(50));
        close(50), close(51);
        dup2(fd, 52);
        turn();
        _exit(0);
    }
    wait_turn();
    SHOW(open_fd(50));
    CALL(dup2(fd, 51));
    give_turn();
    wait_turn();
    SHOW(open_fd(50));
    SHOW(open_fd(51));
    SHOW(open_fd(52));
    give_turn();
    ended(pid);
    /* close_range with a table of one's own. */
    fflush(stdout);
    pid = new_process(CLONE_FILES);
    if (pid == 0) {
        CALL(syscall(SYS_close_range, 50, 51, 2));
        SHOW(open_fd(50));
        _exit(0);
    }
    ended(pid);
    SHOW(open_fd(50));
    /* The last one of those that share closes. */
    int p[2];
    char c;
    pipe(p);
    fflush(stdout);
    pid = new_process(CLONE_FILES);
    if (pid == 0) {
        unshare(CLONE_FILES);
        close(p[0]);
        turn();
        close(p[1]);
        _exit(0);
    }
    wait_turn();
    close(p[1]);
    give_turn();
    CALL(read(p[0], &c, 1));
    ended(pid);
    close(p[0]);
}

static void *apart(void *unused) {
    (void)unused;
    CALL(unshare(CLONE_VM));
    CALL(unshare(CLONE_THREAD));
    CALL(unshare(CLONE_FS | CLONE_FILES));
    CALL(chdir("d"));
    SHOW(there("in_d"));
    dup2(0, 60);
    CALL(unshare(CLONE_FS | CLONE_FILES));
    return NULL;
}

static void threads(void) {
    SECTION("threads");
    pthread_t thread;
    pthread_create(&thread, NULL, apart, NULL);
    pthread_join(thread, NULL);
    SHOW(there("d/in_d"));
    SHOW(open_fd(60));
}

static void semaphores(void) {
    SECTION("semaphores");
    int id = semget(IPC_PRIVATE, 1, 0600);
    struct sembuf more = {0, 3, SEM_UNDO};
    CALL(semop(id, &more, 1));
    CALL(semctl(id, 0, GETVAL));
    CALL(unshare(CLONE_SYSVSEM));
    CALL(semctl(id, 0, GETVAL));
    CALL(semctl(id, 0, IPC_RMID));
}

int main(void) {
    pipe(up), pipe(down);
    directories();
    descriptors();
    threads();
    semaphores();
    /* As often as one likes. */
    for (int i = 0; i < 300; i++)
        if (unshare(CLONE_FS | CLONE_FILES)) printf("%d\n", i);
    return 0;
}
