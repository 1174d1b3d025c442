//! `--seed`: two runs of the same seed make the same calls in the same order and say the same; another seed has another order, and races show with
//! some seeds, each time.

use std::{collections::BTreeSet, ffi::OsString, fs};

use tests::{
    guests::{self, Build},
    run::{Guest, Outcome},
    scratch::Scratch,
};

/// A run with a seed, and its trace.
#[track_caller]
fn run(argv: &[OsString], seed: u32, options: &[&str]) -> (Outcome, String) {
    let scratch = Scratch::empty().unwrap();
    let log = scratch.path().join("log");
    let guest = Guest { argv: argv.to_vec(), ..Guest::default() };
    let guest = guest.options(options).options(&["--cwd", "/", "--seed", &seed.to_string()]);
    let mut strace = OsString::from("--strace=");
    strace.push(&log);
    let outcome = guest.inside_with(scratch.path(), &[strace]).unwrap();
    assert!(!outcome.kernel_broke(), "{outcome:?}");
    (outcome, fs::read_to_string(log).unwrap())
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// The program does the same each time.
#[track_caller]
fn repeats(argv: &[OsString], options: &[&str]) {
    for seed in [1, 2] {
        let (outcome, trace) = run(argv, seed, options);
        assert!(trace.lines().count() > 20, "{trace}");
        for _ in 0..2 {
            let (again, trace_again) = run(argv, seed, options);
            let lines = trace.lines().zip(trace_again.lines());
            if let Some((at, (one, other))) =
                (1..).zip(lines).find(|(_, (one, other))| one != other)
            {
                panic!("{argv:?}, seed {seed}, line {at}:\n{one}\n{other}");
            }
            assert_eq!(trace.len(), trace_again.len(), "{argv:?}, seed {seed}");
            assert_eq!(outcome, again, "{argv:?}, seed {seed}");
        }
    }
}

fn racing(what: &str) -> Vec<OsString> {
    let program = guests::build("race.c", Build::C, &["-pthread"]).unwrap();
    vec![program.into_os_string(), what.into()]
}

#[test]
fn runs_of_a_seed_are_alike() {
    for isolation in ["auto", "always"] {
        let options = ["--isolation", isolation];
        for what in ["threads", "processes", "file"] {
            repeats(&racing(what), &options);
        }
        repeats(
            &words(&[
                "/bin/sh",
                "-c",
                "seq 2000 | sort -R | (sleep 1; tail -2) & date; wait; date",
            ]),
            &options,
        );
        repeats(
            &words(&[
                "/bin/bash",
                "-c",
                "for i in 1 2 3; do (echo $i $RANDOM; sleep .$i; date +%N) & done; wait; ls -l /tmp; ps ax",
            ]),
            &options,
        );
        let script = "
import os, queue, random, threading, time
found = queue.Queue()
def work(number):
    for turn in range(20):
        found.put((number, turn, time.time(), random.random()))
        if turn % 5 == 0: time.sleep(random.random())
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print([found.get() for _ in range(80)], os.urandom(8), set('seeds'), os.times())
";
        repeats(&words(&["/usr/bin/python3", "-c", script]), &options);
    }
}

#[test]
fn seeds_differ() {
    let orders: BTreeSet<_> = (0..10).map(|seed| run(&racing("threads"), seed, &[]).1).collect();
    assert!(orders.len() > 5, "{} of 10 orders", orders.len());
    let random = words(&["/bin/sh", "-c", "od -An -N8 -tx8 /dev/urandom"]);
    let numbers: BTreeSet<_> = (0..10).map(|seed| run(&random, seed, &[]).0.stdout).collect();
    assert_eq!(numbers.len(), 10);
}

#[test]
fn a_seed_finds_a_race_each_time() {
    for what in ["threads", "processes", "file"] {
        let argv = racing(what);
        let finds = |seed: &u32| run(&argv, *seed, &[]).0.status == Some(1);
        let seed = (0..40).find(finds).expect("no seed that finds it");
        let other = (0..40).find(|seed| !finds(seed)).expect("no seed that does not");
        assert!((0..10).all(|_| finds(&seed)), "{what}, seed {seed}");
        assert!((0..10).all(|_| !finds(&other)), "{what}, seed {other}");
    }
}

#[test]
fn who_makes_no_calls_is_taken_off_in_the_end() {
    let script = "perl -e 'alarm 1; for (;;) {}'; echo $?; (while :; do :; done) & sleep 2; kill $!; echo end";
    let (outcome, _) = run(&words(&["/bin/sh", "-c", script]), 1, &[]);
    assert_eq!(outcome.stdout, b"142\nend\n");
}

#[test]
fn several_cpus_are_refused() {
    let scratch = Scratch::empty().unwrap();
    let guest = Guest::new("/bin/true", &[]).options(&["--seed", "1", "--cpus", "2"]);
    let outcome = guest.inside(scratch.path()).unwrap();
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status, Some(2), "{stderr}");
    assert!(stderr.contains("--seed 1 --cpus 2") && stderr.lines().count() == 1, "{stderr}");
    let guest = Guest::new("/bin/true", &[]).options(&["--seed", "1", "--cpus", "1"]);
    assert_eq!(guest.inside(scratch.path()).unwrap().status, Some(0));
}
