//! Connections of a published port.
//!
//! The one idea: one task a connection moves bytes both ways, whichever of its two sockets has woken it, and moves only what the other one takes at once; so
//! it has no buffer of its own, and who does not read holds back who writes. An end of one half is passed on as such, and a reset as a reset.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::select;
use hal::{cpu::Handle, host::socket::HostSocket};
use linux_raw_sys::{general::POLLERR, net as raw};

use super::{Edges, HANGUP, LOOK, READABLE, WRITABLE, errno, places};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Shutdown, Socket, Ucred,
        inet::{Stack, options::TCP, tcp::TcpSocket},
    },
    vfs::{File, IoSrc, buf::with_buffer},
};

/// How much is read from the host at once: little, as long as that is enough.
const SMALL: usize = 4096;
const LARGE: usize = 64 << 10;
/// Bytes that may wait inside for a server to read them.
const UNREAD: i32 = 256 << 10;
/// So often is moved what there is before other tasks have their turn.
const TURNS: usize = 16;
/// `SHUT_WR`
const SHUT_WR: i32 = 1;

/// Takes connections from `listener` to the port `guest`, for good.
pub(super) async fn serve(listener: HostSocket, guest: u16, stack: Arc<Stack>, handle: Handle) {
    let edges = match Edges::of(&listener) {
        Ok(edges) => edges,
        Err(error) => return log::error!("a published port is not watched: {error:?}"),
    };
    loop {
        match listener.accept() {
            Ok(host) => handle.spawn(carry(host, guest, Arc::clone(&stack))).detach(),
            Err(error) if error.would_block() => edges.news().await,
            Err(error) => {
                // Mostly there are too many descriptors: some will be closed.
                log::warn!("a connection to a published port was lost: {error}");
                hal::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Closes a connection of the host as if the program there had been killed: its peer is reset.
fn reset(host: &HostSocket) {
    let linger = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
    // A peer that is gone needs no reset.
    let _ = host.set_option(raw::SOL_SOCKET, raw::SO_LINGER, &linger);
}

/// Carries one connection until both halves have ended.
async fn carry(host: HostSocket, guest: u16, stack: Arc<Stack>) {
    // What the server sends together comes together here.
    let _ = host.set_option(TCP, raw::TCP_NODELAY, &1_i32.to_ne_bytes());
    let Ok(inside) = connect(&stack, guest).await else { return reset(&host) };
    let carried = match Edges::of(&host) {
        Ok(edges) => {
            Carrier {
                host: &host,
                inside: &inside,
                edges,
                sent: false,
                received: false,
                blocked: false,
                chunk: SMALL,
            }
            .run()
            .await
        }
        Err(error) => Err(error),
    };
    if carried.is_err() {
        reset(&host);
        inside.core().options.kept.lock().linger = [1, 0];
    }
}

/// A connection to whoever listens at `port` inside. `ECONNREFUSED` when nobody does.
async fn connect(stack: &Arc<Stack>, port: u16) -> SysResult<Arc<TcpSocket>> {
    let mut refused = Errno::ECONNREFUSED;
    for (family, name) in places(port) {
        let socket = TcpSocket::new(stack, family, Ucred::KERNEL)?;
        let address = name.to_address(family);
        loop {
            let mut changed = socket.core().queue.wait();
            changed.arm();
            match socket.connect_by_kernel(&address) {
                Ok(()) => {
                    socket.core().options.force_send_buffer(UNREAD);
                    return Ok(Arc::clone(&socket));
                }
                // Begun: the next call says how far it has come.
                Err(Errno::EINPROGRESS) => {}
                // Those who came before were not accepted yet.
                Err(Errno::EALREADY) => changed.await,
                Err(error) => {
                    refused = error;
                    break;
                }
            }
        }
    }
    Err(refused)
}

/// A connection that is being carried.
struct Carrier<'a> {
    host: &'a HostSocket,
    inside: &'a TcpSocket,
    edges: Edges,
    /// All that comes from inside was sent to the host.
    sent: bool,
    /// All that comes from the host was sent inside.
    received: bool,
    /// The host takes nothing more before it says so.
    blocked: bool,
    /// How much is read from the host at once.
    chunk: usize,
}

impl Carrier<'_> {
    async fn run(mut self) -> SysResult<()> {
        loop {
            let mut changed = self.inside.core().queue.wait();
            changed.arm();
            let was_all = self.turn()?;
            if self.sent && self.received {
                return Ok(());
            } else if was_all {
                select(changed, pin!(self.edges.news())).await;
            } else {
                hal::cpu::yield_now().await;
            }
        }
    }

    /// Moves what there is, for a while. Whether that was all.
    fn turn(&mut self) -> SysResult<bool> {
        for _ in 0..TURNS {
            let out = self.send_some()?;
            let inward = self.receive_some()?;
            if !out && !inward {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// From inside to the host.
    fn send_some(&mut self) -> SysResult<bool> {
        if self.sent || self.blocked && !self.edges.take(WRITABLE) {
            return Ok(false);
        }
        self.blocked = false;
        let taken = self.inside.take_received(|bytes| {
            self.edges.take(WRITABLE);
            match self.host.send(bytes, None, &[], 0) {
                Ok(count) => Ok(count),
                Err(error) if error.would_block() => {
                    self.blocked = true;
                    Ok(0)
                }
                Err(error) => Err(errno(error)),
            }
        });
        match taken {
            Ok(0) if self.blocked => Ok(false),
            Ok(0) => {
                self.sent = true;
                // Who has gone altogether is found out by the other half.
                let _ = self.host.shut_down(SHUT_WR);
                Ok(true)
            }
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// From the host inside.
    fn receive_some(&mut self) -> SysResult<bool> {
        if self.received {
            // Nothing more is read, which would tell of a reset.
            let broken = self.edges.take(LOOK) && self.host.poll() & POLLERR != 0;
            return if broken { Err(Errno::ECONNRESET) } else { Ok(false) };
        }
        if self.inside.core().has_error() {
            return Err(Errno::ECONNRESET);
        }
        if !self.edges.has(READABLE) || !self.inside.has_room() {
            return Ok(false);
        }
        self.edges.take(READABLE);
        let chunk = self.chunk;
        let count = with_buffer(chunk, |buf| {
            let count = match self.host.receive(buf, false, 0, 0) {
                Ok(arrived) => arrived.len,
                Err(error) => return Err(errno(error)),
            };
            let mut rest = IoSrc::kernel(buf.get(..count).unwrap_or_default());
            while rest.remaining() > 0 {
                // There was room for all of it, and nobody else sends here; what fails is no memory, or a reset.
                self.inside.write(0, &mut rest)?;
            }
            Ok(count)
        });
        match count {
            Ok(0) => {
                self.received = true;
                // `ENOTCONN`: a reset, which the other half reports.
                let _ = self.inside.shut_down(Shutdown::SEND);
                Ok(true)
            }
            Ok(count) => {
                self.chunk = if count == chunk { LARGE } else { SMALL };
                if count == chunk || self.edges.has(HANGUP) {
                    self.edges.put(READABLE);
                }
                Ok(true)
            }
            Err(Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
