//! `--trace`: what the file of trace events says of a program whose doings are known.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tests::{
    guests::{self, Build},
    kernel, paths,
    run::Guest,
    scratch::Scratch,
    zircon,
};

/// A slice of a track.
#[derive(Debug)]
struct Slice {
    name: String,
    /// How many slices it is in.
    depth: usize,
    /// Microseconds.
    begin: f64,
    end: f64,
    /// The arguments of its beginning and of its end.
    arguments: BTreeMap<String, String>,
}

impl Slice {
    fn duration(&self) -> f64 {
        self.end - self.begin
    }

    fn argument(&self, key: &str) -> &str {
        self.arguments.get(key).map_or("", |value| value)
    }
}

/// A process and one of its threads.
type Track = (u64, u64);

#[derive(Debug, Default)]
struct Trace {
    slices: BTreeMap<Track, Vec<Slice>>,
    threads: BTreeMap<Track, Vec<String>>,
    processes: BTreeMap<u64, Vec<String>>,
    /// Beginnings and ends of arrows: where and when.
    arrows: BTreeMap<u64, BTreeMap<String, (Track, f64)>>,
    /// Operations of rings, by their numbers: the name, the door, and the result when they have one.
    operations: BTreeMap<u64, (String, String, Option<String>)>,
    /// What counters showed, by their names.
    counters: BTreeMap<String, Vec<BTreeMap<String, String>>>,
}

impl Trace {
    /// Reads a trace, and checks that its slices nest and that each of them ends.
    #[track_caller]
    fn parse(text: &str) -> Self {
        let events: Vec<Value> = serde_json::from_str(text).unwrap();
        let time = |event: &Value| event["ts"].as_f64().unwrap_or(0.0);
        let mut ordered: Vec<&Value> = events.iter().collect();
        ordered.sort_by(|one, other| time(one).total_cmp(&time(other)));
        let mut trace = Self::default();
        let mut open: BTreeMap<Track, Vec<Slice>> = BTreeMap::new();
        for event in ordered {
            let track = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
            let name = event["name"].as_str().unwrap_or_default().to_owned();
            let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
            let arguments: BTreeMap<String, String> = match &event["args"] {
                Value::Object(arguments) => {
                    arguments.iter().map(|(key, value)| (key.clone(), text(value))).collect()
                }
                _ => BTreeMap::new(),
            };
            let stack = open.entry(track).or_default();
            match event["ph"].as_str().unwrap() {
                "B" => {
                    let (depth, begin) = (stack.len(), time(event));
                    stack.push(Slice { name, depth, begin, end: begin, arguments });
                }
                "E" => {
                    let mut slice = stack.pop().unwrap_or_else(|| panic!("nothing ends: {event}"));
                    slice.end = time(event);
                    slice.arguments.extend(arguments);
                    trace.slices.entry(track).or_default().push(slice);
                }
                "s" | "f" => {
                    let ends = trace.arrows.entry(event["id"].as_str().unwrap().parse().unwrap());
                    let phase = event["ph"].as_str().unwrap().to_owned();
                    ends.or_default().insert(phase, (track, time(event)));
                }
                "M" if name == "thread_name" => {
                    trace.threads.entry(track).or_default().push(arguments["name"].clone());
                }
                "M" if name == "process_name" => {
                    trace.processes.entry(track.0).or_default().push(arguments["name"].clone());
                }
                "M" => {}
                "b" => {
                    let door = event["cat"].as_str().unwrap().to_owned();
                    trace.operations.insert(number(&event["id"]), (name, door, None));
                }
                "e" => {
                    let operation = trace.operations.get_mut(&number(&event["id"])).unwrap();
                    operation.2 = Some(arguments["result"].clone());
                }
                "C" => trace.counters.entry(name).or_default().push(arguments),
                _ => panic!("what is {event}?"),
            }
        }
        for (track, stack) in &open {
            assert!(stack.is_empty(), "{track:?}: these do not end: {stack:?}");
        }
        trace
    }

