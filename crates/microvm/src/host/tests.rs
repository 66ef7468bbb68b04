//! Machines that break the rules of the talk: each is killed.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::{
    ends::Reset,
    link::{Heard, Link},
};
use crate::{
    vmm::Process,
    wire::{Frame, Kind, News, WINDOW, encode, stream},
};

/// A process in place of a machine, and the other end of its channel.
fn machine() -> (Arc<Process>, Arc<Link>, Heard, UnixStream) {
    let ((ours, its), (log, its_log)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(Stdio::null()).stdout(std::os::fd::OwnedFd::from(its_log));
    let process = Arc::new(Process::start(command, log.into()).unwrap());
    let (link, heard) = Link::open(ours.into(), Arc::clone(&process)).unwrap();
    (process, link, heard, its)
}

fn bytes(frame: &Frame) -> Vec<u8> {
    [&frame.head()[..], &frame.payload].concat()
}

async fn killed(what: &str, said: Vec<u8>, expects: impl FnOnce(&Arc<Link>)) {
    let (process, link, _heard, mut its) = machine();
    expects(&link);
    // Who is killed for the beginning does not take the rest.
    let _ = its.write_all(&said);
    let ended = tokio::time::timeout(Duration::from_secs(10), process.ended()).await;
    assert!(ended.is_ok(), "{what}: it lives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_breaks_the_rules_of_the_talk_is_killed() {
    killed("no frame", vec![0xff; 64], |_| ()).await;
    killed("a message of nonsense", bytes(&Frame::message(vec![0xff; 9])), |_| ()).await;
    let piece = Frame::data(stream::STDOUT, Bytes::from(vec![0; 32 << 10]));
    let flood = bytes(&piece).repeat(WINDOW as usize / (32 << 10) + 1);
    let (process, link, _heard, mut its) = machine();
    // Held, and not read.
    let _reader = link.reader(stream::STDOUT);
    let _ = its.write_all(&flood);
    tokio::time::timeout(Duration::from_secs(10), process.ended()).await.expect("more than its window: it lives");
    let wide = bytes(&Frame::credit(stream::STDIN, 1));
    let (process, link, _heard, mut its) = machine();
    let _writer = link.writer(stream::STDIN);
    its.write_all(&wide).unwrap();
    tokio::time::timeout(Duration::from_secs(10), process.ended()).await.expect("a window wider than any: it lives");
    killed("a connection", bytes(&Frame::bare(Kind::Open, stream::CONNECTIONS)), |_| ()).await;
    let one = bytes(&Frame::bare(Kind::Open, stream::CONNECTIONS + 5));
    killed("a connection twice", one.repeat(2), |link| link.expect_connections()).await;
    killed("a connection in the place of a stream", bytes(&Frame::bare(Kind::Open, 1)), |l| l.expect_connections())
        .await;
    let answer = bytes(&Frame::message(encode(&News::Limited { failure: None })));
    killed("an answer to nothing", answer, |_| ()).await;
    let news = bytes(&Frame::message(encode(&News::Started)));
    killed("news without end", news.repeat(100), |_| ()).await;
}

/// Many small pieces are held as one, and what was refused or is unknown is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_flow_within_their_windows() {
    let (process, link, _heard, mut its) = machine();
    let (mut reader, writer) = (link.reader(stream::STDOUT), link.writer(stream::STDIN));
    for _ in 0..1000 {
        its.write_all(&bytes(&Frame::data(stream::STDOUT, Bytes::from_static(b"x")))).unwrap();
    }
    its.write_all(&bytes(&Frame::data(99, Bytes::from_static(b"nobody's")))).unwrap();
    its.write_all(&bytes(&Frame::bare(Kind::End, stream::STDOUT))).unwrap();
    link.until_end(stream::STDOUT).await;
    assert_eq!(reader.next().await.unwrap().unwrap().len(), 1000);
    assert_eq!(reader.next().await, Ok(None));
    writer.send(Bytes::from_static(b"hello")).await.unwrap();
    let mut said = [0; 14];
    its.read_exact(&mut said).unwrap();
    assert_eq!(said[9..], *b"hello");
    its.write_all(&bytes(&Frame::bare(Kind::Reset, stream::STDIN))).unwrap();
    // A window that is closed lets nothing through, though it has room.
    while !writer.window.is_closed() {
        tokio::task::yield_now().await;
    }
    assert_eq!(writer.send(Bytes::from_static(b"more")).await, Err(Reset));
    process.kill();
    process.ended().await;
}
