// Access control lists, acl(5), in the attributes in which libacl keeps them; and the modes of what has no name.
#include "oracle.h"
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <grp.h>

#define A "system.posix_acl_access"
#define D "system.posix_acl_default"
enum { UO = 1, U = 2, GO = 4, G = 8, M = 16, O = 32 };

struct list {
    uint32_t version;
    struct entry {
        uint16_t tag, bits;
        uint32_t id;
    } entries[8];
};
#define LIST(...) ((struct list){2, {__VA_ARGS__}})
#define N (-1U)

static int count(struct list *l) {
    int n = 0;
    while (n < 8 && l->entries[n].tag) n++;
    return n;
}
static int give(const char *path, const char *name, struct list l) {
    return setxattr(path, name, &l, 4 + 8 * count(&l), 0);
}
static void show(const char *path) {
    struct stat st;
    struct list l;
    if (lstat(path, &st)) { printf("%s: %s\n", path, oracle_errname(errno)); return; }
    printf("%s %o", path, st.st_mode);
    for (int which = 0; which < 2; which++) {
        memset(&l, 0, sizeof l);
        long n = getxattr(path, which ? D : A, &l, sizeof l);
        if (n < 0) { printf(" %s", oracle_errname(errno)); continue; }
        printf(" [%u", l.version);
        for (int i = 0; i < (n - 4) / 8; i++) printf(" %x:%o:%d", l.entries[i].tag, l.entries[i].bits, (int)l.entries[i].id);
        printf("]");
    }
    printf("\n");
}
/* What user and group may do with the file. */
static void as(int user, int group, const char *path) {
    fflush(stdout);
    if (!fork()) {
        if (setgroups(0, NULL) || setresgid(group, group, group) || setresuid(user, user, user)) _exit(9);
        printf("%d:%d %s", user, group, path);
        for (int i = 0; i < 3; i++) {
            int fd = open(path, (int[]){O_RDONLY, O_WRONLY, O_RDWR}[i]);
            printf(" %s", fd < 0 ? oracle_errname(errno) : "ok");
            close(fd);
        }
        for (int i = 1; i <= 4; i *= 2) printf(" %d", access(path, i));
        errno = 0, setxattr(path, A, "\2\0\0", 4, 0), printf(" set: %s\n", oracle_errname(errno));
        exit(0);
    }
    wait(NULL);
}

