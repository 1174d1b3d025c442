// One TCP connection over the loopback interface that carries as much as it can: `serve PORT` reads to the end of one
// connection, `send PORT MIB` sends so much and prints MiB a second. The file `up.PORT` tells that the server listens.
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char block[256 << 10];

int main(int argc, char **argv) {
    if (argc < 3) errx(2, "serve PORT | send PORT MIB");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (s < 0) err(1, "socket");
    if (strcmp(argv[1], "serve") == 0) {
        setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(s, (void *)&to, sizeof to) < 0 || listen(s, 1) < 0) err(1, "listen");
        char up[32];
        snprintf(up, sizeof up, "up.%s", argv[2]);
        close(open(up, O_CREAT | O_WRONLY, 0644));
        int c = accept(s, 0, 0);
        if (c < 0) err(1, "accept");
        ssize_t n;
        while ((n = read(c, block, sizeof block)) > 0) continue;
        if (n < 0) err(1, "read");
        // That all has come is what the sender waits for.
        if (write(c, "k", 1) != 1) err(1, "write");
        return 0;
    }
    long mib = argc > 3 ? atol(argv[3]) : 1024;
    if (connect(s, (void *)&to, sizeof to) < 0) err(1, "connect");
    memset(block, 'x', sizeof block);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (long left = mib << 20; left > 0;) {
        ssize_t n = write(s, block, left < (long)sizeof block ? (size_t)left : sizeof block);
        if (n <= 0) err(1, "write");
        left -= n;
    }
    shutdown(s, SHUT_WR);
    if (read(s, block, 1) != 1) err(1, "read");
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.1f\n", mib / ((b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9));
    return 0;
}
