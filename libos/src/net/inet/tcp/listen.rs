//! How connections come to be: listen(2), connect(2), accept(2).
//!
//! The one idea: connect(2) makes both ends at once, and the second one lies with the listener until accept(2) gives it a descriptor; so a connection can be
//! written to before it is accepted. Where too many lie already, the client waits in the state that it would be in if its first packet had been lost, until an
//! accept makes room or it has waited long enough.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Weak, atomic::Ordering},
};

use linux_raw_sys::net as raw;

use super::{
    End, Progress, State,
    connection::{Connection, Pair},
    socket::TcpSocket,
};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Shutdown,
        inet::{
            address::{Family, Name, destination, is_unspecified},
            options::TCP,
            route::{Device, Reach, device_in, name_on_wire},
        },
    },
    vfs::PollEvents,
};

/// ns
const SECOND: u64 = 1_000_000_000;
/// Seconds that a try of connect(2) takes at most.
const LONGEST_TRY: u64 = 120;

/// The connections of a socket that listens.
#[derive(Default)]
pub(super) struct Backlog {
    /// So many and one more may wait to be accepted.
    limit: usize,
    /// Those that wait to be accepted.
    pending: VecDeque<Arc<TcpSocket>>,
    /// Those whose clients wait for a place there.
    waiting: VecDeque<Arc<TcpSocket>>,
    /// Those that are connected, and for which there is nothing to accept them for yet.
    deferred: Vec<Arc<TcpSocket>>,
}

impl Backlog {
    /// Whether there is one to accept.
    pub(super) fn is_ready(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How many there are to accept, and how many there may be.
    pub(super) fn fill(&self) -> (usize, usize) {
        (self.pending.len(), self.limit)
    }

    /// Lets in who waits as long as there is room: their clients, to be told without locks. Who has gone meanwhile is to be dropped
    /// without locks too.
    fn let_in(&mut self) -> Entered {
        let mut entered = Entered::default();
        while self.pending.len() <= self.limit
            && let Some(server) = self.waiting.pop_front()
        {
            // Who is connected may send at once.
            let defers = server.end.listener.get().is_some();
            server.end.deferred.store(defers, Ordering::Relaxed);
            match server.connection().and_then(|connection| connection.establish()) {
                Some(client) => {
                    client.stack().counters.passive_opens.count();
                    entered.clients.push(client);
                    if defers {
                        entered.deferred.push(server.end.clone());
                        self.deferred.push(server);
                    } else {
                        self.pending.push_back(server);
                    }
                }
                None => entered.gone.push(server),
            }
        }
        entered
    }
}

/// What letting in has changed.
#[derive(Default)]
struct Entered {
    clients: Vec<Arc<End>>,
    gone: Vec<Arc<TcpSocket>>,
    deferred: Vec<Arc<End>>,
}

impl Entered {
    /// Tells the clients; no lock may be held.
    fn tell(self) {
        self.clients.iter().for_each(|client| client.notify_all());
        for end in &self.deferred {
            let seconds = end.numbers.get(TCP, raw::TCP_DEFER_ACCEPT).unwrap_or(0);
            end.set_timer(u64::try_from(seconds).unwrap_or(0) * SECOND, |end| end.admit());
        }
        drop(self.gone);
    }
}

impl TcpSocket {
    /// listen(2)
    pub(super) fn begin_to_listen(&self, limit: usize) -> SysResult<()> {
        let end = &self.end;
        let progress = end.progress.lock();
        if *progress != Progress::None {
            return Err(Errno::EINVAL);
        }
        match end.state() {
            State::Close => {}
            State::Listen => {
                if let Some(backlog) = &mut *end.listening.lock() {
                    backlog.limit = limit;
                }
                return Ok(());
            }
            _ => return Err(Errno::EINVAL),
        }
        end.autobind(&end.stack().tcp, end).map_err(|_| Errno::EADDRINUSE)?;
        *end.listening.lock() = Some(Backlog { limit, ..Backlog::default() });
        end.renew();
        let ports = end.stack().tcp.lock();
        let held = end.names().held;
        if held.is_some_and(|held| ports.conflicts(held.port, held.scope, end)) {
            drop(ports);
            *end.listening.lock() = None;
            return Err(Errno::EADDRINUSE);
        }
        end.set_state(State::Listen);
        drop(ports);
        end.notify_all();
        Ok(())
    }

    /// Stops listening: who was not accepted is reset.
    pub(super) fn stop_listening(&self) {
        let end = &self.end;
        let backlog = end.listening.lock().take();
        if backlog.is_some() {
            end.set_state(State::Close);
        }
        // Without the lock: closing them takes others.
        drop(backlog);
    }

