// Copies that the kernel makes from end to end by itself: signals are handled after them and cut none of them short.
#include "oracle.h"
#include <sys/time.h>

#define SIZE (64L << 20)

static void handler(int s) {
    (void)s;
}
/* From here on a signal each millisecond. */
static void timer(long ms) {
    setitimer(ITIMER_REAL, &(struct itimerval){{0, ms * 1000}, {0, ms * 1000}}, NULL);
}
#define UNDER_SIGNALS(e) timer(1), CALL(e), timer(0)

int main(void) {
    signal(SIGALRM, handler);
    char *from = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *to = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(from, 7, SIZE);

    SECTION("another's memory");
    struct iovec source = {from, SIZE}, target = {to, SIZE};
    UNDER_SIGNALS(process_vm_readv(getpid(), &target, 1, &source, 1, 0));
    HOLDS(memcmp(from, to, SIZE) == 0);
    memset(to, 0, SIZE);
    UNDER_SIGNALS(process_vm_writev(getpid(), &source, 1, &target, 1, 0));
    HOLDS(memcmp(from, to, SIZE) == 0);

    SECTION("a file");
    int file = open("file", O_RDWR | O_CREAT, 0600);
    UNDER_SIGNALS(write(file, from, SIZE));
    UNDER_SIGNALS(pread(file, to, SIZE, 0));
    return 0;
}
