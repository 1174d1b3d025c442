//! POSIX access control lists, acl(5): more users and groups than a mode has room for.
//!
//! The one idea: the mode stays what counts for the owner, for others and for the most that anybody named may do; a list adds who is named.
//! So a list that names nobody is a mode and is not stored, and what a stored one says of the owner, the mask and others is read
//! from the mode, which chmod(2) may have changed since.

use linux_raw_sys::general as raw;

use super::{
    inode::Inode,
    metadata::{FileType, Metadata},
    permission::{Access, Credentials},
};
use crate::{
    errno::{Errno, SysResult},
    process::{IdKind, UserNamespace},
};

/// The attribute with the list of a file.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute with the list that new files in a directory get.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";

/// The version of the attributes' layout.
const VERSION: u32 = 2;
/// The id of an entry that names nobody.
const NOBODY: u32 = u32::MAX;

/// The tags of entries.
mod tag {
    pub(super) const USER_OBJ: u16 = 0x01;
    pub(super) const USER: u16 = 0x02;
    pub(super) const GROUP_OBJ: u16 = 0x04;
    pub(super) const GROUP: u16 = 0x08;
    pub(super) const MASK: u16 = 0x10;
    pub(super) const OTHER: u16 = 0x20;
}

/// A list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    owner: Access,
    users: Vec<(u32, Access)>,
    group: Access,
    groups: Vec<(u32, Access)>,
    /// The most that anybody but the owner and others may do.
    mask: Option<Access>,
    other: Access,
}

/// A number at the beginning of `bytes`, and what is behind it.
fn split<const N: usize>(bytes: &[u8]) -> SysResult<([u8; N], &[u8])> {
    bytes.split_first_chunk().map(|(first, rest)| (*first, rest)).ok_or(Errno::EINVAL)
}

impl Acl {
    /// The list that an attribute's `value` holds, whose ids are those of `namespace`; `None` without entries. `EOPNOTSUPP` for another
    /// version of the layout, `EINVAL` for what is no list.
    pub fn decode(value: &[u8], namespace: &UserNamespace) -> SysResult<Option<Self>> {
        let (version, mut rest) = split(value)?;
        if u32::from_le_bytes(version) != VERSION {
            return Err(Errno::EOPNOTSUPP);
        }
        if rest.is_empty() {
            return Ok(None);
        }
        let (mut owner, mut group, mut other, mut mask) = (None, None, None, None);
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        let mut last = 0;
        while !rest.is_empty() {
            let (kind, bits, id);
            (kind, rest) = split(rest)?;
            (bits, rest) = split(rest)?;
            (id, rest) = split(rest)?;
            let (kind, id) = (u16::from_le_bytes(kind), u32::from_le_bytes(id));
            let granted =
                Access::from_bits(u16::from_le_bytes(bits).into()).ok_or(Errno::EINVAL)?;
            // In the order of their tags, and only those that name somebody more than once.
            let repeats = kind == last && matches!(kind, tag::USER | tag::GROUP);
            if kind <= last && !repeats {
                return Err(Errno::EINVAL);
            }
            last = kind;
            let named = |of| namespace.kernel_id(of, id).ok_or(Errno::EINVAL);
            match kind {
                tag::USER_OBJ => owner = Some(granted),
                tag::USER => users.push((named(IdKind::User)?, granted)),
                tag::GROUP_OBJ => group = Some(granted),
                tag::GROUP => groups.push((named(IdKind::Group)?, granted)),
                tag::MASK => mask = Some(granted),
                tag::OTHER => other = Some(granted),
                _ => return Err(Errno::EINVAL),
            }
        }
        let (Some(owner), Some(group), Some(other)) = (owner, group, other) else {
            return Err(Errno::EINVAL);
        };
        if mask.is_none() && !(users.is_empty() && groups.is_empty()) {
            return Err(Errno::EINVAL);
        }
        Ok(Some(Self { owner, users, group, groups, mask, other }))
    }

