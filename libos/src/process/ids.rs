//! Real, effective and saved user and group ids of a process, credentials(7).
//!
//! The one idea: what decides about files (the file-system ids and the effective capabilities) lives with the root and the working directory
//! and is derived here whenever an id changes, by the rules of capabilities(7).

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
    /// The capabilities that a program may inherit, capset(2). Programs here get what their user has.
    pub inheritable: Capabilities,
    /// They stay permitted when the last id of root goes, `PR_SET_KEEPCAPS`.
    pub keep_capabilities: bool,
}

impl Ids {
    /// The ids of somebody with the user and group of `cred`.
    pub fn of(cred: &Credentials) -> Self {
        Self {
            users: [cred.fsuid; 3],
            groups: [cred.fsgid; 3],
            permitted: cred.caps,
            inheritable: Capabilities::empty(),
            keep_capabilities: false,
        }
    }

    /// Sets the user ids, and `cred` and the capabilities as follows from it.
    pub fn set_users(&mut self, users: Three, cred: &mut Credentials) {
        let had_root = self.users.contains(&0);
        let effective_before = self.users[1];
        self.users = users;
        cred.fsuid = users[1];
        if had_root && !users.contains(&0) {
            if !self.keep_capabilities {
                self.permitted = Capabilities::empty();
            }
            cred.caps = Capabilities::empty();
        } else if effective_before == 0 && users[1] != 0 {
            cred.caps = Capabilities::empty();
        } else if effective_before != 0 && users[1] == 0 {
            cred.caps = self.permitted;
        }
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
}
