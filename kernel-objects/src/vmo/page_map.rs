//! Which frames are at which offset of a VMO: a map that can be copied at once.
//!
//! The one idea: the map is a balanced tree that nobody changes while somebody else has it too. A snapshot takes a reference to
//! the root, whatever the size of the tree; whoever changes the map afterwards replaces the nodes on the way from the root to the
//! change, and only those that are shared. A page is its owner's alone if every node on the way is, and its frame is in one
//! [`Piece`]. So there is no chain of ancestors to walk, in whatever order VMOs are made and die: all maps are equally deep, and
//! what none of them shows any more is gone.
//!
//! Trees are cut and joined as G. Blelloch, D. Ferizovic and Y. Sun describe it (*Just Join for Parallel Ordered Sets*, 2016),
//! balanced by height.

use std::{ops::Range, sync::Arc};

use super::frames::Piece;

type Tree = Option<Arc<Node>>;

/// A piece, and everything before and after it.
#[derive(Clone, Debug)]
struct Node {
    at: u64,
    piece: Piece,
    height: u32,
    left: Tree,
    right: Tree,
}

impl Node {
    fn end(&self) -> u64 {
        self.at + self.piece.len()
    }
}

fn height(tree: &Tree) -> u32 {
    tree.as_ref().map_or(0, |node| node.height)
}

fn first(tree: &Tree) -> Option<&Node> {
    std::iter::successors(tree.as_deref(), |node| node.left.as_deref()).last()
}

fn last(tree: &Tree) -> Option<&Node> {
    std::iter::successors(tree.as_deref(), |node| node.right.as_deref()).last()
}

fn build(left: Tree, at: u64, piece: Piece, right: Tree) -> Tree {
    let height = height(&left).max(height(&right)) + 1;
    Some(Arc::new(Node { at, piece, height, left, right }))
}

/// One level deeper on one side than the other allows: turns it.
fn balance(left: Tree, at: u64, piece: Piece, right: Tree) -> Tree {
    let (low, high) = (height(&left), height(&right));
    match (left, right) {
        (Some(left), right) if low > high + 1 => {
            let left = Arc::unwrap_or_clone(left);
            match left.right {
                Some(inner) if inner.height > height(&left.left) => {
                    let inner = Arc::unwrap_or_clone(inner);
                    let below = build(left.left, left.at, left.piece, inner.left);
                    let above = build(inner.right, at, piece, right);
                    build(below, inner.at, inner.piece, above)
                }
                inner => {
                    let above = build(inner, at, piece, right);
                    build(left.left, left.at, left.piece, above)
                }
            }
        }
        (left, Some(right)) if high > low + 1 => {
            let right = Arc::unwrap_or_clone(right);
            match right.left {
                Some(inner) if inner.height > height(&right.right) => {
                    let inner = Arc::unwrap_or_clone(inner);
                    let below = build(left, at, piece, inner.left);
                    let above = build(inner.right, right.at, right.piece, right.right);
                    build(below, inner.at, inner.piece, above)
                }
                inner => {
                    let below = build(left, at, piece, inner);
                    build(below, right.at, right.piece, right.right)
                }
            }
        }
        (left, right) => build(left, at, piece, right),
    }
}

/// Everything of `left`, a piece, and everything of `right`, which lie in this order.
fn join(left: Tree, at: u64, piece: Piece, right: Tree) -> Tree {
    let (low, high) = (height(&left), height(&right));
    match (left, right) {
        (Some(left), right) if low > high + 1 => {
            let left = Arc::unwrap_or_clone(left);
            let joined = join(left.right, at, piece, right);
            balance(left.left, left.at, left.piece, joined)
        }
        (left, Some(right)) if high > low + 1 => {
            let right = Arc::unwrap_or_clone(right);
            let joined = join(left, at, piece, right.left);
            balance(joined, right.at, right.piece, right.right)
        }
        (left, right) => build(left, at, piece, right),
    }
}

/// The first piece, and the rest.
fn pop_first(node: Arc<Node>) -> (u64, Piece, Tree) {
    let node = Arc::unwrap_or_clone(node);
    match node.left {
        None => (node.at, node.piece, node.right),
        Some(left) => {
            let (at, piece, rest) = pop_first(left);
            (at, piece, balance(rest, node.at, node.piece, node.right))
        }
    }
}

