/* Orphans: `orphans N` makes N processes whose parents are gone, then counts how many processes there are, at most twenty seconds later, and says whose
 * child it is itself. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int processes(void) {
    int count = 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(dir));) count += !!isdigit(entry->d_name[0]);
    closedir(dir);
    return count;
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 100;
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (!child) _exit(fork() < 0);
        int status;
        if (waitpid(child, &status, 0) != child || status) printf("child %d: status %x\n", i, status);
    }
    for (int i = 0; i < 400 && processes() > 2; i++) usleep(50000);
    printf("%d processes, a child of %d\n", processes(), getppid());
    return 0;
}
