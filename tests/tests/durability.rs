//! Databases on a directory of the host, with faults, killed with the whole kernel at random moments: what they have acknowledged is there when they
//! start again.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tests::{host, kernel, paths, scratch::Scratch};

/// How often it is killed.
const KILLS: u64 = 5;
/// How many faults come of all that at least.
const FAULTS: usize = 1000;
/// For a start, with the repair of what the last kill left.
const PATIENCE: Duration = Duration::from_secs(120);

/// One database on the host, and the guest that drives it.
struct Database {
    scratch: Scratch,
    driver: PathBuf,
    rules: String,
    runs: u64,
}

impl Database {
    /// Rules are given with `DATA` for the place of the data.
    fn new(driver: &str, rules: &str) -> Self {
        let scratch = Scratch::empty().unwrap();
        for name in ["data", "acks"] {
            fs::create_dir(scratch.path().join(name)).unwrap();
        }
        // The driver may have to be read by nobody.
        let source = fs::read(paths::workspace().join("tests/guests/durability").join(driver));
        fs::write(scratch.path().join("driver.py"), source.unwrap()).unwrap();
        let rules = rules.replace("DATA", scratch.path().join("data").to_str().unwrap());
        Self { scratch, driver: "/driver.py".into(), rules, runs: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Starts a kernel with the driver.
    fn start(&mut self, mode: Option<&str>, faults: bool) -> Child {
        self.runs += 1;
        let mut command = Command::new(kernel::binary().unwrap());
        for name in ["data", "acks", "driver.py"] {
            command.arg("--bind").arg(format!("{}:/{name}", self.path(name).display()));
        }
        if faults {
            let seed = format!("seed={}", self.runs);
            command.args(["--fault", &self.rules, "--fault", &seed]);
            command.args(["--log", "error,hal::fault=debug"]);
        }
        command.args(["--cwd", "/", "/usr/bin/python3"]).arg(&self.driver);
        command.args(["/data", "/acks/acks"]).args(mode);
        let log = |name: &str| File::create(self.path(&format!("{name}{}", self.runs))).unwrap();
        command.env_clear().env("PATH", host::PATH).stdin(Stdio::null());
        command.stdout(log("out")).stderr(log("err")).process_group(0);
        command.spawn().unwrap()
    }

    /// Runs the driver to its end.
    #[track_caller]
    fn run(&mut self, mode: &str, faults: bool) {
        let mut child = self.start(Some(mode), faults);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{mode}: {status}: {}", self.said());
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        kill(&mut child);
        panic!("{mode} does not end: {}", self.said());
    }

    /// Lets the driver write until it has some acknowledgements more and then `pause` has passed, and kills the kernel.
    #[track_caller]
    fn run_and_kill(&mut self, pause: Duration) {
        let enough = self.acknowledged() + 100;
        let mut child = self.start(None, true);
        let end = Instant::now() + PATIENCE;
        while self.acknowledged() < enough {
            let ended = child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > end {
                kill(&mut child);
                panic!("{ended:?}, {} of {enough}: {}", self.acknowledged(), self.said());
            }
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(pause);
        let ended = child.try_wait().unwrap();
        kill(&mut child);
        assert_eq!(ended, None, "{}", self.said());
    }

    fn acknowledged(&self) -> usize {
        let acks = fs::read(self.path("acks/acks")).unwrap_or_default();
        acks.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// How many faults came in all runs.
    fn faults(&self) -> usize {
        let count = |run| lines(&self.path(&format!("err{run}"))).matches("debug: fault: ").count();
        (1..=self.runs).map(count).sum()
    }

    /// What the last run said, without its faults.
    fn said(&self) -> String {
        let files = ["out", "err"].map(|name| self.path(&format!("{name}{}", self.runs)));
        let [out, err] = files.map(|path| lines(&path));
        let err: Vec<_> = err.lines().filter(|line| !line.contains("debug: fault")).collect();
        let log = lines(&self.path("acks/log"));
        let log: Vec<_> = log.lines().rev().take(20).collect();
        format!("{out}{}\nthe server's log, backwards:\n{}", err.join("\n"), log.join("\n"))
    }

    /// The whole test.
    #[track_caller]
    fn survives(mut self, seed: u64) {
        self.run("init", false);
        let mut state = seed;
        for _ in 0..KILLS {
            // Knuth's MMIX.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            self.run_and_kill(Duration::from_micros((state >> 33) % 400_000));
        }
        self.run("check", true);
        let (faults, acknowledged) = (self.faults(), self.acknowledged());
        eprintln!("{acknowledged} writes kept, {KILLS} kills, {faults} faults");
        assert!(acknowledged >= 100 * KILLS as usize && faults >= FAULTS, "{faults} faults");
    }
}

fn lines(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn kill(child: &mut Child) {
    // It may have ended.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    child.wait().unwrap();
}

#[test]
fn redis_loses_no_acknowledged_write() {
    // What the server survives: it ends by itself when fsync(2) or a read of its log fails, or the write of a new one.
    let rules = "write:short=0.5@DATA,write:eintr=0.3@DATA,read:short=0.3@DATA,write:delay=1ms*0.05@DATA,\
                 sync:delay=2ms*0.1@DATA";
    Database::new("redis.py", rules).survives(1);
}

#[test]
fn postgres_loses_no_committed_row() {
    // It takes a short write for a full disk, and an interrupted one for a failure, but not those of its log; and a short read of that for its end.
    let rules = "write:short=0.5@DATA/cluster/pg_wal,write:eintr=0.3@DATA/cluster/pg_wal,\
                 write:delay=1ms*0.05@DATA,sync:delay=2ms*0.1@DATA";
    Database::new("postgres.py", rules).survives(2);
}
