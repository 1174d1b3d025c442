//! The vDSO as an ELF file: `libzircon.so`.
//!
//! The one idea: the layout is fixed. First a segment that can be read (headers, symbols, data), then, in pages of its own, one that can
//! be executed; what only a linker looks at, the section headers, comes behind and is not loaded.

use object::elf;

use super::code::{Assembled, PAGE_SIZE};

/// The name that programs ask for at run time.
const SONAME: &str = "libzircon.so";

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const SECTION_HEADER: usize = 64;
const SYMBOL: usize = 24;
const DYNAMIC: usize = 16;

/// Both segments, the dynamic section, and that the stack is not for code.
const SEGMENTS: usize = 4;

/// A function and where it is in the code.
pub(super) struct Symbol {
    pub(super) name: &'static str,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Bytes that are appended as numbers of some width.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn pad_to(&mut self, len: usize) {
        self.0.resize(len, 0);
    }
}

/// Texts, each with a zero, and where they begin.
struct Strings(Vec<u8>);

impl Strings {
    fn new() -> Self {
        Self(vec![0])
    }

    fn add(&mut self, text: &str) -> u32 {
        let at = self.0.len() as u32;
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        at
    }
}

/// A part of the file that the section headers name.
struct Section {
    name: &'static str,
    kind: elf::SectionType,
    flags: elf::SectionFlags,
    range: std::ops::Range<usize>,
    link: u32,
    info: u32,
    align: u64,
    entry: usize,
    loaded: bool,
}

/// The index of `.dynsym`, `.dynstr` and `.text` among the sections.
const DYNSYM: u32 = 2;
const DYNSTR: u32 = 3;
const TEXT: u16 = 6;

/// Links code and data to a file whose addresses are its offsets.
pub(super) fn link(mut parts: Assembled, functions: Vec<Symbol>) -> Vec<u8> {
    let mut strings = Strings::new();
    let soname = strings.add(SONAME);
    // Each function has two names, the plain one being the one that a program may define itself.
    let mut names = Vec::new();
    for function in &functions {
        let strong = strings.add(&format!("_{}", function.name));
        names.push((format!("_{}", function.name), strong, elf::STB_GLOBAL, function));
        names.push((function.name.to_owned(), strong + 1, elf::STB_WEAK, function));
    }
    let count = names.len() + 1;

    let align = |at: usize| at.next_multiple_of(8);
    let hash = HEADER + SEGMENTS * PROGRAM_HEADER;
    let hash_end = hash + 4 * (2 + 2 * count);
    let dynsym = align(hash_end);
    let dynstr = dynsym + count * SYMBOL;
    let dynstr_end = dynstr + strings.0.len();
    let dynamic = align(dynstr_end);
    let tags = [
        (elf::DT_SONAME, u64::from(soname)),
        (elf::DT_HASH, hash as u64),
        (elf::DT_SYMTAB, dynsym as u64),
        (elf::DT_STRTAB, dynstr as u64),
        (elf::DT_STRSZ, strings.0.len() as u64),
        (elf::DT_SYMENT, SYMBOL as u64),
        (elf::DT_NULL, 0),
    ];
    let data = dynamic + tags.len() * DYNAMIC;
    let data_end = data + parts.data.len();
    let text = data_end.next_multiple_of(PAGE_SIZE as usize);
    let text_end = text + parts.code.len();
    parts.place(data as u64, text as u64);

    let mut file = Bytes(Vec::new());
    // The file header is written last, when it is known where the section headers are.
    file.pad_to(HEADER);
    let segments = [
        (elf::PT_LOAD, elf::PF_R, 0..data_end, u64::from(PAGE_SIZE)),
        (elf::PT_LOAD, elf::PF_R | elf::PF_X, text..text_end, u64::from(PAGE_SIZE)),
        (elf::PT_DYNAMIC, elf::PF_R, dynamic..data, 8),
        (elf::PT_GNU_STACK, elf::PF_R | elf::PF_W, 0..0, 16),
    ];
    for (kind, flags, range, align) in segments {
        let (start, len) = (range.start as u64, range.len() as u64);
        file.u32(kind.0).u32(flags.0).u64(start).u64(start).u64(start).u64(len).u64(len).u64(align);
    }
    put_hash(&mut file, names.iter().map(|(name, ..)| name.as_bytes()));
    file.pad_to(dynsym + SYMBOL);
    for (_, name, bind, function) in &names {
        file.u32(*name).u8(bind.0 << 4 | elf::STT_FUNC.0).u8(elf::STV_DEFAULT.0).u16(TEXT);
        file.u64((text + function.start) as u64).u64((function.end - function.start) as u64);
    }
    file.0.extend_from_slice(&strings.0);
    file.pad_to(dynamic);
    for (tag, value) in tags {
        file.u64(tag.0 as u64).u64(value);
    }
    file.0.extend_from_slice(&parts.data);
    file.pad_to(text);
    file.0.extend_from_slice(&parts.code);

    let (r, x) = (elf::SHF_ALLOC, elf::SHF_ALLOC | elf::SHF_EXECINSTR);
    let section = |name, kind, flags, range, link, align, entry| Section {
        name,
        kind,
        flags,
        range,
        link,
        info: u32::from(kind == elf::SHT_DYNSYM),
        align,
        entry,
        loaded: true,
    };
    let mut sections = vec![
        section(".hash", elf::SHT_HASH, r, hash..hash_end, DYNSYM, 8, 4),
        section(".dynsym", elf::SHT_DYNSYM, r, dynsym..dynstr, DYNSTR, 8, SYMBOL),
        section(".dynstr", elf::SHT_STRTAB, r, dynstr..dynstr_end, 0, 1, 0),
        section(".dynamic", elf::SHT_DYNAMIC, r, dynamic..data, DYNSTR, 8, DYNAMIC),
        section(".rodata", elf::SHT_PROGBITS, r, data..data_end, 0, 8, 0),
        section(".text", elf::SHT_PROGBITS, x, text..text_end, 0, 16, 0),
    ];
    put_sections(&mut file, &mut sections);
    file.0
}

