//! Namespaces of users: user_namespaces(7).
//!
//! The one idea: inside the kernel an id is always one of the first namespace, so ids can be compared whoever has them. A namespace is three
//! maps between those and the numbers that its members see, asked at the edge to the guest and nowhere else. The first namespace is no
//! value at all: there the question costs a branch.

use std::{
    fmt::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::namespaces::{Kind, next_number};
use crate::{
    errno::{Errno, SysResult},
    vfs::{Capabilities, Credentials},
};

/// What an id shows as that has no number: /proc/sys/kernel/overflowuid, overflowgid.
pub const OVERFLOW_ID: u32 = 65534;

/// The level of the deepest one that may have children.
const LEVEL_MAX: u32 = 32;

/// How many there may be beside the first: /proc/sys/user/max_user_namespaces.
pub const NAMESPACES_MAX: usize = 1 << 15;

/// How many there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The most lines of a map.
const EXTENTS_MAX: usize = 340;

/// What a write to a map must be shorter than: a page.
const TEXT_MAX: usize = 4096;

/// The map of the first namespace: all ids are what they seem.
const IDENTITY: &str = "         0          0 4294967295\n";

/// The numbers that a map is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdKind {
    /// Users.
    User,
    /// Groups.
    Group,
    /// Projects, which are told and have no meaning.
    Project,
}

impl IdKind {
    /// What it takes to map any.
    fn capability(self) -> Option<Capabilities> {
        match self {
            Self::User => Some(Capabilities::SETUID),
            Self::Group => Some(Capabilities::SETGID),
            Self::Project => None,
        }
    }
}

/// Ids in a row: a line of a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Extent {
    /// The first as members see it.
    inside: u32,
    /// The first as the kernel has it; as the parent sees it until the map is in force.
    outside: u32,
    count: u32,
}

/// Where `id` is that is in the `count` ids from `from` on, if those begin at `to` instead.
fn shift(id: u32, from: u32, count: u32, to: u32) -> Option<u32> {
    let distance = id.checked_sub(from).filter(|&distance| distance < count)?;
    to.checked_add(distance)
}

impl Extent {
    /// `EINVAL` for a line that is none: three numbers, which do not go over the end.
    fn parse(line: &str) -> SysResult<Self> {
        // As Linux's isspace has it.
        let words = line.split(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        let mut words = words.filter(|word| !word.is_empty());
        let mut number = || -> SysResult<u32> {
            let word = words.next().ok_or(Errno::EINVAL)?;
            let digits = word.bytes().all(|byte| byte.is_ascii_digit());
            word.parse().ok().filter(|_| digits).ok_or(Errno::EINVAL)
        };
        let extent = Self { inside: number()?, outside: number()?, count: number()? };
        let fits = |first: u32| first != u32::MAX && first.checked_add(extent.count).is_some();
        let valid = extent.count > 0 && fits(extent.inside) && fits(extent.outside);
        if valid && words.next().is_none() { Ok(extent) } else { Err(Errno::EINVAL) }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let meet = |one: u32, another: u32| {
            one < another.saturating_add(other.count) && another < one.saturating_add(self.count)
        };
        meet(self.inside, other.inside) || meet(self.outside, other.outside)
    }
}

/// The lines of a map, written once.
type Map = OnceLock<Box<[Extent]>>;

/// One beside the first.
struct Made {
    number: u64,
    parent: UserNamespace,
    level: u32,
    owner: u32,
    maps: [Map; 3],
    /// Whether setgroups(2) may be allowed; held by who writes a map, too.
    setgroups: Mutex<bool>,
    /// Its maker may have given files of its root capabilities.
    maps_root: bool,
}

impl Drop for Made {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A namespace of users.
#[derive(Clone, Default)]
pub struct UserNamespace(Option<Arc<Made>>);

impl PartialEq for UserNamespace {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl Eq for UserNamespace {}

impl fmt::Debug for UserNamespace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "user:[{}]", self.number())
    }
}

