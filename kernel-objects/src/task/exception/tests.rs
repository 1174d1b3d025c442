use std::{future::pending, sync::atomic::Ordering::SeqCst, task::Context};

use futures::{FutureExt, executor::block_on};
use hal::context::Exception as Fault;

use super::*;
use crate::{
    channel::{Channel, ReadOptions, Room},
    event::Event,
    object::downcast,
    signals::Signals,
    task::{
        BlockedReason, Job, Run, SuspendToken, ThreadState, retcode,
        run::tests::{poll, started},
        work,
    },
};

use ExceptionChannelType as By;
use HandlerKind::{Debugger, Standard};

/// What has come through an exception channel, if anything has.
pub(in crate::task) fn next(handler: &Handle) -> Option<Message> {
    let channel: Arc<Channel> = downcast(handler.object().clone()).ok()?;
    channel.read(Room::ANY, ReadOptions::empty()).ok()
}

/// The exception in a message.
pub(in crate::task) fn exception(message: &Message) -> Arc<Exception> {
    let [handle] = &message.handles[..] else { panic!("one handle") };
    downcast(handle.object().clone()).unwrap_or_else(|error| panic!("{error}"))
}

fn some(handler: &Handle) -> Message {
    next(handler).unwrap_or_else(|| panic!("no exception"))
}

fn info(message: &Message) -> ExceptionInfo {
    ExceptionInfo::from_bytes(&message.bytes).unwrap_or_else(|error| panic!("{error}"))
}

/// Answers an exception, and closes it.
fn answer(message: Message, state: ExceptionState) {
    exception(&message).set_state(state);
}

fn handle(task: &Arc<impl KernelObject>) -> Handle {
    Handle::new(task.clone())
}

fn bind(task: &Arc<impl KernelObject>, kind: HandlerKind) -> Handle {
    create_exception_channel(&handle(task), kind).unwrap_or_else(|error| panic!("{error}"))
}

fn fault() -> ExceptionReport {
    ExceptionReport::from(&Fault { signal: 4, code: 2, addr: 0x1000, trapno: 6, error: 0 })
}

/// A thread, in a job in a job, that raises an exception and waits for ever when it goes on.
struct Faulting<F: Future<Output = ()>> {
    root: Arc<Job>,
    job: Arc<Job>,
    process: Arc<Process>,
    thread: Arc<Thread>,
    run: Run<F>,
}

fn faulting() -> Faulting<impl Future<Output = ()>> {
    let root = Job::root();
    let made = || {
        let job = Job::create(&root)?;
        let process = Process::create(&job, "")?;
        let thread = Thread::create(&process, "")?;
        let body = {
            let thread = thread.clone();
            async move {
                thread.raise(fault()).await;
                pending().await
            }
        };
        let run = process.start(&thread, body)?;
        Ok(Faulting { root: root.clone(), job, process, thread, run })
    };
    made().unwrap_or_else(|error: Error| panic!("{error}"))
}

impl<F: Future<Output = ()>> Faulting<F> {
    fn state(&self) -> (ThreadState, ExceptionChannelType) {
        let info = self.thread.info();
        (info.state, info.wait_exception_channel)
    }
}

const IN_EXCEPTION: ThreadState = ThreadState::Blocked(BlockedReason::Exception);

#[test]
fn the_channel_needs_rights_to_the_task() {
    let all = Rights::INSPECT | Rights::DUPLICATE | Rights::TRANSFER | Rights::MANAGE_THREAD;
    let f = faulting();
    let tasks: [(Arc<dyn KernelObject>, Rights); 3] = [
        (f.job.clone(), all | Rights::ENUMERATE),
        (f.process.clone(), all | Rights::ENUMERATE),
        (f.thread.clone(), all),
    ];
    for (task, needed) in tasks {
        let with =
            |rights| create_exception_channel(&Handle::with_rights(task.clone(), rights), Standard);
        for right in needed {
            assert_eq!(with(needed - right).err(), Some(Error::AccessDenied), "{right:?}");
        }
        assert!(with(needed).is_ok());
    }
}

#[test]
fn only_tasks_have_channels_and_threads_no_debugger() {
    let f = faulting();
    let of = |task: &Handle, kind| create_exception_channel(task, kind).err();
    assert_eq!(of(&handle(&Event::create()), Standard), Some(Error::WrongType));
    assert_eq!(of(&handle(&f.thread), Debugger), Some(Error::InvalidArgs));
    assert_eq!(HandlerKind::from_options(1), Ok(Debugger));
    assert_eq!(HandlerKind::from_options(2), Err(Error::InvalidArgs));
}