    /// As the value of an attribute, with ids as `namespace` has them.
    pub fn encode(&self, namespace: &UserNamespace) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        let mut entry = |kind: u16, granted: Access, id: u32| {
            value.extend(kind.to_le_bytes());
            value.extend((granted.bits() as u16).to_le_bytes());
            value.extend(id.to_le_bytes());
        };
        entry(tag::USER_OBJ, self.owner, NOBODY);
        for &(id, granted) in &self.users {
            entry(tag::USER, granted, namespace.shown_user(id));
        }
        entry(tag::GROUP_OBJ, self.group, NOBODY);
        for &(id, granted) in &self.groups {
            entry(tag::GROUP, granted, namespace.shown_group(id));
        }
        if let Some(mask) = self.mask {
            entry(tag::MASK, mask, NOBODY);
        }
        entry(tag::OTHER, self.other, NOBODY);
        value
    }

    /// The permission bits of a file with this list.
    pub fn mode(&self) -> u32 {
        let group = self.mask.unwrap_or(self.group);
        self.owner.bits() << 6 | group.bits() << 3 | self.other.bits()
    }

    /// Whether a mode says all of it.
    pub fn is_mode(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && self.mask.is_none()
    }

    /// The same with the bits of `mode` for the owner, the mask and others.
    pub fn with_mode(mut self, mode: u32) -> Self {
        self.owner = Access::from_bits_truncate(mode >> 6);
        *self.mask.as_mut().unwrap_or(&mut self.group) = Access::from_bits_truncate(mode >> 3);
        self.other = Access::from_bits_truncate(mode);
        self
    }

    /// What a new file gets that is made with `mode` where this is the default: no more than either allows.
    pub fn limited_to(self, mode: u32) -> Self {
        let both = self.mode() & mode;
        self.with_mode(both)
    }

    /// Whether somebody who does not own the file, which is of group `gid`, may do what is `want`ed.
    pub fn grants(&self, cred: &Credentials, gid: u32, want: Access) -> bool {
        let mask = self.mask.unwrap_or(Access::all());
        if let Some((_, granted)) = self.users.iter().find(|(id, _)| *id == cred.fsuid) {
            return (*granted & mask).contains(want);
        }
        let own = cred.in_group(gid).then_some(&self.group);
        let others = self.groups.iter().filter(|(id, _)| cred.in_group(*id));
        let mut of_groups = own.into_iter().chain(others.map(|(_, granted)| granted)).peekable();
        if of_groups.peek().is_none() {
            return self.other.contains(want);
        }
        of_groups.any(|granted| (*granted & mask).contains(want))
    }
}

/// The list that an attribute holds as it is stored; `None` without one.
pub fn stored(attribute: SysResult<Vec<u8>>) -> Option<Acl> {
    Acl::decode(&attribute.ok()?, &UserNamespace::FIRST).ok()?
}

/// The list of a file as it counts now.
pub fn of_file(inode: &dyn Inode, metadata: &Metadata) -> Option<Acl> {
    inode.acl(ACCESS).map(|list| list.with_mode(metadata.mode))
}

/// Gives a file, which its owner asks for, this list, or none. Its mode follows, without the set-group-id bit unless the
/// owner `keeps` that. `EACCES` for a default list of what is no directory.
pub fn set(
    inode: &dyn Inode,
    metadata: &Metadata,
    name: &[u8],
    list: Option<&Acl>,
    keeps: bool,
) -> SysResult<()> {
    if metadata.kind == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    if name == DEFAULT && !metadata.kind.is_dir() {
        return if list.is_some() { Err(Errno::EACCES) } else { Ok(()) };
    }
    // A file system that has none says so.
    let has = match inode.xattr(name) {
        Ok(_) => true,
        Err(Errno::ENODATA) => false,
        Err(error) => return Err(error),
    };
    if name == ACCESS
        && let Some(list) = list
    {
        let dropped = if keeps { 0 } else { raw::S_ISGID };
        inode.set_mode(metadata.mode & !0o777 & !dropped | list.mode())?;
    }
    match list {
        Some(list) if name == DEFAULT || !list.is_mode() => {
            inode.set_xattr(name, &list.encode(&UserNamespace::FIRST), 0)
        }
        _ if has => inode.remove_xattr(name),
        _ => Ok(()),
    }
}