impl UserNamespace {
    /// The first one, in which ids are the kernel's.
    pub const FIRST: Self = Self(None);

    /// One of its own for somebody with `maker`, who has all capabilities in it. `ENOSPC` when there are too many, or in each other too
    /// deep; `EPERM` for a maker whose ids nobody around could name.
    pub fn new(maker: &Credentials) -> SysResult<Self> {
        let parent = maker.namespace.clone();
        if parent.level() > LEVEL_MAX {
            return Err(Errno::ENOSPC);
        }
        if !parent.maps(maker.fsuid, maker.fsgid) {
            return Err(Errno::EPERM);
        }
        let count = |count| (count < NAMESPACES_MAX).then_some(count + 1);
        COUNT
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count)
            .map_err(|_| Errno::ENOSPC)?;
        Ok(Self(Some(Arc::new(Made {
            number: next_number(),
            level: parent.level() + 1,
            owner: maker.fsuid,
            maps: Default::default(),
            setgroups: Mutex::new(parent.allows_setgroups()),
            maps_root: maker.caps.contains(Capabilities::SETFCAP),
            parent,
        }))))
    }

    /// Whether it is the first.
    pub fn is_first(&self) -> bool {
        self.0.is_none()
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.0.as_ref().map_or(Kind::User.first_number(), |made| made.number)
    }

    /// The one that it was made in; the first has none.
    pub fn parent(&self) -> Option<&Self> {
        self.0.as_ref().map(|made| &made.parent)
    }

    /// How deep it is: 0 for the first.
    fn level(&self) -> u32 {
        self.0.as_ref().map_or(0, |made| made.level)
    }

    /// The user who made it, by the kernel's number.
    pub fn owner(&self) -> u32 {
        self.0.as_ref().map_or(0, |made| made.owner)
    }

    /// Whether this is `other` or below it.
    pub fn is_within(&self, other: &Self) -> bool {
        let mut at = Some(self);
        while let Some(namespace) = at {
            if namespace == other {
                return true;
            }
            at = namespace.parent();
        }
        false
    }

    /// Whether somebody with `cred` has all of `caps` in it, capabilities(7): those that are effective count in his own one and in all below;
    /// in one that he made in his own, he has all.
    pub fn grants(&self, cred: &Credentials, caps: Capabilities) -> bool {
        let mut at = self;
        loop {
            if *at == cred.namespace {
                return cred.caps.contains(caps);
            }
            let Some(parent) = at.parent().filter(|_| at.level() > cred.namespace.level()) else {
                return false;
            };
            if *parent == cred.namespace && at.owner() == cred.fsuid {
                return true;
            }
            at = parent;
        }
    }

    /// The kernel's id for what members call `id`.
    pub fn kernel_id(&self, kind: IdKind, id: u32) -> Option<u32> {
        let Some(made) = &self.0 else { return Some(id) };
        let extents = made.map(kind);
        extents.iter().find_map(|extent| shift(id, extent.inside, extent.count, extent.outside))
    }

    /// What members call the kernel's `id`.
    pub fn id(&self, kind: IdKind, id: u32) -> Option<u32> {
        let Some(made) = &self.0 else { return Some(id) };
        let extents = made.map(kind);
        extents.iter().find_map(|extent| shift(id, extent.outside, extent.count, extent.inside))
    }

    /// The kernel's user for one that a member names; `EINVAL` for one that is nobody.
    pub fn kernel_user(&self, id: u32) -> SysResult<u32> {
        self.kernel_id(IdKind::User, id).ok_or(Errno::EINVAL)
    }

    /// The kernel's group for one that a member names; `EINVAL` for one that is none.
    pub fn kernel_group(&self, id: u32) -> SysResult<u32> {
        self.kernel_id(IdKind::Group, id).ok_or(Errno::EINVAL)
    }

    /// The number that members see of a user.
    pub fn shown_user(&self, id: u32) -> u32 {
        self.id(IdKind::User, id).unwrap_or(OVERFLOW_ID)
    }

    /// The number that members see of a group.
    pub fn shown_group(&self, id: u32) -> u32 {
        self.id(IdKind::Group, id).unwrap_or(OVERFLOW_ID)
    }

    /// Whether both a user and a group have numbers in it.
    pub fn maps(&self, user: u32, group: u32) -> bool {
        self.is_first()
            || self.id(IdKind::User, user).is_some() && self.id(IdKind::Group, group).is_some()
    }

    /// The user whom members call 0.
    pub fn root(&self) -> Option<u32> {
        self.kernel_id(IdKind::User, 0)
    }

    /// The group that members call 0.
    pub fn root_group(&self) -> Option<u32> {
        self.kernel_id(IdKind::Group, 0)
    }

    /// What /proc/PID/setgroups says, "allow" or "deny".
    pub fn allows_setgroups(&self) -> bool {
        self.0.as_ref().is_none_or(|made| *made.setgroups.lock())
    }

    /// Whether members with the capability may call setgroups(2): when groups have numbers, and it is not denied.
    pub fn may_set_groups(&self) -> bool {
        let Some(made) = &self.0 else { return true };
        !made.map(IdKind::Group).is_empty() && *made.setgroups.lock()
    }

    /// The text of a map for somebody in `reader`, who sees the second column as his own ids, or as the parent's if he is in it himself.
    pub fn map_text(&self, kind: IdKind, reader: &Self) -> String {
        let Some(made) = &self.0 else { return IDENTITY.to_owned() };
        let reader = if reader == self { &made.parent } else { reader };
        let mut out = String::new();
        for Extent { inside, outside, count } in made.map(kind) {
            let outside = reader.id(kind, *outside).unwrap_or(u32::MAX);
            let _ = writeln!(out, "{inside:>10} {outside:>10} {count:>10}");
        }
        out
    }

    /// Takes what somebody with `opener` writes to a map at `offset`, by the rules of user_namespaces(7).
    pub fn write_map(
        &self,
        kind: IdKind,
        opener: &Credentials,
        offset: u64,
        text: &[u8],
    ) -> SysResult<()> {
        let made = self.0.as_ref().ok_or(Errno::EPERM)?;
        if opener.namespace != *self && opener.namespace != made.parent {
            return Err(Errno::EPERM);
        }
        if offset != 0 || text.len() >= TEXT_MAX {
            return Err(Errno::EINVAL);
        }
        let allows_setgroups = made.setgroups.lock();
        let map = made.maps.get(kind as usize).ok_or(Errno::EINVAL)?;
        let administers = kind == IdKind::Project || self.grants(opener, Capabilities::SYS_ADMIN);
        if map.get().is_some() || !administers {
            return Err(Errno::EPERM);
        }
        let mut extents = parse(text)?;
        if !made.may_map(kind, opener, &extents, *allows_setgroups) {
            return Err(Errno::EPERM);
        }
        for extent in &mut extents {
            extent.outside = made.parent.kernel_row(kind, extent).ok_or(Errno::EPERM)?;
        }
        map.set(extents.into()).map_err(|_| Errno::EPERM)
    }

    /// Where a row of ids that members name is in the kernel, if it is one row there, too.
    fn kernel_row(&self, kind: IdKind, row: &Extent) -> Option<u32> {
        let last = row.outside.checked_add(row.count - 1)?;
        let Some(made) = &self.0 else { return Some(row.outside) };
        made.map(kind).iter().find_map(|extent| {
            shift(last, extent.inside, extent.count, extent.outside)?;
            shift(row.outside, extent.inside, extent.count, extent.outside)
        })
    }

    /// Takes what is written to /proc/PID/setgroups: it can be denied as long as groups have no numbers, and never be allowed again.
    pub fn write_setgroups(&self, offset: u64, text: &[u8]) -> SysResult<()> {
        /// What a write must be shorter than.
        const ROOM: usize = 8;
        if offset != 0 || text.len() >= ROOM {
            return Err(Errno::EINVAL);
        }
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        let allow = match text[..end].trim_ascii_end() {
            b"allow" => true,
            b"deny" => false,
            _ => return Err(Errno::EINVAL),
        };
        let Some(made) = &self.0 else {
            return if allow { Ok(()) } else { Err(Errno::EPERM) };
        };
        let mut allowed = made.setgroups.lock();
        match allow {
            true if !*allowed => Err(Errno::EPERM),
            false if !made.map(IdKind::Group).is_empty() => Err(Errno::EPERM),
            _ => {
                *allowed = allow;
                Ok(())
            }
        }
    }
}

