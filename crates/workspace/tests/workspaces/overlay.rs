//! Real overlays: random changes through a mount of the kernel, and what the commit makes of the upper directory is what the mount
//! showed. Once as root (`trusted.overlay.`), once as a user without rights in a namespace of its own (`user.overlay.`).

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::chown,
    process::{Command, Stdio},
};

use bytes::Bytes;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use stead_ports::workspace::Marks;
use stead_workspace::{Committed, Lowers, Options, Workspaces};

use crate::kit::{Ended, Is, Kit, on_disk, path_of};

/// The user without rights, `nobody`.
const NOBODY: u32 = 65534;

/// Who mounts the overlay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Who {
    Root,
    Nobody,
}

impl Who {
    pub(crate) fn marks(self) -> Marks {
        if self == Self::Root { Marks::Trusted } else { Marks::User }
    }
}

/// An upper directory and what goes with it.
pub(crate) struct Overlay {
    dir: tempfile::TempDir,
    who: Who,
}

impl Overlay {
    pub(crate) fn new(who: Who) -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests mount overlays: run them as root");
        let dir = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), open).unwrap();
        for name in ["upper", "work", "merged", "seen"] {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            if who == Who::Nobody {
                chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        Self { dir, who }
    }

    pub(crate) fn upper(&self) -> std::path::PathBuf {
        self.dir.path().join("upper")
    }

    /// Runs a script in the mounted overlay over `lower`, in namespaces that end with it; copies what is seen at the end to `seen`.
    pub(crate) fn run(&self, lower: &str, script: &str) {
        let (dir, more) = (self.dir.path(), if self.who == Who::Nobody { "userxattr," } else { "" });
        let mount = format!(
            "set -e; mount -t overlay overlay -o {more}index=off,metacopy=off,redirect_dir=nofollow,lowerdir={},upperdir={d}/upper,workdir={d}/work \
             {d}/merged; cd {d}/merged; set +e; {script}\nset -e; cp -a . {d}/seen/",
            lower,
            d = dir.display()
        );
        let mut command = match self.who {
            Who::Root => Command::new("unshare"),
            Who::Nobody => {
                let mut command = Command::new("setpriv");
                let id = NOBODY.to_string();
                command.args([
                    "--reuid",
                    &id,
                    "--regid",
                    &id,
                    "--clear-groups",
                    "unshare",
                    "--user",
                    "--map-root-user",
                ]);
                command
            }
        };
        command.args(["--mount", "sh", "-c", &mount]).stdin(Stdio::null());
        let out = command.output().expect("unshare and setpriv are there: apt-get install util-linux");
        assert!(out.status.success(), "{}\n{script}", String::from_utf8_lossy(&out.stderr));
    }

    pub(crate) fn seen(&self) -> std::collections::BTreeMap<String, Is> {
        on_disk(&self.dir.path().join("seen"))
    }
}

/// The lower directories as `who` can mount them: as they are, or copies outside of the cache's closed folder that are his.
pub(crate) fn lower(lowers: &Lowers, who: Who, over: &Overlay) -> String {
    let dirs = lowers.paths().enumerate().map(|(n, path)| {
        if who == Who::Root {
            return path.display().to_string();
        }
        let to = over.dir.path().join(format!("lower-{n}"));
        assert!(Command::new("cp").arg("-a").arg(path).arg(&to).status().unwrap().success());
        assert!(Command::new("chown").args(["-hR", "65534:65534"]).arg(&to).status().unwrap().success());
        to.display().to_string()
    });
    dirs.collect::<Vec<_>>().join(":")
}

/// Runs a script over a tree and commits.
pub(crate) async fn act(
    kit: &Kit,
    tree: stead_core::id::TreeId,
    who: Who,
    script: &str,
) -> (Overlay, Result<Committed, stead_workspace::WorkspaceError>) {
    let lowers = kit.work.lowers(&kit.tenant, tree, None).await.unwrap();
    act_over(kit, &lowers, who, script).await
}

/// Runs a script over lower directories and commits.
async fn act_over(
    kit: &Kit,
    lowers: &Lowers,
    who: Who,
    script: &str,
) -> (Overlay, Result<Committed, stead_workspace::WorkspaceError>) {
    let over = Overlay::new(who);
    over.run(&lower(lowers, who, &over), script);
    let writer = kit.work.writer(&kit.tenant, &"ses".into()).await;
    let committed = writer.commit(lowers.tree(), &Ended::upper(&over.upper(), who.marks())).await;
    (over, committed)
}

#[derive(Clone, Debug)]
enum Op {
    Write(String, u8),
    Append(String),
    Remove(String),
    Dir(String),
    Link(String),
    Hard(String, String),
    Move(String, String),
    Mode(String, bool),
    Pipe(String),
}