#[test]
fn a_task_has_one_handler_of_a_kind_until_that_closes_its_end() {
    let f = faulting();
    for task in [handle(&f.job), handle(&f.process)] {
        let debugger = create_exception_channel(&task, Debugger);
        let first = create_exception_channel(&task, Standard);
        assert!(debugger.is_ok() && first.is_ok());
        for kind in [Standard, Debugger] {
            let second = create_exception_channel(&task, kind);
            assert_eq!(second.err(), Some(Error::AlreadyBound));
        }
        drop(first);
        assert!(create_exception_channel(&task, Standard).is_ok());
    }
    let first = bind(&f.thread, Standard);
    let again = || create_exception_channel(&handle(&f.thread), Standard);
    assert_eq!(again().err(), Some(Error::AlreadyBound));
    drop(first);
    assert!(again().is_ok());
}

#[test]
fn the_handlers_end_can_only_be_read() {
    let f = faulting();
    let handler = bind(&f.process, Standard);
    assert_eq!(handler.rights(), Rights::TRANSFER | Rights::WAIT | Rights::READ);
}

#[test]
fn a_debugger_is_seen_in_the_info_of_its_task() {
    let f = faulting();
    assert!(!f.process.info().debugger_attached && !f.job.info().debugger_attached);
    let (standard, debugger) = (bind(&f.process, Standard), bind(&f.process, Debugger));
    let of_job = bind(&f.job, Debugger);
    assert!(f.process.info().debugger_attached && f.job.info().debugger_attached);
    drop((debugger, of_job));
    assert!(!f.process.info().debugger_attached && !f.job.info().debugger_attached);
    drop(standard);
}

#[test]
fn a_task_that_is_ending_has_no_new_handler_and_one_that_has_ended_closes_them() {
    let mut f = faulting();
    let kept = bind(&f.process, Standard);
    assert!(poll(&mut f.run).is_pending());
    let of_thread = bind(&f.thread, Standard);
    let of_job = bind(&f.job, Standard);
    f.job.kill();
    for task in [handle(&f.thread), handle(&f.process), handle(&f.job)] {
        let bound = create_exception_channel(&task, Standard);
        assert_eq!(bound.err(), Some(Error::BadState), "dying: {task:?}");
    }
    let closed = |handler: &Handle| handler.object().signals().contains(Signals::PEER_CLOSED);
    assert!(![&kept, &of_thread, &of_job].into_iter().any(closed));
    assert!(poll(&mut f.run).is_ready());
    assert!([&kept, &of_thread, &of_job].into_iter().all(closed));
    for task in [handle(&f.thread), handle(&f.process), handle(&f.job)] {
        let bound = create_exception_channel(&task, Standard);
        assert_eq!(bound.err(), Some(Error::BadState), "dead: {task:?}");
    }
    let (empty, outer) = (Job::root(), Job::root());
    let inner = Job::create(&outer).unwrap();
    let _process = Process::create(&inner, "p").unwrap();
    for job in [empty, outer] {
        let handler = bind(&job, Debugger);
        job.kill();
        assert!(closed(&handler));
    }
}

#[test]
fn a_job_keeps_its_handlers_when_what_is_in_it_ends() {
    let job = Job::root();
    let handler = bind(&job, Standard);
    let inner = Job::create(&job).unwrap();
    drop(Process::create(&inner, "p").unwrap());
    inner.kill();
    drop(inner);
    drop(Job::create(&job));
    assert!(!handler.object().signals().contains(Signals::PEER_CLOSED));
}

#[test]
fn handlers_have_their_turns_in_order_and_then_the_process_is_killed() {
    let mut f = faulting();
    let handlers = [
        (By::Thread, bind(&f.thread, Standard)),
        (By::Process, bind(&f.process, Standard)),
        (By::Job, bind(&f.job, Standard)),
        (By::Job, bind(&f.root, Standard)),
    ];
    for (turn, (by, handler)) in handlers.iter().enumerate() {
        assert!(poll(&mut f.run).is_pending());
        assert_eq!(f.state(), (IN_EXCEPTION, *by));
        for (other, (_, handler)) in handlers.iter().enumerate() {
            assert!(other == turn || next(handler).is_none());
        }
        let message = some(handler);
        let expected = ExceptionInfo {
            process: f.process.koid(),
            thread: f.thread.koid(),
            exception: ExceptionType::UndefinedInstruction as u32,
        };
        assert_eq!(info(&message), expected);
        assert_eq!(f.thread.exception_report(), Ok(fault()));
        assert_eq!(exception(&message).state(), ExceptionState::TryNext);
        drop(message);
    }
    assert!(poll(&mut f.run).is_pending());
    assert!(poll(&mut f.run).is_ready());
    assert_eq!(f.process.info().return_code, retcode::EXCEPTION_KILL);
    assert_eq!(f.thread.exception_report(), Err(Error::BadState));
}

