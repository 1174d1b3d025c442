//! Sockets.
//!
//! The one idea: as with files, what waits is the operation and not the socket, so `O_NONBLOCK` does not matter and `MSG_DONTWAIT` does. One that is to
//! be repeated (multishot) goes on until it fails, and tells with each completion whether there is more to come.

use std::sync::{Arc, Weak};

use linux_raw_sys::io_uring as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    names::install,
    pick::{pick, put_back, settle},
    *,
};
use crate::{
    net::{Incoming, MessageFlags, Outgoing, Shutdown, Socket},
    ring::uring::buffers::Picked,
    syscall::{
        argument::{UserAddr, UserPtr},
        io::{MAX_TRANSFER, check_reach, until_ready_if},
        socket::{
            self, KIND_FLAGS,
            message::{
                Message, MsgHdr, message_ranges, read_message, receive_if, receive_to, send_if,
            },
            read_address, write_address,
        },
    },
    vfs::{GuestRange, IoDst, IoSrc, PollEvents},
};

/// Checks what is about sockets.
pub(super) fn prepare(thread: &Thread, sqe: &Sqe) -> SysResult<Prepared> {
    let Sqe { opcode, ioprio, addr, off, len, op_flags, buf_index, file_index, .. } = *sqe;
    let ioprio = u32::from(ioprio);
    let repeats = ioprio & raw::IORING_RECV_MULTISHOT != 0;
    let picks = sqe.flags & BUFFER_SELECT != 0;
    Ok(match opcode {
        SEND | SENDMSG => {
            if ioprio & !raw::IORING_RECVSEND_POLL_FIRST != 0 {
                return Err(Errno::EINVAL);
            }
            if opcode == SEND {
                // The address, and its length in the low half.
                return match off {
                    0 => Ok(Prepared::Nothing),
                    to => {
                        let len = i32::from(file_index as u16);
                        read_address(thread, UserAddr(to), len).map(address)
                    }
                };
            }
            if off != 0 || file_index != 0 {
                return Err(Errno::EINVAL);
            }
            let header = UserPtr::<MsgHdr>::new(addr).read(&thread.memory)?;
            Prepared::Message(Box::new(read_message(thread, &header)?))
        }
        RECV | RECVMSG => {
            let known = raw::IORING_RECVSEND_POLL_FIRST | raw::IORING_RECV_MULTISHOT;
            let whole = op_flags & MessageFlags::WAITALL.bits() != 0;
            let unfit = repeats && (!picks || whole || opcode == RECV && len != 0);
            if ioprio & !known != 0 || off != 0 || file_index != 0 || unfit {
                return Err(Errno::EINVAL);
            }
            if opcode == RECV {
                return Ok(Prepared::Nothing);
            }
            let header = UserPtr::<MsgHdr>::new(addr).read(&thread.memory)?;
            let ranges = message_ranges(thread, &header)?;
            if picks && ranges.len() > 1 {
                return Err(Errno::EINVAL);
            }
            Prepared::Header(Box::new((header, ranges)))
        }
        ACCEPT => {
            let repeats = ioprio & raw::IORING_ACCEPT_MULTISHOT != 0;
            let known = raw::IORING_ACCEPT_MULTISHOT
                | raw::IORING_ACCEPT_DONTWAIT
                | raw::IORING_ACCEPT_POLL_FIRST;
            let wrong = ioprio & !known != 0
                || len != 0
                || buf_index != 0
                || op_flags & !KIND_FLAGS != 0
                || file_index != 0 && op_flags & linux_raw_sys::general::O_CLOEXEC != 0
                || repeats && file_index != 0 && file_index != u32::MAX;
            if wrong {
                return Err(Errno::EINVAL);
            }
            Prepared::Nothing
        }
        CONNECT => {
            if len != 0 || buf_index != 0 || op_flags != 0 || file_index != 0 {
                return Err(Errno::EINVAL);
            }
            address(read_address(thread, UserAddr(addr), off as i32)?)
        }
        BIND => {
            if len != 0 || buf_index != 0 || op_flags != 0 || file_index != 0 {
                return Err(Errno::EINVAL);
            }
            address(read_address(thread, UserAddr(addr), off as i32)?)
        }
        LISTEN => {
            if addr != 0 || buf_index != 0 || op_flags != 0 || file_index != 0 || off != 0 {
                return Err(Errno::EINVAL);
            }
            Prepared::Nothing
        }
        SHUTDOWN => {
            if off != 0 || addr != 0 || op_flags != 0 || buf_index != 0 || file_index != 0 {
                return Err(Errno::EINVAL);
            }
            Prepared::Nothing
        }
        _ => {
            let close_on_exec = off as u32 & linux_raw_sys::general::O_CLOEXEC != 0;
            let direct = file_index != 0 && close_on_exec;
            if addr != 0 || op_flags != 0 || buf_index != 0 || direct {
                return Err(Errno::EINVAL);
            }
            Prepared::Nothing
        }
    })
}

