//! What is said on a kernel's control socket.
//!
//! The one idea: a message is a length, a kind and fields, and whoever reads one trusts none of it: a message that is too long, too short or unknown ends the
//! connection. The first one names the protocol's version, so that a newer `libos` is told apart from noise.

use hal::console::{Termios, WindowSize};

/// Begins the first message of a client.
const MAGIC: [u8; 5] = *b"libos";
/// Changes with whatever changes here.
const VERSION: u16 = 1;
/// The longest message: arguments and environment as Linux allows them, and some.
const MAX: usize = 4 << 20;
/// The length of a length.
const LENGTH: usize = 4;

/// What a standard stream of a new process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// There is none.
    Closed,
    /// The next of the descriptors that come with the request.
    Passed,
    /// The terminal at which the client is.
    Terminal,
}

/// The terminal of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Screen {
    pub(super) size: WindowSize,
    pub(super) settings: Termios,
}

/// A program to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exec {
    /// Its arguments, the program first.
    pub(super) args: Vec<Vec<u8>>,
    pub(super) env: Vec<Vec<u8>>,
    /// Where it is to be, which must be there inside.
    pub(super) dir: Option<Vec<u8>>,
    /// Where the client is: there, if that is inside.
    pub(super) here: Option<Vec<u8>>,
    pub(super) streams: [Stream; 3],
    /// The terminal, if a stream is one.
    pub(super) screen: Option<Screen>,
}

/// A process, as `libos ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) pid: i32,
    pub(super) ppid: i32,
    /// As in /proc/PID/stat.
    pub(super) state: u8,
    /// ns
    pub(super) cpu: u64,
    /// Bytes in memory.
    pub(super) memory: u64,
    pub(super) command: Vec<u8>,
}

/// A message, of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Client: start this.
    Exec(Exec),
    /// Client: which processes are there?
    List,
    /// Client: a signal for the program.
    Signal(i32),
    /// Client: the terminal has another size.
    Resize(WindowSize),
    /// Client: this was typed. Server: this is to be shown.
    Bytes(Vec<u8>),
    /// Server: no, with this exit status and that reason.
    Refused(u8, Vec<u8>),
    /// Server: it runs, with that number.
    Started(i32),
    /// Server: that signal has stopped it.
    Stopped(i32),
    /// Server: it has ended, with this exit status as a shell has it.
    Ended(u8),
    /// Server: these.
    Processes(Vec<Shown>),
}

/// The numbers of the kinds.
mod kind {
    pub(super) const EXEC: u8 = 1;
    pub(super) const LIST: u8 = 2;
    pub(super) const SIGNAL: u8 = 3;
    pub(super) const RESIZE: u8 = 4;
    pub(super) const BYTES: u8 = 5;
    pub(super) const REFUSED: u8 = 6;
    pub(super) const STARTED: u8 = 7;
    pub(super) const STOPPED: u8 = 8;
    pub(super) const ENDED: u8 = 9;
    pub(super) const PROCESSES: u8 = 10;
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// Of another version than ours.
    Version,
    /// Anything else.
    Nonsense,
}

/// Fields, one after the other.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn signed(&mut self, number: i32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn short(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        // What is longer is longer than a message may be, which is seen at its end.
        self.0.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn list(&mut self, list: &[Vec<u8>]) {
        self.count(list.len());
        list.iter().for_each(|bytes| self.bytes(bytes));
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn size(&mut self, size: WindowSize) {
        for number in [size.rows, size.columns, size.x_pixels, size.y_pixels] {
            self.short(number);
        }
    }

    fn settings(&mut self, settings: &Termios) {
        for flags in [settings.iflag, settings.oflag, settings.cflag, settings.lflag] {
            self.0.extend_from_slice(&flags.to_le_bytes());
        }
        self.byte(settings.line);
        self.0.extend_from_slice(&settings.cc);
    }
}

