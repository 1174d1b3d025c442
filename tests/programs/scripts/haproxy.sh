cat > h.cfg <<X
global
  stats socket $PWD/admin level admin
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend f
  bind 127.0.0.1:18930
  default_backend b
backend b
  balance roundrobin
  option httpchk GET /who
  server one 127.0.0.1:18931 check inter 100
  server two 127.0.0.1:18932 check inter 100
X
for n in 1 2; do
    mkdir $n && echo "server $n" > $n/who
    (cd $n && exec python3 -m http.server 1893$n --bind 127.0.0.1 > /dev/null 2>&1) & pids="$pids $!"
done
for n in 1 2; do until curl -s http://127.0.0.1:1893$n/who > /dev/null; do sleep 0.1; done; done
haproxy -f h.cfg -D -p "$PWD/pid"
until [ "$(curl -s http://127.0.0.1:18930/who)" ]; do sleep 0.1; done
for i in 1 2 3 4; do curl -s http://127.0.0.1:18930/who; done | sort | uniq -c
echo 'disable server b/one' | socat - "$PWD/admin" | tr -d '\n'
for i in 1 2 3 4; do curl -s http://127.0.0.1:18930/who; done | sort | uniq -c
curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:18930/none
kill $(cat pid) $pids
