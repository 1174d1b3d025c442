unshare -pf --mount-proc sh -c 'echo $$; ps -e -o pid=,ppid=,comm='
unshare -pf sh -c 'echo $$; sh -c "echo \$\$ \$PPID; exit 4"; echo $?; exec sh -c "echo \$\$"'
unshare -pf --kill-child sh -c 'sleep 1000 & echo $!; exit 3'; echo $?
pgrep -xf 'sleep 1000'; echo $?
unshare -pf --mount-proc unshare -pf --mount-proc sh -c 'echo $$; grep -E "^(Pid|NSpid)" /proc/self/status | tr "[0-9]" N; ls /proc > listed; grep -cx "[0-9]*" listed'
unshare -pf --mount-proc bash -c 'set -m; for i in 1 2 3; do (sleep 0.$i; exit $i) & done; wait -n; wait %3; echo $?; wait; ps -e -o pid= | wc -l; trap "echo stopping; exit 0" TERM; kill 1; sleep 5'
unshare -pf --mount-proc /usr/bin/python3 -u -c '
import multiprocessing, os, signal, subprocess
with multiprocessing.Pool(3) as pool: print(sorted(set(pool.map(abs, [-3, 2, -1]))))
print(os.getpid(), subprocess.run(["sh", "-c", "echo $PPID"], capture_output=True).stdout)
child = os.fork()
if child == 0: os.setsid(); print(os.getpid() == os.getpgrp() == os.getsid(0), os.getppid(), flush=True); os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sorted(int(name) for name in os.listdir("/proc") if name.isdigit()))
os.kill(1, signal.SIGKILL); print("still there")'
mkfifo started; unshare -pf --mount-proc sh -c 'sleep 1001 & echo > started; wait' & echo < started
init=$(pgrep -P $!)
nsenter -t $init -p -m ps -e -o comm=,pid= | grep -v ps; nsenter -t $init -p -m pgrep -xf 'sleep 1001'; nsenter -t $init -p sh -c 'echo $PPID'
kill -TERM $init; sleep 0.2; kill -0 $init && echo ignores it; kill -KILL $init; wait $!; echo $?
pgrep -xf 'sleep 1001'; echo $?
bwrap --unshare-pid --ro-bind / / --dev /dev --proc /proc sh -c 'ps -e -o pid=,comm=; tty; exit 5' < /dev/null; echo $?
bwrap --unshare-pid --dev-bind / / --dev /dev --proc /proc script -qec 'tty; echo $PPID' /dev/null < /dev/null | tr -d '\r'
