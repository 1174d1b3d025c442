//! VMOs against plain memory: what it costs that bytes lie in an object with pages that others may share.

use std::{hint::black_box, sync::Arc};

use hal::pmem::PhysicalMemory;
use kernel_objects::{
    Vmo, VmoOptions,
    vmo::{ChildOptions, RangeOp},
};
use memmap2::{MmapMut, MmapOptions};

use super::{Result, best, best_in_task};

const SMALL: usize = 4 << 10;
const LARGE: usize = 1 << 20;
/// What is made, committed and dropped.
const MADE: u64 = 64 << 10;

fn written(len: usize) -> Result<(Arc<PhysicalMemory>, Arc<Vmo>)> {
    let memory = PhysicalMemory::new(None)?;
    let vmo = Vmo::create(&memory, len as u64, VmoOptions::default())?;
    vmo.write(0, &vec![7; len])?;
    Ok((memory, vmo))
}

/// Plain memory that begins a page, as a VMO's does: copies between other places take longer.
fn plain(len: usize) -> Result<MmapMut> {
    let mut memory = MmapOptions::new().len(len).map_anon()?;
    memory.fill(1);
    Ok(memory)
}

fn copy<const LEN: usize>(count: u32) -> Result<f64> {
    let (from, mut to) = (plain(LEN)?, plain(LEN)?);
    best_in_task(count, move || {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        Ok(())
    })
}

fn read<const LEN: usize>(count: u32) -> Result<f64> {
    let (memory, vmo) = written(LEN)?;
    let mut to = plain(LEN)?;
    best_in_task(count, move || {
        let _ = &memory;
        vmo.read(0, black_box(&mut to))?;
        black_box(&mut to);
        Ok(())
    })
}

fn write<const LEN: usize>(count: u32) -> Result<f64> {
    let (memory, vmo) = written(LEN)?;
    let from = plain(LEN)?;
    best_in_task(count, move || {
        let _ = &memory;
        Ok(vmo.write(0, black_box(&from))?)
    })
}

pub(super) fn small_copy() -> Result<f64> {
    copy::<SMALL>(20_000)
}

pub(super) fn small_read() -> Result<f64> {
    read::<SMALL>(20_000)
}

pub(super) fn small_write() -> Result<f64> {
    write::<SMALL>(20_000)
}

pub(super) fn large_copy() -> Result<f64> {
    copy::<LARGE>(100)
}

pub(super) fn large_read() -> Result<f64> {
    read::<LARGE>(100)
}

pub(super) fn large_write() -> Result<f64> {
    write::<LARGE>(100)
}

/// Anonymous memory of the host's, in memory at once.
pub(super) fn mapping() -> Result<f64> {
    best(500, || {
        let memory = MmapOptions::new().len(MADE as usize).populate().map_anon()?;
        drop(black_box(memory));
        Ok(())
    })
}

pub(super) fn committed() -> Result<f64> {
    let memory = PhysicalMemory::new(None)?;
    best_in_task(500, move || {
        let vmo = Vmo::create(&memory, MADE, VmoOptions::default())?;
        vmo.op_range(RangeOp::Commit, 0, MADE)?;
        drop(black_box(vmo));
        Ok(())
    })
}

pub(super) fn snapshot() -> Result<f64> {
    let (memory, vmo) = written(LARGE)?;
    best_in_task(1_000, move || {
        let _ = &memory;
        drop(black_box(vmo.create_child(ChildOptions::SNAPSHOT, 0, LARGE as u64)?));
        Ok(())
    })
}
