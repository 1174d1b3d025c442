//! What /proc and /sys are made of: directories that are functions, files whose text is made when it is read, links.
//!
//! The one idea: nothing is kept. A lookup makes a [`Node`] around a few closures, which ask the kernel each time; so there
//! is nothing to keep in step with processes that come and go, and an open file of a process that has gone says `ESRCH`.

use std::hash::Hasher;
use std::sync::{Arc, Weak};

use linux_raw_sys::general as raw;
use parking_lot::Mutex;

use crate::errno::{Errno, SysResult};
use crate::process::{Process, UserNamespace};
use crate::vfs::buf::{IoDst, IoSrc};
use crate::vfs::dentry::NameHasher;
use crate::vfs::inode::{DirEntry, DirSink, FIRST_COOKIE, Inode};
use crate::vfs::metadata::{DeviceNumber, FileType, Metadata, Timespec};
use crate::vfs::mount::Path;
use crate::vfs::permission::Credentials;
use crate::vfs::{file::File, seek::Seeking};

/// Makes the text of a file.
pub(super) type Text = Arc<dyn Fn() -> SysResult<Vec<u8>> + Send + Sync>;
/// Takes what is written to a file.
pub(super) type Sink = Arc<dyn Fn(&[u8]) -> SysResult<()> + Send + Sync>;
/// Takes what is written to a file at an offset.
pub(super) type SinkAt = Arc<dyn Fn(u64, &[u8]) -> SysResult<()> + Send + Sync>;

/// Where the entries begin that are named by a number, of a process or a descriptor.
const NUMBERED: u64 = 1 << 32;

/// The place of such an entry: its own, so that others may come and go while the directory is read.
fn place_of(name: &[u8]) -> Option<u64> {
    let number: u32 = std::str::from_utf8(name).ok()?.parse().ok()?;
    Some(NUMBERED + u64::from(number))
}

/// A directory whose entries are made up.
pub(super) trait Directory: Send + Sync {
    /// The names and types of all entries.
    fn list(&self) -> SysResult<Vec<(Vec<u8>, FileType)>>;
    /// The entry `name`; `ENOENT`.
    fn find(&self, name: &[u8]) -> SysResult<What>;
    /// The process whose directory it is.
    fn process(&self) -> Option<Weak<Process>> {
        None
    }
    /// The process that it tells about, and all that is in it.
    fn subject(&self) -> Option<Weak<Process>> {
        None
    }
    /// Its permissions.
    fn mode(&self) -> u32 {
        0o555
    }
    /// Its links: two, and those of the directories in it where somebody looks at them.
    fn links(&self) -> u32 {
        2
    }
}

/// A file that is no text.
pub(super) trait Special: Send + Sync {
    /// Opens it.
    fn open(&self) -> SysResult<Arc<dyn File>>;
    /// Its permissions.
    fn mode(&self) -> u32;
}

/// What a file is to who opens it with the flags of open(2): its text, and what takes writes.
pub(super) type Opener =
    Arc<dyn Fn(u32, &Arc<Credentials>) -> SysResult<(Text, Option<SinkAt>)> + Send + Sync>;

/// What a node is.
pub(super) enum What {
    /// A directory.
    Directory(Arc<dyn Directory>),
    /// A file with a text, that may take writes.
    File(Text, Option<Sink>),
    /// A file with a text for its user alone.
    Private(Text),
    /// A file that is not the same to everybody, of these permissions.
    Seen(u32, Opener),
    /// A file that is no text.
    Special(Arc<dyn Special>),
    /// A symbolic link; the text may depend on the process that asks.
    Link(Arc<dyn Fn(i32) -> SysResult<Vec<u8>> + Send + Sync>),
    /// A link that says one thing and leads to a place.
    Jump(Text, Arc<dyn Fn() -> SysResult<Path> + Send + Sync>),
}

impl What {
    /// A file that only has a text.
    pub(super) fn text(text: impl Fn() -> SysResult<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::File(Arc::new(text), None)
    }

    /// A file with a text of ids, as the namespace of users of who opens it has them.
    pub(super) fn of_ids(
        text: impl Fn(&UserNamespace) -> SysResult<String> + Send + Sync + 'static,
    ) -> Self {
        let text = Arc::new(text);
        let open = move |_, cred: &Arc<Credentials>| -> SysResult<(Text, Option<SinkAt>)> {
            let (text, users) = (Arc::clone(&text), cred.namespace.clone());
            Ok((Arc::new(move || Ok(text(&users)?.into_bytes())), None))
        };
        Self::Seen(0o444, Arc::new(open))
    }

    /// A file whose text does not change.
    pub(super) fn fixed(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        Self::text(move || Ok(text.clone()))
    }

    /// A text is for its user alone.
    pub(super) fn private(self) -> Self {
        match self {
            Self::File(text, _) => Self::Private(text),
            other => other,
        }
    }

    /// A link that is the same for everybody.
    pub(super) fn link(target: &'static [u8]) -> Self {
        Self::Link(Arc::new(move |_| Ok(target.to_vec())))
    }

