//! Rewriting of system-call sites: a `syscall` instruction that has trapped a few times becomes a jump.
//!
//! The idea: only sites that a trap has proved are touched, and only while no other thread executes code of the address space, so a
//! patch needs no cleverness about half-written instructions. A trampoline near the site loads `rcx` (the address after the call) and
//! `r11` (where to go on) and jumps to the door. Two forms:
//!
//! ```text
//! 1  mov eax, NR          jmp  trampoline      trampoline:  mov eax, NR; lea rcx, [after]; mov r11, rcx; jmp gs:[door]
//!    syscall              syscall              the call stays as it is, for those who jump to it
//!    after:               after:
//!
//! 2  syscall              jmp  trampoline      trampoline:  lea rcx, [after]; lea r11, [tail]; jmp gs:[door]
//!    after: cmp rax, -1   (rest of the cmp)    tail:        cmp rax, -1; jmp next
//!    next:                next:
//! ```
//!
//! In form 2 a saved `rip` may point at an instruction that is no longer there (a thread that waits in the call, a signal frame);
//! [`Rewriter::redirect`] sends it to the copy in the tail.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, FlowControl, Instruction,
    InstructionBlock, Mnemonic,
};
use parking_lot::{Mutex, RwLock};

use super::{
    gate::{Closed, Gate},
    signals,
    worker::{self, EXIT_ENTRY_OFFSET, WorkerState},
};
use crate::{aspace::AddressSpace, pmem::PAGE_SIZE};

/// Traps at a site before it is rewritten: a rewrite costs about as much as ten traps.
const PROOF: u32 = 3;
/// Failed system calls of a guest that makes code at run time must not fill memory: beyond, counts start again.
const MAX_SITES: usize = 1 << 16;
/// Bytes of a `jmp rel32`.
const JUMP: usize = 5;
/// Bytes set aside for a trampoline; all fit, or the site is left alone.
const SLOT: usize = 64;
/// How far around a site direct branches into the overwritten bytes are looked for: much more than a function that has a
/// system call in it.
const SCAN: u64 = 8 << 10;
/// How far a short branch reaches.
const SHORT_REACH: u64 = 130;
/// rt_sigreturn(2): unwinders recognise its site by its bytes.
const SIGRETURN: u64 = 15;
/// How often a worker that does not leave is kicked again.
const KICK_AGAIN: Duration = Duration::from_micros(50);

const PAGE: u64 = PAGE_SIZE as u64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Site {
    /// Has trapped so many times.
    Trapped(u32),
    Patched,
    /// Can not be rewritten.
    Refused,
}

#[derive(Debug, Default)]
struct Sites {
    known: HashMap<u64, Site>,
    /// Trampoline pages and how much of each is in use.
    pages: Vec<(u64, usize)>,
}

/// What is where since the patches.
#[derive(Debug, Default)]
struct Moved {
    /// Overwritten instructions, and where their copies are.
    copies: HashMap<u64, u64>,
    /// Trampolines by address, and what they stand for.
    plans: BTreeMap<u64, Plan>,
}

/// What is rewritten in one address space.
#[derive(Debug, Default)]
pub(crate) struct Rewriter {
    sites: Mutex<Sites>,
    moved: RwLock<Moved>,
    /// Whether a site has ever been patched.
    any_patched: AtomicBool,
    /// Closed while the space's guests must stay out.
    gate: Gate,
}

/// A site's new code.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Where the jump is put.
    at: u64,
    /// The call's own address.
    site: u64,
    trampoline: Vec<u8>,
    /// Pairs of an overwritten instruction's address and its copy's, and of where the last copy leads and the jump there.
    moved: Vec<(u64, u64)>,
}

impl Plan {
    /// The guest's idea of `rip`, which lies in this plan's trampoline at `start`.
    fn original(&self, start: u64, rip: u64) -> u64 {
        if let Some((from, _)) = self.moved.iter().find(|(_, copy)| *copy == rip) {
            *from
        } else if rip == start {
            self.at
        } else {
            // The number is loaded, if it was to be: only the call is left to be made.
            self.site
        }
    }
}

impl Rewriter {
    /// Tells that call `number` trapped with `rip` behind its instruction, and rewrites the site when it has done so often.
    pub(super) fn trapped(&self, space: &AddressSpace, rip: u64, number: u64) {
        let site = rip.wrapping_sub(2);
        let mut sites = self.sites.lock();
        if sites.known.get(&site) == Some(&Site::Patched) && !space.is_patched(site) {
            // Something else has been mapped there since.
            self.forget_page(&mut sites, site / PAGE);
        }
        if sites.known.len() >= MAX_SITES {
            sites.known.retain(|_, state| *state == Site::Patched);
        }
        let state = sites.known.entry(site).or_insert(Site::Trapped(0));
        let Site::Trapped(count) = state else { return };
        *count += 1;
        if *count < PROOF {
            return;
        }
        let patched = self.patch(&mut sites, space, site, number).is_some();
        if !patched {
            log::debug!("the site of call {number} at {site:#x} can not be rewritten");
        }
        sites.known.insert(site, if patched { Site::Patched } else { Site::Refused });
    }

