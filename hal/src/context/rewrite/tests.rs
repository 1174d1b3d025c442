//! Tests of plans: which form a site gets, and what is refused.

use super::*;

const BASE: u64 = 0x40_0000;
const TRAMPOLINE: u64 = 0x50_0000;

fn text(bytes: &[u8]) -> Text {
    Text { start: BASE, bytes: bytes.to_vec() }
}

#[test]
fn a_number_before_the_call_is_overwritten_and_the_call_stays() {
    // nop; mov eax, 0x6e; syscall; ret
    let text = text(&[0x90, 0xb8, 0x6e, 0, 0, 0, 0x0f, 0x05, 0xc3]);
    let plan = plan(&text, BASE + 6, 0x6e, TRAMPOLINE).unwrap();
    assert_eq!((plan.at, plan.moved.len()), (BASE + 1, 0));
    assert_eq!(&plan.trampoline[..5], [0xb8, 0x6e, 0, 0, 0]);
}

#[test]
fn a_prefixed_number_is_not_taken_for_eax() {
    // mov r8d, 0; syscall; cmp rax, -4095
    let bytes = [0x90, 0x41, 0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 1, 0xf0, 0xff, 0xff, 0x90];
    let plan = plan(&text(&bytes), BASE + 7, 0, TRAMPOLINE).unwrap();
    assert_eq!(plan.at, BASE + 7, "the instruction after the call moves instead");
    assert_eq!(plan.moved, [(BASE + 9, TRAMPOLINE + 22), (BASE + 15, TRAMPOLINE + 28)]);
}

#[test]
fn a_branch_to_the_instruction_after_the_call_forbids_to_move_it() {
    // syscall; cmp rax, -4095; jmp to the cmp
    let bytes = [0x0f, 0x05, 0x48, 0x3d, 1, 0xf0, 0xff, 0xff, 0xeb, 0xf8, 0x90, 0x90];
    assert_eq!(plan(&text(&bytes), BASE, 1, TRAMPOLINE), None);
}

#[test]
fn padding_behind_a_return_may_be_overwritten_but_code_may_not() {
    // syscall; ret; nop word [rax]
    let padded = [0x0f, 0x05, 0xc3, 0x66, 0x90, 0x90];
    assert!(plan(&text(&padded), BASE, 1, TRAMPOLINE).is_some());
    // syscall; ret; push rbx; push rbp
    let code = [0x0f, 0x05, 0xc3, 0x53, 0x55, 0x90];
    assert_eq!(plan(&text(&code), BASE, 1, TRAMPOLINE), None);
}

#[test]
fn a_long_number_before_the_call_is_overwritten_as_well() {
    // mov rax, 15; syscall
    let text = text(&[0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05]);
    let plan = plan(&text, BASE + 7, 15, TRAMPOLINE).unwrap();
    assert_eq!((plan.at, plan.island.is_none(), plan.moved.len()), (BASE, true, 0));
    assert_eq!(&plan.trampoline[..7], [0x48, 0xc7, 0xc0, 15, 0, 0, 0]);
}

/// syscall; push rbx; push rbp; ret; int3, and then `padding`.
fn before_padding(padding: &[u8]) -> Vec<u8> {
    [&[0x0f, 0x05, 0x53, 0x55, 0xe8, 0, 0, 0, 0, 0xc3, 0xcc], padding].concat()
}

#[test]
fn a_nop_nearby_carries_the_jump_and_stays_a_nop() {
    let long = [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];
    let short = [0x0f, 0x1f, 0x80, 0, 0, 0, 0];
    for (nop, leap) in [(&long[..], false), (&short[..], true)] {
        let mut code = before_padding(nop);
        code.push(0x90);
        let plan = by_island(&text(&code), BASE, TRAMPOLINE).unwrap();
        let island = plan.island.as_ref().unwrap().at;
        for (at, bytes) in plan.patches(TRAMPOLINE).unwrap() {
            let at = (at - BASE) as usize;
            code.splice(at..at + bytes.len(), bytes);
        }
        let decode = |at: u64| {
            let bytes = &code[(at - BASE) as usize..];
            Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode()
        };
        let site = decode(BASE);
        assert_eq!((site.len(), site.near_branch64()), (2, island));
        assert_eq!(decode(island).near_branch64(), TRAMPOLINE);
        assert_eq!(code[2..11], before_padding(&[])[2..11]);
        // Who executes the nop gets behind it.
        let start = BASE + 11;
        let executed = decode(start);
        let end = start + nop.len() as u64;
        if leap {
            assert_eq!(executed.near_branch64(), end);
        } else {
            assert_eq!((executed.mnemonic(), executed.next_ip()), (Mnemonic::Nop, end));
        }
    }
}

