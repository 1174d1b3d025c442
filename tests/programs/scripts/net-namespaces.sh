unshare -n sh -c 'ip -br link; ip addr; ip route show table all; ls /proc/self/net/tcp; ping -c1 -W1 127.0.0.1 2>&1; ping -c1 ::1 2>&1'
echo == up
unshare -n sh -c 'ip link set lo up; ip addr; ip route show table all; ip -br link; ping -qc1 127.0.0.1 | grep loss | cut -d, -f1-3; ping -qc1 ::1 | grep loss | cut -d, -f1-3
ip link set lo down; ip addr; ip route show table all; ip link set lo up mtu 65536; ip -br addr; ip addr del 127.0.0.1/8 dev lo; ip -br addr; ip addr add 127.0.0.1/8 dev lo; ip -br addr; ip link set nowhere up' 2>&1
unshare -n sh -c 'ifconfig; ifconfig lo up; ifconfig lo | head -2; ifconfig lo down; ifconfig -a | head -2; ifconfig lo 127.0.0.1; ip -br addr'
unshare -n setpriv --reuid 1000 --clear-groups --inh-caps=-all sh -c 'ip link set lo up; ifconfig lo up' 2>&1
echo == sockets
cat >s.py <<'P'
import socket, sys, os
path = '\0net-namespaces-%s' % os.environ['NAME']
if sys.argv[1] == 'serve':
    l, u = socket.create_server(('127.0.0.1', 0)), socket.socket(socket.AF_UNIX)
    u.bind(path), u.listen()
    open('port.new', 'w').write(str(l.getsockname()[1]))
    os.rename('port.new', 'port')
    for _ in range(int(sys.argv[2])):
        for s in l, u:
            c = s.accept()[0]
            c.sendall(b'served\n'), c.close()
else:
    for family, to in (socket.AF_INET, ('127.0.0.1', int(open('port').read()))), (socket.AF_UNIX, path):
        try:
            with socket.socket(family) as s: s.connect(to), print(s.makefile().read(), end='')
        except OSError as error: print(error.strerror)
P
export NAME=$$
unshare -n sh -c 'ip link set lo up; exec python3 s.py serve 2' &
while [ ! -e port ]; do sleep 0.05; done
python3 s.py ask
unshare -n python3 s.py ask
nsenter -t $! -n python3 s.py ask
touch held
mount --bind /proc/$!/ns/net held
nsenter --net=held sh -c 'ss -Htln | wc -l; ss -Hxl | wc -l'
nsenter --net=held python3 s.py ask
wait
nsenter --net=held sh -c 'ss -Htln | wc -l; ip -br addr'
[ "$(stat -Lc %i held)" != "$(stat -Lc %i /proc/self/ns/net)" ] && echo another
findmnt -no FSTYPE,SOURCE held | sed 's/[0-9]\+/N/'
umount held && ls -l held | cut -c1-10
echo == names
mkdir -p /run/netns && touch /run/netns/one$$ && unshare -n mount --bind /proc/self/ns/net /run/netns/one$$
ip netns list | grep -c "one$$"
ip netns exec one$$ sh -c 'ls /sys/class/net; cat /sys/class/net/lo/operstate; ip link set lo up; cat /sys/class/net/lo/operstate'
ip -n one$$ -br addr
ip netns identify $$
ip netns delete one$$ && ls /run/netns | grep -c "one$$"; rmdir /run/netns 2>&-
echo == bwrap
bwrap --unshare-net --dev-bind / / sh -c 'ip -br addr; python3 s.py ask; [ "$(readlink /proc/self/ns/net)" != '"$(readlink /proc/self/ns/net)"' ] && echo another'
unshare -n sh -c 'timeout 5 ip -o monitor link address >news & until grep -q 00000111 /proc/net/netlink; do sleep 0.05; done; ip link set lo up; ip link set lo down; while [ $(wc -l <news) -lt 5 ]; do sleep 0.05; done; kill $!'
cut -c1-48 news