    /// The tracks of CPUs, in order.
    fn cpus(&self) -> Vec<Track> {
        let (cpus, _) = self.processes.iter().find(|(_, names)| *names == &["CPUs"]).unwrap();
        self.threads.keys().copied().filter(|(pid, _)| pid == cpus).collect()
    }

    /// All calls called `name`, with their threads.
    fn calls(&self, name: &str) -> Vec<(Track, &Slice)> {
        let cpus = self.cpus();
        let guests = self.slices.iter().filter(|(track, _)| !cpus.contains(track));
        let calls = guests.flat_map(|(track, slices)| slices.iter().map(|slice| (*track, slice)));
        calls.filter(|(_, slice)| slice.name == name).collect()
    }
}

/// A number, whether as such or as text.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

/// Runs `guest` and reads what it has left in the trace.
fn traced(guest: Guest, options: &[&str]) -> Trace {
    let scratch = Scratch::empty().unwrap();
    let outcome = guest.options(&["--trace", "out.json"]).options(options).inside(scratch.path());
    let outcome = outcome.unwrap();
    assert_eq!(outcome.status, Some(0), "{}", String::from_utf8_lossy(&outcome.stderr));
    Trace::parse(&fs::read_to_string(scratch.path().join("out.json")).unwrap())
}

fn program() -> Guest {
    Guest::new(guests::build("traced.c", Build::C, &[]).unwrap(), &[])
}

/// What each CPU's track must be like: who runs, and below that where.
#[track_caller]
fn check_cpus(trace: &Trace) {
    let mut has_worked = false;
    for cpu in trace.cpus() {
        let slices = &trace.slices[&cpu];
        let names: BTreeSet<&str> = slices.iter().map(|slice| &*slice.name).collect();
        // A short program may leave a CPU without work.
        assert!(names.contains("idle"), "{cpu:?}: {names:?}");
        has_worked |= names.contains("kernel");
        for slice in slices {
            let is_thread = slice.arguments.contains_key("tid");
            let expected = match &*slice.name {
                "guest" => 1..2,
                "kernel" => 0..2,
                "idle" => 0..1,
                _ => 0..1,
            };
            assert!(expected.contains(&slice.depth), "{slice:?}");
            assert!(is_thread || ["guest", "kernel", "idle"].contains(&&*slice.name), "{slice:?}");
        }
    }
    assert!(has_worked);
}

