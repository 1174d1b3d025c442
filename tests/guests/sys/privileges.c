// capset and ioprio_set: what may be given up, taken back and kept, and by whom.
#include "oracle.h"
#include <sys/resource.h>

struct header {
    uint32_t version;
    int pid;
};
struct set {
    uint32_t effective, permitted, inheritable;
};
#define CAPGET(h, d) syscall(SYS_capget, h, d)
#define CAPSET(h, d) syscall(SYS_capset, h, d)
static struct header h = {0x20080522, 0};
static struct set d[2];

static void show(const char *what) {
    struct set now[2];
    CAPGET(&h, now);
    printf("%s: %d%d%d %d%d%d %d%d%d\n", what, now[0].effective & 1, now[0].effective >> 12 & 1, now[1].effective >> 0 & 1, now[0].permitted & 1, now[0].permitted >> 12 & 1, now[1].permitted & 1, now[0].inheritable & 1, now[0].inheritable >> 12 & 1, now[1].inheritable & 1);
}
#define LEVEL(class, level) ((class) << 13 | (level))
#define GET(which, who) syscall(SYS_ioprio_get, which, who)
#define SET(which, who, value) syscall(SYS_ioprio_set, which, who, value)

int main(void) {
    struct header other = {0x20080522, 1}, old = {0x19980330, 0}, bad = {1, 0}, none = {0x20080522, 999999};
    SECTION("capabilities");
    show("at first"), CALL(CAPGET(&h, d)), CALL(CAPSET(&h, d)), CALL(CAPSET(BADPTR, d)), CALL(CAPSET(&h, BADPTR)), CALL(CAPSET(&bad, d)), SHOW(bad.version), CALL(CAPSET(&none, d)), HOLDS(getpid() == 1 || (CAPSET(&other, d) == -1 && errno == EPERM));
    d[0].effective &= ~1, CALL(CAPSET(&h, d)), show("without CAP_CHOWN"), close(open("f", O_CREAT | O_WRONLY, 0644)), CALL(chown("f", 5, 5)), d[0].effective |= 1, CALL(CAPSET(&h, d)), CALL(chown("f", 5, 5));
    d[0].inheritable |= 1 << 12, CALL(CAPSET(&h, d)), show("inheritable"), d[0].permitted &= ~(1 << 12), CALL(CAPSET(&h, d)), d[0].effective &= ~(1 << 12), CALL(CAPSET(&h, d)), show("not permitted"), d[0].permitted |= 1 << 12, CALL(CAPSET(&h, d)), d[0].permitted &= ~(1 << 12);
    struct set one = d[0];
    CALL(CAPSET(&old, &one)), show("by halves"), d[0].effective &= ~(1 << 8), d[0].permitted &= ~(1 << 8), CALL(CAPSET(&h, d)), d[0].inheritable |= 1 << 8, CALL(CAPSET(&h, d)), d[0].inheritable = 0, CALL(CAPSET(&h, d)), show("nothing inheritable"), d[0].inheritable = 1 << 12, CALL(CAPSET(&h, d)), d[0].inheritable = 0;
    char line[200];
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, "CapInh", 6)) printf("%s", line);
    fclose(f);

    SECTION("disks");
    CALL(SET(1, 0, LEVEL(2, 7))), CALL(GET(1, 0)), CALL(SET(1, 0, LEVEL(3, 0))), CALL(GET(1, 0)), CALL(SET(1, 0, LEVEL(1, 3))), CALL(GET(1, 0)), CALL(SET(1, 0, LEVEL(0, 1))), CALL(SET(1, 0, LEVEL(4, 1))), CALL(SET(1, 0, LEVEL(2, 4))), CALL(GET(1, 0)), HOLDS(GET(1, getpid()) == GET(1, 0));
    CALL(GET(0, 0)), CALL(GET(4, 0)), CALL(GET(-1, 0)), CALL(GET(1, 999999)), CALL(SET(1, 999999, LEVEL(2, 4))), CALL(GET(1, -1)), CALL(GET(3, 99999)), CALL(SET(3, 99999, LEVEL(2, 4))), CALL(SET(9, 0, LEVEL(2, 4)));

    SECTION("somebody else");
    CALL(setresuid(1000, 1000, 0)), show("not root"), CALL(CAPGET(&h, d)), CALL(CAPSET(&h, d)), d[0].effective = 1, CALL(CAPSET(&h, d)), CALL(SET(1, 0, LEVEL(1, 3))), CALL(SET(1, 0, LEVEL(2, 0))), CALL(GET(1, 0)), CALL(SET(1, 0, LEVEL(3, 0))), CALL(GET(1, 0));
    memset(d, 0, sizeof d), CALL(CAPSET(&h, d)), CALL(setresuid(0, 0, 0)), show("root without any");
    return 0;
}
