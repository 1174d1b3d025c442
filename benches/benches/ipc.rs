//! `cargo bench -p benches --bench ipc [-- OPTIONS] [-- NAME…]`: request and response between two processes, by every means.
//!
//! `-- --help` lists the options. Without any it measures everything, in about ten minutes.

use std::{error::Error, fmt::Write, fs, path::Path, process::ExitCode};

use benches::{
    ipc::{
        charts, contestants, csv, flamegraph,
        options::{Options, Role},
        results::Results,
        run, sample, server,
        setup::{SIZES, Setup},
        tables,
    },
    options::exit,
    page,
};
use clap::Parser;
use tests::paths;

fn main() -> ExitCode {
    let options = Options::parse();
    exit(match &options.role {
        Some(Role::Sample { contestant, setup, how }) => contestants::named(contestant)
            .and_then(|contestant| sample::main(contestant, setup, how)),
        Some(Role::Serve { contestant, setup }) => {
            contestants::named(contestant).and_then(|contestant| server::main(contestant, setup))
        }
        None if options.flamegraph => draw_flamegraphs(&options),
        None => compare(&options),
    })
}

fn compare(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut results = Results::default();
    for file in &options.load {
        csv::read(&fs::read_to_string(file)?, &mut results)?;
    }
    if !options.show {
        run::all(options, &mut results)?;
    }
    let body = tables::page(&results);
    println!("{body}");
    let folder = page::folder()?;
    fs::write(folder.join("ipc.csv"), csv::write(&results))?;
    fs::write(folder.join("ipc.md"), &body)?;
    let charts = draw_charts(&folder, &results)?;
    println!("wrote {}", folder.join("ipc*").display());
    if options.save {
        let how = "all contestants take turns in each round, in processes of their own; medians over rounds in the same cache mode. \
                   Client on CPU 0, server on CPU 1, or both on CPU 0. Warm-up until no page is faulted; `cold` is the first round trip after \
                   connecting, `faults` are page faults while timing, `raw` is the round trip of a cache line between the two CPUs at the time, \
                   `CPU, both` the CPU time of both sides an operation. Bodies are written and checked by the same functions everywhere, and tasks \
                   run by the same executor, in the main task of a runtime where the means needs one. A time with * was taken in another cache mode than its column.";
        let mut pictures = String::new();
        for chart in &charts {
            let _ = writeln!(pictures, "![time an operation]({chart})\n");
        }
        for name in flamegraphs()? {
            let _ = writeln!(pictures, "Where the time goes: [{name}]({name})\n");
        }
        let charts: Vec<&str> = charts.iter().map(String::as_str).collect();
        page::save("ipc", "Request and response", how, &(pictures + &body), &charts)?;
    }
    Ok(())
}

/// Four charts a group of which all sizes were measured, one of another. Returns their names.
fn draw_charts(folder: &Path, results: &Results) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for group in results.groups() {
        let (one_cpu, concurrency) = group;
        let stem = format!("ipc-{concurrency}{}", if one_cpu { "-one-cpu" } else { "" });
        if results.has_all_sizes(group) {
            for (slice, range) in tables::SLICES {
                let name = format!("{stem}-{slice}.svg");
                charts::write(&folder.join(&name), results, group, &SIZES[range])?;
                names.push(name);
            }
        } else {
            let name = format!("{stem}.svg");
            charts::write(&folder.join(&name), results, group, &results.sizes(group))?;
            names.push(name);
        }
    }
    Ok(names)
}

/// The names of the flamegraphs beside the page.
fn flamegraphs() -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for file in fs::read_dir(paths::workspace().join("docs/benchmarks"))? {
        let name = file?.file_name().to_string_lossy().into_owned();
        if name.starts_with("flame-") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn draw_flamegraphs(options: &Options) -> Result<(), Box<dyn Error>> {
    let target = page::folder()?;
    let folder = tempfile::tempdir()?;
    for contestant in contestants::ALL {
        if !options.wants(contestant.name()) {
            continue;
        }
        for concurrency in options.concurrency() {
            for size in if options.sizes.is_empty() { vec![4] } else { options.sizes.clone() } {
                let setup = Setup {
                    size,
                    concurrency,
                    one_cpu: options.one_cpu,
                    folder: folder.path().into(),
                };
                let title = format!("{}: {size} bytes x {concurrency}", contestant.name());
                let name = format!("flame {} {size} x {concurrency}", contestant.name());
                let name: String =
                    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
                let path = target.join(name).with_extension("svg");
                flamegraph::write(&path, contestant, &setup, &title)?;
                println!("wrote {}", path.display());
                if options.save {
                    let docs = paths::workspace().join("docs/benchmarks");
                    fs::copy(&path, docs.join(path.file_name().unwrap_or_default()))?;
                }
            }
        }
    }
    Ok(())
}
