//! There is no way out but the one that is given.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use stead_ports::sandbox::{End, Stdio};
use tokio::io::AsyncReadExt as _;

use super::{Lab, capture, text, told};

/// 34 to 37, 40: what is granted is one socket, and the proxy that accepts on it decides about all that comes.
pub async fn the_way_out_is_a_socket_that_is_accepted_on_outside(lab: &dyn Lab) {
    let script = "import socket\ns = socket.create_connection(('127.0.0.1', 3128))\ns.sendall(b'hello')\nprint(s.recv(100).decode())";
    let mut spec = lab.spec(&["python3", "-c", script]);
    spec.egress = Some(3128);
    let mut running = lab.start(spec, capture(Default::default())).await;
    let listener = running.egress.take().unwrap();
    listener.set_nonblocking(false).unwrap();
    let proxy = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut said = [0; 5];
        connection.read_exact(&mut said).unwrap();
        connection.write_all(b"from outside").unwrap();
        text(&said)
    });
    let outcome = running.end.await.unwrap();
    let said = (outcome.end, text(&outcome.stdout.bytes));
    assert_eq!(said, (End::Exited(0), "from outside\n".to_owned()), "{}", told(&outcome));
    assert_eq!(proxy.join().unwrap(), "hello");
}

/// Two networks are two, though both are called loopback.
pub async fn boxes_hear_nothing_of_each_other(lab: &dyn Lab) {
    let listens = "import socket\ns = socket.create_server(('127.0.0.1', 4000))\nprint('listens', flush=True)\ninput()";
    let mut one = lab.spec(&["python3", "-c", listens]);
    one.limits.wall = Duration::from_secs(60);
    let running = lab.start(one, Stdio::Pipes { keep: 100 }).await;
    let mut pipes = running.pipes.unwrap();
    let mut line = [0; 8];
    pipes.stdout.read_exact(&mut line).await.unwrap();
    let connects = "import socket\ntry: socket.create_connection(('127.0.0.1', 4000)); print('reached')\n\
                    except OSError as e: print(e.errno)";
    let other = lab.python(connects).await;
    assert_eq!(text(&other.stdout.bytes), format!("{}\n", libc::ECONNREFUSED));
    drop(pipes);
    running.end.await.unwrap();
}
