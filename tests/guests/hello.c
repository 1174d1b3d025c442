/* Arguments, environment, auxiliary vector, constructors, stdio, exit handlers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static void leave(void) { printf("leaving\n"); }
__attribute__((constructor)) static void early(void) { setvbuf(stdout, NULL, _IOFBF, 1 << 12); }
static __thread int counter = 41;

int main(int argc, char **argv) {
    atexit(leave);
    for (int i = 1; i < argc; i++) printf("argv[%d]=%s\n", i, argv[i]);
    printf("GREETING=%s\n", getenv("GREETING") ? getenv("GREETING") : "(none)");
    printf("page %lu clktck %lu secure %lu phdr %d random %d execfn %d entry %d\n", getauxval(AT_PAGESZ),
           getauxval(AT_CLKTCK), getauxval(AT_SECURE), getauxval(AT_PHDR) != 0, getauxval(AT_RANDOM) != 0,
           strcmp((char *)getauxval(AT_EXECFN), argv[0]), getauxval(AT_ENTRY) != 0);
    printf("tls %d\n", ++counter);
    char *block = malloc(10 << 20);
    memset(block, 'x', 10 << 20);
    printf("heap %c %zu\n", block[12345], strlen(strncpy(malloc(100), argv[1] ? argv[1] : "", 50)));
    fprintf(stderr, "to stderr\n");
    return 7;
}
