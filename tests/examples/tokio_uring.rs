//! A program of tokio-uring: files, and buffers that it has registered. It prints the same natively and inside.

use std::error::Error;

use tokio_uring::{
    buf::{BoundedBuf, fixed::FixedBufRegistry},
    fs::{self, File},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    tokio_uring::start(async {
        file().await?;
        fixed().await
    })
}

async fn file() -> Result<()> {
    fs::create_dir("dir").await?;
    let file = File::create("dir/file").await?;
    let text: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    let (written, text) = file.write_all_at(text, 0).await;
    written?;
    file.sync_all().await?;
    file.close().await?;
    let file = File::open("dir/file").await?;
    let (read, buffer) = file.read_exact_at(Vec::with_capacity(text.len()), 0).await;
    read?;
    println!("the same: {}", buffer == text);
    let (read, _) = file.read_at(vec![0; 10], 99_995).await;
    println!("at the end: {:?}", read?);
    let (read, buffers) = file.readv_at(vec![vec![0; 3], vec![0; 4]], 250).await;
    println!("in parts: {:?} {buffers:?}", read?);
    file.close().await?;
    fs::rename("dir/file", "dir/other").await?;
    fs::remove_file("dir/other").await?;
    println!("gone: {:?}", File::open("dir/other").await.map(drop).map_err(|error| error.kind()));
    fs::remove_dir("dir").await?;
    Ok(())
}

async fn fixed() -> Result<()> {
    let registry = FixedBufRegistry::new([vec![1; 64], vec![0; 64]]);
    registry.register()?;
    let file = File::create("fixed").await?;
    let buffer = registry.check_out(0).ok_or("no buffer")?;
    let (written, _) = file.write_fixed_at(buffer.slice(..50), 0).await;
    println!("written: {}", written?);
    file.close().await?;
    let file = File::open("fixed").await?;
    let buffer = registry.check_out(1).ok_or("no buffer")?;
    let (read, buffer) = file.read_fixed_at(buffer, 0).await;
    println!("read: {} {}", read?, buffer.iter().all(|&byte| byte == 1));
    fs::remove_file("fixed").await?;
    Ok(())
}
