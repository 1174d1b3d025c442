//! Starting a program: what its creator does for it, which on Zircon is no business of the kernel's.
//!
//! The one idea: the first process gets what any creator would give it. Its image, its stack and the vDSO are mapped, and a channel brings
//! the rest: a message of `<zircon/processargs.h>` with arguments, environment and the handles that it begins with. The first
//! instruction is called like a C function, with that channel and the vDSO's address.

use std::sync::Arc;

use hal::aspace::Prot;
use kernel_objects::{
    Channel, DebugLog, Error, Handle, Job, KernelObject, MapArgs, MappingFlags, Message, Placement,
    Process, Result, Rights, Thread, Vmar, Vmo, VmoOptions, vmo::ChildOptions,
};

use super::{
    Machine,
    abi::constants::*,
    process::{Entry, enter, start},
};
use crate::{
    config::Config,
    config::Isolation,
    errno::Errno,
    loader::{self, LoadError, elf, search},
    memory::UserMemory,
    vfs::FsContext,
};

/// The size of the first thread's stack, which Zircon's programs begin with.
const STACK: u64 = 256 << 10;

/// Without access, below the stack.
const STACK_GUARD: u64 = 4 << 10;

/// Loads the program that `config` names and starts it in a job of its own.
pub(super) fn launch(
    machine: &Arc<Machine>,
    fs: &FsContext,
    config: &Config,
) -> Result<Arc<Process>, LoadError> {
    let path = search::find(fs, &config.program, &config.env)?;
    let isolation = machine.kernel.isolation;
    let memory =
        |isolation| UserMemory::new(machine.memory(), isolation).map_err(LoadError::System);
    let mut space = memory(isolation)?;
    let image = match loader::load_image(fs, &*space, &path) {
        Err(_) if space.has_clashed() && isolation == Isolation::Auto => {
            // Where it has all addresses for itself, then.
            space = memory(Isolation::Always)?;
            loader::load_image(fs, &*space, &path)?
        }
        image => image?,
    };
    let vmar = space.vmar().clone();
    create(machine, config, vmar, image.entry).map_err(|error| match error {
        Error::NoMemory => LoadError::System(Errno::ENOMEM),
        _ => LoadError::System(Errno::EAGAIN),
    })
}

fn create(
    machine: &Arc<Machine>,
    config: &Config,
    vmar: Arc<Vmar>,
    entry: u64,
) -> Result<Arc<Process>> {
    let job = Job::create(&machine.kernel.job)?;
    let name = config.program.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let process = Process::create(&job, "")?;
    process.set_name_bytes(name);
    enter(&process, &vmar)?;
    let thread = Thread::create(&process, "initial-thread")?;
    let (stack, sp) = map_stack(machine, &vmar)?;
    let vdso = map_vdso(machine, &vmar)?;
    process.set_vdso_base(vdso);

    let log = DebugLog::create(&machine.resources.root(), &machine.log, 0)?;
    let vmar_rights = vmar.default_rights() | Rights::IO | Rights::EXECUTE;
    let vdso_rights = Rights::BASIC.difference(Rights::WAIT)
        | Rights::READ
        | Rights::EXECUTE
        | Rights::MAP
        | Rights::GET_PROPERTY;
    let handles = vec![
        (PA_PROC_SELF, Handle::new(process.clone())),
        (PA_THREAD_SELF, Handle::new(thread.clone())),
        (PA_JOB_DEFAULT, Handle::new(job)),
        // That of the machine, for the calls that are about it: there is nobody else to ask for it.
        (PA_JOB_DEFAULT | 1 << 16, Handle::new(machine.kernel.job.clone())),
        (PA_VMAR_ROOT, Handle::with_rights(vmar, vmar_rights)),
        (PA_VMO_VDSO, Handle::with_rights(machine.vdso.clone(), vdso_rights)),
        (PA_VMO_STACK, Handle::new(stack)),
        (PA_FD | FDIO_FLAG_USE_FOR_STDIO << 16, Handle::new(log)),
        (PA_RESOURCE, Handle::new(machine.resources.root())),
    ];
    let (ours, theirs) = Channel::create();
    ours.write(message(handles, &config.args, &config.env))?;
    let bootstrap = process.handles().insert(Handle::new(theirs))?;
    let arguments = [bootstrap.0.into(), vdso];
    let run = start(machine, &thread, Entry { pc: entry, sp, arguments }, true)?;
    machine.kernel.cpus.spawn_measured(run).detach();
    Ok(process)
}

