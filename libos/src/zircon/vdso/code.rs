//! The functions of the vDSO, in machine code.
//!
//! The one idea: they are so few and so small that their bytes can stand here, each instruction with what it says. What they look at is
//! data that they find relative to themselves; [`Assembler`] keeps both, and [`finish`](Assembler::finish) leaves the distances to be
//! filled in when it is known how far apart they are.

use kernel_objects::Error;

use super::{Machine, Names};
use crate::zircon::{abi::constants, syscall::table};

/// Arguments that travel in registers as for any function; the seventh and eighth come from the stack.
const IN_REGISTERS: usize = 6;

/// The size of a page, in the constants and wherever the vDSO is concerned.
pub(super) const PAGE_SIZE: u32 = hal::pmem::PAGE_SIZE as u32;

/// What zx_system_get_version_string says.
const VERSION: &str = concat!("libos ", env!("CARGO_PKG_VERSION"));

/// The bytes of a line of the data cache of every x86-64 processor.
const CACHE_LINE: u32 = 64;

/// A function that does not call the kernel, or not as its row says.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// What it returns.
    pub result: &'static str,
    /// Its parameters, as C declares them.
    pub parameters: &'static str,
    /// Appends its code.
    pub(super) code: fn(&mut Assembler<'_>),
}

/// What the vDSO computes by itself.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "zx_ticks_get",
        result: "zx_ticks_t",
        parameters: "void",
        code: |a| {
            a.put(&[0x0f, 0x31]); // rdtsc
            a.put(&[0x48, 0xc1, 0xe2, 0x20]); // shl rdx, 32
            a.put(&[0x48, 0x09, 0xd0]); // or rax, rdx
            a.put(&[0xc3]); // ret
        },
    },
    Function {
        name: "zx_ticks_per_second",
        result: "zx_ticks_t",
        parameters: "void",
        code: |a| a.constant(a.machine.ticks_per_second),
    },
    Function {
        name: "zx_deadline_after",
        result: "zx_time_t",
        parameters: "zx_duration_t nanoseconds",
        code: |a| {
            a.kernel("zx_clock_get_monotonic");
            a.put(&[0x48, 0x01, 0xf8]); // add rax, rdi
            a.put(&[0x70, 0x01]); // jo over the ret
            a.put(&[0xc3]); // ret
            a.put(&[0x48, 0x89, 0xf8]); // mov rax, rdi
            a.put(&[0x48, 0xc1, 0xf8, 0x3f]); // sar rax, 63: the sign
            a.put(&[0x48, 0xb9]); // mov rcx, INT64_MAX
            a.put(&i64::MAX.to_le_bytes());
            a.put(&[0x48, 0x31, 0xc8]); // xor rax, rcx: the last time, or the first
            a.put(&[0xc3]); // ret
        },
    },
    Function {
        name: "zx_status_get_string",
        result: "const char*",
        parameters: "zx_status_t status",
        code: |a| {
            let mut names: Names = vec![(0, "ZX_OK".to_owned())];
            names.extend(Error::ALL.iter().map(|e| (e.status() as u32, e.name().to_owned())));
            a.text_of_edi(&names);
        },
    },
    Function {
        name: "zx_exception_get_string",
        result: "const char*",
        parameters: "uint32_t exception",
        code: |a| {
            let names = constants::EXCEPTIONS.iter();
            let names: Names =
                names.map(|&(name, exception)| (exception as u32, name.to_owned())).collect();
            a.text_of_edi(&names);
        },
    },
    Function {
        name: "zx_system_get_num_cpus",
        result: "uint32_t",
        parameters: "void",
        code: |a| a.constant(a.machine.cpus.into()),
    },
    Function {
        name: "zx_system_get_page_size",
        result: "uint32_t",
        parameters: "void",
        code: |a| a.constant(PAGE_SIZE.into()),
    },
    Function {
        name: "zx_system_get_dcache_line_size",
        result: "uint32_t",
        parameters: "void",
        code: |a| a.constant(CACHE_LINE.into()),
    },
    Function {
        name: "zx_system_get_physmem",
        result: "uint64_t",
        parameters: "void",
        code: |a| a.constant(a.machine.physmem),
    },
    Function {
        name: "zx_system_get_version_string",
        result: "zx_string_view_t",
        parameters: "void",
        code: |a| {
            let text = a.text(VERSION);
            a.lea_rax(text);
            a.put(&[0xba]); // mov edx, its length
            a.put(&(VERSION.len() as u32).to_le_bytes());
            a.put(&[0xc3]); // ret
        },
    },
    Function {
        name: "zx_system_get_features",
        result: "zx_status_t",
        parameters: "uint32_t kind, uint32_t* features",
        code: |a| {
            a.put(&[0x85, 0xff]); // test edi, edi: ZX_FEATURE_KIND_CPU?
            a.put(&[0x75, 0x09]); // jnz to the error
            a.put(&[0xc7, 0x06, 1, 0, 0, 0]); // mov dword [rsi], ZX_HAS_CPU_FEATURES
            a.put(&[0x31, 0xc0]); // xor eax, eax
            a.put(&[0xc3]); // ret
            a.fail(Error::NotSupported);
        },
    },
    Function {
        name: "zx_cache_flush",
        result: "zx_status_t",
        parameters: "const void* addr, size_t size, uint32_t options",
        // The processor's caches are coherent; what is left is to know the options.
        code: |a| {
            a.put(&[0x83, 0xfa, 0x07]); // cmp edx, 7
            a.put(&[0x77, 0x0d]); // ja to the error
            a.put(&[0xb8, 0b1100_1110, 0, 0, 0]); // mov eax, the sets that have INSN, or DATA with or without INVALIDATE
            a.put(&[0x0f, 0xa3, 0xd0]); // bt eax, edx
            a.put(&[0x73, 0x03]); // jnc to the error
            a.put(&[0x31, 0xc0]); // xor eax, eax
            a.put(&[0xc3]); // ret
            a.fail(Error::InvalidArgs);
        },
    },
];

