//! The first process of a machine. It readies the kernel, says hello, and then hears orders until the host kills the machine.

use std::{convert::Infallible, fs::File, sync::Arc};

use super::{boxed::Boxed, kernel, link::Link};
use crate::{
    fault::{At, Fault},
    vmm,
    wire::{News, Order, decode},
};

/// Is the first process. Returns only what went wrong; when it ends, so does the machine.
pub(crate) fn run() -> Fault {
    match live() {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

fn live() -> Result<Infallible, Fault> {
    if rustix::process::getpid().as_raw_nonzero().get() != 1 {
        return Err(Fault("this role is for the first process of a machine".to_owned()));
    }
    rustix::process::umask(rustix::fs::Mode::empty());
    kernel::ready()?;
    // What the machine lacks when it runs short is not this.
    std::fs::write("/proc/self/oom_score_adj", "-1000").at("keeping the first process")?;
    let mut port = kernel::port(vmm::PORT)?;
    kernel::close()?;
    let link = Link::new(port.try_clone().at("opening the channel twice")?);
    let name = rustix::system::uname();
    link.news(&News::Hello { kernel: format!("Linux {}", name.release().to_string_lossy()) });
    hear(&link, &mut port)
}

fn hear(link: &Arc<Link>, port: &mut File) -> Result<Infallible, Fault> {
    let mut boxed: Option<Arc<Boxed>> = None;
    loop {
        let Some(message) = link.receive(port).at("reading the channel")? else { continue };
        let order: Order = decode(&message).ok_or_else(|| Fault("an order cannot be read".to_owned()))?;
        match (order, &boxed) {
            (Order::Start { plan }, None) => boxed = Some(Boxed::start(link, plan)),
            (Order::Kill, Some(boxed)) => boxed.kill(),
            (Order::Limit { memory, pids, cpu_milli }, Some(boxed)) => {
                let failure = boxed.limit(memory, pids, cpu_milli).err().map(|fault| fault.0);
                link.news(&News::Limited { failure });
            }
            (Order::Look, Some(boxed)) => link.news(&News::Used { usage: boxed.usage() }),
            (Order::Resize { size }, Some(boxed)) => boxed.resize(size),
            _ => return Err(Fault("an order comes out of turn".to_owned())),
        }
    }
}
