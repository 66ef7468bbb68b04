//! What the agent acts on: the two stand-in services, in this process, on loopback. They count what they are asked, and
//! they are where a kill is sprung that shall come between an intent and its outcome.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    extract::{Request, State},
    http::Method,
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tokio::{sync::watch, task::JoinHandle};

use super::plan::{Moment, Point};
use crate::{
    demo::{self, Service},
    error::Outcome,
};

/// The services.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) payments: Stand,
    pub(crate) mail: Stand,
}

/// One service.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) url: String,
    trap: Trap,
    serving: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct Trap {
    asked: Arc<AtomicU64>,
    /// Where the next request is to be caught.
    set: watch::Sender<Option<Point>>,
    sprung: watch::Sender<bool>,
}

impl World {
    /// Starts both; what they did is kept in `data`.
    pub(crate) async fn start(data: &Path) -> Outcome<Self> {
        let stand = |service| Stand::start(service, data);
        Ok(Self { payments: stand(Service::Payments).await?, mail: stand(Service::Mail).await? })
    }

    /// Makes ready for a life; no service catches anything but what ends that life.
    pub(crate) fn arm(&self, moment: Moment) {
        for (stand, own) in [(&self.payments, Service::Payments), (&self.mail, Service::Mail)] {
            let point = match moment {
                Moment::Request(service, point) if service == own => Some(point),
                _ => None,
            };
            stand.trap.sprung.send_replace(false);
            stand.trap.set.send_replace(point);
        }
    }

    /// No service catches anything.
    pub(crate) fn disarm(&self) {
        self.payments.trap.set.send_replace(None);
        self.mail.trap.set.send_replace(None);
    }

    /// Completes when a service has caught its request.
    pub(crate) async fn sprung(&self) {
        let wait = |stand: &Stand| {
            let mut sprung = stand.trap.sprung.subscribe();
            // The senders live as long as this.
            async move { drop(sprung.wait_for(|sprung| *sprung).await) }
        };
        tokio::select! {
            () = wait(&self.payments) => {}
            () = wait(&self.mail) => {}
        }
    }
}

impl Stand {
    async fn start(service: Service, data: &Path) -> Outcome<Self> {
        let trap = Trap { asked: Arc::default(), set: watch::Sender::new(None), sprung: watch::Sender::new(false) };
        let router: Router = demo::open(service, data)?.layer(from_fn_with_state(trap.clone(), pass));
        let (listener, addr) = demo::listen(0).await?;
        // Serving ends with this process, or when this is dropped.
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { url: format!("http://{addr}"), trap, serving })
    }

    /// How often it was asked to do something.
    pub(crate) fn asked(&self) -> u64 {
        self.trap.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass(State(trap): State<Trap>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    trap.asked.fetch_add(1, Ordering::Relaxed);
    match trap.set.send_replace(None) {
        None => next.run(request).await,
        Some(Point::Asked) => trap.spring().await,
        Some(Point::Done) => {
            drop(next.run(request).await);
            trap.spring().await
        }
    }
}

impl Trap {
    /// Nobody gets an answer: who asked is being killed.
    async fn spring(&self) -> Response {
        self.sprung.send_replace(true);
        std::future::pending().await
    }
}
