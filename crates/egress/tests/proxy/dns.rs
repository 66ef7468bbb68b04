//! A name server on loopback that remembers every question, and a resolver that asks it over UDP.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use stead_egress::{Name, Resolve};
use stead_ports::BoxFuture;
use tokio::net::UdpSocket;

/// What a test has happen.
type Happens = Box<dyn FnOnce() + Send>;

#[derive(Clone, Default)]
struct Zone {
    asked: Arc<Mutex<Vec<String>>>,
    /// What a name leads to: the first answer once, the last one for ever.
    answers: Arc<Mutex<HashMap<String, Vec<IpAddr>>>>,
    meanwhile: Arc<Mutex<Option<Happens>>>,
}

/// The name server; it is the only one that the proxy under test knows.
#[derive(Clone)]
pub(crate) struct Dns {
    zone: Zone,
    address: SocketAddr,
}

impl Dns {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let dns = Self { zone: Zone::default(), address: socket.local_addr().unwrap() };
        tokio::spawn(serve(socket, dns.zone.clone()));
        dns
    }

    /// Has a name lead to one address after the other; to the last one from then on.
    pub(crate) fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        self.zone.answers.lock().unwrap().insert(name.to_owned(), addresses);
    }

    /// Has something happen while the next question is answered.
    pub(crate) fn meanwhile(&self, happens: impl FnOnce() + Send + 'static) {
        *self.zone.meanwhile.lock().unwrap() = Some(Box::new(happens));
    }

    /// Every name that was asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.zone.asked.lock().unwrap().clone()
    }
}

async fn serve(socket: UdpSocket, zone: Zone) {
    let mut question = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut question).await.unwrap();
        let name = name_of(&question[12..length]);
        zone.asked.lock().unwrap().push(name.clone());
        if let Some(happens) = zone.meanwhile.lock().unwrap().take() {
            happens();
        }
        let answer = {
            let mut answers = zone.answers.lock().unwrap();
            answers.get_mut(&name).map(|left| if left.len() > 1 { left.remove(0) } else { left[0] })
        };
        // The question again, with the answer behind it: a length, and the address.
        let mut reply = question[..length].to_vec();
        match answer {
            Some(IpAddr::V4(v4)) => reply.extend([&[4][..], &v4.octets()].concat()),
            Some(IpAddr::V6(v6)) => reply.extend([&[16][..], &v6.octets()].concat()),
            None => reply.push(0),
        }
        socket.send_to(&reply, from).await.unwrap();
    }
}

/// The labels of a question.
pub(crate) fn name_of(mut labels: &[u8]) -> String {
    let mut name = Vec::new();
    while let [length, rest @ ..] = labels
        && *length > 0
    {
        let (label, rest) = rest.split_at(usize::from(*length));
        name.push(String::from_utf8_lossy(label).into_owned());
        labels = rest;
    }
    name.join(".")
}

impl Resolve for Dns {
    fn resolve<'a>(&'a self, name: &'a Name, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind("127.0.0.1:0").await?;
            socket.connect(self.address).await?;
            let mut question = vec![0; 12];
            for label in name.as_str().split('.') {
                question.push(label.len() as u8);
                question.extend(label.bytes());
            }
            question.push(0);
            socket.send(&question).await?;
            let mut reply = [0; 512];
            let length = socket.recv(&mut reply).await?;
            let address = match &reply[question.len()..length] {
                [4, a, b, c, d] => IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)),
                [16, rest @ ..] => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(rest).unwrap())),
                _ => return Err(io::ErrorKind::NotFound.into()),
            };
            Ok(vec![SocketAddr::new(address, port)])
        })
    }
}
