//! iceoryx2: publish-subscribe both ways, polled, as its own benchmark has it.
//!
//! Publish-subscribe rather than its request-response, which adds to it; and polled, for its events cost a
//! system call each. With one CPU for both, who finds nothing yields.

use std::{collections::VecDeque, rc::Rc, thread};

use ::iceoryx2::{
    port::{publisher::Publisher, subscriber::Subscriber},
    prelude::*,
};

use super::{
    super::{Client, Contestant, Latencies, Ready, Result, Setup, payload},
    versions,
};

pub(super) struct Iceoryx2;

impl Contestant for Iceoryx2 {
    fn name(&self) -> &'static str {
        "iceoryx2"
    }

    fn version(&self) -> String {
        format!("iceoryx2 {}", versions::of("iceoryx2"))
    }

    fn how(&self) -> &'static str {
        "publish-subscribe both ways, polled, loaned slices written in place, the header as user header"
    }

    fn serve(&self, setup: &Setup, ready: Ready) -> Result<()> {
        if setup.size < BLOCK { serve::<4>(setup, ready) } else { serve::<BLOCK>(setup, ready) }
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        if setup.size < BLOCK { connect::<4>(setup) } else { connect::<BLOCK>(setup) }
    }
}

/// Bodies are slices of blocks, so that one can be written in place block by block in safe code.
const BLOCK: usize = 64;

type Service = ipc::Service;

/// One side's ports.
struct Ports<const N: usize> {
    publisher: Publisher<Service, [[u8; N]], u32>,
    subscriber: Subscriber<Service, [[u8; N]], u32>,
    blocks: usize,
    one_cpu: bool,
    // Last: it goes after the ports.
    _node: Node<Service>,
}

impl<const N: usize> Ports<N> {
    fn new(setup: &Setup, [out, back]: [&str; 2]) -> Result<Self> {
        if !setup.size.is_multiple_of(N) {
            return Err(format!("{} bytes are no whole number of blocks", setup.size).into());
        }
        set_log_level(LogLevel::Fatal);
        let node = NodeBuilder::new().create::<Service>()?;
        let service = |direction: &str| -> Result<_> {
            let name = format!("{}/{direction}", setup.folder.display());
            Ok(node
                .service_builder(&name.as_str().try_into()?)
                .publish_subscribe::<[[u8; N]]>()
                .user_header::<u32>()
                .max_publishers(1)
                .max_subscribers(1)
                .history_size(0)
                .subscriber_max_buffer_size(setup.concurrency)
                .enable_safe_overflow(false)
                .open_or_create()?)
        };
        let blocks = setup.size / N;
        let publisher = service(out)?.publisher_builder().initial_max_slice_len(blocks).create()?;
        let subscriber = service(back)?.subscriber_builder().create()?;
        Ok(Ports { publisher, subscriber, blocks, one_cpu: setup.one_cpu, _node: node })
    }

    fn send(&self, header: u32) -> Result<()> {
        let mut sample = self.publisher.loan_slice_uninit(self.blocks)?;
        *sample.user_header_mut() = header;
        let sample = if self.blocks * N <= payload::CHUNK {
            let window = payload::window(header, 0).as_chunks().0;
            sample.write_from_slice(&window[..self.blocks])
        } else {
            let mut window = payload::window(header, 0).as_chunks().0;
            sample.write_from_fn(|index| {
                let (chunk, block) = (index * N / payload::CHUNK, index * N % payload::CHUNK / N);
                if block == 0 {
                    window = payload::window(header, chunk).as_chunks().0;
                }
                window[block]
            })
        };
        sample.send()?;
        Ok(())
    }

    /// Waits for a message and checks it; returns its header.
    fn receive(&self) -> Result<u32> {
        loop {
            if let Some(sample) = self.subscriber.receive()? {
                let (header, body) = (*sample.user_header(), sample.payload().as_flattened());
                if body.len() != self.blocks * N || !payload::check(header, body) {
                    return Err("a body with a wrong byte".into());
                }
                return Ok(header);
            }
            if self.one_cpu {
                thread::yield_now();
            }
        }
    }
}

fn serve<const N: usize>(setup: &Setup, ready: Ready) -> Result<()> {
    let ports = Ports::<N>::new(setup, ["responses", "requests"])?;
    ready.tell();
    loop {
        let request = ports.receive()?;
        if !payload::is_request(request) {
            return Err("not a request".into());
        }
        ports.send(payload::response(request))?;
    }
}

fn connect<const N: usize>(setup: &Setup) -> Result<Box<dyn Client>> {
    let ports = Ports::<N>::new(setup, ["requests", "responses"])?;
    Ok(Box::new(IceoryxClient { ports, concurrency: setup.concurrency, next: 0 }))
}

struct IceoryxClient<const N: usize> {
    ports: Ports<N>,
    concurrency: usize,
    next: u32,
}

impl<const N: usize> Client for IceoryxClient<N> {
    fn run(&mut self, rounds: usize, latencies: &Rc<Latencies>) -> Result<()> {
        let mut starts = VecDeque::with_capacity(self.concurrency);
        let mut send = || {
            let request = payload::request(self.next);
            self.next = self.next.wrapping_add(1);
            let start = latencies.start();
            self.ports.send(request).map(|()| (request, start))
        };
        for _ in 0..self.concurrency {
            starts.push_back(send()?);
        }
        for left in (0..rounds * self.concurrency).rev() {
            // Both directions keep the order.
            let (request, start) = starts.pop_front().ok_or("a response too many")?;
            if self.ports.receive()? != payload::response(request) {
                return Err("a response to something else".into());
            }
            latencies.stop(start);
            if left >= self.concurrency {
                starts.push_back(send()?);
            }
        }
        Ok(())
    }
}
