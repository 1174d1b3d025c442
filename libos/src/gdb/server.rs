//! The server: who waits for a debugger, and the talk with one.

use std::{collections::VecDeque, convert::Infallible, pin::pin, sync::Arc};

use futures::future::{Either, select};
use gdbstub::{
    conn,
    stub::{
        DisconnectReason, GdbStubBuilder, GdbStubError, MultiThreadStopReason,
        state_machine::GdbStubStateMachine,
    },
};
use hal::host::{
    HostError,
    listen::{Connection, Listener},
};
use kernel_objects::WaitQueue;

use super::target::Target;
use crate::{
    errno::Errno,
    process::{
        Process, Thread,
        trace::{Event, Options, Tracer},
    },
};

/// Bytes of the longest packet.
const PACKET: usize = 16 << 10;

/// What the debugger is told of besides signals.
fn options() -> Options {
    [Event::Clone, Event::Fork, Event::Vfork, Event::VforkDone, Event::Exec]
        .into_iter()
        .fold(Options::empty(), |options, event| options | event.option())
}

/// A port at which a debugger may come.
pub(crate) struct Debugger {
    listener: Listener,
    changes: Arc<WaitQueue>,
}

/// What is to be sent.
#[derive(Default)]
struct Outbox(Vec<u8>);

impl conn::Connection for Outbox {
    type Error = Infallible;

    fn write(&mut self, byte: u8) -> Result<(), Infallible> {
        self.0.push(byte);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Why a talk has ended before its time.
#[derive(Debug)]
enum Broken {
    /// The connection is gone.
    Gone(#[allow(dead_code, reason = "for messages")] HostError),
    /// The other side is no debugger, or is mistaken.
    Protocol(#[allow(dead_code, reason = "for messages")] String),
}

impl From<HostError> for Broken {
    fn from(error: HostError) -> Self {
        Self::Gone(error)
    }
}

impl From<GdbStubError<Errno, Infallible>> for Broken {
    fn from(error: GdbStubError<Errno, Infallible>) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// Bytes that have come and were not looked at.
struct Inbox<'a> {
    connection: &'a Connection,
    bytes: VecDeque<u8>,
}

impl Inbox<'_> {
    /// The next byte. May be dropped and called again.
    async fn next(&mut self) -> Result<u8, HostError> {
        loop {
            if let Some(byte) = self.bytes.pop_front() {
                return Ok(byte);
            }
            let mut buf = [0; 4096];
            match self.connection.read(&mut buf).await? {
                0 => return Err(HostError::from_errno(Errno::ECONNRESET.raw())),
                len => self.bytes.extend(&buf[..len]),
            }
        }
    }
}

impl Debugger {
    /// Listens at `port` of the loopback interface.
    pub(crate) fn listen(port: u16) -> Result<Self, HostError> {
        Ok(Self { listener: Listener::bind(port)?, changes: Arc::new(WaitQueue::new()) })
    }

    fn tracer(&self) -> Tracer {
        Tracer::Outside(Arc::clone(&self.changes))
    }

    /// Has `thread`, which has not run yet, wait for the debugger.
    pub(crate) fn hold(&self, thread: &Thread) {
        if let Ok(tracee) = thread.begin_trace(self.tracer(), true, options()) {
            tracee.interrupt(thread);
        }
    }

    /// Takes hold of all threads of a process that runs.
    fn take(&self, process: &Process) {
        for thread in process.threads() {
            if let Ok(tracee) = thread.attach_by(self.tracer(), true, options()) {
                tracee.interrupt(&thread);
            }
        }
    }

    /// Serves one debugger after the other until `process` has ended.
    pub(crate) async fn serve(&self, process: Arc<Process>) {
        loop {
            let (comes, ends) = (pin!(self.listener.accept()), pin!(process.wait_ended()));
            let connection = match select(comes, ends).await {
                Either::Left((Ok(connection), _)) => connection,
                Either::Left((Err(error), _)) => {
                    log::error!("no debugger can come: {error}");
                    return;
                }
                Either::Right(_) => return,
            };
            if process.tracees().is_empty() {
                self.take(&process);
            }
            let Some(first) = process.threads().into_iter().next() else { return };
            let fs = first.fs.read().clone();
            let mut target = Target::new(Arc::clone(&process), fs, Arc::clone(&self.changes));
            if let Err(broken) = talk(&connection, &mut target).await {
                log::info!("the debugger has gone: {broken:?}");
            }
            target.detach();
        }
    }
}

/// Talks with the debugger at the other end until it goes or there is nothing to debug any more.
async fn talk(connection: &Connection, target: &mut Target) -> Result<(), Broken> {
    target.begin().await;
    let stub = GdbStubBuilder::new(Outbox::default()).packet_buffer_size(PACKET).build();
    let stub = stub.map_err(|error| Broken::Protocol(error.to_string()))?;
    let mut state = stub.run_state_machine(target)?;
    let mut inbox = Inbox { connection, bytes: VecDeque::new() };
    loop {
        let (out, over) = match &mut state {
            GdbStubStateMachine::Idle(inner) => (inner.borrow_conn(), false),
            GdbStubStateMachine::Running(inner) => (inner.borrow_conn(), false),
            GdbStubStateMachine::CtrlCInterrupt(inner) => (inner.borrow_conn(), false),
            GdbStubStateMachine::Disconnected(inner) => (inner.borrow_conn(), true),
        };
        let bytes = std::mem::take(&mut out.0);
        let sent = connection.write_all(&bytes).await;
        if !over {
            sent?;
        }
        state = match state {
            GdbStubStateMachine::Idle(inner) => inner.incoming_data(target, inbox.next().await?)?,
            GdbStubStateMachine::Running(inner) => {
                let next = {
                    let (byte, event) = (pin!(inbox.next()), pin!(target.next_event()));
                    match select(byte, event).await {
                        Either::Left((byte, _)) => Either::Left(byte?),
                        Either::Right((reason, _)) => Either::Right(reason),
                    }
                };
                match next {
                    Either::Left(byte) => inner.incoming_data(target, byte)?,
                    Either::Right(reason) => inner.report_stop(target, reason)?,
                }
            }
            GdbStubStateMachine::CtrlCInterrupt(inner) => {
                target.interrupt();
                inner.interrupt_handled(target, None::<MultiThreadStopReason<u64>>)?
            }
            GdbStubStateMachine::Disconnected(inner) => {
                if inner.get_reason() == DisconnectReason::Kill {
                    target.kill();
                }
                return Ok(());
            }
        };
    }
}