    fn kind(&self) -> FileType {
        match self {
            Self::Directory(_) => FileType::Directory,
            Self::File(..) | Self::Private(_) | Self::Seen(..) | Self::Special(_) => {
                FileType::Regular
            }
            Self::Link(_) | Self::Jump(..) => FileType::Symlink,
        }
    }
}

/// An inode of a file system that is made up.
pub(super) struct Node {
    what: What,
    device: DeviceNumber,
    ino: u64,
    /// The process that it tells about, whose user it belongs to.
    subject: Option<Weak<Process>>,
    time: Timespec,
    /// The host directory whose attributes show instead.
    mirror: Option<Arc<hal::host::HostNode>>,
}

impl Node {
    /// The root directory.
    pub(super) fn root(
        directory: Arc<dyn Directory>,
        device: DeviceNumber,
        mirror: Option<Arc<hal::host::HostNode>>,
    ) -> Arc<Self> {
        let what = What::Directory(directory);
        let time = Timespec::now();
        Arc::new(Self { what, device, ino: 1, subject: None, time, mirror })
    }

    /// The process whose directory it is.
    pub(super) fn process(&self) -> Option<Weak<Process>> {
        match &self.what {
            What::Directory(directory) => directory.process(),
            _ => None,
        }
    }

    /// User and group. Files are root's while their process has something to hide; not folders, for it may always look at its own descriptors.
    fn owner(&self) -> (u32, u32) {
        let process = self.subject.as_ref().and_then(Weak::upgrade);
        match process {
            Some(process) if self.kind().is_dir() || process.attributes.lock().dumpable => {
                let ids = process.ids.lock();
                (ids.users[1], ids.groups[1])
            }
            // That of its program, as far as it has one.
            Some(process) => {
                let users = process.user_namespace();
                (users.root().unwrap_or(0), users.root_group().unwrap_or(0))
            }
            None => (0, 0),
        }
    }

    fn child_ino(&self, name: &[u8]) -> u64 {
        let mut hasher = NameHasher::default();
        hasher.write_u64(self.ino);
        hasher.write(name);
        (hasher.finish() & 0xffff_ffff) | 0x1_0000_0000
    }
}

impl Inode for Node {
    fn kind(&self) -> FileType {
        self.what.kind()
    }

    fn metadata(&self) -> SysResult<Metadata> {
        let mode = match &self.what {
            What::Directory(directory) => directory.mode(),
            What::File(_, None) => 0o444,
            What::Private(_) => 0o400,
            What::File(_, Some(_)) => 0o644,
            What::Seen(mode, _) => *mode,
            What::Special(file) => file.mode(),
            What::Link(_) | What::Jump(..) => 0o777,
        };
        let owner = self.owner();
        let mut metadata = Metadata {
            dev: self.device,
            ino: self.ino,
            kind: self.kind(),
            mode,
            nlink: match &self.what {
                What::Directory(directory) => directory.links().into(),
                _ => 1,
            },
            uid: owner.0,
            gid: owner.1,
            rdev: DeviceNumber(0),
            size: 0,
            block_size: 1024,
            blocks: 0,
            atime: self.time,
            mtime: self.time,
            ctime: self.time,
            btime: None,
        };
        if let Some(mirror) = &self.mirror
            && let Ok(stat) = mirror.stat()
        {
            crate::vfs::host_content::lend(&stat, &mut metadata);
        }
        Ok(metadata)
    }

    fn lookup(&self, name: &[u8]) -> SysResult<Arc<dyn Inode>> {
        let What::Directory(directory) = &self.what else { return Err(Errno::ENOTDIR) };
        let what = directory.find(name)?;
        let subject = match &what {
            What::Directory(below) => below.subject(),
            _ => None,
        };
        Ok(Arc::new(Self {
            what,
            device: self.device,
            ino: self.child_ino(name),
            subject: subject.or_else(|| self.subject.clone()),
            time: self.time,
            mirror: None,
        }))
    }

    fn caches_entries(&self) -> bool {
        false
    }

    fn read_dir(&self, cookie: u64, sink: &mut DirSink<'_>) -> SysResult<()> {
        let What::Directory(directory) = &self.what else { return Err(Errno::ENOTDIR) };
        let mut entries: Vec<(u64, Vec<u8>, FileType)> = (FIRST_COOKIE..)
            .zip(directory.list()?)
            .map(|(index, (name, kind))| (place_of(&name).unwrap_or(index), name, kind))
            .filter(|(place, ..)| *place >= cookie)
            .collect();
        entries.sort_unstable_by_key(|(place, ..)| *place);
        for (place, name, kind) in entries {
            let ino = self.child_ino(&name);
            if !sink(&DirEntry { name: &name, ino, kind, next: place + 1 }) {
                break;
            }
        }
        Ok(())
    }

    fn read_link(&self) -> SysResult<Vec<u8>> {
        self.read_link_as(0)
    }

    fn read_link_as(&self, pid: i32) -> SysResult<Vec<u8>> {
        match &self.what {
            What::Link(target) => target(pid),
            What::Jump(text, _) => text(),
            _ => Err(Errno::EINVAL),
        }
    }

