//! The model: what VMOs show if every one of them has copies of its own.
//!
//! The model counts *distinct pages*. A page of a VMO has an identity once it holds content of its own: it was written, committed
//! or read from its file. It has none (it is not in memory) when it was never touched, or was zeroed or given back as a whole. A
//! snapshot's pages are those of its parent, identity and all. Who writes to a page whose identity another VMO's page has too, or
//! commits it, gets a new one. The clone of a page cache has a page when it first writes it, and before that none. The frames in
//! use must be as many as there are identities.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Deref, DerefMut, Range},
};

use super::{P, pattern};

/// A page that a store has itself.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) bytes: Vec<u8>,
    pub(super) identity: Option<u64>,
}

impl Page {
    fn zero() -> Self {
        Self { bytes: vec![0; P], identity: None }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Model {
    Anonymous,
    File,
    Over { file: usize, offset: usize, limit: usize },
}

/// What an owner has.
pub(super) struct Store {
    pub(super) model: Model,
    pub(super) resizable: bool,
    /// Missing: zero, or not read from the file, or the file's.
    pub(super) pages: Vec<Option<Page>>,
}

/// All stores, by the number of the owner, which is also a node's.
#[derive(Default)]
pub(super) struct Stores {
    map: BTreeMap<usize, Store>,
    identity: u64,
}

impl Deref for Stores {
    type Target = BTreeMap<usize, Store>;

    fn deref(&self) -> &Self::Target {
        &self.map
    }
}

impl DerefMut for Stores {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.map
    }
}

impl Stores {
    fn fresh(&mut self) -> Option<u64> {
        self.identity += 1;
        Some(self.identity)
    }

    fn is_shared(&self, identity: u64) -> bool {
        let pages = self.map.values().flat_map(|store| store.pages.iter().flatten());
        pages.filter(|page| page.identity == Some(identity)).count() > 1
    }

    /// Reads what is missing around a page of a file.
    fn read_file(&mut self, file: usize, page: usize) {
        let missing = |store: &Store, page: usize| matches!(store.pages.get(page), Some(None));
        let store = &self.map[&file];
        let (mut first, mut end) = (page, page);
        while missing(store, end) {
            end += 1;
        }
        while first > 0 && missing(store, first - 1) && end > page {
            first -= 1;
        }
        for page in first..end {
            let identity = self.fresh();
            let filled = Page { bytes: pattern(page), identity };
            self.map.get_mut(&file).unwrap().pages[page] = Some(filled);
        }
    }

    /// Where in a file a page of a store shows through.
    pub(super) fn behind(&self, store: usize, page: usize) -> Option<(usize, usize)> {
        match (self.map[&store].model, &self.map[&store].pages[page]) {
            (Model::Over { file, offset, limit }, None) if page < limit => {
                Some((file, offset + page))
            }
            _ => None,
        }
    }

    /// The bytes of a page, reading it from a file if need be.
    pub(super) fn bytes(&mut self, store: usize, page: usize) -> Vec<u8> {
        if let Some((file, page)) = self.behind(store, page) {
            return self.bytes(file, page);
        }
        if self.map[&store].model == Model::File {
            self.read_file(store, page);
        }
        let page = &self.map[&store].pages[page];
        page.as_ref().map_or(vec![0; P], |page| page.bytes.clone())
    }

    /// Has a store a page for itself, with an identity.
    pub(super) fn own(&mut self, store: usize, page: usize) -> &mut Page {
        let bytes = self.bytes(store, page);
        let fresh = self.fresh();
        let old = self.map[&store].pages[page].as_ref().and_then(|page| page.identity);
        let identity = match old {
            Some(identity) if !self.is_shared(identity) => old,
            _ => fresh,
        };
        let slot = &mut self.map.get_mut(&store).unwrap().pages[page];
        slot.insert(Page { bytes, identity })
    }

    /// Zeroes a part of a page, or all of it.
    pub(super) fn zero(&mut self, store: usize, page: usize, range: Range<usize>, resizing: bool) {
        let model = self.map[&store].model;
        if model == Model::File {
            if !resizing || self.map[&store].pages[page].is_some() {
                self.own(store, page).bytes[range].fill(0);
            }
            return;
        }
        let behind = self.behind(store, page).is_some();
        if range == (0..P) {
            let shown = matches!(model, Model::Over { limit, .. } if page < limit);
            let slot = &mut self.map.get_mut(&store).unwrap().pages[page];
            *slot = shown.then(Page::zero);
            return;
        }
        let identity = self.map[&store].pages[page].as_ref().and_then(|page| page.identity);
        if behind || identity.is_some() {
            self.own(store, page).bytes[range].fill(0);
        }
    }

    /// How many distinct pages there are.
    pub(super) fn distinct(&self) -> usize {
        let pages = self.map.values().flat_map(|store| store.pages.iter().flatten());
        pages.filter_map(|page| page.identity).collect::<BTreeSet<u64>>().len()
    }
}
