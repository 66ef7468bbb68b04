//! What of the host and of the runtime is hidden from a box of namespaces, and what is shown if an operator says so.

use std::{fs, os::unix::fs::PermissionsExt as _};

use rustix::fs::{Access, AtFlags, CWD};
use stead_ports::sandbox::{BoxError, Content, End, Mount, Property};

use crate::lab::{Lab, Tried as _, Who, everyone, own_program, text, told};

/// 32: a command that is this program itself, of a user who may write its file. Two walls: it is not run, and what its processes
/// run lies on a mount that nobody can write to.
#[tokio::test]
async fn the_runtimes_own_program_cannot_be_written_through_a_command_that_is_it() {
    for who in everyone() {
        let folder = tempfile::Builder::new().prefix("stead-own").tempdir_in("/tmp").unwrap();
        let program = folder.path().join("runtime");
        fs::copy(env!("CARGO_BIN_EXE_stead-box-launcher"), &program).unwrap();
        let script = folder.path().join("script");
        fs::write(&script, "#!/proc/self/exe\n").unwrap();
        for path in [folder.path(), &program, &script] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let words = own_program(who, &program);
        let lab = Lab::with(who, |settings| settings.launcher = words);
        assert_eq!(lab.sh("true").await.end, End::Exited(0));
        if who == Who::User {
            let running = format!("/proc/{}/exe", lab.launcher().await);
            let may = rustix::fs::accessat(CWD, running, Access::WRITE_OK, AtFlags::empty());
            assert_eq!(may, Err(rustix::io::Errno::ROFS));
        }
        if lab.holds(Property::FileRules).await {
            for word in ["/proc/self/exe", "/workspace/script"] {
                let mut spec = lab.spec(&[word]);
                let content = Content::ReadOnly(folder.path().to_owned());
                spec.mounts.push(Mount { at: "/workspace".into(), content });
                let error = lab.run_spec(spec).await.unwrap_err();
                let refused = matches!(&error, BoxError::Command { why, .. } if why.contains("Permission denied"));
                assert!(refused, "{word} as {who:?}: {error}");
            }
        }
        lab.close().await;
    }
}

#[tokio::test]
async fn folders_of_programs_can_be_shown() {
    for who in everyone() {
        let shown = tempfile::tempdir_in("/opt").or_else(|_| tempfile::tempdir_in("/tmp")).unwrap();
        fs::set_permissions(shown.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(shown.path().join("tool"), "a tool").unwrap();
        let path = shown.path().to_owned();
        let lab = Lab::with(who, |settings| settings.show.push(path.clone()));
        let outcome = lab.run_spec(lab.spec(&["cat", &path.join("tool").display().to_string()])).await;
        if path.starts_with("/tmp") {
            // What is private lies above it.
            assert_eq!(outcome.unwrap().end, End::Exited(1));
        } else {
            let outcome = outcome.unwrap();
            assert_eq!(text(&outcome.stdout.bytes), "a tool", "{}", told(&outcome));
        }
        lab.close().await;
    }
}
