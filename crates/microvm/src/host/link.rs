//! The host's end of the channel: two tasks, one that writes frames and one that reads them and gives each to its stream. What breaks a
//! rule of the talk kills the machine: nobody of ours does so.

use std::{
    collections::{HashMap, VecDeque},
    os::fd::OwnedFd,
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, Semaphore, mpsc, oneshot},
};

use super::ends::{Inbox, Reader, Reset, Writer};
use crate::{
    fault::{At, Fault},
    vmm::Process,
    wire::{Frame, Head, Kind, News, Order, WINDOW, decode, encode, frame::HEAD, stream},
};

/// Frames that wait to be written.
const QUEUE: usize = 64;
/// News that wait to be heard; a machine of ours tells four in its life.
const NEWS: usize = 8;
/// Connections to the way out at once. The guest keeps to half of it, so that one whose end is still on its way does not count against it.
const CONNECTIONS: usize = 128;
/// Orders that wait for their answer.
const QUESTIONS: usize = 64;

/// A connection to the way out: what comes, and what goes.
pub(super) type Connection = (Reader, Writer);

/// Where what a machine brings up by itself is heard.
pub(super) struct Heard {
    pub(super) news: mpsc::Receiver<News>,
    pub(super) connections: mpsc::Receiver<Connection>,
}

/// Where it is put.
struct Told {
    news: mpsc::Sender<News>,
    connections: mpsc::Sender<Connection>,
}

/// The channel.
pub(super) struct Link {
    out: mpsc::Sender<Frame>,
    state: Mutex<State>,
    /// Something ended.
    ended: Notify,
    process: Arc<Process>,
}

#[derive(Default)]
struct State {
    streams: HashMap<u32, Ends>,
    questions: VecDeque<oneshot::Sender<News>>,
    connections: usize,
    /// The number above which the next connection is.
    newest: u32,
    /// Whether connections are expected at all.
    way_out: bool,
    over: bool,
}

/// What this side has of a stream.
#[derive(Default)]
struct Ends {
    reads: Option<Arc<Inbox>>,
    /// Bytes that may still come.
    room: u32,
    writes: Option<Arc<Semaphore>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    /// Begins to talk.
    pub(super) fn open(channel: OwnedFd, process: Arc<Process>) -> Result<(Arc<Self>, Heard), Fault> {
        let channel = std::os::unix::net::UnixStream::from(channel);
        channel.set_nonblocking(true).at("opening a machine's channel")?;
        let (reads, writes) = UnixStream::from_std(channel).at("opening a machine's channel")?.into_split();
        let (out, queue) = mpsc::channel(QUEUE);
        let ((news, hears), (connections, takes)) = (mpsc::channel(NEWS), mpsc::channel(CONNECTIONS));
        let link = Arc::new(Self { out, state: Mutex::default(), ended: Notify::new(), process });
        tokio::spawn(write(queue, writes));
        tokio::spawn(Arc::clone(&link).read(reads, Told { news, connections }));
        Ok((link, Heard { news: hears, connections: takes }))
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the machine is gone.
    pub(super) async fn send(&self, frame: Frame) -> Result<(), Reset> {
        self.out.send(frame).await.map_err(|_| Reset)
    }

    /// Sends an order.
    pub(super) async fn order(&self, order: &Order) {
        // Without the machine nobody waits for what it would do.
        let _ = self.out.send(Frame::message(encode(order))).await;
    }

    /// Sends an order that may be lost if the machine hears none.
    pub(super) fn post(&self, order: &Order) {
        let _ = self.out.try_send(Frame::message(encode(order)));
    }

    /// Sends an order and waits for its answer; `None` if the machine is gone first.
    pub(super) async fn ask(&self, order: &Order) -> Option<News> {
        let (answer, hears) = oneshot::channel();
        {
            let mut state = self.state.lock();
            if state.over || state.questions.len() >= QUESTIONS {
                return None;
            }
            state.questions.push_back(answer);
        }
        self.order(order).await;
        hears.await.ok()
    }

    /// Expects connections to the way out.
    pub(super) fn expect_connections(&self) {
        self.state.lock().way_out = true;
    }

    /// The end of a stream that is read here.
    pub(super) fn reader(self: &Arc<Self>, stream: u32) -> Reader {
        let inbox = Arc::new(Inbox::default());
        let mut state = self.state.lock();
        if state.over {
            inbox.close(Ok(()));
        } else {
            let ends = state.streams.entry(stream).or_default();
            (ends.reads, ends.room) = (Some(Arc::clone(&inbox)), WINDOW);
        }
        drop(state);
        Reader { link: Arc::clone(self), stream, inbox }
    }

    /// The end of a stream that is written here.
    pub(super) fn writer(self: &Arc<Self>, stream: u32) -> Writer {
        let window = Arc::new(Semaphore::new(WINDOW as usize));
        let mut state = self.state.lock();
        if state.over {
            window.close();
        } else {
            state.streams.entry(stream).or_default().writes = Some(Arc::clone(&window));
        }
        drop(state);
        Writer { link: Arc::clone(self), stream, window }
    }

    /// Lets what is left of a stream come, whether it is read by now or not.
    pub(super) async fn widen(&self, stream: u32) {
        if self.grant(stream, WINDOW) {
            let _ = self.out.send(Frame::credit(stream, WINDOW)).await;
        }
    }

    /// Waits until nothing more comes on a stream.
    pub(super) async fn until_end(&self, stream: u32) {
        loop {
            let changed = self.ended.notified();
            let mut changed = std::pin::pin!(changed);
            // From here on nothing is missed.
            changed.as_mut().enable();
            if !self.comes(stream) {
                return;
            }
            changed.await;
        }
    }

    fn comes(&self, stream: u32) -> bool {
        let state = self.state.lock();
        !state.over && state.streams.get(&stream).is_some_and(|ends| ends.reads.is_some())
    }

    /// Whether a stream is still read, with more room then.
    pub(super) fn grant(&self, stream: u32, bytes: u32) -> bool {
        let mut state = self.state.lock();
        let ends = state.streams.get_mut(&stream).filter(|ends| ends.reads.is_some());
        ends.map(|ends| ends.room = ends.room.saturating_add(bytes)).is_some()
    }

    async fn read(self: Arc<Self>, mut from: OwnedReadHalf, told: Told) {
        if let Err(why) = self.hear(&mut from, &told).await {
            tracing::warn!(why, "a machine breaks the rules of the talk, and is killed");
        }
        self.process.kill();
        let mut state = self.state.lock();
        state.over = true;
        state.questions.clear();
        for (_, ends) in state.streams.drain() {
            if let Some(inbox) = ends.reads {
                inbox.close(Ok(()));
            }
            if let Some(window) = ends.writes {
                window.close();
            }
        }
        drop(state);
        self.ended.notify_waiters();
    }

    /// Hears the machine until it is gone. An error is a rule that it broke.
    async fn hear(self: &Arc<Self>, from: &mut OwnedReadHalf, told: &Told) -> Result<(), &'static str> {
        loop {
            let mut head = [0; HEAD];
            if from.read_exact(&mut head).await.is_err() {
                return Ok(());
            }
            let head = Head::read(head).ok_or("what it sends is no frame")?;
            let mut payload = vec![0; head.length];
            if from.read_exact(&mut payload).await.is_err() {
                return Ok(());
            }
            let frame = Frame { kind: head.kind, stream: head.stream, payload: payload.into() };
            match frame.kind {
                Kind::Message => self.message(&frame.payload, told)?,
                Kind::Open => self.connection(frame.stream, told)?,
                Kind::Data => self.data(frame.stream, &frame.payload)?,
                Kind::Credit => self.credit(frame.stream, frame.credited().ok_or("a credit of nothing")?)?,
                Kind::End | Kind::Reset => self.over(frame.stream, frame.kind),
            }
        }
    }

