//! Parents and children: who was made from whom, and the signal that nobody is left.
//!
//! The one idea: a family of VMOs is a tree of its own beside them, under one lock, and has nothing to do with where pages are.
//! When a VMO dies its children become its parent's, as Zircon's do, so that [`Signals::VMO_ZERO_CHILDREN`] comes when the last
//! descendant has gone, whoever went first.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock, Weak},
};

use parking_lot::Mutex;
use slab::Slab;

use super::Vmo;
use crate::{object::KernelObject, signals::Signals};

#[derive(Debug)]
struct Node {
    vmo: Weak<Vmo>,
    parent: Option<usize>,
    children: BTreeSet<usize>,
    /// It has pages of its own, which began as its parent's.
    clone: bool,
}

/// A VMO's place in its family; none before it has a parent or a child.
#[derive(Debug, Default)]
pub(super) struct Member(OnceLock<(Arc<Mutex<Slab<Node>>>, usize)>);

impl Vmo {
    /// Notes that `child` was made from this VMO.
    pub(super) fn adopt(self: &Arc<Self>, child: &Arc<Self>, clone: bool) {
        let (tree, me) = self.family.0.get_or_init(|| {
            let vmo = Arc::downgrade(self);
            let node = Node { vmo, parent: None, children: BTreeSet::new(), clone: false };
            let mut tree = Slab::new();
            let me = tree.insert(node);
            (Arc::new(Mutex::new(tree)), me)
        });
        let mut nodes = tree.lock();
        let vmo = Arc::downgrade(child);
        let key = nodes.insert(Node { vmo, parent: Some(*me), children: BTreeSet::new(), clone });
        if let Some(node) = nodes.get_mut(*me) {
            node.children.insert(key);
        }
        // Under the lock, so that the last child's death is told before or after.
        self.base().signal_state().clear(Signals::VMO_ZERO_CHILDREN);
        let _ = child.family.0.set((tree.clone(), key));
    }

    /// Hands its children to its parent.
    pub(super) fn leave_family(&mut self) {
        let Some((tree, me)) = self.family.0.take() else { return };
        let mut nodes = tree.lock();
        let Some(node) = nodes.try_remove(me) else { return };
        for &child in &node.children {
            if let Some(child) = nodes.get_mut(child) {
                child.parent = node.parent;
            }
        }
        let Some(parent) = node.parent.and_then(|parent| nodes.get_mut(parent)) else { return };
        parent.children.remove(&me);
        // As long as either is: the smaller list goes into the larger one.
        let mut children = node.children;
        if children.len() > parent.children.len() {
            std::mem::swap(&mut children, &mut parent.children);
        }
        parent.children.extend(children);
        // It may be about to die as well. If this is its last reference, it dies when the lock is free.
        let parent_vmo = parent.vmo.upgrade();
        if let (true, Some(vmo)) = (parent.children.is_empty(), &parent_vmo) {
            vmo.base().signal_state().set(Signals::VMO_ZERO_CHILDREN);
        }
        drop(nodes);
    }

    /// Children that are alive, and those of children that are not.
    #[must_use]
    pub fn children(&self) -> usize {
        let Some((tree, me)) = self.family.0.get() else { return 0 };
        tree.lock().get(*me).map_or(0, |node| node.children.len())
    }

    /// Whether a child has pages of its own that began as this VMO's, or as those of a slice of it.
    pub(super) fn has_clones(&self) -> bool {
        let Some((tree, me)) = self.family.0.get() else { return false };
        let nodes = tree.lock();
        let mut todo = vec![*me];
        while let Some(node) = todo.pop().and_then(|key| nodes.get(key)) {
            for &child in &node.children {
                if nodes.get(child).is_some_and(|child| child.clone) {
                    return true;
                }
                todo.push(child);
            }
        }
        false
    }

    /// Every VMO of its family that is alive, itself included: all that may share pages with it.
    pub(super) fn relatives(&self) -> Vec<Arc<Vmo>> {
        let Some((tree, _)) = self.family.0.get() else { return Vec::new() };
        tree.lock().iter().filter_map(|(_, node)| node.vmo.upgrade()).collect()
    }
}