#[test]
fn a_debugger_comes_first_and_if_it_likes_behind_the_process_too() {
    for strategy in [ExceptionStrategy::FirstChance, ExceptionStrategy::SecondChance] {
        let mut f = faulting();
        let debugger = bind(&f.process, Debugger);
        let thread = bind(&f.thread, Standard);
        let (process, job) = (bind(&f.process, Standard), bind(&f.job, Standard));
        assert!(poll(&mut f.run).is_pending());
        answer(some(&debugger), ExceptionState::Handled); // that it starts
        assert!(poll(&mut f.run).is_pending());
        assert_eq!(f.state(), (IN_EXCEPTION, By::Debugger));
        let message = some(&debugger);
        assert_eq!(exception(&message).strategy(), ExceptionStrategy::FirstChance);
        assert_eq!(exception(&message).set_strategy(strategy), Ok(()));
        assert_eq!(exception(&message).strategy(), strategy);
        drop(message);
        assert!(poll(&mut f.run).is_pending());
        assert_eq!(f.state(), (IN_EXCEPTION, By::Thread));
        drop(some(&thread));
        assert!(poll(&mut f.run).is_pending());
        let message = some(&process);
        assert_eq!(
            exception(&message).set_strategy(ExceptionStrategy::FirstChance),
            Err(Error::BadState)
        );
        assert_eq!(exception(&message).strategy(), strategy, "it is still what it was");
        drop(message);
        assert!(poll(&mut f.run).is_pending());
        if strategy == ExceptionStrategy::SecondChance {
            assert_eq!(f.state(), (IN_EXCEPTION, By::Debugger));
            drop(some(&debugger));
            assert!(poll(&mut f.run).is_pending());
        }
        assert!(next(&debugger).is_none());
        answer(some(&job), ExceptionState::Handled);
        assert!(poll(&mut f.run).is_pending());
        assert_eq!(f.state(), (ThreadState::Running, By::None));
    }
}

#[test]
fn a_handler_that_handles_it_is_the_last_and_the_thread_goes_on() {
    let mut f = faulting();
    let (process, job) = (bind(&f.process, Standard), bind(&f.job, Standard));
    assert!(poll(&mut f.run).is_pending());
    assert_eq!(f.thread.signals(), Signals::THREAD_RUNNING);
    let message = some(&process);
    let kept = exception(&message);
    answer(message, ExceptionState::Handled);
    assert!(poll(&mut f.run).is_pending());
    assert_eq!(f.state(), (ThreadState::Running, By::None));
    assert!(next(&job).is_none());
    assert_eq!(f.thread.exception_report(), Err(Error::BadState));
    assert_eq!(kept.set_strategy(ExceptionStrategy::SecondChance), Err(Error::BadState));
}

#[test]
fn a_handler_can_end_the_thread_alone() {
    let mut f = faulting();
    let process = bind(&f.process, Standard);
    let second = Thread::create(&f.process, "").and_then(|thread| thread.start(pending()));
    assert!(poll(&mut f.run).is_pending());
    answer(some(&process), ExceptionState::ThreadExit);
    let _ = poll(&mut f.run);
    assert!(poll(&mut f.run).is_ready());
    assert_eq!(f.thread.info().state, ThreadState::Dead);
    assert!(second.is_ok() && !f.process.is_ending());
}

#[test]
fn a_handler_that_goes_away_gives_the_next_its_turn() {
    let mut f = faulting();
    let (process, job) = (bind(&f.process, Standard), bind(&f.job, Standard));
    assert!(poll(&mut f.run).is_pending());
    drop(process); // with the message in it
    assert!(poll(&mut f.run).is_pending());
    assert_eq!(f.state(), (IN_EXCEPTION, By::Job));
    answer(some(&job), ExceptionState::Handled);
    assert!(poll(&mut f.run).is_pending());
    assert_eq!(f.thread.info().state, ThreadState::Running);
}

