cat > s.py <<'X'
import os, signal, socket
t = socket.create_server(('127.0.0.1', 0), backlog=77); port = t.getsockname()[1]
six = socket.create_server(('::1', port), family=socket.AF_INET6, backlog=33)
c = socket.create_connection(('127.0.0.1', port)); a, _ = t.accept(); c.send(b'x' * 1000)
waits = socket.create_connection(('127.0.0.1', port)); a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
shut = socket.create_connection(('127.0.0.1', port)); b, _ = t.accept(); d, _ = t.accept(); d.shutdown(socket.SHUT_WR)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('127.0.0.1', port)); v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); v.connect(('127.0.0.1', port))
l = socket.socket(socket.AF_UNIX); l.bind('l.sock'); l.listen(99); lc = socket.socket(socket.AF_UNIX); lc.connect('l.sock'); m = socket.socket(socket.AF_UNIX); m.connect('l.sock'); la, _ = l.accept(); la.send(b'y' * 10)
g = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); g.bind('\0libos-test-%d' % os.getppid()); q = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
open('port', 'w').write(str(port)); os.rename('port', 'ready'); signal.pause()
X
/usr/bin/python3 s.py & s=$!
while [ ! -e ready ]; do sleep 0.05; done; p=$(cat ready)
# Ports and numbers that are others each time get a name; so does what only says how wide a column is.
tidy() { sed -E "s/\\b$p\\b/PORT/g; s/pid=$s\\b/pid=PID/; s/fd=[0-9]+/fd=N/; s/^ *$s\$/PID/; s/ $s\\/(python3?)/ PID\\/\\1/; s/^$s:/PID:/; s/:[1-9][0-9]{4}\\b/:CLIENT/g; s/libos-test-[0-9]+/NAME/; s/ +/ /g; s/ +$//" | sort; }
echo "== ss"; ss -Htlnp "sport = :$p" | tidy; ss -Htan "( sport = :$p or dport = :$p )" | tidy; ss -Huan "( sport = :$p or dport = :$p )" | tidy
ss -Htan "sport gt :$((p - 1)) and sport lt :$((p + 1)) and src 127.0.0.0/8" | wc -l; ss -Htan "src [::1] and sport = :$p" | tidy; ss -Htan state fin-wait-2 "( sport = :$p )" | tidy; ss -Htlne6 "sport = :$p" | sed -E 's/(ino|sk|cgroup):[^ ]*//g' | tidy
ss -Htino "sport = :$p and dport != :$p" | grep -c cwnd:
echo "== unix"; ss -Hxlp src "*l.sock" | tidy | sed -E "s/[0-9]{4,}/INO/g"; ss -Hxa | grep -E "l.sock|libos-test-$$ " | awk '{ print $1, $2, $3, $4, $5 }' | tidy; ss -Hxap | grep "pid=$s," | wc -l; ss -Hxap | grep "pid=$s," | awk '$8 != 0 { peers++ } END { print peers }'
echo "== netstat"; netstat -tlnp 2>/dev/null | grep ":$p " | tidy; netstat -tan | grep ":$p " | tidy; netstat -uan | grep ":$p " | tidy; netstat -xap 2>/dev/null | grep " $s/" | awk '{ $7 = ""; $2 = ""; print }' | sed -E 's/[0-9]+/N/g; s/ +/ /g' | sort | uniq -c | tidy
echo "== lsof"; lsof -nP -a -p $s -i | awk '{ print $1, $3, $5, $8, $9, $10 }' | tidy; lsof -a -p $s -U | awk '{ print $1, $3, $5, $9 }' | tidy; lsof -nPti TCP:$p -sTCP:LISTEN | tidy; lsof -a -p $s -d cwd,rtd,txt | awk '{ print $4, $5 }'; fuser $p/tcp 2>/dev/null | tidy; lsof -t l.sock 2>/dev/null | tidy
echo "== ip"; ip -br addr show dev lo; ip link show lo | head -1; ip rule; ip route get 127.0.0.1 | tr -d '\n'; echo; ip -6 addr show dev lo | sed -n 2p; ifconfig lo | sed -n 1,2p; netstat -i | grep -c '^lo '
echo "== procps"; pgrep -f 's\.py' -P $$ | tidy; pidof -s -x nobody.at.all; ps -o ppid=,stat=,comm=,args= -p $s | sed -E "s/^ *$$/PPID/; s/ S[A-Za-z]* +/ S /"; ps -o pid= --ppid $$ | grep -c "^ *$s$"; ps -L -o lwp= -p $s | tidy; pwdx $s | sed "s,$PWD,PWD," | tidy; pmap -x $s | grep -cE ' python3.* r-x-|r-x-- python3'
free -b | awk 'NR == 2 { print NF, ($2 > $3), ($7 > 0) }'; uptime -p | cut -c1-2; uptime | grep -c 'load average: [0-9.]*, [0-9.]*, [0-9.]*$'; vmstat | awk 'END { print NF }'; vmstat -s | grep -c 'K total memory'; w | wc -l; top -bn1 -p $s | awk 'END { print NF, $2, $12 }'; top -bn1 | sed -n 2p | grep -cE '^Tasks: +[1-9][0-9]* total'
pkill -TERM -f 's\.py' -P $$; wait $s; echo $?; ss -Htlan "sport = :$p" | grep -v TIME-WAIT | wc -l
