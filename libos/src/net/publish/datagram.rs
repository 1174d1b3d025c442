//! Datagrams of a published port.
//!
//! The one idea: each client on the host is a socket of its own inside, so that the server tells them apart by their ports, and what comes to that socket is
//! the client's. A client of which nothing was heard for a while is forgotten, as by any gateway.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use hal::{cpu::Handle, host::socket::HostSocket, time};
use parking_lot::Mutex;

use super::{Edges, places};
use crate::{
    errno::{Errno, SysResult},
    net::inet::{Stack, options, udp::UdpSocket},
    net::{Socket, Ucred},
    vfs::{File, IoDst, IoSrc, PollEvents},
};

/// The most bytes of a datagram.
const DATAGRAM: usize = 65_536;
/// So many clients may be known at a time.
const CLIENTS: usize = 4096;
/// Of whom nothing was heard for so long is forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// A client on the host, as it is known inside.
struct Client {
    /// Where it is on the host.
    address: Vec<u8>,
    inside: Arc<UdpSocket>,
    /// When it last had something to say or to hear, in ns of the monotonic clock.
    heard: AtomicU64,
    forgotten: AtomicBool,
}

impl Client {
    fn touch(&self) {
        self.heard.store(time::monotonic(), Ordering::Relaxed);
    }

    fn is_idle(&self) -> bool {
        let silence = time::monotonic().saturating_sub(self.heard.load(Ordering::Relaxed));
        Duration::from_nanos(silence) >= IDLE
    }

    /// Sends inside. `ECONNREFUSED` when nobody is there.
    fn send(&self, bytes: &[u8]) -> SysResult<()> {
        send(&self.inside, bytes)
    }

    /// Its task ends.
    fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
        self.inside.core().notify(PollEvents::all());
    }
}

fn send(inside: &UdpSocket, bytes: &[u8]) -> SysResult<()> {
    inside.write(0, &mut IoSrc::kernel(bytes))?;
    match inside.take_error() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// A port of the host, and its clients.
struct Port {
    host: HostSocket,
    guest: u16,
    stack: Arc<Stack>,
    clients: Mutex<HashMap<Vec<u8>, Arc<Client>>>,
}

/// Takes datagrams from `host` to the port `guest`, and the answers back, for good.
pub(super) async fn serve(host: HostSocket, guest: u16, stack: Arc<Stack>, handle: Handle) {
    let edges = match Edges::of(&host) {
        Ok(edges) => edges,
        Err(error) => return log::error!("a published port is not watched: {error:?}"),
    };
    let port = Arc::new(Port { host, guest, stack, clients: Mutex::default() });
    let mut buf = vec![0; DATAGRAM];
    loop {
        match port.host.receive(&mut buf, true, 0, 0) {
            Ok(arrived) => {
                let bytes = buf.get(..arrived.len).unwrap_or_default();
                if let Some(client) = port.take_in(arrived.address, bytes) {
                    handle.spawn(answer(Arc::clone(&port), client)).detach();
                }
                // A flood is not to be all that a CPU does.
                hal::cpu::yield_now().await;
            }
            Err(error) if error.would_block() => edges.news().await,
            // That an answer did not reach a client.
            Err(_) => hal::cpu::yield_now().await,
        }
    }
}

impl Port {
    /// Takes a datagram of the client at `address` inside. Gives the client if it is new.
    fn take_in(&self, address: Vec<u8>, bytes: &[u8]) -> Option<Arc<Client>> {
        let known = self.clients.lock().get(&address).cloned();
        if let Some(client) = known {
            client.touch();
            if client.send(bytes).is_ok() {
                return None;
            }
            // The server has gone, and there may be another one.
            self.forget(&client);
        }
        let inside = self.begin(bytes)?;
        let client = Arc::new(Client {
            address,
            inside,
            heard: AtomicU64::new(time::monotonic()),
            forgotten: AtomicBool::new(false),
        });
        let mut clients = self.clients.lock();
        let oldest = match clients.len() < CLIENTS {
            true => None,
            false => {
                let heard = |client: &&Arc<Client>| client.heard.load(Ordering::Relaxed);
                let oldest = clients.values().min_by_key(heard).cloned();
                oldest.and_then(|oldest| clients.remove(&oldest.address))
            }
        };
        clients.insert(client.address.clone(), Arc::clone(&client));
        drop(clients);
        if let Some(oldest) = oldest {
            oldest.forget();
        }
        Some(client)
    }

    /// A socket inside that has sent `bytes` to somebody.
    fn begin(&self, bytes: &[u8]) -> Option<Arc<UdpSocket>> {
        places(self.guest).into_iter().find_map(|(family, name)| {
            let socket = UdpSocket::new(&self.stack, family, options::UDP, Ucred::KERNEL).ok()?;
            socket.connect_by_kernel(&name.to_address(family)).ok()?;
            send(&socket, bytes).is_ok().then_some(socket)
        })
    }

    fn forget(&self, client: &Arc<Client>) {
        let mut clients = self.clients.lock();
        if clients.get(&client.address).is_some_and(|known| Arc::ptr_eq(known, client)) {
            clients.remove(&client.address);
        }
        drop(clients);
        client.forget();
    }
}

/// Takes what comes inside for `client` to the host, until it is forgotten.
async fn answer(port: Arc<Port>, client: Arc<Client>) {
    let inside = &client.inside;
    while !client.forgotten.load(Ordering::Acquire) {
        let mut changed = inside.core().queue.wait();
        changed.arm();
        let mut buf = Vec::new();
        let received = match inside.poll().contains(PollEvents::IN) {
            false => Err(Errno::EAGAIN),
            true => {
                buf.resize(DATAGRAM, 0);
                inside.read(0, &mut IoDst::kernel(&mut buf))
            }
        };
        match received {
            Ok(len) => {
                client.touch();
                // What the host has no room for is lost, as datagrams are.
                let bytes = buf.get(..len).unwrap_or_default();
                let _ = port.host.send(bytes, Some(&client.address), &[], 0);
            }
            Err(Errno::EAGAIN) => {
                if time::timeout(IDLE, changed).await.is_err() && client.is_idle() {
                    port.forget(&client);
                }
            }
            // The server has gone.
            Err(_) => port.forget(&client),
        }
    }
}