/// The lines of a map. `EINVAL` for none, for too many, for two that meet.
fn parse(text: &[u8]) -> SysResult<Vec<Extent>> {
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    let text = std::str::from_utf8(&text[..end]).map_err(|_| Errno::EINVAL)?;
    let mut extents: Vec<Extent> = Vec::new();
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        let extent = Extent::parse(line)?;
        if extents.len() == EXTENTS_MAX || extents.iter().any(|other| other.overlaps(&extent)) {
            return Err(Errno::EINVAL);
        }
        extents.push(extent);
    }
    Ok(extents)
}

impl Made {
    fn map(&self, kind: IdKind) -> &[Extent] {
        self.maps.get(kind as usize).and_then(OnceLock::get).map_or(&[], |extents| extents)
    }

    /// Whether somebody with `opener` may give members the ids of `extents`: his own one, or any with a capability in the parent.
    fn may_map(
        &self,
        kind: IdKind,
        opener: &Credentials,
        extents: &[Extent],
        allows_setgroups: bool,
    ) -> bool {
        let Some(capability) = kind.capability() else { return true };
        let in_parent = |caps| self.parent.grants(opener, caps);
        let maps_root = extents.iter().any(|extent| extent.outside == 0);
        if kind == IdKind::User && maps_root {
            let may_map_root = match opener.namespace == self.parent {
                true => in_parent(Capabilities::SETFCAP),
                false => self.maps_root,
            };
            if !may_map_root {
                return false;
            }
        }
        if let [Extent { outside, count: 1, .. }] = extents
            && self.owner == opener.fsuid
        {
            let given = self.parent.kernel_id(kind, *outside);
            let own = match kind {
                IdKind::User => given == Some(opener.fsuid),
                // A group that denies something is not to be left by this.
                _ => given == Some(opener.fsgid) && !allows_setgroups,
            };
            if own {
                return true;
            }
        }
        in_parent(capability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that user 1000 has made, and whoever opens files of it in it.
    fn made() -> (UserNamespace, Credentials) {
        let maker = Credentials::user(1000, 100);
        let namespace = UserNamespace::new(&maker).unwrap();
        let member =
            Credentials { namespace: namespace.clone(), caps: Capabilities::FULL, ..maker };
        (namespace, member)
    }

    #[test]
    fn an_id_without_a_number_shows_as_nobodys_and_cannot_be_named() {
        let (namespace, member) = made();
        assert_eq!(namespace.shown_user(1000), OVERFLOW_ID);
        assert_eq!(namespace.kernel_user(0), Err(Errno::EINVAL));
        namespace.write_map(IdKind::User, &member, 0, b"0 1000 1").unwrap();
        assert_eq!((namespace.shown_user(1000), namespace.kernel_user(0)), (0, Ok(1000)));
        assert_eq!((namespace.shown_user(0), namespace.root()), (OVERFLOW_ID, Some(1000)));
        assert_eq!(UserNamespace::FIRST.shown_user(7), 7);
    }

    #[test]
    fn a_user_maps_one_id_his_own_and_groups_after_giving_them_up() {
        let (namespace, member) = made();
        let write = |kind, text: &[u8]| namespace.write_map(kind, &member, 0, text);
        for text in [&b"0 1001 1"[..], b"0 1000 2", b"0 1000 1\n5 7 1"] {
            assert_eq!(write(IdKind::User, text), Err(Errno::EPERM));
        }
        assert_eq!(write(IdKind::User, b"  5\t1000 1\n"), Ok(()));
        assert_eq!(write(IdKind::User, b"5 1000 1"), Err(Errno::EPERM), "once");
        assert_eq!(write(IdKind::Group, b"0 100 1"), Err(Errno::EPERM));
        namespace.write_setgroups(0, b"deny\n").unwrap();
        assert_eq!(write(IdKind::Group, b"0 100 1"), Ok(()));
        assert!(!namespace.may_set_groups());
        assert_eq!(namespace.write_setgroups(0, b"allow"), Err(Errno::EPERM));
    }

    #[test]
    fn a_map_is_three_numbers_a_line_that_do_not_meet() {
        let (namespace, _) = made();
        let root = Credentials::root();
        let too_long = [b' '; TEXT_MAX];
        let write = |text: &[u8]| namespace.write_map(IdKind::User, &root, 0, text);
        for text in [
            &b""[..],
            b"0 0",
            b"0 0 0",
            b"0 0 1 1",
            b"a 0 1",
            b"+0 0 1",
            b"4294967295 0 1",
            b"1 0 4294967295",
            b"0 0 2\n1 5 1",
            b"0 0 2\n5 1 1",
            b"0 0 1\n\n1 1 1",
            &too_long,
        ] {
            assert_eq!(write(text), Err(Errno::EINVAL), "{:?}", text.escape_ascii().to_string());
        }
        assert_eq!(namespace.write_map(IdKind::User, &root, 1, b"0 0 1"), Err(Errno::EINVAL));
        assert_eq!(write(b"0 1000 10\n10 0 1000\n"), Ok(()));
        let shown = namespace.map_text(IdKind::User, &UserNamespace::FIRST);
        assert_eq!(shown, "         0       1000         10\n        10          0       1000\n");
        assert_eq!((namespace.shown_user(1009), namespace.shown_user(999)), (9, 1009));
        namespace.write_map(IdKind::Group, &root, 0, b"0 0 1").unwrap();
        let member = Credentials { namespace: namespace.clone(), ..Credentials::root() };
        let below = UserNamespace::new(&member).unwrap();
        let write = |text: &[u8]| below.write_map(IdKind::Project, &member, 0, text);
        assert_eq!(write(b"0 0 1"), Err(Errno::EPERM), "the parent has none");
    }

    #[test]
    fn capabilities_count_in_ones_own_namespace_and_below() {
        let (namespace, member) = made();
        let owner = Credentials::user(1000, 100);
        let other = Credentials::user(1001, 100);
        let grants = |namespace: &UserNamespace, cred: &Credentials| {
            namespace.grants(cred, Capabilities::SYS_ADMIN)
        };
        assert!(grants(&namespace, &member) && grants(&namespace, &owner));
        assert!(!grants(&namespace, &other) && grants(&namespace, &Credentials::root()));
        assert!(!grants(&UserNamespace::FIRST, &member));
        let sibling = UserNamespace::new(&other).unwrap();
        assert!(!grants(&sibling, &member));
        assert!(namespace.is_within(&UserNamespace::FIRST) && !sibling.is_within(&namespace));
    }

    #[test]
    fn they_are_in_each_other_only_so_deep() {
        let mut cred = Credentials::root();
        let mut depth = 0;
        let error = loop {
            match UserNamespace::new(&cred) {
                Ok(namespace) => {
                    for kind in [IdKind::User, IdKind::Group] {
                        namespace.write_map(kind, &cred, 0, b"0 0 1000").unwrap();
                    }
                    cred.namespace = namespace;
                    depth += 1;
                }
                Err(error) => break error,
            }
        };
        assert_eq!((error, depth), (Errno::ENOSPC, LEVEL_MAX + 1));
    }
}
