// flags: -pthread
// Appending: by O_APPEND and by RWF_APPEND, what happens to the position, and that two writers never overwrite each other.
#include "oracle.h"
#include <pthread.h>

enum { RECORDS = 2000, RECORD = 24 };
static int how;

static void *append(void *who) {
    char record[RECORD];
    memset(record, *(char *)who, RECORD - 1), record[RECORD - 1] = '\n';
    int fd = open("log", how == 0 ? O_WRONLY | O_APPEND : O_WRONLY);
    struct iovec v = {record, RECORD};
    for (int i = 0; i < RECORDS; i++)
        if ((how == 0 ? write(fd, record, RECORD) : pwritev2(fd, &v, 1, 0, RWF_APPEND)) != RECORD) abort();
    close(fd);
    return NULL;
}

int main(void) {
    for (how = 0; how < 2; how++) {
        close(open("log", O_WRONLY | O_CREAT | O_TRUNC, 0644));
        pthread_t a, b;
        pthread_create(&a, NULL, append, "a"), pthread_create(&b, NULL, append, "b");
        pthread_join(a, NULL), pthread_join(b, NULL);
        FILE *log = fopen("log", "r");
        char line[100];
        int lines[2] = {0, 0}, torn = 0;
        while (fgets(line, sizeof line, log)) {
            int whole = strlen(line) == RECORD && (line[0] == 'a' || line[0] == 'b');
            for (int i = 1; whole && i < RECORD - 1; i++) whole = line[i] == line[0];
            if (whole) lines[line[0] - 'a']++;
            else torn++;
        }
        fclose(log);
        SHOW(lines[0]), SHOW(lines[1]), SHOW(torn);
    }
    int f = oracle_file("f", 10);
    struct iovec v = {"end", 3};
    CALL(pwritev2(f, &v, 1, 2, RWF_APPEND)), CALL(lseek(f, 0, SEEK_CUR)), CALL(lseek(f, 0, SEEK_END));
    lseek(f, 4, SEEK_SET);
    CALL(pwritev2(f, &v, 1, -1, RWF_APPEND)), CALL(lseek(f, 0, SEEK_CUR)), CALL(lseek(f, 0, SEEK_END));
    int p[2];
    pipe(p);
    CALL(pwritev2(p[1], &v, 1, -1, RWF_APPEND)), CALL(pwritev2(p[1], &v, 1, 0, RWF_APPEND));
    CALL(pwritev2(open("/dev/null", O_WRONLY), &v, 1, 5, RWF_APPEND));
    return 0;
}