    /// accept(2)
    pub(super) fn next_connection(&self) -> SysResult<Arc<TcpSocket>> {
        let (next, entered) = {
            let mut listening = self.end.listening.lock();
            let backlog = listening.as_mut().ok_or(Errno::EINVAL)?;
            let next = backlog.pending.pop_front().ok_or(Errno::EAGAIN)?;
            (next, backlog.let_in())
        };
        entered.tell();
        next.accepted();
        Ok(next)
    }

    /// connect(2)
    pub(super) fn begin_to_connect(&self, address: &[u8], may_wait: bool) -> SysResult<()> {
        let end = &self.end;
        let mut progress = end.progress.lock();
        if is_unspecified(address)? {
            self.disconnect();
            *progress = Progress::None;
            return Ok(());
        }
        match *progress {
            Progress::Done => return Err(Errno::EISCONN),
            Progress::None if end.state() != State::Close => return Err(Errno::EISCONN),
            Progress::None => {
                self.connect_to(address)?;
                *progress = Progress::Begun;
                if !may_wait {
                    return Err(Errno::EINPROGRESS);
                }
            }
            Progress::Begun => {}
        }
        match end.state() {
            State::SynSent => Err(if may_wait { Errno::EAGAIN } else { Errno::EALREADY }),
            State::Close => {
                *progress = Progress::None;
                let error = end.take_error().unwrap_or(Errno::ECONNABORTED);
                self.forget();
                end.unname(&end.stack().tcp, end);
                end.renew();
                Err(error)
            }
            _ => {
                *progress = Progress::Done;
                Ok(())
            }
        }
    }

    /// Whom to connect to, and from where.
    fn find_way(&self, address: &[u8]) -> SysResult<(Name, IpAddr, Device)> {
        let (end, to) = (&self.end, destination(self.end.family(), address)?);
        let own = end.names().local.ip;
        let v6 = end.family() == Family::V6;
        if v6 && to.ip.is_ipv4() && end.numbers.only_v6() {
            return Err(Errno::ENETUNREACH);
        }
        let to_any = v6 && to.ip.is_unspecified() && own.is_ipv4();
        let ip = if to_any { IpAddr::from([127, 0, 0, 1]) } else { to.ip };
        let device = match end.options.kept.lock().device {
            0 => device_in(&to),
            device => device,
        };
        let route = end.stack().routes().route(ip, device)?;
        if route.reach != Reach::Unicast || own.is_ipv4() != ip.is_ipv4() && !own.is_unspecified() {
            return Err(Errno::ENETUNREACH);
        }
        if route.device == Device::Ethernet && own.is_loopback() {
            return Err(Errno::EINVAL);
        }
        let from = if own.is_unspecified() { route.source } else { own };
        Ok((Name { ip: route.to, ..to }, from, route.device))
    }

    /// Makes a connection, or the error that says why there is none. `EADDRNOTAVAIL` when there is no port for it, `ENETUNREACH`, …
    fn connect_to(&self, address: &[u8]) -> SysResult<()> {
        let end = &self.end;
        let (to, from, device) = self.find_way(address)?;
        let stack = end.stack();
        let (local, listener) = {
            let mut names = end.names.lock();
            let mut ports = stack.tcp.lock();
            let port = match names.held {
                Some(held) => held.port,
                None => {
                    let held = ports.claim_to_connect(end.scope(from), to, end)?;
                    names.held = Some(held);
                    held.port
                }
            };
            let local = match device {
                Device::Loopback => Name::new(from, port),
                Device::Ethernet => name_on_wire(from, port),
            };
            if ports.is_connected(local, to) {
                return Err(Errno::EADDRNOTAVAIL);
            }
            (names.local, names.peer) = (local, Some(to));
            end.enter(&mut ports, &mut names, end);
            (local, ports.find(to, local, End::is_open))
        };
        self.forget();
        end.renew();
        stack.counters.active_opens.count();
        let met = match (device, listener) {
            (Device::Loopback, _) if !stack.routes().loopback_carries() => {
                self.wait_in_vain();
                Ok(())
            }
            (Device::Ethernet, _) => self.meet_elsewhere(local, to),
            (Device::Loopback, Some(listener)) => {
                self.meet(&listener).map_err(|_| Errno::ECONNREFUSED)
            }
            (Device::Loopback, None) => Err(Errno::ECONNREFUSED),
        };
        if let Err(error) = met {
            stack.counters.attempts_failed.count();
            end.set_state(State::Close);
            end.set_error(error);
            end.set_shut(Shutdown::all());
            end.retire();
            end.notify_all();
        }
        Ok(())
    }

