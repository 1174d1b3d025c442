//! The `libos` command: a kernel with one first program, and its exit status as ours.

use std::io::Write;

use clap::Parser;
use libos::boot::{self, BootError};
use libos::cli::Cli;
use libos::control::{self, options::Subcommand};
use libos::zircon;

/// The exit status after a panic of the kernel, as of every Rust program.
const PANICKED: i32 = 101;

fn main() {
    let words: Vec<_> = std::env::args_os().collect();
    if let Some(command) = Subcommand::of(&words) {
        std::process::exit(run_command(command.unwrap_or_else(|error| error.exit())).into());
    }
    let cli = Cli::parse_from(words);
    start_logging(cli.log_filter());
    end_on_panic();
    let code = run(cli).unwrap_or_else(|error| {
        // Standard error may be closed; the exit status says it too.
        let _ = writeln!(std::io::stderr(), "libos: {error}");
        error.exit_code()
    });
    if let Some(faults) = hal::fault::report() {
        let _ = writeln!(std::io::stderr(), "libos: {faults}");
    }
    // At once, without tearing the kernel down: the host takes everything back faster than we could.
    std::process::exit(code.into());
}

/// Does what is asked of kernels that are running; the exit status.
fn run_command(command: Subcommand) -> u8 {
    start_logging(None);
    let done = match command {
        Subcommand::Exec(options) => control::exec(options),
        Subcommand::Ps(options) => control::ps(&options),
    };
    done.unwrap_or_else(|failure| {
        // Standard error may be closed; the exit status says it too.
        let _ = writeln!(std::io::stderr(), "libos: {failure}");
        failure.status
    })
}

/// Does what the command line asks for; the exit status.
fn run(cli: Cli) -> Result<u8, BootError> {
    if let Some(folder) = cli.zircon_sdk() {
        let option = || format!("--zircon-sdk {}", folder.display());
        return match zircon::sdk::write(folder) {
            Ok(()) => Ok(0),
            Err(errno) => Err(BootError::Option(option(), errno)),
        };
    }
    let is_zircon = cli.is_zircon();
    let config = cli.into_config(std::env::vars_os());
    if is_zircon { zircon::run(&config) } else { Ok(boot::run(&config)?.shell_code()) }
}

/// A panic on any thread is a bug of the kernel, and ends it: a task that is gone would leave guests waiting forever.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        libos::trace::finish_all();
        std::process::exit(PANICKED);
    }));
}

/// Kernel messages go to standard error; `--log` decides which, else `RUST_LOG`, else errors only.
fn start_logging(filter: Option<&str>) {
    let mut logger = match filter {
        Some(filter) => {
            let mut logger = env_logger::Builder::new();
            logger.parse_filters(filter);
            logger
        }
        None => {
            env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error"))
        }
    };
    logger
        .format(|out, record| {
            let level = record.level().as_str().to_ascii_lowercase();
            writeln!(out, "libos: {level}: {}", record.args())
        })
        .init();
}
