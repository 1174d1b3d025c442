//! Whoever is at the other end of the socket says anything, and passes files of any kind.

use std::{
    fs,
    io::IoSlice,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use arbitrary::{Arbitrary, Result, Unstructured};
use evering::{
    peer::connect::{accept, accept_role, offer},
    region::{Options, Region},
    wake::EventFd,
};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::fuzz;

fn options() -> Options {
    Options::new().capacity(8).arena(4096).away(4)
}

/// A file that comes with a message.
#[derive(Arbitrary, Debug)]
enum File {
    Region,
    /// One for other entries.
    OtherRegion,
    Event,
    Null,
    Pipe,
    Socket,
}

impl File {
    fn open(&self) -> OwnedFd {
        let region = |file: Option<std::os::fd::BorrowedFd<'_>>| {
            file.expect("it is in a file").try_clone_to_owned().expect("descriptors are left")
        };
        match self {
            File::Region => {
                region(Region::<u32, u64>::create(&options()).expect("there is room").as_fd())
            }
            File::OtherRegion => {
                region(Region::<u8, [u64; 4]>::create(&options()).expect("there is room").as_fd())
            }
            File::Event => {
                let event = EventFd::new().expect("descriptors are left");
                event.as_fd().try_clone_to_owned().expect("descriptors are left")
            }
            File::Null => fs::File::open("/dev/null").expect("it is there").into(),
            File::Pipe => std::io::pipe().expect("descriptors are left").0.into(),
            File::Socket => UnixStream::pair().expect("descriptors are left").0.into(),
        }
    }
}

/// One message: a hello, as it should be or with a byte of it changed, or anything.
#[derive(Arbitrary, Debug)]
struct Message {
    kind: u8,
    word: u8,
    at: u8,
    byte: u8,
    other: Vec<u8>,
    files: [Option<File>; 4],
}

fn say(socket: &UnixStream, message: &Message) {
    let mut hello = *b"evhl\x01\0\0\0\0";
    hello[8] = message.word % 5;
    if message.kind % 4 == 1 {
        hello[usize::from(message.at) % hello.len()] = message.byte;
    }
    let bytes = if message.kind % 4 == 2 { &message.other[..] } else { &hello[..] };
    let files: Vec<OwnedFd> = message.files.iter().flatten().map(File::open).collect();
    let fds: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let control = if fds.is_empty() { &[][..] } else { &rights[..] };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    // The other side may have hung up, or have no room.
    let _ = sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None);
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("proc is mounted").count()
}

fn meet(bytes: &mut Unstructured<'_>) -> Result<()> {
    let (here, there) = UnixStream::pair().expect("descriptors are left");
    here.set_read_timeout(Some(Duration::from_millis(1))).expect("it is not zero");
    // What it has to say it says in advance.
    for _ in 0..bytes.int_in_range(0..=3)? {
        say(&there, &bytes.arbitrary()?);
    }
    let there = if bytes.arbitrary()? { Some(there) } else { None };
    match bytes.int_in_range(0..=2)? {
        0 => drop(accept::<u32, u64>(&here, false)),
        1 => drop(accept_role::<u32, u64>(&here, false)),
        _ => drop(offer::<u32, u64>(&here, &options().events(bytes.arbitrary()?))),
    }
    drop(there);
    Ok(())
}

/// One test, since it counts the process's descriptors.
#[test]
fn nothing_that_is_said_on_the_socket_does_more_than_fail() {
    // The first connection starts the thread that notices deaths.
    let (here, there) = UnixStream::pair().expect("descriptors are left");
    std::thread::scope(|scope| {
        scope.spawn(|| drop(accept::<u32, u64>(&there, false).expect("it is offered")));
        drop(offer::<u32, u64>(&here, &options()).expect("it is accepted"));
    });
    drop((here, there));
    let before = descriptors();
    fuzz(meet);
    assert_eq!(descriptors(), before);
}
