//! Counts the files below directories, and their bytes.
//!
//! `walk [DIRECTORY…]`: each directory is a task, and the files of one are asked about together, so that hundreds of calls are on their way
//! at once, and none of them waits for a thread.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use futures::future::join_all;
use libos_guest::{
    JoinHandle, block_on,
    fs::{self, FileType},
    spawn,
};

/// How many files are asked about together.
const TOGETHER: usize = 64;

#[derive(Default)]
struct Sums {
    directories: u64,
    files: u64,
    bytes: u64,
    errors: u64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.directories += other.directories;
        self.files += other.files;
        self.bytes += other.bytes;
        self.errors += other.errors;
    }

    fn failed(&mut self, path: &Path, error: &io::Error) {
        eprintln!("walk: {}: {error}", path.display());
        self.errors += 1;
    }

    async fn count(&mut self, files: &mut Vec<PathBuf>) {
        let known = join_all(files.iter().map(fs::symlink_metadata)).await;
        for (path, metadata) in files.drain(..).zip(known) {
            match metadata {
                Ok(metadata) => {
                    self.files += 1;
                    self.bytes += metadata.len();
                }
                Err(error) => self.failed(&path, &error),
            }
        }
    }
}

fn walk(path: PathBuf) -> JoinHandle<Sums> {
    spawn(async move {
        let mut sums = Sums { directories: 1, ..Sums::default() };
        let (mut files, mut below) = (Vec::new(), Vec::new());
        let mut entries = match fs::read_dir(&path).await {
            Ok(entries) => entries,
            Err(error) => {
                sums.failed(&path, &error);
                return sums;
            }
        };
        loop {
            match entries.next().await {
                Ok(Some(entry)) if entry.file_type() == FileType::Directory => {
                    below.push(walk(entry.path()));
                }
                Ok(Some(entry)) => files.push(entry.path()),
                Ok(None) => break,
                Err(error) => {
                    sums.failed(&path, &error);
                    break;
                }
            }
            if files.len() == TOGETHER {
                sums.count(&mut files).await;
            }
        }
        sums.count(&mut files).await;
        drop(entries);
        for directory in below {
            sums.add(&directory.await);
        }
        sums
    })
}

fn main() -> io::Result<ExitCode> {
    let mut paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths.push(".".into());
    }
    let sums = block_on(async {
        let walks: Vec<_> = paths.into_iter().map(walk).collect();
        let mut all = Sums::default();
        for walk in walks {
            all.add(&walk.await);
        }
        all
    })?;
    let Sums { directories, files, bytes, errors } = sums;
    println!("{directories} directories, {files} files, {bytes} bytes");
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
