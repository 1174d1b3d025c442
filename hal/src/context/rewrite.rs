//! Rewriting of system-call sites: a `syscall` instruction that has trapped a few times becomes a jump.
//!
//! The idea: only sites that a trap has proved are touched, and only while no other thread executes code of the address space, so a
//! patch needs no cleverness about half-written instructions. A trampoline near the site loads `rcx` (the address after the call) and
//! `r11` (where to go on) and jumps to the door. Three forms:
//!
//! ```text
//! 1  mov eax, NR          jmp  trampoline      trampoline:  mov eax, NR; lea rcx, [after]; mov r11, rcx; jmp gs:[door]
//!    syscall              syscall              the call stays as it is, for those who jump to it (mov rax, NR likewise)
//!    after:               after:
//!
//! 2  syscall              jmp  trampoline      trampoline:  lea rcx, [after]; lea r11, [tail]; jmp gs:[door]
//!    after: cmp rax, -1   (rest of the cmp)    tail:        cmp rax, -1; jmp next
//!    next:                next:
//!
//! 3  syscall              jmp  short island    trampoline:  lea rcx, [after]; mov r11, rcx; jmp gs:[door]
//!    after:               after:
//!    nop [rax+rax+0]      nop [rcx+rbp*8+D]   island, the last five bytes of the nop, read as an instruction:  jmp trampoline
//! ```
//!
//! Instructions *before* the call are never moved: nothing proves where they begin, for x86 code can be read backwards in several ways
//! and all that a trap proves is the call itself. Form 3 needs no such proof. A short jump is exactly as long as the call, so nothing
//! beside it changes; and it goes by way of the padding between functions, a long nop, whose operand the compiler had no use for: with the jump in
//! it the nop is as long as before and still does nothing, whoever executes it. That it is a nop, and not a constant of the same bytes, is
//! read forward: from the call, which a trap proved, or, when it lies before the call, from many places that all must agree.
//!
//! All bytes of a patch are in one page, because a guest that maps something else over a page, or makes it writable, takes away that
//! page's patches and no other's.
//!
//! In form 2 a saved `rip` may point at an instruction that is no longer there (a thread that waits in the call, a signal frame);
//! [`Rewriter::redirect`] sends it to the copy in the tail.
//!
//! A debugger steps through text and writes breakpoints into it, and must not meet any of this: as long as somebody
//! [holds](Rewriter::hold) the text it is as the guest has it, and calls trap. Trampolines stay, for threads that are in them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem, ptr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
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
use crate::{
    aspace::AddressSpace,
    pmem::{PAGE_SIZE, PhysAddr},
};

/// Traps at a site before it is rewritten: a rewrite costs about as much as ten traps, and most programs end soon.
const PROOF: u32 = 8;
/// Failed system calls of a guest that makes code at run time must not fill memory: beyond, counts start again.
const MAX_SITES: usize = 1 << 16;
/// Bytes of a `jmp rel32`.
const JUMP: usize = 5;
/// Bytes of a `jmp rel8`, and of a call.
const SHORT_JUMP: usize = 2;
/// Bytes set aside for a trampoline; all fit, or the site is left alone.
const SLOT: usize = 64;
/// How far around a site direct branches into the overwritten bytes are looked for: much more than a function that has a
/// system call in it.
const SCAN: u64 = 8 << 10;
/// How far a short branch reaches.
const SHORT_REACH: u64 = 130;
/// rt_sigreturn(2): unwinders may recognise its site by its bytes.
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
    /// Sites of rt_sigreturn(2) that unwinders need not recognise by their bytes.
    sigreturns: HashSet<u64>,
    /// How many want the text left as the guest has it.
    holders: u32,
}

/// What is where since the patches.
#[derive(Clone, Debug, Default)]
struct Moved {
    /// Overwritten instructions, and where their copies are.
    copies: HashMap<u64, u64>,
    /// Trampolines by address, and what they stand for.
    plans: BTreeMap<u64, Plan>,
    /// Islands, and the sites that lead to them.
    islands: HashMap<u64, u64>,
}

/// A jump in the operand of a nop.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Island {
    /// Where the jump is.
    at: u64,
    /// Whether the nop's beginning becomes a short jump over the rest of it; otherwise it stays a nop.
    leap: bool,
}

