//! Unix sockets of the host's at which kernels are asked for something by other processes of the same user.
//!
//! The one idea: a folder that only its user can enter has for each name a socket and a lock file. Who holds the lock is the living one of that name; what
//! a dead one has left is not locked, and is taken away by whoever comes next. And who connects says who he is: the host tells (`SO_PEERCRED`).

use std::{
    env, fs,
    io::ErrorKind,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::{
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    HostError, Result,
    error::{check, retry},
};
use crate::reactor::Readiness;

/// Descriptors that may come with one message.
const DESCRIPTORS: usize = 8;

/// For how long a new listener waits for somebody who has its lock and does not answer: much longer than sweeping takes.
const SWEEP: Duration = Duration::from_secs(1);

/// Where sockets of this user are.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// `$XDG_RUNTIME_DIR/libos`, or /tmp/libos-UID without that; made if it is not there.
    ///
    /// # Errors
    ///
    /// `EPERM` when it is somebody else's, or others may write there; the host's.
    pub fn open() -> Result<Self> {
        let user = nix::unistd::geteuid().as_raw();
        let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let own = own.filter(|path| path.is_absolute() && path.is_dir());
        match own {
            Some(own) => Self::at(own.join("libos"), user),
            None => Self::at(format!("/tmp/libos-{user}").into(), user),
        }
    }

    /// The one named `name` in this one; made if it is not there.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(super) fn within(&self, name: &str) -> Result<Self> {
        Self::open_at(self.0.join(name))
    }

    /// That at `path`; made if it is not there.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_at(path: PathBuf) -> Result<Self> {
        Self::at(path, nix::unistd::geteuid().as_raw())
    }

    pub(super) fn at(path: PathBuf, user: u32) -> Result<Self> {
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        // Not through a symbolic link, which could be anybody's.
        let found = fs::symlink_metadata(&path)?;
        let private = found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0;
        if private { Ok(Self(path)) } else { Err(HostError::from_errno(libc::EPERM)) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, name: &str, kind: &str) -> PathBuf {
        self.0.join(format!("{name}.{kind}"))
    }

    /// The names that have a socket, in order; that of a dead one may be among them.
    pub fn names(&self) -> Result<Vec<String>> {
        let entries =
            fs::read_dir(&self.0)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> =
            entries.filter_map(|entry| entry.strip_suffix(".sock").map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    /// The lock of `name`. `EADDRINUSE` while somebody else has it.
    pub(super) fn lock(&self, name: &str) -> Result<OwnedFd> {
        let path = self.file(name, "lock");
        loop {
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path)?;
            // SAFETY: two numbers.
            let got = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
            if let Err(error) = check(got as isize) {
                let taken = error.would_block();
                return Err(if taken { HostError::from_errno(libc::EADDRINUSE) } else { error });
            }
            // Its last holder may have removed it between the two calls.
            let held = file.metadata()?;
            match fs::symlink_metadata(&path) {
                Ok(found) if (found.dev(), found.ino()) == (held.dev(), held.ino()) => {
                    return Ok(file.into());
                }
                _ => {}
            }
        }
    }

    /// As [`lock`](Self::lock), though somebody may have the lock for a moment who sweeps: who lives answers.
    fn lock_from_sweepers(&self, name: &str) -> Result<OwnedFd> {
        let start = Instant::now();
        loop {
            let lock = self.lock(name);
            let taken = lock.as_ref().is_err_and(|error| error.errno() == libc::EADDRINUSE);
            if !taken
                || start.elapsed() > SWEEP
                || UnixStream::connect(self.file(name, "sock")).is_ok()
            {
                return lock;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Removes what a dead one of the name has left. False if it lives.
    pub fn sweep(&self, name: &str) -> Result<bool> {
        // The lock is not touched while somebody answers, who might not get it back.
        if UnixStream::connect(self.file(name, "sock")).is_ok() {
            return Ok(false);
        }
        match self.lock(name) {
            Ok(_lock) => {
                self.remove(name);
                Ok(true)
            }
            Err(error) if error.errno() == libc::EADDRINUSE => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The lock is held. The lock file goes last: from then on another one may begin.
    pub(super) fn remove(&self, name: &str) {
        for kind in ["sock", "lock"] {
            // What is gone already needs no removing.
            let _ = fs::remove_file(self.file(name, kind));
        }
    }

    /// Listens as `name`, which is a name of a file.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` while another one of that name lives; the host's.
    pub fn listen(&self, name: &str) -> Result<Listener> {
        let lock = self.lock_from_sweepers(name)?;
        let path = self.file(name, "sock");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let bound = || -> Result<(UnixListener, Readiness)> {
            let socket = UnixListener::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            socket.set_nonblocking(true)?;
            let readiness = Readiness::new(socket.try_clone()?)?;
            Ok((socket, readiness))
        };
        let (socket, readiness) = bound().inspect_err(|_| self.remove(name))?;
        let (folder, name) = (self.clone(), name.to_owned());
        Ok(Listener { folder, name, socket, readiness, _lock: lock })
    }

    /// Connects to the one named `name`, which must be this user's or root's.
    ///
    /// # Errors
    ///
    /// `ENOENT`, or `ECONNREFUSED` for a dead one; `EPERM`; the host's.
    pub fn connect(&self, name: &str) -> Result<Connection> {
        let connection = Connection::new(UnixStream::connect(self.file(name, "sock"))?.into())?;
        if connection.is_trusted()? {
            Ok(connection)
        } else {
            Err(HostError::from_errno(libc::EPERM))
        }
    }
}

/// Waits for connections. Dropped, it takes its name back.
#[derive(Debug)]
pub struct Listener {
    folder: Folder,
    name: String,
    socket: UnixListener,
    readiness: Readiness,
    _lock: OwnedFd,
}

impl Listener {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the name back before it is dropped: nobody finds it any more.
    pub fn close(&self) {
        self.folder.remove(&self.name);
    }

    /// Waits for the next connection, whoever it is from.
    pub async fn accept(&self) -> Result<Connection> {
        loop {
            match self.socket.accept().map_err(HostError::from) {
                Ok((socket, _)) => return Connection::new(socket.into()),
                Err(error) if error.would_block() => self.readiness.readable().await?,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// A connection; dropped, it is closed.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    readiness: Readiness,
}

/// Room for the control message of [`DESCRIPTORS`], aligned for its header.
#[repr(C, align(8))]
struct Control([u8; 64]);

impl Connection {
    fn new(socket: OwnedFd) -> Result<Self> {
        let readiness = Readiness::new(socket.try_clone().map_err(HostError::from)?)?;
        Ok(Self { socket, readiness })
    }

    /// Two ends of one.
    pub fn pair() -> Result<(Self, Self)> {
        let (one, other) = UnixStream::pair()?;
        Ok((Self::new(one.into())?, Self::new(other.into())?))
    }

    /// The user who has made the other end.
    pub fn peer(&self) -> Result<u32> {
        let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let mut len = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the host stores at most `len` bytes, a `ucred`, and how many.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut found).cast(),
                &raw mut len,
            )
        };
        check(result as isize)?;
        Ok(found.uid)
    }

    /// Whether the other end is of this user or of root.
    pub fn is_trusted(&self) -> Result<bool> {
        let peer = self.peer()?;
        Ok(peer == 0 || peer == nix::unistd::geteuid().as_raw())
    }

    /// Sends all of `bytes`, with `descriptors`, at most eight, beside the first of them.
    pub async fn send(&self, mut bytes: &[u8], mut descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        while !bytes.is_empty() {
            match self.try_send(bytes, descriptors) {
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    descriptors = &[];
                }
                Err(error) if error.would_block() => self.readiness.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn try_send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<usize> {
        let numbers: Vec<i32> = descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
        if numbers.len() > DESCRIPTORS {
            return Err(HostError::from_errno(libc::EINVAL));
        }
        let mut control = Control([0; 64]);
        let mut part =
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: all zeros are a message with nothing in it.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        if !numbers.is_empty() {
            let len = size_of_val(&numbers[..]) as u32;
            message.msg_control = control.0.as_mut_ptr().cast();
            // SAFETY: computes a length. Eight numbers take 48 bytes with their header, and there are 64.
            message.msg_controllen = unsafe { libc::CMSG_SPACE(len) } as usize;
            // SAFETY: the buffer is aligned and has room for a header and `len` bytes, as just said, so the first header and its data are in it.
            unsafe {
                let header = libc::CMSG_FIRSTHDR(&raw const message);
                (*header).cmsg_level = libc::SOL_SOCKET;
                (*header).cmsg_type = libc::SCM_RIGHTS;
                (*header).cmsg_len = libc::CMSG_LEN(len) as usize;
                std::ptr::copy_nonoverlapping(
                    numbers.as_ptr().cast(),
                    libc::CMSG_DATA(header),
                    len as usize,
                );
            }
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let socket = self.socket.as_raw_fd();
        // SAFETY: every pointer is to a live buffer of the length beside it, which the host only reads.
        retry(|| check(unsafe { libc::sendmsg(socket, &raw const message, flags) }))
    }

    /// Waits for bytes and receives them; 0 at the end. What descriptors came is added to `descriptors`.
    pub async fn receive(&self, buf: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> Result<usize> {
        loop {
            match self.try_receive(buf, descriptors) {
                Err(error) if error.would_block() => self.readiness.readable().await?,
                result => return result,
            }
        }
    }

    fn try_receive(&self, buf: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> Result<usize> {
        let mut control = Control([0; 64]);
        let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
        // SAFETY: all zeros are a message with nothing in it.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len();
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let socket = self.socket.as_raw_fd();
        // SAFETY: every pointer is to an exclusively borrowed buffer of the length beside it.
        let count = retry(|| check(unsafe { libc::recvmsg(socket, &raw mut message, flags) }))?;
        // SAFETY: the host has filled the control buffer with whole messages, and `msg_controllen` says how much of it; the macros stay within that.
        // Descriptors in it are new ones of this process that nobody else knows, so each is owned once.
        unsafe {
            let mut header = libc::CMSG_FIRSTHDR(&raw const message);
            while !header.is_null() {
                if ((*header).cmsg_level, (*header).cmsg_type)
                    == (libc::SOL_SOCKET, libc::SCM_RIGHTS)
                {
                    let data = libc::CMSG_DATA(header).cast::<i32>();
                    let bytes = (*header).cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
                    for index in 0..bytes / size_of::<i32>() {
                        descriptors.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                    }
                }
                header = libc::CMSG_NXTHDR(&raw const message, header);
            }
        }
        Ok(count)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::cpu::block_on;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(dir.path().join("libos"), nix::unistd::geteuid().as_raw()).unwrap();
        (dir, folder)
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let (dir, folder) = folder();
        let user = nix::unistd::geteuid().as_raw();
        let refused = |path: &Path, user| Folder::at(path.into(), user).unwrap_err().errno();
        assert_eq!(refused(folder.path(), user + 1), libc::EPERM);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(refused(folder.path(), user), libc::EPERM);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert_eq!(refused(&link, user), libc::EPERM);
    }

    #[test]
    fn a_name_is_one_living_listeners_and_a_dead_one_is_swept_away() {
        let (_dir, folder) = folder();
        let listener = folder.listen("a").unwrap();
        assert_eq!(folder.listen("a").unwrap_err().errno(), libc::EADDRINUSE);
        assert!(!folder.sweep("a").unwrap());
        assert_eq!(folder.names().unwrap(), ["a"]);
        drop(listener);
        assert!(folder.names().unwrap().is_empty());
        // As after a kill: files without a holder of the lock.
        drop(UnixListener::bind(folder.file("a", "sock")).unwrap());
        fs::write(folder.file("a", "lock"), "").unwrap();
        assert_eq!(folder.connect("a").unwrap_err().errno(), libc::ECONNREFUSED);
        drop(folder.listen("a").unwrap());
        drop(UnixListener::bind(folder.file("b", "sock")).unwrap());
        assert!(folder.sweep("b").unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn who_sweeps_does_not_keep_a_new_listener_from_its_name() {
        let (_dir, folder) = folder();
        let lock = folder.lock("a").unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                folder.remove("a");
                drop(lock);
            });
            drop(folder.listen("a").unwrap());
        });
    }

    #[test]
    fn bytes_and_descriptors_arrive_together() {
        let (_dir, folder) = folder();
        let listener = folder.listen("a").unwrap();
        let client = folder.connect("a").unwrap();
        let server = block_on(listener.accept()).unwrap();
        assert!(server.is_trusted().unwrap());
        let (mut reader, writer) = std::io::pipe().unwrap();
        block_on(client.send(b"here", &[writer.as_fd()])).unwrap();
        drop(writer);
        let (mut buf, mut descriptors) = ([0; 16], Vec::new());
        assert_eq!(block_on(server.receive(&mut buf, &mut descriptors)), Ok(4));
        let mut writer = fs::File::from(descriptors.pop().unwrap());
        assert!(descriptors.is_empty());
        writer.write_all(b"through").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        drop(client);
        assert_eq!(block_on(server.receive(&mut buf, &mut descriptors)), Ok(0));
    }
}
