//! The entries of a directory kept in memory.
//!
//! The one idea: every entry gets a number that only grows and is its cookie for reading the directory, so that
//! entries may come and go between two calls of getdents64(2) without others being skipped or seen twice. Names count
//! against the memory limit.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use hal::pmem::{Charge, PhysicalMemory};

use super::dentry::NameMap;
use crate::errno::{Errno, SysResult};

/// Bytes of the kernel's memory that an entry takes, its dentry included, beside its name, about.
const ENTRY: u64 = 512;

fn bytes(name: &[u8]) -> u64 {
    ENTRY + 3 * name.len() as u64
}

/// Names with what they lead to, in the order of their making.
pub struct Entries<T> {
    by_cookie: BTreeMap<u64, (Box<[u8]>, T)>,
    by_name: NameMap<Box<[u8]>, u64>,
    next: u64,
    charge: Charge,
}

impl<T> Entries<T> {
    /// No entries; the first one gets `cookie`.
    pub fn starting_at(memory: &Arc<PhysicalMemory>, cookie: u64) -> Self {
        Self {
            by_cookie: BTreeMap::new(),
            by_name: NameMap::default(),
            next: cookie,
            charge: memory.no_charge(),
        }
    }

    /// What `name` leads to.
    pub fn get(&self, name: &[u8]) -> Option<&T> {
        self.by_cookie.get(self.by_name.get(name)?).map(|(_, value)| value)
    }

    /// Sets what `name` leads to; an existing entry keeps its place. What it led to before; `ENOSPC` without memory for a new one.
    pub fn insert(&mut self, name: &[u8], value: T) -> SysResult<Option<T>> {
        if let Some(cookie) = self.by_name.get(name)
            && let Some((_, old)) = self.by_cookie.get_mut(cookie)
        {
            return Ok(Some(std::mem::replace(old, value)));
        }
        self.charge.resize(self.charge.bytes() + bytes(name)).map_err(|_| Errno::ENOSPC)?;
        let cookie = self.next;
        self.next += 1;
        self.by_name.insert(name.into(), cookie);
        self.by_cookie.insert(cookie, (name.into(), value));
        Ok(None)
    }

    /// Removes the entry.
    pub fn remove(&mut self, name: &[u8]) -> Option<T> {
        let cookie = self.by_name.remove(name)?;
        // Becoming smaller cannot fail.
        let _ = self.charge.resize(self.charge.bytes().saturating_sub(bytes(name)));
        self.by_cookie.remove(&cookie).map(|(_, value)| value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_cookie.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_cookie.is_empty()
    }

    /// The entries whose cookie is at least `cookie`, with their cookies.
    pub fn from_cookie(&self, cookie: u64) -> impl Iterator<Item = (u64, &[u8], &T)> {
        self.by_cookie
            .range((Bound::Included(cookie), Bound::Unbounded))
            .map(|(&cookie, (name, value))| (cookie, &**name, value))
    }

    /// Takes all entries.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.by_name.clear();
        let _ = self.charge.resize(0);
        std::mem::take(&mut self.by_cookie).into_values().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_goes_on_after_removals() {
        let memory = PhysicalMemory::new(Some(4 * bytes(b"a"))).unwrap();
        let mut entries = Entries::starting_at(&memory, 2);
        for (i, name) in [b"a", b"b", b"c", b"d"].iter().enumerate() {
            assert_eq!(entries.insert(*name, i), Ok(None));
        }
        assert_eq!(entries.insert(b"e", 4), Err(Errno::ENOSPC));
        let (cookie, name, _) = entries.from_cookie(0).nth(1).unwrap();
        assert_eq!(name, b"b");
        entries.remove(b"b");
        entries.remove(b"a");
        entries.insert(b"a", 9).unwrap();
        let rest: Vec<&[u8]> = entries.from_cookie(cookie + 1).map(|(_, name, _)| name).collect();
        assert_eq!(rest, [b"c", b"d", b"a"]);
        assert_eq!(entries.insert(b"c", 7), Ok(Some(2)));
        assert_eq!(entries.get(b"c"), Some(&7));
        assert_eq!(entries.len(), 3);
        assert_eq!(memory.charged(), 3 * bytes(b"a"));
        drop(entries.drain());
        assert_eq!(memory.charged(), 0);
    }
}
