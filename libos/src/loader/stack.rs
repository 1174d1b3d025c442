//! The initial stack: what a program finds in memory when its first instruction runs.
//!
//! The one idea: it is a pure function from strings and facts to bytes and a stack pointer; someone else copies the
//! bytes to the top of the stack mapping. The order is Linux's, since programs such as `ps` and `setproctitle`
//! count on it; from high to low: 8 zero bytes, the file name, environment strings, argument strings, the platform's name,
//! 16 random bytes, then, with the stack pointer at its start and 16-aligned, argc, argv, envp and the auxiliary
//! vector. See getauxval(3), execve(2) "Limits on size of arguments and environment" and the x86-64 psABI.

use std::ops::Range;

use linux_raw_sys::auxvec as at;

use crate::errno::Errno;

/// The longest argument or environment string, NUL included (`MAX_ARG_STRLEN`, 32 pages).
pub const MAX_STRING: usize = 32 * hal::pmem::PAGE_SIZE;
/// Room for strings and pointers that is there however small the stack's limit is (`ARG_MAX`).
const MIN_TOTAL: u64 = 32 * hal::pmem::PAGE_SIZE as u64;
/// Strings and pointers never get more than this, whatever the limit (three quarters of `_STK_LIM`, 8 MiB).
const MAX_TOTAL: u64 = 6 << 20;
/// Clock ticks a second as times(2) counts them (AT_CLKTCK).
const USER_HZ: u64 = 100;
/// What AT_PLATFORM points to.
const PLATFORM: &[u8] = b"x86_64\0";

/// Real and effective ids, for AT_UID and its kin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ids {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// The program gained privileges by being executed (AT_SECURE).
    pub secure: bool,
}

/// What the machine tells a program about itself.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// AT_HWCAP: CPUID leaf 1, edx.
    pub hwcap: u64,
    /// AT_HWCAP2: bit 1 is FSGSBASE.
    pub hwcap2: u64,
    /// AT_MINSIGSTKSZ: bytes that a signal frame needs here.
    pub min_signal_stack: u64,
}

/// Where things of the image are, for the auxiliary vector; addresses with the load bias added.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageFacts {
    /// AT_PHDR.
    pub headers: u64,
    /// AT_PHNUM.
    pub headers_count: u16,
    /// AT_ENTRY: the program's entry, not the interpreter's.
    pub entry: u64,
    /// AT_BASE: the interpreter's load bias, 0 without one.
    pub interpreter_base: u64,
}

/// All that goes on the stack.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// Arguments without their NULs, `argv[0]` first. An empty list becomes one empty string, as since Linux 5.18.
    pub args: &'a [Vec<u8>],
    /// Environment strings without their NULs.
    pub env: &'a [Vec<u8>],
    /// AT_EXECFN: the name that execve(2) was given.
    pub file_name: &'a [u8],
    /// AT_RANDOM's bytes.
    pub random: [u8; 16],
    /// Facts about the image.
    pub image: ImageFacts,
    /// Facts about who runs it.
    pub ids: Ids,
    /// Facts about the machine.
    pub machine: Machine,
}

/// A finished initial stack.
#[derive(Clone, Debug)]
pub struct StackImage {
    /// The initial stack pointer: where `bytes` go; a multiple of 16.
    pub pointer: u64,
    /// The bytes from `pointer` to the stack's top.
    pub bytes: Vec<u8>,
    /// Where the argument strings are (/proc/PID/cmdline).
    pub args: Range<u64>,
    /// Where the environment strings are (/proc/PID/environ).
    pub env: Range<u64>,
    /// The auxiliary vector as /proc/PID/auxv shows it.
    pub auxv: Vec<u8>,
}

/// Checks a program's strings against the limits of execve(2); `stack_limit` is RLIMIT_STACK in bytes.
///
/// `E2BIG` when one string is longer than 128 KiB, or when all with their pointers need more than a quarter of the
/// stack's limit (but 128 KiB are always there, and 6 MiB is the most).
pub fn check_size(contents: &Contents<'_>, stack_limit: u64) -> Result<(), Errno> {
    let room = (stack_limit / 4).clamp(MIN_TOTAL, MAX_TOTAL);
    let pointers = contents.args.len().max(1).saturating_add(contents.env.len()).saturating_mul(8);
    let mut total = pointers.saturating_add(contents.file_name.len().saturating_add(1));
    for string in contents.args.iter().chain(contents.env) {
        if string.len() >= MAX_STRING {
            return Err(Errno::E2BIG);
        }
        total = total.saturating_add(string.len() + 1);
    }
    if total as u64 > room { Err(Errno::E2BIG) } else { Ok(()) }
}

