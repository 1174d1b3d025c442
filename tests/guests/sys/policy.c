// part: 4
// Scheduling policies and affinities that are kept.
#include "oracle.h"
#include <sched.h>

int main(void) {
    cpu_set_t set;
    struct sched_param p = {0};
    CALL(sched_setscheduler(0, SCHED_BATCH, &p));
    CALL(sched_getscheduler(0));
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    CALL(sched_setaffinity(0, sizeof set, &set));
    CALL(sched_getaffinity(0, sizeof set, &set)), SHOW(CPU_COUNT(&set));
    CALL(sched_getcpu());
    return 0;
}
