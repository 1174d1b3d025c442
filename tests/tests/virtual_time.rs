//! `--virtual-time`: what all guests wait for is there at once, and all clocks agree about it.

use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};

use tests::{run::Guest, scratch::Scratch};

/// Runs a program in virtual time, in either placement, with one CPU and with two; what it prints. It must not take long.
#[track_caller]
fn printed(argv: &[&str]) -> Vec<String> {
    let (program, args) = argv.split_first().unwrap();
    let ways = [("auto", "1"), ("auto", "2"), ("always", "1"), ("always", "2")];
    ways.map(|(isolation, cpus)| {
        let scratch = Scratch::empty().unwrap();
        let options = ["--virtual-time", "--isolation", isolation, "--cpus", cpus];
        let begin = Instant::now();
        let outcome = Guest::new(*program, args).options(&options).inside(scratch.path()).unwrap();
        let stderr = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert_eq!(outcome.status, Some(0), "{options:?} {argv:?}: {stderr}");
        assert!(begin.elapsed() < Duration::from_secs(40), "{options:?} {argv:?} took its time");
        String::from_utf8(outcome.stdout).unwrap()
    })
    .into()
}

#[track_caller]
fn shell(script: &str) -> Vec<String> {
    printed(&["/bin/bash", "-c", script])
}

#[track_caller]
fn python(script: &str) {
    for output in printed(&["/usr/bin/python3", "-c", script]) {
        assert_eq!(output, "ok\n");
    }
}

