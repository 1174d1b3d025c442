//! The program loader: from a file's name to a process's first instruction.
//!
//! The one idea: parsing (`elf`, `script`), planning (`image`) and building the initial stack (`stack`) are pure
//! functions; [`load`] reads through [`Files`], writes through [`Target`] and knows of nothing else. So hostile
//! files are a matter of unit tests, and a failed execve(2), which loads into a new address space, leaves the old program
//! as it was.

pub mod elf;
mod error;
pub mod image;
pub mod script;
pub mod search;
pub mod stack;

use std::ops::Range;

use hal::aspace::Prot;

pub use self::error::{LoadError, OpenError};
pub use self::image::Target;

use self::elf::{ElfError, Header, Image};
use self::image::{Plan, Purpose};
use self::script::{Head, Shebang};
use crate::errno::{Errno, SysResult};

const PAGE_SIZE: u64 = hal::pmem::PAGE_SIZE as u64;

/// Bytes of a file that are read at once to find out what it is; with most images that has all headers.
const FIRST_READ: usize = 1024;
/// Distance of a position-independent program from the start of the window. Its heap grows after it.
const PROGRAM_OFFSET: u64 = 4 << 20;
/// Without access, below the stack, so that running off its end faults (`stack_guard_gap`).
pub const STACK_GUARD: u64 = 1 << 20;
/// The most that a stack gets when its limit is higher or there is none.
const MAX_STACK: u64 = 1 << 30;
/// The least, enough for the largest arguments that [`stack::check_size`] lets pass with a small limit.
const MIN_STACK: u64 = 256 << 10;

/// `addr` rounded down to a page.
pub(crate) fn page_floor(addr: u64) -> u64 {
    addr & !(PAGE_SIZE - 1)
}

/// `addr` rounded up to a page; the highest page's address when there is no page above.
pub(crate) fn page_ceil(addr: u64) -> u64 {
    page_floor(addr.saturating_add(PAGE_SIZE - 1))
}

/// A file that can be read.
pub trait ProgramFile {
    /// Its length in bytes.
    fn len(&self) -> SysResult<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> SysResult<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads at `offset` as much as there is and `buf` holds; how much that was.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> SysResult<usize>;
}

/// Where programs are found: a process's view of the file system, with its rights.
pub trait Files {
    /// A file of it.
    type File: ProgramFile;

    /// Opens the regular file at `path` for execution, links followed, relative to the working directory.
    fn open(&self, path: &[u8]) -> Result<Self::File, OpenError>;
}

/// What to load.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path given to execve(2).
    pub path: Vec<u8>,
    /// The arguments, without NULs.
    pub args: Vec<Vec<u8>>,
    /// The environment, without NULs.
    pub env: Vec<Vec<u8>>,
    /// Who runs it.
    pub ids: stack::Ids,
    /// RLIMIT_STACK in bytes: the stack's size, and the measure for the size of arguments.
    pub stack_limit: u64,
    /// 16 random bytes for the program.
    pub random: [u8; 16],
    /// What the program is told about the machine.
    pub machine: stack::Machine,
}

/// A program that is in memory and waits for its first instruction.
#[derive(Clone, Debug)]
pub struct Loaded<F> {
    /// Where to start: the interpreter's entry if there is one.
    pub entry: u64,
    /// The initial stack pointer.
    pub stack_pointer: u64,
    /// The stack's mapping.
    pub stack: Range<u64>,
    /// Where the heap begins: the first page after the program.
    pub brk_start: u64,
    /// The ELF file of the program: /proc/PID/exe. For a script it is the interpreter.
    pub exe: F,
    /// The path that `exe` was opened by.
    pub exe_path: Vec<u8>,
    /// The thread's name: the last component of the path that was executed, at most 15 bytes.
    pub name: Vec<u8>,
    /// Where the argument strings are (/proc/PID/cmdline).
    pub args: Range<u64>,
    /// Where the environment strings are (/proc/PID/environ).
    pub env: Range<u64>,
    /// The auxiliary vector (/proc/PID/auxv).
    pub auxv: Vec<u8>,
}

