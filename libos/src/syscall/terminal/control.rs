//! ioctl(2) on terminals: ioctl_tty(2).
//!
//! The one idea: a request at the master is about the slave, but for what is about bytes on their way. Those that change a terminal are for
//! the foreground, and some wait first until all that was written is out.

use std::sync::Arc;

use linux_raw_sys::{general as raw, ioctl as requests};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{by_name, is_administrator};
use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    signal::Signal,
    syscall::{argument::UserPtr, fs::install},
    tty::{
        Master, Slave, Terminal, job_control,
        termios::{
            Flow, Flush, TERMIO_SIZE, TERMIOS_SIZE, TERMIOS2_SIZE, Termios, window_bytes,
            window_from,
        },
    },
    vfs::{OpenFile, PollEvents},
};

/// The side of a terminal that a descriptor refers to.
#[derive(Clone, Copy)]
enum Side<'a> {
    Slave(&'a Slave),
    Master(&'a Master),
}

impl<'a> Side<'a> {
    fn of(file: &'a OpenFile) -> Option<Self> {
        let slave = file.downcast().map(Self::Slave);
        slave.or_else(|| file.downcast().map(Self::Master))
    }

    /// The terminal, whichever side.
    fn terminal(self) -> &'a Arc<Terminal> {
        match self {
            Self::Slave(slave) => slave.terminal(),
            Self::Master(master) => master.terminal(),
        }
    }

    fn master(self) -> SysResult<&'a Master> {
        match self {
            Self::Master(master) => Ok(master),
            Self::Slave(_) => Err(Errno::ENOTTY),
        }
    }
}

/// The shapes of settings.
#[derive(Clone, Copy)]
enum Shape {
    /// `struct termio`
    Old,
    /// `struct termios`
    Usual,
    /// `struct termios2`
    WithSpeeds,
}

/// A request to change settings: their shape, whether it waits for output, and whether it forgets input.
fn change_of_settings(request: u32) -> Option<(Shape, bool, bool)> {
    Some(match request {
        requests::TCSETS => (Shape::Usual, false, false),
        requests::TCSETSW => (Shape::Usual, true, false),
        requests::TCSETSF => (Shape::Usual, true, true),
        requests::TCSETS2 => (Shape::WithSpeeds, false, false),
        requests::TCSETSW2 => (Shape::WithSpeeds, true, false),
        requests::TCSETSF2 => (Shape::WithSpeeds, true, true),
        requests::TCSETA => (Shape::Old, false, false),
        requests::TCSETAW => (Shape::Old, true, false),
        requests::TCSETAF => (Shape::Old, true, true),
        _ => return None,
    })
}

/// Whether the request waits until all that was written is out.
fn drains(request: u32) -> bool {
    let waits = [requests::TIOCSETD, requests::TIOCSBRK, requests::TCSBRK, requests::TCSBRKP];
    waits.contains(&request) || change_of_settings(request).is_some_and(|(_, waits, _)| waits)
}

/// Carries out a request that need not wait, if `file` is a terminal. `None` leaves it: to [`control`] if it is one.
pub(crate) fn control_at_once(
    thread: &Thread,
    file: &OpenFile,
    request: u32,
    argument: u64,
) -> Option<SysResult> {
    let side = Side::of(file)?;
    if drains(request) && !side.terminal().is_drained() {
        return None;
    }
    Some(carry_out(thread, file, side, request, argument))
}

/// Carries out a request on a terminal, after all that was written is out. `ENOTTY` for another file.
pub(crate) async fn control(
    thread: &Thread,
    file: &OpenFile,
    request: u32,
    argument: u64,
) -> SysResult {
    let side = Side::of(file).ok_or(Errno::ENOTTY)?;
    let terminal = side.terminal();
    loop {
        let mut changed = terminal.wait_for(PollEvents::WRITABLE);
        changed.arm();
        if terminal.is_drained() {
            return carry_out(thread, file, side, request, argument);
        }
        thread.interruptible(changed).await?;
    }
}