    /// Other text has been mapped where a page was patched.
    fn forget_page(&self, sites: &mut Sites, page: u64) {
        sites.known.retain(|site, state| *state != Site::Patched || site / PAGE != page);
        self.moved.write().copies.retain(|from, _| from / PAGE != page);
    }

    fn patch(&self, sites: &mut Sites, space: &AddressSpace, site: u64, number: u64) -> Option<()> {
        if number == SIGRETURN {
            return None;
        }
        let text = Text::around(space, site)?;
        let (page, used) = slot(sites, space, site)?;
        let start = page + used as u64;
        let plan = plan(&text, site, number, start)?;
        for page in plan.at / PAGE..=(plan.at + JUMP as u64 - 1) / PAGE {
            if !space.is_patched(page * PAGE) {
                self.forget_page(sites, page);
            }
        }
        space.write_trampoline(start, &plan.trampoline).ok()?;
        let mut jump = [0xe9, 0, 0, 0, 0];
        jump[1..].copy_from_slice(&relative(plan.at + JUMP as u64, start)?.to_le_bytes());
        {
            let _stopped = self.stop_others(space);
            space.patch_text(plan.at, &jump).ok()?;
            let mut moved = self.moved.write();
            let end = plan.at + JUMP as u64;
            moved.copies.extend(plan.moved.iter().copied().filter(|(from, _)| *from < end));
            moved.plans.insert(start, plan);
            self.any_patched.store(true, Ordering::Release);
            signals::synchronize_cores();
        }
        if let Some((_, used)) = sites.pages.iter_mut().find(|(known, _)| *known == page) {
            *used += SLOT;
        }
        Some(())
    }

    /// Where execution at `rip` goes on: there, unless the instruction was moved.
    #[inline]
    pub(super) fn redirect(&self, space: &AddressSpace, rip: u64) -> u64 {
        if self.any_patched.load(Ordering::Acquire) {
            self.redirect_slowly(space, rip)
        } else {
            rip
        }
    }

    #[cold]
    fn redirect_slowly(&self, space: &AddressSpace, rip: u64) -> u64 {
        match self.moved.read().copies.get(&rip) {
            // Otherwise other text has been mapped there since.
            Some(&copy) if space.is_patched(rip) => copy,
            _ => rip,
        }
    }

    /// The `rip` that a guest which was interrupted at `rip` believes to have: not that of a trampoline.
    pub(super) fn original(&self, rip: u64) -> u64 {
        if !self.any_patched.load(Ordering::Acquire) {
            return rip;
        }
        match self.moved.read().plans.range(..=rip).next_back() {
            Some((start, plan)) if rip - start < plan.trampoline.len() as u64 => {
                plan.original(*start, rip)
            }
            _ => rip,
        }
    }

    /// Lets the worker in to the guests of `space`, when nobody patches their text.
    #[inline]
    pub(super) fn admit(&self, state: &WorkerState, space: *mut ()) {
        self.gate.enter(&state.place, space, || drop(self.sites.lock()));
    }

    /// Takes all other workers out of the guests of `space` and keeps them out until the result is dropped.
    fn stop_others(&self, space: &AddressSpace) -> Closed<'_> {
        let own = worker::current_or_null();
        let space = ptr::from_ref(space).cast_mut().cast();
        let closed = self.gate.close();
        worker::for_each(|other| {
            if ptr::eq(other, own) {
                return;
            }
            while other.place.is_inside(space) {
                other.must_leave.store(true, Ordering::Relaxed);
                signals::send_kick(other.tid.get());
                std::thread::sleep(KICK_AGAIN);
            }
        });
        closed
    }
}

/// A free trampoline slot within reach of `site`.
fn slot(sites: &mut Sites, space: &AddressSpace, site: u64) -> Option<(u64, usize)> {
    let near = |page: u64| page.abs_diff(site) < (1 << 31) - 2 * PAGE;
    let free = sites.pages.iter().find(|(page, used)| near(*page) && used + SLOT <= PAGE_SIZE);
    if let Some(&found) = free {
        return Some(found);
    }
    let page = space.map_trampoline(site, PAGE).ok()?;
    sites.pages.push((page, 0));
    Some((page, 0))
}

/// The displacement from the end of an instruction to `target`.
fn relative(end: u64, target: u64) -> Option<i32> {
    i32::try_from(target.wrapping_sub(end).cast_signed()).ok()
}

