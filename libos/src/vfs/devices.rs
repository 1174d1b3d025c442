//! Character devices: what does the I/O of /dev/null and its kin.
//!
//! The one idea: a device node is only a number, wherever in the tree it lies, and this table says what opening that
//! number gives (Documentation/admin-guide/devices.txt).

use std::sync::Arc;

use hal::pmem::PAGE_SIZE;

use super::buf::{IoDst, IoSrc};
use super::file::File;
use super::metadata::DeviceNumber;
use super::open_file::OpenFile;
use super::seek::Seeking;
use crate::errno::{Errno, SysResult};
use crate::tty;

/// /dev/null.
pub const NULL: DeviceNumber = DeviceNumber::new(1, 3);
/// /dev/zero.
pub const ZERO: DeviceNumber = DeviceNumber::new(1, 5);
/// /dev/full.
pub const FULL: DeviceNumber = DeviceNumber::new(1, 7);
/// /dev/random.
pub const RANDOM: DeviceNumber = DeviceNumber::new(1, 8);
/// /dev/urandom.
pub const URANDOM: DeviceNumber = DeviceNumber::new(1, 9);

/// Opens the device with number `rdev`; `ENXIO` if there is no such device.
pub fn open(rdev: DeviceNumber, flags: u32) -> SysResult<Arc<dyn File>> {
    let _ = flags;
    Ok(match rdev {
        NULL => Arc::new(Endless::Null),
        ZERO => Arc::new(Endless::Zero),
        FULL => Arc::new(Endless::Full),
        RANDOM | URANDOM => Arc::new(Endless::Random),
        device if tty::table::is_terminal(device) => {
            Arc::new(tty::Node { device, terminals: None })
        }
        _ => return Err(Errno::ENXIO),
    })
}

/// A device that is always ready and whose position never moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endless {
    /// /dev/null: the end of all files, and a place for what nobody wants.
    Null,
    /// /dev/zero: as many zero bytes as asked for. Mapping it gives fresh memory.
    Zero,
    /// /dev/full: zeros to read, and never room to write.
    Full,
    /// /dev/random and /dev/urandom: the host's random numbers. What is written is thrown away.
    Random,
}

impl File for Endless {
    fn read(&self, _offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        match self {
            Self::Null => Ok(0),
            Self::Zero | Self::Full => dst.write_zeros(dst.remaining()),
            Self::Random => random(dst),
        }
    }

    fn write(&self, _offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        match self {
            Self::Full => Err(Errno::ENOSPC),
            _ => Ok(src.skip(src.remaining())),
        }
    }

    fn seeking(&self) -> Seeking {
        Seeking::Nowhere
    }
}

fn random(dst: &mut IoDst<'_>) -> SysResult {
    let mut done = 0;
    let mut chunk = [0; PAGE_SIZE];
    while dst.remaining() > 0 {
        let len = dst.remaining().min(chunk.len());
        hal::random::fill(&mut chunk[..len]);
        match dst.write(&chunk[..len]) {
            Ok(n) => done += n,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Whether `file` is /dev/zero, which stands for fresh memory where it is mapped.
pub fn is_zero(file: &OpenFile) -> bool {
    file.downcast() == Some(&Endless::Zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_does_what_its_manual_page_says() {
        let mut buf = [7; 4];
        let null = open(NULL, 0).unwrap();
        assert_eq!(null.read(0, &mut IoDst::kernel(&mut buf)), Ok(0));
        assert_eq!(null.write(0, &mut IoSrc::kernel(b"abc")), Ok(3));
        let zero = open(ZERO, 0).unwrap();
        assert_eq!(zero.read(0, &mut IoDst::kernel(&mut buf)), Ok(4));
        assert_eq!(buf, [0; 4]);
        let full = open(FULL, 0).unwrap();
        assert_eq!(full.write(0, &mut IoSrc::kernel(b"abc")), Err(Errno::ENOSPC));
        let mut long = [0; 1000];
        assert_eq!(open(URANDOM, 0).unwrap().read(0, &mut IoDst::kernel(&mut long)), Ok(1000));
        assert!(long.iter().any(|&byte| byte != 0));
        assert_eq!(open(DeviceNumber::new(99, 99), 0).err(), Some(Errno::ENXIO));
    }
}
