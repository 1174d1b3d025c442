//! The virtual file system: names, files and the file systems behind them.
//!
//! Read in this order: [`metadata`] and [`buf`] (the plain data), [`inode`] (what a file system implements) and
//! [`open_file`] (what a descriptor refers to), [`dentry`], [`mount`] and [`path`] (from names to inodes),
//! then the file systems. The one idea: a system call is a path walk over caches plus one call on
//! an inode or an open file, and none of them waits.

pub mod acl;
pub mod attributes;
pub mod buf;
pub mod content;
pub mod dentry;
pub mod devices;
pub mod entries;
pub mod file;
pub mod handle;
pub mod host_content;
pub mod hostfs;
pub mod inode;
pub mod lock;
pub mod mapped_name;
pub mod metadata;
pub mod mount;
pub mod mount_namespace;
pub mod mqueuefs;
pub mod namespace;
pub mod notify;
pub mod open_file;
pub mod ops;
pub mod overlay;
pub mod path;
pub mod permission;
pub mod pipe;
pub mod procfs;
pub mod quota;
pub mod readiness;
mod reopen;
pub mod ring;
pub mod seek;
pub mod stdio;
#[cfg(test)]
pub(crate) mod testing;
pub mod tmpfs;
pub mod writers;
pub mod xattr;

pub use attributes::Attributes;
pub use buf::{GuestMemory, GuestRange, IoDst, IoSrc};
pub use file::File;
pub use inode::{DirEntry, FileSystem, Inode, NewNode, RenameFlags};
pub use metadata::{AttributeChange, DeviceNumber, FileType, Metadata, StatFs, Timespec};
pub use mount::{Mount, MountFlags, Path, Superblock};
pub use mount_namespace::MountNamespace;
pub use open_file::OpenFile;
pub use path::{FsContext, LookupFlags};
pub use permission::{Access, Capabilities, Credentials};
pub use readiness::PollEvents;
pub use seek::{Seeking, Whence};
