//! `cargo bench -p benches --bench processes [-- --save] [-- --rounds N] [-- NAME]`: what processes cost inside, against the same
//! natively, and against User-Mode Linux, gVisor and proot where they are installed.
//!
//! One guest program measures the small rows (`benches/guests/processes.c`); the others are commands, timed from their start to
//! their end. Everybody takes turns, for several rounds.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use benches::{
    chart,
    options::Options,
    page,
    report::{self, Row, Target, duration, median},
};
use tests::{
    guests::{self, Build},
    host, kernel, paths,
    run::{Outcome, collect},
    scratch::Scratch,
};

/// A row: its name, the ratio to reach, options of libos, and its shell command if the guest program does not measure it.
struct Spec {
    name: &'static str,
    target: f64,
    options: &'static [&'static str],
    command: Option<&'static str>,
}

const fn guest(name: &'static str, target: f64, options: &'static [&'static str]) -> Spec {
    Spec { name, target, options, command: None }
}

const fn command(name: &'static str, target: f64, command: &'static str) -> Spec {
    Spec { name, target, options: &[], command: Some(command) }
}

const ROWS: [Spec; 10] = [
    guest("fork + exit + wait", 1.5, &[]),
    guest("fork + exec + wait, static", 1.5, &[]),
    guest("fork + exec + wait, dynamic", 2.0, &[]),
    guest("pipe ping-pong, executed", 0.1, &["--cpus", "1"]),
    guest("pipe ping-pong, fork's child", 1.0, &[]),
    guest("getppid, isolated", 2.0, &["--isolation", "always"]),
    command("sh, 500 x /bin/true", 2.0, "for i in $(seq 500); do /bin/true; done"),
    command("gcc -O2, 5,000 lines", 1.25, "gcc -O2 -c -o /dev/null source.c"),
    command("tar | gzip of 200 MB", 1.1, "tar -cf - tree | gzip -1 >/dev/null"),
    command("git clone", 1.5, "rm -rf copy && git clone -q repository copy"),
];

/// Who runs a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Native,
    Inside,
    Peer(Peer),
}

/// Others that run Linux programs for a user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Proot,
    Gvisor,
    UserModeLinux,
}

impl Peer {
    const ALL: [Self; 3] = [Self::Proot, Self::Gvisor, Self::UserModeLinux];

    fn name(self) -> &'static str {
        match self {
            Self::Proot => "proot",
            Self::Gvisor => "gVisor",
            Self::UserModeLinux => "User-Mode Linux",
        }
    }

    fn program(self) -> Option<PathBuf> {
        let (program, package) = match self {
            Self::Proot => ("proot", "proot"),
            Self::Gvisor => ("runsc", "runsc"),
            Self::UserModeLinux => ("linux.uml", "user-mode-linux"),
        };
        host::locate(program, package).ok()
    }
}