/// The numbers in each line.
fn numbers(output: &str) -> Vec<f64> {
    output.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

#[test]
fn an_hour_is_over_at_once_and_all_clocks_show_it() {
    let script = "
        cd /tmp; touch before
        date +%s.%N; cut -d' ' -f1 /proc/uptime; stat -c %.9Y before
        sleep 3600
        touch after
        date +%s.%N; cut -d' ' -f1 /proc/uptime; stat -c %.9Y after";
    for output in shell(script) {
        let seen = numbers(&output);
        for clock in 0..3 {
            let passed = seen[clock + 3] - seen[clock];
            assert!((3600.0..3630.0).contains(&passed), "clock {clock}: {passed}");
        }
        // The file was made before the next line asked for the time.
        assert!(seen[2] <= seen[0] && seen[0] - seen[2] < 30.0, "{output}");
    }
}

#[test]
fn sleepers_wake_in_their_order() {
    let script = "
        (sleep 7200; echo two) & (sleep 3600; echo one) & (sleep 10800; echo three) & wait";
    for output in shell(script) {
        assert_eq!(output, "one\ntwo\nthree\n");
    }
}

#[test]
fn a_pipeline_waits_for_its_sleeper() {
    for output in shell("(sleep 100; echo late) | cat; echo end; timeout 50 sleep 500; echo $?") {
        assert_eq!(output, "late\nend\n124\n");
    }
}

#[test]
fn who_works_is_not_skipped() {
    // The sleeper's three seconds are those of the one who works.
    let script = "
        begin=$SECONDS; (sleep 2; echo slept) &
        while [ $((SECONDS - begin)) -lt 1 ]; do :; done
        echo worked; wait";
    for output in shell(script) {
        assert_eq!(output, "worked\nslept\n");
    }
}

#[test]
fn every_kind_of_time_out_comes() {
    python(
        "
import os, select, signal, socket, threading, time
H = 3600
clocks = [time.time, time.monotonic, lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
          lambda: time.clock_gettime(time.CLOCK_MONOTONIC_RAW), lambda: time.clock_gettime(6)]
def an_hour(what, wait):
    before = [clock() for clock in clocks]
    wait()
    passed = [clock() - then for clock, then in zip(clocks, before)]
    assert all(H - 0.01 <= p < H + 20 for p in passed), (what, passed)
    assert max(passed) - min(passed) < 1, (what, passed)
r, w = os.pipe()
an_hour('sleep', lambda: time.sleep(H))
an_hour('select', lambda: select.select([r], [], [], H))
poll = select.poll(); poll.register(r)
poll.modify(r, select.POLLIN)
an_hour('poll', lambda: poll.poll(H * 1000))
epoll = select.epoll(); epoll.register(r, select.EPOLLIN)
an_hour('epoll', lambda: epoll.poll(H))
an_hour('futex', lambda: threading.Event().wait(H))
def timed_out(call):
    try: call()
    except TimeoutError: pass
    else: raise SystemExit('no time-out')
listener = socket.socket(); listener.bind(('127.0.0.1', 0)); listener.listen(); listener.settimeout(H)
an_hour('accept', lambda: timed_out(listener.accept))
rung = []
signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
signal.alarm(H)
an_hour('alarm', signal.pause)
signal.setitimer(signal.ITIMER_REAL, H)
an_hour('itimer', signal.pause)
an_hour('sigtimedwait', lambda: signal.sigtimedwait([signal.SIGUSR1], H))
assert len(rung) == 2
print('ok')
",
    );
}

#[test]
fn absolute_deadlines_of_a_timerfd_come() {
    // Python 3.11 has no timerfd.
    python(
        "
import ctypes, os, struct, time
libc = ctypes.CDLL(None)
for clock in (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME):
    fd = libc.timerfd_create(clock, 0)
    end = int(time.clock_gettime(clock)) + 3600
    assert libc.timerfd_settime(fd, 1, struct.pack('qqqq', 0, 0, end, 0), None) == 0
    assert os.read(fd, 8) == struct.pack('Q', 1)
    assert end <= time.clock_gettime(clock) < end + 20
    begin = time.clock_gettime(clock)
    assert libc.timerfd_settime(fd, 0, struct.pack('qqqq', 60, 0, 60, 0), None) == 0
    assert [os.read(fd, 8) for _ in range(5)] == [struct.pack('Q', 1)] * 5
    assert 300 <= time.clock_gettime(clock) - begin < 320
print('ok')
",
    );
}

#[test]
fn threads_that_wait_for_each_other_meet() {
    python(
        "
import threading, time
order, ready = [], threading.Condition()
def sleeper(hours):
    time.sleep(hours * 3600)
    with ready:
        order.append(hours)
        ready.notify_all()
threads = [threading.Thread(target=sleeper, args=(hours,)) for hours in (5, 1, 4, 2, 3)]
begin = time.monotonic()
for thread in threads: thread.start()
with ready:
    assert ready.wait_for(lambda: len(order) == 5, timeout=6 * 3600)
assert order == [1, 2, 3, 4, 5], order
assert 5 * 3600 <= time.monotonic() - begin < 5 * 3600 + 30
print('ok')
",
    );
}

#[test]
fn files_of_the_host_get_the_guests_time() {
    let scratch = Scratch::empty().unwrap();
    let bind = format!("{}:/data", scratch.path().display());
    let script = "
        sleep 86400; cd /data; echo x >file; mkdir dir; ln -s x link; date +%s
        stat -c %Y file dir link .; sleep 86400; echo y >>file; date +%s; stat -c %Y file";
    let guest =
        Guest::new("/bin/bash", &["-c", script]).options(&["--virtual-time", "--bind", &bind]);
    let outcome = guest.inside(scratch.path()).unwrap();
    let output = String::from_utf8(outcome.stdout).unwrap();
    let seen = numbers(&output);
    assert!(seen[1..5].iter().all(|time| (time - seen[0]).abs() < 20.0), "{output}");
    assert!((seen[6] - seen[5]).abs() < 20.0 && seen[5] - seen[0] >= 86400.0, "{output}");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((86400.0 * 2.0 - 60.0..86400.0 * 2.0 + 60.0).contains(&(seen[5] - now)), "{output}");
}

#[test]
fn input_that_is_there_comes_before_any_time_out() {
    let scratch = Scratch::empty().unwrap();
    fs::write(scratch.path().join("input"), "here\n").unwrap();
    let mut guest =
        Guest::new("/bin/bash", &["-c", "cat input | { read -t 3600 line; echo \"$line\"; }"]);
    guest = guest.options(&["--virtual-time"]);
    for _ in 0..10 {
        assert_eq!(guest.inside(scratch.path()).unwrap().stdout, b"here\n");
    }
}