#[test]
fn a_close_that_comes_late_is_not_that_of_the_next_handler() {
    /// Runs something while its last handle is being closed: what is closed then comes after that.
    struct Closing(KObjectBase, Mutex<Option<Box<dyn FnOnce() + Send>>>);
    impl KernelObject for Closing {
        fn base(&self) -> &KObjectBase {
            &self.0
        }
        fn object_type(&self) -> ObjectType {
            ObjectType::Event
        }
        fn on_zero_handles(&self) {
            if let Some(run) = self.1.lock().take() {
                run();
            }
        }
    }
    let f = faulting();
    let (process, job) = (bind(&f.process, Standard), bind(&f.job, Standard));
    let raised = Exception::new(&f.thread, fault());
    assert!(raised.send(By::Process, &f.process.handlers.standard));
    let (again, handlers) = (raised.clone(), f.job.clone());
    let run = move || {
        drop(some(&process));
        assert!(again.poll_closed(Waker::noop()).is_none(), "it comes later");
        assert!(again.send(By::Job, &handlers.handlers.standard));
    };
    drop(Handle::new(Arc::new(Closing(KObjectBase::new(), Mutex::new(Some(Box::new(run)))))));
    assert_eq!(raised.channel_type(), By::Job);
    answer(some(&job), ExceptionState::Handled);
    assert_eq!(raised.poll_closed(Waker::noop()), Some(ExceptionState::Handled));
}

#[test]
fn the_task_that_waits_is_woken() {
    let f = faulting();
    let process = bind(&f.process, Standard);
    let (thread, run) = (f.thread.clone(), f.run);
    let guest = std::thread::spawn(move || block_on(run));
    let channel: Arc<Channel> =
        downcast(process.object().clone()).unwrap_or_else(|error| panic!("{error}"));
    assert!(block_on(channel.wait_one(Signals::READABLE)).is_ok());
    answer(some(&process), ExceptionState::ThreadExit);
    assert!(guest.join().is_ok());
    assert_eq!(thread.info().state, ThreadState::Dead);
}

#[test]
fn handles_to_the_thread_and_the_process_have_the_rights_of_the_handlers_task() {
    let mut f = faulting();
    let rights = Rights::default_for(ObjectType::Process) - Rights::DESTROY;
    let task = Handle::with_rights(f.process.clone(), rights);
    let process = create_exception_channel(&task, Standard);
    let process = process.unwrap_or_else(|error| panic!("{error}"));
    let thread = bind(&f.thread, Standard);
    assert!(poll(&mut f.run).is_pending());
    let message = some(&thread);
    assert_eq!(exception(&message).get_process().err(), Some(Error::AccessDenied));
    let made = exception(&message).get_thread();
    assert_eq!(made.info().koid, f.thread.koid());
    assert_eq!(made.rights(), Rights::default_for(ObjectType::Thread));
    drop(message);
    assert!(poll(&mut f.run).is_pending());
    let message = some(&process);
    let made = exception(&message).get_process().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((made.info().koid, made.rights()), (f.process.koid(), rights));
    assert_eq!(exception(&message).get_thread().rights(), rights);
}

#[test]
fn a_kill_ends_the_handling() {
    let mut f = faulting();
    let debugger = bind(&f.process, Debugger);
    let process = bind(&f.process, Standard);
    assert!(poll(&mut f.run).is_pending());
    answer(some(&debugger), ExceptionState::Handled); // that it starts
    assert!(poll(&mut f.run).is_pending());
    let message = some(&debugger);
    f.thread.kill();
    let kept = exception(&message);
    kept.set_state(ExceptionState::Handled);
    assert_eq!(kept.state(), ExceptionState::Handled);
    drop(message);
    assert!(poll(&mut f.run).is_ready());
    assert!(next(&process).is_none(), "no other handler");
    assert_eq!(kept.get_thread().info().koid, f.thread.koid());
    assert!(kept.get_process().is_ok());
    let exiting = some(&debugger);
    assert_eq!(info(&exiting).exception, ExceptionType::ThreadExiting as u32);
    assert_eq!(f.process.info().return_code, 0, "of the thread, not of the process");
}

