//! The vDSO: the shared object through which programs reach the kernel, made when the kernel starts.
//!
//! The one idea: programs know names, not numbers. Each row of the [table](super::syscall::table) becomes a function of a few
//! instructions, and what needs no kernel (a counter, a constant, a text) a function that computes it. The image is an ordinary ELF
//! file without a writable byte, so that it can be mapped into every process, given away as a VMO, and linked against with `-lzircon`.

mod code;
mod image;

pub use self::code::FUNCTIONS;
use self::{code::Assembler, image::Symbol};

/// What the vDSO tells programs of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// How many processors there are.
    pub cpus: u32,
    /// How fast the time-stamp counter runs.
    pub ticks_per_second: u64,
    /// Bytes of memory.
    pub physmem: u64,
}

/// `ZX_STATUS`-like pairs: a number and its text.
pub(super) type Names = Vec<(u32, String)>;

/// The file `libzircon.so`, as it is in memory.
pub fn image(machine: &Machine) -> Vec<u8> {
    let mut assembler = Assembler::new(machine);
    let mut symbols = Vec::new();
    for signature in super::syscall::table::SIGNATURES {
        let start = assembler.position();
        assembler.call(signature.number, signature.parameters.len());
        symbols.push(Symbol { name: signature.name, start, end: assembler.position() });
    }
    for function in FUNCTIONS {
        let start = assembler.position();
        (function.code)(&mut assembler);
        symbols.push(Symbol { name: function.name, start, end: assembler.position() });
    }
    image::link(assembler.finish(), symbols)
}

#[cfg(test)]
mod tests {
    use object::{LittleEndian, elf, read::elf::FileHeader};

    use super::*;

    const MACHINE: Machine = Machine { cpus: 3, ticks_per_second: 1 << 31, physmem: 1 << 32 };

    #[test]
    fn it_is_a_shared_object_that_exports_every_call_under_both_names() {
        let image = image(&MACHINE);
        let header = elf::FileHeader64::<LittleEndian>::parse(&*image).unwrap();
        let sections = header.sections(LittleEndian, &*image).unwrap();
        let symbols = sections.symbols(LittleEndian, &*image, elf::SHT_DYNSYM).unwrap();
        let strings = symbols.strings();
        let names: std::collections::HashSet<_> = symbols
            .iter()
            .filter_map(|symbol| strings.get(symbol.st_name.get(LittleEndian)).ok())
            .collect();
        for signature in crate::zircon::syscall::table::SIGNATURES {
            let underscored = format!("_{}", signature.name);
            assert!(names.contains(signature.name.as_bytes()), "{}", signature.name);
            assert!(names.contains(underscored.as_bytes()), "{underscored}");
        }
        assert!(names.contains(&b"zx_ticks_get"[..]));
    }

    #[test]
    fn no_segment_is_writable_and_the_code_is_alone_in_its_pages() {
        let image = image(&MACHINE);
        let header = crate::loader::elf::Header::parse(&image, image.len() as u64).unwrap();
        let table = header.table();
        let plan = header.image(&image[table.start as usize..table.end as usize]).unwrap();
        let prots: Vec<_> = plan.segments.iter().map(|segment| segment.prot).collect();
        use hal::aspace::Prot;
        assert_eq!(prots, [Prot::READ, Prot::READ | Prot::EXEC]);
        assert!(plan.segments[0].pages().end <= plan.segments[1].pages().start);
    }
}
