//! Ptys without processes: bytes from one side to the other, who is told of them, the ends of either side.

use std::{pin::pin, sync::Arc};

use futures::FutureExt;
use hal::pmem::PhysicalMemory;
use linux_raw_sys::general as raw;

use super::{Master, PtyOptions, Slave, Terminals, table};
use crate::{
    errno::{Errno, SysResult},
    vfs::{DeviceNumber, File, IoDst, IoSrc, PollEvents},
};

fn terminals() -> (Arc<PhysicalMemory>, Arc<Terminals>) {
    let memory = PhysicalMemory::new(Some(1 << 20)).unwrap();
    let terminals = Terminals::new(&memory, PtyOptions::FIRST);
    (memory, terminals)
}

fn open(terminals: &Arc<Terminals>) -> (Arc<Master>, Arc<Slave>) {
    let master = terminals.open_pty(0, 0).unwrap();
    master.set_locked(false);
    let slave = terminals.open(master.terminal().device(), false).unwrap();
    (master, slave)
}

fn read(file: &dyn File) -> SysResult<Vec<u8>> {
    let mut buf = vec![0; 9000];
    let count = file.read(0, &mut IoDst::kernel(&mut buf))?;
    buf.truncate(count);
    Ok(buf)
}

fn write(file: &dyn File, bytes: &[u8]) -> SysResult {
    file.write(0, &mut IoSrc::kernel(bytes))
}

#[test]
fn what_is_typed_at_one_side_is_a_line_at_the_other() {
    let (memory, terminals) = terminals();
    let (master, slave) = open(&terminals);
    assert_eq!((read(&*slave), read(&*master)), (Err(Errno::EAGAIN), Err(Errno::EAGAIN)));
    assert_eq!(write(&*master, b"hellX\x7fo\r"), Ok(8));
    assert_eq!(read(&*slave).unwrap(), b"hello\n");
    assert_eq!(write(&*slave, b"hi\n"), Ok(3));
    assert_eq!(read(&*master).unwrap(), b"hellX\x08 \x08o\r\nhi\r\n");
    drop((master, slave));
    assert_eq!(memory.charged(), 0);
}

#[test]
fn who_waits_is_told() {
    let (_memory, terminals) = terminals();
    let (master, slave) = open(&terminals);
    let terminal = Arc::clone(slave.terminal());
    let mut line = pin!(terminal.wait_for(PollEvents::READABLE));
    assert!(line.as_mut().now_or_never().is_none());
    write(&*master, b"a\n").unwrap();
    assert!(line.now_or_never().is_some());
    read(&*master).unwrap();
    {
        let mut shown = pin!(master.wait_queue().unwrap().wait_for(PollEvents::READABLE.bits()));
        assert!(shown.as_mut().now_or_never().is_none());
        write(&*slave, b"x").unwrap();
        assert!(shown.now_or_never().is_some());
    }
    assert_eq!(write(&*slave, &[b'y'; 99_999]).map(|count| count > 4096), Ok(true));
    assert_eq!(write(&*slave, b"z"), Err(Errno::EAGAIN));
    assert!(!slave.poll().contains(PollEvents::OUT));
    let mut room = pin!(terminal.wait_for(PollEvents::WRITABLE));
    assert!(room.as_mut().now_or_never().is_none());
    read(&*master).unwrap();
    assert!(room.now_or_never().is_some() && slave.poll().contains(PollEvents::OUT));
    let mut end = pin!(terminal.wait_for(PollEvents::READABLE));
    assert!(end.as_mut().now_or_never().is_none());
    drop(master);
    assert!(end.now_or_never().is_some());
}

#[test]
fn a_master_that_types_too_much_waits_for_a_reader() {
    let (_memory, terminals) = terminals();
    let (master, slave) = open(&terminals);
    let mut typed = 0;
    let line = [b"l".repeat(99), b"\n".to_vec()].concat();
    while let Ok(count) = write(&*master, &line) {
        typed += count;
        while read(&*master).is_ok() {}
    }
    assert!(typed > 4096 && !master.poll().contains(PollEvents::OUT));
    let mut got = 0;
    while let Ok(line) = read(&*slave) {
        assert_eq!((line.len(), line.last()), (100, Some(&b'\n')));
        got += line.len();
    }
    // The rest of a line that was cut where there was no more room.
    assert!(typed - got < 100 && master.poll().contains(PollEvents::OUT));
}

#[test]
fn each_side_sees_the_end_of_the_other() {
    let (_memory, terminals) = terminals();
    let (master, slave) = open(&terminals);
    let device = slave.terminal().device();
    write(&*slave, b"last").unwrap();
    drop(slave);
    assert_eq!(read(&*master).unwrap(), b"last");
    assert_eq!(read(&*master), Err(Errno::EIO));
    assert!(master.poll().contains(PollEvents::HUP));
    let slave = terminals.open(device, false).unwrap();
    assert!(!master.poll().contains(PollEvents::HUP));
    drop(master);
    assert_eq!((read(&*slave), write(&*slave, b"x")), (Ok(Vec::new()), Err(Errno::EIO)));
    assert!(slave.is_hung_up() && slave.poll().contains(PollEvents::HUP));
    assert_eq!(terminals.open(device, true).err(), Some(Errno::EIO));
}

#[test]
fn a_number_is_free_when_both_sides_are_closed() {
    let (_memory, terminals) = terminals();
    let (first, slave) = open(&terminals);
    let (second, _other) = open(&terminals);
    assert_eq!((first.number(), second.number()), (0, 1));
    drop(first);
    assert_eq!(terminals.open_pty(0, 0).unwrap().number(), 2);
    drop(slave);
    assert_eq!(terminals.open_pty(0, 0).unwrap().number(), 0);
}

#[test]
fn a_new_pty_is_locked_and_one_can_be_kept_for_oneself() {
    let (_memory, terminals) = terminals();
    let master = terminals.open_pty(0, 0).unwrap();
    let device = master.terminal().device();
    assert_eq!(terminals.open(device, true).err(), Some(Errno::EIO));
    master.set_locked(false);
    let slave = terminals.open(device, false).unwrap();
    slave.terminal().set_exclusive(true);
    assert_eq!(terminals.open(device, false).err(), Some(Errno::EBUSY));
    assert!(terminals.open(device, true).is_ok());
    assert_eq!(terminals.open(table::CONSOLE, true).err(), Some(Errno::ENXIO));
    assert_eq!(terminals.open(DeviceNumber::new(4, 1), true).err(), Some(Errno::ENXIO));
}

#[test]
fn a_full_memory_gives_no_more_ptys() {
    let (memory, terminals) = terminals();
    let all: Vec<_> = std::iter::from_fn(|| terminals.open_pty(0, 0).ok()).collect();
    assert!(!all.is_empty() && all.len() < 100);
    assert_eq!(terminals.open_pty(0, 0).err(), Some(Errno::ENOMEM));
    drop(all);
    assert_eq!(memory.charged(), 0);
}

#[test]
fn packets_say_what_they_are() {
    let (_memory, terminals) = terminals();
    let (master, slave) = open(&terminals);
    master.set_packet_mode(true);
    write(&*slave, b"abc").unwrap();
    assert_eq!(read(&*master).unwrap(), b"\0abc");
    write(&*master, b"\x13").unwrap();
    assert!(master.poll().contains(PollEvents::PRI | PollEvents::IN));
    assert_eq!(read(&*master).unwrap(), [raw::TIOCPKT_STOP as u8]);
    master.set_packet_mode(false);
    write(&*master, b"\x11").unwrap();
    assert_eq!(read(&*master), Err(Errno::EAGAIN));
}
