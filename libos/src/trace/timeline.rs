//! From records to trace events: who was where for how long.
//!
//! The one idea: a CPU's records replayed in their order tell at each moment what it does, and every change of that ends one slice and begins
//! another. A track is a CPU, with what it runs and below that whether the guest or the kernel did; or a guest's thread, with its calls.
//!
//! ```text
//! cpu0     │ sh [1]                        │ idle │ cat [2]            │
//!          │ guest │ kernel │ guest │kernel│      │kernel│ guest │kernel│
//! sh [1]           │ openat │       │ wait4 ......
//! cat [2]                                         ... read │
//! ```

use std::{
    collections::{HashMap, HashSet},
    fmt::{self, Display},
};

use super::{
    buffer::Lost,
    json::{Event as Slice, Events},
    record::{Abi, Event, Outcome, Record, RingOperation, Submission, Who, Why},
};
use crate::{
    abi::strace::Traced,
    process::{Thread, pids::PID_MAX},
    zircon,
};

/// The process that the trace has the CPUs in: no guest's number.
const CPUS: u32 = PID_MAX as u32;

/// The trace so far, as it is needed to go on with it.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// The events that have come of it.
    pub(super) events: Events,
    cpus: Vec<Cpu>,
    names: HashMap<Who, String>,
    /// Wake-ups whose beginning is in the trace and whose end is not.
    wake_ups: HashSet<u64>,
}

/// What a CPU does.
#[derive(Debug, Default)]
struct Cpu {
    runs: Runs,
    mode: Mode,
    /// Who was woken since the last record of another kind: when, and by which wake-up.
    wakes: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Runs {
    #[default]
    Nothing,
    /// A slice that says that it sleeps, or that nothing is known.
    Nobody,
    /// A task since then, of which it is not known whether it is a thread. No slice yet.
    Task(u64),
    /// A slice of this thread.
    Thread(Who),
}

/// Where the thread is that it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Nowhere,
    /// In the kernel: a slice.
    Kernel,
    /// In its own code since then. No slice yet: it may not get there.
    Guest(u64),
}

impl Timeline {
    /// A trace of so many CPUs.
    pub(super) fn new(cpus: usize) -> Self {
        let mut timeline = Self::default();
        timeline.cpus.resize_with(cpus, Cpu::default);
        let events = &mut timeline.events;
        let all = Who { pid: CPUS, tid: CPUS };
        drop(events.add('M', all).field("name", "process_name").argument("name", "CPUs"));
        let first = events.add('M', all).field("name", "process_sort_index");
        drop(first.number("sort_index", -1));
        for cpu in 0..cpus {
            let name = format!("cpu{cpu}");
            drop(events.add('M', track(cpu)).field("name", "thread_name").argument("name", name));
            let order = events.add('M', track(cpu)).field("name", "thread_sort_index");
            drop(order.number("sort_index", cpu as u64));
        }
        timeline
    }

    /// Adds what CPU `cpu` has recorded, or a thread that is none. A CPU's records come in their order.
    pub(super) fn add(&mut self, cpu: Option<usize>, record: &Record) {
        let Record { time, event } = *record;
        if let Event::Woken { who, wake_up } = event {
            return self.woken(cpu, time, who, wake_up);
        }
        if let Some(cpu) = cpu {
            self.show_wakes(cpu, &event);
            self.follow(cpu, time, event);
        }
        match event {
            Event::Call(submission, outcome) => {
                self.call_begins(&submission);
                self.call_ends(submission.who, time, outcome);
            }
            Event::Waits(submission) => self.call_begins(&submission),
            Event::Ends(who, outcome) => self.call_ends(who, time, outcome),
            Event::Resumed { who, wake_up } if self.wake_ups.remove(&wake_up) => {
                // To where the thread goes on, since Perfetto turns arrows around whose end is in a slice that began before the other;
                // and to the slice around it, not to the next.
                let to = cpu.map_or(who, track);
                drop(self.arrow('f', to, time, wake_up).field("bp", "e"));
            }
            Event::Submitted(operation) => drop(self.operation('b', &operation, time)),
            Event::Completed(operation, outcome) => {
                drop(self.operation('e', &operation, time).argument("result", Shown(outcome)));
            }
            Event::Depth { pid, door, ring, operations, completions } => {
                let name = format_args!("{} {ring}", door.name());
                let counter = self.events.add('C', Who { pid, tid: pid }).at(time);
                let counter = counter.field("name", name);
                drop(counter.number("operations", operations).number("completions", completions));
            }
            Event::ThreadIs(who, name) => {
                let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
                let named = self.events.add('M', who).field("name", "thread_name");
                drop(named.argument("name", &name));
                // A slice that has begun keeps the old one: of what is on its way now, more may yet be known that began before.
                self.names.insert(who, name);
            }
            Event::ProcessIs(pid, name) => {
                let name = String::from_utf8_lossy(name.as_bytes());
                let named =
                    self.events.add('M', Who { pid, tid: pid }).field("name", "process_name");
                drop(named.argument("name", name));
            }
            Event::Gone(who) => drop(self.names.remove(&who)),
            _ => {}
        }
    }

