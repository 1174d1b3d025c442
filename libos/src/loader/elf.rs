//! ELF images as the loader needs them: which bytes of the file go where, where to start, and who loads the rest.
//!
//! The one idea: parsing is two pure functions over bytes that the caller has read, so that it can be
//! tested with any bytes at all, and everything later code relies on (ranges that do not overflow, that
//! lie in the file and below the top of user addresses) is proved here once. What is refused, and with which
//! error, follows Linux's `load_elf_binary`; see elf(5). A file shorter than its segments, which Linux
//! maps and then kills with SIGBUS, is refused here.

use std::ops::Range;

use hal::aspace::Prot;
use hal::pmem::GUEST_END;
use object::LittleEndian as LE;
use object::elf;
use object::pod;

use crate::errno::Errno;
use crate::loader::{page_ceil, page_floor};

/// The file header's size in bytes.
pub const HEADER_SIZE: usize = size_of::<FileHeader>();
/// One program header's size in bytes (AT_PHENT).
pub const PROGRAM_HEADER_SIZE: usize = size_of::<ProgramHeader>();
/// Linux refuses a larger table of program headers.
const MAX_PROGRAM_HEADERS: usize = 65536;
/// The longest interpreter path, NUL included.
const PATH_MAX: u64 = 4096;

type FileHeader = elf::FileHeader64<LE>;
type ProgramHeader = elf::ProgramHeader64<LE>;

/// Why a file is not an ELF image that this kernel can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// The magic number is missing.
    #[error("not an ELF file")]
    NotElf,
    /// The file ends before what its headers promise.
    #[error("truncated ELF file")]
    Truncated,
    /// `ELFCLASS32`: an i386 or x32 program.
    #[error("32-bit program")]
    Class32,
    /// Made for another processor (`e_machine`, or big-endian).
    #[error("program for another processor (ELF machine {0})")]
    Machine(u16),
    /// An object file, a core dump or something unknown (`e_type`).
    #[error("not an executable (ELF type {0})")]
    Type(u16),
    /// The headers contradict themselves; the text says where.
    #[error("malformed ELF file: {0}")]
    Header(&'static str),
    /// A segment cannot be mapped where it wants to be; the text says why.
    #[error("malformed ELF segment: {0}")]
    Segment(&'static str),
}

impl ElfError {
    /// What execve(2) returns when the program itself has this error.
    pub fn errno(self) -> Errno {
        match self {
            Self::Segment(_) => Errno::EINVAL,
            _ => Errno::ENOEXEC,
        }
    }
}

/// A checked file header. Having one proves: 64-bit little-endian x86-64, `ET_EXEC` or `ET_DYN`, and a table
/// of program headers that lies inside the file and has at least one entry.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    position_independent: bool,
    entry: u64,
    table_offset: u64,
    table_count: u16,
    file_len: u64,
}

impl Header {
    /// Checks the file header at the start of `head`; `file_len` is the whole file's length in bytes.
    pub fn parse(head: &[u8], file_len: u64) -> Result<Self, ElfError> {
        let Some(ident) = head.get(..4) else { return Err(ElfError::NotElf) };
        if ident != elf::ELFMAG {
            return Err(ElfError::NotElf);
        }
        // The class decides the layout of what follows, so it speaks first, even in a short file.
        if head.get(4) == Some(&elf::ELFCLASS32.0) {
            return Err(ElfError::Class32);
        }
        let (header, _) = pod::from_bytes::<FileHeader>(head).map_err(|()| ElfError::Truncated)?;
        if header.e_ident.class != elf::ELFCLASS64 {
            return Err(ElfError::Header("unknown class"));
        }
        if header.e_ident.data != elf::ELFDATA2LSB {
            let machine = header.e_machine.get(LE).0.swap_bytes();
            return Err(ElfError::Machine(machine));
        }
        let machine = header.e_machine.get(LE);
        if machine != elf::EM_X86_64 {
            return Err(ElfError::Machine(machine.0));
        }
        let position_independent = match header.e_type.get(LE) {
            elf::ET_EXEC => false,
            elf::ET_DYN => true,
            other => return Err(ElfError::Type(other.0)),
        };
        if usize::from(header.e_phentsize.get(LE)) != PROGRAM_HEADER_SIZE {
            return Err(ElfError::Header("size of a program header"));
        }
        let table_count = header.e_phnum.get(LE);
        let table_len = usize::from(table_count) * PROGRAM_HEADER_SIZE;
        if table_count == 0 || table_len > MAX_PROGRAM_HEADERS {
            return Err(ElfError::Header("number of program headers"));
        }
        let table_offset = header.e_phoff.get(LE);
        match table_offset.checked_add(table_len as u64) {
            None => return Err(ElfError::Header("place of the program headers")),
            Some(end) if end > file_len => return Err(ElfError::Truncated),
            Some(_) => {}
        }
        let entry = header.e_entry.get(LE);
        Ok(Self { position_independent, entry, table_offset, table_count, file_len })
    }

