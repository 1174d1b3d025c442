//! Connections over the wire, as guests have them.
//!
//! The one idea: one task a connection moves bytes both ways between smoltcp's socket and the end that the kernel holds of the guest's connection, whichever
//! of the two has woken it. Room is what holds back who writes: bytes that a guest does not read stay in smoltcp's buffer, whose window closes. An end of one
//! half is passed on as such, a reset as a reset.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::select;
use hal::time::{monotonic, timeout, timeout_at};
use smoltcp::socket::tcp::{RecvError, Socket as SegmentSocket, State};

use super::{Ethernet, bell::Bell, segments::Flow};
use crate::{
    errno::{Errno, SysResult},
    net::{Shutdown, Socket, inet::tcp::TcpSocket},
    vfs::{File, IoSrc},
};

/// For how long a machine is asked for that does not answer to its name: so long takes ARP on Linux, in ns.
const ASKING: u64 = 3_000_000_000;
/// For how long the other machine may go on sending to a guest that has closed (`net.ipv4.tcp_fin_timeout`).
const FIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes that may wait inside for a guest to read them.
const UNREAD: i32 = 256 << 10;

/// smoltcp's socket of a connection. Dropped, it is closed, by a reset if it was not over.
pub(super) struct Stream {
    ethernet: Arc<Ethernet>,
    flow: Flow,
    bell: Arc<Bell>,
}

impl Stream {
    pub(super) fn new(ethernet: &Arc<Ethernet>, flow: Flow, bell: Arc<Bell>) -> Self {
        Self { ethernet: Arc::clone(ethernet), flow, bell }
    }

    /// Does something with the socket, and sends what that has made to be sent. The second argument is whether the other machine is gone.
    fn with<R>(&self, work: impl FnOnce(&mut SegmentSocket<'static>, bool) -> R) -> Option<R> {
        let mut segments = self.ethernet.segments.lock();
        let waker = Arc::clone(&self.bell).into();
        let result = segments.with(&self.flow, |socket, gone| {
            socket.register_recv_waker(&waker);
            socket.register_send_waker(&waker);
            work(socket, gone)
        });
        let wanted = segments.send(&self.ethernet.line());
        drop(segments);
        self.ethernet.look_at(wanted);
        result
    }

    fn state(&self) -> (State, bool) {
        self.with(|socket, gone| (socket.state(), gone)).unwrap_or((State::Closed, true))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.with(|socket, _| {
            if !matches!(socket.state(), State::Closed | State::TimeWait) {
                socket.abort();
            }
        });
        self.ethernet.segments.lock().remove(&self.flow);
        self.ethernet.over.ring();
    }
}

/// A connection that a guest has begun, of whose ends `far` is the one elsewhere.
pub(super) async fn connect(stream: Stream, far: Arc<TcpSocket>) {
    match answer(&stream, &far).await {
        Ok(true) if far.establish_by_kernel() => carry(&stream, &far).await,
        // The guest has thought better of it.
        Ok(_) => {}
        Err(error) => far.fail_by_kernel(error),
    }
}

/// Waits for an answer of the other machine; false when nobody waits for that any more.
async fn answer(stream: &Stream, far: &TcpSocket) -> SysResult<bool> {
    let asked = monotonic().saturating_add(ASKING);
    loop {
        let mut changed = far.core().queue.wait();
        changed.arm();
        if !far.is_awaited() {
            return Ok(false);
        }
        let (state, gone) = stream.state();
        match state {
            State::SynSent | State::SynReceived => {}
            State::Closed | State::Listen => return Err(Errno::ECONNREFUSED),
            _ => return Ok(true),
        }
        let rung = pin!(stream.bell.rung());
        let news = select(changed, rung);
        if monotonic() < asked {
            // It may be about to come.
            let _ = timeout_at(asked, news).await;
        } else if gone {
            return Err(Errno::EHOSTUNREACH);
        } else {
            news.await;
        }
    }
}

/// A connection that another machine has begun, of whose ends `inside` is the one there.
pub(super) async fn accept(stream: Stream, inside: Arc<TcpSocket>) {
    // Those who came before may not have been accepted yet.
    while inside.waits() {
        let mut changed = inside.core().queue.wait();
        changed.arm();
        if !inside.waits() {
            break;
        }
        if matches!(stream.state(), (State::Closed, _) | (_, true)) {
            return;
        }
        select(changed, pin!(stream.bell.rung())).await;
    }
    carry(&stream, &inside).await;
}

/// Carries a connection until both halves have ended.
async fn carry(stream: &Stream, inside: &TcpSocket) {
    inside.core().options.force_send_buffer(UNREAD);
    let carrier = Carrier { stream, inside, sent: false, received: false };
    let Err(error) = carrier.run().await else { return };
    if error == Errno::EHOSTUNREACH {
        inside.fail_by_kernel(error);
    }
    // Nor is it closed in an ordinary way.
    inside.core().options.kept.lock().linger = [1, 0];
}

/// A connection that is being carried.
struct Carrier<'a> {
    stream: &'a Stream,
    inside: &'a TcpSocket,
    /// All that comes from inside was sent to the other machine.
    sent: bool,
    /// All that comes from there was sent inside.
    received: bool,
}