/// Reads what a [`Writer`] has written, or finds that it was none.
struct Reader<'a>(&'a [u8]);

type Field<T> = Result<T, Malformed>;

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Field<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed::Nonsense)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Field<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Nonsense)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Field<u8> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> Field<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn word(&mut self) -> Field<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn signed(&mut self) -> Field<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn short(&mut self) -> Field<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn bytes(&mut self) -> Field<Vec<u8>> {
        let len = self.word()?;
        self.take(len as usize).map(<[u8]>::to_vec)
    }

    /// As many as it says. Each takes at least a byte, so a lie is found out before it costs memory.
    fn many<T>(&mut self, read: impl Fn(&mut Self) -> Field<T>) -> Field<Vec<T>> {
        let count = self.word()?;
        (0..count).map(|_| read(self)).collect()
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Field<T>) -> Field<Option<T>> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Malformed::Nonsense),
        }
    }

    /// A string that a program can be given: without a NUL.
    fn string(&mut self) -> Field<Vec<u8>> {
        self.bytes()
            .and_then(|bytes| if bytes.contains(&0) { Err(Malformed::Nonsense) } else { Ok(bytes) })
    }

    fn stream(&mut self) -> Field<Stream> {
        match self.byte()? {
            0 => Ok(Stream::Closed),
            1 => Ok(Stream::Passed),
            2 => Ok(Stream::Terminal),
            _ => Err(Malformed::Nonsense),
        }
    }

    fn size(&mut self) -> Field<WindowSize> {
        Ok(WindowSize {
            rows: self.short()?,
            columns: self.short()?,
            x_pixels: self.short()?,
            y_pixels: self.short()?,
        })
    }

    fn screen(&mut self) -> Field<Screen> {
        let size = self.size()?;
        let settings = Termios {
            iflag: self.word()?,
            oflag: self.word()?,
            cflag: self.word()?,
            lflag: self.word()?,
            line: self.byte()?,
            cc: self.array()?,
        };
        Ok(Screen { size, settings })
    }

    /// The first message of a client begins with what it speaks.
    fn greeting(&mut self) -> Field<()> {
        if self.array()? != MAGIC {
            return Err(Malformed::Nonsense);
        }
        if self.short()? == VERSION { Ok(()) } else { Err(Malformed::Version) }
    }

    fn exec(&mut self) -> Field<Exec> {
        let exec = Exec {
            args: self.many(Self::string)?,
            env: self.many(Self::string)?,
            dir: self.optional(Self::string)?,
            here: self.optional(Self::string)?,
            streams: [self.stream()?, self.stream()?, self.stream()?],
            screen: self.optional(Self::screen)?,
        };
        let needs_screen = exec.streams.contains(&Stream::Terminal);
        if exec.args.is_empty() || needs_screen != exec.screen.is_some() {
            return Err(Malformed::Nonsense);
        }
        Ok(exec)
    }

    fn shown(&mut self) -> Field<Shown> {
        Ok(Shown {
            pid: self.signed()?,
            ppid: self.signed()?,
            state: self.byte()?,
            cpu: self.number()?,
            memory: self.number()?,
            command: self.bytes()?,
        })
    }
}

