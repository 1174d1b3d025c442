//! `cargo bench -p benches --bench rings [-- --save] [-- --rounds N] [-- NAME]`: what single entries and wake-ups cost, beside the bare
//! thing and other queues.

use std::{env, fs, process::ExitCode};

use benches::{
    ipc::{probe, server},
    options::{self, Options},
    page,
    rings::{
        self, ping_pong, request,
        results::{self, Results, Sample},
    },
};

fn main() -> ExitCode {
    options::exit(match env::args().nth(1) {
        Some(command) if command == ping_pong::ECHO => ping_pong::echo(),
        Some(command) if command == server::COMMAND => request::serve(),
        _ => return options::run(41, measure),
    })
}

fn measure(options: &Options) -> rings::Result<()> {
    let mut all: Vec<Results> = rings::tasks()
        .into_iter()
        .filter(|task| options.wants(task.name))
        .map(Results::new)
        .collect();
    for round in 0..options.rounds {
        eprint!("\rround {} of {} ", round + 1, options.rounds);
        for results in &mut all {
            let mut pairs: Vec<_> =
                results.task.contestants.iter().zip(&mut results.entries).collect();
            // There and back, so that nobody is always the one after the other.
            if round % 2 == 1 {
                pairs.reverse();
            }
            for (contestant, entry) in pairs {
                let probe = probe::round_trip([0, 1]).map_err(|error| error.to_string())?;
                match (contestant.sample)() {
                    Ok(figures) => entry.samples.push(Sample { round, probe, figures }),
                    Err(error) => eprintln!("\n{}: {error}", entry.name),
                }
                eprint!(".");
            }
        }
    }
    eprintln!();
    let text = results::markdown(&all);
    print!("{text}");
    let folder = page::folder()?;
    fs::write(folder.join("rings.csv"), results::csv(&all))?;
    results::chart(&folder.join("rings.svg"), &all).map_err(|error| error.to_string())?;
    println!("wrote {}", folder.join("rings.{csv,svg}").display());
    if options.save {
        let how = format!(
            "{} rounds, all contestants in turn, there and back; medians of the samples in the machine's prevailing cache mode; a ratio \
             is the median of the ratios within each round, the middle half of which lies where the page says. Threads pinned, buffers touched \
             before, but for the cold start.",
            options.rounds
        );
        let body = format!("![times](rings.svg)\n\n{text}");
        page::save("rings", "Rings and wake-ups", &how, &body, &["rings.svg"])
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
