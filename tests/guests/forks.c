/* Many processes: `forks N` makes and awaits N in a row, then two hundred at once, then as many as a limit allows. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 100;
    for (int i = 0; i < count; i++) {
        int status;
        pid_t child = fork();
        if (!child) _exit(i & 63);
        if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != (i & 63)) {
            printf("child %d of %d: status %x\n", i, count, status);
            return 1;
        }
    }
    puts("made");
    fflush(stdout);

    pid_t children[200];
    for (int i = 0; i < 200; i++) {
        children[i] = fork();
        if (children[i] < 0) perror("fork");
        if (!children[i]) {
            pause();
            _exit(1);
        }
    }
    int by_signal[2] = {0, 0};
    for (int i = 0; i < 200; i++) kill(children[i], i % 2 ? SIGKILL : SIGTERM);
    for (int i = 0; i < 200; i++) {
        int status;
        if (waitpid(children[i], &status, 0) == children[i] && WIFSIGNALED(status))
            by_signal[WTERMSIG(status) == SIGKILL]++;
    }
    printf("%d terminated, %d killed\n", by_signal[0], by_signal[1]);
    fflush(stdout);

    struct rlimit limit = {100, 100};
    if (setuid(54321) || setrlimit(RLIMIT_NPROC, &limit)) perror("setuid");
    int made = 0;
    for (; made < 300; made++) {
        pid_t child = fork();
        if (child < 0) break;
        if (!child) {
            pause();
            _exit(0);
        }
    }
    printf("%s, errno %d\n", made > 90 && made <= 100 ? "bounded" : "not bounded", errno);
    fflush(stdout);
    kill(0, SIGKILL);
    return 1;
}
