// status: 255
// A fault that nobody handles ends the process, and says so.

#include "check.h"

int main(void) {
    say("about to fault");
    *(volatile int*)BAD = 1;
    return 0;
}
