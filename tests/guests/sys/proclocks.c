// /proc/locks: who holds which locks of which file.
#include "oracle.h"
#include <sys/file.h>
#include <sys/wait.h>

static ino_t ino;
static int by_text(const void *a, const void *b) { return strcmp(a, b); }

/* The locks of the file, in an order of their own: Linux lists them by the CPUs where they were taken. */
static void show(const char *what) {
    char line[200], lines[20][100], name[20], advisory[20], mode[20], end[30];
    int pid, n = 0;
    unsigned major, minor;
    unsigned long number;
    long start;
    FILE *f = fopen("/proc/locks", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "%*d: %19s %19s %19s %d %x:%x:%lu %ld %29s", name, advisory, mode, &pid, &major, &minor, &number, &start, end) == 9 && number == ino)
            sprintf(lines[n++], "%.10s %.10s %.10s %s %ld %.20s", name, advisory, mode, pid == getpid() ? "mine" : pid == -1 ? "-1" : "another's", start, end);
    fclose(f);
    qsort(lines, n, sizeof *lines, by_text);
    printf("%s:\n", what);
    for (int i = 0; i < n; i++) printf("  %s\n", lines[i]);
}

int main(void) {
    struct stat st;
    int fd = oracle_file("f", 100), other = open("f", O_RDWR);
    fstat(fd, &st), ino = st.st_ino;
    show("none");
    flock(fd, LOCK_SH), flock(other, LOCK_SH), show("two of open files");
    flock(other, LOCK_UN), flock(fd, LOCK_EX), show("one, exclusive");
    struct flock range = {F_WRLCK, SEEK_SET, 10, 20, 0};
    CALL(fcntl(fd, F_SETLK, &range)), show("a range");
    range = (struct flock){F_RDLCK, SEEK_SET, 15, 5, 0};
    CALL(fcntl(fd, F_SETLK, &range)), show("of which a part may be read");
    range = (struct flock){F_WRLCK, SEEK_SET, 50, 0, 0};
    CALL(fcntl(other, F_OFD_SETLK, &range)), show("to the end, of an open file");
    fflush(stdout);
    if (!fork()) { show("as a child sees it"); exit(0); }
    wait(NULL);
    close(other), show("one closed");
    close(fd), show("all closed");
    return 0;
}
