//! A process's memory, as others see it: debuggers and loaders.

use std::sync::Arc;

use super::process::Process;
use crate::{
    error::{Error, Result},
    vmar::{Mapping, Vmar},
};

/// How much one call may read or write.
const MAX_ACCESS: usize = 64 << 20;

impl Process {
    /// The region that covers its whole address space; `None` before it was given one, and once the process
    /// has ended.
    pub fn root_vmar(&self) -> Option<Arc<Vmar>> {
        self.inner.lock().vmar.clone()
    }

    /// Gives it another address space, as `exec` does, and returns the one it had. Several processes
    /// may share one.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it has ended.
    pub fn set_root_vmar(&self, vmar: Arc<Vmar>) -> Result<Option<Arc<Vmar>>> {
        let mut inner = self.inner.lock();
        if inner.has_ended() {
            return Err(Error::BadState);
        }
        Ok(inner.vmar.replace(vmar))
    }

    /// The mapping at `addr`, and how far into its VMO that is and how many bytes of that there are.
    fn locate(&self, addr: u64, len: usize) -> Result<(Mapping, u64, usize)> {
        if len == 0 || len > MAX_ACCESS {
            return Err(Error::InvalidArgs);
        }
        let vmar = self.root_vmar().ok_or(Error::BadState)?;
        let mapping = vmar.find(addr).ok_or(Error::NoMemory)?;
        let offset = mapping.vmo_offset.saturating_add(addr.saturating_sub(mapping.range.start));
        let mapped = mapping.range.end.saturating_sub(addr);
        let there = mapping.vmo.size().saturating_sub(offset).min(mapped);
        match usize::try_from(there).map_or(len, |there| there.min(len)) {
            0 => Err(Error::NoMemory),
            len => Ok((mapping, offset, len)),
        }
    }

    /// Reads memory of the process, whatever it may do there itself; returns how many bytes, fewer
    /// than asked for where the mapping ends (`zx_process_read_memory`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for no byte or more than 64 MiB, [`Error::NoMemory`] if nothing is mapped
    /// there, [`Error::BadState`] if it has no address space; those of [`Vmo::read`](crate::Vmo::read).
    pub fn read_memory(&self, addr: u64, buf: &mut [u8]) -> Result<usize> {
        let (mapping, offset, len) = self.locate(addr, buf.len())?;
        let buf = buf.get_mut(..len).ok_or(Error::Internal)?;
        mapping.vmo.read(offset, buf).map(|()| len)
    }

    /// [`read_memory`](Self::read_memory), which waits for pages as a future.
    ///
    /// # Errors
    ///
    /// As [`read_memory`](Self::read_memory) and [`Vmo::fetch`](crate::Vmo::fetch).
    pub async fn read_memory_async(&self, addr: u64, buf: &mut [u8]) -> Result<usize> {
        let (mapping, offset, len) = self.locate(addr, buf.len())?;
        let buf = buf.get_mut(..len).ok_or(Error::Internal)?;
        mapping.vmo.read_async(offset, buf).await.map(|()| len)
    }

    /// Writes memory of the process, whatever it may do there itself; returns how many bytes, fewer
    /// than asked for where the mapping ends (`zx_process_write_memory`).
    ///
    /// # Errors
    ///
    /// As [`read_memory`](Self::read_memory), and those of [`Vmo::write`](crate::Vmo::write).
    pub fn write_memory(&self, addr: u64, buf: &[u8]) -> Result<usize> {
        let (mapping, offset, len) = self.locate(addr, buf.len())?;
        let buf = buf.get(..len).ok_or(Error::Internal)?;
        mapping.vmo.write(offset, buf).map(|()| len)
    }

    /// [`write_memory`](Self::write_memory), which waits for pages as a future.
    ///
    /// # Errors
    ///
    /// As [`write_memory`](Self::write_memory) and [`Vmo::fetch`](crate::Vmo::fetch).
    pub async fn write_memory_async(&self, addr: u64, buf: &[u8]) -> Result<usize> {
        let (mapping, offset, len) = self.locate(addr, buf.len())?;
        let buf = buf.get(..len).ok_or(Error::Internal)?;
        mapping.vmo.write_async(offset, buf).await.map(|()| len)
    }
}

#[cfg(test)]
mod tests {
    use hal::{
        aspace::{AddressSpace, Prot},
        pmem::{PAGE_SIZE, PhysicalMemory},
    };