fn paths() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "ü d"]), 1..4).prop_map(|p| p.join("/"))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (paths(), any::<u8>()).prop_map(|(p, c)| Op::Write(p, c)),
        1 => paths().prop_map(Op::Append),
        3 => paths().prop_map(Op::Remove),
        3 => paths().prop_map(Op::Dir),
        1 => paths().prop_map(Op::Link),
        1 => (paths(), paths()).prop_map(|(a, b)| Op::Hard(a, b)),
        3 => (paths(), paths()).prop_map(|(a, b)| Op::Move(a, b)),
        2 => (paths(), any::<bool>()).prop_map(|(p, x)| Op::Mode(p, x)),
        1 => paths().prop_map(Op::Pipe),
    ]
}

/// A script that goes on after what does not work.
fn script(ops: &[Op]) -> String {
    let mut out = String::new();
    for op in ops {
        let _ = match op {
            Op::Write(p, c) => writeln!(out, "[ -p '{p}' ] || printf 'content {c}' > '{p}'"),
            Op::Append(p) => writeln!(out, "[ -p '{p}' ] || printf more >> '{p}'"),
            Op::Remove(p) => writeln!(out, "rm -rf '{p}'"),
            Op::Dir(p) => writeln!(out, "mkdir -p '{p}'"),
            Op::Link(p) => writeln!(out, "ln -sfn ../somewhere '{p}'"),
            Op::Hard(a, b) => writeln!(out, "ln -f '{a}' '{b}'"),
            Op::Move(a, b) => writeln!(out, "mv -T '{a}' '{b}'"),
            Op::Mode(p, x) => writeln!(out, "chmod {} '{p}'", if *x { "u+x" } else { "a-x" }),
            Op::Pipe(p) => writeln!(out, "[ -e '{p}' ] || mkfifo '{p}'"),
        };
    }
    // Directories that lost the right to be entered would only stop the copy.
    out.push_str("find . -type d -exec chmod u+rwx {} +\nfind . -type p -delete\n");
    out
}

/// For each case: a base of random files, random changes through a real mount, a commit; and twice more over what differs.
fn a_commit_is_what_the_mount_showed(who: Who) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(Config { cases: 48, max_shrink_iters: 60, failure_persistence: None, ..Config::default() });
    let files = prop::collection::btree_map(paths(), any::<u8>(), 0..8);
    runner
        .run(&(files, prop::collection::vec(op(), 1..14), prop::collection::vec(op(), 2..10)), |(files, ops, more)| {
            runtime.block_on(async {
                let kit = Kit::new();
                let mut base = kit.empty().await;
                for (path, content) in files {
                    let content = Bytes::from(format!("base {content}"));
                    // A path may lead through a file of another.
                    let made =
                        kit.work.write(&kit.tenant, base, &path_of(&path), content, Some(path.len() % 2 == 0)).await;
                    base = made.map_or(base, |m| m.tree);
                }
                let (over, committed) = act(&kit, base, who, &script(&ops)).await;
                let committed = committed.unwrap();
                prop_assert_eq!(kit.all(committed.made.tree).await, over.seen());
                // The same content put together anew has the same id, so the tree is the one that its content has.
                let whole = kit.work.writer(&kit.tenant, &"ses".into()).await;
                let seen = Ended::whole(&over.dir.path().join("seen"));
                let anew = whole.commit(base, &seen).await.unwrap();
                drop(whole);
                prop_assert_eq!(anew.made, committed.made);
                prop_assert_eq!(&anew.diff, &committed.diff);
                // So is a directory made of it.
                let next = other_server(&kit).materialise(&kit.tenant, committed.made.tree).await.unwrap();
                prop_assert_eq!(on_disk(next.path()), over.seen());
                // And so are small directories with what differs, over the first one: what is done there is committed as well.
                let mut lowers = kit.work.lowers(&kit.tenant, base, None).await.unwrap();
                let mut tree = committed.made.tree;
                for part in more.chunks(more.len().div_ceil(2)) {
                    lowers = kit.work.lowers(&kit.tenant, tree, Some(&lowers)).await.unwrap();
                    let (over, committed) = act_over(&kit, &lowers, who, &script(part)).await;
                    tree = committed.unwrap().made.tree;
                    prop_assert_eq!(kit.all(tree).await, over.seen());
                }
                Ok(())
            })
        })
        .unwrap();
}

/// Workspaces on the same store with a cache of their own, which is gone with the kit's folder.
fn other_server(kit: &Kit) -> Workspaces {
    let options = Options::new(kit.dir.path().join("other"));
    Workspaces::open(kit.objects.clone(), kit.clock.clone(), options).unwrap()
}

