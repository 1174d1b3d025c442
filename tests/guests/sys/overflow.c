// Overflows its stack, without a handler for it.
#include "oracle.h"
#include <sys/resource.h>

static int deep(int n) {
    volatile char block[4096];
    block[0] = n;
    return n < 0 ? 0 : deep(n + 1) + block[0];
}
int main(void) {
    struct rlimit l;
    getrlimit(RLIMIT_STACK, &l);
    SHOW(l.rlim_cur >> 20);
    return deep(0);
}