impl Island {
    /// In the nop, without its prefixes, with which `code` at `start` begins, if it does and is long enough.
    fn in_nop(start: u64, code: &[u8], before: Option<u8>) -> Option<Self> {
        if code.starts_with(&[0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]) {
            // `jmp rel32` is as good a SIB byte and displacement as any.
            return Some(Self { at: start + 3, leap: false });
        }
        // What might be a prefix would change the leap's meaning.
        let plain = !matches!(before?, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
        (plain && code.starts_with(&[0x0f, 0x1f, 0x80, 0, 0, 0, 0]))
            .then_some(Self { at: start + SHORT_JUMP as u64, leap: true })
    }
}

/// What is rewritten in one address space.
#[derive(Debug, Default)]
pub(crate) struct Rewriter {
    sites: Mutex<Sites>,
    moved: RwLock<Moved>,
    /// Whether a site has ever been patched.
    any_patched: AtomicBool,
    /// How often text has been changed.
    version: AtomicU32,
    /// Closed while the space's guests must stay out.
    gate: Gate,
    /// What has trapped in spaces that are copies of this one.
    told: Arc<Mutex<Vec<Proof>>>,
    /// Where this space, a copy, tells what traps in it.
    parent: Mutex<Option<Weak<Mutex<Vec<Proof>>>>>,
}

/// That a system call is made at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Proof {
    /// Behind its instruction.
    rip: u64,
    number: u64,
    /// Where that is in memory: another space need not have the same there.
    pa: PhysAddr,
}

/// Proofs that are kept for a parent, at most.
const MOST_TOLD: usize = 64;

/// A site's new code.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    /// Where the site's jump is put.
    at: u64,
    /// Where that jump leads if it is a short one.
    island: Option<Island>,
    /// The call's own address.
    site: u64,
    trampoline: Vec<u8>,
    /// Pairs of an overwritten instruction's address and its copy's, and of where the last copy leads and the jump there.
    moved: Vec<(u64, u64)>,
}

impl Plan {
    /// Whether there is room for the trampoline, and the site's jump is in one page.
    fn fits(&self) -> bool {
        let len = if self.island.is_some() { SHORT_JUMP } else { JUMP };
        self.trampoline.len() <= SLOT && in_one_page(self.at, len)
    }

