printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint main(int c, char **v) { char *p = malloc(8); strcpy(p, "fine"); puts(p); fflush(stdout); p[7 + c] = 1; return 0; }\n' > over.c
gcc -g -fsanitize=address over.c -o over && ./over 2> report
echo $?
grep -o 'heap-buffer-overflow' report | head -1
grep -o 'WRITE of size 1' report
grep -o 'over.c:4' report | head -1
printf '#include <stdlib.h>\nvoid *kept;\nint main(void) { kept = malloc(3); kept = 0; return 0; }\n' > leak.c
gcc -g -fsanitize=address leak.c -o leak && ./leak 2> report
echo $?
grep -o 'SUMMARY: .*' report
printf '#include <pthread.h>\nint n;\nvoid *add(void *unused) { n++; return 0; }\nint main(void) { pthread_t t; pthread_create(&t, 0, add, 0); n++; pthread_join(t, 0); return 0; }\n' > race.c
gcc -g -fsanitize=thread race.c -o race && setarch -R ./race 2> report
echo $?
grep -o 'data race' report | head -1
printf '#include <limits.h>\nint main(int c, char **v) { int n = INT_MAX; n += c; return n == 0; }\n' > undefined.c
gcc -g -fsanitize=undefined undefined.c -o undefined && ./undefined 2>&1 | grep -o 'signed integer overflow'
gcc -g -fsanitize=address -fsanitize=undefined over.c -o both && ASAN_OPTIONS=halt_on_error=0 ./both 2>&1 | grep -c ERROR
printf '#include <stdio.h>\n#include <sys/wait.h>\n#include <unistd.h>\nint main(void) { char *p = new char[4]; if (!fork()) { delete[] p; return p[0]; } int s; wait(&s); printf("%%d\\n", WEXITSTATUS(s)); delete[] p; }\n' > child.cc
g++ -g -fsanitize=address child.cc -o child && ./child 2>&1 | grep -o 'heap-use-after-free\|^[0-9]*$' | uniq
