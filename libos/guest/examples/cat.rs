//! Writes files, or what comes in, to the standard output.
//!
//! `cat [FILE…]`: a piece is read while the one before it is written.

use std::{env, io, process::ExitCode, rc::Rc};

use libos_guest::{
    ArenaBuffer, BufResult, JoinHandle, arena, block_on,
    fs::{self, File},
    spawn,
};

/// How much is read at once.
const PIECE: usize = 64 << 10;

async fn copy(from: File, to: &Rc<File>) -> io::Result<()> {
    let mut buffer = arena(PIECE).await?;
    let mut writing: Option<JoinHandle<BufResult<(), ArenaBuffer>>> = None;
    loop {
        let (result, filled) = from.read(buffer).await;
        buffer = match writing.take() {
            None => arena(PIECE).await?,
            Some(written) => {
                let (result, buffer) = written.await;
                result?;
                buffer
            }
        };
        if result? == 0 {
            return Ok(());
        }
        let to = Rc::clone(to);
        writing = Some(spawn(async move { to.write_all(filled).await }));
    }
}

async fn cat(paths: &[String]) -> io::Result<ExitCode> {
    let output = Rc::new(fs::stdout()?);
    let mut code = ExitCode::SUCCESS;
    for path in paths {
        let opened = if path == "-" { fs::stdin() } else { File::open(path).await };
        let copied = match opened {
            Ok(file) => copy(file, &output).await,
            Err(error) => Err(error),
        };
        if let Err(error) = copied {
            eprintln!("cat: {path}: {error}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn main() -> io::Result<ExitCode> {
    let mut paths: Vec<String> = env::args().skip(1).collect();
    if paths.is_empty() {
        paths.push("-".into());
    }
    block_on(cat(&paths))?
}