fn main() -> ExitCode {
    match Options::of_command_line(5).map_err(Into::into).and_then(|options| measure(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What the rows work on.
struct Setting {
    guest: PathBuf,
    nothing: [PathBuf; 2],
    scratch: Scratch,
}

impl Setting {
    fn new() -> Result<Self, Box<dyn Error>> {
        kernel::binary()?;
        let source = paths::workspace().join("benches/guests/processes.c");
        let guest = guests::build_source(&source, Build::C, &["-O2"])?;
        let scratch = Scratch::empty()?;
        let folder = scratch.path();
        fs::write(folder.join("nothing.c"), "int main(void) { return 0; }\n")?;
        let nothing = ["static", "dynamic"].map(|how| folder.join(how));
        for (program, options) in nothing.iter().zip([&["-static"][..], &[]]) {
            let mut gcc = Command::new(host::locate("gcc", "gcc")?);
            gcc.args(["-O2", "-o"]).arg(program).args(options).arg(folder.join("nothing.c"));
            run_to_end(&mut gcc)?;
        }
        fs::write(folder.join("source.c"), source_of(5000)?)?;
        let tree = folder.join("tree");
        for part in 0..200_u32 {
            let below = tree.join(format!("{}", part / 20));
            fs::create_dir_all(&below)?;
            // Neither all alike nor random: numbers, as text.
            let mut text = String::with_capacity(1 << 20);
            let mut value = part;
            while text.len() < 1_000_000 {
                value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                writeln!(text, "{value}")?;
            }
            fs::write(below.join(format!("{part}")), text)?;
        }
        let script = "git init -q repository && cd repository && git config user.email a@b && \
            git config user.name a && for i in 1 2 3 4 5 6 7 8; do seq $((i * 2000)) >f$i; git add . && \
            git commit -qm $i; done";
        run_to_end(Command::new("/bin/sh").args(["-c", script]).current_dir(folder))?;
        Ok(Self { guest, nothing, scratch })
    }

    /// The words of a row's command.
    fn words(&self, spec: &Spec) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        match spec.command {
            Some(command) => vec!["/bin/sh".into(), "-c".into(), command.into()],
            None => {
                let [fixed, dynamic] = &self.nothing;
                vec![text(&self.guest), spec.name.into(), text(fixed), text(dynamic)]
            }
        }
    }

    /// Runs a row's command; what it said, and how long it took, ns.
    fn run(&self, spec: &Spec, side: Side) -> Result<(Outcome, f64), Box<dyn Error>> {
        let words = self.words(spec);
        let mut command = match side {
            Side::Native => Command::new(&words[0]),
            Side::Inside => {
                let mut command = Command::new(kernel::binary()?);
                command.args(spec.options).arg(&words[0]);
                command
            }
            Side::Peer(peer) => {
                let mut command = Command::new(peer.program().ok_or("not installed")?);
                match peer {
                    Peer::Proot => {}
                    Peer::Gvisor => {
                        command.args(["--rootless", "--network=none", "--platform=ptrace", "do"]);
                    }
                    Peer::UserModeLinux => return self.run_in_uml(spec),
                }
                command.arg(&words[0]);
                command
            }
        };
        command
            .args(&words[1..])
            .env_clear()
            .env("PATH", host::PATH)
            .env("LC_ALL", "C")
            .env("HOME", "/root")
            .current_dir(self.scratch.path());
        let start = Instant::now();
        let outcome = collect(command, None, Duration::from_secs(120))?;
        Ok((outcome, start.elapsed().as_nanos() as f64))
    }

    /// A machine of its own each time, of which only the command is timed, by itself.
    fn run_in_uml(&self, spec: &Spec) -> Result<(Outcome, f64), Box<dyn Error>> {
        let folder = self.scratch.path();
        let words: Vec<String> = self.words(spec).iter().map(|word| format!("'{word}'")).collect();
        let init = folder.join("init");
        // What an earlier row has left must not be taken for this one's.
        let _ = fs::remove_file(folder.join("took"));
        let script = format!(
            "#!/bin/sh\nmount -t proc proc /proc\nmount -t tmpfs tmpfs /tmp 2>/dev/null\ncd {folder}\n\
             export PATH={path} LC_ALL=C HOME=/root\n\
             read start rest </proc/uptime\n{command} >{folder}/said 2>&1\nread end rest </proc/uptime\n\
             echo $start $end >{folder}/took\nsync\n/sbin/halt -f 2>/dev/null || echo o >/proc/sysrq-trigger\n",
            folder = folder.display(),
            path = host::PATH,
            command = words.join(" "),
        );
        fs::write(&init, script)?;
        run_to_end(Command::new("/bin/chmod").arg("755").arg(&init))?;
        let mut command = Command::new(Peer::UserModeLinux.program().ok_or("not installed")?);
        command
            .args([
                "mem=1G",
                "rootfstype=hostfs",
                "rootflags=/",
                "rw",
                "con=null",
                "con0=null,fd:1",
            ])
            .arg(format!("init={}", init.display()))
            .env_clear()
            .env("PATH", host::PATH)
            // Without one it crashes.
            .env("HOME", "/root")
            .env("TMPDIR", "/dev/shm")
            .current_dir(folder);
        let mut outcome = collect(command, None, Duration::from_secs(180))?;
        outcome.stdout = fs::read(folder.join("said")).unwrap_or_default();
        let took = fs::read_to_string(folder.join("took")).unwrap_or_default();
        let mut times = took.split_whitespace().map(str::parse::<f64>);
        let (Some(Ok(start)), Some(Ok(end))) = (times.next(), times.next()) else {
            let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
            let telling = |line: &&str| line.contains("panic") || line.contains("failed");
            let why: Vec<&str> = said.lines().filter(telling).collect();
            return Err(format!("the machine did not get to the end: {}", why.join("; ")).into());
        };
        outcome.status = Some(0);
        Ok((outcome, (end - start) * 1e9))
    }

    /// The row's figure for one side, ns.
    fn figure(&self, spec: &Spec, side: Side) -> Result<f64, Box<dyn Error>> {
        let (outcome, elapsed) = self.run(spec, side)?;
        let said = String::from_utf8_lossy(&outcome.stdout);
        if outcome.status != Some(0) {
            let errors = String::from_utf8_lossy(&outcome.stderr);
            return Err(format!("status {:?}: {said}{}", outcome.status, errors.trim()).into());
        }
        if spec.command.is_some() {
            return Ok(elapsed);
        }
        let figure = said.trim().rsplit('\t').next().and_then(|figure| figure.parse().ok());
        figure.ok_or_else(|| format!("no figure in {said:?}").into())
    }
}

fn run_to_end(command: &mut Command) -> Result<(), Box<dyn Error>> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err(format!("{command:?} failed").into()),
    }
}

