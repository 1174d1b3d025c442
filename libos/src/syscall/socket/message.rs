//! Sending and receiving: sendto(2), recvmsg(2) and their kin.
//!
//! The one idea: every call makes an [`Outgoing`] or an [`Incoming`] of the guest's memory, and then all go the same way. Control messages are taken apart
//! before anything is sent, so a bad one sends nothing, and made after everything was received, so what there is no room for is dropped here.

use std::sync::atomic::Ordering;

use linux_raw_sys::net as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{ADDRESS_MAX, read_address, write_address};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Address, Ancillary, Control, Incoming, MessageFlags, Outgoing, Socket, SocketKind, Ucred,
        inet::is_inet,
        options::{Timestamps, stamping},
        unix::rights::FILES_MAX,
    },
    process::{Resource, Thread},
    signal,
    syscall::{
        argument::{Fd, UserAddr, UserPtr},
        io::{
            IoVec, MAX_RANGES, MAX_TRANSFER, Ranges, at_once, check_reach, ranges, until_ready_if,
        },
        pace,
    },
    timer::{Timespec, Timeval},
    vfs::{Capabilities, IoDst, IoSrc, OpenFile, PollEvents},
};

/// `struct msghdr`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct MsgHdr {
    pub(crate) name: u64,
    pub(crate) name_len: i32,
    _pad: u32,
    vector: u64,
    vector_len: u64,
    pub(crate) control: u64,
    pub(crate) control_len: u64,
    pub(crate) flags: u32,
    _pad_end: u32,
}

/// `struct mmsghdr`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct MMsgHdr {
    header: MsgHdr,
    len: u32,
    _pad: u32,
}

/// `struct cmsghdr`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct ControlHdr {
    len: u64,
    level: u32,
    kind: u32,
}

const CONTROL_HDR: usize = size_of::<ControlHdr>();

/// Control messages begin at multiples of this.
const CONTROL_ALIGN: usize = 8;

/// The most bytes of control messages that a call sends (`net.core.optmem_max`).
const CONTROL_MAX: u64 = 128 << 10;

/// The most messages of one call: `UIO_MAXIOV`.
const MESSAGES_MAX: u32 = 1024;

/// The flags of a transfer that goes on at once or not at all.
const PLAIN: MessageFlags = MessageFlags::DONTWAIT.union(MessageFlags::NOSIGNAL);

// Sending.

/// Sends a message, waiting if it may: a stream's as a whole, then.
pub(crate) async fn send(
    thread: &Thread,
    file: &OpenFile,
    socket: &dyn Socket,
    message: &mut Outgoing<'_, '_>,
) -> SysResult {
    let may_wait = !file.nonblocking() && !message.flags.contains(MessageFlags::DONTWAIT);
    send_if(may_wait, thread, file, socket, message).await
}

/// Sends a message, waiting if it `may_wait`, whatever the file says.
pub(crate) async fn send_if(
    may_wait: bool,
    thread: &Thread,
    file: &OpenFile,
    socket: &dyn Socket,
    message: &mut Outgoing<'_, '_>,
) -> SysResult {
    let sent = send_all(may_wait, thread, file, socket, message).await;
    let core = socket.core();
    let uncopied = message.flags.contains(MessageFlags::ZEROCOPY) && core.completions.is_wanted();
    if uncopied && sent.is_ok_and(|sent| sent > 0) {
        core.completions.complete();
        core.notify(PollEvents::ERR);
    }
    sent
}

async fn send_all(
    may_wait: bool,
    thread: &Thread,
    file: &OpenFile,
    socket: &dyn Socket,
    message: &mut Outgoing<'_, '_>,
) -> SysResult {
    let stream = socket.kind() == SocketKind::Stream;
    let mut done = 0;
    loop {
        let attempt = || socket.send(thread, message);
        match until_ready_if(may_wait, thread, file, PollEvents::OUT, attempt).await {
            Ok(sent) => {
                done += sent;
                if !stream || !may_wait || message.data.remaining() == 0 {
                    return Ok(done);
                }
                pace::give_way(thread).await;
            }
            // What was sent before counts more than why it ended.
            Err(_) if done > 0 => return Ok(done),
            Err(error) => {
                let silent = message.flags.contains(MessageFlags::NOSIGNAL);
                if error == Errno::EPIPE && stream && !silent {
                    signal::broken_pipe(thread);
                }
                return Err(error);
            }
        }
    }
}