/// Maps a stack; its VMO, and the stack pointer that a function is called with.
fn map_stack(machine: &Machine, vmar: &Vmar) -> Result<(Arc<Vmo>, u64)> {
    let stack = Vmo::create(machine.memory(), STACK, VmoOptions::default())?;
    stack.set_name("initial-stack");
    let region = vmar.allocate(Placement::TopDown, STACK_GUARD + STACK)?;
    let base = region.range().start + STACK_GUARD;
    let place = Placement::Exact(base);
    region.map(MapArgs { placement: place, ..MapArgs::new(stack.clone(), STACK) })?;
    // As if the return address had just been pushed.
    Ok((stack, base + STACK - 8))
}

/// Maps the vDSO; its address.
fn map_vdso(machine: &Machine, vmar: &Vmar) -> Result<u64> {
    let image = &machine.vdso_image;
    let span = image.span();
    // The code is copied if the kernel rewrites it.
    let vmo = machine.vdso.create_child(ChildOptions::SNAPSHOT, 0, machine.vdso.size())?;
    let base = vmar.find_free(span.end, 0)?;
    for segment in &image.segments {
        let pages = segment.pages();
        vmar.map(MapArgs {
            placement: Placement::Exact(base + pages.start),
            vmo_offset: segment.file_page_offset(),
            perms: segment.prot,
            max_perms: segment.prot | Prot::READ,
            flags: MappingFlags::PRIVATE | MappingFlags::PATCHABLE,
            ..MapArgs::new(vmo.clone(), pages.end - pages.start)
        })?;
    }
    Ok(base)
}

/// The headers of the vDSO's image.
pub(super) fn vdso_image(image: &[u8]) -> Result<elf::Image> {
    let header = elf::Header::parse(image, image.len() as u64).map_err(|_| Error::Internal)?;
    let table = header.table();
    let table = image.get(table.start as usize..table.end as usize).ok_or(Error::Internal)?;
    header.image(table).map_err(|_| Error::Internal)
}

/// `zx_proc_args_t` and what follows it: what each handle is, then the strings.
fn message(handles: Vec<(u32, Handle)>, args: &[Vec<u8>], env: &[Vec<u8>]) -> Message {
    const WORDS: usize = 9;
    let strings = |strings: &[Vec<u8>]| -> Vec<u8> {
        strings.iter().flat_map(|string| string.iter().copied().chain([0])).collect()
    };
    let (arg_bytes, env_bytes) = (strings(args), strings(env));
    let info_at = WORDS * 4;
    let args_at = info_at + handles.len() * 4;
    let env_at = args_at + arg_bytes.len();
    // Larger than a message may be is refused when it is written.
    let header = [info_at, args_at, args.len(), env_at, env.len(), 0, 0].map(|word| word as u32);
    let (info, handles): (Vec<u32>, Vec<Handle>) = handles.into_iter().unzip();
    let protocol = [ZX_PROCARGS_PROTOCOL, ZX_PROCARGS_VERSION];
    let words = protocol.into_iter().chain(header).chain(info);
    let mut bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    bytes.extend_from_slice(&arg_bytes);
    bytes.extend_from_slice(&env_bytes);
    Message::new(bytes, handles)
}

#[cfg(test)]
mod tests {
    use kernel_objects::Event;

    use super::*;

    #[test]
    fn the_message_says_where_everything_is() {
        let strings =
            |list: &[&str]| list.iter().map(|s| s.as_bytes().to_vec()).collect::<Vec<_>>();
        let handles = vec![(PA_FD, Handle::new(Event::create()))];
        let message = message(handles, &strings(&["a", "bc"]), &strings(&["X=1"]));
        let words: Vec<u32> = message.bytes[..40]
            .chunks(4)
            .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(words, [0x4150_585d, 0x1000, 36, 40, 2, 45, 1, 0, 0, PA_FD]);
        assert_eq!(&message.bytes[40..], b"a\0bc\0X=1\0");
        assert_eq!(message.handles.len(), 1);
    }
}