/// Builds the initial stack that ends at `top` (a multiple of 16, at least as high as [`check_size`] lets the
/// contents be; `E2BIG` if it is not).
pub fn build(top: u64, contents: &Contents<'_>) -> Result<StackImage, Errno> {
    let no_args = [Vec::new()];
    let args = if contents.args.is_empty() { no_args.as_slice() } else { contents.args };

    // The strings, low to high, and where each starts, relative to the first.
    let strings_len = strings_len(args) + strings_len(contents.env);
    let mut strings = Vec::with_capacity(strings_len + contents.file_name.len() + 9);
    let mut starts = Vec::with_capacity(args.len() + contents.env.len());
    for string in args.iter().chain(contents.env) {
        starts.push(strings.len() as u64);
        strings.extend_from_slice(string);
        strings.push(0);
    }
    let file_name_start = strings.len() as u64;
    strings.extend_from_slice(contents.file_name);
    strings.push(0);
    strings.extend([0; 8]);

    let arg_start = top.checked_sub(strings.len() as u64).ok_or(Errno::E2BIG)?;
    let env_start = arg_start + strings_len_u64(args);
    let platform = (arg_start.checked_sub(PLATFORM.len() as u64).ok_or(Errno::E2BIG)?) & !15;
    let random = platform.checked_sub(contents.random.len() as u64).ok_or(Errno::E2BIG)?;

    let auxv = auxiliary_vector(contents, random, platform, arg_start + file_name_start);
    let vectors_len = 8 * (1 + args.len() + 1 + contents.env.len() + 1) + auxv.len();
    let pointer = random.checked_sub(vectors_len as u64).ok_or(Errno::E2BIG)? & !15;

    let mut bytes = Vec::with_capacity((top - pointer) as usize);
    let mut push = |word: u64| bytes.extend_from_slice(&word.to_le_bytes());
    push(args.len() as u64);
    let (arg_starts, env_starts) = starts.split_at(args.len().min(starts.len()));
    for list in [arg_starts, env_starts] {
        for start in list {
            push(arg_start + start);
        }
        push(0);
    }
    bytes.extend_from_slice(&auxv);
    bytes.resize((random - pointer) as usize, 0);
    bytes.extend_from_slice(&contents.random);
    bytes.extend_from_slice(PLATFORM);
    bytes.resize((arg_start - pointer) as usize, 0);
    bytes.extend_from_slice(&strings);
    let env = env_start..arg_start + file_name_start;
    Ok(StackImage { pointer, bytes, args: arg_start..env_start, env, auxv })
}

fn strings_len(strings: &[Vec<u8>]) -> usize {
    strings.iter().map(|string| string.len() + 1).sum()
}

fn strings_len_u64(strings: &[Vec<u8>]) -> u64 {
    strings_len(strings) as u64
}

