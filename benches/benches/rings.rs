//! `cargo bench -p benches --bench rings [-- --save] [-- --rounds N] [-- NAME]`: what single entries and wake-ups cost, beside the bare
//! thing and other queues.

use std::{env, fs, process::ExitCode};

use benches::{
    ipc::probe,
    page,
    rings::{
        self, ping_pong,
        results::{self, Results},
    },
};

struct Options {
    save: bool,
    rounds: usize,
    filter: Option<String>,
}

fn main() -> ExitCode {
    let run = match env::args().nth(1) {
        Some(command) if command == ping_pong::ECHO => ping_pong::echo(),
        _ => options().and_then(|options| measure(&options)),
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> rings::Result<Options> {
    let mut options = Options { save: false, rounds: 20, filter: None };
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--save" => options.save = true,
            "--rounds" => {
                options.rounds = words.next().ok_or("--rounds needs a number")?.parse()?
            }
            "--bench" => {} // cargo's own
            name => options.filter = Some(name.into()),
        }
    }
    Ok(options)
}

fn measure(options: &Options) -> rings::Result<()> {
    let wanted = |name: &str| options.filter.as_deref().is_none_or(|filter| name.contains(filter));
    let mut all: Vec<Results> =
        rings::tasks().into_iter().filter(|task| wanted(task.name)).map(Results::new).collect();
    for round in 1..=options.rounds {
        eprint!("\rround {round} of {} ", options.rounds);
        for results in &mut all {
            for (contestant, entry) in results.task.contestants.iter().zip(&mut results.entries) {
                let probe = probe::round_trip([0, 1]).map_err(|error| error.to_string())?;
                match (contestant.sample)() {
                    Ok(figures) => entry.samples.push((probe, figures)),
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
            "{} rounds, all contestants in turn, medians of the samples in the machine's prevailing cache mode; threads \
             pinned, buffers touched before.",
            options.rounds
        );
        let body = format!("![times](rings.svg)\n\n{text}");
        page::save("rings", "Rings and wake-ups", &how, &body, &["rings.svg"])
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