impl Message {
    /// As it is sent. `None` when it is too long.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Writer(vec![0; LENGTH]);
        let greet = |out: &mut Writer, kind| {
            out.byte(kind);
            out.0.extend_from_slice(&MAGIC);
            out.short(VERSION);
        };
        match self {
            Self::Exec(exec) => {
                greet(&mut out, kind::EXEC);
                out.list(&exec.args);
                out.list(&exec.env);
                out.optional(exec.dir.as_deref(), Writer::bytes);
                out.optional(exec.here.as_deref(), Writer::bytes);
                for stream in exec.streams {
                    out.byte(match stream {
                        Stream::Closed => 0,
                        Stream::Passed => 1,
                        Stream::Terminal => 2,
                    });
                }
                out.optional(exec.screen.as_ref(), |out, screen| {
                    out.size(screen.size);
                    out.settings(&screen.settings);
                });
            }
            Self::List => greet(&mut out, kind::LIST),
            Self::Signal(number) => {
                out.byte(kind::SIGNAL);
                out.signed(*number);
            }
            Self::Resize(size) => {
                out.byte(kind::RESIZE);
                out.size(*size);
            }
            Self::Bytes(bytes) => {
                out.byte(kind::BYTES);
                out.bytes(bytes);
            }
            Self::Refused(status, why) => {
                out.byte(kind::REFUSED);
                out.byte(*status);
                out.bytes(why);
            }
            Self::Started(pid) => {
                out.byte(kind::STARTED);
                out.signed(*pid);
            }
            Self::Stopped(signal) => {
                out.byte(kind::STOPPED);
                out.signed(*signal);
            }
            Self::Ended(status) => {
                out.byte(kind::ENDED);
                out.byte(*status);
            }
            Self::Processes(processes) => {
                out.byte(kind::PROCESSES);
                out.count(processes.len());
                for process in processes {
                    out.signed(process.pid);
                    out.signed(process.ppid);
                    out.byte(process.state);
                    out.number(process.cpu);
                    out.number(process.memory);
                    out.bytes(&process.command);
                }
            }
        }
        let len = out.0.len() - LENGTH;
        let head = u32::try_from(len).ok().filter(|_| len <= MAX)?;
        out.0.get_mut(..LENGTH)?.copy_from_slice(&head.to_le_bytes());
        Some(out.0)
    }

    /// The message in the bytes after its length.
    fn decode(bytes: &[u8]) -> Field<Self> {
        let mut fields = Reader(bytes);
        let message = match fields.byte()? {
            kind::EXEC => {
                fields.greeting()?;
                Self::Exec(fields.exec()?)
            }
            kind::LIST => {
                fields.greeting()?;
                Self::List
            }
            kind::SIGNAL => Self::Signal(fields.signed()?),
            kind::RESIZE => Self::Resize(fields.size()?),
            kind::BYTES => Self::Bytes(fields.bytes()?),
            kind::REFUSED => Self::Refused(fields.byte()?, fields.bytes()?),
            kind::STARTED => Self::Started(fields.signed()?),
            kind::STOPPED => Self::Stopped(fields.signed()?),
            kind::ENDED => Self::Ended(fields.byte()?),
            kind::PROCESSES => Self::Processes(fields.many(Reader::shown)?),
            _ => return Err(Malformed::Nonsense),
        };
        if fields.0.is_empty() { Ok(message) } else { Err(Malformed::Nonsense) }
    }
}

/// Bytes that have come, and the messages in them.
#[derive(Default)]
pub(super) struct Inbox(Vec<u8>);