/// The executable bytes around a site, as far as they belong to the same mapping.
struct Text {
    start: u64,
    bytes: Vec<u8>,
}

impl Text {
    fn around(space: &AddressSpace, site: u64) -> Option<Self> {
        let run = space.query(site)?.range;
        let start = run.start.max(site.saturating_sub(SCAN));
        let end = run.end.min(site.saturating_add(SCAN));
        let mut bytes = vec![0; usize::try_from(end.checked_sub(start)?).ok()?];
        space.read_text(start, &mut bytes).ok()?;
        Some(Self { start, bytes })
    }

    fn from(&self, addr: u64) -> Option<&[u8]> {
        self.bytes.get(usize::try_from(addr.checked_sub(self.start)?).ok()?..)
    }

    /// Whether a direct branch leads to one of `targets`, which are all close behind `site`. Of what merely looks like a near branch
    /// every byte is believed, so the answer may be yes for data, but never no for a branch; what looks like a short
    /// branch must be an instruction by [`Self::boundaries`].
    fn has_branch_to(&self, site: u64, targets: &[u64]) -> bool {
        let mut boundaries = None;
        let Some(&first) = targets.first() else { return false };
        (self.start..).zip(self.bytes.windows(2)).any(|(addr, pair)| {
            let short = matches!(pair[0], 0x70..=0x7f | 0xeb | 0xe0..=0xe3)
                && targets
                    .contains(&addr.wrapping_add_signed(2 + i64::from(pair[1].cast_signed())))
                && boundaries.get_or_insert_with(|| self.boundaries(site)).contains(&addr);
            short || (addr.abs_diff(first) < SCAN && self.is_near_branch(addr, targets))
        })
    }

    fn is_near_branch(&self, addr: u64, targets: &[u64]) -> bool {
        let Some(code) = self.from(addr) else { return false };
        let at = match *code {
            [0xe8 | 0xe9, ..] => 1,
            [0x0f, 0x80..=0x8f, ..] => 2,
            _ => return false,
        };
        let Some(rel) = code.get(at..at + 4).and_then(|rel| rel.try_into().ok()) else {
            return false;
        };
        let end = addr + at as u64 + 4;
        targets.contains(&end.wrapping_add_signed(i64::from(i32::from_le_bytes(rel))))
    }

    /// Where instructions begin around `site`. Decoding starts at many places well before; x86 code falls into step after a few
    /// instructions, so what none of those ways believes in is none.
    fn boundaries(&self, site: u64) -> HashSet<u64> {
        let mut all = HashSet::new();
        for start in site.saturating_sub(SHORT_REACH + 64)..site.saturating_sub(SHORT_REACH + 32) {
            all.extend(self.decode_from(start.max(self.start), site));
        }
        // Behind the site only one way of reading is right, as far as it is code.
        all.extend(self.decode_from(site, site + 2 * SHORT_REACH));
        all
    }

    /// Where the instructions from `start` on begin, up to `end`.
    fn decode_from(&self, start: u64, end: u64) -> Vec<u64> {
        let Some(code) = self.from(start) else { return Vec::new() };
        let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
        let mut found = Vec::new();
        while decoder.can_decode() && decoder.ip() < end {
            found.push(decoder.ip());
            let _ = decoder.decode();
        }
        found
    }
}

/// `jmp gs:[door]`
fn jump_to_door(code: &mut Vec<u8>) {
    code.extend([0x65, 0xff, 0x24, 0x25]);
    code.extend((EXIT_ENTRY_OFFSET as u32).to_le_bytes());
}

/// `lea REG, [target]`, `opcode` being its first three bytes, at the end of code that begins at `base`.
fn load_address(code: &mut Vec<u8>, base: u64, opcode: [u8; 3], target: u64) -> Option<()> {
    let end = base + code.len() as u64 + 7;
    code.extend(opcode);
    code.extend(relative(end, target)?.to_le_bytes());
    Some(())
}

const LEA_RCX: [u8; 3] = [0x48, 0x8d, 0x0d];
const LEA_R11: [u8; 3] = [0x4c, 0x8d, 0x1d];

/// How the site is to be rewritten with a trampoline at `at`.
fn plan(text: &Text, site: u64, number: u64, at: u64) -> Option<Plan> {
    let plan = number_first(text, site, number, at).or_else(|| relocating(text, site, at))?;
    (plan.trampoline.len() <= SLOT).then_some(plan)
}