/// send(2) of a few bytes to the peer.
pub(crate) fn sendto_at_once(
    thread: &Thread,
    fd: Fd,
    buffer: UserAddr,
    count: usize,
    flags: u32,
    to: UserAddr,
    _to_len: i32,
) -> Option<SysResult> {
    if !to.is_null() || flags & !PLAIN.bits() != 0 {
        return None;
    }
    at_once(thread, fd, count, |file| {
        let from = &mut IoSrc::guest(&*thread.memory, buffer.0, count);
        let one_piece = file.socket().is_ok() && file.takes_whole(count);
        one_piece.then(|| file.write(from)).filter(|sent| *sent != Err(Errno::EPIPE))
    })
}

/// sendto(2)
pub(crate) async fn sendto(
    thread: &Thread,
    fd: Fd,
    buffer: UserAddr,
    count: usize,
    flags: u32,
    to: UserAddr,
    to_len: i32,
) -> SysResult {
    let count = count.min(MAX_TRANSFER);
    check_reach(buffer.0, count as u64)?;
    let file = thread.files.get(fd)?;
    let socket = file.socket()?;
    let to = match to.is_null() {
        true => None,
        false => Some(read_address(thread, to, to_len)?),
    };
    let mut data = IoSrc::guest(&*thread.memory, buffer.0, count);
    let mut message = Outgoing {
        to: to.as_deref(),
        flags: MessageFlags::from_bits_retain(flags),
        ..Outgoing::bytes(&mut data)
    };
    send(thread, &file, socket, &mut message).await
}

/// The ranges of a message. `EINVAL` for a header that makes no sense, `EMSGSIZE` for too many.
pub(crate) fn message_ranges(thread: &Thread, header: &MsgHdr) -> SysResult<Ranges> {
    if header.name != 0 && header.name_len < 0 {
        return Err(Errno::EINVAL);
    }
    if header.vector_len > MAX_RANGES as u64 {
        return Err(Errno::EMSGSIZE);
    }
    ranges(thread, UserPtr::<IoVec>::new(header.vector), header.vector_len as usize)
}

/// What a `struct msghdr` points to, copied: to whom, what, and what beside it.
pub(crate) struct Message {
    pub(crate) to: Option<Address>,
    pub(crate) ranges: Ranges,
    pub(crate) control: Control,
}

/// Copies what a message to be sent is made of. `EINVAL`, `EFAULT`, `EMSGSIZE`, `EBADF`, …
pub(crate) fn read_message(thread: &Thread, header: &MsgHdr) -> SysResult<Message> {
    if header.name != 0 && header.name_len < 0 {
        return Err(Errno::EINVAL);
    }
    let to = match header.name {
        0 => None,
        name => {
            let len = header.name_len.min(ADDRESS_MAX as i32);
            Some(read_address(thread, UserAddr(name), len)?).filter(|to| !to.is_empty())
        }
    };
    let ranges = message_ranges(thread, header)?;
    let control = match header.control {
        0 => Control::default(),
        control => read_control(thread, control, header.control_len)?,
    };
    Ok(Message { to, ranges, control })
}

async fn send_message(thread: &Thread, fd: Fd, header: &MsgHdr, flags: u32) -> SysResult {
    let file = thread.files.get(fd)?;
    let socket = file.socket()?;
    let Message { to, ranges, control } = read_message(thread, header)?;
    let mut data = IoSrc::guest_vectored(&*thread.memory, &ranges);
    let mut message = Outgoing {
        to: to.as_deref(),
        control,
        flags: MessageFlags::from_bits_retain(flags),
        ..Outgoing::bytes(&mut data)
    };
    send(thread, &file, socket, &mut message).await
}