    /// Leaves the other end of a connection with `listener`. `ECONNREFUSED`, `ENOMEM`.
    pub(super) fn meet(&self, listener: &Arc<End>) -> SysResult<()> {
        let end = &self.end;
        let server = TcpSocket::child(listener, &end.names())?;
        let entered = {
            let mut listening = listener.listening.lock();
            let backlog = listening.as_mut().ok_or(Errno::ECONNREFUSED)?;
            let pair = Pair::new(end, &server.end);
            self.set_connection(Connection::new(&pair, 0));
            server.set_connection(Connection::new(&pair, 1));
            end.set_state(State::SynSent);
            backlog.waiting.push_back(server);
            backlog.let_in()
        };
        entered.tell();
        if end.state() == State::SynSent {
            end.be_patient();
        }
        listener.notify(PollEvents::READABLE);
        Ok(())
    }

    /// What would be sent is lost, as `lo` is down: there is no answer.
    fn wait_in_vain(&self) {
        let end = &self.end;
        end.set_state(State::SynSent);
        end.set_timer(end.patience(), |end| {
            if end.state() == State::SynSent {
                end.set_error(Errno::ETIMEDOUT);
                end.set_shut(Shutdown::all());
                end.set_state(State::Close);
                end.retire();
                end.notify_all();
            }
        });
    }

    /// connect(2) without an address: it is as new, but for what bind(2) gave it.
    fn disconnect(&self) {
        let end = &self.end;
        self.stop_listening();
        match self.connection() {
            Some(connection) => connection.disconnect(),
            None => end.renew(),
        }
        self.forget();
        end.unname(&end.stack().tcp, end);
        end.notify_all();
    }

    /// shutdown(2)
    pub(super) fn shut(&self, how: Shutdown) -> SysResult<()> {
        let end = &self.end;
        let mut progress = end.progress.lock();
        if *progress == Progress::Begun {
            let over = matches!(end.state(), State::SynSent | State::Close);
            *progress = if over { Progress::Begun } else { Progress::Done };
        }
        match end.state() {
            State::Listen if !how.contains(Shutdown::RECEIVE) => {}
            State::Listen | State::SynSent => {
                self.disconnect();
                *progress = Progress::None;
            }
            State::Close => {
                end.set_shut(how);
                end.notify_all();
                return Err(Errno::ENOTCONN);
            }
            _ => {
                if let Some(connection) = self.connection() {
                    connection.shut_down(how);
                }
            }
        }
        Ok(())
    }
}

impl End {
    /// How long connect(2) waits for an answer, in ns: as many tries as are asked for, each twice as long as the one before, or as long as is said.
    fn patience(&self) -> u64 {
        let number = |name| self.numbers.get(TCP, name).ok().and_then(|it| u64::try_from(it).ok());
        match number(raw::TCP_USER_TIMEOUT) {
            Some(millis @ 1..) => millis * (SECOND / 1000),
            _ => {
                let tries = number(raw::TCP_SYNCNT).unwrap_or(0);
                (0..=tries).map(|at| LONGEST_TRY.min(1 << at.min(32)) * SECOND).sum()
            }
        }
    }

    /// Waits for an answer to connect(2), and not longer than that.
    pub(super) fn be_patient(self: &Arc<Self>) {
        self.set_timer(self.patience(), |end| {
            if let Some(pair) = end.pair.lock().upgrade() {
                Connection::new(&pair, 0).time_out();
            }
        });
    }

    /// Does something in so many ns, unless something else is to be done later.
    fn set_timer(self: &Arc<Self>, nanos: u64, what: fn(&Arc<Self>)) {
        let until = hal::time::monotonic().saturating_add(nanos);
        let end = Arc::downgrade(self);
        let task = hal::cpu::spawn_urgent(async move {
            hal::time::sleep_until(until).await;
            if let Some(end) = end.upgrade() {
                what(&end);
            }
        });
        let old = self.timer.lock().replace(task);
        // Not under the lock.
        drop(old);
    }

    /// There is something to accept it for, if it has waited for that.
    pub(super) fn admit(&self) {
        if !self.deferred.load(Ordering::Relaxed) || !self.deferred.swap(false, Ordering::Relaxed) {
            return;
        }
        let Some(listener) = self.listener.get().and_then(Weak::upgrade) else { return };
        if let Some(backlog) = &mut *listener.listening.lock() {
            let at = backlog.deferred.iter().position(|other| std::ptr::eq(&*other.end, self));
            if let Some(at) = at {
                let server = backlog.deferred.remove(at);
                backlog.pending.push_back(server);
            }
        }
        listener.notify(PollEvents::READABLE);
    }

    /// Whether it accepts connections.
    fn is_open(&self) -> bool {
        self.state() == State::Listen
    }
}