fn carry_out(
    thread: &Thread,
    file: &OpenFile,
    side: Side<'_>,
    request: u32,
    argument: u64,
) -> SysResult {
    if let Side::Slave(slave) = side
        && slave.is_hung_up()
    {
        return Err(if request == requests::TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO });
    }
    if let Some((shape, _, flush)) = change_of_settings(request) {
        return set_settings(thread, side.terminal(), shape, flush, argument).map(|()| 0);
    }
    let call = Call { thread, file, side, argument };
    let done = match request {
        requests::TCGETS => call.settings(Shape::Usual),
        requests::TCGETS2 => call.settings(Shape::WithSpeeds),
        requests::TCGETA => call.settings(Shape::Old),
        requests::TIOCGWINSZ => call.write(window_bytes(side.terminal().window_size())),
        requests::TIOCSWINSZ => {
            call.read::<[u8; 8]>().map(|bytes| side.terminal().set_window_size(window_from(bytes)))
        }
        requests::TCXONC => call.flow(),
        requests::TCFLSH => call.flush(),
        requests::TCSBRK | requests::TCSBRKP | requests::TIOCSBRK | requests::TIOCCBRK => {
            // A pty has no line to break.
            call.check_change()
        }
        requests::FIONREAD => call.write_int(call.available()),
        requests::TIOCOUTQ => call.write(0_i32),
        requests::TIOCGETD => call.write(0_i32),
        requests::TIOCSETD => call.check_change().and_then(|()| match call.read::<i32>()? {
            // N_TTY
            0 => Ok(()),
            _ => Err(Errno::EINVAL),
        }),
        requests::TIOCGDEV => call.write(side.terminal().device().0 as u32),
        requests::TIOCEXCL => call.set_exclusive(true),
        requests::TIOCNXCL => call.set_exclusive(false),
        requests::TIOCGEXCL => call.write(i32::from(call.is_exclusive())),
        requests::TIOCSTI => call.type_byte(),
        requests::TIOCVHANGUP => call.hang_up(),
        requests::TIOCGSOFTCAR => {
            call.write(i32::from(side.terminal().termios().cflag & raw::CLOCAL != 0))
        }
        requests::TIOCSSOFTCAR => call.set_local(),
        requests::TIOCSCTTY
        | requests::TIOCNOTTY
        | requests::TIOCGPGRP
        | requests::TIOCSPGRP
        | requests::TIOCGSID => call.job_control(request),
        requests::TIOCGPTPEER => return call.open_peer(),
        _ => call.of_master(request),
    };
    done.map(|()| 0)
}

/// Reads settings and makes them the terminal's.
fn set_settings(
    thread: &Thread,
    terminal: &Arc<Terminal>,
    shape: Shape,
    flush: bool,
    argument: u64,
) -> SysResult<()> {
    job_control::check(thread, terminal, Signal::SIGTTOU)?;
    let old = terminal.termios();
    let memory = &thread.memory;
    let new: Termios = match shape {
        Shape::Old => {
            old.with_old_bytes(&UserPtr::<[u8; TERMIO_SIZE]>::new(argument).read(memory)?)
        }
        Shape::Usual => old.with_bytes(&UserPtr::<[u8; TERMIOS_SIZE]>::new(argument).read(memory)?),
        Shape::WithSpeeds => {
            old.with_bytes(&UserPtr::<[u8; TERMIOS2_SIZE]>::new(argument).read(memory)?)
        }
    };
    terminal.set_termios(new, flush);
    Ok(())
}

/// A request with its argument.
#[derive(Clone, Copy)]
struct Call<'a> {
    thread: &'a Thread,
    file: &'a OpenFile,
    side: Side<'a>,
    argument: u64,
}

