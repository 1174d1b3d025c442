//! How a file system of ptys was mounted: mount(8) of devpts.
//!
//! The one idea: options are read once, into a value that shows itself as /proc/mounts does.

use std::fmt;

use crate::{
    errno::{Errno, SysResult},
    process::UserNamespace,
};

/// How many ptys there can be: the default of /proc/sys/kernel/pty/max, which counts for each file system here.
const PTY_MAX: u32 = 4096;
/// The most that `max` can say: `NR_UNIX98_PTY_MAX`.
const NUMBERS: u32 = 1 << 20;

/// What a file system of ptys was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PtySettings {
    /// The mode of slaves.
    pub mode: u32,
    /// Their owner; none is whoever opens the master.
    pub user: Option<u32>,
    /// Their group, in the same way.
    pub group: Option<u32>,
    /// The mode of its own ptmx.
    pub ptmx_mode: u32,
    /// The owner and the group of the folder and of ptmx.
    pub owner: (u32, u32),
    /// How many there can be.
    pub max: u32,
    /// `max` was said.
    limited: bool,
}

impl PtySettings {
    /// Those of a kernel's own /dev/pts: slaves are of the group `tty`, as systemd and containers have it. Whoever wants a new one takes
    /// /dev/ptmx.
    pub const FIRST: Self = Self { mode: 0o620, group: Some(5), ..Self::PLAIN };

    const PLAIN: Self = Self {
        mode: 0o600,
        user: None,
        group: None,
        ptmx_mode: 0,
        owner: (0, 0),
        max: PTY_MAX,
        limited: false,
    };

    /// Those that mount(2)'s `data` says to somebody in `users`. `EINVAL`.
    pub fn parse(data: &[u8], users: &UserNamespace) -> SysResult<Self> {
        let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        let owner = (users.root().unwrap_or(0), users.root_group().unwrap_or(0));
        let mut settings = Self { owner, ..Self::PLAIN };
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let number = |radix| u32::from_str_radix(value, radix).map_err(|_| Errno::EINVAL);
            match key {
                "mode" => settings.mode = number(8)? & 0o7777,
                "ptmxmode" => settings.ptmx_mode = number(8)? & 0o7777,
                "uid" => settings.user = Some(users.kernel_user(number(10)?)?),
                "gid" => settings.group = Some(users.kernel_group(number(10)?)?),
                "max" => {
                    let max = number(10)?;
                    if max > NUMBERS {
                        return Err(Errno::EINVAL);
                    }
                    (settings.max, settings.limited) = (max.min(PTY_MAX), max < NUMBERS);
                }
                // Each is one, whether it says so or not.
                "newinstance" if value.is_empty() => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(settings)
    }
}

impl fmt::Display for PtySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = self.user {
            write!(f, ",uid={user}")?;
        }
        if let Some(group) = self.group {
            write!(f, ",gid={group}")?;
        }
        write!(f, ",mode={:03o},ptmxmode={:03o}", self.mode, self.ptmx_mode)?;
        if self.limited { write!(f, ",max={}", self.max) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_shown() {
        let shown = |text: &[u8]| {
            PtySettings::parse(text, &UserNamespace::FIRST).map(|settings| settings.to_string())
        };
        assert_eq!(shown(b""), Ok(",mode=600,ptmxmode=000".to_owned()));
        let all = b"newinstance,ptmxmode=0666,mode=620,gid=7,uid=3,max=9";
        assert_eq!(shown(all), Ok(",uid=3,gid=7,mode=620,ptmxmode=666,max=9".to_owned()));
        assert_eq!(PtySettings::FIRST.to_string(), ",gid=5,mode=620,ptmxmode=000");
        for bad in [&b"mode=9"[..], b"gid=x", b"other", b"newinstance=1", b"max=1048577", b"\xff"] {
            assert_eq!(shown(bad), Err(Errno::EINVAL));
        }
    }
}
