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
    time::Duration,
};

use benches::{
    chart,
    options::{self, Options},
    page,
    report::{self, Row, Target},
    sides::{self, Peer, Side, run_to_end},
};
use tests::{
    guests::{self, Build},
    host, kernel, paths,
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

fn main() -> ExitCode {
    options::run(5, measure)
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

    /// The row's figure for one side, ns.
    fn figure(&self, spec: &Spec, side: Side) -> Result<f64, Box<dyn Error>> {
        let (words, limit) = (self.words(spec), Duration::from_secs(120));
        let (outcome, elapsed) =
            sides::run(side, spec.options, &words, self.scratch.path(), limit)?;
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
    let peers = Peer::installed();
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
    let beside = report::beside(&rows, &peers, &others);
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