/// Everything of `left` and then of `right`.
fn concat(left: Tree, right: Tree) -> Tree {
    match right {
        None => left,
        Some(right) => {
            let (at, piece, rest) = pop_first(right);
            join(left, at, piece, rest)
        }
    }
}

/// What lies before `at` and what after it; a piece across it is cut.
fn split(tree: Tree, at: u64) -> (Tree, Tree) {
    let Some(node) = tree else { return (None, None) };
    let node = Arc::unwrap_or_clone(node);
    if at <= node.at {
        let (below, rest) = split(node.left, at);
        (below, join(rest, node.at, node.piece, node.right))
    } else if at >= node.end() {
        let (rest, above) = split(node.right, at);
        (join(node.left, node.at, node.piece, rest), above)
    } else {
        let (low, high) = node.piece.split(at - node.at);
        (join(node.left, node.at, low, None), join(None, at, high, node.right))
    }
}

/// Pieces by offset; disjoint.
#[derive(Debug, Default)]
pub(super) struct PageMap {
    root: Tree,
    /// What is at an offset has this much more for a key: a snapshot of a part leaves the keys as they are.
    shift: u64,
}

/// Keys beyond this are made smaller when a part is taken.
const MAX_SHIFT: u64 = 1 << 62;

impl PageMap {
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Bytes that it takes itself; what it shares with other maps counts in each.
    pub(super) fn bytes(&self) -> u64 {
        let mut nodes = 0;
        self.visit::<()>(&(0..u64::MAX - self.shift), |_, _, _, _| {
            nodes += 1;
            None
        });
        nodes * size_of::<Node>() as u64
    }

    fn keys(&self, range: &Range<u64>) -> Range<u64> {
        range.start.saturating_add(self.shift)..range.end.saturating_add(self.shift)
    }

    /// Calls `each(offset, piece, part, alone)` for the pieces that overlap `range`, in order, until it says to stop: `part` is
    /// what of the piece lies inside, and `alone` says that no other map has the nodes that lead there.
    pub(super) fn visit<B>(
        &self,
        range: &Range<u64>,
        mut each: impl FnMut(u64, &Piece, Range<u64>, bool) -> Option<B>,
    ) -> Option<B> {
        fn walk<B>(
            tree: &Tree,
            keys: &Range<u64>,
            alone: bool,
            each: &mut impl FnMut(&Node, Range<u64>, bool) -> Option<B>,
        ) -> Option<B> {
            let Some(node) = tree else { return None };
            let alone = alone && Arc::strong_count(node) == 1;
            if keys.start < node.at
                && let Some(stop) = walk(&node.left, keys, alone, each)
            {
                return Some(stop);
            }
            let part = keys.start.max(node.at)..keys.end.min(node.end());
            if part.start < part.end
                && let Some(stop) = each(node, part.start - node.at..part.end - node.at, alone)
            {
                return Some(stop);
            }
            match keys.end > node.end() {
                true => walk(&node.right, keys, alone, each),
                false => None,
            }
        }
        let keys = self.keys(range);
        walk(&self.root, &keys, true, &mut |node, part, alone| {
            each(node.at + part.start - self.shift, &node.piece, part, alone)
        })
    }

