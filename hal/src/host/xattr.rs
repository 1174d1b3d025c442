//! Extended attributes of host files; see `xattr(7)`.

use std::ffi::{CStr, CString};

use super::{
    HostError, HostNode, Result,
    error::{check, retry},
};

/// The longest value or list the host gives, in bytes.
const MAX: usize = 65536;

impl HostNode {
    /// The value of the attribute; `ENODATA` when there is none. Symlinks have none here: `EOPNOTSUPP` or so.
    pub fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        let name = c_name(name)?;
        self.read_all(|path, buffer| {
            // SAFETY: two C strings; the host writes at most the length at the pointer.
            unsafe {
                libc::getxattr(
                    path.as_ptr(),
                    name.as_ptr(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                )
            }
        })
    }

    /// The names of all attributes, each followed by a NUL.
    pub fn xattr_names(&self) -> Result<Vec<u8>> {
        self.read_all(|path, buffer| {
            // SAFETY: a C string; the host writes at most the length at the pointer.
            unsafe { libc::listxattr(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
        })
    }

    /// Sets the attribute; `flags` is 0, `XATTR_CREATE` or `XATTR_REPLACE`.
    pub fn set_xattr(&self, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
        let name = c_name(name)?;
        self.with_proc_path(|path| {
            // SAFETY: two C strings; the host reads the slice.
            check(unsafe {
                libc::setxattr(
                    path.as_ptr(),
                    name.as_ptr(),
                    value.as_ptr().cast(),
                    value.len(),
                    flags,
                )
            } as isize)
        })?;
        Ok(())
    }

    /// Removes the attribute; `ENODATA` when there is none.
    pub fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        let name = c_name(name)?;
        self.with_proc_path(|path| {
            // SAFETY: two C strings.
            check(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) } as isize)
        })?;
        Ok(())
    }

    fn read_all(&self, call: impl Fn(&CStr, &mut [u8]) -> isize) -> Result<Vec<u8>> {
        self.with_proc_path(|path| {
            let mut buffer = vec![0; MAX];
            let n = retry(|| check(call(path, &mut buffer)))?;
            buffer.truncate(n);
            Ok(buffer)
        })
    }
}

fn c_name(name: &[u8]) -> Result<CString> {
    CString::new(name).map_err(|_| HostError::from_errno(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_set_listed_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (node, _) = HostNode::open(dir.path()).unwrap().create_file(b"file", 0o600).unwrap();
        match node.set_xattr(b"user.colour", b"blue", 0) {
            // The file system of the scratch directory has none.
            Err(error) if error.errno() == libc::EOPNOTSUPP => return,
            result => result.unwrap(),
        }
        assert_eq!(node.xattr(b"user.colour").unwrap(), b"blue");
        assert!(node.xattr_names().unwrap().split(|&b| b == 0).any(|name| name == b"user.colour"));
        node.remove_xattr(b"user.colour").unwrap();
        assert_eq!(node.xattr(b"user.colour").unwrap_err().errno(), libc::ENODATA);
    }
}
