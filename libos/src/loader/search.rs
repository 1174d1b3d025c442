//! Finding a program by its bare name, as a shell and execvp(3) do.
//!
//! The one idea: the guest's own `PATH` is used in the guest's own tree; the host's are never looked at.

use super::{Files, LoadError, OpenError};

/// Where to look when the environment has no `PATH` (execvp(3)'s default).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// The path of the program `name`: itself when it has a slash, else the first executable of that name in the
/// `PATH` of `env`. When there are only files that cannot be executed, the error says so.
pub fn find<F: Files>(files: &F, name: &[u8], env: &[Vec<u8>]) -> Result<Vec<u8>, LoadError> {
    if name.contains(&b'/') {
        return Ok(name.to_vec());
    }
    if name.is_empty() {
        return Err(LoadError::NotInPath);
    }
    let path = env.iter().find_map(|setting| setting.strip_prefix(b"PATH=".as_slice()));
    let mut best_error = LoadError::NotInPath;
    for dir in path.unwrap_or(DEFAULT_PATH).split(|&byte| byte == b':') {
        // An empty element is the working directory.
        let dir = if dir.is_empty() { b".".as_slice() } else { dir };
        let candidate = [dir, b"/", name].concat();
        match files.open(&candidate) {
            Ok(_) => return Ok(candidate),
            Err(error @ OpenError::NotExecutable) => best_error = LoadError::Open(error),
            Err(_) => {}
        }
    }
    Err(best_error)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Tree;
    use super::*;

    fn path(value: &str) -> Vec<Vec<u8>> {
        vec![b"HOME=/".to_vec(), format!("PATH={value}").into_bytes()]
    }

    #[test]
    fn the_first_executable_in_the_path_wins() {
        let tree = Tree::new(&[("/usr/bin/tool", b""), ("/opt/tool", b""), ("./here", b"")]);
        let found = |name: &str, env: &str| find(&tree, name.as_bytes(), &path(env));
        assert_eq!(found("tool", "/nowhere:/opt:/usr/bin"), Ok(b"/opt/tool".to_vec()));
        assert_eq!(found("here", "/opt::/usr/bin"), Ok(b"./here".to_vec()));
        assert_eq!(found("/any/thing", ""), Ok(b"/any/thing".to_vec()));
        assert_eq!(found("other", "/opt:/usr/bin").unwrap_err().exit_code(), 127);
        assert_eq!(found("", "/opt").unwrap_err().exit_code(), 127);
        assert_eq!(find(&tree, b"tool", &[]), Ok(b"/usr/bin/tool".to_vec()));
    }

    #[test]
    fn a_file_that_is_not_executable_is_passed_over_but_remembered() {
        let mut tree = Tree::new(&[("/a/tool", b""), ("/b/tool", b"")]);
        tree.forbid("/a/tool");
        assert_eq!(find(&tree, b"tool", &path("/a:/b")), Ok(b"/b/tool".to_vec()));
        tree.forbid("/b/tool");
        assert_eq!(find(&tree, b"tool", &path("/a:/b:/c")).unwrap_err().exit_code(), 126);
    }
}