    /// Says that a CPU has lost records after those that were added.
    pub(super) fn lost(&mut self, cpu: Option<usize>, lost: Lost) {
        // The ends of some may be among them.
        self.wake_ups.clear();
        let Some(cpu) = cpu else {
            let all = Who { pid: CPUS, tid: CPUS };
            let note = self.events.add('i', all).at(lost.since).field("name", "lost");
            return drop(note.field("s", "g").number("records", lost.count));
        };
        self.leave(cpu, lost.since);
        let slice = self.begin(track(cpu), lost.since, "lost");
        drop(slice.number("records", lost.count));
        self.set_runs(cpu, Runs::Nobody);
    }

    /// Ends all slices of CPUs, and the trace.
    pub(super) fn end(&mut self, time: u64) {
        for cpu in 0..self.cpus.len() {
            self.leave(cpu, time);
        }
        self.events.end();
    }

    /// Replays what `event` says of the CPU itself.
    fn follow(&mut self, cpu: usize, time: u64, event: Event) {
        match event {
            Event::Sleeps => {
                self.leave(cpu, time);
                drop(self.begin(track(cpu), time, "idle"));
                self.set_runs(cpu, Runs::Nobody);
            }
            Event::TaskBegins => {
                self.leave(cpu, time);
                self.set_runs(cpu, Runs::Task(time));
            }
            Event::Wakes | Event::TaskEnds => self.leave(cpu, time),
            Event::Runs(who) => self.enter(cpu, time, who),
            Event::Kernel(who, why) => {
                self.enter(cpu, time, who);
                self.in_kernel(cpu, time, why, why.name());
            }
            Event::Guest(who) => {
                self.enter(cpu, time, who);
                self.in_guest(cpu, time);
            }
            Event::Call(submission, _) => {
                self.enter(cpu, submission.begin, submission.who);
                self.in_kernel(cpu, submission.begin, Why::Call, NameOf(&submission));
                self.in_guest(cpu, time);
            }
            Event::Waits(submission) => {
                self.enter(cpu, submission.begin, submission.who);
                self.in_kernel(cpu, submission.begin, Why::Call, NameOf(&submission));
            }
            Event::Ends(who, outcome) if outcome != Outcome::Dropped => {
                self.enter(cpu, time, who);
                self.in_guest(cpu, time);
            }
            _ => {}
        }
    }

    /// The CPU runs `who`, which it may be known to do already.
    fn enter(&mut self, cpu: usize, time: u64, who: Who) {
        let (since, is_task) = match self.runs(cpu) {
            Runs::Thread(_) => return,
            Runs::Task(since) => (since, true),
            Runs::Nothing => (time, false),
            Runs::Nobody => {
                self.leave(cpu, time);
                (time, false)
            }
        };
        let name = match self.names.get(&who) {
            Some(name) => format!("{name} [{}]", who.tid),
            None => format!("[{}]", who.tid),
        };
        let slice = self.begin(track(cpu), since, name);
        drop(slice.number("pid", who.pid).number("tid", who.tid));
        self.set_runs(cpu, Runs::Thread(who));
        // A task begins in the kernel. Where one is met on its way, the next record says where it was.
        if is_task {
            drop(self.begin(track(cpu), since, "kernel"));
            self.set_mode(cpu, Mode::Kernel);
        }
    }

    /// The thread that the CPU runs is in the kernel, for what `what` says.
    fn in_kernel(&mut self, cpu: usize, time: u64, why: Why, what: impl Display) {
        let since = match self.mode(cpu) {
            Mode::Kernel => return,
            Mode::Nowhere => time,
            Mode::Guest(since) if why.is_trap() => {
                self.end_guest(cpu, since, time);
                time
            }
            // It was on its way to its own code.
            Mode::Guest(since) => since,
        };
        drop(self.begin(track(cpu), since, "kernel").argument("for", what));
        self.set_mode(cpu, Mode::Kernel);
    }