#[test]
fn a_commit_is_what_the_mount_of_root_showed() {
    a_commit_is_what_the_mount_showed(Who::Root);
}

#[test]
fn a_commit_is_what_the_mount_of_a_user_without_rights_showed() {
    a_commit_is_what_the_mount_showed(Who::Nobody);
}

#[tokio::test]
async fn only_the_upper_directory_is_read() {
    let kit = Kit::new();
    let tree = kit.tree(&[("d/a", b"a"), ("d/b", b"b"), ("e/c", b"c"), ("f/g/h", b"h")]).await;
    let (_, committed) = act(&kit, tree, Who::Root, "printf new > d/a; rm e/c; rm -r f; mkdir f; printf 1 > f/i").await;
    let committed = committed.unwrap();
    let all = kit.all(committed.made.tree).await;
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    assert_eq!(names, ["d", "d/a", "d/b", "e", "f", "f/i"]);
    let diff = committed.diff;
    assert_eq!((diff.added, diff.removed, diff.changed), (1, 3, 1));
}

#[tokio::test]
async fn nothing_that_changed_gives_the_same_tree() {
    let kit = Kit::new();
    let tree = kit.tree(&[("d/a", b"a"), ("x", b"x")]).await;
    for script in ["true", "printf a > d/a", "touch d/a x", "mv d e; mv e d", "rm x; printf x > x"] {
        let (_, committed) = act(&kit, tree, Who::Root, script).await;
        let committed = committed.unwrap();
        assert_eq!(committed.made.tree, tree, "{script}");
        assert_eq!(committed.diff, stead_workspace::Diff::default(), "{script}");
    }
}

#[tokio::test]
async fn pipes_sockets_setuid_bits_and_attributes_are_left_out_and_told() {
    let kit = Kit::new();
    let tree = kit.tree(&[("was", b"1"), ("stays", b"2")]).await;
    let script = "rm was; mkfifo was; printf x > tool; chmod 6755 tool
        python3 -c 'import socket, os; socket.socket(socket.AF_UNIX).bind(\"s\"); os.setxattr(\"tool\", \"user.note\", b\"n\")'";
    let (_, committed) = act(&kit, tree, Who::Root, script).await;
    let committed = committed.unwrap();
    let all = kit.all(committed.made.tree).await;
    assert_eq!(all.keys().map(String::as_str).collect::<Vec<_>>(), ["stays", "tool"]);
    assert_eq!(all["tool"], Is::File(b"x".to_vec(), true));
    let stripped = committed.stripped;
    assert_eq!((stripped.setuid, stripped.attributes, stripped.special), (1, 1, 2));
    let mut out: Vec<String> = committed.left_out.iter().map(|(p, w)| format!("{p} {w:?}")).collect();
    out.sort();
    assert_eq!(out, ["s Socket", "was Pipe"]);
}

#[tokio::test]
async fn what_differs_is_a_small_directory_until_it_is_too_much_and_goes_when_nobody_has_it() {
    let kit = Kit::new();
    let names: Vec<String> = (0..300).map(|n| format!("d{}/f{n}", n % 5)).collect();
    let tree = kit.tree(&names.iter().map(|n| (n.as_str(), n.as_bytes())).collect::<Vec<_>>()).await;
    let mut lowers = kit.work.lowers(&kit.tenant, tree, None).await.unwrap();
    let layers = || fs::read_dir(kit.dir.path().join("cache/layers")).unwrap().count();
    for round in 1..=9 {
        let (_, committed) =
            act_over(&kit, &lowers, Who::Root, &format!("printf {round} > d1/f1; rm d2/f{round}2")).await;
        let tree = committed.unwrap().made.tree;
        lowers = kit.work.lowers(&kit.tenant, tree, Some(&lowers)).await.unwrap();
        // The ninth is made whole, and the small ones go with the last who had them.
        assert_eq!((lowers.paths().count(), layers()), if round < 9 { (round + 1, round) } else { (1, 0) });
        if round == 1 {
            let top: Vec<_> = on_disk_names(lowers.paths().next().unwrap());
            assert_eq!(top, ["d1", "d1/f1", "d2", "d2/f12"]);
        }
    }
    let last = lowers.paths().next().unwrap();
    assert_eq!(on_disk(last), kit.all(lowers.tree()).await);
}

/// The names in a directory that has whiteouts, which cannot be read.
fn on_disk_names(dir: &std::path::Path) -> Vec<String> {
    let out = Command::new("find").arg(dir).args(["-mindepth", "1", "-printf", "%P\\n"]).output().unwrap();
    let mut names: Vec<String> = String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    names
}