/// Gives `made`, a new file in `dir` with `mode`, what the directory's default list says.
pub fn inherit(dir: &dyn Inode, made: &dyn Inode, mode: u32) -> SysResult<()> {
    if made.kind() == FileType::Symlink {
        return Ok(());
    }
    let Some(default) = dir.acl(DEFAULT) else { return Ok(()) };
    let store =
        |name: &[u8], list: &Acl| made.set_xattr(name, &list.encode(&UserNamespace::FIRST), 0);
    if made.kind().is_dir() {
        store(DEFAULT, &default)?;
    }
    let list = default.limited_to(mode);
    if list.is_mode() { Ok(()) } else { store(ACCESS, &list) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: UserNamespace = UserNamespace::FIRST;

    fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for (kind, bits, id) in entries {
            value.extend(kind.to_le_bytes());
            value.extend(bits.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    /// `u::rwx u:7:rw- g::r-- g:8:rwx m::rw- o::---`
    fn list() -> Acl {
        let entries = [
            (tag::USER_OBJ, 7, NOBODY),
            (tag::USER, 6, 7),
            (tag::GROUP_OBJ, 4, NOBODY),
            (tag::GROUP, 7, 8),
            (tag::MASK, 6, NOBODY),
            (tag::OTHER, 0, NOBODY),
        ];
        let encoded = value(&entries);
        let list = Acl::decode(&encoded, &FIRST).unwrap().unwrap();
        assert_eq!(list.encode(&FIRST), encoded);
        list
    }

    #[test]
    fn a_list_is_a_mode_and_who_is_named() {
        let list = list();
        assert_eq!((list.mode(), list.is_mode()), (0o760, false));
        let plain = [(tag::USER_OBJ, 6, NOBODY), (tag::GROUP_OBJ, 4, NOBODY), (tag::OTHER, 4, 0)];
        let plain = Acl::decode(&value(&plain), &FIRST).unwrap().unwrap();
        assert_eq!((plain.mode(), plain.is_mode()), (0o644, true));
        assert_eq!(list.clone().with_mode(0o644).mode(), 0o644);
        assert_eq!(list.limited_to(0o644).mode(), 0o640);
        assert_eq!(plain.with_mode(0o751).mode(), 0o751);
    }

    #[test]
    fn the_mask_bounds_all_but_the_owner_and_others() {
        let list = list();
        let may = |uid, gid, want| list.grants(&Credentials::user(uid, gid), 50, want);
        assert!(may(7, 1, Access::READ | Access::WRITE) && !may(7, 8, Access::EXEC));
        assert!(may(9, 8, Access::WRITE) && !may(9, 8, Access::EXEC));
        assert!(may(9, 50, Access::READ) && !may(9, 50, Access::WRITE));
        assert!(!may(9, 9, Access::READ));
        assert!(list.clone().with_mode(0o707).grants(&Credentials::user(9, 9), 50, Access::all()));
        assert!(!list.with_mode(0o707).grants(&Credentials::user(7, 9), 50, Access::READ));
    }

    #[test]
    fn nonsense_is_refused() {
        let good =
            [(tag::USER_OBJ, 6, NOBODY), (tag::GROUP_OBJ, 4, NOBODY), (tag::OTHER, 4, NOBODY)];
        let with = |entry, at: usize| {
            let mut entries = good.to_vec();
            entries.insert(at, entry);
            Acl::decode(&value(&entries), &FIRST)
        };
        for (entry, at) in [
            // Somebody is named, but there is no mask.
            ((tag::USER, 6, 7), 1),
            // Twice, out of order, unknown, too many bits.
            ((tag::USER_OBJ, 6, NOBODY), 1),
            ((tag::MASK, 6, NOBODY), 0),
            ((0x40, 6, NOBODY), 3),
            ((tag::MASK, 8, NOBODY), 2),
        ] {
            assert_eq!(with(entry, at), Err(Errno::EINVAL), "{entry:?} at {at}");
        }
        assert_eq!(Acl::decode(&value(&good[1..]), &FIRST), Err(Errno::EINVAL));
        assert_eq!(Acl::decode(&value(&good)[..20], &FIRST), Err(Errno::EINVAL));
        assert_eq!(Acl::decode(b"", &FIRST), Err(Errno::EINVAL));
        assert_eq!(Acl::decode(&[1, 0, 0, 0], &FIRST), Err(Errno::EOPNOTSUPP));
        assert_eq!(Acl::decode(&value(&[]), &FIRST), Ok(None));
    }
}
