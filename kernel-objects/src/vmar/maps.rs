//! A tree of regions as a list, in the order in which one would draw it: each node is followed by what is in it.

use std::ops::Range;

use super::{
    Mapping, Vmar,
    tree::{ROOT, State},
};
use crate::error::Result;

/// A region or a mapping of an address space.
#[derive(Clone, Debug)]
pub struct MapNode {
    /// Addresses.
    pub range: Range<u64>,
    /// How many regions it is in: 0 for the root.
    pub depth: usize,
    /// What is mapped; `None` for a region.
    pub mapping: Option<Mapping>,
}

impl Vmar {
    /// All regions and mappings of the address space that this is a region of.
    #[must_use]
    pub fn map_nodes(&self) -> Vec<MapNode> {
        nodes(&self.tree.state.lock(), ROOT)
    }

    /// This region and all regions and mappings in it.
    ///
    /// # Errors
    /// [`Error::BadState`](crate::Error::BadState) if it is destroyed.
    pub fn own_nodes(&self) -> Result<Vec<MapNode>> {
        let state = self.tree.state.lock();
        state.check_alive(self.region)?;
        Ok(nodes(&state, self.region))
    }
}

/// What is in region `top`, and that itself.
fn nodes(state: &State, top: u64) -> Vec<MapNode> {
    let mut depths = std::collections::BTreeMap::new();
    let mut nodes = Vec::new();
    // A region has a higher number than the one that it is in.
    for (number, parent, range) in state.regions() {
        let above = parent.and_then(|parent| depths.get(&parent)).map(|depth| depth + 1);
        let Some(depth) = above.or((number == top).then_some(0)) else { continue };
        depths.insert(number, depth);
        nodes.push(MapNode { range, depth, mapping: None });
    }
    for (start, entry) in state.all() {
        let Some(depth) = depths.get(&entry.region).map(|depth| depth + 1) else { continue };
        let mapping = entry.describe(start);
        nodes.push(MapNode { range: mapping.range.clone(), depth, mapping: Some(mapping) });
    }
    // What begins where the region begins that it is in is deeper.
    nodes.sort_by_key(|node| (node.range.start, node.depth));
    nodes
}
