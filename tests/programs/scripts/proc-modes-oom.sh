for f in auxv cmdline comm environ fd fdinfo io limits maps mounts ns oom_adj oom_score oom_score_adj personality setgroups smaps stat status task uid_map; do
    stat -c '%n %A' /proc/self/$f
done
stat -c %h /proc/self/task
cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups /proc/self/personality
setarch -R cat /proc/self/personality
echo 300 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj /proc/self/oom_adj; sh -c 'cat /proc/$$/oom_score_adj'
cat /proc/self/oom_score
echo 15 > /proc/self/oom_adj; cat /proc/self/oom_score_adj
for wrong in 1001 -1001 x ''; do (echo "$wrong" > /proc/self/oom_score_adj) 2> /dev/null || echo refused "$wrong"; done
echo 0 > /proc/self/oom_score_adj
setpriv --reuid 65534 --clear-groups sh -c 'echo 600 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj; (echo -1 > /proc/self/oom_score_adj) 2> /dev/null || echo refused
stat -c "%U %G %n" /proc/self/ /proc/self/fd /proc/self/environ /proc/self/task /proc/1; cat /proc/self/environ | tr "\0" "\n" | grep LC_ALL; cat /proc/1/environ 2> /dev/null || echo not ours; ls /proc/self/fd > /dev/null && echo listed'
sed -n '1s/.*\[/[/p' /proc/self/smaps_rollup
python3 - <<'X'
import mmap
m = mmap.mmap(-1, 1 << 30)
m[:1 << 20] = b"x" * (1 << 20)
def rss():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
before = rss()
m[1 << 20:33 << 20] = b"y" * (32 << 20)
print(32 << 10 <= rss() - before < 40 << 10, before < 100 << 10)
size, sizes = 0, []
for line in open("/proc/self/smaps"):
    if line.startswith("Size:"): size = int(line.split()[1])
    if line.startswith("Rss:") and size == 1 << 20: sizes.append(int(line.split()[1]) == 33 << 10)
print(sizes)
X
