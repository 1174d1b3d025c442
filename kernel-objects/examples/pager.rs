//! A file system in user space: a task that serves the pages of a VMO, and a task that maps it and knows nothing of that.
//!
//! `cargo run -p kernel-objects --example pager`

use std::{collections::BTreeMap, error::Error, sync::Arc};

use futures::{executor::block_on, join};
use hal::{
    aspace::{Access, AddressSpace},
    pmem::PhysicalMemory,
};
use kernel_objects::{
    MapArgs, Pager, Port, Vmar, Vmo, VmoOptions,
    pager::{PagerOp, PagerVmoOptions},
    port::{PageCommand, PageRequestPacket, Payload},
};

const PAGE: u64 = 4096;

/// What holds the data: blocks by number; one that is not there is zero.
#[derive(Default)]
struct Disk {
    blocks: BTreeMap<u64, Vec<u8>>,
    /// Blocks that may still be written.
    free: u64,
}

/// The file system: it answers what is asked on its port.
struct Service {
    memory: Arc<PhysicalMemory>,
    pager: Arc<Pager>,
    port: Arc<Port>,
    disk: Disk,
}

impl Service {
    /// Reads blocks for the pages that somebody touches.
    fn read(&self, file: &Vmo, offset: u64, length: u64) -> kernel_objects::Result {
        let buffer = Vmo::create(&self.memory, length, VmoOptions::default())?;
        for page in (0..length).step_by(PAGE as usize) {
            if let Some(block) = self.disk.blocks.get(&((offset + page) / PAGE)) {
                buffer.write(page, block)?;
            }
        }
        self.pager.supply_pages(file, offset, length, &buffer, 0)
    }

    /// Sets blocks aside before somebody writes, or refuses.
    fn reserve(&mut self, file: &Vmo, offset: u64, length: u64) -> kernel_objects::Result {
        match self.disk.free.checked_sub(length / PAGE) {
            Some(left) => {
                self.disk.free = left;
                self.pager.op_range(PagerOp::Dirty, file, offset, length)
            }
            None => {
                let no_space = PagerOp::Fail(kernel_objects::Error::NoSpace);
                self.pager.op_range(no_space, file, offset, length)
            }
        }
    }

    /// Writes back what differs.
    fn sync(&mut self, file: &Vmo) -> kernel_objects::Result<usize> {
        let ranges = self.pager.query_dirty_ranges(file, 0, file.size())?;
        for range in &ranges {
            let begin = PagerOp::WritebackBegin { only_zero: range.is_zero };
            self.pager.op_range(begin, file, range.offset, range.length)?;
            for at in (range.offset..range.offset + range.length).step_by(PAGE as usize) {
                let mut block = vec![0; PAGE as usize];
                file.read(at, &mut block)?;
                self.disk.blocks.insert(at / PAGE, block);
            }
            self.pager.op_range(PagerOp::WritebackEnd, file, range.offset, range.length)?;
        }
        Ok(ranges.len())
    }

    async fn serve(&mut self, file: &Vmo) -> kernel_objects::Result {
        loop {
            let Payload::PageRequest(request) = self.port.wait().await.payload else { continue };
            println!("service: {request:?}");
            let PageRequestPacket { command, offset, length } = request;
            match command {
                PageCommand::Read => self.read(file, offset, length)?,
                PageCommand::Dirty => self.reserve(file, offset, length)?,
                PageCommand::Complete => return Ok(()),
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let memory = PhysicalMemory::new(None)?;
    let (pager, port) = (Pager::create(), Port::create());
    let file = pager.create_vmo(&memory, PagerVmoOptions::TRAP_DIRTY, &port, 1, 16 * PAGE)?;
    let blocks = BTreeMap::from([(3, b"in block three".to_vec())]);
    let disk = Disk { blocks, free: 2 };
    let mut service = Service { memory: memory.clone(), pager: pager.clone(), port, disk };

    let program = async {
        let vmar = Vmar::create_root(&AddressSpace::new(&memory)?)?;
        let va = vmar.map(MapArgs::new(file.clone(), file.size()))?;
        // What a CPU does when an instruction faults: it waits for the page, and makes the access again.
        vmar.fault_async(va + 3 * PAGE, Access::Read).await?;
        let mut bytes = [0; 14];
        vmar.read(va + 3 * PAGE, &mut bytes)?;
        println!("program: read {:?}", String::from_utf8_lossy(&bytes));
        vmar.fault_async(va + 3 * PAGE, Access::Write).await?;
        vmar.write(va + 3 * PAGE, b"IN")?;
        // Without a mapping it is the same.
        file.write_async(7 * PAGE, b"new").await?;
        println!("program: a third block: {:?}", file.write_async(9 * PAGE, b"more").await);
        pager.detach_vmo(&file)?;
        Ok::<_, Box<dyn Error>>(())
    };
    let (served, done) = block_on(async { join!(service.serve(&file), program) });
    served?;
    done?;
    println!("service: {} ranges written back", service.sync(&file)?);
    assert_eq!(&service.disk.blocks[&3][..14], b"IN block three");
    assert_eq!(&service.disk.blocks[&7][..3], b"new");
    assert!(pager.query_dirty_ranges(&file, 0, file.size())?.is_empty());
    Ok(())
}