    /// The parts of `range` where nothing is.
    pub(super) fn gaps(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = range.start;
        self.visit::<()>(range, |offset, _, part, _| {
            if offset > at {
                gaps.push(at..offset);
            }
            at = offset + (part.end - part.start);
            None
        });
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// All around `offset` where nothing is; `None` if something is there.
    pub(super) fn gap_around(&self, offset: u64) -> Option<Range<u64>> {
        let key = offset.saturating_add(self.shift);
        let mut gap = self.shift..u64::MAX;
        let mut tree = &self.root;
        while let Some(node) = tree {
            if key < node.at {
                gap.end = node.at;
                tree = &node.left;
            } else if key >= node.end() {
                gap.start = node.end();
                tree = &node.right;
            } else {
                return None;
            }
        }
        Some(gap.start - self.shift..gap.end - self.shift)
    }

    /// Enters a piece where nothing is; it becomes one with pieces that it continues or that continue it.
    pub(super) fn insert(&mut self, offset: u64, mut piece: Piece) {
        let mut key = offset.saturating_add(self.shift);
        let (mut below, mut above) = split(self.root.take(), key);
        if let Some(last) = last(&below)
            && last.end() == key
            && last.piece.continues_in(&piece)
        {
            key = last.at;
            let (rest, joined) = split(below, key);
            below = rest;
            if let Some(node) = joined {
                piece = Arc::unwrap_or_clone(node).piece.append(piece);
            }
        }
        if let Some(first) = first(&above)
            && first.at == key + piece.len()
            && piece.continues_in(&first.piece)
        {
            let end = first.end();
            let (joined, rest) = split(above, end);
            above = rest;
            if let Some(node) = joined {
                piece = piece.append(Arc::unwrap_or_clone(node).piece);
            }
        }
        self.root = join(below, key, piece, above);
    }

    /// Takes out what is in `range`, cut at its ends: (offset, piece), in order.
    pub(super) fn remove(&mut self, range: &Range<u64>) -> Vec<(u64, Piece)> {
        if self.visit(range, |_, _, _, _| Some(())).is_none() {
            return Vec::new();
        }
        let keys = self.keys(range);
        let (below, rest) = split(self.root.take(), keys.start);
        let (inside, above) = split(rest, keys.end);
        self.root = concat(below, above);
        let mut pieces = Vec::new();
        let mut stack = Vec::new();
        let mut next = inside;
        loop {
            match next {
                Some(node) => {
                    let mut node = Arc::unwrap_or_clone(node);
                    next = node.left.take();
                    stack.push(node);
                }
                None => {
                    let Some(node) = stack.pop() else { return pieces };
                    pieces.push((node.at - self.shift, node.piece));
                    next = node.right;
                }
            }
        }
    }

    /// What of the map lies in `range`, as a map whose offset 0 is where that begins: shared until one of them changes.
    pub(super) fn share(&self, range: &Range<u64>) -> Self {
        let keys = self.keys(range);
        let mut root = self.root.clone();
        let inside = |at: u64, end: u64| keys.start <= at && end <= keys.end;
        if let (Some(first), Some(last)) = (first(&self.root), last(&self.root))
            && !inside(first.at, last.end())
        {
            (_, root) = split(root, keys.start);
            (root, _) = split(root, keys.end);
        }
        let mut shared = Self { shift: if root.is_some() { keys.start } else { 0 }, root };
        if shared.shift > MAX_SHIFT {
            let mut lower = Self::default();
            for (offset, piece) in shared.remove(&(0..range.end - range.start)) {
                lower.insert(offset, piece);
            }
            shared = lower;
        }
        shared
    }

    /// The pieces that no other map has; the others are left to those.
    pub(super) fn into_own(self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut stack: Vec<Arc<Node>> = self.root.into_iter().collect();
        while let Some(node) = stack.pop() {
            if let Ok(node) = Arc::try_unwrap(node) {
                pieces.push(node.piece);
                stack.extend(node.left);
                stack.extend(node.right);
            }
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hal::pmem::PhysicalMemory;
    use proptest::prelude::*;

    use super::{
        super::{PAGE, frames::Frames},
        *,
    };

    fn check(tree: &Tree) -> u32 {
        let Some(node) = tree else { return 0 };
        let (left, right) = (check(&node.left), check(&node.right));
        assert!(left.abs_diff(right) <= 1, "unbalanced");
        assert_eq!(node.height, left.max(right) + 1);
        node.height
    }

    fn piece(memory: &Arc<PhysicalMemory>, pages: u64) -> Piece {
        Frames::whole(memory.allocate((pages * PAGE) as usize).unwrap())
    }

    /// Where each page is.
    fn pages(map: &PageMap, range: &Range<u64>) -> BTreeMap<u64, u64> {
        let mut pages = BTreeMap::new();
        map.visit::<()>(range, |offset, piece, part, _| {
            for at in (part.start..part.end).step_by(PAGE as usize) {
                pages.insert(offset + (at - part.start), piece.pa().offset(at).0);
            }
            None
        });
        pages
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(usize, u64, u64),
        Remove(usize, u64, u64),
        Share(usize, u64, u64),
        Drop(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let (map, at, len) = (0usize..6, 0u64..60, 1u64..20);
        prop_oneof![
            4 => (map.clone(), at.clone(), len.clone()).prop_map(|(m, a, l)| Op::Insert(m, a, l)),
            2 => (map.clone(), at.clone(), len.clone()).prop_map(|(m, a, l)| Op::Remove(m, a, l)),
            1 => (map.clone(), at, 1u64..80).prop_map(|(m, a, l)| Op::Share(m, a, l)),
            1 => map.prop_map(Op::Drop),
        ]
    }

    proptest! {
        #[test]
        fn maps_agree_with_lists_of_pages(ops in prop::collection::vec(op(), 1..120)) {
            let memory = PhysicalMemory::new(None).unwrap();
            let all = 0..100 * PAGE;
            let mut maps = vec![(PageMap::default(), BTreeMap::<u64, u64>::new())];
            for op in ops {
                let count = maps.len();
                match op {
                    Op::Insert(index, at, len) => {
                        let (map, model) = &mut maps[index % count];
                        for gap in map.gaps(&(at * PAGE..(at + len) * PAGE)) {
                            let piece = piece(&memory, (gap.end - gap.start) / PAGE);
                            for page in gap.clone().step_by(PAGE as usize) {
                                prop_assert!(!model.contains_key(&page));
                                model.insert(page, piece.pa().offset(page - gap.start).0);
                            }
                            map.insert(gap.start, piece);
                        }
                    }
                    Op::Remove(index, at, len) => {
                        let (map, model) = &mut maps[index % count];
                        let range = at * PAGE..(at + len) * PAGE;
                        let removed = map.remove(&range);
                        let bytes: u64 = removed.iter().map(|(_, piece)| piece.len()).sum();
                        prop_assert_eq!(bytes / PAGE, model.range(range.clone()).count() as u64);
                        model.retain(|page, _| !range.contains(page));
                    }
                    Op::Share(index, at, len) if count < 6 => {
                        let (map, model) = &maps[index % count];
                        let range = at * PAGE..(at + len) * PAGE;
                        let shared = map.share(&range);
                        let model = model.range(range.clone());
                        let model = model.map(|(page, pa)| (page - range.start, *pa)).collect();
                        maps.push((shared, model));
                    }
                    Op::Drop(index) if count > 1 => drop(maps.swap_remove(index % count)),
                    _ => {}
                }
                let mut owners = BTreeMap::<u64, usize>::new();
                for pa in maps.iter().flat_map(|(_, model)| model.values()) {
                    *owners.entry(*pa).or_default() += 1;
                }
                for (map, model) in &maps {
                    check(&map.root);
                    prop_assert_eq!(&pages(map, &all), model);
                    for page in all.clone().step_by(PAGE as usize) {
                        prop_assert_eq!(map.gap_around(page).is_none(), model.contains_key(&page));
                    }
                    // Nobody thinks that a page of two maps is one's alone, and who alone has a page finds out.
                    map.visit::<()>(&all, |_, piece, part, alone| {
                        piece.sharing::<()>(part, |part, single| {
                            for at in part.step_by(PAGE as usize) {
                                let owners = owners[&piece.pa().offset(at).0];
                                assert_eq!(alone && single, owners == 1);
                            }
                            None
                        });
                        None
                    });
                }
            }
            maps.clear();
            prop_assert_eq!(memory.allocated(), 0);
        }
    }

    #[test]
    fn parts_of_parts_never_run_out_of_keys() {
        let memory = PhysicalMemory::new(None).unwrap();
        let mut map = PageMap::default();
        for _ in 0..40 {
            map.insert(1 << 60, piece(&memory, 1));
            map = map.share(&(1 << 60..(1 << 60) + PAGE));
            map = map.share(&(0..1 << 61));
            assert_eq!(pages(&map, &(0..PAGE)).len(), 1);
        }
    }

    #[test]
    fn a_whole_map_is_shared_without_a_copy() {
        let memory = PhysicalMemory::new(None).unwrap();
        let mut map = PageMap::default();
        for page in 0..1000 {
            map.insert(2 * page * PAGE, piece(&memory, 1));
        }
        let copy = map.share(&(0..2000 * PAGE));
        assert!(Arc::ptr_eq(map.root.as_ref().unwrap(), copy.root.as_ref().unwrap()));
        assert!(copy.root.as_ref().unwrap().height <= 14);
        assert!(map.into_own().is_empty());
        assert_eq!(copy.into_own().len(), 1000);
    }
}