/// Where something is in the data.
#[derive(Clone, Copy)]
pub(super) struct DataOffset(usize);

/// The code and data so far.
pub(super) struct Assembler<'a> {
    machine: &'a Machine,
    code: Vec<u8>,
    data: Vec<u8>,
    fixups: Vec<(usize, DataOffset)>,
}

/// Code and data, and what is still missing in the code.
pub(super) struct Assembled {
    /// The code.
    pub(super) code: Vec<u8>,
    /// The data.
    pub(super) data: Vec<u8>,
    /// Where in the code there must be the distance, from behind these four bytes, to what in the data.
    pub(super) fixups: Vec<(usize, DataOffset)>,
}

impl Assembled {
    /// Fills the distances in, the data being at `data` and the code at `code`.
    pub(super) fn place(&mut self, data: u64, code: u64) {
        for &(at, DataOffset(target)) in &self.fixups {
            let from = code + at as u64 + 4;
            let distance = (data + target as u64).wrapping_sub(from) as u32;
            if let Some(hole) = self.code.get_mut(at..at + 4) {
                hole.copy_from_slice(&distance.to_le_bytes());
            }
        }
    }
}

impl<'a> Assembler<'a> {
    pub(super) fn new(machine: &'a Machine) -> Self {
        Self { machine, code: Vec::new(), data: Vec::new(), fixups: Vec::new() }
    }

    pub(super) fn finish(self) -> Assembled {
        Assembled { code: self.code, data: self.data, fixups: self.fixups }
    }

    /// Where the next instruction will be.
    pub(super) fn position(&self) -> usize {
        self.code.len()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.code.extend_from_slice(bytes);
    }

    /// A call of the kernel with so many arguments.
    pub(super) fn call(&mut self, number: u64, arguments: usize) {
        let from_stack = arguments > IN_REGISTERS;
        if from_stack {
            self.put(&[0x41, 0x54]); // push r12
            self.put(&[0x41, 0x55]); // push r13
            self.put(&[0x4c, 0x8b, 0x64, 0x24, 0x18]); // mov r12, [rsp + 24]
            self.put(&[0x4c, 0x8b, 0x6c, 0x24, 0x20]); // mov r13, [rsp + 32]
        }
        self.put(&[0x49, 0x89, 0xca]); // mov r10, rcx, which the instruction overwrites
        self.trap(number);
        if from_stack {
            self.put(&[0x41, 0x5d]); // pop r13
            self.put(&[0x41, 0x5c]); // pop r12
        }
        self.put(&[0xc3]); // ret
    }

    /// Seven bytes, which the kernel can replace by a jump.
    fn trap(&mut self, number: u64) {
        self.put(&[0xb8]); // mov eax, number
        self.put(&(number as u32).to_le_bytes());
        self.put(&[0x0f, 0x05]); // syscall
    }

    /// A call of the kernel in the midst of a function, by name; arguments are in their registers.
    fn kernel(&mut self, name: &str) {
        let entry = table::TABLE.iter().find(|entry| entry.name == name);
        // No number has no call, so a name that is not there fails when it is called.
        self.trap(entry.map_or(u64::from(u32::MAX), |entry| entry.number));
    }

    /// Returns a number.
    fn constant(&mut self, value: u64) {
        self.put(&[0x48, 0xb8]); // mov rax, value
        self.put(&value.to_le_bytes());
        self.put(&[0xc3]); // ret
    }

    /// Returns an error.
    fn fail(&mut self, error: Error) {
        self.put(&[0xb8]); // mov eax, status
        self.put(&error.status().to_le_bytes());
        self.put(&[0xc3]); // ret
    }

    /// Adds a text with its zero to the data.
    fn text(&mut self, text: &str) -> DataOffset {
        let at = DataOffset(self.data.len());
        self.data.extend_from_slice(text.as_bytes());
        self.data.push(0);
        at
    }

    fn lea_rax(&mut self, target: DataOffset) {
        self.put(&[0x48, 0x8d, 0x05]); // lea rax, [rip + distance]
        self.fixups.push((self.code.len(), target));
        self.put(&[0; 4]);
    }

    /// Returns the text that `names` has for edi, or one that says that there is none.
    fn text_of_edi(&mut self, names: &Names) {
        let texts = self.text("(UNKNOWN)");
        let mut lines = Vec::new();
        for (value, text) in names {
            let DataOffset(at) = self.text(text);
            lines.extend_from_slice(&value.to_le_bytes());
            lines.extend_from_slice(&((at - texts.0) as u32).to_le_bytes());
        }
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let table = DataOffset(self.data.len());
        // The last line is for all others: it leads to the first text.
        lines.extend_from_slice(&[0; 8]);
        self.data.extend_from_slice(&lines);

        self.lea_rax(table);
        self.put(&[0x8b, 0x48, 0x04]); // next: mov ecx, [rax + 4]
        self.put(&[0x85, 0xc9]); // test ecx, ecx
        self.put(&[0x74, 0x0a]); // jz found
        self.put(&[0x3b, 0x38]); // cmp edi, [rax]
        self.put(&[0x74, 0x06]); // je found
        self.put(&[0x48, 0x83, 0xc0, 0x08]); // add rax, 8
        self.put(&[0xeb, 0xef]); // jmp next
        self.lea_rax(texts); // found:
        self.put(&[0x48, 0x01, 0xc8]); // add rax, rcx
        self.put(&[0xc3]); // ret
    }
}