impl Carrier<'_> {
    async fn run(mut self) -> SysResult<()> {
        loop {
            let mut changed = self.inside.core().queue.wait();
            changed.arm();
            let (stream, inside) = (self.stream, self.inside);
            let turn = stream.with(|socket, gone| match gone {
                true => Err(Errno::EHOSTUNREACH),
                false => self.turn(socket).map(|()| socket.state()),
            });
            let state = turn.unwrap_or(Err(Errno::ECONNRESET))?;
            // Not before what the guest has sent until then was sent on.
            if inside.core().has_error() {
                return Err(Errno::ECONNRESET);
            }
            if self.sent && self.received && matches!(state, State::TimeWait | State::Closed) {
                return Ok(());
            }
            let rung = pin!(stream.bell.rung());
            let news = select(changed, rung);
            if state == State::FinWait2 && inside.peer_has_closed() {
                // Nobody reads any more what may still come.
                timeout(FIN_TIMEOUT, news).await.map_err(|_| Errno::ETIMEDOUT)?;
            } else {
                news.await;
            }
        }
    }

    /// Moves what there is.
    fn turn(&mut self, socket: &mut SegmentSocket<'_>) -> SysResult<()> {
        self.receive(socket)?;
        self.send(socket)
    }

    /// From the other machine inside.
    fn receive(&mut self, socket: &mut SegmentSocket<'_>) -> SysResult<()> {
        while socket.can_recv() && self.inside.has_room() {
            let moved = socket.recv(|bytes| {
                let moved = self.inside.write(0, &mut IoSrc::kernel(bytes));
                (*moved.as_ref().unwrap_or(&0), moved)
            });
            match moved.unwrap_or(Err(Errno::ECONNRESET)) {
                Ok(_) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error),
            }
        }
        if self.received || socket.may_recv() {
            return Ok(());
        }
        match socket.recv(|_| (0, ())) {
            Ok(()) => Ok(()),
            Err(RecvError::Finished) => {
                self.received = true;
                // `ENOTCONN`: a reset, which the other half reports.
                let _ = self.inside.shut_down(Shutdown::SEND);
                Ok(())
            }
            Err(RecvError::InvalidState) => Err(Errno::ECONNRESET),
        }
    }

    /// From inside to the other machine.
    fn send(&mut self, socket: &mut SegmentSocket<'_>) -> SysResult<()> {
        if self.sent {
            return Ok(());
        }
        if !socket.may_send() {
            return Err(Errno::ECONNRESET);
        }
        while socket.can_send() {
            let taken = self
                .inside
                .take_received(|bytes| socket.send_slice(bytes).map_err(|_| Errno::ECONNRESET));
            match taken {
                Ok(0) => {
                    self.sent = true;
                    socket.close();
                    // There is nothing more to send them with.
                    socket.set_ack_delay(None);
                    break;
                }
                Ok(_) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