    /// Where in the file the program headers are: what to read for [`Header::image`].
    pub fn table(&self) -> Range<u64> {
        let len = u64::from(self.table_count) * PROGRAM_HEADER_SIZE as u64;
        // Header::parse checked the sum.
        self.table_offset..self.table_offset.saturating_add(len)
    }

    /// Checks the program headers, `table` being the bytes of [`Header::table`].
    pub fn image(&self, table: &[u8]) -> Result<Image, ElfError> {
        let (headers, _) =
            pod::slice_from_bytes::<ProgramHeader>(table, usize::from(self.table_count))
                .map_err(|()| ElfError::Truncated)?;
        let mut image = Image {
            position_independent: self.position_independent,
            entry: self.entry,
            headers_vaddr: 0,
            headers_count: self.table_count,
            segments: Vec::new(),
            interpreter: None,
            executable_stack: false,
            align: hal::pmem::PAGE_SIZE as u64,
        };
        for header in headers {
            match header.p_type.get(LE) {
                // Linux skips empty ones without a look.
                elf::PT_LOAD if header.p_memsz.get(LE) != 0 => {
                    self.add_segment(&mut image, header)?;
                }
                elf::PT_INTERP if image.interpreter.is_none() => {
                    let len = header.p_filesz.get(LE);
                    if !(2..=PATH_MAX).contains(&len) {
                        return Err(ElfError::Header("length of the interpreter's name"));
                    }
                    let start = header.p_offset.get(LE);
                    let end = start
                        .checked_add(len)
                        .ok_or(ElfError::Header("place of the interpreter's name"))?;
                    if end > self.file_len {
                        return Err(ElfError::Truncated);
                    }
                    image.interpreter = Some(start..end);
                }
                elf::PT_GNU_STACK => {
                    image.executable_stack = header.p_flags.get(LE).0 & elf::PF_X.0 != 0;
                }
                _ => {}
            }
        }
        if image.segments.is_empty() {
            return Err(ElfError::Segment("nothing to load"));
        }
        Ok(image)
    }

    fn add_segment(&self, image: &mut Image, header: &ProgramHeader) -> Result<(), ElfError> {
        let vaddr = header.p_vaddr.get(LE);
        let mem_size = header.p_memsz.get(LE);
        let offset = header.p_offset.get(LE);
        let file_size = header.p_filesz.get(LE);
        if file_size > mem_size {
            return Err(ElfError::Segment("more in the file than in memory"));
        }
        match vaddr.checked_add(mem_size) {
            Some(end) if end <= GUEST_END => {}
            _ => return Err(ElfError::Segment("beyond the end of user addresses")),
        }
        if file_size > 0 && page_offset(vaddr) != page_offset(offset) {
            return Err(ElfError::Segment("file offset and address differ within the page"));
        }
        match offset.checked_add(file_size) {
            None => return Err(ElfError::Segment("beyond the end of any file")),
            Some(end) if file_size > 0 && end > self.file_len => return Err(ElfError::Truncated),
            Some(end) => {
                if (offset..end).contains(&self.table_offset) && image.headers_vaddr == 0 {
                    image.headers_vaddr = vaddr + (self.table_offset - offset);
                }
            }
        }
        let align = header.p_align.get(LE);
        if align.is_power_of_two() && align <= MAX_ALIGN {
            image.align = image.align.max(align);
        }
        let flags = header.p_flags.get(LE).0;
        let mut prot = Prot::empty();
        for (flag, bit) in
            [(elf::PF_R, Prot::READ), (elf::PF_W, Prot::WRITE), (elf::PF_X, Prot::EXEC)]
        {
            if flags & flag.0 != 0 {
                prot |= bit;
            }
        }
        image.segments.push(Segment { vaddr, mem_size, offset, file_size, prot });
        Ok(())
    }
}