/// C that a compiler has to work for, of about so many lines.
fn source_of(lines: usize) -> Result<String, Box<dyn Error>> {
    let mut text = String::from("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n");
    for i in 0..lines / 8 {
        write!(
            text,
            "int f{i}(const int *a, int n) {{\n    int s = {i};\n    for (int i = 0; i < n; i++) {{\n        \
             s += a[i] * {};\n        if (s & {}) s ^= a[n - 1 - i];\n    }}\n    return s;\n}}\n",
            i % 97 + 3,
            1 << (i % 13),
        )?;
    }
    Ok(text)
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    eprintln!("preparing a tree of 200 MB, a repository and a source file ...");
    let setting = Setting::new()?;
    let specs: Vec<&Spec> = ROWS.iter().filter(|spec| options.wants(spec.name)).collect();
    let mut rows: Vec<Row> = specs
        .iter()
        .map(|spec| Row {
            name: spec.name.into(),
            target: Target::Ratio(spec.target),
            native: Vec::new(),
            inside: Vec::new(),
        })
        .collect();
    let peers: Vec<Peer> = Peer::ALL.into_iter().filter(|peer| peer.program().is_some()).collect();
    let mut others = vec![vec![Vec::new(); peers.len()]; specs.len()];
    for round in 1..=options.rounds {
        for (index, spec) in specs.iter().enumerate() {
            eprintln!("round {round} of {}, {} ...", options.rounds, spec.name);
            for side in [Side::Native, Side::Inside] {
                match setting.figure(spec, side) {
                    Ok(figure) if side == Side::Native => rows[index].native.push(figure),
                    Ok(figure) => rows[index].inside.push(figure),
                    Err(error) => eprintln!("{}: {error}", spec.name),
                }
            }
            // They are far off, so that two rounds tell enough.
            for (at, &peer) in peers.iter().enumerate().filter(|_| round <= 2) {
                match setting.figure(spec, Side::Peer(peer)) {
                    Ok(figure) => others[index][at].push(figure),
                    Err(error) => eprintln!("{}, {}: {error}", spec.name, peer.name()),
                }
            }
        }
    }
    print!("{}", report::table(&rows));
    let missed = rows.iter().filter(|row| !row.passes()).count();
    println!("{} of {} targets met, {} rounds", rows.len() - missed, rows.len(), options.rounds);
    let beside = beside(&rows, &peers, &others);
    print!("{beside}");
    let folder = page::folder()?;
    fs::write(folder.join("processes.csv"), report::csv(&rows))?;
    chart::write(&folder.join("processes.svg"), &rows)?;
    println!("wrote {}", folder.join("processes.{csv,svg}").display());
    if options.save {
        let how = format!(
            "{} rounds, native and inside in turn, medians of rounds (a small row's round: the median of its 15 batches).",
            options.rounds
        );
        let body = format!("![ratios](processes.svg)\n\n{}\n{beside}", report::markdown(&rows));
        page::save("processes", "Processes", &how, &body, &["processes.svg"])?;
    }
    Ok(())
}

/// The table of the others.
fn beside(rows: &[Row], peers: &[Peer], others: &[Vec<Vec<f64>>]) -> String {
    if peers.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
    let mut text = format!("| beside others | inside | {} |\n|---|---:|", names.join(" | "));
    text.push_str(&"---:|".repeat(peers.len()));
    text.push('\n');
    for (row, others) in rows.iter().zip(others) {
        let figures: Vec<String> = others.iter().map(|figures| duration(median(figures))).collect();
        let inside = duration(median(&row.inside));
        let _ = writeln!(text, "| {} | {inside} | {} |", row.name, figures.join(" | "));
    }
    text
}
