//! What there is in a process: its handles by type, its address space, its VMOs.

use std::{ops::Range, sync::Arc};

use super::process::Process;
use crate::{
    error::{Error, Result},
    object::{KernelObject, ObjectType, downcast},
    rights::Rights,
    vmar::{MapNode, Mapping, Vmar},
    vmo::{CommittedMemory, Vmo},
};

/// Numbers of types are below: `ZX_OBJ_TYPE_UPPER_BOUND`.
pub const OBJ_TYPE_UPPER_BOUND: usize = 64;

/// How many handles of each type a process has: `zx_info_process_handle_stats_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandleStats {
    /// By the type's number.
    pub counts: [u32; OBJ_TYPE_UPPER_BOUND],
}

impl HandleStats {
    /// How many handles to objects of this type there are.
    pub fn count(&self, object: ObjectType) -> u32 {
        self.counts.get(object as usize).copied().unwrap_or(0)
    }
}

/// What a node of an address space is.
#[derive(Debug, Clone)]
pub enum MapKind {
    /// The address space itself.
    AddressSpace,
    /// A region.
    Region,
    /// A mapping, and what of its VMO is in memory there.
    Mapping(Mapping, CommittedMemory),
}

/// A node of an address space.
#[derive(Debug, Clone)]
pub struct MapEntry {
    /// The name of the VMO that is mapped.
    pub name: Vec<u8>,
    /// Addresses.
    pub range: Range<u64>,
    /// How many nodes it is in: 0 for the address space, 1 for the root region.
    pub depth: usize,
    /// What it is.
    pub kind: MapKind,
}

/// A VMO that a process uses.
#[derive(Debug, Clone)]
pub struct VmoUse {
    /// The VMO.
    pub vmo: Arc<Vmo>,
    /// The rights of the handle through which the process has it (`ZX_INFO_VMO_VIA_HANDLE`); `None` if it is mapped
    /// (`ZX_INFO_VMO_VIA_MAPPING`).
    pub via_handle: Option<Rights>,
}

/// What memory a task uses: `zx_info_task_stats_t`. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskStats {
    /// Mapped, in memory or not.
    pub mapped: u64,
    /// In memory, of this address space alone and no VMO's that was copied.
    pub private: u64,
    /// In memory, but not private.
    pub shared: u64,
    /// Of that, each page divided by how many VMOs have it and how many address spaces map those; in units of 2^-63.
    pub scaled_shared: u128,
}

/// What of `mapping` is in memory.
fn committed(mapping: &Mapping) -> CommittedMemory {
    let len = mapping.range.end.saturating_sub(mapping.range.start);
    mapping.vmo.memory_in(mapping.vmo_offset..mapping.vmo_offset.saturating_add(len))
}

fn entry(node: MapNode) -> MapEntry {
    let (name, kind) = match node.mapping {
        Some(mapping) => {
            let committed = committed(&mapping);
            (mapping.vmo.name_bytes(), MapKind::Mapping(mapping, committed))
        }
        None => (Vec::new(), MapKind::Region),
    };
    MapEntry { name, range: node.range, depth: node.depth, kind }
}

impl Vmar {
    /// The region itself, what it maps and the regions in it, each followed by what is in it (`ZX_INFO_VMAR_MAPS`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it is destroyed.
    pub fn maps(&self) -> Result<Vec<MapEntry>> {
        Ok(self.own_nodes()?.into_iter().map(entry).collect())
    }
}

impl Process {
    /// How many handles of each type it has (`ZX_INFO_PROCESS_HANDLE_STATS`).
    pub fn handle_stats(&self) -> HandleStats {
        let mut counts = [0; OBJ_TYPE_UPPER_BOUND];
        for (_, info) in self.handles().list() {
            if let Some(count) = counts.get_mut(info.object_type as usize) {
                *count += 1;
            }
        }
        HandleStats { counts }
    }