/// A larger alignment than this (1 GiB) is ignored: it is only a wish, and hostile images wish for anything.
const MAX_ALIGN: u64 = 1 << 30;

fn page_offset(addr: u64) -> u64 {
    addr % hal::pmem::PAGE_SIZE as u64
}

/// What an ELF file asks to be mapped. Addresses are the file's own: a load bias is still to be added when
/// it is position-independent. There is at least one segment.
#[derive(Clone, Debug)]
pub struct Image {
    /// `ET_DYN`: PIE, static-PIE or a shared object such as an interpreter; may be loaded anywhere.
    pub position_independent: bool,
    /// The first instruction. Not checked: a wild one faults when it is run, as on Linux.
    pub entry: u64,
    /// Where the program headers will be in memory (AT_PHDR); 0 when no segment has them.
    pub headers_vaddr: u64,
    /// How many there are (AT_PHNUM).
    pub headers_count: u16,
    /// The `PT_LOAD` segments, in file order.
    pub segments: Vec<Segment>,
    /// Where in the file the interpreter's path is, with its NUL; inside the file, 2 to 4096 bytes.
    pub interpreter: Option<Range<u64>>,
    /// `PT_GNU_STACK` asks for a stack that may be executed.
    pub executable_stack: bool,
    /// The alignment a load bias must have: a power of two, at least a page.
    pub align: u64,
}

impl Image {
    /// The pages from the first segment's first to the last one's last, gaps included.
    pub fn span(&self) -> Range<u64> {
        let start = self.segments.iter().map(|s| s.pages().start).min().unwrap_or(0);
        let end = self.segments.iter().map(|s| s.pages().end).max().unwrap_or(0);
        start..end
    }
}

/// One `PT_LOAD`: `vaddr + mem_size` does not pass the top of user addresses, the file part lies in the file and is congruent to
/// the address modulo the page.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// First byte in memory.
    pub vaddr: u64,
    /// Bytes in memory, never 0.
    pub mem_size: u64,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes in the file, at most `mem_size`; the rest is zero.
    pub file_size: u64,
    /// What the program may do with it.
    pub prot: Prot,
}

impl Segment {
    /// All pages it touches.
    pub fn pages(&self) -> Range<u64> {
        page_floor(self.vaddr)..page_ceil(self.vaddr.saturating_add(self.mem_size))
    }

    /// The pages that come from the file; empty when it is all zeros.
    pub fn file_pages(&self) -> Range<u64> {
        let start = page_floor(self.vaddr);
        if self.file_size == 0 {
            return start..start;
        }
        start..page_ceil(self.vaddr.saturating_add(self.file_size))
    }

    /// Where in the file the first page starts.
    pub fn file_page_offset(&self) -> u64 {
        page_floor(self.offset)
    }

