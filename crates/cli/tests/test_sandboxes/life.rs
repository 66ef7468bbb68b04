//! Life and end of sandboxes: whose they are, how long they stay, what is kept of them.

use stead_api::sandbox::{ChangeSandbox, CreateSandbox, ExecState, TakeSnapshot};
use stead_client::Output;
use stead_core::{code, id::SandboxId};

use super::kit::{Lab, read, refused, runs, second, serve, sh, unique, until};

#[tokio::test]
async fn a_sandbox_is_made_used_and_removed_and_belongs_to_its_tenant() {
    let lab = Lab::new();
    let mine = CreateSandbox { label: Some("mine".into()), ..CreateSandbox::default() };
    let made = lab.client.create_sandbox(&mine).await.unwrap();
    assert_eq!(
        (made.label.as_deref(), made.template.as_str(), made.owner.as_str()),
        (Some("mine"), "default", "owner")
    );
    assert_eq!(lab.run(made.id, "echo out; echo err >&2; exit 3").await, ("out\n".into(), "err\n".into(), Some(3)));
    assert_eq!(lab.run(made.id, "echo kept > f; cat f").await.0, "kept\n");
    let shown = lab.client.sandbox(made.id).await.unwrap();
    assert!(shown.usage.unwrap().pids.is_none_or(|n| n >= 2), "{shown:?}");
    assert_eq!(lab.client.execs(made.id).await.unwrap().items.len(), 2);
    // To another tenant it is not there.
    let eve = lab.other();
    assert!(eve.sandboxes().await.unwrap().items.is_empty());
    refused(eve.sandbox(made.id).await, 404, code::NOT_FOUND);
    refused(eve.exec(made.id, &sh("true"), None).await, 404, code::NOT_FOUND);
    refused(read(&eve, made.id, "/workspace/f").await, 404, code::NOT_FOUND);
    refused(eve.remove_sandbox(made.id).await, 404, code::NOT_FOUND);

    assert_eq!(lab.client.sandboxes().await.unwrap().items.len(), 1);
    lab.client.remove_sandbox(made.id).await.unwrap();
    let error = refused(lab.client.sandbox(made.id).await, 410, code::SESSION_SANDBOX_GONE);
    assert!(error.detail.contains("it was removed"), "{error}");
    refused(eve.sandbox(made.id).await, 404, code::NOT_FOUND);
    refused(lab.client.sandbox(SandboxId(u128::MAX >> 1)).await, 404, code::NOT_FOUND);
    assert_eq!(lab.server.stop(), Some(0));
}

#[tokio::test]
async fn a_workspace_is_kept_and_another_sandbox_begins_with_it() {
    let lab = Lab::new();
    let (client, id) = (&lab.client, lab.create().await.id);
    lab.run(id, "mkdir d; echo one > d/f; ln -s d/f link; mkfifo p; echo gone > /tmp/t").await;
    // Something writes all the time: it stands still for the snapshot, and goes on.
    let busy = client.exec(id, &sh("while :; do echo x >> grows; done"), None).await.unwrap();
    lab.run(id, "until [ -s grows ]; do :; done").await;
    let kept = match client.snapshot_sandbox(id, &TakeSnapshot { hold: Some(second(3600)) }).await {
        Err(error) if error.code == code::SANDBOX_STILL => {
            // Not root, and no group was handed down: it says so, and the sandbox goes on.
            assert_eq!(lab.run(id, "cat d/f").await.0, "one\n");
            assert!(!rustix::process::geteuid().is_root(), "{error}");
            return;
        }
        kept => kept.unwrap(),
    };
    assert!(kept.added >= 3 && kept.left_out == 1, "{kept:?}");
    assert_eq!(client.exec_state(id, busy.n).await.unwrap().end.state, ExecState::Running);
    client.remove_sandbox(id).await.unwrap();

    let begin = CreateSandbox { tree: Some(kept.tree), ..CreateSandbox::default() };
    let second_one = client.create_sandbox(&begin).await.unwrap();
    assert_eq!(second_one.tree, kept.tree);
    let found = lab.run(second_one.id, "cat link; ls; ls /tmp; echo two > d/f; cat d/f").await;
    assert_eq!(found.0, "one\nd\ngrows\nlink\ntwo\n", "{}", found.1);
    let again = client.snapshot_sandbox(second_one.id, &TakeSnapshot::default()).await.unwrap();
    assert_eq!((again.added, again.changed, again.removed), (0, 1, 0));
    // As often as one likes, and each time all of it.
    let same = client.snapshot_sandbox(second_one.id, &TakeSnapshot::default()).await.unwrap();
    assert_eq!((same.tree, same.entries, same.added), (again.tree, again.entries, 0));
    // The first tree is what it was, and nobody else's.
    let third = client.create_sandbox(&begin).await.unwrap();
    assert_eq!(lab.run(third.id, "cat d/f").await.0, "one\n");
    refused(lab.other().create_sandbox(&begin).await, 404, code::NOT_FOUND);
    lab.server.stop();
}

