//! Files from outside, while somebody hostile writes to the same folders.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use futures_util::{StreamExt as _, stream};
use stead_api::sandbox::{FileHappened, FileKind, MakeFolder, MoveFile, StartExec};
use stead_client::Output;
use stead_core::code;

use super::kit::{Lab, read, refused, text, write};

#[tokio::test]
async fn files_go_in_and_out_and_both_sides_see_the_same() {
    let lab = Lab::new();
    let (client, id) = (&lab.client, lab.create().await.id);
    assert_eq!(write(client, id, "/workspace/a", "from outside").await.unwrap(), 12);
    let seen = lab.run(id, "cat a; stat -c ' %U %a' a; echo inside > a && cat a").await;
    assert_eq!(seen.0, "from outside box 644\ninside\n", "{}", seen.1);
    assert_eq!(read(client, id, "/workspace/a").await.unwrap(), b"inside\n");
    client.make_folder(id, &MakeFolder { path: "/workspace/d/e/f".into(), parents: true }).await.unwrap();
    refused(
        client.make_folder(id, &MakeFolder { path: "/workspace/d".into(), parents: false }).await,
        422,
        code::SANDBOX_FILE,
    );
    let to = MoveFile { from: "/workspace/a".into(), to: "/workspace/d/e/b".into() };
    assert_eq!(client.move_file(id, &to).await.unwrap().name, "b");
    assert_eq!(lab.run(id, "cat d/e/b; touch d/e/mine && ls d/e").await.0, "inside\nb\nf\nmine\n");
    let names: Vec<_> = client.list_files(id, "/workspace/d/e").await.unwrap().entries;
    let names: Vec<_> = names.into_iter().map(|e| (e.name, e.kind)).collect();
    let expected = [("b", FileKind::File), ("f", FileKind::Folder), ("mine", FileKind::File)];
    assert_eq!(names, expected.map(|(name, kind)| (name.to_owned(), kind)));
    refused(client.remove_file(id, "/workspace/d", false).await, 422, code::SANDBOX_FILE);
    client.remove_file(id, "/workspace/d", true).await.unwrap();
    refused(client.stat_file(id, "/workspace/d").await, 404, code::NOT_FOUND);
    // Larger than what goes at once, byte for byte; and what does not fit leaves nothing.
    let big: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let pieces: Vec<_> = big.chunks(70_001).map(|c| Ok(bytes::Bytes::copy_from_slice(c))).collect();
    client.write_file(id, "/tmp/big", Some(0o600), stream::iter(pieces)).await.unwrap();
    assert!(read(client, id, "/tmp/big").await.unwrap() == big);
    let endless = stream::repeat_with(|| Ok(bytes::Bytes::from(vec![0; 1 << 20]))).take(275);
    refused(client.write_file(id, "/tmp/endless", None, endless).await, 507, code::SANDBOX_FILE_ROOM);
    assert_eq!(lab.run(id, "ls -A /tmp").await.0, "big\n");
    for (path, status) in [
        ("/etc/passwd", 422),
        ("/workspace/../etc/passwd", 422),
        ("workspace/a", 422),
        ("/workspace/no", 404),
        ("/proc/1/environ", 422),
    ] {
        assert_eq!(read(client, id, path).await.unwrap_err().status, Some(status), "{path}");
    }
    lab.server.stop();
}