fn address(address: Address) -> Prepared {
    Prepared::Address(Box::new(address))
}

/// What ends at once.
pub(super) fn now(ring: &Uring, thread: &Thread, request: &Request) -> SysResult<usize> {
    let sqe = &request.sqe;
    if sqe.opcode == SOCKET {
        let (family, kind, protocol) = (sqe.fd, sqe.off as i32, sqe.len as i32);
        let (socket, flags) = socket::create(thread, family, kind, protocol)?;
        let close_on_exec = flags & linux_raw_sys::general::O_CLOEXEC != 0;
        return install(ring, thread, socket::open(socket, flags), sqe.file_index, close_on_exec);
    }
    let file = file(ring, thread, sqe)?;
    let socket = file.socket()?;
    let done = match (sqe.opcode, &request.prepared) {
        (SHUTDOWN, _) => socket.shut_down(Shutdown::from_raw(sqe.len as i32)?),
        (BIND, Prepared::Address(address)) => socket.bind(thread, address),
        (LISTEN, _) => socket::listen_on(thread, socket, sqe.len as i32),
        _ => Err(Errno::EINVAL),
    };
    done.map(|()| 0)
}

/// Whether it may wait that has such flags.
fn may_wait(flags: u32) -> bool {
    flags & MessageFlags::DONTWAIT.bits() == 0
}

/// send(2), sendto(2), sendmsg(2); nobody gets SIGPIPE.
pub(super) async fn send(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    until: Option<u64>,
) -> Outcome {
    let Request { sqe, prepared, .. } = request;
    let file = match file_of(ring, operation, sqe) {
        Ok(file) => file,
        Err(error) => return Outcome::error(error),
    };
    let thread = &**operation.thread();
    let flags = MessageFlags::from_bits_retain(sqe.op_flags) | MessageFlags::NOSIGNAL;
    let single = [GuestRange { va: sqe.addr, len: (sqe.len as usize).min(MAX_TRANSFER) }];
    let (to, ranges, control) = match prepared {
        Prepared::Message(message) => {
            let Message { to, ranges, control } = &**message;
            (to.as_deref(), &ranges[..], control.clone())
        }
        Prepared::Address(to) => (Some(&to[..]), &single[..], Default::default()),
        _ => (None, &single[..], Default::default()),
    };
    let wanted = ranges.iter().map(|range| range.len).sum::<usize>();
    let sent = async {
        let socket = file.socket()?;
        for range in ranges {
            check_reach(range.va, range.len as u64)?;
        }
        let mut data = IoSrc::guest_vectored(&*thread.memory, ranges);
        let mut message = Outgoing { to, control, flags, ..Outgoing::bytes(&mut data) };
        let wait = may_wait(sqe.op_flags);
        send_if(wait, thread, &file, socket, &mut message).await.map(|sent| sent as u64)
    };
    let sent = operation.until(until, sent).await.map(|sent| sent as usize);
    let short = flags.contains(MessageFlags::WAITALL) && sent != Ok(wanted);
    let outcome = Outcome::from(sent);
    Outcome { failed: outcome.failed || short, ..outcome }
}

