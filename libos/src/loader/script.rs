//! Interpreter scripts: what a `#!` line says.
//!
//! The one idea: only the first 256 bytes of the file count, and the line has one optional argument that
//! may contain blanks; see "Interpreter scripts" in execve(2) and Linux's `binfmt_script`.

/// How many bytes of a file Linux looks at to find out what it is (`BINPRM_BUF_SIZE`).
pub const HEAD_SIZE: usize = 256;
/// How many interpreters may stand between a script and an ELF image; one more is `ELOOP`.
pub const MAX_DEPTH: usize = 5;

/// A parsed `#!` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shebang {
    /// The program that runs the script; becomes its own argument 0.
    pub interpreter: Vec<u8>,
    /// The rest of the line without surrounding blanks, one argument however many words.
    pub argument: Option<Vec<u8>>,
}

/// What the first bytes of a file say about it being a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// It does not begin with `#!`.
    NotScript,
    /// It begins with `#!`, but no interpreter's whole name follows in the first 256 bytes (`ENOEXEC`).
    Malformed,
    /// Run it with this.
    Script(Shebang),
}

/// Looks at the first bytes of a file; bytes after [`HEAD_SIZE`] are ignored.
pub fn parse(head: &[u8]) -> Head {
    let whole_line_seen = head.len() < HEAD_SIZE;
    let head = head.get(..HEAD_SIZE).unwrap_or(head);
    let Some(line) = head.strip_prefix(b"#!") else { return Head::NotScript };
    let (line, ended) = match line.iter().position(|&byte| byte == b'\n') {
        Some(end) => (line.get(..end).unwrap_or(line), true),
        None => (line, whole_line_seen),
    };
    let line = trim(line);
    let name_len = line.iter().position(|&byte| is_blank(byte) || byte == 0).unwrap_or(line.len());
    let (interpreter, rest) = line.split_at(name_len);
    // A name that runs into the end of the window may be cut short, and half a name may be another program's.
    if interpreter.is_empty() || (!ended && rest.is_empty()) {
        return Head::Malformed;
    }
    let rest = trim(rest.split(|&byte| byte == 0).next().unwrap_or_default());
    let argument = (!rest.is_empty()).then(|| rest.to_vec());
    Head::Script(Shebang { interpreter: interpreter.to_vec(), argument })
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|&byte| !is_blank(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|&byte| !is_blank(byte)).map_or(start, |last| last + 1);
    line.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn script(interpreter: &str, argument: Option<&str>) -> Head {
        Head::Script(Shebang {
            interpreter: interpreter.into(),
            argument: argument.map(|argument| argument.as_bytes().to_vec()),
        })
    }

    #[test]
    fn a_line_has_a_program_and_at_most_one_argument() {
        assert_eq!(parse(b"#!/bin/sh\necho"), script("/bin/sh", None));
        assert_eq!(parse(b"#! /bin/sh -e  \n"), script("/bin/sh", Some("-e")));
        assert_eq!(
            parse(b"#!/usr/bin/env -S python3 -u\n"),
            script("/usr/bin/env", Some("-S python3 -u"))
        );
        assert_eq!(parse(b"#!/bin/sh"), script("/bin/sh", None), "a file may end without newline");
        assert_eq!(parse(b"echo"), Head::NotScript);
        assert_eq!(parse(b"#"), Head::NotScript);
    }

    #[test]
    fn a_line_without_a_whole_name_is_malformed() {
        assert_eq!(parse(b"#!\n"), Head::Malformed);
        assert_eq!(parse(b"#!   \t\n/bin/sh"), Head::Malformed);
        let mut long = b"#!/".to_vec();
        long.resize(300, b'a');
        assert_eq!(parse(&long), Head::Malformed);
        // The argument may be cut, as on Linux.
        long[20] = b' ';
        assert!(matches!(parse(&long), Head::Script(_)));
    }

    proptest! {
        #[test]
        fn any_bytes_parse(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"#!".as_slice(), &bytes].concat());
        }
    }
}