    fn follow(&self) -> Option<SysResult<Path>> {
        match &self.what {
            What::Jump(_, place) => Some(place()),
            _ => None,
        }
    }

    fn resize(&self, _size: u64) -> SysResult<()> {
        // Opening with O_TRUNC, as a shell's redirection does.
        match &self.what {
            What::File(_, Some(_)) | What::Seen(..) | What::Special(_) => Ok(()),
            _ => Err(Errno::EACCES),
        }
    }

    fn open_as(&self, flags: u32, cred: &Arc<Credentials>) -> SysResult<Option<Arc<dyn File>>> {
        let What::Seen(_, open) = &self.what else { return self.open(flags) };
        let (text, sink) = open(flags, cred)?;
        if flags & raw::O_ACCMODE != raw::O_RDONLY && sink.is_none() {
            return Err(Errno::EACCES);
        }
        Ok(Some(TextFile::opened(text, sink)))
    }

    fn open(&self, flags: u32) -> SysResult<Option<Arc<dyn File>>> {
        if let What::Special(file) = &self.what {
            return file.open().map(Some);
        }
        let (text, sink) = match &self.what {
            What::File(text, sink) => (text, sink.as_ref()),
            What::Private(text) => (text, None),
            _ => return Ok(None),
        };
        if flags & raw::O_ACCMODE != raw::O_RDONLY && sink.is_none() {
            return Err(Errno::EACCES);
        }
        let sink = sink.cloned().map(|sink| -> SinkAt { Arc::new(move |_, text| sink(text)) });
        Ok(Some(TextFile::opened(text.clone(), sink)))
    }
}

/// An open file whose text is made when it is read from the beginning.
struct TextFile {
    text: Text,
    sink: Option<SinkAt>,
    made: Mutex<Option<Vec<u8>>>,
}

impl TextFile {
    fn opened(text: Text, sink: Option<SinkAt>) -> Arc<dyn File> {
        Arc::new(Self { text, sink, made: Mutex::new(None) })
    }
}

impl File for TextFile {
    fn read(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        let mut made = self.made.lock();
        if offset == 0 {
            *made = None;
        }
        let text = match &mut *made {
            Some(text) => text,
            empty => empty.insert((self.text)()?),
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        dst.write(&text[offset..])
    }

    fn write(&self, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        let sink = self.sink.as_ref().ok_or(Errno::EINVAL)?;
        let mut text = vec![0; src.remaining().min(4096)];
        let len = src.read(&mut text)?;
        sink(offset, &text[..len])?;
        Ok(len)
    }

    fn seeking(&self) -> Seeking {
        Seeking::Moves
    }

    fn size(&self) -> SysResult<u64> {
        Ok(0)
    }
}

/// A directory whose entries are listed in a table.
pub(super) struct Table<T: 'static> {
    /// What the makers are given.
    pub(super) context: T,
    /// Paths below the directory, with a maker for each file.
    pub(super) entries: &'static [Row<T>],
    /// The part of the paths that this directory stands for, with a slash behind unless empty.
    pub(super) prefix: &'static str,
}

/// A path and what makes the file.
pub(super) type Row<T> = (&'static str, fn(&T) -> What);

impl<T: Clone + Send + Sync + 'static> Table<T> {
    fn below(&self) -> impl Iterator<Item = (&'static str, fn(&T) -> What)> {
        let prefix = self.prefix;
        let below = self.entries.iter();
        below.filter_map(move |&(path, make)| Some((path.strip_prefix(prefix)?, make)))
    }
}

impl<T: Clone + Send + Sync + 'static> Directory for Table<T> {
    fn list(&self) -> SysResult<Vec<(Vec<u8>, FileType)>> {
        let mut names: Vec<(Vec<u8>, FileType)> = Vec::new();
        for (path, make) in self.below() {
            let (name, kind) = match path.split_once('/') {
                Some((name, _)) => (name, FileType::Directory),
                None => (path, make(&self.context).kind()),
            };
            if names.last().is_none_or(|(last, _)| last != name.as_bytes()) {
                names.push((name.as_bytes().to_vec(), kind));
            }
        }
        Ok(names)
    }

    fn find(&self, name: &[u8]) -> SysResult<What> {
        for (path, make) in self.below() {
            match path.split_once('/') {
                Some((first, _)) if first.as_bytes() == name => {
                    let whole = self.entries.iter().find(|(whole, _)| {
                        whole.strip_prefix(self.prefix).is_some_and(|rest| rest == path)
                    });
                    let (whole, _) = whole.ok_or(Errno::ENOENT)?;
                    let end = self.prefix.len() + first.len() + 1;
                    let prefix = whole.get(..end).ok_or(Errno::ENOENT)?;
                    let context = self.context.clone();
                    let table = Table { context, entries: self.entries, prefix };
                    return Ok(What::Directory(Arc::new(table)));
                }
                None if path.as_bytes() == name => return Ok(make(&self.context)),
                _ => {}
            }
        }
        Err(Errno::ENOENT)
    }
}
