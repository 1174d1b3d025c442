cat > a.php <<'X'
<?php
file_put_contents("a.txt", "hi");
echo array_sum(range(1, 100)), " ", strlen(random_bytes(16)), " ", file_get_contents("a.txt"), "\n";
$cat = proc_open(["cat"], [["pipe", "r"], ["pipe", "w"]], $pipes);
fwrite($pipes[0], "to cat"); fclose($pipes[0]);
echo stream_get_contents($pipes[1]), " ", proc_close($cat), "\n";
$pid = pcntl_fork();
if ($pid == 0) exit(7);
pcntl_waitpid($pid, $status); echo pcntl_wexitstatus($status), "\n";
$listen = stream_socket_server("tcp://127.0.0.1:0"); $to = stream_socket_get_name($listen, false);
$client = stream_socket_client("tcp://$to"); fwrite($client, "tcp\n"); echo fgets(stream_socket_accept($listen));
echo preg_replace("/a+/", "b", "caat"), " ", json_encode(["a" => [1, 2]]), "\n";
X
php a.php
echo '<?php header("X-A: b"); echo $_SERVER["REQUEST_METHOD"], " ", $_GET["q"] ?? "none", "\n";' > i.php
php -S 127.0.0.1:18923 > /dev/null 2>&1 &
for i in $(seq 50); do sleep 0.1; curl -sf 'http://127.0.0.1:18923/i.php?q=7' && break; done
curl -s -d x=1 http://127.0.0.1:18923/i.php
curl -sI http://127.0.0.1:18923/i.php | grep -o 'X-A: b'
kill $!