/// recv(2) and recvmsg(2), once or until it fails.
pub(super) async fn receive(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    until: Option<u64>,
) -> Outcome {
    let sqe = &request.sqe;
    let file = match file_of(ring, operation, sqe) {
        Ok(file) => file,
        Err(error) => return Outcome::error(error),
    };
    if u32::from(sqe.ioprio) & raw::IORING_RECV_MULTISHOT == 0 {
        return receive_once(ring, operation, request, &file, until).await;
    }
    loop {
        let outcome = receive_once(ring, operation, request, &file, until).await;
        // The end of a stream is the last thing that there is.
        if outcome.res <= 0 {
            return outcome;
        }
        if let Some(last) = told(ring, operation, request, outcome).await {
            return last;
        }
    }
}

async fn receive_once(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    file: &Arc<OpenFile>,
    until: Option<u64>,
) -> Outcome {
    let Request { sqe, prepared, .. } = request;
    let thread = &**operation.thread();
    let may_wait = may_wait(sqe.op_flags);
    let mut picked: Option<Picked> = None;
    let mut wanted = sqe.len as usize;
    let received = async {
        let socket = file.socket()?;
        // Of a message it is the length of its range.
        let most = match prepared {
            Prepared::Header(parts) => parts.1.first().map_or(0, |range| range.len as u32),
            _ => sqe.len,
        };
        loop {
            if sqe.flags & BUFFER_SELECT != 0 {
                picked = Some(pick(ring, thread, file, sqe, may_wait).await?);
            }
            let range = match picked {
                None => GuestRange { va: sqe.addr, len: sqe.len as usize },
                Some(picked) => picked.range(most),
            };
            // What was picked is used when there is something; if somebody was faster it goes back.
            let wait = may_wait && picked.is_none();
            let received = match prepared {
                Prepared::Header(parts) => {
                    wanted = parts.1.iter().map(|range| range.len).sum();
                    let buffer = picked.map(|_| range);
                    receive_message(thread, file, wait, sqe, parts, buffer).await
                }
                _ => {
                    wanted = range.len;
                    receive_bytes(thread, file, socket, wait, sqe, range).await
                }
            };
            match (received, picked) {
                (Err(Errno::EAGAIN), Some(unused)) if may_wait => {
                    put_back(ring, unused);
                    picked = None;
                }
                (received, _) => return received.map(|received| received as u64),
            }
        }
    };
    let received = operation.until(until, received).await.map(|received| received as usize);
    let whole = sqe.op_flags & MessageFlags::WAITALL.bits() != 0;
    let short = whole && received.is_ok_and(|received| received < wanted);
    let mut outcome = Outcome::from(received);
    outcome.failed |= short;
    settle(ring, picked, &mut outcome);
    outcome
}

async fn receive_bytes(
    thread: &Thread,
    file: &OpenFile,
    socket: &dyn Socket,
    wait: bool,
    sqe: &Sqe,
    GuestRange { va, len }: GuestRange,
) -> SysResult<usize> {
    check_reach(va, len as u64)?;
    let flags = MessageFlags::from_bits_retain(sqe.op_flags);
    let mut data = IoDst::guest(&*thread.memory, va, len.min(MAX_TRANSFER));
    let mut into = Incoming { flags, ..Incoming::bytes(&mut data) };
    receive_if(wait, thread, file, socket, &mut into).await
}

/// What is in front of a message that was received into a picked buffer: `struct io_uring_recvmsg_out`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Head {
    name_len: u32,
    control_len: u32,
    payload_len: u32,
    flags: u32,
}