    use super::*;
    use crate::{
        task::Job,
        vmar::MapArgs,
        vmo::{Vmo, VmoOptions},
    };

    const PAGE: u64 = PAGE_SIZE as u64;

    fn process() -> Arc<Process> {
        Process::create(&Job::root(), "memory").unwrap_or_else(|error| panic!("{error}"))
    }

    /// A process with one read-only page at the returned address.
    fn with_page() -> (Arc<Process>, u64) {
        let made = || -> std::result::Result<_, Box<dyn std::error::Error>> {
            let memory = PhysicalMemory::new(None)?;
            let vmar = Vmar::create_root(&AddressSpace::new(&memory)?)?;
            let vmo = Vmo::create(&memory, PAGE, VmoOptions::default())?;
            let args = MapArgs { perms: Prot::READ, ..MapArgs::new(vmo, PAGE) };
            let addr = vmar.map(args)?;
            let process = process();
            process.set_root_vmar(vmar)?;
            Ok((process, addr))
        };
        made().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_is_written_is_read_up_to_the_end_of_the_mapping() {
        let (process, addr) = with_page();
        assert_eq!(process.write_memory(addr + 10, b"hello"), Ok(5));
        let mut buf = [0; 7];
        assert_eq!(process.read_memory(addr + 9, &mut buf), Ok(7));
        assert_eq!(&buf, b"\0hello\0");
        assert_eq!(process.read_memory(addr + PAGE - 3, &mut buf), Ok(3));
        assert_eq!(process.write_memory(addr + PAGE - 1, &buf), Ok(1));
    }

    #[test]
    fn errors_of_bad_sizes_addresses_and_states() {
        let (process, addr) = with_page();
        let mut buf = [0; 8];
        assert_eq!(process.read_memory(addr, &mut []), Err(Error::InvalidArgs));
        let huge = vec![0; MAX_ACCESS + 1];
        assert_eq!(process.write_memory(addr, &huge), Err(Error::InvalidArgs));
        assert_eq!(process.read_memory(addr + PAGE, &mut buf), Err(Error::NoMemory));
        assert_eq!(process.write_memory(u64::MAX, &buf), Err(Error::NoMemory));
        let vmar = process.root_vmar();
        process.kill();
        assert!(process.root_vmar().is_none(), "an ended process keeps no memory");
        assert_eq!(process.read_memory(addr, &mut buf), Err(Error::BadState));
        let again = vmar.map(|vmar| process.set_root_vmar(vmar).err());
        assert_eq!(again, Some(Some(Error::BadState)));
    }

    #[test]
    fn a_mapping_ends_where_its_vmo_does() {
        let made = || -> std::result::Result<_, Box<dyn std::error::Error>> {
            let memory = PhysicalMemory::new(None)?;
            let vmar = Vmar::create_root(&AddressSpace::new(&memory)?)?;
            let options = VmoOptions { resizable: true, ..VmoOptions::default() };
            let vmo = Vmo::create(&memory, 4 * PAGE, options)?;
            let addr = vmar.map(MapArgs::new(vmo.clone(), 4 * PAGE))?;
            let process = process();
            process.set_root_vmar(vmar)?;
            vmo.set_size(2 * PAGE)?;
            Ok((process, addr))
        };
        let (process, addr) = made().unwrap_or_else(|error| panic!("{error}"));
        let mut buf = [0; 8];
        assert_eq!(process.read_memory(addr + 2 * PAGE - 3, &mut buf), Ok(3));
        assert_eq!(process.read_memory(addr + 2 * PAGE, &mut buf), Err(Error::NoMemory));
        assert_eq!(process.write_memory(addr + 3 * PAGE, &buf), Err(Error::NoMemory));
    }

    #[test]
    fn exec_replaces_the_address_space() {
        let ((process, _), (other, addr)) = (with_page(), with_page());
        let (old, new) = (process.root_vmar(), other.root_vmar());
        let koid =
            |vmar: &Option<Arc<Vmar>>| vmar.as_ref().map(|v| crate::KernelObject::koid(&**v));
        let replaced = new.clone().and_then(|vmar| process.set_root_vmar(vmar).ok()).flatten();
        assert_eq!(koid(&replaced), koid(&old));
        assert_eq!(koid(&process.root_vmar()), koid(&new));
        assert_eq!(process.write_memory(addr, b"x"), Ok(1));
    }
}
