//! The rules by which faults are injected, as the command line has them.
//!
//! ```text
//! RULES   = RULE { "," RULE }
//! RULE    = OP ":" FAULT "=" CHANCE [ "@" WHERE ]  |  "seed=" N  |  "limit=" N
//! OP      = "read" | "write" | "sync" | "create" | "connect" | "alloc" | "any"     (any: all but alloc)
//! FAULT   = "short" | "reset" | "delay"                                           (delay: "delay=" TIME "*" CHANCE)
//!         | "eintr" | "eagain" | "eio" | "enospc" | "edquot" | "enomem" | "emfile" | "econnrefused" | "etimedout"
//! TIME    = N ( "us" | "ms" | "s" )
//! CHANCE  = a number from 0 to 1
//! WHERE   = "/" path of the host, of a file or a directory | "stdio" | "net"
//! ```
//!
//! The one idea: a rule says what can truthfully happen where, so what cannot is refused here; what a rule without a place means is below.

use std::{path::PathBuf, str::FromStr, time::Duration};

/// What is done when a fault may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// Reading a file, a stream or a socket.
    Read,
    /// Writing to one.
    Write,
    /// Having the host store a file.
    Sync,
    /// Making a file, a directory or another name.
    Create,
    /// Connecting a socket of the host's.
    Connect,
    /// Promising memory to guests.
    Alloc,
}

const OPS: [(&str, &[Op]); 7] = [
    ("read", &[Op::Read]),
    ("write", &[Op::Write]),
    ("sync", &[Op::Sync]),
    ("create", &[Op::Create]),
    ("connect", &[Op::Connect]),
    ("alloc", &[Op::Alloc]),
    ("any", &[Op::Read, Op::Write, Op::Sync, Op::Create, Op::Connect]),
];

impl Op {
    pub(super) fn name(self) -> &'static str {
        OPS.iter().find(|(_, ops)| *ops == [self]).map_or("any", |(name, _)| name)
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Less is read or written than was asked for, but something.
    Short,
    /// The connection is reset.
    Reset,
    /// It takes this long; the CPU waits, as for a slow disk.
    Delay(Duration),
    /// It fails with this `errno`, and nothing is done.
    Error(i32),
}

const ERRORS: [(&str, i32); 9] = [
    ("eintr", libc::EINTR),
    ("eagain", libc::EAGAIN),
    ("eio", libc::EIO),
    ("enospc", libc::ENOSPC),
    ("edquot", libc::EDQUOT),
    ("enomem", libc::ENOMEM),
    ("emfile", libc::EMFILE),
    ("econnrefused", libc::ECONNREFUSED),
    ("etimedout", libc::ETIMEDOUT),
];

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Reset => "reset",
            Self::Delay(_) => "delay",
            Self::Error(errno) => {
                ERRORS.iter().find(|(_, number)| *number == errno).map_or("error", |(name, _)| name)
            }
        }
    }

    /// Whether it can come of `op` at `place` at all.
    fn can_come(self, op: Op, place: &Place) -> bool {
        let transfers = matches!(op, Op::Read | Op::Write);
        match (self, op) {
            (Self::Delay(_), Op::Alloc) => false,
            (Self::Delay(_), _) => true,
            (Self::Short, _) => transfers,
            // Files never say so.
            (Self::Error(libc::EAGAIN), _) => transfers && !matches!(place, Place::Path(_)),
            (Self::Reset, _) => transfers && !matches!(place, Place::Path(_) | Place::Stdio),
            (Self::Error(errno), Op::Alloc) => errno == libc::ENOMEM,
            (Self::Error(libc::ECONNREFUSED | libc::ETIMEDOUT), _) => op == Op::Connect,
            (Self::Error(libc::ENOSPC | libc::EDQUOT), _) => {
                matches!(op, Op::Write | Op::Create | Op::Sync)
            }
            (Self::Error(_), _) => true,
        }
    }
}

/// Where a rule holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Files of the host that guests may write to, and sockets of the host.
    Anywhere,
    /// The file or the directory of that path, with all that is below it.
    Path(PathBuf),
    /// The descriptors that this process was started with.
    Stdio,
    /// Sockets of the host.
    Net,
}

/// A rule: once in so many times that `op` is done at `place`, `kind` comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub(super) op: Op,
    pub(super) kind: Kind,
    pub(super) chance: f64,
    pub(super) place: Place,
}

/// What `--fault` asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub(super) rules: Vec<Rule>,
    pub(super) seed: Option<u64>,
    pub(super) limit: Option<u64>,
}

/// The most rules there may be.
const MOST: usize = 64;

