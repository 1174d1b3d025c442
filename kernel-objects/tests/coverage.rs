//! The coverage page docs/OBJECTS.md: what Zircon documents for each object, and what is here.
//!
//! The one idea: a verb says in the first paragraph of its documentation, in parentheses, which call of Zircon it is, and the page is made
//! from that. What Zircon documents is [`FAMILIES`], with a word where something is missing; so a call can be neither
//! forgotten nor misspelt, and what is there cannot be called absent.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// What there is of something that Zircon documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Note {
    /// All of it, in the verbs that say so.
    Full,
    /// Something is missing.
    Partial(&'static str),
    /// Nothing, for a reason.
    Absent(&'static str),
    /// Nothing is needed, for whoever carries out system calls has it from something else.
    Above(&'static str),
}

use Note::{Above, Absent, Full, Partial};

type Documented = (&'static str, Note);

const FAMILIES: &[(&str, &[Documented])] = &[
    (
        "Handles and objects",
        &[
            ("zx_handle_close", Full),
            ("zx_handle_close_many", Full),
            ("zx_handle_duplicate", Full),
            ("zx_handle_replace", Full),
            ("zx_object_signal", Full),
            ("zx_object_signal_peer", Full),
            ("zx_object_wait_one", Full),
            ("zx_object_wait_many", Full),
            ("zx_object_wait_async", Full),
            ("zx_object_get_child", Partial("of jobs and processes, not of resources")),
            (
                "zx_object_set_profile",
                Partial("priorities and deadlines are kept and told, not honoured"),
            ),
            ("ZX_INFO_HANDLE_VALID", Above("a lookup")),
            ("ZX_INFO_HANDLE_BASIC", Full),
            ("ZX_INFO_HANDLE_COUNT", Full),
            ("ZX_PROP_NAME", Full),
        ],
    ),
    (
        "Jobs",
        &[
            ("zx_job_create", Full),
            ("zx_job_set_critical", Full),
            ("zx_job_set_policy", Full),
            ("zx_task_kill", Full),
            ("ZX_INFO_JOB", Full),
            ("ZX_INFO_JOB_CHILDREN", Full),
            ("ZX_INFO_JOB_PROCESSES", Full),
            (
                "ZX_INFO_TASK_RUNTIME",
                Partial("nobody measures how long it waits for the kernel's locks"),
            ),
            ("ZX_PROP_JOB_KILL_ON_OOM", Full),
        ],
    ),
    (
        "Processes",
        &[
            ("zx_process_create", Full),
            ("zx_process_start", Full),
            ("zx_process_exit", Full),
            ("zx_process_read_memory", Full),
            ("zx_process_write_memory", Full),
            ("zx_process_create_shared", Full),
            ("ZX_INFO_PROCESS", Full),
            ("ZX_INFO_PROCESS_THREADS", Full),
            ("ZX_INFO_PROCESS_HANDLE_STATS", Full),
            ("ZX_INFO_PROCESS_MAPS", Full),
            ("ZX_INFO_PROCESS_VMOS", Full),
            ("ZX_INFO_HANDLE_TABLE", Full),
            ("ZX_INFO_TASK_STATS", Full),
            ("ZX_PROP_PROCESS_DEBUG_ADDR", Full),
            ("ZX_PROP_PROCESS_BREAK_ON_LOAD", Full),
            ("ZX_PROP_PROCESS_VDSO_BASE_ADDRESS", Full),
            ("ZX_PROP_PROCESS_HW_TRACE_CONTEXT_ID", Absent("no hardware traces")),
        ],
    ),
    (
        "Threads",
        &[
            ("zx_thread_create", Full),
            ("zx_thread_start", Full),
            ("zx_thread_exit", Full),
            ("zx_thread_read_state", Partial("neither debug registers nor single steps")),
            ("zx_thread_write_state", Partial("neither debug registers nor single steps")),
            ("zx_thread_legacy_yield", Above("yielding")),
            ("zx_thread_set_rseq", Absent("no restartable sequences")),
            ("zx_thread_start_regs", Above("a body has the registers that it starts with")),
            ("zx_task_suspend", Full),
            ("zx_task_suspend_token", Above("zx_task_suspend")),
            ("ZX_INFO_THREAD", Full),
            ("ZX_INFO_THREAD_EXCEPTION_REPORT", Full),
            ("ZX_INFO_THREAD_STATS", Full),
            ("ZX_PROP_REGISTER_FS", Full),
            ("ZX_PROP_REGISTER_GS", Absent("the GS base belongs to the kernel")),
        ],
    ),
    (
        "Exceptions",
        &[
            ("zx_task_create_exception_channel", Full),
            ("zx_exception_get_thread", Full),
            ("zx_exception_get_process", Full),
            ("zx_thread_raise_exception", Full),
            ("ZX_PROP_EXCEPTION_STATE", Full),
            ("ZX_PROP_EXCEPTION_STRATEGY", Full),
        ],
    ),
    (
        "Memory",
        &[
            ("zx_vmo_create", Full),
            ("zx_vmo_create_child", Full),
            ("zx_vmo_create_contiguous", Full),
            ("zx_vmo_create_physical", Full),
            ("zx_vmo_get_size", Full),
            ("zx_vmo_set_size", Full),
            ("zx_vmo_get_stream_size", Above("ZX_PROP_VMO_CONTENT_SIZE")),
            ("zx_vmo_set_stream_size", Above("ZX_PROP_VMO_CONTENT_SIZE")),
            ("zx_vmo_op_range", Full),
            ("zx_vmo_read", Full),
            ("zx_vmo_write", Full),
            (
                "zx_vmo_set_cache_policy",
                Partial("kept, told and checked; the host's memory is cached"),
            ),
            ("zx_vmo_replace_as_executable", Above("a handle with more rights")),
            ("zx_vmo_transfer_data", Full),
            ("ZX_INFO_VMO", Full),
            ("ZX_PROP_VMO_CONTENT_SIZE", Full),
            ("zx_vmar_allocate", Full),
            ("zx_vmar_destroy", Full),
            ("zx_vmar_map", Partial("who asks checks for ZX_VM_ALLOW_FAULTS")),
            ("zx_vmar_map_clock", Full),
            ("zx_vmar_map_iob", Full),
            ("zx_vmar_op_range", Full),
            ("zx_vmar_protect", Full),
            ("zx_vmar_unmap", Full),
            ("ZX_INFO_VMAR", Full),
            ("ZX_INFO_VMAR_MAPS", Full),
            ("zx_stream_create", Full),
            ("zx_stream_readv", Full),
            ("zx_stream_readv_at", Full),
            ("zx_stream_writev", Full),
            ("zx_stream_writev_at", Full),
            ("zx_stream_seek", Full),
            ("ZX_INFO_STREAM", Full),
            ("ZX_PROP_STREAM_MODE_APPEND", Full),
        ],
    ),
    (
        "Pagers",
        &[
            ("zx_pager_create", Full),
            ("zx_pager_create_vmo", Full),
            ("zx_pager_detach_vmo", Full),
            ("zx_pager_op_range", Full),
            ("zx_pager_query_dirty_ranges", Full),
            ("zx_pager_query_vmo_stats", Full),
            ("zx_pager_supply_pages", Full),
        ],
    ),
    (
        "Communication",
        &[
            ("zx_channel_create", Full),
            ("zx_channel_read", Full),
            ("zx_channel_read_etc", Full),
            ("zx_channel_write", Full),
            ("zx_channel_write_etc", Full),
            ("zx_channel_call", Full),
            ("zx_channel_call_etc", Full),
            ("zx_fifo_create", Full),
            ("zx_fifo_read", Full),
            ("zx_fifo_write", Full),
            ("zx_socket_create", Full),
            ("zx_socket_read", Full),
            ("zx_socket_write", Full),
            ("zx_socket_set_disposition", Full),
            ("ZX_INFO_SOCKET", Full),
            ("ZX_PROP_SOCKET_RX_THRESHOLD", Full),
            ("ZX_PROP_SOCKET_TX_THRESHOLD", Full),
            ("zx_iob_create", Full),
            ("zx_iob_create_shared_region", Full),
            ("zx_iob_writev", Full),
            ("zx_iob_allocate_id", Full),
            ("ZX_INFO_IOB", Full),
            ("ZX_INFO_IOB_REGIONS", Full),
        ],
    ),
    (
        "Signalling and time",
        &[
            ("zx_event_create", Full),
            ("zx_eventpair_create", Full),
            ("zx_port_create", Full),
            ("zx_port_queue", Full),
            ("zx_port_wait", Full),
            ("zx_port_cancel", Full),
            ("zx_port_cancel_key", Full),
            ("zx_timer_create", Full),
            ("zx_timer_set", Full),
            ("zx_timer_cancel", Full),
            ("ZX_INFO_TIMER", Full),
            ("zx_futex_wait", Full),
            ("zx_futex_wake", Full),
            ("zx_futex_wake_single_owner", Full),
            ("zx_futex_requeue", Full),
            ("zx_futex_requeue_single_owner", Full),
            ("zx_futex_get_owner", Full),
            ("zx_clock_create", Full),
            ("zx_clock_read", Full),
            ("zx_clock_get_details", Full),
            ("zx_clock_read_mapped", Above("`ClockDetails::of_mapped`")),
            ("zx_clock_get_details_mapped", Above("`ClockDetails::of_mapped`")),
            ("ZX_INFO_CLOCK_MAPPED_SIZE", Above("`clock::MAPPED_SIZE`")),
            ("zx_clock_update", Full),
            ("zx_clock_get_monotonic", Full),
            ("zx_clock_get_boot", Full),
            ("zx_nanosleep", Above("a deadline")),
            ("zx_counter_create", Full),
            ("zx_counter_add", Full),
            ("zx_counter_read", Full),
            ("zx_counter_write", Full),
        ],
    ),
    (
        "Devices",
        &[
            ("zx_resource_create", Full),
            ("ZX_INFO_RESOURCE", Full),
            ("zx_interrupt_create", Full),
            ("zx_interrupt_bind", Full),
            ("zx_interrupt_wait", Full),
            ("zx_interrupt_ack", Full),
            ("zx_interrupt_trigger", Full),
            ("zx_interrupt_destroy", Full),
            ("ZX_INFO_INTERRUPT", Full),
            ("zx_msi_allocate", Full),
            ("zx_msi_create", Full),
            ("ZX_INFO_MSI", Full),
            ("zx_pci_get_nth_device", Full),
            ("zx_pci_config_read", Full),
            ("zx_pci_config_write", Full),
            ("zx_pci_get_bar", Full),
            ("zx_pci_enable_bus_master", Full),
            ("zx_pci_reset_device", Full),
            ("zx_pci_query_irq_mode", Full),
            ("zx_pci_set_irq_mode", Full),
            ("zx_pci_map_interrupt", Full),
            ("zx_iommu_create", Full),
            ("zx_bti_create", Full),
            ("zx_bti_pin", Full),
            ("zx_bti_release_quarantine", Full),
            ("ZX_INFO_BTI", Full),
            ("zx_pmt_unpin", Full),
            ("zx_debuglog_create", Full),
            ("zx_debuglog_read", Full),
            ("zx_debuglog_write", Full),
            ("zx_profile_create", Full),
            ("zx_guest_create", Absent("no hardware virtualisation")),
            ("zx_vcpu_create", Absent("no hardware virtualisation")),
            ("zx_ioports_request", Absent("no I/O ports")),
            ("zx_smc_call", Absent("not of this architecture")),
        ],
    ),
];

/// The verbs by the calls that they say they are.
type Verbs = BTreeMap<String, BTreeSet<String>>;

/// All source files below `folder`, without those that hold tests.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The name that begins `text`, and what follows it.
fn name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// The type that a line begins an `impl` of or, if it is a trait, to declare.
fn implemented(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("pub trait ") {
        return Some(name(rest).0);
    }
    let rest = line.strip_prefix("impl")?;
    let mut rest = if rest.starts_with('<') { rest.split_once("> ")?.1 } else { rest.trim_start() };
    if let Some((_, of)) = rest.split_once(" for ") {
        rest = of;
    }
    Some(name(rest).0)
}

/// What a public line declares, if it can be a verb: a function, or a type that is created.
fn declared(line: &str) -> Option<&str> {
    let mut line = line.strip_prefix("pub ").unwrap_or(line);
    for word in ["async ", "const "] {
        line = line.strip_prefix(word).unwrap_or(line);
    }
    let rest = line.strip_prefix("fn ").or_else(|| line.strip_prefix("struct "))?;
    Some(name(rest).0)
}

/// The calls that the first paragraph of a documentation names in parentheses.
fn calls(paragraph: &str) -> impl Iterator<Item = &str> {
    let inside = paragraph.split('(').skip(1).filter_map(|rest| rest.split_once(')'));
    let quoted = inside.flat_map(|(inside, _)| inside.split('`').skip(1).step_by(2));
    quoted.filter(|name| {
        (name.starts_with("zx_") && !name.ends_with("_t"))
            // Flags of a VMO are no topics.
            || (name.starts_with("ZX_INFO_") && !name.starts_with("ZX_INFO_VMO_"))
            || name.starts_with("ZX_PROP_")
    })
}

/// What the structures of an information topic say of themselves: `zx_info_job_t` is `ZX_INFO_JOB`.
fn topic(paragraph: &str) -> Option<String> {
    let (_, rest) = paragraph.split_once("`zx_info_")?;
    let (topic, _) = rest.split_once("_t`")?;
    Some(format!("ZX_INFO_{}", topic.to_uppercase()))
}

fn read(file: &Path, verbs: &mut Verbs) {
    let text = fs::read_to_string(file).unwrap();
    let (mut of, mut paragraph, mut ended) = (None, String::new(), false);
    for line in text.lines() {
        if line.starts_with("mod tests {") {
            break;
        }
        of = implemented(line).or(of).filter(|_| line != "}");
        let line = line.trim_start();
        if let Some(doc) = line.strip_prefix("///") {
            ended |= doc.trim().is_empty();
            if !ended {
                paragraph += doc;
            }
            continue;
        }
        if line.starts_with("#[") {
            continue;
        }
        if let Some(declared) = declared(line) {
            let verb = match of {
                Some(of) => format!("{of}::{declared}"),
                None => declared.to_string(),
            };
            for call in calls(&paragraph) {
                verbs.entry(call.to_string()).or_default().insert(verb.clone());
            }
            if let Some(topic) = topic(&paragraph) {
                verbs.entry(topic).or_default().insert(verb);
            }
        }
        (paragraph, ended) = (String::new(), false);
    }
}

fn verbs() -> Verbs {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut verbs = Verbs::new();
    for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
        read(file, &mut verbs);
    }
    verbs
}

/// What is there of something, in a word.
fn coverage(note: Note) -> String {
    match note {
        Full => "full".into(),
        Partial(missing) => format!("partial: {missing}"),
        Absent(reason) => format!("absent: {reason}"),
        Above(by) => format!("left to the system call, by {by}"),
    }
}

fn page(verbs: &Verbs) -> String {
    let mut page = String::from(
        "# Kernel objects\n\nWhat Zircon documents for each object (calls, topics of information, properties), and the verbs of\n\
        `kernel-objects` that do it. Generated from their documentation by `UPDATE_DOCS=1 cargo test -p kernel-objects --test coverage`;\n\
        a test fails when this page is stale.\n\n",
    );
    let notes = || FAMILIES.iter().flat_map(|(_, documented)| *documented).map(|(_, note)| *note);
    let count = |wanted: fn(&Note) -> bool| notes().filter(wanted).count();
    let _ = writeln!(
        page,
        "{} full, {} partial, {} absent.",
        count(|note| matches!(note, Full | Above(_))),
        count(|note| matches!(note, Partial(_))),
        count(|note| matches!(note, Absent(_))),
    );
    for (family, documented) in FAMILIES {
        let _ = writeln!(page, "\n## {family}\n\n| Zircon | here | coverage |\n|---|---|---|");
        for (call, note) in *documented {
            let known = verbs.get(*call).into_iter().flatten();
            let known: Vec<_> = known.map(|verb| format!("`{verb}`")).collect();
            let _ = writeln!(page, "| {call} | {} | {} |", known.join(", "), coverage(*note));
        }
    }
    page
}

#[test]
fn what_is_there_says_so_and_what_is_not_has_a_reason() {
    let verbs = verbs();
    let mut problems = String::new();
    for (call, note) in FAMILIES.iter().flat_map(|(_, documented)| *documented) {
        let there = verbs.contains_key(*call);
        match note {
            Full | Partial(_) if !there => {
                let _ = writeln!(problems, "{call}: no verb says that it is this");
            }
            Absent(_) | Above(_) if there => {
                let _ = writeln!(problems, "{call}: {:?} is there", verbs.get(*call));
            }
            _ => {}
        }
    }
    assert!(problems.is_empty(), "\n{problems}");
}

#[test]
fn what_verbs_say_they_are_is_documented_once() {
    let mut known = BTreeSet::new();
    for (call, _) in FAMILIES.iter().flat_map(|(_, documented)| *documented) {
        assert!(known.insert(*call), "{call} comes twice");
    }
    for (call, verbs) in verbs() {
        assert!(known.contains(&*call), "{verbs:?} say {call}, which Zircon does not have");
    }
}

#[test]
fn the_checked_in_coverage_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OBJECTS.md");
    let page = page(&verbs());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    let stale =
        "docs/OBJECTS.md is stale: UPDATE_DOCS=1 cargo test -p kernel-objects --test coverage";
    assert!(checked_in == page, "{stale}");
}