/// 29: links of either kind, and what is no file.
#[tokio::test]
async fn what_is_no_file_of_the_sandbox_is_not_read_and_not_written_to() {
    let lab = Lab::new();
    let (client, id) = (&lab.client, lab.create().await.id);
    let canary = tempfile::tempdir().unwrap();
    fs::set_permissions(canary.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(canary.path().join("file"), "canary").unwrap();
    let place = canary.path().display();
    lab.run(id, &format!("ln -s /etc/shadow shadow; ln -s {place}/file out; ln -s {place} folder; mkfifo pipe; ln -s /proc/self/environ env; ln /etc/shadow hard 2>/dev/null; ln -s ../../../../../../{place}/file up")).await;
    for path in ["shadow", "out", "folder/file", "env", "up", "pipe"] {
        refused(read(client, id, &format!("/workspace/{path}")).await, 422, code::SANDBOX_FILE);
    }
    refused(read(client, id, "/workspace/hard").await, 404, code::NOT_FOUND);
    refused(write(client, id, "/workspace/folder/new", "x").await, 422, code::SANDBOX_FILE);
    // A link that has the name is replaced, and what it led to is as it was.
    write(client, id, "/workspace/out", "mine").await.unwrap();
    assert_eq!(client.stat_file(id, "/workspace/out").await.unwrap().kind, FileKind::File);
    client.remove_file(id, "/workspace/folder", true).await.unwrap();
    assert_eq!(fs::read_to_string(canary.path().join("file")).unwrap(), "canary");
    assert_eq!(fs::read_dir(canary.path()).unwrap().count(), 1);
    lab.server.stop();
}

/// 28: a folder and a link take turns while files go in and out.
#[tokio::test]
async fn a_folder_that_turns_into_a_link_and_back_leads_nowhere() {
    let lab = Lab::new();
    let (client, id) = (&lab.client, lab.create().await.id);
    let canary = tempfile::tempdir().unwrap();
    fs::set_permissions(canary.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(canary.path().join("file"), "outside").unwrap();
    let swap = format!(
        "import os\nos.mkdir('a'); open('a/file','w').write('inside'); os.symlink('{}', 'b')\nprint('up', flush=True)\n\
         while True:\n  os.rename('a','x'); os.rename('b','a'); os.rename('a','b'); os.rename('x','a')\n",
        canary.path().display()
    );
    let start = StartExec { command: vec!["python3".into(), "-c".into(), swap], ..StartExec::default() };
    let exec = client.exec(id, &start, None).await.unwrap();
    let mut follow = client.follow_exec(id, exec.n, 0).unwrap();
    assert!(matches!(follow.next().await, Some(Ok(Output::Chunk(_)))));
    let (mut inside, mut stopped) = (0, 0);
    for n in 0..300 {
        match read(client, id, "/workspace/a/file").await {
            Ok(found) => {
                assert_eq!(text(&found), "inside");
                inside += 1;
            }
            Err(error) => {
                assert!(matches!(error.code, code::SANDBOX_FILE | code::NOT_FOUND), "{error}");
                stopped += 1;
            }
        }
        let _ = write(client, id, &format!("/workspace/a/up{n}"), "x").await;
        let _ = client.remove_file(id, "/workspace/a/file2", true).await;
        let _ = client.list_files(id, "/workspace/a").await.map(|listing| {
            assert!(listing.entries.iter().all(|e| e.name != "outside-only"));
        });
    }
    assert!(inside > 0, "{inside} and {stopped}");
    let left: Vec<_> = fs::read_dir(canary.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["file"]);
    assert_eq!(fs::read_to_string(canary.path().join("file")).unwrap(), "outside");
    lab.server.stop();
}

#[tokio::test]
async fn changes_of_files_are_told_as_they_happen() {
    let lab = Lab::new();
    let (client, id) = (&lab.client, lab.create().await.id);
    let mut watch = client.watch_files(id, "/workspace", true).await.unwrap();
    let mut hear = async |n: usize| {
        let mut heard = Vec::new();
        while heard.len() < n {
            let change = tokio::time::timeout(Duration::from_secs(20), watch.next()).await.unwrap().unwrap();
            if !change.path.contains(".stead-") {
                heard.push((change.what, change.path.trim_start_matches("/workspace/").to_owned()));
            }
        }
        heard
    };
    let told =
        |all: &[(FileHappened, &str)]| all.iter().map(|(what, path)| (*what, (*path).to_owned())).collect::<Vec<_>>();
    use FileHappened::{Created, MovedFrom, MovedTo, Removed, Written};
    lab.run(id, "echo x > one").await;
    assert_eq!(hear(2).await, told(&[(Created, "one"), (Written, "one")]));
    lab.run(id, "mkdir d").await;
    assert_eq!(hear(1).await, told(&[(Created, "d")]));
    lab.run(id, "mv one d/two; rm d/two").await;
    assert_eq!(hear(3).await, told(&[(MovedFrom, "one"), (MovedTo, "d/two"), (Removed, "d/two")]));
    write(client, id, "/workspace/three", "from outside").await.unwrap();
    assert_eq!(hear(1).await, told(&[(MovedTo, "three")]));
    refused(client.watch_files(id, "/workspace/three", false).await.map(drop), 422, code::SANDBOX_FILE);
    lab.server.stop();
}