impl Rules {
    /// These and `others`, whose seed and limit count if they have one.
    ///
    /// # Errors
    ///
    /// A message if those are too many.
    pub fn and(mut self, others: Self) -> Result<Self, String> {
        self.rules.extend(others.rules);
        self.seed = others.seed.or(self.seed);
        self.limit = others.limit.or(self.limit);
        if self.rules.len() > MOST { Err(format!("more than {MOST} rules")) } else { Ok(self) }
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let number = |text: &str| text.parse().map_err(|_| format!("{text}: not a number"));
        let Some((op, rest)) = text.split_once(':') else {
            match text.split_once('=') {
                Some(("seed", value)) => self.seed = Some(number(value)?),
                Some(("limit", value)) => self.limit = Some(number(value)?),
                _ => return Err(format!("{text}: expected OP:FAULT=CHANCE, seed=N or limit=N")),
            }
            return Ok(());
        };
        let (rest, place) = match rest.split_once('@') {
            None => (rest, Place::Anywhere),
            Some((rest, "stdio")) => (rest, Place::Stdio),
            Some((rest, "net")) => (rest, Place::Net),
            Some((rest, path)) if path.starts_with('/') => (rest, Place::Path(path.into())),
            Some((_, place)) => return Err(format!("{place}: expected a path, stdio or net")),
        };
        let ops = OPS.iter().find(|(name, _)| *name == op);
        let (_, ops) = ops.ok_or_else(|| format!("{op}: there is no such operation"))?;
        let (name, value) = rest.split_once('=').ok_or_else(|| format!("{text}: how often?"))?;
        let (kind, chance) = match (name, value.split_once('*')) {
            ("delay", Some((time, chance))) => (Kind::Delay(parse_time(time)?), chance),
            ("delay", None) => return Err(format!("{value}: expected TIME*CHANCE")),
            ("short", _) => (Kind::Short, value),
            ("reset", _) => (Kind::Reset, value),
            (name, _) => {
                let error = ERRORS.iter().find(|(known, _)| *known == name);
                let (_, errno) = error.ok_or_else(|| format!("{name}: there is no such fault"))?;
                (Kind::Error(*errno), value)
            }
        };
        let chance = chance.parse().ok().filter(|chance| (0.0..=1.0).contains(chance));
        let chance: f64 =
            chance.ok_or_else(|| format!("{value}: expected a chance from 0 to 1"))?;
        let possible: Vec<_> = ops.iter().filter(|op| kind.can_come(**op, &place)).collect();
        if possible.is_empty() {
            return Err(format!("{text}: that never happens there"));
        }
        let rule = |op: &&Op| Rule { op: **op, kind, chance, place: place.clone() };
        self.rules.extend(possible.iter().map(rule));
        Ok(())
    }
}

impl FromStr for Rules {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        for rule in text.split(',') {
            rules.add(rule.trim())?;
        }
        rules.and(Self::default())
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number = number.parse().ok().filter(|&number| number <= 3_600_000_000);
    match (number, unit) {
        (Some(number), "us") => Ok(Duration::from_micros(number)),
        (Some(number), "ms") => Ok(Duration::from_millis(number)),
        (Some(number), "s") => Ok(Duration::from_secs(number)),
        _ => Err(format!("{text}: expected a time such as 5ms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_say_what_comes_of_what_and_where() {
        let rules: Rules =
            "read:short=0.1,write:enospc=0.01@/data, any:eintr=1, sync:delay=5ms*0.5, seed=7,limit=1000"
                .parse()
                .unwrap();
        let rule = |op, kind, chance, place| Rule { op, kind, chance, place };
        assert_eq!(rules.rules[0], rule(Op::Read, Kind::Short, 0.1, Place::Anywhere));
        let data = Place::Path("/data".into());
        assert_eq!(rules.rules[1], rule(Op::Write, Kind::Error(libc::ENOSPC), 0.01, data));
        let any: Vec<_> = rules.rules[2..7].iter().map(|rule| rule.op).collect();
        assert_eq!(any, [Op::Read, Op::Write, Op::Sync, Op::Create, Op::Connect]);
        let delay = Kind::Delay(Duration::from_millis(5));
        assert_eq!(rules.rules[7], rule(Op::Sync, delay, 0.5, Place::Anywhere));
        assert_eq!((rules.rules.len(), rules.seed, rules.limit), (8, Some(7), Some(1000)));
    }

    #[test]
    fn later_settings_count_and_rules_add_up() {
        let rules = |text: &str| text.parse::<Rules>().unwrap();
        let both = rules("read:short=0,seed=1").and(rules("write:eio=1@stdio,seed=2")).unwrap();
        assert_eq!((both.rules.len(), both.seed), (2, Some(2)));
        let many = "read:short=0,".repeat(MOST) + "read:short=0";
        assert!(many.parse::<Rules>().is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "read",
            "read:short",
            "read:short=2",
            "read:short=-1",
            "read:short=NaN",
            "read:sideways=0.1",
            "look:short=0.1",
            "read:short=0.1@data",
            "read:delay=0.1",
            "read:delay=5*0.1",
            "read:delay=99999999999s*0.1",
            "sync:short=0.1",
            "alloc:eio=0.1",
            "alloc:delay=1s*0.1",
            "write:eagain=0.1@/data",
            "read:enospc=0.1",
            "write:reset=0.1@/data",
            "seed=x",
            "limit=-1",
        ] {
            assert!(text.parse::<Rules>().is_err(), "{text}");
        }
    }
}