/// Receives a message to where its header says, or all of it into `picked`.
async fn receive_message(
    thread: &Thread,
    file: &OpenFile,
    wait: bool,
    sqe: &Sqe,
    (header, ranges): &(MsgHdr, Ranges),
    picked: Option<GuestRange>,
) -> SysResult<usize> {
    let flags = MessageFlags::from_bits_retain(sqe.op_flags);
    let mut header = *header;
    let repeats = u32::from(sqe.ioprio) & raw::IORING_RECV_MULTISHOT != 0;
    let Some(buffer) = picked.filter(|_| repeats) else {
        let range = picked.map(|range| [range].into_iter().collect());
        let ranges = range.as_ref().unwrap_or(ranges);
        let done = receive_to(wait, thread, file, &mut header, ranges, flags).await?;
        UserPtr::<MsgHdr>::new(sqe.addr).write(&thread.memory, &header)?;
        return Ok(done);
    };
    let (name, control) = (header.name_len.max(0) as u64, header.control_len);
    let used =
        (size_of::<Head>() as u64).checked_add(name).and_then(|used| used.checked_add(control));
    let used = used.filter(|&used| used <= buffer.len as u64).ok_or(Errno::EFAULT)?;
    check_reach(buffer.va, buffer.len as u64)?;
    let name_at = buffer.va + size_of::<Head>() as u64;
    // Without room nobody asks for them.
    header.name = if name > 0 { name_at } else { 0 };
    header.control = if control > 0 { name_at + name } else { 0 };
    let payload = GuestRange { va: buffer.va + used, len: buffer.len - used as usize };
    let ranges = [payload].into_iter().collect();
    let done = receive_to(wait, thread, file, &mut header, &ranges, flags).await?;
    let head = Head {
        name_len: header.name_len.max(0) as u32,
        control_len: header.control_len as u32,
        payload_len: done as u32,
        flags: header.flags,
    };
    UserPtr::new(buffer.va).write(&thread.memory, &head)?;
    Ok(used as usize + done)
}

/// accept4(2), once or until it fails.
pub(super) async fn accept(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    until: Option<u64>,
) -> Outcome {
    let sqe = &request.sqe;
    let file = match file_of(ring, operation, sqe) {
        Ok(file) => file,
        Err(error) => return Outcome::error(error),
    };
    let repeats = u32::from(sqe.ioprio) & raw::IORING_ACCEPT_MULTISHOT != 0;
    loop {
        let accepted = accept_once(ring, operation.thread(), sqe, &file);
        let accepted = operation.until(until, accepted).await;
        let outcome = Outcome::from(accepted.map(|fd| fd as usize));
        if !repeats || outcome.failed {
            return outcome;
        }
        if let Some(last) = told(ring, operation, request, outcome).await {
            return last;
        }
    }
}

async fn accept_once(
    ring: &Weak<Uring>,
    thread: &Thread,
    sqe: &Sqe,
    file: &OpenFile,
) -> SysResult<u64> {
    let socket = file.socket()?;
    let wait = u32::from(sqe.ioprio) & raw::IORING_ACCEPT_DONTWAIT == 0;
    let accepted = until_ready_if(wait, thread, file, PollEvents::IN, || socket.accept()).await?;
    if sqe.addr != 0 {
        let (address, len) = (UserAddr(sqe.addr), UserPtr::new(sqe.off));
        write_address(thread, &accepted.accepted_address()?, address, len)?;
    }
    let ring = ring.upgrade().ok_or(Errno::ECANCELED)?;
    let close_on_exec = sqe.op_flags & linux_raw_sys::general::O_CLOEXEC != 0;
    let file = socket::open(accepted, sqe.op_flags);
    install(&ring, thread, file, sqe.file_index, close_on_exec).map(|place| place as u64)
}

/// connect(2)
pub(super) async fn connect(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    until: Option<u64>,
) -> Outcome {
    let Request { sqe, prepared: Prepared::Address(address), .. } = request else {
        return Outcome::error(Errno::EINVAL);
    };
    let connected = async {
        let file = file_of(ring, operation, sqe)?;
        let (socket, thread) = (file.socket()?, operation.thread());
        let attempt = || socket.connect(&**thread, address, true);
        until_ready_if(true, thread, &file, PollEvents::OUT, attempt).await.map(|()| 0)
    };
    operation.until(until, connected).await.map(|_| 0).into()
}