    fn in_guest(&mut self, cpu: usize, time: u64) {
        match self.mode(cpu) {
            Mode::Guest(_) => return,
            Mode::Kernel => self.end_slice(track(cpu), time),
            Mode::Nowhere => {}
        }
        self.set_mode(cpu, Mode::Guest(time));
    }

    fn end_guest(&mut self, cpu: usize, since: u64, time: u64) {
        if since < time {
            drop(self.begin(track(cpu), since, "guest"));
            self.end_slice(track(cpu), time);
        }
    }

    /// Ends all slices of the CPU.
    fn leave(&mut self, cpu: usize, time: u64) {
        match self.mode(cpu) {
            Mode::Nowhere => {}
            Mode::Kernel => self.end_slice(track(cpu), time),
            Mode::Guest(since) => self.end_guest(cpu, since, time),
        }
        self.set_mode(cpu, Mode::Nowhere);
        match self.runs(cpu) {
            Runs::Nothing => {}
            Runs::Nobody | Runs::Thread(_) => self.end_slice(track(cpu), time),
            Runs::Task(since) => {
                drop(self.begin(track(cpu), since, "kernel").argument("for", "a task of its own"));
                self.end_slice(track(cpu), time);
            }
        }
        self.set_runs(cpu, Runs::Nothing);
    }

    fn call_begins(&mut self, submission: &Submission) {
        let slice = self.begin(submission.who, submission.begin, NameOf(submission));
        drop(slice.field("cat", "syscall").argument("door", submission.door.name()));
    }

    fn call_ends(&mut self, who: Who, time: u64, outcome: Outcome) {
        drop(self.events.add('E', who).at(time).argument("result", Shown(outcome)));
    }

    fn operation(&mut self, phase: char, operation: &RingOperation, time: u64) -> Slice<'_> {
        let RingOperation { pid, door, id, name } = *operation;
        let event = self.events.add(phase, Who { pid, tid: pid }).at(time);
        event.field("cat", door.name()).field("id", id).field("name", name)
    }

    /// Keeps a wake-up until it is known what woke.
    fn woken(&mut self, cpu: Option<usize>, time: u64, who: Who, wake_up: u64) {
        let Some(cpu) = cpu.and_then(|cpu| self.cpus.get_mut(cpu)) else { return };
        // Only where there is a slice can an arrow begin; to itself it need not.
        match cpu.runs {
            Runs::Nothing | Runs::Nobody => return,
            Runs::Thread(waker) if waker == who => return,
            Runs::Thread(_) | Runs::Task(_) => {}
        }
        cpu.wakes.push((time, wake_up));
        self.wake_ups.insert(wake_up);
    }

    /// The wake-ups of before were by `event`, if that is a call, else by what the CPU does.
    fn show_wakes(&mut self, cpu: usize, event: &Event) {
        let wakes = match self.cpus.get_mut(cpu) {
            Some(cpu) if !cpu.wakes.is_empty() => std::mem::take(&mut cpu.wakes),
            _ => return,
        };
        for (time, wake_up) in wakes {
            let from = match event {
                Event::Call(call, _) | Event::Waits(call) if call.begin <= time => call.who,
                Event::Ends(who, _) => *who,
                _ => track(cpu),
            };
            drop(self.arrow('s', from, time, wake_up));
        }
    }

    fn arrow(&mut self, phase: char, who: Who, time: u64, wake_up: u64) -> Slice<'_> {
        let arrow = self.events.add(phase, who).at(time).field("cat", "wake-up");
        arrow.field("name", "wake-up").field("id", wake_up)
    }

    fn begin(&mut self, track: Who, time: u64, name: impl Display) -> Slice<'_> {
        self.events.add('B', track).at(time).field("name", name)
    }

    fn end_slice(&mut self, track: Who, time: u64) {
        drop(self.events.add('E', track).at(time));
    }

    fn runs(&self, cpu: usize) -> Runs {
        self.cpus.get(cpu).map_or(Runs::Nothing, |cpu| cpu.runs)
    }

    fn set_runs(&mut self, cpu: usize, runs: Runs) {
        if let Some(cpu) = self.cpus.get_mut(cpu) {
            cpu.runs = runs;
        }
    }

    fn mode(&self, cpu: usize) -> Mode {
        self.cpus.get(cpu).map_or(Mode::Nowhere, |cpu| cpu.mode)
    }

    fn set_mode(&mut self, cpu: usize, mode: Mode) {
        if let Some(cpu) = self.cpus.get_mut(cpu) {
            cpu.mode = mode;
        }
    }
}

