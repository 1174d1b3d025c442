nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
chmod 755 .
nobody unshare -r id
nobody unshare -r cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups
nobody unshare -U id -u
nobody unshare -U --map-user=7 --map-group=8 sh -c 'id -u; id -g; grep CapEff /proc/self/status'
nobody unshare -c --keep-caps sh -c 'id -u; grep CapEff /proc/self/status'
su nobody -s /bin/sh -c 'unshare -r id -un'
nobody unshare -r sh -c 'stat -c "%u %g" /etc/passwd; chown 5 /etc/passwd 2>&1; mkdir /root/x 2>&1; hostname x 2>/dev/null || echo refused'
nobody unshare -ru sh -c 'hostname inner; hostname'
echo "-- mounts"
mkdir m made && chmod 777 made
nobody unshare -rm sh -c 'mount -t tmpfs t m && touch m/inside && ls -l m | cut -d" " -f1-4; findmnt -n -o FSTYPE m; umount m; ls m; umount /dev/shm 2>&1 | grep -o "not mounted\|must be superuser"'
nobody unshare -rm sh -c 'mount --bind made m && echo text > m/file && cat made/file'
stat -c '%u %g' made/file
nobody unshare -rm sh -c 'mount -t proc p m 2>&1 | grep -o "permission denied"; mount -t ext4 /dev/null m 2>/dev/null || echo no'
ls m
echo "-- as root"
unshare -U sh -c 'echo > ready; while [ ! -e mapped ]; do sleep 0.05; done; id -u; id -g; touch made/by-root; chown 3:4 made/by-root; setpriv --reuid 5 --regid 6 --groups 7 id' &
while [ ! -e ready ]; do sleep 0.05; done
chmod 777 .
echo '0 0 1
1 100000 999' > /proc/$!/uid_map
cat /proc/$!/uid_map
echo '0 0 1
1 200000 999' > /proc/$!/gid_map
touch mapped; wait
stat -c '%u %g' made/by-root
setpriv --reuid 65534 --regid 65534 --clear-groups unshare -r sleep 100 & pid=$!
while ! grep -q 65534 /proc/$pid/uid_map; do sleep 0.05; done
nsenter -t $pid -U id -u
nsenter -t $pid -U --preserve-credentials id -u
nobody nsenter -t $pid -U --preserve-credentials sh -c 'id -u; readlink /proc/self/ns/user' > ns
[ "$(tail -1 ns)" = "$(readlink /proc/$pid/ns/user)" ] && head -1 ns
setpriv --reuid 7 --regid 7 --clear-groups nsenter -t $pid -U true 2>/dev/null || echo refused
lsns -t user -n -o NPROCS,USER -p $pid
kill $pid; wait $pid 2>/dev/null
echo "-- bwrap"
nobody bwrap --ro-bind / / --tmpfs /tmp sh -c 'id -u; touch /tmp/x && ls /tmp; touch /x 2>&1 | grep -o "Read-only.*"; cat /proc/self/uid_map; grep CapEff /proc/self/status'
nobody bwrap --ro-bind / / --uid 5 --gid 6 sh -c 'id -u; id -g; stat -c "%u" /etc/passwd'
nobody bwrap --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --bind made /data --unshare-uts --hostname boxed --chdir /data sh -c 'ls /; hostname; ls; echo more > written; exit 7'; echo $?
stat -c '%u %g' made/written
echo "-- in each other"
nobody unshare -r unshare -U --map-user=9 --map-group=9 cat /proc/self/uid_map
