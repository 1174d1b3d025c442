//! Python's own test suite: each case that passes natively passes inside, in either placement, or `suites/python.tsv` says what it needs.
//!
//! A trial is a module, a case what python says of it (`suites/python_cases.py`). Some modules are tested always, `PYTHON_SUITE=all` adds those that
//! take minutes.

use std::{
    collections::BTreeMap, env, ffi::OsString, fmt::Write, fs, path::Path, process::ExitCode,
    thread, time::Duration,
};

use libtest_mimic::{Failed, Trial};
use tests::{
    Result, compare, host, paths,
    run::{Guest, Outcome},
    scratch::Scratch,
    trials,
};

/// Modules of a few seconds, and one that mostly waits.
const QUICK: [&str; 20] = [
    "test_socket",
    "test_asynchat",
    "test_asyncore",
    "test_epoll",
    "test_fcntl",
    "test_httplib",
    "test_httpservers",
    "test_mmap",
    "test_os",
    "test_pathlib",
    "test_posix",
    "test_pty",
    "test_select",
    "test_shutil",
    "test_smtplib",
    "test_socketserver",
    "test_telnetlib",
    "test_tempfile",
    "test_urllib2_localnet",
    "test_wsgiref",
];

/// Modules of minutes.
const LONG: [&str; 13] = [
    "test_asyncio",
    "test_concurrent_futures",
    "test_docxmlrpc",
    "test_ftplib",
    "test_imaplib",
    "test_multiprocessing_fork",
    "test_poplib",
    "test_selectors",
    "test_signal",
    "test_ssl",
    "test_subprocess",
    "test_threading",
    "test_xmlrpc",
];

/// Modules that wait most of the time: natively and inside go on side by side.
const WAITING: [&str; 1] = ["test_socket"];

/// The suite, which Debian has in a package of its own.
const SUITE: &str = "/usr/lib/python3.11/test/test_os.py";

fn main() -> ExitCode {
    trials::run(all)
}

fn all() -> Result<Vec<Trial>> {
    let long = env::var("PYTHON_SUITE").is_ok_and(|which| which == "all");
    let mut modules = QUICK.to_vec();
    modules.extend(LONG.into_iter().filter(|_| long));
    let trial =
        |module: &'static str| Trial::test(module, move || check(module).map_err(Failed::from));
    Ok(modules.into_iter().map(trial).collect())
}

/// How a case ended: the last word but that a failure of any part of it is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Started,
    Passed,
    Skipped,
    Failed,
}

type Cases = BTreeMap<String, Ending>;

fn cases(outcome: &Outcome) -> Cases {
    let mut cases = Cases::new();
    for line in String::from_utf8_lossy(&outcome.stdout).lines() {
        let mut fields = line.split('\t');
        let (Some("case"), Some(ending), Some(name)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let ending = match ending {
            "starts" => Ending::Started,
            "passes" => Ending::Passed,
            "is skipped" => Ending::Skipped,
            _ => Ending::Failed,
        };
        let case = cases.entry(name.to_string()).or_insert(ending);
        if *case != Ending::Failed {
            *case = ending;
        }
    }
    cases
}

/// The cases of `module` that need what is not here: the beginnings of their names.
fn needs(module: &str) -> Result<Vec<String>> {
    let table = fs::read_to_string(paths::sources().join("suites/python.tsv"));
    let table = table.map_err(|error| error.to_string())?;
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let names = lines.filter_map(|line| Some(line.split_once('\t')?.0.to_string()));
    Ok(names.filter(|name| name.starts_with(&format!("test.{module}."))).collect())
}

fn check(module: &str) -> Result<()> {
    if !Path::new(SUITE).exists() {
        return Err("no test suite: apt-get install libpython3.11-testsuite".into());
    }
    let guest = Guest {
        argv: vec![
            host::locate("/usr/bin/python3.11", "python3")?.into_os_string(),
            OsString::from("-B"),
            paths::sources().join("suites/python_cases.py").into_os_string(),
            OsString::from(module),
        ],
        env: vec![("LC_ALL".into(), "C.UTF-8".into())],
        timeout: Some(Duration::from_secs(900)),
        ..Guest::default()
    };
    let native = || guest.native(Scratch::empty()?.path());
    let inside = |isolation: &str| {
        let guest = guest.clone().options(&["--isolation", isolation]);
        guest.inside(Scratch::empty()?.path())
    };
    let (native, auto, always) = if WAITING.contains(&module) {
        thread::scope(|scope| {
            let runs = [scope.spawn(native), scope.spawn(|| inside("auto"))];
            let always = inside("always");
            let [native, auto] = runs.map(|run| run.join().unwrap_or(Err("a run broke".into())));
            (native, auto, always)
        })
    } else {
        (native(), inside("auto"), inside("always"))
    };
    let native = cases(&native?);
    let passed: Vec<_> = native.iter().filter(|(_, ending)| **ending == Ending::Passed).collect();
    if passed.is_empty() {
        return Err("nothing passes natively".into());
    }
    let needs = needs(module)?;
    let mut used = vec![false; needs.len()];
    let mut wrong = String::new();
    for (isolation, mut run) in [("auto", auto?), ("always", always?)] {
        let mut found = cases(&run);
        let lacks = |found: &Cases| -> Vec<&String> {
            let names = passed.iter().map(|(name, _)| *name);
            names.filter(|name| found.get(*name) != Some(&Ending::Passed)).collect()
        };
        let is_needed = |name: &&String| needs.iter().any(|need| name.starts_with(need.as_str()));
        // A case that measures time may be late beside other tests: it passes if it does so in one of two runs.
        if !lacks(&found).iter().all(is_needed) && run.status.is_some() && !run.kernel_broke() {
            run = inside(isolation)?;
            let passed = cases(&run).into_iter().filter(|(_, ending)| *ending == Ending::Passed);
            found.extend(passed);
        }
        let mut missed = String::new();
        for name in lacks(&found) {
            match needs.iter().position(|need| name.starts_with(need.as_str())) {
                Some(index) => used[index] = true,
                None => {
                    let _ = writeln!(missed, "{name}: {:?}", found.get(name));
                }
            }
        }
        if run.status.is_none() || run.kernel_broke() {
            missed += "the run did not come to its end\n";
        }
        if !missed.is_empty() {
            let tail = compare::tail(&run.stderr, 60);
            let _ = writeln!(wrong, "--isolation {isolation}:\n{missed}{tail}");
        }
    }
    for (need, _) in needs.iter().zip(used).filter(|(_, used)| !used) {
        let _ = writeln!(wrong, "all of {need} passes: take its line out of suites/python.tsv");
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}
