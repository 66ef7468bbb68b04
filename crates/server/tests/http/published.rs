//! Checkpoints outside of the server: in a folder, in a git repository, at a webhook, with the signatures of witnesses. Webhook and witness are doubles on
//! loopback; `git` is the real one.

use std::{
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use serde_json::Value;
use stead_audit::{
    checkpoint::Checkpoint,
    hash::TreeHash,
    key::{Role, SignerKey},
    note::{Note, Trust},
    proof,
};
use stead_server::config::{Config, PublishTo, Witness, units::Time};
use tokio::sync::Notify;

use crate::{
    audit::trust,
    lab::{Lab, config},
};

const LONG: Duration = Duration::from_secs(120);

fn publishing(c: &mut Config, to: PublishTo) {
    c.audit.every = Time(Duration::from_secs(1));
    c.audit.publish = vec![to];
}

fn git(folder: &Path, args: &[&str]) -> String {
    let ran = Command::new("git").arg("-C").arg(folder).args(args).output().unwrap();
    assert!(ran.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_and_a_repository_have_the_last_checkpoint_and_all_before_when_the_server_has_ended() {
    let outside = tempfile::tempdir().unwrap();
    let (folder, repo, bare) =
        (outside.path().join("folder"), outside.path().join("repo"), outside.path().join("bare"));
    std::fs::create_dir(&folder).unwrap();
    git(outside.path(), &["init", "--quiet", "--bare", "bare"]);
    git(outside.path(), &["clone", "--quiet", bare.to_str().unwrap(), "repo"]);
    git(&repo, &["config", "push.autoSetupRemote", "true"]);
    let lab = Lab::with(|c: &mut Config| {
        publishing(c, PublishTo { folder: Some(folder.clone()), ..PublishTo::default() });
        c.audit.publish.push(PublishTo { git: Some(repo.clone()), ..PublishTo::default() });
        c.audit.name = Some("log.example/a".into());
    })
    .await;
    lab.hello().await;
    let run = lab.start("hello").await;
    lab.ended(run).await;
    let trust = trust(&lab.client, "tenant").await;
    let newest = lab.client.checkpoint("tenant", false).await.unwrap();
    // What is new when it ends is told a last time.
    let dir = lab.stop().await;
    assert_eq!(trust.log.name(), "log.example/a/tenant/default");
    for place in [&folder, &repo] {
        let of = |name: &str| std::fs::read_to_string(place.join(trust.log.name()).join(name)).unwrap();
        let kept = of("checkpoint");
        let (checkpoint, _) = Checkpoint::verify(&kept, &trust).unwrap();
        assert!(checkpoint.size >= Checkpoint::verify(&newest, &trust).unwrap().0.size);
        assert!(of("history").ends_with(&format!("{kept}\n")));
        assert!(place.join("log.example/a/operators/checkpoint").exists());
    }
    let pushed = git(&bare, &["log", "--format=%s", "--all"]);
    assert!(pushed.lines().any(|line| line.starts_with("log.example/a/tenant/default: ")), "{pushed}");
    assert_eq!(git(&repo, &["status", "--porcelain"]), "");

    // A log that does not contain what the folder has is not published over it.
    let place = folder.join(trust.log.name()).join("checkpoint");
    let kept = std::fs::read_to_string(&place).unwrap();
    let conn = rusqlite::Connection::open(dir.path().join("data/stead.db")).unwrap();
    conn.execute_batch(
        "DELETE FROM records WHERE id = (SELECT max(id) FROM records); DELETE FROM audit_logs; DELETE FROM audit_tiles;
         DELETE FROM audit_spans; DELETE FROM snapshots; UPDATE meta SET value = 0 WHERE key IN ('audit_records', 'audit_acts')",
    )
    .unwrap();
    drop(conn);
    let mut config = config(dir.path());
    publishing(&mut config, PublishTo { folder: Some(folder.clone()), ..PublishTo::default() });
    let lab = Lab::over(dir, config).await;
    lab.client.audit_logs().await.unwrap();
    lab.stop().await;
    assert_eq!(std::fs::read_to_string(&place).unwrap(), kept);
}

/// What a double was sent, and a bell.
#[derive(Clone, Default)]
struct Heard(Arc<(Mutex<Vec<String>>, Notify)>);

impl Heard {
    fn hear(&self, what: String) {
        self.0.0.lock().unwrap().push(what);
        self.0.1.notify_one();
    }

    async fn until(&self, so: impl Fn(&[String]) -> bool) {
        let wait = async {
            while !so(&self.0.0.lock().unwrap()) {
                self.0.1.notified().await;
            }
        };
        tokio::time::timeout(LONG, wait).await.unwrap();
    }
}

async fn double(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_told_of_checkpoints_and_again_when_it_did_not_take_one() {
    let heard = Heard::default();
    let answer = async |State(heard): State<Heard>, body: String| {
        heard.hear(body);
        // The first is not taken.
        if heard.0.0.lock().unwrap().len() == 1 { StatusCode::BAD_GATEWAY } else { StatusCode::NO_CONTENT }
    };
    let url = double(Router::new().route("/hook", post(answer)).with_state(heard.clone())).await;
    let webhook = Some(format!("{url}/hook"));
    let lab = Lab::with(|c: &mut Config| publishing(c, PublishTo { webhook, ..PublishTo::default() })).await;
    lab.hello().await;
    let run = lab.start("hello").await;
    lab.ended(run).await;
    let trust = trust(&lab.client, "tenant").await;
    let size = Checkpoint::verify(&lab.client.checkpoint("tenant", false).await.unwrap(), &trust).unwrap().0.size;
    heard
        .until(|all| {
            all.iter().any(|body| {
                let body: Value = serde_json::from_str(body).unwrap();
                assert_eq!(body["type"], "stead.audit.checkpoint");
                body["origin"] == trust.log.name() && body["size"] == size && {
                    Checkpoint::verify(body["note"].as_str().unwrap(), &trust).unwrap().0.size == size
                }
            })
        })
        .await;
}

/// A witness that signs what contains what it signed before (C2SP tlog-witness).
struct Double {
    key: SignerKey,
    log: Mutex<Option<Trust>>,
    signed: Mutex<Option<(u64, TreeHash)>>,
    heard: Heard,
}

async fn witness(State(double): State<Arc<Double>>, body: String) -> impl IntoResponse {
    let (head, note) = body.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
    let path: Vec<TreeHash> = lines.map(|line| line.parse().unwrap()).collect();
    let Some(trust) = double.log.lock().unwrap().clone() else { return (StatusCode::NOT_FOUND, String::new()) };
    let Ok((checkpoint, _)) = Checkpoint::verify(note, &trust) else { return (StatusCode::FORBIDDEN, String::new()) };
    let mut signed = double.signed.lock().unwrap();
    let kept = signed.unwrap_or((0, stead_audit::hash::empty()));
    if old != kept.0 {
        return (StatusCode::CONFLICT, format!("{}\n", kept.0));
    }
    if proof::consistency(kept, (checkpoint.size, checkpoint.root), &path).is_err() {
        return (StatusCode::UNPROCESSABLE_ENTITY, String::new());
    }
    *signed = Some((checkpoint.size, checkpoint.root));
    let mut note = Note::parse(note).unwrap();
    note.cosign(&double.key, 1_767_225_600);
    double.heard.hear(checkpoint.size.to_string());
    let line = note.to_string().lines().last().unwrap().to_owned();
    (StatusCode::OK, format!("{line}\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_signs_what_contains_what_it_signed_before_also_after_the_server_was_started_again() {
    let key = SignerKey::from_seed("witness.example/w1", Role::Witness, [5; 32].into()).unwrap();
    let verifier = key.verifier().clone();
    let double = Arc::new(Double { key, log: Mutex::default(), signed: Mutex::default(), heard: Heard::default() });
    let url = self::double(Router::new().route("/w/add-checkpoint", post(witness)).with_state(double.clone())).await;
    let ask = |c: &mut Config| {
        c.audit.every = Time(Duration::from_secs(1));
        c.audit.witnesses = vec![Witness { url: format!("{url}/w/"), key: verifier.to_string() }];
    };
    let mut lab = Lab::with(ask).await;
    let trust = trust(&lab.client, "tenant").await;
    *double.log.lock().unwrap() = Some(trust.clone());
    let trust = Trust { witnesses: vec![verifier.clone()], quorum: 1, ..trust };
    lab.hello().await;
    let mut sizes = Vec::new();
    for life in 0..2 {
        let run = lab.start("hello").await;
        lab.ended(run).await;
        let size = lab.client.audit_logs().await.unwrap().items[0].size;
        // It asks once more with the size that the witness says.
        double.heard.until(|all| all.contains(&size.to_string())).await;
        sizes.push(size);
        if life == 0 {
            let dir = lab.stop().await;
            let mut config = config(dir.path());
            ask(&mut config);
            lab = Lab::over(dir, config).await;
        }
    }
    assert!(sizes[0] < sizes[1]);
    // Kept a moment after it was signed.
    let cosigned = tokio::time::timeout(LONG, async {
        loop {
            let note = lab.client.checkpoint("tenant", true).await;
            match note.map(|note| Checkpoint::verify(&note, &trust)) {
                Ok(Ok((checkpoint, by))) if checkpoint.size == sizes[1] => return by,
                Ok(Err(e)) => panic!("{e}"),
                _ => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(cosigned.await.unwrap()[0].name, "witness.example/w1");
}
