//! What no program sees: that sockets leave nothing behind.

use hal::cpu::{Config, Cpus};

use super::*;
use crate::{
    net::{Incoming, Outgoing, Shutdown, unix::tests::anybody},
    vfs::{IoDst, IoSrc},
};

fn stack(network: Network) -> Arc<Stack> {
    Stack::new(network, None, &PhysicalMemory::new(None).unwrap(), &Arc::default())
}

fn socket(stack: &Arc<Stack>, kind: u32) -> Arc<dyn Socket> {
    stack.socket(&anybody(), Family::V4, kind, 0).unwrap()
}

fn any_port() -> super::super::Address {
    address::Name::new([127, 0, 0, 1].into(), 0).to_address(Family::V4)
}

fn send(by: &Arc<dyn Socket>, bytes: &[u8]) -> SysResult {
    by.send(&anybody(), &mut Outgoing::bytes(&mut IoSrc::kernel(bytes)))
}

fn receive(by: &Arc<dyn Socket>) -> SysResult<Vec<u8>> {
    let mut bytes = vec![0; 99];
    let done = by.receive(&mut Incoming::bytes(&mut IoDst::kernel(&mut bytes)))?;
    bytes.truncate(done);
    Ok(bytes)
}

/// Runs a test where timers can be set, as on a CPU of the kernel.
fn with_timers(test: impl FnOnce()) {
    let cpus = Cpus::start(Config { cpus: 1, ..Config::default() }).unwrap();
    cpus.block_on(async { test() });
}

/// One that listens and two that are connected through it.
fn connected(stack: &Arc<Stack>) -> (Arc<dyn Socket>, Arc<dyn Socket>, Arc<dyn Socket>) {
    let (listener, client) = (socket(stack, raw::SOCK_STREAM), socket(stack, raw::SOCK_STREAM));
    listener.bind(&anybody(), &any_port()).unwrap();
    listener.listen(&anybody(), 0).unwrap();
    let address = listener.local_address().unwrap();
    client.connect(&anybody(), &address, true).unwrap();
    let server = listener.accept().unwrap();
    (listener, client, server)
}

fn left(stack: &Stack) -> (usize, usize, u64) {
    (stack.tcp.lock().all().count(), stack.udp.lock().all().count(), stack.memory.charged())
}

#[test]
fn a_connection_leaves_nothing_behind() {
    let stack = stack(Network::Loopback);
    for last in 0..3 {
        let (listener, client, server) = connected(&stack);
        assert_eq!(send(&client, b"there"), Ok(5));
        assert_eq!(send(&server, b"back"), Ok(4));
        assert_eq!(receive(&server).unwrap(), b"there");
        let mut sockets = [listener, client, server];
        sockets.rotate_left(last);
        drop(sockets);
        assert_eq!(left(&stack), (0, 0, 0), "{last}");
    }
}

#[test]
fn one_that_was_never_accepted_leaves_nothing_behind() {
    with_timers(|| {
        let stack = stack(Network::Loopback);
        let (listener, ..) = connected(&stack);
        let clients: Vec<_> = (0..4).map(|_| socket(&stack, raw::SOCK_STREAM)).collect();
        let address = listener.local_address().unwrap();
        let outcomes = clients.iter().map(|client| client.connect(&anybody(), &address, true));
        let outcomes: Vec<_> = outcomes.collect();
        assert_eq!(outcomes[..2], [Ok(()), Err(Errno::EAGAIN)]);
        drop(listener);
        assert_eq!(receive(&clients[0]), Err(Errno::ECONNRESET));
        assert_eq!(clients[1].connect(&anybody(), &address, true), Err(Errno::ECONNREFUSED));
        drop(clients);
        assert_eq!(left(&stack), (0, 0, 0));
    });
}

