//! A kernel with a seed, started by a test: what one seed shows it shows each time, and some seed shows a race.

use libos::{boot, config::Config, process::ExitStatus};
use tests::guests::{self, Build};

/// How a run of the racing guest ends with a seed.
fn race(seed: u64, what: &str) -> ExitStatus {
    let program = guests::build("race.c", Build::C, &["-pthread"]).unwrap();
    let program = program.into_os_string().into_encoded_bytes();
    let config = Config {
        args: vec![program.clone(), what.into()],
        program,
        cwd: Some(b"/".to_vec()),
        seed: Some(seed),
        ..Config::default()
    };
    let kernel = boot::start(&config).unwrap();
    assert_eq!(kernel.cpus.count(), 1);
    let process = boot::launch(&kernel, &config).unwrap();
    let status = kernel.cpus.block_on(process.wait_ended());
    kernel.shut_down();
    status
}

#[test]
fn a_seed_finds_a_race_each_time_or_never() {
    for what in ["threads", "processes"] {
        let first: Vec<_> = (0..24).map(|seed| race(seed, what)).collect();
        assert!(first.contains(&ExitStatus::Exited(0)), "{what}: no seed without a loss");
        assert!(first.contains(&ExitStatus::Exited(1)), "{what}: no seed with one");
        let again: Vec<_> = (0..24).map(|seed| race(seed, what)).collect();
        assert_eq!(first, again, "{what}");
    }
}