impl Call<'_> {
    fn write<T: FromBytes + IntoBytes + Immutable>(&self, value: T) -> SysResult<()> {
        UserPtr::<T>::new(self.argument).write(&self.thread.memory, &value)
    }

    fn write_int(&self, value: usize) -> SysResult<()> {
        self.write(i32::try_from(value).unwrap_or(i32::MAX))
    }

    fn read<T: FromBytes + IntoBytes + Immutable>(&self) -> SysResult<T> {
        UserPtr::<T>::new(self.argument).read(&self.thread.memory)
    }

    /// Whether the caller may change the terminal, being in the foreground of it.
    fn check_change(&self) -> SysResult<()> {
        match self.side {
            Side::Slave(slave) => {
                job_control::check(self.thread, slave.terminal(), Signal::SIGTTOU)
            }
            Side::Master(_) => Ok(()),
        }
    }

    fn settings(&self, shape: Shape) -> SysResult<()> {
        let termios = self.side.terminal().termios();
        match shape {
            Shape::Old => self.write(termios.to_old_bytes()),
            Shape::Usual => {
                let mut bytes = [0; TERMIOS_SIZE];
                bytes.iter_mut().zip(termios.to_bytes()).for_each(|(to, from)| *to = from);
                self.write(bytes)
            }
            Shape::WithSpeeds => self.write(termios.to_bytes()),
        }
    }

    fn flow(&self) -> SysResult<()> {
        self.check_change()?;
        let flow = Flow::from_raw(self.argument)?;
        match self.side {
            Side::Slave(slave) => slave.terminal().flow(flow),
            Side::Master(master) => master.flow(flow),
        }
        Ok(())
    }

    fn flush(&self) -> SysResult<()> {
        self.check_change()?;
        let flush = Flush::from_raw(self.argument)?;
        match self.side {
            Side::Slave(slave) => slave.terminal().flush(flush),
            Side::Master(master) => master.flush(flush),
        }
        Ok(())
    }

    fn available(&self) -> usize {
        match self.side {
            Side::Slave(slave) => slave.available(),
            Side::Master(master) => master.available(),
        }
    }

    fn set_exclusive(&self, exclusive: bool) -> SysResult<()> {
        match self.side {
            Side::Slave(slave) => slave.terminal().set_exclusive(exclusive),
            Side::Master(master) => master.set_exclusive(exclusive),
        }
        Ok(())
    }

    fn is_exclusive(&self) -> bool {
        match self.side {
            Side::Slave(slave) => slave.terminal().is_exclusive(),
            Side::Master(master) => master.is_exclusive(),
        }
    }

    /// A program that types for its user: what Linux says since it has dev.tty.legacy_tiocsti, and that is off.
    fn type_byte(&self) -> SysResult<()> {
        if !is_administrator(self.thread) {
            return Err(Errno::EIO);
        }
        let byte = self.read::<u8>()?;
        match self.side {
            Side::Slave(slave) => slave.terminal().type_byte(byte),
            Side::Master(_) => return Err(Errno::EOPNOTSUPP),
        }
        Ok(())
    }

    fn hang_up(&self) -> SysResult<()> {
        if !is_administrator(self.thread) {
            return Err(Errno::EPERM);
        }
        match self.side {
            Side::Slave(slave) => slave.terminal().hang_up(),
            Side::Master(_) => return Err(Errno::EOPNOTSUPP),
        }
        Ok(())
    }

    /// `TIOCSSOFTCAR`
    fn set_local(&self) -> SysResult<()> {
        let local = self.read::<i32>()? != 0;
        let terminal = self.side.terminal();
        let old = terminal.termios();
        let cflag = if local { old.cflag | raw::CLOCAL } else { old.cflag & !raw::CLOCAL };
        terminal.set_termios(Termios { cflag, ..old }, false);
        Ok(())
    }

    fn job_control(&self, request: u32) -> SysResult<()> {
        let process = &self.thread.process;
        let terminal = self.side.terminal();
        // Whoever has the master may ask about the slave's processes.
        let mine = matches!(self.side, Side::Master(_)) || process.is_controlled_by(terminal);
        match request {
            requests::TIOCNOTTY => {
                if !matches!(self.side, Side::Slave(_)) || !mine {
                    return Err(Errno::ENOTTY);
                }
                process.give_up_terminal();
                Ok(())
            }
            requests::TIOCSCTTY => {
                let privileged = is_administrator(self.thread);
                let steal = self.argument == 1 && privileged;
                terminal.set_controlling(process, steal, self.file.readable() || privileged)
            }
            requests::TIOCGPGRP if !mine => Err(Errno::ENOTTY),
            requests::TIOCGPGRP => self.write(process.sees(terminal.foreground().unwrap_or(0))),
            requests::TIOCSPGRP => {
                match job_control::check(self.thread, terminal, Signal::SIGTTOU) {
                    Err(Errno::EIO) => return Err(Errno::ENOTTY),
                    checked => checked?,
                }
                let group = self.read::<i32>()?;
                if group < 0 {
                    return Err(Errno::EINVAL);
                }
                terminal.set_foreground(process, process.visible().meant(group)?)
            }
            _ => match terminal.session() {
                Some(session) if mine => self.write(process.sees(session)),
                _ => Err(Errno::ENOTTY),
            },
        }
    }

    /// `TIOCGPTPEER`: opens the slave, whatever its name leads to.
    fn open_peer(&self) -> SysResult {
        let Side::Master(master) = self.side else { return Err(Errno::EIO) };
        let flags = self.argument as u32;
        let privileged = is_administrator(self.thread);
        let slave = master.terminal().open(privileged)?;
        let file = by_name(self.thread, slave, master.number(), flags);
        if flags & raw::O_NOCTTY == 0 {
            master.terminal().opened_by(&self.thread.process, file.readable());
        }
        let fd = install(self.thread, file, flags & raw::O_CLOEXEC != 0)?;
        Ok(fd.0 as usize)
    }

    fn of_master(&self, request: u32) -> SysResult<()> {
        let master = self.side.master()?;
        match request {
            requests::TIOCGPTN => self.write(master.number()),
            requests::TIOCSPTLCK => self.read::<i32>().map(|lock| master.set_locked(lock != 0)),
            requests::TIOCGPTLCK => self.write(i32::from(master.is_locked())),
            requests::TIOCPKT => self.read::<i32>().map(|on| master.set_packet_mode(on != 0)),
            requests::TIOCGPKT => self.write(i32::from(master.in_packet_mode())),
            requests::TIOCSIG => {
                let known = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP];
                let signal = known.into_iter().find(|known| known.raw() as u64 == self.argument);
                master.terminal().signal_foreground(signal.ok_or(Errno::EINVAL)?);
                Ok(())
            }
            _ => Err(Errno::ENOTTY),
        }
    }
}
