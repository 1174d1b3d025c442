//! Why a program could not be started, for a guest as an error number and for a person as one line.

use std::fmt;

use super::elf::ElfError;
use crate::errno::Errno;

/// Why a file could not be opened for execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The path leads to a directory.
    Directory,
    /// The path leads to a device, FIFO or socket.
    NotRegular,
    /// The caller may not execute the file, or nobody may.
    NotExecutable,
    /// The path could not be followed.
    Path(Errno),
}

impl OpenError {
    /// What execve(2) returns.
    pub fn errno(self) -> Errno {
        match self {
            Self::Directory | Self::NotRegular | Self::NotExecutable => Errno::EACCES,
            Self::Path(errno) => errno,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "Is a directory (name a program in it)",
            Self::NotRegular => "Not a regular file (name a program)",
            Self::NotExecutable => "Permission denied (chmod +x makes a file executable)",
            Self::Path(Errno::ENOENT) => {
                "No such file or directory (check the name; --root and --bind decide what there is)"
            }
            Self::Path(Errno::ENOTDIR) => "Not a directory, a part of the path (check the name)",
            Self::Path(Errno::ELOOP) => "Too many levels of symbolic links (check the links)",
            Self::Path(Errno::ENAMETOOLONG) => "File name too long (check the name)",
            Self::Path(Errno::EACCES) => "Permission denied in a directory of the path",
            Self::Path(errno) => return write!(f, "Cannot be opened: {errno}"),
        })
    }
}

/// Why a program could not be loaded. The texts complete the sentence that begins with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The program itself could not be opened.
    Open(OpenError),
    /// No directory of `PATH` has a program of that name.
    NotInPath,
    /// The first line of a script names an interpreter that could not be opened.
    ScriptInterpreter(Vec<u8>, OpenError),
    /// A script's interpreter is a script is a script, too many times.
    ScriptDepth,
    /// There is a `#!` but no interpreter after it.
    ScriptLine,
    /// The file is no program for this kernel.
    Elf(ElfError),
    /// The interpreter that an ELF file names could not be opened.
    Interpreter(Vec<u8>, OpenError),
    /// The interpreter that an ELF file names is no program for this kernel.
    InterpreterElf(Vec<u8>, ElfError),
    /// The ELF file names an interpreter, and there is none here.
    Interpreted,
    /// The image wants fixed addresses that another program has, or that no guest can have.
    AddressTaken,
    /// Arguments and environment are too large.
    TooBig,
    /// Reading or mapping failed.
    System(Errno),
}

impl LoadError {
    /// What execve(2) returns.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Open(error) | Self::ScriptInterpreter(_, error) | Self::Interpreter(_, error) => {
                error.errno()
            }
            Self::NotInPath => Errno::ENOENT,
            Self::ScriptDepth => Errno::ELOOP,
            Self::ScriptLine => Errno::ENOEXEC,
            Self::Elf(error) => error.errno(),
            Self::InterpreterElf(..) | Self::Interpreted => Errno::ELIBBAD,
            Self::AddressTaken => Errno::ENOMEM,
            Self::TooBig => Errno::E2BIG,
            Self::System(errno) => *errno,
        }
    }

    /// The exit status that a shell gives for a command with this error: 127 when there is no such program,
    /// 126 when there is one that cannot be run.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotInPath | Self::Open(OpenError::Path(Errno::ENOENT | Errno::ENOTDIR)) => 127,
            _ => 126,
        }
    }
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::E2BIG => Self::TooBig,
            errno => Self::System(errno),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::NotInPath => f.write_str("command not found (check the name and PATH)"),
            Self::ScriptInterpreter(path, error) => {
                write!(f, "Bad interpreter: its first line names {}, which ", path.escape_ascii())?;
                describe_dependency(f, *error)
            }
            Self::ScriptDepth => {
                f.write_str("Bad interpreter: scripts that run scripts, nested too deep")
            }
            Self::ScriptLine => f.write_str(
                "Exec format error: no interpreter after #! (name one, such as #!/bin/sh)",
            ),
            Self::Elf(ElfError::NotElf) => f.write_str(
                "Exec format error: neither an ELF program nor a script (begin a script with a line such as #!/bin/sh)",
            ),
            Self::Elf(error) => {
                let remedy = match error {
                    ElfError::Class32 | ElfError::Machine(_) => "only 64-bit x86-64 programs run here",
                    ElfError::Type(_) => "link it into a program first",
                    _ => "copy or build it again",
                };
                write!(f, "Exec format error: {error} ({remedy})")
            }
            Self::Interpreter(path, error) => {
                write!(f, "It needs {}, which ", path.escape_ascii())?;
                describe_dependency(f, *error)
            }
            Self::InterpreterElf(path, error) => {
                write!(f, "It needs {}, which is unusable: {error}", path.escape_ascii())
            }
            Self::Interpreted => f.write_str(
                "It wants an interpreter, as programs of Linux do (link it with -Wl,--no-dynamic-linker)",
            ),
            Self::AddressTaken => f.write_str(
                "Cannot allocate memory: its fixed addresses are taken or out of reach (link it as PIE)",
            ),
            Self::TooBig => f.write_str("Argument list too long (pass less, or less environment)"),
            Self::System(Errno::ENOMEM) => f.write_str("Cannot allocate memory (raise --memory)"),
            Self::System(errno) => write!(f, "Cannot be loaded: {errno}"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Finishes "…, which " for a file that the user did not name.
fn describe_dependency(f: &mut fmt::Formatter<'_>, error: OpenError) -> fmt::Result {
    match error {
        OpenError::Path(Errno::ENOENT | Errno::ENOTDIR) => {
            f.write_str("does not exist (install it in the guest's root)")
        }
        OpenError::NotExecutable => f.write_str("is not executable (chmod +x it)"),
        OpenError::Directory | OpenError::NotRegular | OpenError::Path(_) => {
            write!(f, "cannot be used: {error}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line_and_have_the_shells_status() {
        let missing = OpenError::Path(Errno::ENOENT);
        let all = [
            (LoadError::Open(missing), 127, Errno::ENOENT),
            (LoadError::NotInPath, 127, Errno::ENOENT),
            (LoadError::Open(OpenError::Directory), 126, Errno::EACCES),
            (LoadError::Open(OpenError::NotExecutable), 126, Errno::EACCES),
            (LoadError::ScriptInterpreter(b"/x\n".to_vec(), missing), 126, Errno::ENOENT),
            (LoadError::Interpreter(b"/x".to_vec(), missing), 126, Errno::ENOENT),
            (LoadError::Elf(ElfError::NotElf), 126, Errno::ENOEXEC),
            (LoadError::Elf(ElfError::Class32), 126, Errno::ENOEXEC),
            (LoadError::InterpreterElf(b"/x".to_vec(), ElfError::NotElf), 126, Errno::ELIBBAD),
            (LoadError::ScriptDepth, 126, Errno::ELOOP),
            (LoadError::AddressTaken, 126, Errno::ENOMEM),
            (Errno::E2BIG.into(), 126, Errno::E2BIG),
        ];
        for (error, code, errno) in all {
            assert_eq!((error.exit_code(), error.errno()), (code, errno), "{error:?}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