/// Form 1: `mov eax, number` right before the call.
fn number_first(text: &Text, site: u64, number: u64, at: u64) -> Option<Plan> {
    let start = site.checked_sub(JUMP as u64)?;
    let code = text.from(start)?;
    let number = u32::try_from(number).ok()?;
    if code.first() != Some(&0xb8)
        || code.get(1..5)? != number.to_le_bytes()
        || code.get(5..7)? != [0x0f, 0x05]
    {
        return None;
    }
    // A REX prefix before would make it another instruction.
    let before = start.checked_sub(1).and_then(|at| text.from(at)?.first());
    if before.is_some_and(|byte| byte & 0xf0 == 0x40) {
        return None;
    }
    let mut trampoline = vec![0xb8];
    trampoline.extend(number.to_le_bytes());
    load_address(&mut trampoline, at, LEA_RCX, site + 2)?;
    trampoline.extend([0x49, 0x89, 0xcb]); // mov r11, rcx
    jump_to_door(&mut trampoline);
    Some(Plan { at: start, site, trampoline, moved: Vec::new() })
}

/// Form 2: the instructions after the call move to the trampoline.
fn relocating(text: &Text, site: u64, at: u64) -> Option<Plan> {
    // Both loads and the jump have fixed lengths.
    let tail = at + 7 + 7 + 8;
    let copy = copy_of_comparison(text, site, tail).or_else(|| copy_decoded(text, site, tail))?;
    let targets: Vec<u64> = copy.moved.iter().map(|(from, _)| *from).collect();
    if text.has_branch_to(site, &targets) {
        return None;
    }
    let mut trampoline = Vec::new();
    load_address(&mut trampoline, at, LEA_RCX, site + 2)?;
    load_address(&mut trampoline, at, LEA_R11, tail)?;
    jump_to_door(&mut trampoline);
    trampoline.extend(copy.code);
    let mut moved = copy.moved;
    if let Some(next) = copy.next {
        let jump = at + trampoline.len() as u64;
        moved.push((next, jump));
        trampoline.push(0xe9);
        trampoline.extend(relative(jump + JUMP as u64, next)?.to_le_bytes());
    }
    Some(Plan { at: site, site, trampoline, moved })
}

/// Instructions for another place.
struct Copy {
    code: Vec<u8>,
    /// As in [`Plan`].
    moved: Vec<(u64, u64)>,
    /// Where execution goes on, if it does.
    next: Option<u64>,
}

/// The copy at `to` of the comparison with an error number that follows nearly all calls in C libraries. Not to decode it saves short
/// programs the making of the decoder's tables.
fn copy_of_comparison(text: &Text, site: u64, to: u64) -> Option<Copy> {
    let start = site + 2;
    let code = text.from(start)?;
    let len = match code {
        [0x48, 0x3d, ..] => 6, // cmp rax, imm32
        [0x3d, ..] => 5,       // cmp eax, imm32
        _ => return None,
    };
    let code = code.get(..len)?.to_vec();
    Some(Copy { code, moved: vec![(start, to)], next: Some(start + len as u64) })
}

/// The copy at `to` of whatever whole instructions follow the call, as far as the jump needs their place.
fn copy_decoded(text: &Text, site: u64, to: u64) -> Option<Copy> {
    let mut decoder = Decoder::with_ip(64, text.from(site)?, site, DecoderOptions::NONE);
    if decoder.decode().code() != Code::Syscall {
        return None;
    }
    let mut moving: Vec<Instruction> = Vec::new();
    let mut goes_on = true;
    while decoder.ip() < site + JUMP as u64 {
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return None;
        }
        if !goes_on {
            // Behind a return or a jump only padding may be overwritten.
            match instruction.mnemonic() {
                Mnemonic::Nop | Mnemonic::Int3 => continue,
                _ => return None,
            }
        }
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::ConditionalBranch => {}
            FlowControl::Return
            | FlowControl::UnconditionalBranch
            | FlowControl::IndirectBranch => {
                goes_on = false;
            }
            _ => return None,
        }
        moving.push(instruction);
    }
    let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
    let encoded = BlockEncoder::encode(64, InstructionBlock::new(&moving, to), options).ok()?;
    let mut moved = Vec::new();
    for (instruction, &offset) in moving.iter().zip(&encoded.new_instruction_offsets) {
        // u32::MAX: the encoder made something else of it.
        if offset == u32::MAX {
            return None;
        }
        moved.push((instruction.ip(), to + u64::from(offset)));
    }
    Some(Copy { code: encoded.code_buffer, moved, next: goes_on.then_some(decoder.ip()) })
}

#[cfg(test)]
mod tests {
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
        let bytes =
            [0x90, 0x41, 0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 1, 0xf0, 0xff, 0xff, 0x90];
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
    fn a_call_is_never_moved() {
        // syscall; call +0
        let bytes = [0x0f, 0x05, 0xe8, 0, 0, 0, 0, 0x90];
        assert_eq!(plan(&text(&bytes), BASE, 1, TRAMPOLINE), None);
    }
}