/// The vector in Linux's order, AT_NULL included. AT_SYSINFO_EHDR is left out: there is no vDSO, so that every
/// reading of the clock is a system call which the kernel sees. So is AT_RSEQ_*: there is no rseq(2).
fn auxiliary_vector(
    contents: &Contents<'_>,
    random: u64,
    platform: u64,
    file_name: u64,
) -> Vec<u8> {
    let Contents { image, ids, machine, .. } = contents;
    let entries = [
        (at::AT_MINSIGSTKSZ, machine.min_signal_stack),
        (at::AT_HWCAP, machine.hwcap),
        (at::AT_PAGESZ, hal::pmem::PAGE_SIZE as u64),
        (at::AT_CLKTCK, USER_HZ),
        (libos_guest::abi::AT_RING as u32, libos_guest::abi::RING_SETUP),
        (at::AT_PHDR, image.headers),
        (at::AT_PHENT, super::elf::PROGRAM_HEADER_SIZE as u64),
        (at::AT_PHNUM, u64::from(image.headers_count)),
        (at::AT_BASE, image.interpreter_base),
        (at::AT_FLAGS, 0),
        (at::AT_ENTRY, image.entry),
        (at::AT_UID, u64::from(ids.uid)),
        (at::AT_EUID, u64::from(ids.euid)),
        (at::AT_GID, u64::from(ids.gid)),
        (at::AT_EGID, u64::from(ids.egid)),
        (at::AT_SECURE, u64::from(ids.secure)),
        (at::AT_RANDOM, random),
        (at::AT_HWCAP2, machine.hwcap2),
        (at::AT_EXECFN, file_name),
        (at::AT_PLATFORM, platform),
        (at::AT_NULL, 0),
    ];
    let mut bytes = Vec::with_capacity(entries.len() * 16);
    for (kind, value) in entries {
        bytes.extend_from_slice(&u64::from(kind).to_le_bytes());
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOP: u64 = 0x7000_0000_0000;

    fn contents<'a>(args: &'a [Vec<u8>], env: &'a [Vec<u8>]) -> Contents<'a> {
        Contents {
            args,
            env,
            file_name: b"/bin/true",
            random: *b"0123456789abcdef",
            image: ImageFacts { headers: 0x40, headers_count: 3, entry: 7, interpreter_base: 9 },
            ids: Ids::default(),
            machine: Machine { hwcap: 1, hwcap2: 2, min_signal_stack: 3376 },
        }
    }

    /// Reads a finished stack the way a program's start-up code does.
    struct Reader<'a>(&'a StackImage);

    impl Reader<'_> {
        fn word(&self, addr: u64) -> u64 {
            let at = (addr - self.0.pointer) as usize;
            u64::from_le_bytes(self.0.bytes[at..at + 8].try_into().unwrap())
        }

        fn string(&self, addr: u64) -> Vec<u8> {
            let at = (addr - self.0.pointer) as usize;
            self.0.bytes[at..].iter().copied().take_while(|&byte| byte != 0).collect()
        }

        fn strings(&self, mut at: u64) -> (Vec<Vec<u8>>, u64) {
            let mut found = Vec::new();
            while self.word(at) != 0 {
                found.push(self.string(self.word(at)));
                at += 8;
            }
            (found, at + 8)
        }
    }

    fn check(args: &[Vec<u8>], env: &[Vec<u8>]) -> StackImage {
        let stack = build(TOP, &contents(args, env)).unwrap();
        assert_eq!(stack.pointer % 16, 0);
        assert_eq!(stack.pointer + stack.bytes.len() as u64, TOP);
        let reader = Reader(&stack);
        assert_eq!(reader.word(stack.pointer), args.len() as u64);
        let (found_args, at) = reader.strings(stack.pointer + 8);
        let (found_env, mut at) = reader.strings(at);
        assert_eq!((found_args.as_slice(), found_env.as_slice()), (args, env));
        let auxv_start = at;
        loop {
            let (kind, value) = (reader.word(at) as u32, reader.word(at + 8));
            at += 16;
            match kind {
                at::AT_RANDOM => assert_eq!(reader.string(value)[..16], *b"0123456789abcdef"),
                at::AT_EXECFN => assert_eq!(reader.string(value), b"/bin/true"),
                at::AT_PLATFORM => assert_eq!(reader.string(value), b"x86_64"),
                at::AT_PHENT => assert_eq!(value, 56),
                at::AT_NULL => break,
                _ => {}
            }
        }
        assert_eq!(at - auxv_start, stack.auxv.len() as u64);
        stack
    }

    #[test]
    fn a_program_finds_its_arguments_environment_and_auxv() {
        let stack = check(&[b"ls".to_vec(), b"-l".to_vec()], &[b"A=1".to_vec()]);
        assert_eq!(stack.args.end - stack.args.start, 6);
        assert_eq!(stack.env, stack.args.end..stack.args.end + 4);
    }

    #[test]
    fn no_arguments_become_one_empty_one() {
        let stack = build(TOP, &contents(&[], &[])).unwrap();
        assert_eq!(Reader(&stack).word(stack.pointer), 1);
    }

    #[test]
    fn too_long_strings_and_lists_are_refused() {
        let fits = vec![vec![b'a'; MAX_STRING - 1]];
        assert_eq!(check_size(&contents(&fits, &[]), 8 << 20), Ok(()));
        let long = vec![vec![b'a'; MAX_STRING]];
        assert_eq!(check_size(&contents(&long, &[]), 8 << 20), Err(Errno::E2BIG));
        let many = vec![vec![b'a'; 1000]; 2100];
        assert_eq!(check_size(&contents(&many, &[]), 8 << 20), Err(Errno::E2BIG));
        assert_eq!(check_size(&contents(&many, &[]), 16 << 20), Ok(()));
        assert_eq!(check_size(&contents(&many[..100], &[]), 0), Ok(()), "128 KiB are always there");
        assert_eq!(build(64, &contents(&many, &[])).unwrap_err(), Errno::E2BIG);
    }

    proptest! {
        #[test]
        fn any_strings_survive_the_trip(
            args in proptest::collection::vec("[a-z]{0,20}", 1..10),
            env in proptest::collection::vec("[A-Z]=[a-z]{0,20}", 0..10),
        ) {
            let bytes = |list: Vec<String>| list.into_iter().map(String::into_bytes).collect::<Vec<_>>();
            check(&bytes(args), &bytes(env));
        }
    }
}