#[tokio::test]
async fn a_sandbox_whose_time_is_up_is_gone_with_all_that_ran_and_a_renewed_one_stays() {
    let lab = Lab::new();
    let word = unique(2);
    let brief = CreateSandbox { ttl: Some(second(2)), ..CreateSandbox::default() };
    let (gone, stays) =
        (lab.client.create_sandbox(&brief).await.unwrap(), lab.client.create_sandbox(&brief).await.unwrap());
    let renewed = ChangeSandbox { ttl: Some(second(600)), ..ChangeSandbox::default() };
    let renewed = lab.client.change_sandbox(stays.id, &renewed).await.unwrap();
    assert!(renewed.expires > stays.expires);
    let exec = lab.client.exec(gone.id, &sh(&format!("(setsid sleep {word} &); sleep {word}")), None).await.unwrap();
    let mut follow = lab.client.follow_exec(gone.id, exec.n, 0).unwrap();
    // Its followers hear that it was killed.
    let Some(Ok(Output::Exit(exit))) = follow.next().await else { panic!("it has no output") };
    assert_eq!(exit.end.state, ExecState::Killed);
    until("the sandbox is gone", || !runs(&word)).await;
    let error = loop {
        match lab.client.sandbox(gone.id).await {
            Err(error) if error.code == code::SESSION_SANDBOX_GONE => break error,
            Err(error) => assert_eq!(error.code, code::SANDBOX_LOST, "{error}"),
            Ok(_) => {}
        }
    };
    assert!(error.detail.contains("its time was up"), "{error}");
    assert_eq!(lab.run(stays.id, "echo here").await.0, "here\n");
    refused(
        lab.client
            .change_sandbox(stays.id, &ChangeSandbox { ttl: Some(second(90_000)), ..ChangeSandbox::default() })
            .await,
        422,
        code::SESSION_SANDBOX_REFUSED,
    );
    lab.server.stop();
}

#[tokio::test]
async fn a_killed_server_leaves_nothing_and_the_next_one_says_what_became_of_its_sandboxes() {
    let lab = Lab::new();
    let (id, word) = (lab.create().await.id, unique(3));
    lab.client.exec(id, &sh(&format!("(setsid sleep {word} &); sleep {word}")), None).await.unwrap();
    until("it runs", || runs(&word)).await;
    lab.server.kill();
    until("everything of the sandbox is dead", || !runs(&word)).await;
    let (server, client) = serve(&lab.env, "serve");
    let error = refused(client.sandbox(id).await, 410, code::SESSION_SANDBOX_GONE);
    assert!(error.detail.contains("sandboxes end with their server"), "{error}");
    assert!(client.sandboxes().await.unwrap().items.is_empty());

    // One that is told to stop ends them in order.
    let again = client.create_sandbox(&CreateSandbox::default()).await.unwrap();
    client.exec(again.id, &sh(&format!("exec sleep {word}")), None).await.unwrap();
    until("it runs", || runs(&word)).await;
    assert_eq!(server.stop(), Some(0));
    assert!(!runs(&word));
}