/// The table that finds a symbol by the hash of its name, one bucket for each.
fn put_hash<'a>(file: &mut Bytes, names: impl ExactSizeIterator<Item = &'a [u8]>) {
    let count = names.len() + 1;
    let mut buckets = vec![0_u32; count];
    let mut chains = vec![0_u32; count];
    for (index, name) in (1..).zip(names) {
        let bucket = elf::hash(name) as usize % count;
        if let (Some(bucket), Some(chain)) = (buckets.get_mut(bucket), chains.get_mut(index)) {
            *chain = std::mem::replace(bucket, index as u32);
        }
    }
    file.u32(count as u32).u32(count as u32);
    for word in buckets.into_iter().chain(chains) {
        file.u32(word);
    }
}

/// Appends the section headers and their names, and writes the file header that says where they are.
fn put_sections(file: &mut Bytes, sections: &mut Vec<Section>) {
    let mut names = Strings::new();
    let own_name = ".shstrtab";
    let mut offsets: Vec<u32> = sections.iter().map(|section| names.add(section.name)).collect();
    offsets.push(names.add(own_name));
    let start = file.0.len();
    file.0.extend_from_slice(&names.0);
    sections.push(Section {
        name: own_name,
        kind: elf::SHT_STRTAB,
        flags: elf::SectionFlags(0),
        range: start..file.0.len(),
        link: 0,
        info: 0,
        align: 1,
        entry: 0,
        loaded: false,
    });
    file.pad_to(file.0.len().next_multiple_of(8));
    let table = file.0.len();
    file.pad_to(table + SECTION_HEADER);
    for (section, name) in sections.iter().zip(offsets) {
        let at = section.range.start as u64;
        file.u32(name).u32(section.kind.0).u64(section.flags.0);
        file.u64(if section.loaded { at } else { 0 }).u64(at).u64(section.range.len() as u64);
        file.u32(section.link).u32(section.info).u64(section.align).u64(section.entry as u64);
    }
    let mut header = Bytes::default();
    header.0.extend_from_slice(&elf::ELFMAG);
    header.u8(elf::ELFCLASS64.0).u8(elf::ELFDATA2LSB.0).u8(elf::EV_CURRENT.0);
    header.pad_to(16);
    header.u16(elf::ET_DYN.0).u16(elf::EM_X86_64.0).u32(elf::EV_CURRENT.0.into()).u64(0);
    header.u64(HEADER as u64).u64(table as u64).u32(0);
    header.u16(HEADER as u16).u16(PROGRAM_HEADER as u16).u16(SEGMENTS as u16);
    header.u16(SECTION_HEADER as u16).u16(sections.len() as u16 + 1).u16(sections.len() as u16);
    if let Some(place) = file.0.get_mut(..HEADER) {
        place.copy_from_slice(&header.0);
    }
}
