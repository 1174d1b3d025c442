//! Images made byte by byte: good ones run as on the host, broken ones end in a message or a signal, never in a kernel
//! that panics or hangs.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use tests::{
    run::{Guest, Outcome},
    scratch::Scratch,
};

/// `mov edi, 42; mov eax, 60; syscall`
const EXIT_42: &[u8] = b"\xbf\x2a\0\0\0\xb8\x3c\0\0\0\x0f\x05";

/// Bytes of the file header and one program header.
const HEADERS: usize = 64 + 56;

#[derive(Clone, Copy)]
struct Image {
    kind: u16,
    vaddr: u64,
    mem_size: u64,
    align: u64,
}

const STATIC_PIE: Image = Image { kind: 3, vaddr: 0, mem_size: 0x1000, align: 0x1000 };
const FIXED: Image = Image { kind: 2, vaddr: 0x40_0000, mem_size: 0x1000, align: 0x1000 };

impl Image {
    /// One segment with the headers and `code` in it.
    fn bytes(&self, code: &[u8]) -> Vec<u8> {
        let entry = self.vaddr + HEADERS as u64;
        let size = (HEADERS + code.len()) as u64;
        let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        out.extend(self.kind.to_le_bytes());
        out.extend(62_u16.to_le_bytes());
        out.extend(1_u32.to_le_bytes());
        for quad in [entry, 64, 0] {
            out.extend(quad.to_le_bytes());
        }
        out.extend(0_u32.to_le_bytes());
        for half in [64_u16, 56, 1, 0, 0, 0] {
            out.extend(half.to_le_bytes());
        }
        out.extend(1_u32.to_le_bytes());
        out.extend(7_u32.to_le_bytes());
        for quad in [0, self.vaddr, self.vaddr, size, self.mem_size.max(size), self.align] {
            out.extend(quad.to_le_bytes());
        }
        out.extend(code);
        out
    }
}

fn write(scratch: &Scratch, bytes: &[u8]) -> PathBuf {
    let path = scratch.path().join("image");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn inside(scratch: &Scratch, bytes: &[u8]) -> Outcome {
    let mut guest = Guest::new(write(scratch, bytes), &[]);
    guest.timeout = Some(Duration::from_secs(5));
    guest.inside(scratch.path()).unwrap()
}

#[track_caller]
fn same_as_native(bytes: &[u8]) {
    let scratch = Scratch::empty().unwrap();
    let guest = Guest::new(write(&scratch, bytes), &[]);
    let native = guest.native(scratch.path()).unwrap();
    assert_eq!(inside(&scratch, bytes).status, native.status);
}

#[test]
fn small_images_run_as_on_the_host() {
    for image in [
        STATIC_PIE,
        FIXED,
        Image { vaddr: 0x7000_0000, ..FIXED },
        Image { vaddr: 0x20_0000_0000, ..FIXED },
        Image { align: 0x20_0000, ..STATIC_PIE },
        Image { vaddr: 0x10_0000, ..STATIC_PIE },
        Image { mem_size: 64 << 20, ..STATIC_PIE },
    ] {
        same_as_native(&image.bytes(EXIT_42));
    }
}

#[test]
fn the_bss_is_zero_up_to_its_last_byte() {
    // cmp byte [rip + 0xfff0], 0; jne: exit with 1, else 0; the byte is in the zero pages.
    let code = b"\x80\x3d\xe9\xff\0\0\0\x0f\x95\xc0\x0f\xb6\xf8\xb8\x3c\0\0\0\x0f\x05";
    same_as_native(&Image { mem_size: 0x2_0000, ..STATIC_PIE }.bytes(code));
    // The same for a byte behind the code in the same page, where the file has 0xff.
    let code = b"\x80\x3d\x40\0\0\0\0\x0f\x95\xc0\x0f\xb6\xf8\xb8\x3c\0\0\0\x0f\x05";
    let mut bytes = Image { mem_size: 0x2_0000, ..STATIC_PIE }.bytes(code);
    bytes.resize(0x1000, 0xff);
    same_as_native(&bytes);
}

#[test]
fn crashing_code_is_reported_as_a_shell_reports_it() {
    for code in [
        b"\xf4".as_slice(),                        // hlt: SIGSEGV
        b"\x0f\x0b",                               // ud2: SIGILL
        b"\x31\xc9\xf7\xf1",                       // div by zero: SIGFPE
        b"\x31\xc0\x8b\x00",                       // read of 0: SIGSEGV
        b"\x31\xc0\xff\xe0",                       // jump to 0: SIGSEGV
        b"\xcc",                                   // int3: SIGTRAP
        b"\x48\xb8\0\0\0\0\0\0\0\x80\x8b\x00",     // not canonical: SIGSEGV
        b"\x48\xb8\0\0\0\0\0\x50\0\0\xc6\x00\x01", // the kernel's half of the addresses: SIGSEGV
    ] {
        same_as_native(&STATIC_PIE.bytes(code));
    }
}

/// A small generator of our own, so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % below
    }
}

#[test]
fn broken_headers_never_break_the_kernel() {
    let scratch = Scratch::empty().unwrap();
    for seed in 0..300 {
        let mut random = Random(seed);
        let image = if seed % 2 == 0 { STATIC_PIE } else { FIXED };
        let mut bytes = image.bytes(EXIT_42);
        for _ in 0..1 + random.next(4) {
            let at = 16 + random.next(HEADERS - 16);
            bytes[at] = match random.next(4) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ (1 << random.next(8)),
                _ => random.next(256) as u8,
            };
        }
        if random.next(5) == 0 {
            bytes.truncate(4 + random.next(bytes.len()));
        }
        let outcome = inside(&scratch, &bytes);
        let stderr = String::from_utf8_lossy(&outcome.stderr);
        let status = outcome.status.unwrap_or_else(|| panic!("seed {seed} hangs"));
        // 101 is a panic, 134 an abort; 139 and the like are the guest's own.
        assert!(status != 101 && status != 134, "seed {seed}: {status}: {stderr}");
        assert!(!stderr.contains("panicked"), "seed {seed}: {stderr}");
    }
}