#[test]
fn calls_and_cpus_are_in_the_trace() {
    for (options, door) in
        [(["--isolation=auto"], "trap in-process"), (["--isolation=always"], "trap isolated")]
    {
        let trace = traced(program(), &[&options[..], &["--cpus", "2"]].concat());
        let cpus = trace.cpus();
        let names: Vec<_> = cpus.iter().map(|cpu| &trace.threads[cpu][0]).collect();
        assert_eq!(names, ["cpu0", "cpu1"]);
        check_cpus(&trace);
        // Both had a guest for a good part of the 100 ms that two threads worked.
        for cpu in &cpus {
            let guest = trace.slices[cpu].iter().filter(|slice| slice.name == "guest");
            assert!(guest.map(Slice::duration).sum::<f64>() > 20_000.0, "{cpu:?}");
        }
        // In its time: most of it is in some slice.
        let busy: f64 =
            trace.slices[&cpus[0]].iter().filter(|s| s.depth == 0).map(Slice::duration).sum();
        let first = trace.slices[&cpus[0]].iter().map(|s| s.begin).fold(f64::MAX, f64::min);
        let last = trace.slices[&cpus[0]].iter().map(|s| s.end).fold(0.0, f64::max);
        assert!(busy > 0.5 * (last - first), "{busy} of {}", last - first);

        // Names.
        let named = |name: &str| {
            let mut found =
                trace.threads.iter().filter(|(_, names)| names.iter().any(|n| n == name));
            found.next().map(|(track, _)| *track)
        };
        let reader = named("the \"reader\"").unwrap();
        let main = named("traced-c-").or_else(|| {
            let is_main = |names: &Vec<String>| names.iter().any(|name| name.starts_with("traced"));
            trace.threads.iter().find(|(t, names)| t.0 == t.1 && is_main(names)).map(|(t, _)| *t)
        });
        let main = main.unwrap();
        assert_eq!(reader.0, main.0);
        assert_ne!(reader.1, main.1);
        assert!(trace.processes[&main.0].iter().any(|name| name.starts_with("traced")));

        // A call that fails.
        let failed = trace.calls("openat").into_iter().any(|(track, call)| {
            track == main && call.argument("result") == "-1 ENOENT" && call.argument("door") == door
        });
        assert!(failed, "{:?}", trace.calls("openat"));

        // A call that waits lasts as long as it waits. From the call that ends that an arrow leads to the CPU on which it goes on.
        let reads = trace.calls("read");
        let (_, read) = reads.iter().find(|(track, _)| *track == reader).unwrap();
        assert_eq!(read.argument("result"), "1");
        assert!((40_000.0..20_000_000.0).contains(&read.duration()), "{read:?}");
        let writes = trace.calls("write");
        let (_, write) = writes.iter().find(|(track, _)| *track == main).unwrap();
        assert!(read.begin < write.begin && write.begin < read.end, "{read:?} {write:?}");
        assert!(read.end < write.end + 1_000_000.0, "{read:?} {write:?}");
        let mut arrows = trace.arrows.values().filter_map(|ends| ends.get("s").zip(ends.get("f")));
        let arrow = arrows.find(|((from, begin), _)| {
            *from == main && write.begin <= *begin && *begin <= write.end
        });
        let (_, &(to, end)) = arrow.unwrap();
        assert!(read.begin < end && end <= read.end, "{end} {read:?}");
        let runs = trace.slices[&to]
            .iter()
            .find(|slice| slice.depth == 0 && slice.begin <= end && end <= slice.end);
        assert_eq!(runs.unwrap().argument("tid"), reader.1.to_string());

        // A call in which a process was killed.
        let pauses = trace.calls("pause");
        let [(child, pause)] = &pauses[..] else { panic!("{pauses:?}") };
        assert_ne!(child.0, main.0);
        assert_eq!(pause.argument("result"), "? <unfinished ...>");
        assert!((40_000.0..20_000_000.0).contains(&pause.duration()), "{pause:?}");
        // The child of a fork has no other place.
        assert_eq!(pause.argument("door"), "trap isolated");
        let waits = trace.calls("wait4");
        let (_, wait) = waits.last().unwrap();
        assert_eq!(wait.argument("result"), child.1.to_string());
    }
}

#[test]
fn one_cpu_has_one_track() {
    let trace = traced(program(), &["--cpus", "1"]);
    assert_eq!(trace.cpus().len(), 1);
    check_cpus(&trace);
}

#[test]
fn every_arrow_that_ends_begins() {
    let script = "for i in 1 2 3 4 5; do seq 1000 | grep 7 | wc -l; done";
    let trace = traced(Guest::new("/bin/sh", &["-c", script]), &["--cpus", "2"]);
    assert!(!trace.arrows.is_empty());
    for (id, ends) in &trace.arrows {
        if let Some((_, end)) = ends.get("f") {
            let (_, begin) = ends.get("s").unwrap_or_else(|| panic!("{id}: {ends:?}"));
            assert!(begin <= end, "{id}: {ends:?}");
        }
    }
    let names: BTreeSet<&String> = trace.processes.values().flatten().collect();
    for name in ["sh", "seq", "grep", "wc"] {
        assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
    }
}

#[test]
fn zircon_programs_are_traced_as_well() {
    let program = zircon::build(&paths::sources().join("guests/zircon/channel.c")).unwrap();
    let trace = traced(Guest::new(program, &[]), &["--zircon"]);
    check_cpus(&trace);
    let calls = trace.calls("zx_channel_create");
    assert!(!calls.is_empty());
    assert!(calls.iter().any(|(_, call)| call.argument("result") == "ZX_OK"), "{calls:?}");
}