/// Loads a program into `target`, an address space of its own. After an error the target is in no usable state.
///
/// The registers of the first thread are to be all zero but the instruction and stack pointers.
pub fn load<F, T>(files: &F, target: &T, request: &Request) -> Result<Loaded<F::File>, LoadError>
where
    F: Files,
    T: Target<File = F::File>,
{
    let Request { path, args, env, stack_limit, .. } = request;
    let stack_limit = *stack_limit;
    let Program { file, path: exe_path, args, image, interpreter } =
        find_program(files, path, args.clone())?;

    let contents = stack::Contents {
        args: &args,
        env,
        file_name: path,
        random: request.random,
        image: stack::ImageFacts::default(),
        ids: request.ids,
        machine: request.machine,
    };
    stack::check_size(&contents, stack_limit)?;

    let window = target.window();
    let program = place_program(target, &image)?;
    program.carry_out(target, &file)?;

    // The stack is mapped before the interpreter looks for its place below it.
    let stack_len = page_floor(stack_limit.clamp(MIN_STACK, MAX_STACK));
    let stack_end = window.end.saturating_sub(STACK_GUARD);
    let stack = stack_end.saturating_sub(stack_len)..stack_end;
    let mut stack_prot = Prot::READ | Prot::WRITE;
    if image.executable_stack {
        stack_prot |= Prot::EXEC;
    }
    target.map_zero(stack.clone(), stack_prot, Purpose::Stack)?;
    let guard = stack.start.saturating_sub(STACK_GUARD)..stack.start;
    target.map_zero(guard, Prot::empty(), Purpose::StackGuard)?;

    let mut facts = stack::ImageFacts {
        headers: program.headers,
        headers_count: image.headers_count,
        entry: program.entry,
        interpreter_base: 0,
    };
    let mut entry = program.entry;
    if let Some((file, image)) = &interpreter {
        let plan = place_interpreter(target, image)?;
        plan.carry_out(target, file)?;
        entry = plan.entry;
        facts.interpreter_base = plan.bias;
    }

    let initial = stack::build(stack.end, &stack::Contents { image: facts, ..contents })?;
    target.write(initial.pointer, &initial.bytes)?;
    Ok(Loaded {
        entry,
        stack_pointer: initial.pointer,
        stack,
        brk_start: program.span.end,
        exe: file,
        exe_path,
        name: thread_name(path),
        args: initial.args,
        env: initial.env,
        auxv: initial.auxv,
    })
}

/// Loads the image of a program that wants no interpreter, and nothing else, into `target`; what is where. After an error the target
/// is in no usable state.
pub fn load_image<F, T>(files: &F, target: &T, path: &[u8]) -> Result<Plan, LoadError>
where
    F: Files,
    T: Target<File = F::File>,
{
    let file = files.open(path).map_err(LoadError::Open)?;
    let mut head = [0; FIRST_READ];
    let head_len = read_fully(&file, 0, &mut head)?;
    let image = read_image(&file, head.get(..head_len).unwrap_or_default())?;
    let image = image.map_err(LoadError::Elf)?;
    if image.interpreter.is_some() {
        return Err(LoadError::Interpreted);
    }
    let plan = place_program(target, &image)?;
    plan.carry_out(target, &file)?;
    Ok(plan)
}

/// A program with everything read that decides how to load it.
struct Program<F> {
    file: F,
    path: Vec<u8>,
    args: Vec<Vec<u8>>,
    image: Image,
    interpreter: Option<(F, Image)>,
}

/// Opens `path` and, through `#!` lines, what really is to run, and reads its headers.
fn find_program<F: Files>(
    files: &F,
    path: &[u8],
    mut args: Vec<Vec<u8>>,
) -> Result<Program<F::File>, LoadError> {
    let mut path = path.to_vec();
    let mut file = files.open(&path).map_err(LoadError::Open)?;
    for _ in 0..=script::MAX_DEPTH {
        let mut head = [0; FIRST_READ];
        let head_len = read_fully(&file, 0, &mut head)?;
        let head = head.get(..head_len).unwrap_or_default();
        match script::parse(head) {
            Head::NotScript => {
                let image = read_image(&file, head)?.map_err(LoadError::Elf)?;
                let interpreter = open_interpreter(files, &file, &image)?;
                return Ok(Program { file, path, args, image, interpreter });
            }
            Head::Malformed => return Err(LoadError::ScriptLine),
            Head::Script(Shebang { interpreter, argument }) => {
                // The interpreter gets its own name, the argument and the script's path in place of argument 0.
                let prefix = [Some(interpreter.clone()), argument, Some(path)];
                let rest = args.into_iter().skip(1);
                args = prefix.into_iter().flatten().chain(rest).collect();
                file = match files.open(&interpreter) {
                    Ok(file) => file,
                    Err(error) => return Err(LoadError::ScriptInterpreter(interpreter, error)),
                };
                path = interpreter;
            }
        }
    }
    Err(LoadError::ScriptDepth)
}