/// sendmsg(2)
pub(crate) async fn sendmsg(
    thread: &Thread,
    fd: Fd,
    header: UserPtr<MsgHdr>,
    flags: u32,
) -> SysResult {
    thread.files.get(fd)?.socket()?;
    send_message(thread, fd, &header.read(&thread.memory)?, flags).await
}

/// sendmmsg(2)
pub(crate) async fn sendmmsg(
    thread: &Thread,
    fd: Fd,
    headers: UserPtr<MMsgHdr>,
    count: u32,
    flags: u32,
) -> SysResult {
    thread.files.get(fd)?.socket()?;
    let mut done = 0;
    for index in 0..count.min(MESSAGES_MAX) as usize {
        let sent = async {
            let entry = headers.element(index)?;
            let mut message = entry.read(&thread.memory)?;
            message.len = send_message(thread, fd, &message.header, flags).await? as u32;
            entry.write(&thread.memory, &message)
        };
        match sent.await {
            Ok(()) => done += 1,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
        pace::give_way(thread).await;
    }
    Ok(done)
}

/// Takes control messages apart. `EINVAL`; `EBADF` for a descriptor that is none, `EPERM` for somebody else's credentials.
fn read_control(thread: &Thread, from: u64, len: u64) -> SysResult<Control> {
    if len > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let bytes = UserPtr::<u8>::new(from).read_slice(&thread.memory, len as usize)?;
    let mut control = Control::default();
    let mut rest = &bytes[..];
    while let Ok((header, _)) = ControlHdr::read_from_prefix(rest) {
        let len = usize::try_from(header.len).map_err(|_| Errno::EINVAL)?;
        let data = rest.get(CONTROL_HDR..len).ok_or(Errno::EINVAL)?;
        if header.level == raw::SOL_SOCKET {
            match header.kind {
                raw::SCM_RIGHTS => read_rights(thread, data, &mut control)?,
                raw::SCM_CREDENTIALS => {
                    let given = Ucred::read_from_bytes(data).map_err(|_| Errno::EINVAL)?;
                    let given = given.named_in(&thread.process.user_namespace())?;
                    control.credentials = Some(check_credentials(thread, given)?);
                }
                _ => return Err(Errno::EINVAL),
            }
        } else {
            let ControlHdr { level, kind, .. } = header;
            control.ancillary.push(Ancillary { level, kind, data: data.to_vec() });
        }
        rest = rest.get(len.next_multiple_of(CONTROL_ALIGN)..).unwrap_or_default();
    }
    Ok(control)
}

fn read_rights(thread: &Thread, data: &[u8], control: &mut Control) -> SysResult<()> {
    let numbers = data.chunks_exact(size_of::<i32>());
    if control.files.len() + numbers.len() > FILES_MAX {
        return Err(Errno::EINVAL);
    }
    for number in numbers {
        let number = i32::read_from_bytes(number).map_err(|_| Errno::EINVAL)?;
        control.files.push(thread.files.get_any(Fd(number))?);
    }
    Ok(())
}

/// What the kernel calls `given`, if the thread may say that a message is from there: its own ids, or any with the capabilities to change to
/// them.
fn check_credentials(thread: &Thread, given: Ucred) -> SysResult<Ucred> {
    let cred = thread.fs.read().cred.clone();
    let own = {
        let ids = thread.process.ids.lock();
        (ids.users.contains(&given.uid) || cred.has_own(Capabilities::SETUID))
            && (ids.groups.contains(&given.gid) || cred.has_own(Capabilities::SETGID))
    };
    let pid = given.pid == thread.process.own_pid || cred.has(Capabilities::SYS_ADMIN);
    if !own || !pid {
        return Err(Errno::EPERM);
    }
    let sender = thread.process.visible().process(given.pid).ok_or(Errno::ESRCH)?;
    Ok(Ucred { pid: sender.pid, ..given })
}

// Receiving.

/// Receives a message, or of a stream what there is, but at least as much as was asked for unless it ends.
pub(crate) async fn receive(
    thread: &Thread,
    file: &OpenFile,
    socket: &dyn Socket,
    into: &mut Incoming<'_, '_>,
) -> SysResult {
    let may_wait = !file.nonblocking() && !into.flags.contains(MessageFlags::DONTWAIT);
    receive_if(may_wait, thread, file, socket, into).await
}

/// Tells which calls that wanted no copy are done. `None` where something else may be told.
fn receive_completions(socket: &dyn Socket, into: &mut Incoming<'_, '_>) -> Option<SysResult> {
    if !is_inet(socket) || socket.has_hosts_options() {
        return None;
    }
    let v6 = u32::from(socket.family()) == raw::AF_INET6;
    match socket.core().completions.take(v6) {
        Some(told) => {
            into.control.ancillary.push(told);
            into.result |= MessageFlags::from_bits_retain(raw::MSG_ERRQUEUE);
            Some(Ok(0))
        }
        None => (socket.kind() == SocketKind::Stream).then_some(Err(Errno::EAGAIN)),
    }
}

/// As [`receive`], waiting if it `may_wait`, whatever the file says.
pub(crate) async fn receive_if(
    may_wait: bool,
    thread: &Thread,
    file: &OpenFile,
    socket: &dyn Socket,
    into: &mut Incoming<'_, '_>,
) -> SysResult {
    if into.flags.bits() & raw::MSG_ERRQUEUE != 0
        && let Some(result) = receive_completions(socket, into)
    {
        return result;
    }
    into.nonblocking = !may_wait;
    let (wanted, least) = (into.data.remaining(), socket.options().low_water() as usize);
    let target = match socket.kind() {
        SocketKind::Stream if into.flags.contains(MessageFlags::WAITALL) => wanted,
        SocketKind::Stream => wanted.min(least),
        _ => 0,
    };
    let peeks = into.flags.contains(MessageFlags::PEEK);
    let mut done = 0;
    loop {
        let attempt = || socket.receive(into);
        match until_ready_if(may_wait, thread, file, PollEvents::IN, attempt).await {
            Ok(received) => {
                done += received;
                if received == 0 || done >= target || into.complete || !may_wait || peeks {
                    return Ok(done);
                }
            }
            Err(_) if done > 0 => return Ok(done),
            Err(error) => return Err(error),
        }
    }
}

/// recv(2) of a few bytes, whoever sent them.
pub(crate) fn recvfrom_at_once(
    thread: &Thread,
    fd: Fd,
    buffer: UserAddr,
    count: usize,
    flags: u32,
    from: UserAddr,
    _from_len: UserPtr<i32>,
) -> Option<SysResult> {
    if !from.is_null() || flags & !PLAIN.bits() != 0 || count == 0 {
        return None;
    }
    at_once(thread, fd, count, |file| {
        let into = &mut IoDst::guest(&*thread.memory, buffer.0, count);
        let dont_wait = flags & MessageFlags::DONTWAIT.bits() != 0;
        let waits = !dont_wait && file.likely_waits(PollEvents::IN);
        // What ends a datagram socket is seen only by who waits.
        let kind = file.socket().map(|socket| socket.kind());
        let goes = kind.is_ok_and(|kind| kind.is_connected() || !dont_wait);
        (goes && !waits && check_reach(buffer.0, count as u64).is_ok()).then(|| file.read(into))
    })
}

/// recvfrom(2)
pub(crate) async fn recvfrom(
    thread: &Thread,
    fd: Fd,
    buffer: UserAddr,
    count: usize,
    flags: u32,
    from: UserAddr,
    from_len: UserPtr<i32>,
) -> SysResult {
    let count = count.min(MAX_TRANSFER);
    check_reach(buffer.0, count as u64)?;
    let file = thread.files.get(fd)?;
    let socket = file.socket()?;
    let mut data = IoDst::guest(&*thread.memory, buffer.0, count);
    let mut into = Incoming {
        flags: MessageFlags::from_bits_retain(flags),
        wants_address: !from.is_null(),
        ..Incoming::bytes(&mut data)
    };
    let done = receive(thread, &file, socket, &mut into).await?;
    if !from.is_null() {
        write_address(thread, &into.address.unwrap_or_default(), from, from_len)?;
    }
    Ok(done)
}

/// Receives as `header` says, and stores there what it finds out.
async fn receive_message(
    thread: &Thread,
    fd: Fd,
    header: &mut MsgHdr,
    flags: MessageFlags,
) -> SysResult {
    let file = thread.files.get(fd)?;
    let ranges = message_ranges(thread, header)?;
    let may_wait = !file.nonblocking() && !flags.contains(MessageFlags::DONTWAIT);
    receive_to(may_wait, thread, &file, header, &ranges, flags).await
}

/// Receives into `ranges`, waiting if it `may_wait`, and stores where `header` says what else there is to know.
pub(crate) async fn receive_to(
    may_wait: bool,
    thread: &Thread,
    file: &OpenFile,
    header: &mut MsgHdr,
    ranges: &Ranges,
    flags: MessageFlags,
) -> SysResult {
    let socket = file.socket()?;
    let mut data = IoDst::guest_vectored(&*thread.memory, ranges);
    let mut into =
        Incoming { flags, wants_address: header.name != 0, ..Incoming::bytes(&mut data) };
    let done = receive_if(may_wait, thread, file, socket, &mut into).await?;
    let Incoming { address, control, time, mut result, .. } = into;
    if header.name != 0 {
        let address: Address = address.unwrap_or_default();
        let room = header.name_len as usize;
        let written = address.get(..room).unwrap_or(&address);
        if !written.is_empty() {
            thread.memory.write_bytes(header.name, written)?;
        }
        header.name_len = address.len() as i32;
    }
    let mut out = ControlOut { thread, at: header.control, room: header.control_len, cut: false };
    out.write_time(socket, time)?;
    out.write_all(socket, control, flags.contains(MessageFlags::CMSG_CLOEXEC))?;
    header.control_len = out.at.wrapping_sub(header.control);
    result.set(MessageFlags::CTRUNC, out.cut);
    header.flags = (result | flags & MessageFlags::CMSG_CLOEXEC).bits();
    Ok(done)
}

/// recvmsg(2)
pub(crate) async fn recvmsg(
    thread: &Thread,
    fd: Fd,
    header: UserPtr<MsgHdr>,
    flags: u32,
) -> SysResult {
    thread.files.get(fd)?.socket()?;
    let mut message = header.read(&thread.memory)?;
    let flags = MessageFlags::from_bits_retain(flags);
    let done = receive_message(thread, fd, &mut message, flags).await?;
    header.write(&thread.memory, &message)?;
    Ok(done)
}

/// recvmmsg(2). As in Linux the time limit is looked at when a message has come.
pub(crate) async fn recvmmsg(
    thread: &Thread,
    fd: Fd,
    headers: UserPtr<MMsgHdr>,
    count: u32,
    flags: u32,
    timeout: UserPtr<Timespec>,
) -> SysResult {
    let file = thread.files.get(fd)?;
    let limit = match timeout.non_null() {
        Some(timeout) => Some(timeout.read(&thread.memory)?.to_nanos()?),
        None => None,
    };
    let deadline = limit.map(|nanos| hal::time::monotonic().saturating_add(nanos));
    if let Some(error) = file.socket()?.take_error() {
        return Err(error);
    }
    let mut flags = MessageFlags::from_bits_retain(flags);
    let mut done = 0;
    for index in 0..count.min(MESSAGES_MAX) as usize {
        let received = async {
            let entry = headers.element(index)?;
            let mut message = entry.read(&thread.memory)?;
            let flags = flags.difference(MessageFlags::WAITFORONE);
            message.len = receive_message(thread, fd, &mut message.header, flags).await? as u32;
            entry.write(&thread.memory, &message)
        };
        match received.await {
            Ok(()) => done += 1,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
        if flags.contains(MessageFlags::WAITFORONE) {
            flags |= MessageFlags::DONTWAIT;
        }
        if deadline.is_some_and(|deadline| hal::time::monotonic() >= deadline) {
            break;
        }
        pace::give_way(thread).await;
    }
    if let Some(deadline) = deadline {
        let rest = deadline.saturating_sub(hal::time::monotonic());
        timeout.write(&thread.memory, &Timespec::from_nanos(rest))?;
    }
    Ok(done)
}

/// Where control messages go that were received.
struct ControlOut<'a> {
    thread: &'a Thread,
    at: u64,
    room: u64,
    /// Something did not fit.
    cut: bool,
}

impl ControlOut<'_> {
    /// Writes when the message came, if the socket wants to know.
    fn write_time(&mut self, socket: &dyn Socket, time: Option<u64>) -> SysResult<()> {
        let Some(nanos) = time else { return Ok(()) };
        let time = Timespec::from_nanos(nanos);
        match socket.options().timestamps() {
            Timestamps::None => {}
            Timestamps::Micros => {
                let time = Timeval::from_nanos(nanos);
                self.write(raw::SOL_SOCKET, raw::SO_TIMESTAMP_OLD, time.as_bytes())?;
            }
            Timestamps::Nanos => {
                self.write(raw::SOL_SOCKET, raw::SO_TIMESTAMPNS_OLD, time.as_bytes())?;
            }
        }
        let bits = stamping::RECEIVED | stamping::TOLD;
        if socket.options().stamping.load(Ordering::Relaxed) & bits == bits {
            // Of devices there are no stamps.
            let none = Timespec::from_nanos(0);
            let stamps = [time.as_bytes(), none.as_bytes(), none.as_bytes()].concat();
            self.write(raw::SOL_SOCKET, raw::SCM_TIMESTAMPING, &stamps)?;
        }
        Ok(())
    }

    fn write_all(
        &mut self,
        socket: &dyn Socket,
        control: Control,
        close_on_exec: bool,
    ) -> SysResult<()> {
        if socket.options().passes_credentials() {
            let from = control.credentials.unwrap_or(Ucred::UNKNOWN);
            let from = from.seen_by(&self.thread.process);
            self.write(raw::SOL_SOCKET, raw::SCM_CREDENTIALS, from.as_bytes())?;
        }
        for Ancillary { level, kind, data } in &control.ancillary {
            self.write(*level, *kind, data)?;
        }
        if !control.files.is_empty() {
            self.write_rights(control, close_on_exec)?;
        }
        Ok(())
    }

    /// Writes one message, as much of it as fits.
    fn write(&mut self, level: u32, kind: u32, data: &[u8]) -> SysResult<()> {
        if self.at == 0 || self.room < CONTROL_HDR as u64 {
            self.cut = true;
            return Ok(());
        }
        let whole = CONTROL_HDR + data.len();
        let len = whole.min(usize::try_from(self.room).unwrap_or(whole));
        self.cut |= len < whole;
        let header = ControlHdr { len: len as u64, level, kind };
        let memory = &self.thread.memory;
        memory.write_bytes(self.at, header.as_bytes())?;
        memory.write_bytes(self.at.wrapping_add(CONTROL_HDR as u64), &data[..len - CONTROL_HDR])?;
        self.advance(len);
        Ok(())
    }

    fn advance(&mut self, len: usize) {
        let space = (len.next_multiple_of(CONTROL_ALIGN) as u64).min(self.room);
        self.at = self.at.wrapping_add(space);
        self.room -= space;
    }

    /// Gives the files descriptors and writes those. What there is no room for, here or in the table, is closed.
    fn write_rights(&mut self, control: Control, close_on_exec: bool) -> SysResult<()> {
        let Control { files, .. } = control;
        let room = self.room.saturating_sub(CONTROL_HDR as u64) / size_of::<i32>() as u64;
        let room = if self.at == 0 { 0 } else { usize::try_from(room).unwrap_or(usize::MAX) };
        let limit = self.thread.process.limit(Resource::OpenFiles);
        let count = files.len();
        let mut numbers: Vec<i32> = Vec::new();
        for file in files.into_iter().take(room) {
            match self.thread.files.insert(file, close_on_exec, 0, limit) {
                Ok(Fd(number)) => numbers.push(number),
                Err(_) => break,
            }
        }
        self.cut |= numbers.len() < count;
        if !numbers.is_empty() {
            let cut = self.cut;
            self.write(raw::SOL_SOCKET, raw::SCM_RIGHTS, numbers.as_bytes())?;
            self.cut = cut;
        }
        Ok(())
    }
}