/// Starts a kernel, kills it once the trace tells of its program's sleep, and gives the trace.
fn cut_short(path: &Path, signal: &str) -> String {
    let mut command = Command::new(kernel::binary().unwrap());
    command.arg("--trace").arg(path).args(["/bin/sleep", "100"]).stdin(Stdio::null());
    let mut kernel = command.spawn().unwrap();
    let begin = Instant::now();
    while !fs::read_to_string(path).unwrap_or_default().contains("clock_nanosleep") {
        assert!(begin.elapsed() < Duration::from_secs(30), "the trace is not written");
        thread::sleep(Duration::from_millis(10));
    }
    let killed = Command::new("kill").args([signal, &kernel.id().to_string()]).status().unwrap();
    assert!(killed.success());
    kernel.wait().unwrap();
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_kernel_that_is_killed_leaves_a_trace_without_its_bracket() {
    let scratch = Scratch::empty().unwrap();
    let path = scratch.path().join("out.json");
    let text = cut_short(&path, "-KILL");
    let events: Vec<Value> = serde_json::from_str(&(text + "]")).unwrap();
    let last = events.iter().rfind(|event| event["name"] == "clock_nanosleep").unwrap();
    assert_eq!(last["ph"], "B");
}

#[test]
fn a_program_that_is_interrupted_ends_its_call() {
    let scratch = Scratch::empty().unwrap();
    let trace = Trace::parse(&cut_short(&scratch.path().join("out.json"), "-INT"));
    let calls = trace.calls("clock_nanosleep");
    assert!(matches!(calls[..], [(_, call)] if call.duration() > 0.0), "{calls:?}");
}

#[test]
fn a_file_that_cannot_be_made_is_said() {
    let scratch = Scratch::empty().unwrap();
    let guest = Guest::new("/bin/true", &[]).options(&["--trace", "no/such/folder.json"]);
    let outcome = guest.inside(scratch.path()).unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert_eq!(outcome.status, Some(2), "{said}");
    assert!(said.contains("--trace no/such/folder.json: No such file or directory"), "{said}");
}

#[test]
fn operations_of_rings_are_in_the_trace() {
    let trace = traced(Guest::new(kernel::example("ring").unwrap(), &[]), &[]);
    let all: Vec<_> = trace.operations.values().collect();
    assert!(all.iter().all(|(_, door, _)| door == "evering"), "{all:?}");
    let results = |wanted: &str| -> Vec<&str> {
        let named = all.iter().filter(|(name, ..)| name == wanted);
        named.map(|(.., result)| result.as_deref().expect("each has ended")).collect()
    };
    assert_eq!(results("getppid"), ["0"; 8]);
    assert_eq!(results("write"), ["5", "2", "4", "3", "-1 EFAULT"]);
    // One that got something, one that was too late, one that was cancelled, and four that were made by whoever looked.
    let mut reads = vec!["5", "-1 ETIME", "-1 ECANCELED", "4", "4", "1", "1"];
    // Into a registered buffer: two in it, one beyond it.
    reads.extend(["4", "3", "-1 EFAULT"]);
    assert_eq!(results("read"), reads);
    assert_eq!(results("timer"), ["0"]);
    let depths = &trace.counters["evering 0"];
    assert!(depths.iter().any(|depth| depth["operations"] == "1"), "{depths:?}");
    assert!(depths.iter().any(|depth| depth["completions"] == "9"), "{depths:?}");
}

#[test]
fn operations_of_io_uring_are_in_the_trace() {
    let scratch = Scratch::empty().unwrap();
    let file = scratch.path().join("text");
    std::fs::write(&file, "some text").unwrap();
    let mut guest = Guest::new(kernel::example("cat").unwrap(), &[file.to_str().unwrap()]);
    guest.env.push(("LIBOS_GUEST_BACKEND".into(), "io_uring".into()));
    let trace = traced(guest, &[]);
    let all: Vec<_> = trace.operations.values().collect();
    assert!(all.iter().all(|(_, door, _)| door == "io_uring"), "{all:?}");
    let has = |name: &str, result: &str| {
        all.iter().any(|(n, _, r)| n == name && r.as_deref() == Some(result))
    };
    assert!(has("READ", "9") && has("READ", "0") && has("WRITE", "9"), "{all:?}");
    let depths = &trace.counters["io_uring 0"];
    assert!(depths.iter().any(|depth| depth["completions"] != "0"), "{depths:?}");
}
