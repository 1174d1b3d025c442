mkdir tree new && mkdir tree/bin && cp /bin/busybox tree/bin/busybox
unshare -m sh -c 'mount -t tmpfs inner new && touch new/inside && ls new && findmnt -n -o FSTYPE,SOURCE -T new'
ls new
unshare -u sh -c 'hostname inner; hostname; uname -n'
unshare -mui --root=tree --wd=/ /bin/busybox ls /
chroot tree /bin/busybox sh -c 'pwd; busybox ls /bin; cd ..; pwd'
unshare -mu sh -c 'hostname entered; mount -t tmpfs inner new; touch new/there; echo > ready; while [ ! -e done ]; do sleep 0.05; done' &
while [ ! -e ready ]; do sleep 0.05; done
nsenter -t $! -m -u sh -c 'hostname; ls '"$PWD"/new
nsenter -t $! -u hostname
nsenter --uts=/proc/$!/ns/uts hostname
[ "$(readlink /proc/$!/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ] && echo other mounts
[ "$(readlink /proc/$!/ns/ipc)" = "$(readlink /proc/self/ns/ipc)" ] && echo same objects
touch done; wait
ls new
unshare -m sh -c 'mount -t tmpfs root new && mkdir new/old new/bin new/proc && cp /bin/busybox new/bin && cd new && pivot_root . old && exec /bin/busybox sh -c "
b() { /bin/busybox \"\$@\"; }; b mount -t proc proc /proc; b umount -l /old; b rmdir /old; b ls /; b cut -d\" \" -f1,2,3 /proc/mounts; pwd"' 
ls new
