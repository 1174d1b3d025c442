//! The command line that benches with rows share: `[--save] [--rounds N] [NAME]`.

use std::{env, fmt::Display, process::ExitCode};

/// What a run was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The page under `docs/benchmarks` is to be updated.
    pub save: bool,
    /// How many rounds to measure.
    pub rounds: usize,
    /// Only rows whose names contain this.
    filter: Option<String>,
}

impl Options {
    /// What the command line says; `rounds` unless it says otherwise.
    ///
    /// # Errors
    /// `--rounds` without a number.
    pub fn of_command_line(rounds: usize) -> Result<Self, String> {
        let mut options = Self { save: false, rounds, filter: None };
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--save" => options.save = true,
                "--rounds" => {
                    let number = words.next().and_then(|word| word.parse().ok());
                    options.rounds = number.ok_or("--rounds needs a number")?;
                }
                "--bench" => {} // cargo's own
                name => options.filter = Some(name.into()),
            }
        }
        Ok(options)
    }

    /// Whether the row `name` is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.filter.as_deref().is_none_or(|filter| name.contains(filter))
    }
}

/// What such a bench's `main` does: `measure` what the command line asks for, `rounds` unless it says otherwise, and say why if it cannot.
pub fn run<E: Display>(rounds: usize, measure: impl FnOnce(&Options) -> Result<(), E>) -> ExitCode {
    exit(match Options::of_command_line(rounds) {
        Ok(options) => measure(&options).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    })
}

/// Says why it failed, if it did.
pub fn exit<E: Display>(run: Result<(), E>) -> ExitCode {
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