#[test]
fn a_constant_that_looks_like_a_nop_carries_nothing() {
    // movabs rax, 0x841f0f, behind the call and before it
    let constant = [0x48, 0xb8, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];
    let behind = before_padding(&constant);
    assert_eq!(by_island(&text(&behind), BASE, TRAMPOLINE), None);
    let before = [&[0x90; 100][..], &constant, &behind].concat();
    assert_eq!(by_island(&text(&before), BASE + 110, TRAMPOLINE), None);
    let real = [&[0x90; 102][..], &constant[2..], &before_padding(&[])].concat();
    let plan = by_island(&text(&real), BASE + 110, TRAMPOLINE).unwrap();
    assert_eq!(plan.island.map(|island| island.at), Some(BASE + 105));
}

#[test]
fn a_nop_out_of_reach_or_in_another_page_carries_nothing() {
    let nop = [0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];
    let far = [&before_padding(&[0xcc; 128])[..], &nop].concat();
    assert_eq!(by_island(&text(&far), BASE, TRAMPOLINE), None);
    // The page ends within the nop's operand.
    let start = BASE + PAGE - 11 - 6;
    let split = Text { start, bytes: before_padding(&nop) };
    assert_eq!(by_island(&split, start, TRAMPOLINE), None);
}

#[test]
fn a_patch_that_would_cross_a_page_is_made_in_another_form() {
    // mov eax, 39; syscall, with the page's end inside of the number
    let bytes = [0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 1, 0xf0, 0xff, 0xff, 0x90];
    let start = BASE + PAGE - 3;
    let plan = plan(&Text { start, bytes: bytes.to_vec() }, start + 5, 39, TRAMPOLINE).unwrap();
    assert_eq!(plan.at, start + 5);
}

/// All sites that a linear reading of the executable part of the host's C library finds: nothing is as likely to be called.
#[test]
fn nearly_all_sites_of_a_real_c_library_can_be_rewritten() {
    let path = std::env::var("REWRITE_SURVEY");
    let path = path.as_deref().unwrap_or("/lib/x86_64-linux-gnu/libc.so.6");
    let file = std::fs::read(path).unwrap();
    let (mut total, mut forms) = (0, [0; 4]);
    let word = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&file[at..at + len]);
        u64::from_le_bytes(bytes) as usize
    };
    for header in (0..word(56, 2)).map(|i| word(32, 8) + 56 * i) {
        // An executable PT_LOAD.
        if word(header, 4) != 1 || word(header + 4, 4) & 1 == 0 {
            continue;
        }
        let (from, len) = (word(header + 8, 8), word(header + 32, 8));
        let code = &file[from..from + len];
        let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
        while decoder.can_decode() {
            let instruction = decoder.decode();
            if instruction.code() != Code::Syscall {
                continue;
            }
            let site = instruction.ip() as usize;
            let around = site.saturating_sub(SCAN as usize)..len.min(site + SCAN as usize);
            let text = Text { start: BASE + around.start as u64, bytes: code[around].to_vec() };
            let number = match code[..site] {
                [.., 0xb8, a, b, c, d] | [.., 0x48, 0xc7, 0xc0, a, b, c, d] => {
                    u32::from_le_bytes([a, b, c, d])
                }
                _ => 0,
            };
            let site = BASE + site as u64;
            let form = match plan(&text, site, number.into(), BASE - (1 << 20)) {
                None => 0,
                Some(Plan { island: Some(_), .. }) => 3,
                Some(Plan { at, .. }) if at == site => 2,
                Some(_) => 1,
            };
            total += 1;
            forms[form] += 1;
        }
    }
    println!("{path}: {total} sites; refused, form 1, 2, 3: {forms:?}");
    assert!(total > 0 && forms[0] * 20 <= total, "{forms:?} of {total}");
}

#[test]
fn a_call_is_never_moved() {
    // syscall; call +0
    let bytes = [0x0f, 0x05, 0xe8, 0, 0, 0, 0, 0x90];
    assert_eq!(plan(&text(&bytes), BASE, 1, TRAMPOLINE), None);
}