/// The track of a CPU.
fn track(cpu: usize) -> Who {
    Who {
        pid: CPUS,
        tid: CPUS.saturating_add(1).saturating_add(u32::try_from(cpu).unwrap_or(u32::MAX)),
    }
}

/// What a call is called.
struct NameOf<'a>(&'a Submission);

impl Display for NameOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.number;
        let entry = match self.0.abi {
            Abi::Linux => Thread::entry(number),
            Abi::Zircon => zircon::Thread::entry(number),
        };
        match entry {
            Some(entry) => f.write_str(entry.name),
            None => write!(f, "syscall_{number}"),
        }
    }
}

/// How a call ended, as strace shows it.
struct Shown(Outcome);

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Outcome::Linux(result) => Thread::show_result(result, f),
            Outcome::Zircon(result) => zircon::Thread::show_result(result, f),
            Outcome::Dropped => f.write_str("? <unfinished ...>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{errno::Errno, trace::Door};

    const ONE: Who = Who { pid: 1, tid: 1 };
    const TWO: Who = Who { pid: 1, tid: 2 };

    fn call(who: Who, number: u64, begin: u64) -> Submission {
        Submission { who, abi: Abi::Linux, door: Door::InProcess, number, begin }
    }

    /// What `records` of CPU 0 become, each event as: phase, track (`cpu` or the thread's number), time, and name or result.
    fn replay(records: &[(u64, Event)]) -> Vec<String> {
        let mut timeline = Timeline::new(1);
        timeline.events.written();
        for &(time, event) in records {
            timeline.add(Some(0), &Record { time, event });
        }
        brief(timeline.events.text())
    }

    fn brief(text: &str) -> Vec<String> {
        let field = |line: &str, key: &str| -> Option<String> {
            let (_, rest) = line.split_once(&format!("\"{key}\":"))?;
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            Some(rest[..end].trim_matches('"').to_owned())
        };
        let event = |line: &str| {
            let tid = field(line, "tid")?;
            let tid = if tid == track(0).tid.to_string() { "cpu".to_owned() } else { tid };
            let words = [field(line, "ph")?, tid, field(line, "ts")?.replace("0.00", "")];
            let last = field(line, "result").or(field(line, "name"));
            Some(words.into_iter().chain(last).collect::<Vec<_>>().join(" "))
        };
        text.lines().filter_map(event).collect()
    }

    #[test]
    fn a_call_that_ends_at_once_splits_the_guests_time() {
        let events = replay(&[
            (1, Event::TaskBegins),
            (1, Event::Runs(ONE)),
            (2, Event::Guest(ONE)),
            (5, Event::Call(call(ONE, 39, 4), Outcome::Linux(Ok(7)))),
            (9, Event::TaskEnds),
        ]);
        let expected = [
            "B cpu 1 [1]",
            "B cpu 1 kernel",
            "E cpu 2",
            "B cpu 2 guest",
            "E cpu 4",
            "B cpu 4 kernel",
            "E cpu 5",
            "B 1 4 getpid",
            "E 1 5 7",
            "B cpu 5 guest",
            "E cpu 9",
            "E cpu 9",
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn a_thread_that_did_not_get_to_its_own_code_was_in_the_kernel() {
        let events = replay(&[
            (1, Event::TaskBegins),
            (1, Event::Runs(ONE)),
            (3, Event::Call(call(ONE, 60, 2), Outcome::Linux(Ok(0)))),
            (4, Event::Kernel(ONE, Why::Work)),
            (6, Event::TaskEnds),
        ]);
        assert!(events.iter().all(|event| !event.contains("guest")), "{events:?}");
        assert!(events.contains(&"B cpu 3 kernel".to_owned()), "{events:?}");
    }

    #[test]
    fn a_call_that_waits_leaves_the_cpu_to_others() {
        let events = replay(&[
            (1, Event::TaskBegins),
            (1, Event::Runs(ONE)),
            (3, Event::Waits(call(ONE, 0, 2))),
            (4, Event::TaskEnds),
            (5, Event::Sleeps),
            (6, Event::Wakes),
            (7, Event::TaskBegins),
            (7, Event::TaskEnds),
            (8, Event::Ends(ONE, Outcome::Dropped)),
        ]);
        let expected = [
            "B cpu 1 [1]",
            "B cpu 1 kernel",
            "B 1 2 read",
            "E cpu 4",
            "E cpu 4",
            "B cpu 5 idle",
            "E cpu 6",
            "B cpu 7 kernel",
            "E cpu 7",
            "E 1 8 ? <unfinished ...>",
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn what_is_lost_is_a_slice_until_more_is_known() {
        let mut timeline = Timeline::new(1);
        timeline.events.written();
        timeline.add(Some(0), &Record { time: 1, event: Event::TaskBegins });
        timeline.add(Some(0), &Record { time: 1, event: Event::Runs(ONE) });
        timeline.lost(Some(0), Lost { count: 12, since: 2 });
        assert!(timeline.events.text().contains("\"args\":{\"records\":12}"));
        let next = Event::Call(call(ONE, 39, 4), Outcome::Linux(Err(Errno::EPERM)));
        timeline.add(Some(0), &Record { time: 5, event: next });
        timeline.end(7);
        let events = brief(timeline.events.text());
        let expected = [
            "B cpu 1 [1]",
            "B cpu 1 kernel",
            "E cpu 2",
            "E cpu 2",
            "B cpu 2 lost",
            "E cpu 4",
            "B cpu 4 [1]",
            "B cpu 4 kernel",
            "E cpu 5",
            "B 1 4 getpid",
            "E 1 5 -1 EPERM",
            "B cpu 5 guest",
            "E cpu 7",
            "E cpu 7",
        ];
        assert_eq!(events, expected);
        assert!(timeline.events.text().ends_with("\n]\n"));
    }

    #[test]
    fn an_arrow_goes_from_the_call_that_wakes_to_where_the_one_that_waits_goes_on() {
        let woken = Event::Woken { who: TWO, wake_up: 1 };
        let resumed = Event::Resumed { who: TWO, wake_up: 1 };
        let mut records = vec![
            (1, Event::TaskBegins),
            (1, Event::Runs(ONE)),
            (3, woken),
            (4, Event::Call(call(ONE, 1, 2), Outcome::Linux(Ok(1)))),
            (5, Event::TaskEnds),
            (6, resumed),
            (6, Event::Ends(TWO, Outcome::Linux(Ok(1)))),
        ];
        let arrows = |events: Vec<String>| -> Vec<String> {
            events.into_iter().filter(|event| event.contains("wake-up")).collect()
        };
        assert_eq!(arrows(replay(&records)), ["s 1 3 wake-up", "f cpu 6 wake-up"]);
        // By no call.
        records.remove(3);
        assert_eq!(arrows(replay(&records)), ["s cpu 3 wake-up", "f cpu 6 wake-up"]);
        // By itself, and by nobody.
        records[2].1 = Event::Woken { who: ONE, wake_up: 1 };
        assert!(arrows(replay(&records)).is_empty());
        assert!(arrows(replay(&[(3, woken), (6, resumed)])).is_empty());
    }

    #[test]
    fn operations_of_rings_may_overlap_and_are_counted() {
        let operation = |id| RingOperation { pid: 1, door: Door::Evering, id, name: "read" };
        let depth = |operations, completions| Event::Depth {
            pid: 1,
            door: Door::Evering,
            ring: 3,
            operations,
            completions,
        };
        let mut timeline = Timeline::new(1);
        for (time, event) in [
            (1, Event::Submitted(operation(1))),
            (2, Event::Submitted(operation(2))),
            (3, depth(2, 0)),
            (4, Event::Completed(operation(1), Outcome::Linux(Ok(9)))),
            (5, Event::Completed(operation(2), Outcome::Dropped)),
        ] {
            timeline.add(None, &Record { time, event });
        }
        let text = timeline.events.text();
        for line in [
            r#""ph":"b","pid":1,"tid":1,"ts":0.001,"cat":"evering","id":"1","name":"read"}"#,
            r#""ph":"C","pid":1,"tid":1,"ts":0.003,"name":"evering 3","args":{"operations":2,"completions":0}}"#,
            r#""ph":"e","pid":1,"tid":1,"ts":0.004,"cat":"evering","id":"1","name":"read","args":{"result":"9"}}"#,
            r#""ph":"e","pid":1,"tid":1,"ts":0.005,"cat":"evering","id":"2","name":"read","args":{"result":"? <unfinished ...>"}}"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
