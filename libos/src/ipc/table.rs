//! The objects of one kind, by number and by key.
//!
//! The one idea: a number is a place in the table and how often the places were gone through before, so that the number of what was
//! removed soon means nothing (Linux's `ipc_addid`).

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    Caller, IPC_PRIVATE, Permission,
    flags::{IPC_CREAT, IPC_EXCL},
};
use crate::errno::{Errno, SysResult};

/// What a table holds.
pub trait Object: Send + Sync {
    /// How many of the kind there may be.
    const MAX: usize;

    /// Its number.
    fn id(&self) -> i32;

    /// Calls `operation` with its permission.
    fn with_permission<T>(&self, operation: impl FnOnce(&mut Permission) -> T) -> T;

    /// Whether it has only waited for its last user to go, who is gone.
    fn is_dead(&self) -> bool {
        false
    }
}

/// Places in a table: the low bits of a number.
const PLACE_BITS: u32 = 15;
/// As many places are used, one after the other, before the first one is again.
const FIRST_ROUND: usize = 64;

struct Places<T> {
    objects: BTreeMap<u32, Arc<T>>,
    next: u32,
    sequence: u16,
}

/// The objects of one kind.
pub struct Table<T>(Mutex<Places<T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Mutex::new(Places { objects: BTreeMap::new(), next: 0, sequence: 0 }))
    }
}

fn place_of(id: i32) -> Option<u32> {
    u32::try_from(id).ok().map(|id| id & ((1 << PLACE_BITS) - 1))
}

impl<T: Object> Places<T> {
    /// The next free place, round and round in a space that is half as large again as what is in use.
    fn free_place(&self) -> Option<u32> {
        if self.objects.len() >= T::MAX {
            return None;
        }
        let space = (self.objects.len().saturating_mul(3) / 2).max(FIRST_ROUND).min(T::MAX) as u32;
        let free = |place: &u32| !self.objects.contains_key(place);
        (self.next..space).find(free).or_else(|| (0..T::MAX as u32).find(free))
    }

    fn forget_dead(&mut self) {
        self.objects.retain(|_, object| !object.is_dead());
    }
}

impl<T: Object> Table<T> {
    /// The number of the object with `key`; one that `create` makes if there is none and `flags` say so (shmget(2) and its kin).
    ///
    /// `check` may refuse the one that was found. `ENOENT`, `EEXIST`, `EACCES`; `ENOSPC` when there are too many.
    pub fn obtain(
        &self,
        key: i32,
        flags: u32,
        caller: &Caller,
        check: impl FnOnce(&T) -> SysResult<()>,
        create: impl FnOnce(i32, Permission) -> SysResult<T>,
    ) -> SysResult<i32> {
        let mut places = self.0.lock();
        places.forget_dead();
        if key != IPC_PRIVATE {
            let has_key =
                |object: &&Arc<T>| object.with_permission(|permission| permission.key) == key;
            match places.objects.values().find(has_key) {
                Some(_) if flags & IPC_CREAT != 0 && flags & IPC_EXCL != 0 => {
                    return Err(Errno::EEXIST);
                }
                Some(object) => {
                    check(object)?;
                    object.with_permission(|permission| permission.check(caller, flags))?;
                    return Ok(object.id());
                }
                None if flags & IPC_CREAT == 0 => return Err(Errno::ENOENT),
                None => {}
            }
        }
        let place = places.free_place().ok_or(Errno::ENOSPC)?;
        let wrapped = place < places.next;
        let sequence =
            (places.sequence + u16::from(wrapped)) & (i32::MAX as u32 >> PLACE_BITS) as u16;
        let id = i32::from(sequence) << PLACE_BITS | place as i32;
        let object = create(id, Permission::new(key, flags, sequence, caller))?;
        (places.next, places.sequence) = (place + 1, sequence);
        places.objects.insert(place, Arc::new(object));
        Ok(id)
    }