    /// Its address space, its regions and its mappings, each followed by what is in it (`ZX_INFO_PROCESS_MAPS`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it has no address space, as when it has ended.
    pub fn maps(&self) -> Result<Vec<MapEntry>> {
        let root = self.root_vmar().ok_or(Error::BadState)?;
        let space = MapEntry {
            name: Vec::new(),
            range: root.range(),
            depth: 0,
            kind: MapKind::AddressSpace,
        };
        let nodes = root.map_nodes().into_iter().map(|node| {
            let depth = node.depth + 1;
            MapEntry { depth, ..entry(node) }
        });
        Ok(std::iter::once(space).chain(nodes).collect())
    }

    /// How much memory it uses (`ZX_INFO_TASK_STATS`). What it maps twice counts twice.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it has no address space, as when it has ended.
    pub fn task_stats(&self) -> Result<TaskStats> {
        let root = self.root_vmar().ok_or(Error::BadState)?;
        let mut stats = TaskStats::default();
        for mapping in root.mappings() {
            stats.mapped += mapping.range.end - mapping.range.start;
            let used = committed(&mapping);
            let spaces = mapping.vmo.share_count().max(1) as u128;
            let private = if spaces == 1 { used.private } else { 0 };
            stats.private += private;
            stats.shared += used.committed - private;
            stats.scaled_shared += (used.scaled - (u128::from(private) << 63)) / spaces;
        }
        Ok(stats)
    }

    /// The VMOs that it has handles to, and those that it maps (`ZX_INFO_PROCESS_VMOS`). One may come several times.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it has no address space, as when it has ended.
    pub fn vmos(&self) -> Result<Vec<VmoUse>> {
        let root = self.root_vmar().ok_or(Error::BadState)?;
        let mut vmos = Vec::new();
        for (value, info) in self.handles().list() {
            if info.object_type == ObjectType::Vmo
                && let Ok((object, rights)) =
                    self.handles().get_any_with_rights(value, Rights::empty())
                && let Ok(vmo) = downcast::<Vmo>(object)
            {
                vmos.push(VmoUse { vmo, via_handle: Some(rights) });
            }
        }
        let mapped = root.map_nodes().into_iter().filter_map(|node| node.mapping);
        vmos.extend(mapped.map(|mapping| VmoUse { vmo: mapping.vmo, via_handle: None }));
        Ok(vmos)
    }
}

#[cfg(test)]
mod tests {
    use hal::{
        aspace::AddressSpace,
        pmem::{PAGE_SIZE, PhysicalMemory},
    };

    use super::*;
    use crate::{
        event::Event,
        handle::Handle,
        task::Job,
        vmar::{MapArgs, Placement},
        vmo::{ChildOptions, VmoOptions},
    };

    const PAGE: u64 = PAGE_SIZE as u64;

    struct Maps {
        process: Arc<Process>,
        /// It is mapped in `child`.
        vmo: Arc<Vmo>,
        root: Arc<Vmar>,
        child: Arc<Vmar>,
    }

    fn mapped() -> std::result::Result<Maps, Box<dyn std::error::Error>> {
        let memory = PhysicalMemory::new(None)?;
        let root = Vmar::create_root(&AddressSpace::new(&memory)?)?;
        let child = root.allocate(Placement::TopDown, 8 * PAGE)?;
        let vmo = Vmo::create(&memory, 4 * PAGE, VmoOptions::default())?;
        vmo.set_name("four pages");
        vmo.write(PAGE, &[1])?;
        let start = Placement::Exact(child.range().start);
        child.map(MapArgs { placement: start, ..MapArgs::new(vmo.clone(), 4 * PAGE) })?;
        let process = Process::create(&Job::root(), "")?;
        process.set_root_vmar(root.clone())?;
        Ok(Maps { process, vmo, root, child })
    }

