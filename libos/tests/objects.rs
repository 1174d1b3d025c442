//! A Linux process as the kernel object that it is: seen, suspended and ended through it, and ended with its job.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use kernel_objects::{
    KernelObject, Signals, SuspendToken, Thread,
    task::{BlockedReason, ThreadState, retcode},
};
use libos::{
    boot,
    config::Config,
    kernel::Kernel,
    process::{ExitStatus, Limit, Process, Resource},
    signal::{SigInfo, Signal},
};
use tests::guests::{self, Build};

fn kernel() -> Arc<Kernel> {
    boot::start(&Config { cpus: Some(2), ..Config::default() }).unwrap()
}

fn launch(kernel: &Arc<Kernel>, args: &[&[u8]]) -> Result<Arc<Process>, boot::BootError> {
    let config = Config {
        program: args[0].to_vec(),
        args: args.iter().map(|arg| arg.to_vec()).collect(),
        cwd: Some(b"/".to_vec()),
        ..Config::default()
    };
    boot::launch(kernel, &config)
}

fn resident() -> Vec<u8> {
    guests::build("resident.c", Build::C, &[]).unwrap().into_os_string().into_encoded_bytes()
}

/// Waits until it is so, for ten seconds at most.
fn until(mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}

/// The guest with its four threads, each where it stays.
fn settled(kernel: &Arc<Kernel>) -> Arc<Process> {
    let process = launch(kernel, &[&resident()]).unwrap();
    let blocked = |thread: &Arc<Thread>| matches!(thread.info().state, ThreadState::Blocked(_));
    let waiting = || process.object.threads().iter().filter(|thread| blocked(thread)).count();
    assert!(until(|| process.object.thread_count() == 4 && waiting() == 3));
    process
}

fn all_show(process: &Process, signal: Signals) -> bool {
    process.object.threads().iter().all(|thread| thread.signals() == signal)
}

#[test]
fn a_running_process_is_an_object_of_the_root_job() {
    let kernel = kernel();
    let process = settled(&kernel);
    let object = &process.object;
    assert_eq!(
        kernel.job.processes().iter().map(|p| p.koid()).collect::<Vec<_>>(),
        [object.koid()]
    );
    assert_eq!(object.related_koid(), kernel.job.koid());
    assert!(object.name().starts_with("resident"));
    assert!(object.info().started && !object.info().exited);

    let states: Vec<_> = object.threads().iter().map(|thread| thread.info().state).collect();
    let blocked = ThreadState::Blocked;
    let expected = [
        blocked(BlockedReason::WaitOne),
        ThreadState::Running,
        blocked(BlockedReason::Futex),
        blocked(BlockedReason::WaitOne),
    ];
    assert_eq!(states, expected);
    let linux: Vec<_> = process.threads().iter().map(|thread| thread.object.koid()).collect();
    let koids: Vec<_> = object.threads().iter().map(|thread| thread.koid()).collect();
    assert_eq!(linux, koids);
    let memory = process.memory().unwrap();
    assert_eq!(object.root_vmar().unwrap().koid(), memory.vmar().koid());
    kernel.shut_down();
}

#[test]
fn killing_the_object_is_a_sigkill() {
    let kernel = kernel();
    let process = settled(&kernel);
    process.object.kill();
    assert_eq!(kernel.cpus.block_on(process.wait_ended()), ExitStatus::KILLED);
    assert_eq!(process.object.signals(), Signals::TASK_TERMINATED);
    assert_eq!(process.object.info().return_code, retcode::SYSCALL_KILL);
    assert_eq!((process.object.thread_count(), kernel.pids.thread_count()), (0, 0));
    assert!(process.object.root_vmar().is_none());
    assert!(kernel.job.processes().is_empty() && kernel.pids.processes().is_empty());
}

#[test]
fn the_return_code_is_the_wait_status() {
    let kernel = kernel();
    let process = launch(&kernel, &[&resident(), b"42"]).unwrap();
    assert_eq!(kernel.cpus.block_on(process.wait_ended()), ExitStatus::Exited(42));
    assert_eq!(process.object.info().return_code, 42 << 8);
    let process = settled(&kernel);
    let core = Limit { soft: 1, hard: 1 };
    process.limits.write().set(Resource::Core as u32, core, true).unwrap();
    process.send_signal(Signal::SIGSEGV, SigInfo::kernel(Signal::SIGSEGV)).unwrap();
    let status = kernel.cpus.block_on(process.wait_ended());
    assert_eq!(status, ExitStatus::Signaled { signal: 11, core: true });
    assert_eq!(process.object.info().return_code, 0x8b);
}

#[test]
fn a_stopped_process_is_suspended_and_does_not_run() {
    let kernel = kernel();
    let process = settled(&kernel);
    let send = |signal| process.send_signal(signal, SigInfo::kernel(signal)).unwrap();
    send(Signal::SIGSTOP);
    assert!(until(|| all_show(&process, Signals::THREAD_SUSPENDED)));
    let before = process.object.runtime();
    thread::sleep(Duration::from_millis(20));
    // The cycles stand still; their length is measured anew each time.
    assert!(process.object.runtime().abs_diff(before) < 5_000_000);

    // A debugger's suspension counts beside it.
    let token = SuspendToken::create_for_process(&process.object).unwrap();
    send(Signal::SIGCONT);
    thread::sleep(Duration::from_millis(20));
    assert!(all_show(&process, Signals::THREAD_SUSPENDED));
    drop(token);
    assert!(until(|| all_show(&process, Signals::THREAD_RUNNING)));
    let before = process.object.runtime();
    assert!(until(|| process.object.runtime() > before + 10_000_000));

    send(Signal::SIGSTOP);
    assert!(until(|| all_show(&process, Signals::THREAD_SUSPENDED)));
    send(Signal::SIGKILL);
    assert_eq!(kernel.cpus.block_on(process.wait_ended()), ExitStatus::KILLED);
}

#[test]
fn execve_keeps_the_objects_and_replaces_the_root_vmar() {
    let kernel = kernel();
    let script = b"kill -STOP $$; exec sleep 1000";
    let process = launch(&kernel, &[b"/bin/sh", b"-c", script]).unwrap();
    let object = &process.object;
    assert!(until(|| all_show(&process, Signals::THREAD_SUSPENDED)));
    let (thread, vmar) = (object.threads()[0].koid(), object.root_vmar().unwrap().koid());
    process.send_signal(Signal::SIGCONT, SigInfo::kernel(Signal::SIGCONT)).unwrap();
    assert!(until(|| object.name() == "sleep"));
    assert_eq!(object.threads().iter().map(|t| t.koid()).collect::<Vec<_>>(), [thread]);
    assert_ne!(object.root_vmar().unwrap().koid(), vmar);
    assert_eq!(process.threads()[0].name(), b"sleep");
    kernel.shut_down();
}

#[test]
fn shutting_down_ends_all_guests_and_starts_none() {
    let kernel = kernel();
    let guests = [settled(&kernel), settled(&kernel), settled(&kernel)];
    kernel.shut_down();
    assert!(guests.iter().all(|guest| guest.exit_status() == Some(ExitStatus::KILLED)));
    assert!(guests.iter().all(|guest| guest.object.info().exited));
    assert!(kernel.job.info().exited);
    assert!(launch(&kernel, &[&resident()]).is_err());
    assert_eq!((kernel.pids.processes().len(), kernel.pids.thread_count()), (0, 0));
}
