//! The way out, outside: each connection that comes over the channel is made to the listener in the machine's place, on which the egress
//! proxy accepts.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

use super::{
    ends::{Reader, Writer},
    link::{Connection, Link},
    place::Place,
};

/// Forwards connections until the machine is gone.
pub(super) async fn forward(link: Arc<Link>, place: Arc<Place>, mut connections: mpsc::Receiver<Connection>) {
    while let Some((reader, writer)) = connections.recv().await {
        let (link, place) = (Arc::clone(&link), Arc::clone(&place));
        tokio::spawn(async move {
            let stream = reader.stream;
            one(reader, writer, place).await;
            link.forget(stream);
        });
    }
}

async fn connect(place: Arc<Place>) -> io::Result<TcpStream> {
    let connection = tokio::task::spawn_blocking(move || place.connect()).await.map_err(io::Error::other)??;
    connection.set_nonblocking(true)?;
    TcpStream::from_std(connection)
}

async fn one(mut reader: Reader, writer: Writer, place: Arc<Place>) {
    match connect(place).await {
        Ok(connection) => {
            let (from, to) = connection.into_split();
            tokio::join!(outward(reader, to), inward(from, writer));
        }
        Err(error) => {
            tracing::debug!(%error, "a machine's connection to the way out is refused");
            reader.refuse().await;
        }
    }
}

/// What the command sends.
async fn outward(mut from: Reader, mut to: OwnedWriteHalf) {
    loop {
        match from.next().await {
            Ok(Some(piece)) => {
                if to.write_all(&piece).await.is_err() {
                    return from.refuse().await;
                }
            }
            Ok(None) => {
                let _ = to.shutdown().await;
                return;
            }
            // Dropped without a word, as the command left it.
            Err(_) => return,
        }
    }
}

/// What it is answered.
async fn inward(mut from: OwnedReadHalf, to: Writer) {
    let mut piece = bytes::BytesMut::with_capacity(16 << 10);
    while matches!(from.read_buf(&mut piece).await, Ok(1..)) {
        if to.send(piece.split().freeze()).await.is_err() {
            return;
        }
    }
    to.end().await;
}
