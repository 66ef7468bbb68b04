//! The way out: a socket on the machine's loopback. Each connection to it becomes a stream of the channel, and ends at the
//! host's egress proxy.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};

use super::{
    boxed,
    link::{Link, Reader, Writer},
};
use crate::{
    fault::{At, Fault},
    wire::{Frame, Kind, stream},
};

/// Connections at once; the next one waits.
const MOST: usize = 64;

/// How many connections there are.
#[derive(Debug, Default)]
struct Count {
    now: Mutex<usize>,
    less: Condvar,
}

/// Listens, and forwards from then on.
pub(super) fn open(link: &Arc<Link>, port: u16) -> Result<(), Fault> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).at("listening for the way out")?;
    let link = Arc::clone(link);
    boxed::thread("way-out", move || {
        let count = Arc::new(Count::default());
        for number in stream::CONNECTIONS.. {
            count.take();
            let Ok((connection, _)) = listener.accept() else {
                count.give();
                continue;
            };
            if forward(&link, number, connection, &count).is_err() {
                link.send(&Frame::bare(Kind::Reset, number));
                link.forget(number);
                count.give();
            }
        }
    })
    .map(drop)
}

impl Count {
    fn take(&self) {
        let mut now = self.now.lock();
        while *now >= MOST {
            self.less.wait(&mut now);
        }
        *now += 1;
    }

    fn give(&self) {
        *self.now.lock() -= 1;
        self.less.notify_one();
    }
}

fn forward(link: &Arc<Link>, number: u32, connection: TcpStream, count: &Arc<Count>) -> Result<(), Fault> {
    let step = "forwarding a connection";
    let (reader, writer) = (link.reader(number), link.writer(number));
    let (from, to) = (connection.try_clone().at(step)?, connection.try_clone().at(step)?);
    link.send(&Frame::bare(Kind::Open, number));
    let inward = boxed::thread("inward", move || inward(reader, &to))?;
    let (link, count) = (Arc::clone(link), Arc::clone(count));
    boxed::thread("outward", move || {
        outward(&from, writer);
        let _ = inward.join();
        link.forget(number);
        count.give();
    })
    .map(drop)
}

/// What the command sends.
fn outward(mut from: &TcpStream, mut to: Writer) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..n]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            return;
        }
    }
    to.end();
}

/// What it is answered.
fn inward(mut from: Reader, mut to: &TcpStream) {
    let end = match io::copy(&mut from, &mut to) {
        Ok(_) => Shutdown::Write,
        Err(_) => {
            from.refuse();
            Shutdown::Both
        }
    };
    let _ = to.shutdown(end);
}
