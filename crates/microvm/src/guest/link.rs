//! The guest's end of the channel: frames are written by whoever has some, and read by one thread, which gives each to its stream.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    sync::{Arc, mpsc},
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::wire::{Frame, Head, Kind, MAX_DATA, News, WINDOW, encode, frame::HEAD, window::Window};

/// The channel.
#[derive(Debug)]
pub(super) struct Link {
    out: Mutex<File>,
    streams: Mutex<HashMap<u32, Ends>>,
}

/// What this side has of a stream.
#[derive(Debug, Default)]
struct Ends {
    writes: Option<Arc<Window>>,
    reads: Option<mpsc::Sender<Option<Bytes>>>,
}

impl Link {
    pub(super) fn new(port: File) -> Arc<Self> {
        Arc::new(Self { out: Mutex::new(port), streams: Mutex::default() })
    }

    /// Sends a frame. A channel that cannot be written to belongs to a host that is gone, and so is the machine soon.
    pub(super) fn send(&self, frame: &Frame) {
        let mut bytes = Vec::with_capacity(HEAD + frame.payload.len());
        bytes.extend_from_slice(&frame.head());
        bytes.extend_from_slice(&frame.payload);
        let _ = self.out.lock().write_all(&bytes);
    }

    pub(super) fn news(&self, news: &News) {
        self.send(&Frame::message(encode(news)));
    }

    /// The end of a stream that is written here.
    pub(super) fn writer(self: &Arc<Self>, stream: u32) -> Writer {
        let window = Arc::new(Window::new());
        self.streams.lock().entry(stream).or_default().writes = Some(Arc::clone(&window));
        Writer { link: Arc::clone(self), stream, window }
    }

    /// The end of a stream that is read here.
    pub(super) fn reader(self: &Arc<Self>, stream: u32) -> Reader {
        let (sender, inbox) = mpsc::channel();
        self.streams.lock().entry(stream).or_default().reads = Some(sender);
        Reader { link: Arc::clone(self), stream, inbox, piece: Bytes::new(), owed: 0, over: false }
    }

    /// Forgets a stream that is over on both sides.
    pub(super) fn forget(&self, stream: u32) {
        self.streams.lock().remove(&stream);
    }

    /// Reads one frame; gives those of streams to them and returns messages.
    ///
    /// # Errors
    /// When the channel is at its end, or what comes is no frame.
    pub(super) fn receive(&self, port: &mut File) -> io::Result<Option<Bytes>> {
        let mut head = [0; HEAD];
        port.read_exact(&mut head)?;
        let head = Head::read(head).ok_or(io::ErrorKind::InvalidData)?;
        let mut payload = vec![0; head.length];
        port.read_exact(&mut payload)?;
        let frame = Frame { kind: head.kind, stream: head.stream, payload: payload.into() };
        if frame.kind == Kind::Message {
            return Ok(Some(frame.payload));
        }
        let mut streams = self.streams.lock();
        let Some(ends) = streams.get_mut(&frame.stream) else { return Ok(None) };
        match frame.kind {
            Kind::Data => {
                if let Some(reads) = &ends.reads {
                    // A reader that is gone has said so.
                    let _ = reads.send(Some(frame.payload));
                }
            }
            Kind::Credit => {
                if let (Some(window), Some(bytes)) = (&ends.writes, frame.credited()) {
                    window.give(bytes);
                }
            }
            Kind::End => ends.reads = None,
            Kind::Reset => {
                if let Some(reads) = ends.reads.take() {
                    let _ = reads.send(None);
                }
                if let Some(window) = ends.writes.take() {
                    window.close();
                }
            }
            Kind::Message | Kind::Open => {}
        }
        Ok(None)
    }
}

/// Writes a stream, within its window. An error says that nobody wants it any more.
#[derive(Debug)]
pub(super) struct Writer {
    link: Arc<Link>,
    stream: u32,
    window: Arc<Window>,
}

impl Writer {
    /// Says that nothing more comes.
    pub(super) fn end(&self) {
        self.link.send(&Frame::bare(Kind::End, self.stream));
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let room = self.window.take(bytes.len().min(MAX_DATA)).ok_or(io::ErrorKind::BrokenPipe)?;
        self.link.send(&Frame::data(self.stream, Bytes::copy_from_slice(&bytes[..room])));
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a stream, and opens its window as it does.
#[derive(Debug)]
pub(super) struct Reader {
    link: Arc<Link>,
    stream: u32,
    inbox: mpsc::Receiver<Option<Bytes>>,
    piece: Bytes,
    /// Bytes that were read and not yet credited.
    owed: u32,
    over: bool,
}

impl Reader {
    /// Says that nothing more is wanted.
    pub(super) fn refuse(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            self.link.send(&Frame::bare(Kind::Reset, self.stream));
        }
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            if self.over {
                return Ok(0);
            }
            match self.inbox.recv() {
                Ok(Some(piece)) => self.piece = piece,
                Ok(None) => {
                    self.over = true;
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                Err(_) => {
                    self.over = true;
                    return Ok(0);
                }
            }
        }
        let length = self.piece.len().min(into.len());
        into[..length].copy_from_slice(&self.piece.split_to(length));
        self.owed += u32::try_from(length).unwrap_or(0);
        // Not for each byte: a frame costs the machine more than a piece.
        if self.owed >= WINDOW / 4 {
            self.link.send(&Frame::credit(self.stream, std::mem::take(&mut self.owed)));
        }
        Ok(length)
    }
}