    /// The object with number `id`; `EINVAL`.
    pub fn get(&self, id: i32) -> SysResult<Arc<T>> {
        let mut places = self.0.lock();
        places.forget_dead();
        let object = place_of(id).and_then(|place| places.objects.get(&place));
        object.filter(|object| object.id() == id).cloned().ok_or(Errno::EINVAL)
    }

    /// The object at a place of the table (the `*_STAT` commands); `EINVAL`.
    pub fn at(&self, place: i32) -> SysResult<Arc<T>> {
        let mut places = self.0.lock();
        places.forget_dead();
        place_of(place).and_then(|place| places.objects.get(&place)).cloned().ok_or(Errno::EINVAL)
    }

    /// Takes the object out of the table.
    pub fn remove(&self, id: i32) {
        let mut places = self.0.lock();
        if let Some(place) = place_of(id)
            && places.objects.get(&place).is_some_and(|object| object.id() == id)
        {
            places.objects.remove(&place);
        }
    }

    /// All objects by place.
    pub fn all(&self) -> Vec<Arc<T>> {
        let mut places = self.0.lock();
        places.forget_dead();
        places.objects.values().cloned().collect()
    }

    /// The highest place in use; 0 if none is.
    pub fn highest(&self) -> i32 {
        let mut places = self.0.lock();
        places.forget_dead();
        places.objects.last_key_value().map_or(0, |(&place, _)| place as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::testing::{root, user};

    struct Thing(i32, Mutex<Permission>);

    impl Object for Thing {
        const MAX: usize = 70;

        fn id(&self) -> i32 {
            self.0
        }

        fn with_permission<T>(&self, operation: impl FnOnce(&mut Permission) -> T) -> T {
            operation(&mut self.1.lock())
        }
    }

    fn obtain(table: &Table<Thing>, key: i32, flags: u32) -> SysResult<i32> {
        let make = |id, permission| Ok(Thing(id, Mutex::new(permission)));
        table.obtain(key, flags, &root(1), |_| Ok(()), make)
    }

    #[test]
    fn a_key_finds_what_was_made_with_it() {
        let table = Table::default();
        assert_eq!(obtain(&table, 5, 0), Err(Errno::ENOENT));
        let id = obtain(&table, 5, IPC_CREAT | 0o600).unwrap();
        assert_eq!((obtain(&table, 5, 0), obtain(&table, 5, IPC_CREAT)), (Ok(id), Ok(id)));
        assert_eq!(obtain(&table, 5, IPC_CREAT | IPC_EXCL), Err(Errno::EEXIST));
        let make = |id, permission| Ok(Thing(id, Mutex::new(permission)));
        let stranger = table.obtain(5, 0o400, &user(3), |_| Ok(()), make);
        assert_eq!(stranger, Err(Errno::EACCES));
        let small = table.obtain(5, 0, &root(1), |_| Err(Errno::EINVAL), make);
        assert_eq!(small, Err(Errno::EINVAL));
        assert_ne!(obtain(&table, IPC_PRIVATE, 0), obtain(&table, IPC_PRIVATE, 0));
    }

    #[test]
    fn the_number_of_what_was_removed_means_nothing_and_places_are_used_again() {
        let table = Table::default();
        let first = obtain(&table, IPC_PRIVATE, 0).unwrap();
        table.remove(first);
        assert_eq!(table.get(first).err(), Some(Errno::EINVAL));
        let mut last = first;
        for _ in 0..1000 {
            last = obtain(&table, IPC_PRIVATE, 0).unwrap();
            assert!(table.get(last).is_ok());
            table.remove(last);
        }
        assert!(last > 1 << PLACE_BITS && last & 0x7fff < 64, "{last}");
        for _ in 0..Thing::MAX {
            obtain(&table, IPC_PRIVATE, 0).unwrap();
        }
        assert_eq!(obtain(&table, IPC_PRIVATE, 0), Err(Errno::ENOSPC));
        assert_eq!((table.highest(), table.all().len()), (69, 70));
        for bad in [-1, i32::MIN, i32::MAX] {
            assert_eq!(table.get(bad).err(), Some(Errno::EINVAL));
        }
    }
}
