// Two threads on one CPU: one uses a file whose bytes the kernel has to wait for, the other then makes them come, by writing to
// another file. ARGUMENT is how the file is used: read, map, send or exec.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

static const char *how;
static char page[4096];

static void *use(void *unused) {
    (void)unused;
    int slow = open("/cold/slow", O_RDONLY);
    if (!strcmp(how, "read")) {
        if (read(slow, page, sizeof page) != sizeof page) return "read";
    } else if (!strcmp(how, "map")) {
        volatile char *m = mmap(NULL, sizeof page, PROT_READ, MAP_PRIVATE, slow, 0);
        if (m == MAP_FAILED) return "mmap";
        for (size_t i = 0; i < sizeof page; i++) page[i] = m[i];
    } else if (!strcmp(how, "send")) {
        int p[2];
        if (pipe(p) || sendfile(p[1], slow, NULL, sizeof page) != sizeof page) return "sendfile";
        if (read(p[0], page, sizeof page) != sizeof page) return "read of the pipe";
    } else if (!strcmp(how, "exec")) {
        execl("/cold/slow", "slow", NULL);
        return errno == ENOEXEC ? NULL : "execve";
    }
    for (size_t i = 0; i < sizeof page; i++)
        if (page[i] != 's') return "bytes";
    return NULL;
}

int main(int argc, char **argv) {
    how = argc > 1 ? argv[1] : "";
    pthread_t user;
    void *failed;
    pthread_create(&user, NULL, use, NULL);
    int bell = open("/cold/bell", O_WRONLY);
    // Answers only when somebody waits for the slow file.
    if (write(bell, "", 1) != 1) return 2;
    pthread_join(user, &failed);
    if (failed) fprintf(stderr, "%s: %s\n", how, (char *)failed);
    return failed != NULL;
}
