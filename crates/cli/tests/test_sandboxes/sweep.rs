//! The sweep of workspaces: what a fact or a sandbox that lives names stays, and what nothing names goes.

use stead_api::sandbox::{CreateSandbox, Sandbox, TakeSnapshot};
use stead_core::{code, id::TreeId};

use super::kit::{Lab, refused, second};

impl Lab {
    fn database(&self) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.env.path().join(".stead/stead.db")).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
        database
    }

    /// As if so much time had passed that nobody holds anything any more.
    fn nobody_holds(&self) {
        self.database().execute("UPDATE objects SET held = 0", ()).unwrap();
    }

    fn kept(&self, tree: TreeId) -> bool {
        let sql = "SELECT count(*) FROM objects WHERE id = ?";
        self.database().query_row(sql, [&tree.0[..]], |row| row.get::<_, i64>(0)).unwrap() == 1
    }

    /// Waits for a sweep that has begun after this call.
    fn swept(&self) {
        let url = format!("{}metrics", self.client.base());
        let count = || {
            let asked = std::process::Command::new("curl").args(["-sS", &url]).output().expect("apt-get install curl");
            let text = String::from_utf8(asked.stdout).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("stead_workspace_sweeps_total "));
            line.unwrap_or_else(|| panic!("{text}")).parse::<u64>().unwrap()
        };
        // The one that is under way may have read its roots already.
        let enough = count() + 2;
        while count() < enough {}
    }

    async fn begun_with(&self, tree: TreeId) -> Result<Sandbox, stead_client::ClientError> {
        self.client.create_sandbox(&CreateSandbox { tree: Some(tree), ..CreateSandbox::default() }).await
    }
}

#[tokio::test]
async fn what_a_fact_or_a_living_sandbox_names_stays_and_what_nothing_names_goes() {
    let lab = Lab::with("[sandbox]\nsweep = \"20ms\"\n");
    lab.env.write(
        "a/agent.yaml",
        "stead: v1\nname: a\nmodel: { rehearsal: ./s.yaml }\ninstructions: Work.\ntools:\n  files: { files: rw }\n",
    );
    lab.env.write(
        "a/s.yaml",
        "rules:\n- when: { user: . }\n  call: [{ tool: files_write, args: { path: note, content: first } }, { tool: files_write, args: { path: note, content: second } }]\n- when: { tool: files_write }\n  say: done\n",
    );
    lab.env.stead("run --quiet a go").succeeds();
    let run = lab.env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
    let facts = lab.env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
    let named: Vec<TreeId> =
        facts.split('"').filter(|word| word.starts_with("tree:")).map(|word| word.parse().unwrap()).collect();
    assert!(named.len() >= 3, "{facts}");

    let sandbox = lab.create().await;
    lab.run(sandbox.id, "mkdir d; echo kept > d/f").await;
    let brief = TakeSnapshot { hold: Some(second(1)) };
    let kept = match lab.client.snapshot_sandbox(sandbox.id, &brief).await {
        Err(error) if error.code == code::SANDBOX_STILL => {
            assert!(!rustix::process::geteuid().is_root(), "{error}");
            return;
        }
        kept => kept.unwrap().tree,
    };
    lab.swept();
    assert!(lab.kept(kept), "it is held");
    let living = lab.begun_with(kept).await.unwrap();
    lab.nobody_holds();
    lab.swept();

    assert!(lab.kept(kept), "a sandbox that lives has begun with it");
    assert!(named.iter().all(|tree| lab.kept(*tree)), "a fact names each");
    assert_eq!(lab.env.stead(&format!("runs files {run} note")).succeeds().stdout, "second");
    // And so all that it leads to: the sandbox is kept as a tree over it.
    lab.run(living.id, "echo more > d/g").await;
    let grown = lab.client.snapshot_sandbox(living.id, &brief).await.unwrap().tree;

    lab.client.remove_sandbox(living.id).await.unwrap();
    lab.nobody_holds();
    lab.swept();
    assert!(!lab.kept(kept) && !lab.kept(grown), "nothing names them any more");
    refused(lab.begun_with(kept).await, 404, code::NOT_FOUND);
    assert!(named.iter().all(|tree| lab.kept(*tree)));
    // The sandbox that began with nothing can be kept all the same.
    assert_eq!(lab.client.snapshot_sandbox(sandbox.id, &brief).await.unwrap().tree, kept);
    assert_eq!(lab.server.stop(), Some(0));
}
