//! The overlay as a guest sees it, beside the host tree that must not change.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use linux_raw_sys::general as raw;

use super::*;
use crate::vfs::metadata::Timespec;
use crate::vfs::ops;
use crate::vfs::testing::World;
use crate::vfs::{AttributeChange, IoDst, RenameFlags};

/// A host directory with a file of two names, a directory and a link, and the overlay of it.
fn world() -> (tempfile::TempDir, World) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/file"), b"from the host").unwrap();
    fs::hard_link(dir.path().join("sub/file"), dir.path().join("other")).unwrap();
    symlink("sub/file", dir.path().join("link")).unwrap();
    let memory = PhysicalMemory::new(None).unwrap();
    let overlay = Overlay::new(&memory, HostNode::open(dir.path()).unwrap()).unwrap();
    (dir, World::of(memory, overlay))
}

#[test]
fn an_untouched_file_looks_as_on_the_host() {
    let (dir, world) = world();
    let host = fs::metadata(dir.path().join("sub/file")).unwrap();
    let ours = world.stat("/sub/file").unwrap();
    assert_eq!((ours.ino, ours.dev.0, ours.nlink), (host.ino(), host.dev(), host.nlink()));
    assert_eq!(ours.st_mode(), host.mode());
    assert_eq!((ours.mtime.sec, i64::from(ours.mtime.nsec)), (host.mtime(), host.mtime_nsec()));
    assert_eq!(world.read("/link").unwrap(), b"from the host");
    assert_eq!(world.names("/"), ["link", "other", "sub"]);
}

#[test]
fn writing_changes_the_guest_file_under_all_its_names_and_not_the_host() {
    let (dir, world) = world();
    let before = world.stat("/sub/file").unwrap();
    let reader = world.open("/sub/file", raw::O_RDONLY).unwrap();
    assert_eq!(world.write("/sub/file", raw::O_APPEND, b"!"), Ok(1));
    assert_eq!(world.read("/other").unwrap(), b"from the host!");
    let mut buf = [0; 20];
    assert_eq!(reader.read(&mut IoDst::kernel(&mut buf)), Ok(14));
    let after = world.stat("/other").unwrap();
    assert_eq!((after.ino, after.dev, after.size), (before.ino, before.dev, 14));
    assert_eq!(fs::read(dir.path().join("other")).unwrap(), b"from the host");
    assert_eq!(world.write("/sub/file", raw::O_TRUNC, b"new"), Ok(3));
    assert_eq!(world.read("/link").unwrap(), b"new");
}

#[test]
fn removed_and_new_names_merge_into_the_listing() {
    let (dir, world) = world();
    world.unlink("/other").unwrap();
    assert_eq!(world.read("/other"), Err(Errno::ENOENT));
    assert_eq!(world.stat("/sub/file").unwrap().nlink, 1);
    world.write("/new", raw::O_CREAT | raw::O_EXCL, b"x").unwrap();
    assert_eq!(world.names("/"), ["link", "new", "sub"]);
    world.write("/other", raw::O_CREAT | raw::O_EXCL, b"again").unwrap();
    assert_eq!(world.read("/other").unwrap(), b"again");
    assert_eq!(world.rmdir("/sub"), Err(Errno::ENOTEMPTY));
    world.unlink("/sub/file").unwrap();
    world.rmdir("/sub").unwrap();
    world.mkdir("/sub").unwrap();
    assert!(world.names("/sub").is_empty());
    assert!(dir.path().join("sub/file").exists());
}

#[test]
fn a_host_directory_can_be_renamed_with_what_is_in_it() {
    let (dir, world) = world();
    let flags = RenameFlags::empty();
    world.rename("/sub", "/moved", flags).unwrap();
    assert_eq!(world.read("/moved/file").unwrap(), b"from the host");
    assert_eq!(world.read("/sub/file"), Err(Errno::ENOENT));
    world.rename("/moved/file", "/link", flags).unwrap();
    assert_eq!(world.read("/link").unwrap(), b"from the host");
    assert_eq!(world.names("/"), ["link", "moved", "other"]);
    assert!(dir.path().join("sub/file").exists());
}

#[test]
fn attributes_change_without_content() {
    let (_dir, world) = world();
    let place = world.place("/sub/file").unwrap();
    ops::change_mode(&world.ctx, &place, 0o600).unwrap();
    let time = Some(Timespec { sec: 5, nsec: 6 });
    place
        .inode()
        .set_attributes(&AttributeChange { mtime: time, ..AttributeChange::default() })
        .unwrap();
    place.inode().set_xattr(b"user.x", b"y", 0).unwrap();
    drop(place);
    let metadata = world.stat("/sub/file").unwrap();
    assert_eq!((metadata.mode, metadata.mtime.sec, metadata.size), (0o600, 5, 13));
    let place = world.place("/other").unwrap();
    assert_eq!(place.inode().xattr(b"user.x"), Ok(b"y".to_vec()));
}

#[test]
fn dropping_the_tree_gives_all_memory_back() {
    let (_dir, world) = world();
    world.write("/sub/file", 0, b"z").unwrap();
    world.write("/sub/new", raw::O_CREAT, &[1; 10_000]).unwrap();
    let memory = world.memory.clone();
    assert!(memory.charged() > 0);
    drop(world);
    assert_eq!(memory.charged(), 0);
}