int main(void) {
    struct list named = LIST({UO, 7, N}, {U, 6, 7}, {U, 0, 9}, {GO, 4, N}, {G, 7, 8}, {M, 6, N}, {O, 1, N});
    struct list plain = LIST({UO, 6, N}, {GO, 4, N}, {O, 4, N});
    close(open("f", O_CREAT | O_RDWR, 0644)), mkdir("d", 0755), symlink("f", "l"), chmod(".", 0755);

    SECTION("a list and its mode");
    show("f");
    CALL(give("f", A, named)), show("f");
    CALL(chmod("f", 02651)), show("f");
    CALL(give("f", A, plain)), show("f");
    CALL(give("f", A, named)), CALL(removexattr("f", A)), show("f");
    CALL(removexattr("f", A)), CALL(removexattr("f", D)), CALL(removexattr("d", D));
    CALL(setxattr("f", A, "\2\0\0", 4, XATTR_REPLACE)), show("f");
    CALL(give("f", A, named)), CALL(setxattr("f", A, "\2\0\0", 4, 0)), show("f");
    CALL(give("f", A, named));
    char names[200];
    long n = CALL(listxattr("f", names, sizeof names));
    HOLDS(n > 0 && memmem(names, n, A, sizeof A));

    SECTION("refused");
    CALL(give("f", D, named)), CALL(setxattr("f", D, "\2\0\0", 4, 0)), CALL(lsetxattr("l", A, &plain, 28, 0)), CALL(lgetxattr("l", A, NULL, 0));
    CALL(setxattr("f", A, "\1\0\0", 4, 0)), CALL(setxattr("f", A, "\2\0\0", 3, 0)), CALL(setxattr("f", A, &named, 13, 0)), CALL(setxattr("f", A, "", 0, 0));
    CALL(give("f", A, LIST({UO, 6, N}, {U, 6, 7}, {GO, 4, N}, {O, 4, N})));
    CALL(give("f", A, LIST({UO, 6, N}, {O, 4, N}, {GO, 4, N})));
    CALL(give("f", A, LIST({UO, 6, N}, {UO, 6, N}, {GO, 4, N}, {O, 4, N})));
    CALL(give("f", A, LIST({UO, 6, N}, {GO, 4, N}, {O, 8, N})));
    CALL(give("f", A, LIST({UO, 6, N}, {GO, 4, N}, {64, 4, N})));
    CALL(give("f", A, LIST({UO, 6, N}, {GO, 4, N})));
    CALL(setxattr("/proc/self/status", A, &plain, 28, 0)), CALL(getxattr("/proc/self/status", A, NULL, 0));
    show("f");

    SECTION("who may");
    for (int mask = 0; mask < 8; mask += 3) {
        named.entries[5].bits = mask, give("f", A, named), show("f");
        as(7, 1, "f"), as(7, 8, "f"), as(9, 8, "f"), as(10, 8, "f"), as(10, 0, "f"), as(10, 10, "f");
    }
    chmod("f", 0604), show("f"), as(7, 1, "f"), as(10, 8, "f"), as(10, 10, "f");
    chown("f", 7, 1), show("f"), as(7, 1, "f"), as(10, 1, "f");
    CALL(give("d", A, LIST({UO, 7, N}, {U, 1, 7}, {GO, 0, N}, {M, 1, N}, {O, 0, N})));
    close(open("d/f", O_CREAT | O_RDWR, 0666)), as(7, 7, "d/f"), as(8, 8, "d/f"), as(7, 7, "d");

    SECTION("what new files get");
    CALL(give("d", D, LIST({UO, 7, N}, {U, 7, 7}, {GO, 5, N}, {M, 7, N}, {O, 2, N}))), show("d");
    umask(077);
    close(open("d/g", O_CREAT | O_RDWR, 0664)), show("d/g");
    close(open("d/h", O_CREAT | O_RDWR, 0600)), show("d/h");
    mkdir("d/e", 0775), show("d/e");
    mkdir("d/e/e", 0700), show("d/e/e");
    mknod("d/p", S_IFIFO | 0666, 0), show("d/p");
    symlink("f", "d/l"), show("d/l");
    CALL(give("d", D, plain)), show("d");
    close(open("d/i", O_CREAT | O_RDWR, 0777)), show("d/i"), mkdir("d/k", 0777), show("d/k");
    CALL(rename("d/g", "g")), show("g"), CALL(link("g", "d/m")), show("d/m");
    CALL(removexattr("d", D)), close(open("d/n", O_CREAT | O_RDWR, 0777)), show("d/n");

    SECTION("what has no name");
    int fds[6];
    struct stat st;
    CALL(pipe(fds)), CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 2)), CALL(fds[4] = socket(AF_INET, SOCK_DGRAM, 0)), CALL(fds[5] = socket(AF_INET, SOCK_STREAM, 0));
    for (int i = 0; i < 6; i++) {
        fstat(fds[i], &st), printf("%d: %o %d:%d\n", i, st.st_mode, st.st_uid, st.st_gid);
        if (i != 1) CALL(fchmod(fds[i], 0200 + i)), CALL(fchown(fds[i], 5, 6));
        struct timespec times[2] = {{7, 8}, {9, 10}};
        CALL(futimens(fds[i], times)), fstat(fds[i], &st);
        printf("%d: %o %d:%d %ld %ld\n", i, st.st_mode, st.st_uid, st.st_gid, (long)st.st_atime, (long)st.st_mtime);
    }
    return 0;
}
