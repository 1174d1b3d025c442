//! Running one Zircon program: `libos --zircon`.

use std::sync::Arc;

use hal::irq::HostSignals;
use kernel_objects::{KernelObject, Process, Signals, task::retcode};

use super::{Machine, loader};
use crate::{
    boot::{self, BootError},
    config::Config,
    errno::Errno,
    loader::LoadError,
    signal::Signal,
};

/// The signals of the host that end the program: Zircon has none to pass on.
const DEADLY: [i32; 4] =
    [Signal::SIGHUP.raw(), Signal::SIGINT.raw(), Signal::SIGQUIT.raw(), Signal::SIGTERM.raw()];

/// The exit status of a program whose return code is no exit status.
const NO_STATUS: u8 = 255;

/// Makes a kernel, runs the program that `config` names in it and returns its exit status: its return code if that is from 0 to 255.
pub fn run(config: &Config) -> Result<u8, BootError> {
    let kernel = boot::start(config)?;
    let program = |error| BootError::Program(config.program.clone(), error);
    let machine = Machine::new(kernel.clone());
    let machine = machine.map_err(|_| program(LoadError::System(Errno::ENOMEM)))?;
    let fs = boot::first_context(&kernel, config)?;
    let process = loader::launch(&machine, &fs, config).map_err(program)?;
    let ended = until_ended(&machine, &process);
    match HostSignals::catch(&DEADLY) {
        Ok(signals) => kernel.cpus.block_on_with_signals(ended, &signals, |_| process.kill()),
        Err(error) => {
            log::error!("signals of the host do not reach the program: {error}");
            kernel.cpus.block_on(ended);
        }
    }
    // A machine that was switched off has done what it was told.
    let status = if machine.is_off() { 0 } else { exit_status(process.info().return_code) };
    kernel.shut_down();
    // The host takes everything back at once; doing it piece by piece would only take longer.
    std::mem::forget((machine, process));
    Ok(status)
}

async fn until_ended(machine: &Arc<Machine>, process: &Process) {
    // It fails for handles only.
    let _ = process.wait_one(Signals::TASK_TERMINATED).await;
    machine.console.show_log().await;
}

fn exit_status(return_code: i64) -> u8 {
    let by_kernel = retcode::CRITICAL_PROCESS_KILL..=retcode::SYSCALL_KILL;
    if by_kernel.contains(&return_code) {
        log::error!(
            "the program was killed, its return code is {return_code} (--log warn says more)"
        );
    }
    u8::try_from(return_code).unwrap_or(NO_STATUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_code_that_is_no_exit_status_becomes_one() {
        assert_eq!([0, 7, 255].map(exit_status), [0, 7, 255]);
        assert_eq!([256, -1, i64::MIN, retcode::EXCEPTION_KILL].map(exit_status), [NO_STATUS; 4]);
    }
}