    fn message(&self, bytes: &[u8], told: &Told) -> Result<(), &'static str> {
        let news: News = decode(bytes).ok_or("its news cannot be read")?;
        if !matches!(news, News::Limited { .. } | News::Used { .. }) {
            return told.news.try_send(news).map_err(|_| "it says more than anybody hears");
        }
        let question = self.state.lock().questions.pop_front().ok_or("it answers what nobody asked")?;
        // Who asked may be gone.
        let _ = question.send(news);
        Ok(())
    }

    fn connection(self: &Arc<Self>, stream: u32, told: &Told) -> Result<(), &'static str> {
        let mut state = self.state.lock();
        let fresh = stream >= stream::CONNECTIONS && stream > state.newest && state.way_out;
        if !fresh || state.connections >= CONNECTIONS {
            return Err("it connects where nothing is to connect to");
        }
        state.newest = stream;
        state.connections += 1;
        drop(state);
        let ends = (self.reader(stream), self.writer(stream));
        told.connections.try_send(ends).map_err(|_| "it connects more often than anybody hears")
    }

    /// Forgets a connection.
    pub(super) fn forget(&self, stream: u32) {
        let mut state = self.state.lock();
        state.streams.remove(&stream);
        state.connections = state.connections.saturating_sub(1);
    }

    fn data(&self, stream: u32, bytes: &[u8]) -> Result<(), &'static str> {
        let mut state = self.state.lock();
        // What was refused or is over may have been on its way.
        let Some(ends) = state.streams.get_mut(&stream) else { return Ok(()) };
        let Some(reads) = &ends.reads else { return Ok(()) };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        ends.room = ends.room.checked_sub(length).ok_or("it sends more than its window")?;
        reads.put(bytes);
        Ok(())
    }

    fn credit(&self, stream: u32, bytes: u32) -> Result<(), &'static str> {
        let state = self.state.lock();
        let Some(window) = state.streams.get(&stream).and_then(|ends| ends.writes.as_ref()) else { return Ok(()) };
        if window.available_permits().saturating_add(bytes as usize) > WINDOW as usize {
            return Err("it opens a window wider than any");
        }
        window.add_permits(bytes as usize);
        Ok(())
    }

    pub(super) fn over(&self, stream: u32, kind: Kind) {
        let mut state = self.state.lock();
        if let Some(ends) = state.streams.get_mut(&stream) {
            if let Some(inbox) = ends.reads.take() {
                inbox.close(if kind == Kind::Reset { Err(Reset) } else { Ok(()) });
            }
            if let Some(window) = ends.writes.take_if(|_| kind == Kind::Reset) {
                window.close();
            }
        }
        drop(state);
        self.ended.notify_waiters();
    }
}

async fn write(mut queue: mpsc::Receiver<Frame>, mut to: OwnedWriteHalf) {
    while let Some(frame) = queue.recv().await {
        if to.write_all(&frame.head()).await.is_err() || to.write_all(&frame.payload).await.is_err() {
            return;
        }
    }
}