/// Reads the headers of an ELF file whose first bytes are `head`.
fn read_image<F: ProgramFile>(file: &F, head: &[u8]) -> SysResult<Result<Image, ElfError>> {
    let header = match Header::parse(head, file.len()?) {
        Ok(header) => header,
        Err(error) => return Ok(Err(error)),
    };
    let table = header.table();
    let in_head = usize::try_from(table.start)
        .ok()
        .zip(usize::try_from(table.end).ok())
        .and_then(|(start, end)| head.get(start..end));
    if let Some(bytes) = in_head {
        return Ok(header.image(bytes));
    }
    // At most 64 KiB, as the header was checked.
    let mut bytes = vec![0; (table.end - table.start) as usize];
    let len = read_fully(file, table.start, &mut bytes)?;
    bytes.truncate(len);
    Ok(header.image(&bytes))
}

/// Opens and reads the interpreter that `image` asks for, if it asks for one.
fn open_interpreter<F: Files>(
    files: &F,
    file: &F::File,
    image: &Image,
) -> Result<Option<(F::File, Image)>, LoadError> {
    let Some(range) = &image.interpreter else { return Ok(None) };
    // 2 to 4096 bytes, as the header was checked.
    let mut path = vec![0; (range.end - range.start) as usize];
    if read_fully(file, range.start, &mut path)? != path.len() {
        return Err(LoadError::Elf(ElfError::Truncated));
    }
    if path.pop() != Some(0) {
        return Err(LoadError::Elf(ElfError::Header("the interpreter's name has no end")));
    }
    path.truncate(path.iter().position(|&byte| byte == 0).unwrap_or(path.len()));
    let file = match files.open(&path) {
        Ok(file) => file,
        Err(error) => return Err(LoadError::Interpreter(path, error)),
    };
    let mut head = [0; FIRST_READ];
    let head_len = read_fully(&file, 0, &mut head)?;
    match read_image(&file, head.get(..head_len).unwrap_or_default())? {
        Ok(image) => Ok(Some((file, image))),
        Err(error) => Err(LoadError::InterpreterElf(path, error)),
    }
}

/// Where the program itself goes: low in the window, so that its heap has all the room above; at its own
/// addresses if it cannot be moved.
fn place_program<T: Target>(target: &T, image: &Image) -> Result<Plan, LoadError> {
    if !image.position_independent {
        let plan = Plan::new(image, 0)?;
        target.claim(plan.span.clone()).map_err(|_| LoadError::AddressTaken)?;
        return Ok(plan);
    }
    let window = target.window();
    let start = window.start.saturating_add(PROGRAM_OFFSET).next_multiple_of(image.align);
    let span = image.span();
    // The bias is modulo 2^64: an image may have been linked high and be moved down.
    let bias = start.wrapping_sub(span.start & !(image.align - 1));
    let end = start.saturating_add(span.end - span.start).saturating_add(image.align);
    if end > window.end.saturating_sub(MAX_STACK) {
        return Err(Errno::ENOMEM.into());
    }
    Ok(plan_moved(image, bias)?)
}

/// Where the interpreter goes: high, where mmap(2) would put it.
fn place_interpreter<T: Target>(target: &T, image: &Image) -> Result<Plan, LoadError> {
    if !image.position_independent {
        let plan = Plan::new(image, 0)?;
        target.claim(plan.span.clone()).map_err(|_| LoadError::AddressTaken)?;
        return Ok(plan);
    }
    let span = image.span();
    let aligned_start = span.start & !(image.align - 1);
    let start = target.find_free(span.end - aligned_start, image.align)?;
    Ok(plan_moved(image, start.wrapping_sub(aligned_start))?)
}

/// Plans with a bias modulo 2^64. The sum of each address and the bias must be known to be in range.
fn plan_moved(image: &Image, bias: u64) -> SysResult<Plan> {
    if bias <= u64::MAX - image.span().end {
        return Plan::new(image, bias);
    }
    // Linked above where it goes: let it be as if it had been linked at 0.
    let mut image = image.clone();
    let base = image.span().start & !(image.align - 1);
    for segment in &mut image.segments {
        segment.vaddr = segment.vaddr.saturating_sub(base);
    }
    image.entry = image.entry.wrapping_sub(base);
    image.headers_vaddr = image.headers_vaddr.wrapping_sub(base);
    let mut plan = Plan::new(&image, bias.wrapping_add(base))?;
    plan.bias = bias;
    Ok(plan)
}

/// Reads until `buf` is full or the file ends; how much that was.
fn read_fully<F: ProgramFile>(file: &F, offset: u64, buf: &mut [u8]) -> SysResult<usize> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(offset.saturating_add(done as u64), rest)? {
            0 => break,
            len => done += len,
        }
    }
    Ok(done)
}

/// The name of a thread that executes `path`: its last component, at most 15 bytes.
fn thread_name(path: &[u8]) -> Vec<u8> {
    let mut name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
    name.truncate(15);
    name
}

#[cfg(test)]
mod tests;