#[test]
fn an_answer_that_follows_a_kill_has_no_effect() {
    let f = faulting();
    let (process, job) = (bind(&f.process, Standard), bind(&f.job, Standard));
    for state in [ExceptionState::Handled, ExceptionState::TryNext] {
        // Polled by itself, for the run would drop it first.
        let mut raised = f.thread.raise(fault()).boxed();
        let mut poll = || raised.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(poll());
        let message = some(&process);
        f.thread.work.fetch_or(work::KILL | work::KILLED, SeqCst);
        answer(message, state);
        assert!(poll());
        assert!(next(&job).is_none());
        f.thread.work.store(0, SeqCst);
    }
}

#[test]
fn a_suspension_comes_behind_the_exception_in_either_order() {
    for handled_first in [true, false] {
        let mut f = faulting();
        let process = bind(&f.process, Standard);
        assert!(poll(&mut f.run).is_pending());
        let token = SuspendToken::create(&f.thread);
        assert!(poll(&mut f.run).is_pending());
        assert_eq!(f.state(), (IN_EXCEPTION, By::Process));
        assert_eq!(f.thread.signals(), Signals::THREAD_RUNNING);
        if handled_first {
            answer(some(&process), ExceptionState::Handled);
            assert!(poll(&mut f.run).is_pending());
            assert_eq!(f.state(), (ThreadState::Suspended, By::None));
            drop(token);
        } else {
            drop(token);
            assert!(poll(&mut f.run).is_pending());
            assert_eq!(f.state(), (IN_EXCEPTION, By::Process));
            answer(some(&process), ExceptionState::Handled);
        }
        assert!(poll(&mut f.run).is_pending());
        assert_eq!(f.state(), (ThreadState::Running, By::None));
    }
}

#[test]
fn a_debugger_sees_threads_start_and_exit() {
    let polled = Event::create();
    let seen = polled.clone();
    let mut run = started(|_| async move { seen.base().signal_state().set(Signals::USER_0) });
    let thread = run.thread().clone();
    let debugger = bind(thread.process(), Debugger);
    let ran = || polled.signals().contains(Signals::USER_0);
    let token = SuspendToken::create(&thread);
    assert!(poll(&mut run).is_pending());
    let message = some(&debugger);
    assert_eq!(info(&message).exception, ExceptionType::ThreadStarting as u32);
    assert_eq!(thread.info().state, IN_EXCEPTION, "though it is suspended");
    assert_eq!(thread.exception_report().map(|r| r.exception), Ok(ExceptionType::ThreadStarting));
    drop(message);
    assert!(poll(&mut run).is_pending());
    assert_eq!((thread.info().state, ran()), (ThreadState::Suspended, false));
    drop(token);
    assert!(poll(&mut run).is_pending());
    assert!(ran());
    assert_eq!(thread.info().state, ThreadState::Dying);
    assert_eq!(thread.info().wait_exception_channel, By::Debugger);
    assert_eq!(SuspendToken::create(&thread).err(), Some(Error::BadState));
    let message = some(&debugger);
    assert_eq!(info(&message).exception, ExceptionType::ThreadExiting as u32);
    assert_eq!(thread.signals(), Signals::THREAD_RUNNING);
    assert!(poll(&mut run).is_pending());
    drop(message);
    assert!(poll(&mut run).is_ready());
    assert_eq!(thread.signals(), Signals::TASK_TERMINATED);
}

#[test]
fn a_thread_that_exits_by_itself_waits_for_its_debugger_unless_it_is_killed() {
    for killed in [false, true] {
        let mut run = started(|thread| async move {
            thread.exit();
            pending().await
        });
        let thread = run.thread().clone();
        assert!(poll(&mut run).is_pending());
        let debugger = bind(thread.process(), Debugger);
        assert!(poll(&mut run).is_pending());
        let message = some(&debugger);
        assert_eq!(info(&message).exception, ExceptionType::ThreadExiting as u32);
        assert!(poll(&mut run).is_pending());
        if killed {
            thread.kill();
        } else {
            drop(message);
        }
        assert!(poll(&mut run).is_ready());
        assert!(next(&debugger).is_none(), "it is told once");
    }
}

#[test]
fn a_thread_killed_as_it_starts_does_nothing() {
    let mut run = started(|_| async { unreachable!("it is killed before") });
    let debugger = bind(run.thread().process(), Debugger);
    assert!(poll(&mut run).is_pending());
    let message = some(&debugger);
    run.thread().kill();
    assert!(poll(&mut run).is_ready());
    drop(message);
    assert_eq!(info(&some(&debugger)).exception, ExceptionType::ThreadExiting as u32);
}

