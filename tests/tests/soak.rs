//! Servers and a forking shell at once, for long: memory is level and nobody sees an error.
//!
//! A run takes half a minute; `SOAK_SECONDS=1800 cargo test --release -p tests --test soak -- --nocapture` is the half hour that the kernel has to stand.

use std::{
    env, fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tests::{background::free_port, host, kernel, scratch::Scratch, usage};

/// What a run may end with more than it had when it was warm: a tenth, and this.
const SLACK: f64 = 32.0 * 1024.0 * 1024.0;

/// Loads that go on until `$1` seconds are over and say nothing; `$2` and `$3` are ports.
const SCRIPT: &str = r#"
sed s/PORT/$3/ template >nginx.conf
redis-server --port $2 --bind 127.0.0.1 --save '' --appendonly no >/dev/null & redis=$!
nginx -p $PWD/ -c nginx.conf -e error.log -g 'daemon off; user root; pid nginx.pid;' 2>/dev/null & nginx=$!
until redis-cli -p $2 ping 2>/dev/null | grep -q PONG; do sleep 0.1; done
until curl -s -o /dev/null http://127.0.0.1:$3/1k; do sleep 0.1; done
end=$(($(date +%s) + $1))
until_end() { while [ $(date +%s) -lt $end ]; do "$@"; done; }
ask_redis() { redis-benchmark -p $redis_port -q -n 10000 -c 20 -r 10000 -t set,get,incr,hset >/dev/null || echo redis-benchmark: $?; }
ask_nginx() { wrk -t1 -c16 -d2s http://127.0.0.1:$nginx_port/1k | grep -E 'Socket errors|Non-2xx'; }
fork() {
    for i in 1 2 3 4 5 6 7 8; do /bin/true & done; wait
    [ "$(echo abc | tr a-c b-d | cat)" = bcd ] || echo a pipeline went wrong
    (exit 3); [ $? = 3 ] || echo a status went wrong
}
redis_port=$2 nginx_port=$3
until_end ask_redis & one=$!
until_end ask_nginx & two=$!
until_end fork & three=$!
wait $one $two $three
redis-cli -p $2 shutdown; kill -INT $nginx; wait $redis $nginx
echo done
"#;

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[test]
fn memory_is_level_under_load() {
    let seconds = env::var("SOAK_SECONDS").map_or(30, |text| text.parse::<u64>().unwrap());
    for (program, package) in [("redis-server", "redis-server"), ("nginx", "nginx"), ("wrk", "wrk")]
    {
        host::locate(program, package).unwrap();
    }
    let scratch = Scratch::empty().unwrap();
    let folder = scratch.path();
    fs::create_dir(folder.join("html")).unwrap();
    fs::write(folder.join("html/1k"), "x".repeat(1024)).unwrap();
    let conf = "worker_processes 2; events { worker_connections 256; }\n\
        http { access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;\n\
        scgi_temp_path t5; server { listen 127.0.0.1:PORT reuseport; root html; } }\n";
    fs::write(folder.join("template"), conf).unwrap();
    let mut command = Command::new(kernel::binary().unwrap());
    command
        .args(["/bin/sh", "-c", SCRIPT, "soak"])
        .args([seconds.to_string(), free_port().to_string(), free_port().to_string()])
        .env_clear()
        .env("PATH", host::PATH)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let (pid, start) = (child.id(), Instant::now());
    let mut samples = Vec::new();
    let mut told = start;
    while start.elapsed() < Duration::from_secs(seconds) {
        samples.push(usage::memory(pid));
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            let megabytes = samples[samples.len() - 1] / 1048576.0;
            eprintln!("{} s: {megabytes:.0} MiB", start.elapsed().as_secs());
        }
        thread::sleep(Duration::from_millis(500));
    }
    let output = child.wait_with_output().unwrap();
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((&*said, output.status.code()), ("done\n", Some(0)), "{errors}");
    // A long run is warm after a minute, a short one after a half.
    let (all, part) = (samples.len(), samples.len().div_ceil(10));
    let warm = if seconds >= 600 { all * 60 / seconds as usize } else { all / 2 };
    let before = median(&samples[warm..(warm + part).min(all)]);
    let after = median(&samples[all - part..]);
    eprintln!("{:.1} MiB when warm, {:.1} at the end", before / 1048576.0, after / 1048576.0);
    assert!(after <= before * 1.1 + SLACK, "{before} bytes have become {after}");
}
