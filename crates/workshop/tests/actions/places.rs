//! A tier that has fewer boxes than there may be in all.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;
use stead_core::{effect::Outcome, sandbox::Tier};
use stead_egress::Trust;
use stead_ports::{
    BoxFuture,
    connect::Connects,
    sandbox::{BoxError, Boxes, Offer, Running, Spec, Stdio},
};
use stead_sandbox::Namespaces;
use stead_workshop::{HostLimits, Settings};

use crate::kit::{Kit, Run, run, settings, told};

/// Boxes of namespaces, one at once; one more is refused, as a tier does.
struct Narrow {
    boxes: Arc<Namespaces>,
    live: Arc<AtomicUsize>,
}

struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Boxes for Narrow {
    fn offer(&self) -> BoxFuture<'_, Result<Offer, BoxError>> {
        self.boxes.offer()
    }

    fn most(&self) -> Option<usize> {
        Some(1)
    }

    fn start(&self, spec: Spec, stdio: Stdio) -> BoxFuture<'_, Result<Running, BoxError>> {
        Box::pin(async move {
            let before = self.live.fetch_add(1, Ordering::SeqCst);
            let held = Held(Arc::clone(&self.live));
            if before > 0 {
                return Err(BoxError::Busy(1));
            }
            let running = self.boxes.start(spec, stdio).await?;
            let end = async move {
                let ended = running.end.await;
                drop(held);
                ended
            };
            Ok(Running { end: Box::pin(end), ..running })
        })
    }
}

/// The narrow one stands for machines.
fn narrow() -> Settings {
    Settings { tier: Tier::Microvm, ..settings() }
}

async fn kit(set: impl FnOnce(&mut HostLimits)) -> Arc<Kit> {
    let more = |boxes: &Arc<Namespaces>, _| {
        let narrow = Narrow { boxes: Arc::clone(boxes), live: Arc::default() };
        vec![(Tier::Microvm, Arc::new(narrow) as Arc<dyn Boxes>)]
    };
    Arc::new(Kit::made(Trust::system().unwrap(), set, Vec::new(), more).await)
}

async fn closed(kit: Arc<Kit>) {
    Arc::into_inner(kit).unwrap().close().await;
}

#[tokio::test]
async fn actions_and_servers_of_a_tier_with_few_boxes_wait_for_one_and_none_is_refused() {
    let kit = kit(|_| {}).await;
    let tasks: Vec<_> = (1..=6)
        .map(|n| {
            let kit = Arc::clone(&kit);
            tokio::spawn(async move {
                let mut run = Run { tenant: format!("t{}", n % 3).as_str().into(), ..run(n) };
                let tool = kit.shell_with(&narrow());
                told(kit.call(&mut run, &tool, json!({ "command": format!("echo {n}") })).await)["stdout"].clone()
            })
        })
        .collect();
    for (n, task) in (1..).zip(tasks) {
        assert_eq!(task.await.unwrap(), json!(format!("{n}\n")));
    }
    let of = run(7);
    let words = ["sh", "-c", "true"].map(str::to_owned).to_vec();
    let server = kit
        .shop
        .serve(of.run, of.tenant, "mail".into(), words, &narrow(), (of.limits, &Connects::default()))
        .await
        .unwrap();
    assert_eq!(server.ended().await.why, "it ended by itself with exit code 0");
    drop(server);
    closed(kit).await;
}

#[tokio::test]
async fn who_waits_for_a_tier_holds_up_no_other_and_too_many_that_wait_for_it_are_told_of_it() {
    // Two places in all: the one that waits for its tier takes none of them.
    let kit = kit(|host| (host.boxes, host.waiting) = (2, 1)).await;
    let holds = |n: u128| {
        let kit = Arc::clone(&kit);
        tokio::spawn(async move {
            let tool = kit.shell_with(&narrow());
            kit.call(&mut run(n), &tool, json!({ "command": "sleep 100" })).await
        })
    };
    let first = holds(1);
    while kit.shop.counts().0 == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let second = holds(2);
    while kit.shop.counts().1 == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(kit.sh(&mut run(3), "echo through").await["stdout"], "through\n");
    let tool = kit.shell_with(&narrow());
    let outcome = kit.call(&mut run(4), &tool, json!({ "command": "true" })).await;
    let Outcome::NotSent(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.starts_with("ST0301") && output.content.contains("`microvm`"), "{}", output.content);
    // The end of the first is the turn of the second, whose run is over.
    kit.shop.release(run(2).run);
    kit.shop.release(run(1).run);
    assert!(told(first.await.unwrap())["ended"].as_str().unwrap().starts_with("ST0006"));
    let Outcome::NotSent(output) = second.await.unwrap() else { panic!("it has started") };
    assert!(output.content.starts_with("ST0006"), "{}", output.content);
    closed(kit).await;
}
