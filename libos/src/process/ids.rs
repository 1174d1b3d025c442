//! Real, effective and saved user and group ids of a process, credentials(7).
//!
//! The one idea: what decides about files (the file-system ids and the effective capabilities) lives with the root and the working directory
//! and is derived here whenever an id changes, by the rules of capabilities(7).

use super::UserNamespace;
use crate::vfs::{Capabilities, Credentials};

/// Real, effective and saved id, in this order.
type Three = [u32; 3];

/// The ids of a process that are not about files.
#[derive(Clone, Debug)]
pub struct Ids {
    /// User ids.
    pub users: Three,
    /// Group ids.
    pub groups: Three,
    /// The capabilities that may become effective.
    pub permitted: Capabilities,
    /// The capabilities that root's programs may inherit beside those of the bounding set, capset(2).
    pub inheritable: Capabilities,
    /// The capabilities that every program inherits, `PR_CAP_AMBIENT`: some of those that are permitted and inheritable.
    pub ambient: Capabilities,
    /// They stay permitted when the last id of root goes, `PR_SET_KEEPCAPS`.
    pub keep_capabilities: bool,
    /// The namespace that the capabilities count in.
    pub namespace: UserNamespace,
}

impl Ids {
    /// The ids of somebody with the user and group of `cred`.
    pub fn of(cred: &Credentials) -> Self {
        Self {
            users: [cred.fsuid; 3],
            groups: [cred.fsgid; 3],
            permitted: cred.caps,
            inheritable: Capabilities::empty(),
            ambient: Capabilities::empty(),
            keep_capabilities: false,
            namespace: cred.namespace.clone(),
        }
    }

    /// Enters a namespace of users, with all capabilities there.
    pub fn enter(&mut self, namespace: UserNamespace, cred: &mut Credentials) {
        cred.namespace = namespace.clone();
        cred.caps = Capabilities::FULL;
        self.permitted = Capabilities::FULL;
        self.inheritable = Capabilities::empty();
        self.ambient = Capabilities::empty();
        self.keep_capabilities = false;
        self.namespace = namespace;
    }

    /// Sets the user ids, and `cred` and the capabilities as follows from it.
    pub fn set_users(&mut self, users: Three, cred: &mut Credentials) {
        let root = self.namespace.root();
        let has_root = |users: Three| users.iter().any(|&user| Some(user) == root);
        let had_root = has_root(self.users);
        let was_root = Some(self.users[1]) == root;
        let is_root = Some(users[1]) == root;
        self.users = users;
        cred.fsuid = users[1];
        if had_root && !has_root(users) {
            if !self.keep_capabilities {
                self.permitted = Capabilities::empty();
                self.ambient = Capabilities::empty();
            }
            cred.caps = Capabilities::empty();
        } else if was_root && !is_root {
            cred.caps = Capabilities::empty();
        } else if !was_root && is_root {
            cred.caps = self.permitted;
        }
    }

    /// Sets what is permitted and what is inheritable; nothing else can be ambient.
    pub fn set_capabilities(&mut self, permitted: Capabilities, inheritable: Capabilities) {
        (self.permitted, self.inheritable) = (permitted, inheritable);
        self.ambient &= permitted & inheritable;
    }

    /// What a program gets, execve(2): root's all of `bounding`, another's what is ambient, since files have no capabilities here.
    pub fn execute(&mut self, bounding: Capabilities, no_new_privs: bool, cred: &mut Credentials) {
        let [real, effective, _] = self.users;
        let root = self.namespace.root();
        let mut granted = Capabilities::empty();
        if [Some(real), Some(effective)].contains(&root) {
            granted = self.inheritable | bounding;
            if no_new_privs {
                granted &= self.permitted;
            }
        }
        self.permitted = granted | self.ambient;
        let is_root = Some(effective) == root;
        cred.caps = if is_root { self.permitted } else { self.ambient };
        self.keep_capabilities = false;
        (self.users[2], cred.fsuid) = (effective, effective);
        (self.groups[2], cred.fsgid) = (self.groups[1], self.groups[1]);
    }

    /// Sets the group ids, and `cred` as follows from it.
    pub fn set_groups(&mut self, groups: Three, cred: &mut Credentials) {
        self.groups = groups;
        cred.fsgid = groups[1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::IdKind;

    #[test]
    fn giving_up_root_for_good_gives_up_the_capabilities() {
        let mut cred = Credentials::root();
        let mut ids = Ids::of(&cred);
        ids.set_users([1000, 1000, 0], &mut cred);
        assert!(cred.caps.is_empty() && !ids.permitted.is_empty());
        ids.set_users([1000, 0, 0], &mut cred);
        assert_eq!(cred.caps, Capabilities::FULL);
        ids.set_users([1000; 3], &mut cred);
        assert!(cred.caps.is_empty() && ids.permitted.is_empty());
    }

    #[test]
    fn a_users_program_gets_what_is_ambient() {
        let mut cred = Credentials::root();
        let mut ids = Ids::of(&cred);
        ids.keep_capabilities = true;
        ids.set_capabilities(Capabilities::FULL, Capabilities::KILL);
        ids.ambient = Capabilities::KILL;
        ids.set_users([1000; 3], &mut cred);
        assert_eq!(ids.permitted, Capabilities::FULL);
        ids.execute(Capabilities::FULL, false, &mut cred);
        assert_eq!((ids.permitted, cred.caps), (Capabilities::KILL, Capabilities::KILL));
        ids.set_capabilities(Capabilities::KILL, Capabilities::empty());
        ids.execute(Capabilities::FULL, false, &mut cred);
        assert!(ids.permitted.is_empty() && cred.caps.is_empty());
    }

    #[test]
    fn in_a_namespace_its_own_root_is_root() {
        let mut cred = Credentials::user(1000, 1000);
        let mut ids = Ids::of(&cred);
        ids.enter(UserNamespace::new(&cred).unwrap(), &mut cred);
        assert_eq!((ids.permitted, cred.caps), (Capabilities::FULL, Capabilities::FULL));
        let mut nobody = ids.clone();
        nobody.execute(Capabilities::FULL, false, &mut cred.clone());
        assert!(nobody.permitted.is_empty(), "nobody is root yet");
        cred.namespace.write_map(IdKind::User, &cred, 0, b"0 1000 1").unwrap();
        ids.execute(Capabilities::FULL, false, &mut cred);
        assert_eq!((ids.permitted, cred.caps), (Capabilities::FULL, Capabilities::FULL));
        ids.set_users([1001; 3], &mut cred);
        assert!(ids.permitted.is_empty() && cred.caps.is_empty());
    }

    #[test]
    fn roots_program_gets_the_bounding_set_unless_privileges_are_not_to_grow() {
        let mut cred = Credentials::root();
        let mut ids = Ids::of(&cred);
        let bounding = Capabilities::FULL - Capabilities::KILL;
        ids.execute(bounding, false, &mut cred);
        assert_eq!((ids.permitted, cred.caps), (bounding, bounding));
        ids.set_capabilities(Capabilities::SETUID, Capabilities::empty());
        ids.execute(bounding, true, &mut cred);
        assert_eq!(ids.permitted, Capabilities::SETUID);
        ids.users = [0, 1000, 0];
        ids.execute(bounding, false, &mut cred);
        assert_eq!((ids.permitted, cred.caps), (bounding, Capabilities::empty()));
        assert_eq!((ids.users[2], cred.fsuid), (1000, 1000));
    }
}
