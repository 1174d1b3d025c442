/* `spawner COUNT PROGRAM`: starts PROGRAM so often with vfork, and waits for each. Every third child ends without executing it, every
 * seventh is left to be reaped by nobody. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    for (int i = 0; i < atoi(argv[1]); i++) {
        int alone = i % 7 == 6, brief = i % 3 == 2;
        signal(SIGCHLD, alone ? SIG_IGN : SIG_DFL);
        pid_t pid = vfork();
        if (pid == 0) {
            if (brief) _exit(5);
            execl(argv[2], argv[2], (char *)0);
            _exit(9);
        }
        int status = -1;
        pid_t waited = waitpid(pid, &status, 0);
        if (alone ? waited != -1 : waited != pid || status != (brief ? 5 << 8 : 0)) {
            printf("%d: %d of %d ended with %x\n", i, waited, pid, status);
            return 1;
        }
    }
    return 0;
}
