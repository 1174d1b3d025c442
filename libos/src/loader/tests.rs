//! The loader against a file system and a memory that are plain maps.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::elf::tests::Program;
use super::*;

/// Files by path.
pub(super) struct Tree {
    files: BTreeMap<Vec<u8>, Vec<u8>>,
    forbidden: BTreeSet<Vec<u8>>,
}

impl Tree {
    pub(super) fn new(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(path, bytes)| (path.as_bytes().to_vec(), bytes.to_vec()));
        Self { files: files.collect(), forbidden: BTreeSet::new() }
    }

    pub(super) fn forbid(&mut self, path: &str) {
        self.forbidden.insert(path.as_bytes().to_vec());
    }
}

impl ProgramFile for Vec<u8> {
    fn len(&self) -> SysResult<u64> {
        Ok(self.as_slice().len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> SysResult<usize> {
        let rest = self.get(offset as usize..).unwrap_or_default();
        // Short reads are a file system's right.
        let len = rest.len().min(buf.len()).min(100);
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl Files for Tree {
    type File = Vec<u8>;

    fn open(&self, path: &[u8]) -> Result<Vec<u8>, OpenError> {
        if self.forbidden.contains(path) {
            return Err(OpenError::NotExecutable);
        }
        self.files.get(path).cloned().ok_or(OpenError::Path(Errno::ENOENT))
    }
}

/// Memory that remembers what it was asked, and refuses what no memory could do.
#[derive(Default)]
struct Memory {
    mapped: RefCell<Vec<(Range<u64>, &'static str)>>,
    claimed: RefCell<Vec<Range<u64>>>,
    taken: Option<Range<u64>>,
    stack: RefCell<(u64, Vec<u8>)>,
}

const WINDOW: Range<u64> = 0x1000_0000_0000..0x1080_0000_0000;

impl Memory {
    fn map(&self, pages: Range<u64>, what: &'static str) -> SysResult<()> {
        assert_eq!((pages.start % PAGE_SIZE, pages.end % PAGE_SIZE), (0, 0));
        assert!(pages.start < pages.end);
        let fits = |range: &Range<u64>| range.start <= pages.start && pages.end <= range.end;
        assert!(fits(&WINDOW) || self.claimed.borrow().iter().any(fits), "{pages:x?}");
        self.mapped.borrow_mut().push((pages, what));
        Ok(())
    }
}

impl Target for Memory {
    type File = Vec<u8>;

    fn window(&self) -> Range<u64> {
        WINDOW
    }

    fn claim(&self, range: Range<u64>) -> SysResult<()> {
        if range.start < 0x1_0000
            || self
                .taken
                .as_ref()
                .is_some_and(|taken| range.start < taken.end && taken.start < range.end)
        {
            return Err(Errno::ENOMEM);
        }
        self.claimed.borrow_mut().push(range);
        Ok(())
    }

    fn find_free(&self, len: u64, align: u64) -> SysResult<u64> {
        let lowest = self
            .mapped
            .borrow()
            .iter()
            .map(|(range, _)| range.start)
            .filter(|start| *start > WINDOW.start + (1 << 38))
            .min();
        let start =
            (lowest.unwrap_or(WINDOW.end) - STACK_GUARD).checked_sub(len).ok_or(Errno::ENOMEM)?;
        if start < WINDOW.start {
            return Err(Errno::ENOMEM);
        }
        Ok(start & !(align - 1))
    }

    fn map_file(&self, pages: Range<u64>, file: &Vec<u8>, offset: u64, _: Prot) -> SysResult<()> {
        assert_eq!(offset % PAGE_SIZE, 0);
        assert!(offset < file.len() as u64);
        self.map(pages, "file")
    }

    fn map_zero(&self, pages: Range<u64>, _: Prot, purpose: Purpose) -> SysResult<()> {
        self.map(pages, if purpose == Purpose::Stack { "stack" } else { "zero" })
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> SysResult<()> {
        *self.stack.borrow_mut() = (addr, bytes.to_vec());
        Ok(())
    }

    fn zero(&self, range: Range<u64>, _: &Vec<u8>) -> SysResult<()> {
        assert!(range.start < range.end && range.end - range.start < PAGE_SIZE);
        Ok(())
    }
}

fn request(path: &str, args: &[&str]) -> Request {
    Request {
        path: path.into(),
        args: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
        env: vec![b"A=b".to_vec()],
        ids: stack::Ids::default(),
        stack_limit: 8 << 20,
        random: [7; 16],
        machine: stack::Machine { hwcap: 0, hwcap2: 0, min_signal_stack: 2048 },
    }
}

fn dynamic(interpreter: &str) -> Vec<u8> {
    let path = interpreter.len() as u64 + 1;
    let segments = vec![[3, 0, path, 0x1000, path], [1, 0, 0x3000, 0, 0x1800]];
    let mut bytes = Program { segments, ..Program::default() }.bytes();
    bytes[0x1000..0x1000 + interpreter.len()].copy_from_slice(interpreter.as_bytes());
    bytes
}

fn strings_of(memory: &Memory, range: &Range<u64>) -> Vec<String> {
    let (start, bytes) = &*memory.stack.borrow();
    let bytes = &bytes[(range.start - start) as usize..(range.end - start) as usize];
    let mut strings: Vec<_> =
        bytes.split(|&byte| byte == 0).map(|s| String::from_utf8_lossy(s).into_owned()).collect();
    strings.pop();
    strings
}

#[test]
fn a_dynamic_program_starts_in_its_interpreter() {
    let tree = Tree::new(&[
        ("/bin/x", &dynamic("/lib/ld.so")),
        ("/lib/ld.so", &Program::default().bytes()),
    ]);
    let memory = Memory::default();
    let loaded = load(&tree, &memory, &request("/bin/x", &["x", "1"])).unwrap();
    let program = WINDOW.start + PROGRAM_OFFSET;
    assert_eq!(loaded.brk_start, program + 0x3000);
    assert_eq!(loaded.name, b"x");
    assert!(loaded.entry > program + (1 << 38), "the interpreter is high: {:x}", loaded.entry);
    assert!(loaded.stack.contains(&loaded.stack_pointer));
    assert_eq!(strings_of(&memory, &loaded.args), ["x", "1"]);
    assert_eq!(strings_of(&memory, &loaded.env), ["A=b"]);
}

#[test]
fn a_program_that_cannot_be_moved_claims_its_addresses() {
    let segments = vec![[1, 0x40_0000, 0x3000, 0, 0x1800]];
    let bytes = Program { kind: 2, segments, ..Program::default() }.bytes();
    let tree = Tree::new(&[("/x", &bytes)]);
    let memory = Memory::default();
    let loaded = load(&tree, &memory, &request("/x", &["x"])).unwrap();
    assert_eq!((loaded.brk_start, loaded.entry), (0x40_3000, 0x1000));
    assert_eq!(memory.claimed.borrow().as_slice(), std::slice::from_ref(&(0x40_0000..0x40_3000)));

    let memory = Memory { taken: Some(0x40_0000..0x50_0000), ..Memory::default() };
    let error = load(&tree, &memory, &request("/x", &["x"])).unwrap_err();
    assert_eq!(error, LoadError::AddressTaken);
}

#[test]
fn an_image_linked_high_is_moved_down() {
    let high = 0x7000_0000_0000;
    let segments = vec![[1, high, 0x3000, 0, 0x1800]];
    let bytes = Program { segments, ..Program::default() }.bytes();
    let tree = Tree::new(&[("/x", &bytes)]);
    let loaded = load(&tree, &Memory::default(), &request("/x", &["x"])).unwrap();
    assert_eq!(loaded.brk_start, WINDOW.start + PROGRAM_OFFSET + 0x3000);
}

#[test]
fn a_script_runs_its_interpreter_with_the_scripts_path() {
    let elf = Program::default().bytes();
    let tree =
        Tree::new(&[("/bin/sh", &elf), ("/s", b"#!/bin/sh -e -x\necho"), ("/nested", b"#! /s\n")]);
    let memory = Memory::default();
    let loaded = load(&tree, &memory, &request("/s", &["zero", "one"])).unwrap();
    assert_eq!(strings_of(&memory, &loaded.args), ["/bin/sh", "-e -x", "/s", "one"]);
    assert_eq!((loaded.name.as_slice(), loaded.exe_path.as_slice()), (&b"s"[..], &b"/bin/sh"[..]));
    let loaded = load(&tree, &memory, &request("/nested", &[])).unwrap();
    assert_eq!(strings_of(&memory, &loaded.args), ["/bin/sh", "-e -x", "/s", "/nested"]);
}

#[test]
fn scripts_may_nest_five_deep() {
    let elf = Program::default().bytes();
    let names: Vec<String> = (0..7).map(|n| format!("/s{n}")).collect();
    let lines: Vec<String> = (0..7).map(|n| format!("#!/s{}\n", n + 1)).collect();
    let mut files: Vec<(&str, &[u8])> =
        names.iter().zip(&lines).map(|(name, line)| (name.as_str(), line.as_bytes())).collect();
    files.push(("/s7", &elf));
    let tree = Tree::new(&files);
    assert!(load(&tree, &Memory::default(), &request("/s2", &["x"])).is_ok());
    let error = load(&tree, &Memory::default(), &request("/s1", &["x"])).unwrap_err();
    assert_eq!(error.errno(), Errno::ELOOP);
}

#[test]
fn what_cannot_be_run_says_why() {
    let tree = Tree::new(&[
        ("/text", b"echo hello\n"),
        ("/bad", b"#!\n"),
        ("/lost", b"#!/nowhere\n"),
        ("/i386", b"\x7fELF\x01\x01\x01"),
        ("/cut", &Program::default().bytes()[..0x1000]),
        ("/needs", &dynamic("/lib/none")),
        ("/broken", &dynamic("/text")),
        ("/empty", b""),
    ]);
    let error = |path| load(&tree, &Memory::default(), &request(path, &["x"])).unwrap_err();
    assert_eq!(error("/none").exit_code(), 127);
    assert_eq!(error("/text"), LoadError::Elf(ElfError::NotElf));
    assert_eq!(error("/empty"), LoadError::Elf(ElfError::NotElf));
    assert_eq!(error("/bad"), LoadError::ScriptLine);
    assert!(matches!(error("/lost"), LoadError::ScriptInterpreter(path, _) if path == b"/nowhere"));
    assert_eq!(error("/i386"), LoadError::Elf(ElfError::Class32));
    assert_eq!(error("/cut"), LoadError::Elf(ElfError::Truncated));
    assert!(matches!(error("/needs"), LoadError::Interpreter(path, _) if path == b"/lib/none"));
    assert_eq!(error("/broken").errno(), Errno::ELIBBAD);
    let mut large = request("/text", &["x"]);
    large.path = b"/needs".to_vec();
    large.env = vec![vec![b'x'; 1000]; 3000];
    let tree = Tree::new(&[("/needs", &Program::default().bytes())]);
    assert_eq!(load(&tree, &Memory::default(), &large).unwrap_err(), LoadError::TooBig);
}

proptest! {
    #[test]
    fn hostile_images_load_or_fail_but_never_panic(
        kind in 2u16..4,
        edits in proptest::collection::vec((16usize..64 + 3 * 56, any::<u8>()), 0..12),
        cut in 0usize..0x2100,
    ) {
        let segments = vec![
            [3, 0, 8, 0x1000, 8],
            [1, 0x40_0000, 0x1000, 0, 0x800],
            [1, 0x40_1800, 0x3000, 0x800, 0x400],
        ];
        let mut bytes = Program { kind, segments, ..Program::default() }.bytes();
        bytes[0x1000..0x1008].copy_from_slice(b"/lib/ld\0");
        for (at, value) in edits {
            bytes[at] = value;
        }
        bytes.truncate(cut.max(4));
        let tree = Tree::new(&[("/x", &bytes), ("/lib/ld", &bytes)]);
        let _ = load(&tree, &Memory::default(), &request("/x", &["x"]));
    }

    #[test]
    fn mutated_real_images_load_or_fail_but_never_panic(
        image in 0usize..3,
        words in proptest::collection::vec((0usize..1024, 0usize..12, any::<u64>()), 0..4),
        bytes in proptest::collection::vec((0usize..1024, any::<u8>()), 0..8),
        cut in proptest::option::of(0usize..20_000),
    ) {
        const EDGES: [u64; 11] = [
            0, 1, 0xfff, 0x1000, 0xffff_ffff, 1 << 32, 1 << 46, 0x7fff_ffff_f000, 1 << 63, !0xfff, !0,
        ];
        let mut bytes_of = REAL.get_or_init(real_images)[image].clone();
        for (at, edge, value) in words {
            // Header fields are where words are, mostly.
            let at = (at / 8 * 8).min(bytes_of.len() - 8);
            let value = EDGES.get(edge).copied().unwrap_or(value);
            bytes_of[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        for (at, value) in bytes {
            bytes_of[at] = value;
        }
        bytes_of.truncate(cut.unwrap_or(usize::MAX).max(4));
        let tree = Tree::new(&[("/x", &bytes_of), ("/lib64/ld-linux-x86-64.so.2", &bytes_of)]);
        let _ = load(&tree, &Memory::default(), &request("/x", &["x"]));
    }
}

/// A program, the interpreter and a library of this machine: what their linkers really write.
fn real_images() -> [Vec<u8>; 3] {
    let [program, library] =
        ["/bin/true", "/lib/x86_64-linux-gnu/libc.so.6"].map(|path| std::fs::read(path).unwrap());
    let interpreter = std::fs::read("/lib64/ld-linux-x86-64.so.2").unwrap();
    [program, interpreter, library]
}

static REAL: std::sync::OnceLock<[Vec<u8>; 3]> = std::sync::OnceLock::new();