impl Inbox {
    /// More bytes have come.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next message, if it is there as a whole.
    pub(super) fn next(&mut self) -> Field<Option<Message>> {
        let Some((head, rest)) = self.0.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let len = u32::from_le_bytes(*head) as usize;
        if len == 0 || len > MAX {
            return Err(Malformed::Nonsense);
        }
        let Some(bytes) = rest.get(..len) else { return Ok(None) };
        let message = Message::decode(bytes)?;
        self.0.drain(..LENGTH + len);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn size() -> impl Strategy<Value = WindowSize> {
        any::<[u16; 4]>().prop_map(|[rows, columns, x_pixels, y_pixels]| WindowSize {
            rows,
            columns,
            x_pixels,
            y_pixels,
        })
    }

    fn string() -> impl Strategy<Value = Vec<u8>> {
        vec(1_u8.., 0..20)
    }

    fn screen() -> impl Strategy<Value = Screen> {
        let settings = (any::<[u32; 4]>(), any::<u8>(), any::<[u8; 19]>()).prop_map(
            |([iflag, oflag, cflag, lflag], line, cc)| Termios {
                iflag,
                oflag,
                cflag,
                lflag,
                line,
                cc,
            },
        );
        (size(), settings).prop_map(|(size, settings)| Screen { size, settings })
    }

    fn exec() -> impl Strategy<Value = Exec> {
        let strings =
            (vec(string(), 1..5), vec(string(), 0..5), option::of(string()), option::of(string()));
        (strings, option::of(screen()), any::<[bool; 3]>()).prop_map(
            |((args, env, dir, here), screen, passed)| {
                let mut streams =
                    passed.map(|passed| if passed { Stream::Passed } else { Stream::Closed });
                if screen.is_some() {
                    streams[1] = Stream::Terminal;
                }
                Exec { args, env, dir, here, streams, screen }
            },
        )
    }

    fn shown() -> impl Strategy<Value = Shown> {
        (any::<[i32; 2]>(), any::<u8>(), any::<[u64; 2]>(), vec(any::<u8>(), 0..20)).prop_map(
            |([pid, ppid], state, [cpu, memory], command)| Shown {
                pid,
                ppid,
                state,
                cpu,
                memory,
                command,
            },
        )
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            exec().prop_map(Message::Exec),
            Just(Message::List),
            any::<i32>().prop_map(Message::Signal),
            size().prop_map(Message::Resize),
            vec(any::<u8>(), 0..50).prop_map(Message::Bytes),
            (any::<u8>(), vec(any::<u8>(), 0..50))
                .prop_map(|(status, why)| Message::Refused(status, why)),
            any::<i32>().prop_map(Message::Started),
            any::<i32>().prop_map(Message::Stopped),
            any::<u8>().prop_map(Message::Ended),
            vec(shown(), 0..4).prop_map(Message::Processes),
        ]
    }

    proptest! {
        #[test]
        fn what_is_sent_arrives_however_it_is_cut(messages in vec(message(), 1..4), cut in 1_usize..40) {
            let bytes: Vec<u8> = messages.iter().flat_map(|message| message.encode().unwrap()).collect();
            let (mut inbox, mut arrived) = (Inbox::default(), Vec::new());
            for part in bytes.chunks(cut) {
                inbox.add(part);
                while let Some(message) = inbox.next().unwrap() {
                    arrived.push(message);
                }
            }
            prop_assert_eq!(arrived, messages);
        }

        #[test]
        fn any_bytes_are_a_message_or_none(bytes in vec(any::<u8>(), 0..200)) {
            let mut inbox = Inbox::default();
            inbox.add(&bytes);
            while let Ok(Some(_)) = inbox.next() {}
            let _ = Message::decode(&bytes);
        }

        #[test]
        fn a_message_that_is_changed_or_cut_is_read_without_harm(message in message(), at in any::<usize>(), to in any::<u8>()) {
            let mut bytes = message.encode().unwrap();
            let at = LENGTH + at % (bytes.len() - LENGTH);
            prop_assert!(Message::decode(&bytes[LENGTH..at]).is_err());
            bytes[at] = to;
            let _ = Message::decode(&bytes[LENGTH..]);
        }
    }

    #[test]
    fn another_version_and_a_lie_about_a_length_are_told_apart() {
        let mut bytes = Message::List.encode().unwrap();
        bytes[LENGTH + 1 + MAGIC.len()] ^= 1;
        assert_eq!(Message::decode(&bytes[LENGTH..]), Err(Malformed::Version));
        let lie = [&[kind::PROCESSES][..], &u32::MAX.to_le_bytes()].concat();
        assert_eq!(Message::decode(&lie), Err(Malformed::Nonsense));
        let mut inbox = Inbox::default();
        inbox.add(&u32::MAX.to_le_bytes());
        assert_eq!(inbox.next(), Err(Malformed::Nonsense));
        assert_eq!(Message::Bytes(vec![0; MAX]).encode(), None);
    }
}
