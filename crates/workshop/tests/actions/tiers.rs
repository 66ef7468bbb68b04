//! What an agent's tools do, in every tier: the same story told to each, and at its end the same tree.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use stead_core::{
    effect::Outcome,
    id::TreeId,
    sandbox::{BoxUse, Property, Tier},
};
use stead_egress::Trust;
use stead_ports::{
    connect::Connects,
    sandbox::{Limits, Root},
    tool::Output,
};
use stead_tools::config::CommandConfig;
use stead_workshop::{Settings, Variable};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::{
    hosts::{Authority, Heard, host, tls_host},
    kit::{Kit, Run, root, run, told},
};

const SECRET: &str = "ghp_Zk8vN3qLw0RtY7uXbC5mA2sD";

/// Folders of the host that stories need. They go when this does.
struct Stage {
    dir: tempfile::TempDir,
    /// Shown to all boxes: somewhere, and for root below `/opt`, where the workshop mounts too.
    shown: Vec<tempfile::TempDir>,
}

/// A tier in which the story is told.
struct Told<'s> {
    tier: Tier,
    root: Root,
    /// What asks `$URL` with `$TOKEN`.
    asks: &'s str,
    url: String,
    heard: Heard,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("stead-stage").tempdir_in("/tmp").unwrap();
        open(dir.path());
        let agent = dir.path().join("agent");
        fs::create_dir(&agent).unwrap();
        fs::write(agent.join("tool"), "#!/bin/sh\necho the agents own: $(cat /opt/agent/data)\n").unwrap();
        fs::write(agent.join("data"), "data").unwrap();
        [agent.clone(), agent.join("tool")].iter().for_each(|path| open(path));
        let mut shown = vec![tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()];
        if root() {
            fs::create_dir_all("/opt").unwrap();
            shown.push(tempfile::Builder::new().prefix("stead-shown").tempdir_in("/opt").unwrap());
        }
        for folder in &shown {
            open(folder.path());
            fs::write(folder.path().join("tool"), "#!/bin/sh\necho shown\n").unwrap();
            open(&folder.path().join("tool"));
            fs::write(folder.path().join("private"), "nobody else's").unwrap();
            fs::set_permissions(folder.path().join("private"), fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self { dir, shown }
    }

    fn shown(&self) -> Vec<PathBuf> {
        self.shown.iter().map(|folder| folder.path().to_owned()).collect()
    }

    /// A root of BusyBox's, as small as one may be.
    fn root(&self) -> Root {
        let root = self.dir.path().join("root");
        let busybox = ["/usr/bin/busybox", "/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists());
        let busybox = busybox.expect("busybox is missing; install it: apt-get install busybox-static");
        for folder in ["proc", "dev", "tmp", "home/box", "workspace", "opt", "bin"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        let listed = Command::new(busybox).arg("--list").output().unwrap();
        for name in String::from_utf8(listed.stdout).unwrap().lines().filter(|name| *name != "busybox") {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        Root::Folder(root)
    }
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The story's first command. It finds what `files` wrote, the agent's files and what the operator shows, and changes the workspace; it asks a
/// host, which is shown the secret that it does not have.
const FIRST: &str = r##"set -e
id -u; pwd; cat seed; /opt/agent/tool
echo planted 2>/dev/null > /opt/agent/data || echo closed
for at in $SHOWN; do $at/tool; cat $at/private 2>/dev/null || echo not to be read; done
rm -r sub; echo changed > seed; mkdir -p deep/er; printf '#!/bin/sh\necho ran\n' > deep/er/run; chmod +x deep/er/run
printf x > 'an odd name'; ln -s seed link; echo one > a
grep -q 'BEGIN CERTIFICATE' "$SSL_CERT_FILE" && echo authorities
case $TOKEN in stead-secret-*) echo a placeholder;; *) echo "$TOKEN";; esac
"##;

/// The second. It finds what the first one left as its own, and what it needs too much of costs one process of it.
const SECOND: &str = "deep/er/run; cat a link; ls -ln a | cut -c 1-10; test -O a && echo own; test -e sub || echo gone
echo two >> a; rm link; mv deep moved; env | grep -ci proxy
(x=0123456789abcdef; n=0; while [ $n -lt 23 ]; do x=$x$x; n=$((n+1)); done) 2>/dev/null || echo too much";

impl Told<'_> {
    fn settings(&self) -> Settings {
        let limits = Limits { memory: Some(96 << 20), wall: Duration::from_secs(90), ..Limits::default() };
        Settings { tier: self.tier, root: self.root.clone(), limits, ..Settings::default() }
    }

    fn reaching(&self, stage: &Stage) -> Settings {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let port: u16 = rest.split_once(':').unwrap().1.split_once('/').unwrap().0.parse().unwrap();
        let egress = json!([{
            "host": "api.test", "ports": [port], "scheme": scheme, "methods": ["GET"], "paths": ["/v1/*"],
            "addresses": ["127.0.0.0/8"], "secrets_in_clear": scheme == "http",
            "secrets": [{"secret": "github", "inject": "bearer"}],
        }]);
        let shown = if self.root == Root::Host { stage.shown() } else { Vec::new() };
        let shown: Vec<_> = shown.iter().map(|path| path.display().to_string()).collect();
        let env = [
            ("TOKEN".to_owned(), Variable::Secret("github".to_owned())),
            ("SHOWN".to_owned(), Variable::Text(shown.join(" "))),
            ("URL".to_owned(), Variable::Text(self.url.clone())),
        ];
        let files = Some(stage.dir.path().join("agent"));
        Settings { egress: serde_json::from_value(egress).unwrap(), env: env.into(), files, ..self.settings() }
    }

    /// Runs a script; what the model reads, and what the fact has of the box.
    async fn act(&self, kit: &Kit, run: &mut Run, settings: &Settings, script: &str) -> (Value, BoxUse) {
        let words = ["sh".to_owned(), "-c".to_owned()].to_vec();
        let access = stead_core::sandbox::Access::Write;
        let config = CommandConfig { command: words, workspace: access, ..CommandConfig::default() };
        let tool = kit.shop.command("shell", &config, settings).unwrap().pop().unwrap();
        let outcome = kit.call(run, &tool, json!({ "command": script })).await;
        let used = used(&outcome);
        (told(outcome), used)
    }

    /// Tells it all; the trees after its steps.
    async fn whole(&self, kit: &Kit, stage: &Stage) -> Vec<Option<TreeId>> {
        let mut run = run(self.tier as u128 + 1);
        let mut trees = Vec::new();
        for (path, content) in [("seed", "sown\n"), ("sub/gone", "x")] {
            told(kit.call(&mut run, &kit.files("write"), json!({ "path": path, "content": content })).await);
        }
        trees.push(run.tree);
        let before = self.heard.lock().unwrap().len();
        let script = format!("{FIRST}{}", self.asks);
        let (report, used) = self.act(kit, &mut run, &self.reaching(stage), &script).await;
        self.held(&used);
        let shown = if self.root == Root::Host { stage.shown.len() } else { 0 };
        // An ordinary user's boxes may read what that user may: outside they are that user.
        let private = if root() { "not to be read\n" } else { "nobody else's" };
        let head = "1000\n/workspace\nsown\nthe agents own: data\nclosed\n";
        let said = format!("{head}{}authorities\na placeholder\n", format!("shown\n{private}").repeat(shown));
        let out = report["stdout"].as_str().unwrap();
        assert_eq!((&report["exit_code"], &out[..said.len().min(out.len())]), (&json!(0), &*said), "{report}");
        assert!(out.contains("Bearer ***") && !out.contains(SECRET), "{report}");
        let heard = self.heard.lock().unwrap()[before..].to_vec();
        assert!(heard.len() == 1 && heard[0].contains(&format!("Bearer {SECRET}")), "{heard:?}");
        assert_eq!(used.traffic.map(|t| (t.allowed, t.denied)), Some((1, 0)), "{report}");
        let paths =
            json!(["+ a", "+ an odd name", "+ deep", "+ deep/er", "+ deep/er/run", "+ link", "~ seed", "- sub"]);
        assert_eq!(report["workspace"]["paths"], paths, "{report}");
        trees.push(run.tree);
        let read = told(kit.call(&mut run, &kit.files("read"), json!({ "path": "seed" })).await);
        assert_eq!(read["text"], "changed\n", "{read}");

        let (report, used) = self.act(kit, &mut run, &self.settings(), SECOND).await;
        self.held(&used);
        let out = report["stdout"].as_str().unwrap();
        let said = "ran\none\nchanged\n-rw-r--r--\nown\ngone\n0\n";
        if used.held.contains(&Property::MemoryLimit) {
            assert_eq!(out, format!("{said}too much\n"), "{report}");
            assert!(report["notes"][0].as_str().is_some_and(|note| note.starts_with("ST0226")), "{report}");
        } else {
            assert!(out.starts_with(said) && used.not_held.contains(&Property::MemoryLimit), "{report} {used:?}");
        }
        assert_eq!(report["workspace"]["kept"], true, "{report}");
        assert_eq!(kit.file(&run, "moved/er/run").await.as_deref(), Some("#!/bin/sh\necho ran\n"));
        trees.push(run.tree);
        self.deadline(kit, &mut run).await;
        trees.push(run.tree);
        trees
    }

    /// It ends at its deadline with all that it started, and nothing of it is kept.
    async fn deadline(&self, kit: &Kit, run: &mut Run) {
        let own = self.settings();
        let settings = Settings { limits: Limits { wall: Duration::from_secs(2), ..own.limits }, ..own };
        let (report, used) = self.act(kit, run, &settings, "echo late > a; setsid sleep 1000 & sleep 1000").await;
        assert!(report["ended"].as_str().is_some_and(|ended| ended.starts_with("ST0227")), "{report}");
        assert_eq!(report["workspace"]["kept"], false, "{report}");
        assert!(used.tier == self.tier && used.wall.to_std() >= Duration::from_secs(2), "{used:?}");
    }

    /// The fact names the tier, and what it held.
    fn held(&self, used: &BoxUse) {
        assert_eq!(used.tier, self.tier);
        assert!(used.held.contains(&Property::EgressControl) && used.held.contains(&Property::DiskQuota), "{used:?}");
        assert_eq!(used.held.contains(&Property::OwnKernel), self.tier == Tier::Microvm, "{used:?}");
        assert!(used.wall.0 > 0, "{used:?}");
    }

    /// A server over stdio: one box for a run, dead when it is let go.
    async fn serves(&self, kit: &Kit) {
        let run = run(100 + self.tier as u128);
        let script = "echo mine > /tmp/own; while read line; do echo \"got $line, $(cat /tmp/own)\"; done";
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        let settings = self.settings();
        kit.shop.check("mail", &settings).unwrap();
        let limits = run.limits;
        let served =
            kit.shop.serve(run.run, run.tenant, "mail".into(), words, &settings, (limits, &Connects::default())).await;
        let mut server = served.unwrap();
        let pipes = server.pipes().unwrap();
        let (mut stdin, mut lines) = (pipes.stdin, BufReader::new(pipes.stdout).lines());
        for n in ["one", "two"] {
            stdin.write_all(format!("{n}\n").as_bytes()).await.unwrap();
            assert_eq!(lines.next_line().await.unwrap().unwrap(), format!("got {n}, mine"));
        }
        kit.shop.release(run.run);
        assert_eq!(server.ended().await.why, "it was killed");
        assert_eq!(lines.next_line().await.unwrap(), None);
        drop(server);
        while kit.shop.counts() != (0, 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn used(outcome: &Outcome<Output>) -> BoxUse {
    let Outcome::Returned(output) = outcome else { panic!("{outcome:?}") };
    output.action.as_ref().and_then(|action| action.sandbox.clone()).expect("the fact has the box")
}

/// A kit with a host behind it that speaks TLS, and one that does not.
async fn kit(stage: &Stage) -> (Kit, (String, Heard), (String, Heard)) {
    let authority = Authority::new();
    let kit = Kit::everywhere(Trust::pem(&authority.pem).unwrap(), stage.shown()).await;
    kit.world.secrets.lock().unwrap().insert("github".into(), SECRET.into());
    let (tls, plain) = (tls_host(authority.acceptor("api.test")).await, host().await);
    let url = |scheme: &str, port: u16| format!("{scheme}://api.test:{port}/v1/me");
    (kit, (url("https", tls.0.port()), tls.1), (url("http", plain.0.port()), plain.1))
}

const CURL: &str = "curl -sS -H \"Authorization: Bearer $TOKEN\" $URL";
const WGET: &str = "wget -q -O - --header \"Authorization: Bearer $TOKEN\" $URL";

/// With the host's programs, and with a root of one's own.
async fn in_both_roots(tier: Tier) {
    let stage = Stage::new();
    let (kit, (https, tls), (http, plain)) = kit(&stage).await;
    let mut ends = Vec::new();
    for tier in [Tier::Namespace, tier] {
        let (url, heard) = (https.clone(), tls.clone());
        let hosts = Told { tier, root: Root::Host, asks: CURL, url, heard };
        ends.push(hosts.whole(&kit, &stage).await);
        hosts.serves(&kit).await;
    }
    let own = Told { tier, root: stage.root(), asks: WGET, url: http, heard: plain };
    ends.push(own.whole(&kit, &stage).await);
    own.serves(&kit).await;
    // Whatever it ran in, what is kept is the same, to the last hash.
    assert!(ends.iter().all(|trees| *trees == ends[0]), "{ends:?}");
    kit.close().await;
}

#[tokio::test]
async fn an_agents_actions_do_in_a_namespace_what_is_asked_with_the_hosts_root_and_with_one_of_their_own() {
    in_both_roots(Tier::Namespace).await;
}

#[tokio::test]
async fn an_agents_actions_do_in_containers_what_they_do_in_namespaces() {
    if root() {
        in_both_roots(Tier::Oci).await;
    } else {
        // The tier says so before anything starts.
        refused(Tier::Oci, "containers are made by root").await;
    }
}

/// Asks for a tier that cannot be given.
async fn refused(tier: Tier, why: &str) {
    let kit = Kit::everywhere(Trust::system().unwrap(), Vec::new()).await;
    let tool = kit.shell_with(&Settings { tier, ..Settings::default() });
    let outcome = kit.call(&mut run(1), &tool, json!({ "command": "true" })).await;
    let Outcome::NotSent(output) = outcome else { panic!("{outcome:?}") };
    assert!(output.content.starts_with("ST0220") && output.content.contains(why), "{}", output.content);
    kit.close().await;
}

/// Few machines, for each takes seconds without KVM: the story in the machine's own root, a server in a root of one's own.
#[tokio::test]
async fn an_agents_actions_do_in_machines_what_they_do_in_namespaces() {
    let stage = Stage::new();
    let (kit, (https, tls), (http, plain)) = kit(&stage).await;
    let namespace = Told { tier: Tier::Namespace, root: Root::Host, asks: CURL, url: https, heard: tls };
    let trees = namespace.whole(&kit, &stage).await;
    let machine = Told { tier: Tier::Microvm, root: Root::Host, asks: WGET, url: http, heard: plain };
    assert_eq!(machine.whole(&kit, &stage).await, trees, "whatever it ran in, what is kept is the same");
    Told { root: stage.root(), ..machine }.serves(&kit).await;
    kit.close().await;
}
