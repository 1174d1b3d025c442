// Many TCP connections on which nothing happens: listens at a free port, says `ready`, executes itself as the client of COUNT connections
// when a line comes, waits for all of them with one epoll, says `connected` and stays until its input ends.
#include <arpa/inet.h>
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in to = {.sin_family = AF_INET};

static void *wait_for_nothing(void *arg) {
    struct epoll_event event;
    while (epoll_wait(*(int *)arg, &event, 1, -1) >= 0) errx(1, "something happened");
    return 0;
}

static int stream(void) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (s < 0) err(1, "socket");
    return s;
}

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 10000;
    struct rlimit limit = {count + 100, count + 100};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) err(1, "setrlimit");
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (argc > 2) {
        // The client, for as long as the server lives.
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        to.sin_port = htons(atoi(argv[2]));
        for (int i = 0; i < count; i++)
            if (connect(stream(), (void *)&to, sizeof to) < 0) err(1, "connect %d", i);
        for (;;) pause();
    }
    socklen_t size = sizeof to;
    int listener = stream(), epoll = epoll_create1(0);
    if (bind(listener, (void *)&to, sizeof to) < 0 || listen(listener, 4096) < 0) err(1, "listen");
    getsockname(listener, (void *)&to, &size);
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF) return 1;
    char port[16];
    snprintf(port, sizeof port, "%d", ntohs(to.sin_port));
    if (vfork() == 0) {
        execl("/proc/self/exe", argv[0], argv[1], port, NULL);
        _exit(1);
    }
    for (int i = 0; i < count; i++) {
        int s = accept(listener, 0, 0);
        struct epoll_event event = {.events = EPOLLIN};
        if (s < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, s, &event) < 0) err(1, "accept %d", i);
    }
    pthread_t thread;
    pthread_create(&thread, 0, wait_for_nothing, &epoll);
    puts("connected");
    fflush(stdout);
    while (getchar() != EOF) continue;
    return 0;
}