#[test]
fn a_client_that_goes_while_it_waits_is_not_let_in() {
    with_timers(|| {
        let stack = stack(Network::Loopback);
        let (listener, ..) = connected(&stack);
        let address = listener.local_address().unwrap();
        let clients: Vec<_> = (0..3).map(|_| socket(&stack, raw::SOCK_STREAM)).collect();
        for client in &clients {
            let _ = client.connect(&anybody(), &address, false);
        }
        let [first, second, third] = clients.try_into().ok().unwrap();
        drop(second);
        drop(listener.accept().unwrap());
        assert_eq!(third.connect(&anybody(), &address, true), Ok(()));
        assert_eq!(receive(&first).unwrap(), b"");
        assert!(listener.accept().is_ok());
        assert_eq!(listener.accept().err(), Some(Errno::EAGAIN));
    });
}

#[test]
fn datagrams_that_nobody_reads_leave_nothing_behind() {
    let stack = stack(Network::Loopback);
    let (one, other) = (socket(&stack, raw::SOCK_DGRAM), socket(&stack, raw::SOCK_DGRAM));
    one.bind(&anybody(), &any_port()).unwrap();
    other.connect(&anybody(), &one.local_address().unwrap(), true).unwrap();
    assert_eq!(send(&other, b"one"), Ok(3));
    assert_eq!(send(&other, b"two"), Ok(3));
    assert_eq!(receive(&one).unwrap(), b"one");
    assert_eq!(other.shut_down(Shutdown::SEND), Ok(()));
    drop((one, other));
    assert_eq!(left(&stack), (0, 0, 0));
}

#[test]
fn without_a_network_there_are_no_sockets() {
    let made = stack(Network::None).socket(&anybody(), Family::V4, raw::SOCK_STREAM, 0);
    assert_eq!(made.err(), Some(Errno::EAFNOSUPPORT));
}

#[test]
fn namespaces_have_ports_of_their_own_and_a_device_that_is_down() {
    with_timers(|| {
        let one = stack(Network::Loopback);
        let other = one.another(&UserNamespace::FIRST);
        let (listener, ..) = connected(&one);
        let address = listener.local_address().unwrap();
        let to = |stack| socket(stack, raw::SOCK_STREAM).connect(&anybody(), &address, true);
        assert_eq!((to(&one), to(&other)), (Ok(()), Err(Errno::ENETUNREACH)));
        other.routes().loopback().set_up(true);
        assert_eq!(to(&other), Err(Errno::ECONNREFUSED));
        let same = socket(&other, raw::SOCK_STREAM);
        assert_eq!(same.bind(&anybody(), &address), Ok(()));
        assert_eq!(same.listen(&anybody(), 1), Ok(()));
        assert_eq!(to(&other), Ok(()));
    });
}

#[test]
fn what_goes_to_a_device_that_is_down_is_lost() {
    with_timers(|| {
        let stack = stack(Network::Loopback);
        {
            let (listener, receiver) =
                (socket(&stack, raw::SOCK_STREAM), socket(&stack, raw::SOCK_DGRAM));
            listener.bind(&anybody(), &any_port()).unwrap();
            listener.listen(&anybody(), 1).unwrap();
            receiver.bind(&anybody(), &any_port()).unwrap();
            stack.routes().loopback().set_up(false);
            let (client, sender) =
                (socket(&stack, raw::SOCK_STREAM), socket(&stack, raw::SOCK_DGRAM));
            let connect = |by: &Arc<dyn Socket>, to: &[u8]| by.connect(&anybody(), to, false);
            let (to, to_receiver) =
                (listener.local_address().unwrap(), receiver.local_address().unwrap());
            assert_eq!(connect(&client, &to), Err(Errno::EINPROGRESS));
            assert_eq!(connect(&client, &to), Err(Errno::EALREADY));
            assert_eq!(connect(&sender, &to_receiver), Ok(()));
            assert_eq!(send(&sender, b"lost"), Ok(4));
            stack.routes().loopback().set_up(true);
            assert_eq!(receive(&receiver), Err(Errno::EAGAIN));
            assert_eq!(send(&sender, b"there"), Ok(5));
            assert_eq!(receive(&receiver).unwrap(), b"there");
        }
        assert_eq!(left(&stack), (0, 0, 0));
    });
}