#[test]
fn the_debugger_of_the_innermost_job_sees_a_process_start_and_can_debug_it() {
    let mut f = faulting();
    let (outer, inner) = (bind(&f.root, Debugger), bind(&f.job, Debugger));
    let standard = bind(&f.job, Standard);
    assert!(poll(&mut f.run).is_pending());
    assert_eq!(f.state(), (IN_EXCEPTION, By::JobDebugger));
    let message = some(&inner);
    assert_eq!(info(&message).exception, ExceptionType::ProcessStarting as u32);
    let process = exception(&message).get_process().unwrap_or_else(|error| panic!("{error}"));
    let debugger = create_exception_channel(&process, Debugger);
    let debugger = debugger.unwrap_or_else(|error| panic!("{error}"));
    drop(message); // which is as good as handled
    assert!(poll(&mut f.run).is_pending());
    assert!(next(&outer).is_none());
    let message = some(&debugger);
    assert_eq!(info(&message).exception, ExceptionType::ThreadStarting as u32);
    drop((message, debugger));
    assert!(poll(&mut f.run).is_pending());
    assert!(next(&inner).is_none(), "debuggers of jobs see no fault");
    assert_eq!(info(&some(&standard)).exception, ExceptionType::UndefinedInstruction as u32);
    let second = Thread::create(&f.process, "").and_then(|thread| thread.start(pending()));
    let mut second = second.unwrap_or_else(|error| panic!("{error}"));
    assert!(poll(&mut second).is_pending());
    assert!(next(&inner).is_none(), "no process starts with a second thread");
}

#[test]
fn a_second_thread_starts_for_the_debugger_of_its_process_alone() {
    let f = faulting();
    let (job, process) = (bind(&f.job, Debugger), bind(&f.process, Debugger));
    let second = Thread::create(&f.process, "").and_then(|thread| thread.start(pending()));
    let mut second = second.unwrap_or_else(|error| panic!("{error}"));
    assert!(poll(&mut second).is_pending());
    assert!(next(&job).is_none(), "no process starts with it");
    assert_eq!(info(&some(&process)).exception, ExceptionType::ThreadStarting as u32);
}

#[test]
fn a_thread_says_something_to_the_debugger_of_its_jobs_only() {
    let mut run = started(|thread| async move {
        thread.raise_user(0xf000, 42).await;
        thread.raise_user(0xf001, 43).await;
    });
    let thread = run.thread().clone();
    let process = bind(thread.process(), Standard);
    let job = bind(thread.process().job(), Debugger);
    assert!(poll(&mut run).is_pending());
    drop(some(&job)); // that the process starts
    assert!(poll(&mut run).is_pending());
    let message = some(&job);
    assert_eq!(info(&message).exception, ExceptionType::User as u32);
    let report = *exception(&message).report();
    assert_eq!((report.synth_code, report.synth_data), (0xf000, 42));
    drop((message, job));
    assert!(poll(&mut run).is_ready(), "without a debugger it says nothing");
    assert!(next(&process).is_none());
}

#[test]
fn states_and_strategies_have_zircons_numbers() {
    assert_eq!(ExceptionState::from_raw(0), Ok(ExceptionState::TryNext));
    assert_eq!(ExceptionState::from_raw(1), Ok(ExceptionState::Handled));
    assert_eq!(ExceptionState::from_raw(2), Ok(ExceptionState::ThreadExit));
    assert_eq!(ExceptionState::from_raw(3), Err(Error::InvalidArgs));
    assert_eq!(ExceptionStrategy::from_raw(0), Ok(ExceptionStrategy::FirstChance));
    assert_eq!(ExceptionStrategy::from_raw(1), Ok(ExceptionStrategy::SecondChance));
    assert_eq!(ExceptionStrategy::from_raw(2), Err(Error::InvalidArgs));
    let channels = [By::None, By::Debugger, By::Thread, By::Process, By::Job, By::JobDebugger];
    assert_eq!(channels.map(|by| by as u32), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn an_exception_keeps_nothing_alive_once_it_is_over() {
    let mut f = faulting();
    let process = bind(&f.process, Standard);
    assert!(poll(&mut f.run).is_pending());
    let weak = Arc::downgrade(&f.thread);
    answer(some(&process), ExceptionState::Handled);
    drop(f);
    assert!(weak.upgrade().is_none());
}
