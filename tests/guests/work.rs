// A Rust program of the standard library alone: threads, channels, files, panics, a stack overflow guard.
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{fs, panic, thread};

fn main() {
    let (send, receive) = mpsc::channel();
    let workers: Vec<_> = (0..16)
        .map(|n| {
            let send = send.clone();
            thread::spawn(move || (0..1000u32).for_each(|i| send.send(n * i).unwrap()))
        })
        .collect();
    drop(send);
    println!("{}", receive.iter().map(u64::from).sum::<u64>());
    workers.into_iter().for_each(|w: thread::JoinHandle<()>| w.join().unwrap());

    let pair = Arc::new((Mutex::new(0), Condvar::new()));
    let other = pair.clone();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        *other.0.lock().unwrap() = 7;
        other.1.notify_all();
    });
    let start = Instant::now();
    let value = pair.1.wait_while(pair.0.lock().unwrap(), |v| *v == 0).unwrap();
    println!("{} {}", *value, start.elapsed() >= Duration::from_millis(19));

    let mut words = BTreeMap::new();
    for line in BufReader::new(fs::File::open("text.txt").unwrap()).lines() {
        for word in line.unwrap().split_whitespace() {
            *words.entry(word.to_string()).or_insert(0) += 1;
        }
    }
    println!("{words:?}");
    let mut file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open("scratch.txt").unwrap();
    file.write_all(b"hello world").unwrap();
    file.seek(SeekFrom::Start(6)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    println!("{text} {:?} {:?}", file.metadata().unwrap().len(), fs::remove_file("nowhere").map_err(|e| e.kind()));
    fs::remove_file("scratch.txt").unwrap();

    panic::set_hook(Box::new(|_| {}));
    println!("{:?}", panic::catch_unwind(|| panic!("caught")).is_err());
    println!("{:?}", thread::spawn(|| { let v: Vec<u8> = Vec::new(); v[std::hint::black_box(3)] }).join().is_err());
    fn deep(n: u64) -> u64 {
        let block = std::hint::black_box([n; 64]);
        if n == 0 { block[0] } else { deep(n - 1) + block[63] % 2 }
    }
    println!("{}", thread::Builder::new().stack_size(64 << 20).spawn(|| deep(50_000)).unwrap().join().unwrap());
    println!("{}", deep(std::env::args().len() as u64 * 5000));
    std::process::exit(9);
}