    fn maps() -> Maps {
        mapped().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn handles_are_counted_by_type() {
        let process = maps().process;
        let add = |object: Arc<dyn KernelObject>| process.handles().insert(Handle::new(object));
        let event = add(Event::create());
        assert!(event.is_ok() && add(Event::create()).is_ok());
        assert!(add(Job::root()).is_ok());
        let stats = process.handle_stats();
        let counts = [ObjectType::Event, ObjectType::Job, ObjectType::Vmo];
        assert_eq!(counts.map(|object| stats.count(object)), [2, 1, 0]);
        assert_eq!(stats.counts.iter().sum::<u32>(), 3);
        assert!(event.is_ok_and(|event| process.handles().close(event).is_ok()));
        assert_eq!(process.handle_stats().count(ObjectType::Event), 1);
    }

    #[test]
    fn an_address_space_is_listed_from_the_outside_to_the_inside() {
        let maps = maps();
        let inner = maps.child.allocate(Placement::TopDown, 2 * PAGE);
        let inner = inner.unwrap_or_else(|error| panic!("{error}"));
        let listed = maps.process.maps().unwrap_or_else(|error| panic!("{error}"));
        let shape: Vec<_> = listed.iter().map(|entry| (entry.depth, entry.range.clone())).collect();
        let child = maps.child.range();
        let mapping = child.start..child.start + 4 * PAGE;
        assert_eq!(
            shape,
            [
                (0, maps.root.range()),
                (1, maps.root.range()),
                (2, child),
                (3, mapping),
                (3, inner.range()),
            ]
        );
        let [space, root, region, mapping, _] = &listed[..] else { panic!("five") };
        assert!(matches!(space.kind, MapKind::AddressSpace));
        assert!(matches!((&root.kind, &region.kind), (MapKind::Region, MapKind::Region)));
        assert_eq!(mapping.name, b"four pages");
        let MapKind::Mapping(what, committed) = &mapping.kind else { panic!("a mapping") };
        assert_eq!((what.vmo.koid(), committed.committed), (maps.vmo.koid(), PAGE));
        maps.process.kill();
        assert_eq!(maps.process.maps().err(), Some(Error::BadState));
    }

    #[test]
    fn a_region_lists_itself_and_what_is_in_it() {
        let maps = maps();
        let inner = maps.child.allocate(Placement::TopDown, 2 * PAGE);
        let inner = inner.unwrap_or_else(|error| panic!("{error}"));
        let listed = maps.child.maps().unwrap_or_else(|error| panic!("{error}"));
        let shape: Vec<_> = listed.iter().map(|entry| (entry.depth, entry.range.clone())).collect();
        let child = maps.child.range();
        let mapping = child.start..child.start + 4 * PAGE;
        assert_eq!(shape, [(0, child), (1, mapping), (1, inner.range())]);
        assert!(maps.child.destroy().is_ok());
        assert_eq!(maps.child.maps().err(), Some(Error::BadState));
    }

    #[test]
    fn memory_of_a_task_is_private_until_another_shares_it() {
        let maps = maps();
        let stats = || maps.process.task_stats().unwrap_or_else(|error| panic!("{error}"));
        let alone = TaskStats { mapped: 4 * PAGE, private: PAGE, ..TaskStats::default() };
        assert_eq!(stats(), alone);
        // A copy of the page that is in memory: each has half of it.
        let copy = maps.vmo.create_child(ChildOptions::SNAPSHOT, 0, 4 * PAGE);
        let half = u128::from(PAGE / 2) << 63;
        let shared = TaskStats { private: 0, shared: PAGE, scaled_shared: half, ..alone };
        assert_eq!(stats(), shared);
        drop(copy);
        let aspace = AddressSpace::new(maps.vmo.memory()).unwrap_or_else(|error| panic!("{error}"));
        let other = Vmar::create_root(&aspace).unwrap_or_else(|error| panic!("{error}"));
        assert!(other.map(MapArgs::new(maps.vmo.clone(), 4 * PAGE)).is_ok());
        assert_eq!(stats(), shared);
        maps.process.kill();
        assert_eq!(maps.process.task_stats(), Err(Error::BadState));
    }

    #[test]
    fn vmos_are_those_of_handles_and_of_mappings() {
        let maps = maps();
        let rights = Rights::READ | Rights::MAP;
        let handle = Handle::with_rights(maps.vmo.clone(), rights);
        assert!(maps.process.handles().insert(handle).is_ok());
        let vmos = maps.process.vmos().unwrap_or_else(|error| panic!("{error}"));
        let vmos: Vec<_> = vmos.iter().map(|used| (used.vmo.koid(), used.via_handle)).collect();
        assert_eq!(vmos, [(maps.vmo.koid(), Some(rights)), (maps.vmo.koid(), None)]);
        maps.process.kill();
        assert_eq!(maps.process.vmos().err(), Some(Error::BadState));
    }
}
