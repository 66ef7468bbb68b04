//! There is no way out but the one that is given.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, UdpSocket},
    os::linux::net::SocketAddrExt as _,
};

use stead_ports::sandbox::{Boxes as _, End};

use crate::lab::{Lab, capture, root, text, told};

/// 33, 35, 39: the host listens on all of it, and hears nothing.
#[tokio::test]
async fn nothing_of_the_host_or_the_network_can_be_reached() {
    if root() {
        let lab = Lab::new();
        let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
        let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
        let name = format!("stead-canary-{}-oci", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let unix = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
        tcp.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        unix.set_nonblocking(true).unwrap();
        let (tcp_port, udp_port) = (tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port());
        let script = format!(
            "
import socket
def attempt(f):
    try: return f()
    except OSError as e: return type(e).__name__ + ' ' + str(e.errno)
def tcp(host, port):
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
    s.settimeout(2)
    s.connect((host, port))
    return 'connected'
def udp(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b'x', (host, port))
    return 'sent'
for host, port in (('1.1.1.1', 443), ('10.0.0.1', 80), ('192.168.0.1', 80), ('169.254.169.254', 80), ('127.0.0.1', {tcp_port}), ('::1', {tcp_port}), ('2606:4700::1111', 443)):
    print('tcp', host, attempt(lambda: tcp(host, port)))
for host, port in (('1.1.1.1', 53), ('8.8.8.8', 53), ('10.0.0.1', 53)):
    print('udp', host, attempt(lambda: udp(host, port)))
attempt(lambda: udp('127.0.0.1', {udp_port}))
print('name', attempt(lambda: socket.getaddrinfo('example.com', 80)))
import os
print('interfaces', [n for _, n in socket.if_nameindex()] if False else sorted(l.split(':')[0].strip() for l in open('/proc/net/dev').readlines()[2:]))
"
        );
        let outcome = lab.python(&script).await;
        let told = text(&outcome.stdout.bytes);
        assert!(!told.contains("connected") && !told.contains("sent"), "{told}");
        assert_eq!(told.lines().filter(|l| l.starts_with("tcp") || l.starts_with("udp")).count(), 10, "{told}");
        assert!(told.contains("name gaierror"), "{told}");
        let interfaces = told.lines().last().unwrap();
        assert!(interfaces.contains("'lo'") && !interfaces.contains("eth"), "{interfaces}");
        let outcome = lab.run(&["/data/tries", "abstract", &name]).await;
        assert!(text(&outcome.stdout.bytes).contains("refused"), "{}", crate::lab::told(&outcome));
        assert!(
            tcp.accept().is_err() && unix.accept().is_err() && udp.recv(&mut [0; 8]).is_err(),
            "a canary heard something"
        );
        lab.close().await;
    }
}

#[tokio::test]
async fn the_way_out_is_a_socket_that_is_accepted_on_outside() {
    if root() {
        let lab = Lab::new();
        let script = "import socket\ns = socket.create_connection(('127.0.0.1', 3128))\ns.sendall(b'hello')\nprint(s.recv(100).decode())";
        let mut spec = lab.spec(&["python3", "-c", script]);
        spec.egress = Some(3128);
        let mut running = lab.boxes.start(spec, capture(Default::default())).await.unwrap();
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
        assert_eq!(
            (outcome.end, text(&outcome.stdout.bytes)),
            (End::Exited(0), "from outside\n".to_owned()),
            "{}",
            told(&outcome)
        );
        assert_eq!(proxy.join().unwrap(), "hello");
        lab.close().await;
    }
}

#[tokio::test]
async fn boxes_hear_nothing_of_each_other() {
    if !root() {
        return;
    }
    let lab = Lab::new();
    let mut one = lab.spec(&[
        "python3",
        "-c",
        "import socket, sys\ns = socket.create_server(('127.0.0.1', 4000))\nprint('listens', flush=True)\ninput()",
    ]);
    one.limits.wall = std::time::Duration::from_secs(60);
    let running = lab.boxes.start(one, stead_ports::sandbox::Stdio::Pipes { keep: 100 }).await.unwrap();
    let mut pipes = running.pipes.unwrap();
    let mut line = [0; 8];
    tokio::io::AsyncReadExt::read_exact(&mut pipes.stdout, &mut line).await.unwrap();
    let other = lab.python("import socket\ntry: socket.create_connection(('127.0.0.1', 4000)); print('reached')\nexcept OSError as e: print(e.errno)").await;
    assert_eq!(text(&other.stdout.bytes), format!("{}\n", libc::ECONNREFUSED));
    drop(pipes);
    running.end.await.unwrap();
    lab.close().await;
}