    /// The bytes of the last file page that must be zeroed, because the file goes on where the segment's memory
    /// does not; empty when there are none.
    pub fn tail(&self) -> Range<u64> {
        let start = self.vaddr.saturating_add(self.file_size);
        if self.file_size == 0 || self.mem_size == self.file_size {
            return start..start;
        }
        start..self.file_pages().end
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A builder of small images for tests.
    pub(crate) struct Program {
        pub(crate) class: u8,
        pub(crate) kind: u16,
        pub(crate) machine: u16,
        pub(crate) segments: Vec<[u64; 5]>, // type, vaddr, memsz, offset, filesz
    }

    impl Default for Program {
        fn default() -> Self {
            Self {
                class: 2,
                kind: elf::ET_DYN.0,
                machine: elf::EM_X86_64.0,
                segments: vec![[1, 0, 0x3000, 0, 0x1800]],
            }
        }
    }

    impl Program {
        pub(crate) fn bytes(&self) -> Vec<u8> {
            let mut out = vec![0x7f, b'E', b'L', b'F', self.class, 1, 1, 0];
            out.resize(16, 0);
            out.extend(self.kind.to_le_bytes());
            out.extend(self.machine.to_le_bytes());
            out.extend(1u32.to_le_bytes());
            for quad in [0x1000u64, 64, 0] {
                out.extend(quad.to_le_bytes());
            }
            out.extend(0u32.to_le_bytes());
            for half in [64u16, 56, self.segments.len() as u16, 0, 0, 0] {
                out.extend(half.to_le_bytes());
            }
            for [kind, vaddr, mem, offset, file] in &self.segments {
                out.extend((*kind as u32).to_le_bytes());
                out.extend(7u32.to_le_bytes());
                for quad in [*offset, *vaddr, *vaddr, *file, *mem, 0x1000] {
                    out.extend(quad.to_le_bytes());
                }
            }
            out.resize(out.len().max(0x2000), 0);
            out
        }
    }

    fn parse(bytes: &[u8]) -> Result<Image, ElfError> {
        let header = Header::parse(bytes, bytes.len() as u64)?;
        let table = header.table();
        header.image(&bytes[table.start as usize..table.end as usize])
    }

    #[test]
    fn a_plain_image_gives_its_segments() {
        let image = parse(&Program::default().bytes()).unwrap();
        assert!(image.position_independent);
        assert_eq!((image.entry, image.headers_vaddr, image.headers_count), (0x1000, 64, 1));
        assert_eq!(image.span(), 0..0x3000);
        let segment = image.segments[0];
        assert_eq!(segment.file_pages(), 0..0x2000);
        assert_eq!(segment.tail(), 0x1800..0x2000);
        assert_eq!(segment.prot, Prot::all());
    }

    #[test]
    fn what_is_wrong_with_an_image_is_told_apart() {
        let error = |program: Program| parse(&program.bytes()).unwrap_err();
        assert_eq!(parse(b"#!/bin/sh").unwrap_err(), ElfError::NotElf);
        assert_eq!(parse(b"").unwrap_err(), ElfError::NotElf);
        assert_eq!(parse(b"\x7fELF\x02\x01").unwrap_err(), ElfError::Truncated);
        assert_eq!(parse(b"\x7fELF\x01\x01").unwrap_err(), ElfError::Class32);
        assert_eq!(error(Program { machine: 183, ..Program::default() }), ElfError::Machine(183));
        assert_eq!(error(Program { kind: 1, ..Program::default() }), ElfError::Type(1));
        let segments = vec![[1, 0, 0x9000, 0, 0x9000]];
        assert_eq!(error(Program { segments, ..Program::default() }), ElfError::Truncated);
        for bad in [
            [1, 0, 0x1000, 0, 0x1001],           // file larger than memory
            [1, 0x123, 0x1000, 0, 0x100],        // not congruent
            [1, u64::MAX - 5, 0x1000, 0, 0],     // wraps
            [1, 0x7fff_ffff_f000, 0x1000, 0, 0], // kernel's half
        ] {
            let program = Program { segments: vec![bad], ..Program::default() };
            assert_eq!(error(program).errno(), Errno::EINVAL, "{bad:x?}");
        }
        let segments = vec![[6, 0, 1, 0, 1]];
        assert_eq!(error(Program { segments, ..Program::default() }).errno(), Errno::EINVAL);
        let segments = vec![[3, 0, 1, 0, 1]];
        assert_eq!(error(Program { segments, ..Program::default() }).errno(), Errno::ENOEXEC);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = parse(&bytes);
            let mut with_magic = Program::default().bytes();
            with_magic.truncate(16);
            with_magic.extend(bytes);
            let _ = parse(&with_magic);
        }

        #[test]
        fn mutated_headers_never_panic_and_what_passes_is_sound(
            edits in proptest::collection::vec((0usize..64 + 3 * 56, any::<u8>()), 1..24),
        ) {
            let segments = vec![
                [3, 0, 8, 0x100, 8],
                [1, 0, 0x1000, 0, 0x800],
                [1, 0x1800, 0x3000, 0x800, 0x400],
            ];
            let mut bytes = Program { segments, ..Program::default() }.bytes();
            for (at, value) in edits {
                bytes[at] = value;
            }
            if let Ok(image) = parse(&bytes) {
                prop_assert!(image.align.is_power_of_two());
                for segment in &image.segments {
                    prop_assert!(segment.pages().end <= GUEST_END);
                    prop_assert!(segment.file_pages().end <= segment.pages().end);
                    prop_assert!(segment.offset + segment.file_size <= bytes.len() as u64 || segment.file_size == 0);
                    prop_assert!(segment.tail().start <= segment.tail().end);
                }
            }
        }
    }
}