    /// What is written where, for a trampoline at `start`; what others lead to comes first.
    fn patches(&self, start: u64) -> Option<Vec<(u64, Vec<u8>)>> {
        let Some(island) = &self.island else {
            return Some(vec![(self.at, near_jump(self.at, start)?.to_vec())]);
        };
        let mut jump = near_jump(island.at, start)?.to_vec();
        let mut from = island.at;
        if island.leap {
            // For those who execute the nop.
            jump.splice(0..0, [0xeb, JUMP as u8]);
            from -= SHORT_JUMP as u64;
        }
        let distance = relative(self.at + SHORT_JUMP as u64, island.at)?;
        let short = [0xeb, i8::try_from(distance).ok()?.cast_unsigned()];
        Some(vec![(from, jump), (self.at, short.to_vec())])
    }

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
        if sites.holders > 0 || number == SIGRETURN && !sites.sigreturns.contains(&site) {
            return;
        }
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
        self.tell(space, rip, number);
        if *count < PROOF {
            return;
        }
        let patched = self.patch(&mut sites, space, site, number).is_some();
        if !patched {
            log::debug!("the site of call {number} at {site:#x} can not be rewritten");
        }
        sites.known.insert(site, if patched { Site::Patched } else { Site::Refused });
    }

    /// Tells the space that this is a copy of: its next copy is likely to call there too, and none lives long enough to prove it.
    fn tell(&self, space: &AddressSpace, rip: u64, number: u64) {
        let Some(told) = self.parent.lock().as_ref().and_then(Weak::upgrade) else { return };
        let Some(run) = space.query(rip.wrapping_sub(1)) else { return };
        let proof = Proof { rip, number, pa: run.translate(rip.wrapping_sub(1)) };
        let mut told = told.lock();
        if told.len() < MOST_TOLD {
            told.push(proof);
        }
    }

    /// Believes what copies have told, where the text is still the same.
    pub(crate) fn learn(&self, space: &AddressSpace) {
        let told = mem::take(&mut *self.told.lock());
        for Proof { rip, number, pa } in told {
            if space
                .query(rip.wrapping_sub(1))
                .is_some_and(|run| run.translate(rip.wrapping_sub(1)) == pa)
            {
                self.trapped(space, rip, number);
            }
        }
    }

    /// Lets `site` be rewritten although it calls rt_sigreturn(2).
    pub(crate) fn allow_sigreturn(&self, site: u64) {
        self.sites.lock().sigreturns.insert(site);
    }

    /// Gives all text back as the guest has it, and rewrites no more before [`release`](Self::release) was called as often as this.
    /// Whoever waits in a trampoline's call and does not [leave its site](super::UserContext::leave_site) ends it there.
    pub(crate) fn hold(&self, space: &AddressSpace) {
        let mut sites = self.sites.lock();
        // Each holder is an object in memory: there are never so many.
        sites.holders = sites.holders.saturating_add(1);
        if sites.holders > 1 || !self.any_patched.load(Ordering::Acquire) {
            return;
        }
        let _stopped = self.stop_others(space);
        if space.unpatch_text().is_err() {
            // The host has no room to split its mapping: what could not be taken back stays in force.
            return;
        }
        sites.known.retain(|_, state| *state != Site::Patched);
        let mut moved = self.moved.write();
        moved.copies.clear();
        moved.islands.clear();
        self.version.fetch_add(1, Ordering::Relaxed);
        signals::synchronize_cores();
    }

    /// Ends what [`hold`](Self::hold) began.
    pub(crate) fn release(&self) {
        let mut sites = self.sites.lock();
        sites.holders = sites.holders.saturating_sub(1);
    }

    /// Other text has been mapped where a page was patched.
    fn forget_page(&self, sites: &mut Sites, page: u64) {
        sites.known.retain(|site, state| *state != Site::Patched || site / PAGE != page);
        let mut moved = self.moved.write();
        moved.copies.retain(|from, _| from / PAGE != page);
        moved.islands.retain(|at, _| at / PAGE != page);
    }

    fn patch(&self, sites: &mut Sites, space: &AddressSpace, site: u64, number: u64) -> Option<()> {
        let text = Text::around(space, site)?;
        let (page, used) = slot(sites, space, site)?;
        let start = page + used as u64;
        let plan = plan(&text, site, number, start)?;
        let patches = plan.patches(start)?;
        if !space.is_patched(plan.at) {
            self.forget_page(sites, plan.at / PAGE);
        }
        space.write_trampoline(start, &plan.trampoline).ok()?;
        {
            let _stopped = self.stop_others(space);
            for (at, bytes) in &patches {
                space.patch_text(*at, bytes).ok()?;
            }
            let mut moved = self.moved.write();
            let end = plan.at + JUMP as u64;
            moved.copies.extend(plan.moved.iter().copied().filter(|(from, _)| *from < end));
            moved.islands.extend(plan.island.as_ref().map(|island| (island.at, site)));
            moved.plans.insert(start, plan);
            self.any_patched.store(true, Ordering::Release);
            self.version.fetch_add(1, Ordering::Relaxed);
            signals::synchronize_cores();
        }
        if let Some((_, used)) = sites.pages.iter_mut().find(|(known, _)| *known == page) {
            *used += SLOT;
        }
        Some(())
    }

    /// Changes when text does.
    pub(super) fn version(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }

    /// Takes over what is rewritten in `parent`, of whose text this space's is a copy.
    pub(crate) fn inherit(&self, parent: &Self) {
        let theirs = parent.sites.lock();
        let mut sites = self.sites.lock();
        sites.known.clone_from(&theirs.known);
        sites.pages.clone_from(&theirs.pages);
        sites.sigreturns.clone_from(&theirs.sigreturns);
        *self.parent.lock() = Some(Arc::downgrade(&parent.told));
        self.moved.write().clone_from(&parent.moved.read());
        let any = parent.any_patched.load(Ordering::Acquire);
        self.any_patched.store(any, Ordering::Release);
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

    /// The `rip` that a guest which was interrupted at `rip` believes to have: not that of a trampoline, nor of an island.
    pub(super) fn original(&self, space: &AddressSpace, rip: u64) -> u64 {
        if !self.any_patched.load(Ordering::Acquire) {
            return rip;
        }
        let moved = self.moved.read();
        if let Some(&site) = moved.islands.get(&rip)
            && space.is_patched(rip)
        {
            return site;
        }
        match moved.plans.range(..=rip).next_back() {
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

/// `jmp target` at `from`.
fn near_jump(from: u64, target: u64) -> Option<[u8; JUMP]> {
    let [a, b, c, d] = relative(from + JUMP as u64, target)?.to_le_bytes();
    Some([0xe9, a, b, c, d])
}

/// Whether `len` bytes at `from` are in one page.
fn in_one_page(from: u64, len: usize) -> bool {
    from / PAGE == (from + len as u64 - 1) / PAGE
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

    /// The nearest nop around `site` that can carry a jump, in the same page and within reach of a short one.
    fn island_near(&self, site: u64) -> Option<Island> {
        if !in_one_page(site, SHORT_JUMP) {
            return None;
        }
        let page = site / PAGE * PAGE;
        let low = page.max(self.start).max(site.saturating_sub(SHORT_REACH));
        let code = self.from(low)?;
        let mut islands: Vec<(Island, u64)> = (low..(page + PAGE).min(site + SHORT_REACH))
            .zip(0..)
            .filter_map(|(nop, offset): (u64, usize)| {
                let before = offset.checked_sub(1).and_then(|before| code.get(before));
                let island = Island::in_nop(nop, code.get(offset..)?, before.copied())?;
                let distance = relative(site + SHORT_JUMP as u64, island.at)?;
                let reached = i8::try_from(distance).is_ok() && in_one_page(island.at, JUMP);
                reached.then_some((island, nop))
            })
            .collect();
        islands.sort_by_key(|(island, _)| island.at.abs_diff(site));
        islands.into_iter().find(|(_, nop)| self.is_instruction(*nop, site)).map(|found| found.0)
    }

    /// Whether the nop at `nop`, or the prefixes before it, is where an instruction begins.
    fn is_instruction(&self, nop: u64, site: u64) -> bool {
        let prefixes = (1..=4).take_while(|&n| {
            let byte = nop.checked_sub(n).and_then(|at| self.from(at)?.first());
            matches!(byte, Some(0x66 | 0x2e))
        });
        let begins: Vec<u64> = std::iter::once(nop).chain(prefixes.map(|n| nop - n)).collect();
        let agrees = |start: u64| {
            self.decode_from(start, nop + 1).last().is_some_and(|last| begins.contains(last))
        };
        if nop > site {
            return agrees(site);
        }
        // Reading falls into step after a few instructions.
        let far = nop.saturating_sub(96);
        far >= self.start && (far..far + 32).all(agrees)
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
const MOV_R11_RCX: [u8; 3] = [0x49, 0x89, 0xcb];

/// How the site is to be rewritten with a trampoline at `at`.
fn plan(text: &Text, site: u64, number: u64, at: u64) -> Option<Plan> {
    number_first(text, site, number, at)
        .filter(Plan::fits)
        .or_else(|| relocating(text, site, at).filter(Plan::fits))
        .or_else(|| by_island(text, site, at).filter(Plan::fits))
}

/// Form 1: the number is loaded right before the call.
fn number_first(text: &Text, site: u64, number: u64, at: u64) -> Option<Plan> {
    let number = u32::try_from(number).ok()?.to_le_bytes();
    // mov eax, imm32; mov rax, imm32
    for opcode in [&[0xb8][..], &[0x48, 0xc7, 0xc0][..]] {
        let len = opcode.len() + number.len();
        let start = site.checked_sub(len as u64)?;
        let Some(code) = text.from(start) else { continue };
        let load = [opcode, &number].concat();
        if !code.starts_with(&load) || code.get(len..len + 2)? != [0x0f, 0x05] {
            continue;
        }
        // A REX prefix before the short one would make it another instruction.
        let before = start.checked_sub(1).and_then(|at| text.from(at)?.first());
        if opcode.len() == 1 && before.is_some_and(|byte| byte & 0xf0 == 0x40) {
            continue;
        }
        let mut trampoline = load;
        load_address(&mut trampoline, at, LEA_RCX, site + 2)?;
        trampoline.extend(MOV_R11_RCX);
        jump_to_door(&mut trampoline);
        return Some(Plan { at: start, island: None, site, trampoline, moved: Vec::new() });
    }
    None
}

/// Form 3: by way of a nop nearby.
fn by_island(text: &Text, site: u64, at: u64) -> Option<Plan> {
    if text.from(site)?.get(..2)? != [0x0f, 0x05] {
        return None;
    }
    let island = text.island_near(site)?;
    let mut trampoline = Vec::new();
    load_address(&mut trampoline, at, LEA_RCX, site + 2)?;
    trampoline.extend(MOV_R11_RCX);
    jump_to_door(&mut trampoline);
    Some(Plan { at: site, island: Some(island), site, trampoline, moved: Vec::new() })
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
    Some(Plan { at: site, island: None, site, trampoline, moved })
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
mod tests;
