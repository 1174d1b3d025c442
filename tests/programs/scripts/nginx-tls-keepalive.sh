p=23464; mkdir -p h logs; seq 1 200000 > h/big; echo hi > h/index.html
openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
cat > n.conf <<X
user root; worker_processes 2; error_log logs/e; pid ngx.pid; events { worker_connections 512; }
http { access_log logs/a; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  sendfile on; tcp_nopush on; aio threads; keepalive_requests 10000; keepalive_timeout 60; ssl_session_cache shared:S:1m;
  upstream u { server unix:$PWD/u.sock; keepalive 8; }
  server { listen 127.0.0.1:$p ssl http2 backlog=512; server_name localhost; ssl_certificate c; ssl_certificate_key k; root h;
    location /up/ { proxy_pass http://u/; proxy_http_version 1.1; proxy_set_header Connection ""; } }
  server { listen unix:$PWD/u.sock; root h; } }
X
run() { nginx -p $PWD/ -c n.conf -e logs/e "$@"; }
url=https://localhost:$p; get() { curl -s --cacert c --resolve localhost:$p:127.0.0.1 "$@"; }
run && get $url/; get $url/up/big | sha1sum
get --http1.1 -w '%{num_connects}\n' -o /dev/null $url/ -w '%{num_connects}\n' -o /dev/null $url/ -w '%{num_connects} %{http_version} %{ssl_verify_result}\n' -o /dev/null $url/big
get -w '%{http_version}\n' -o /dev/null $url/big; get -r 1000-1010 $url/big | od -An -c; get -H 'Range: bytes=0-1,5-6' -o /dev/null -w '%{http_code}\n' $url/big
ps -o pid= --ppid $(cat ngx.pid) | wc -l
wrk -t2 -c50 -d1s $url/ > w; grep -c Requests/sec w; grep -cE 'Socket errors|Non-2xx' w
cut -d' ' -f9 logs/a | grep -vx 499 | sort -u; echo | openssl s_client -connect 127.0.0.1:$p -CAfile c -servername localhost -alpn h2 2>/dev/null | grep -aE "^(ALPN|Verif)" | sort -u
run -s reload; sleep 0.5; get $url/; run -s quit; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do test -e ngx.pid || break; sleep 0.2; done; test ! -e ngx.pid && echo stopped
