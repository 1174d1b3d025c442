/* /proc/self/fd while descriptors are closed as it is read: none is skipped. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Reads a few entries at a time, so that the place has to be remembered. */
static int each(int directory, int closing) {
    char buffer[96];
    long length;
    int seen = 0;
    while ((length = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < length; at += *(unsigned short *)(buffer + at + 16)) {
            int fd = atoi(buffer + at + 19);
            if (fd < 20 || fd == directory) continue;
            seen++;
            if (closing) close(fd);
        }
    return seen;
}

int main(void) {
    for (int fd = 20; fd < 60; fd++)
        if (dup2(1, fd) != fd) return 1;
    int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
    printf("closed %d\n", each(directory, 1));
    lseek(directory, 0, SEEK_SET);
    printf("left %d\n", each(directory, 0));
    return 0;
}
