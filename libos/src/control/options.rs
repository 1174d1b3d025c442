//! The command lines of `libos exec` and `libos ps`.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use clap::Parser;

use crate::cli::{parse_env, set_env};

/// Run a program in a kernel that is running.
#[derive(Debug, Parser)]
#[command(name = "libos exec", version)]
pub struct ExecCli {
    /// The kernel, as `libos ps` shows it [default: the only one there is]
    #[arg(long)]
    name: Option<String>,

    /// Set an environment variable of the program; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_env)]
    env: Vec<OsString>,

    /// Start with an empty environment instead of the host's
    #[arg(long)]
    clear_env: bool,

    /// Working directory of the program, in the guest [default: the host's]
    #[arg(long, value_name = "DIR")]
    cwd: Option<OsString>,

    /// The program and its arguments
    #[arg(value_name = "PROGRAM", required = true, num_args = 1.., trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// List the kernels that are running, and their processes.
#[derive(Debug, Parser)]
#[command(name = "libos ps", version)]
pub struct PsCli {
    /// Only this kernel
    #[arg(long)]
    pub(super) name: Option<String>,
}

/// What is to be run, and where.
pub(super) struct Wish {
    pub(super) name: Option<String>,
    pub(super) args: Vec<Vec<u8>>,
    pub(super) env: Vec<Vec<u8>>,
    pub(super) dir: Option<Vec<u8>>,
}

impl ExecCli {
    /// What these options ask for; `inherited` is the host's environment.
    pub(super) fn into_wish(self, inherited: Vec<Vec<u8>>) -> Wish {
        let mut env = if self.clear_env { Vec::new() } else { inherited };
        for setting in self.env {
            set_env(&mut env, setting.into_vec());
        }
        Wish {
            name: self.name,
            args: self.command.into_iter().map(OsString::into_vec).collect(),
            env,
            dir: self.cwd.map(OsString::into_vec),
        }
    }
}

/// The commands that are words of their own, if they are the first one.
#[derive(Debug)]
pub enum Subcommand {
    /// `libos exec`
    Exec(ExecCli),
    /// `libos ps`
    Ps(PsCli),
}

impl Subcommand {
    /// The one that `words`, `libos` first, begin with; the error is what is wrong with its options.
    pub fn of(words: &[OsString]) -> Option<Result<Self, clap::Error>> {
        let (word, rest) = words.get(1..)?.split_first()?;
        // What comes first is the name that messages begin with.
        let rest = || std::iter::once(word).chain(rest);
        match word.to_str()? {
            "exec" => Some(ExecCli::try_parse_from(rest()).map(Self::Exec)),
            "ps" => Some(PsCli::try_parse_from(rest()).map(Self::Ps)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Option<Result<Subcommand, clap::Error>> {
        Subcommand::of(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn only_the_first_word_is_a_command() {
        assert!(of(&["libos"]).is_none());
        for program in ["--", "/bin/ps", "./exec", "--init", "sh"] {
            assert!(of(&["libos", program, "ps", "exec"]).is_none());
        }
        assert!(matches!(of(&["libos", "ps"]), Some(Ok(Subcommand::Ps(_)))));
        assert_eq!(of(&["libos", "exec"]).unwrap().unwrap_err().exit_code(), 2);
        assert_eq!(of(&["libos", "ps", "-ef"]).unwrap().unwrap_err().exit_code(), 2);
    }

    #[test]
    fn everything_after_the_program_is_the_programs() {
        let words =
            ["libos", "exec", "--name", "a", "--env", "X=2", "ls", "--name", "b", "--", "-l"];
        let Some(Ok(Subcommand::Exec(exec))) = of(&words) else { panic!("not understood") };
        let wish = exec.into_wish(vec![b"X=1".to_vec(), b"Y=1".to_vec()]);
        assert_eq!(wish.name.as_deref(), Some("a"));
        assert_eq!(wish.args, ["ls", "--name", "b", "--", "-l"].map(Vec::from));
        assert_eq!(wish.env, ["X=2", "Y=1"].map(Vec::from));
    }
}
