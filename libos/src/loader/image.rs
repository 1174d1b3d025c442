//! From an ELF image to mappings: which step puts which pages where.
//!
//! The one idea: the steps are planned first, as plain data, and carried out afterwards on anything that is a
//! [`Target`]. A plan is wrong or right whatever the memory is, so its tests need none. The steps follow
//! Linux's `elf_load`: private pages of the file, the rest of the last one zeroed, then pages of zeros; a later
//! segment replaces what an earlier one has put in the same page.

use std::ops::Range;

use hal::aspace::Prot;

use super::elf::Image;
use crate::errno::{Errno, SysResult};

/// What a range of memory is for; it becomes the name in /proc/PID/maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Zero pages of an image.
    Bss,
    /// The initial stack.
    Stack,
    /// What lies below the stack, so that nothing else is placed there.
    StackGuard,
}

/// Memory that a program is loaded into: a new address space with nothing in it that the program will miss.
pub trait Target {
    /// A file as this memory can map it.
    type File;

    /// The range in which addresses may be chosen freely.
    fn window(&self) -> Range<u64>;

    /// Makes fixed addresses outside the window usable. `ENOMEM` when another address space has them.
    fn claim(&self, range: Range<u64>) -> SysResult<()>;

    /// Free pages for `len` bytes as high as there are any below the stack, aligned to `align`; `ENOMEM`.
    fn find_free(&self, len: u64, align: u64) -> SysResult<u64>;

    /// Maps `pages` privately to `file` from the page at `offset` on, replacing what is there.
    fn map_file(
        &self,
        pages: Range<u64>,
        file: &Self::File,
        offset: u64,
        prot: Prot,
    ) -> SysResult<()>;

    /// Maps `pages` to zeros, replacing what is there.
    fn map_zero(&self, pages: Range<u64>, prot: Prot, purpose: Purpose) -> SysResult<()>;

    /// Writes `bytes` at `addr`, which is mapped writable.
    fn write(&self, addr: u64, bytes: &[u8]) -> SysResult<()>;

    /// Zeroes `range` of what is mapped to `file`, writable.
    fn zero(&self, range: Range<u64>, file: &Self::File) -> SysResult<()>;
}

/// One thing to do to memory.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    MapFile { pages: Range<u64>, offset: u64, prot: Prot },
    MapZero { pages: Range<u64>, prot: Prot },
    Zero(Range<u64>),
}

/// An image with its place decided: what to do, and what will be where.
#[derive(Clone, Debug)]
pub struct Plan {
    steps: Vec<Step>,
    /// All its pages, gaps included.
    pub span: Range<u64>,
    /// What was added to the addresses in the file.
    pub bias: u64,
    /// Its first instruction.
    pub entry: u64,
    /// Its program headers in memory (AT_PHDR).
    pub headers: u64,
}

impl Plan {
    /// Plans `image` at its own addresses plus `bias`, a multiple of the image's alignment.
    ///
    /// Fails with `ENOMEM` when that ends beyond the last address.
    pub fn new(image: &Image, bias: u64) -> Result<Self, Errno> {
        let place = |range: Range<u64>| -> Result<Range<u64>, Errno> {
            let end = range.end.checked_add(bias).ok_or(Errno::ENOMEM)?;
            Ok(range.start.saturating_add(bias)..end)
        };
        let mut steps = Vec::with_capacity(image.segments.len() * 2);
        for segment in &image.segments {
            let all = place(segment.pages())?;
            let file = place(segment.file_pages())?;
            if !file.is_empty() {
                let offset = segment.file_page_offset();
                steps.push(Step::MapFile { pages: file.clone(), offset, prot: segment.prot });
                let tail = place(segment.tail())?;
                // Linux leaves the tail of a segment that cannot be written as the file has it.
                if !tail.is_empty() && segment.prot.contains(Prot::WRITE) {
                    steps.push(Step::Zero(tail));
                }
            }
            if file.end < all.end {
                steps.push(Step::MapZero { pages: file.end..all.end, prot: segment.prot });
            }
        }
        Ok(Self {
            steps,
            span: place(image.span())?,
            bias,
            // Both may be nonsense in a hostile image; they are the program's business, not ours.
            entry: image.entry.wrapping_add(bias),
            headers: image.headers_vaddr.wrapping_add(bias),
        })
    }

    /// Carries the plan out in `target`. After an error some of it is done; the target is then thrown away.
    pub fn carry_out<T: Target>(&self, target: &T, file: &T::File) -> SysResult<()> {
        for step in &self.steps {
            match step {
                Step::MapFile { pages, offset, prot } => {
                    target.map_file(pages.clone(), file, *offset, *prot)?;
                }
                Step::MapZero { pages, prot } => {
                    target.map_zero(pages.clone(), *prot, Purpose::Bss)?;
                }
                Step::Zero(range) => target.zero(range.clone(), file)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::elf::{Header, tests::Program};
    use super::*;

    fn image(segments: Vec<[u64; 5]>) -> Image {
        let bytes = Program { segments, ..Program::default() }.bytes();
        let header = Header::parse(&bytes, bytes.len() as u64).unwrap();
        let table = header.table();
        header.image(&bytes[table.start as usize..table.end as usize]).unwrap()
    }

    #[test]
    fn a_segment_is_file_pages_then_a_zeroed_tail_then_zero_pages() {
        let plan = Plan::new(&image(vec![[1, 0x1234, 0x3000, 0x234, 0x1000]]), 0x10000).unwrap();
        let prot = Prot::all();
        assert_eq!(
            plan.steps,
            [
                Step::MapFile { pages: 0x11000..0x13000, offset: 0, prot },
                Step::Zero(0x12234..0x13000),
                Step::MapZero { pages: 0x13000..0x15000, prot },
            ]
        );
        assert_eq!((plan.span.clone(), plan.entry), (0x11000..0x15000, 0x11000));
    }

    #[test]
    fn a_segment_as_large_as_its_file_part_keeps_the_rest_of_the_page() {
        let plan = Plan::new(&image(vec![[1, 0, 0x800, 0, 0x800]]), 0).unwrap();
        assert_eq!(plan.steps.len(), 1);
    }

    #[test]
    fn a_segment_without_file_part_is_all_zeros() {
        let plan = Plan::new(&image(vec![[1, 0x1100, 0x1000, 0x77, 0]]), 0).unwrap();
        let prot = Prot::all();
        assert_eq!(plan.steps, [Step::MapZero { pages: 0x1000..0x3000, prot }]);
    }

    #[test]
    fn a_bias_that_leads_beyond_the_last_address_is_refused() {
        let image = image(vec![[1, 0x1000, 0x1000, 0, 0]]);
        assert_eq!(Plan::new(&image, u64::MAX - 0xfff).unwrap_err(), Errno::ENOMEM);
    }
}
