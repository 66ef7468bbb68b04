//! Which runtime is used, and what is said of those that are not.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use stead_oci::Containers;
use stead_ports::sandbox::{BoxError, Boxes as _, Property, Tier};

use crate::lab::{Lab, Tried as _, as_root, is_root, settings, text};

#[tokio::test]
async fn a_runtime_that_fails_is_told_with_its_reason_and_the_next_one_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken");
    fs::write(&broken, "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = --log ] && log=$2; shift; done\necho '{\"level\":\"error\",\"msg\":\"no such hierarchy\"}' > \"$log\"\nexit 1\n").unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();

    let lab = Lab::with(|settings| settings.runtimes = vec![broken.clone(), "not-there".into(), "runc".into()]);
    let runtime = lab.boxes.runtime().await.unwrap();
    assert_eq!(runtime.file_name().unwrap(), "runc");
    lab.close().await;

    let lab = Lab::with(|settings| settings.runtimes = vec![broken.clone(), "not-there".into()]);
    let error = lab.boxes.offer().await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("no such hierarchy") && told.contains("not-there: not installed"), "{told}");
    assert_eq!(error.code().to_string(), "ST0220");
    lab.close().await;
}

/// One that makes a container, but not the one that it was asked for.
#[tokio::test]
async fn a_runtime_that_leaves_the_filter_out_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let lax = folder.path().join("lax");
    let script = "#!/bin/sh\nfor word in \"$@\"; do [ \"$last\" = --bundle ] && python3 -c 'import json,sys; p=sys.argv[1]+\"/config.json\"; c=json.load(open(p)); del c[\"linux\"][\"seccomp\"]; json.dump(c, open(p, \"w\"))' \"$word\"; last=$word; done\nexec runc \"$@\"\n";
    fs::write(&lax, script.replace("exec runc", "export PATH=/usr/sbin:/usr/bin; exec runc")).unwrap();
    fs::set_permissions(&lax, fs::Permissions::from_mode(0o755)).unwrap();
    let lab = Lab::with(|settings| settings.runtimes = vec![lax]);
    let error = lab.boxes.offer().await.unwrap_err();
    assert!(matches!(&error, BoxError::Unavailable { tier: Tier::Oci, .. }), "{error}");
    assert!(error.to_string().contains("Seccomp:\\t0"), "{error}");
    lab.close().await;
}

#[tokio::test]
async fn what_is_promised_is_what_control_groups_were_seen_to_hold() {
    let lab = Lab::new();
    let offer = lab.boxes.offer().await.unwrap();
    for property in [Property::MemoryLimit, Property::PidsLimit, Property::CpuLimit, Property::Accounting] {
        assert!(offer.holds(property).is_ok_and(|by| by.starts_with("control group")), "{offer:?}");
    }
    assert!(offer.holds(Property::SyscallFilter).is_ok_and(|by| by.contains("runc")));
    for property in [Property::FileRules, Property::OwnKernel] {
        assert!(matches!(offer.holds(property), Err(BoxError::Lacks { .. })));
    }
    let mut spec = lab.spec(&["true"]);
    spec.requires.insert(Property::OwnKernel);
    assert_eq!(lab.run_spec(spec).await.unwrap_err().code().to_string(), "ST0221");
    lab.close().await;
}

#[tokio::test]
async fn a_place_that_others_may_write_is_refused() {
    as_root();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = Containers::new(settings(folder.path())).offer().await.unwrap_err();
    assert!(error.to_string().contains("alone may write"), "{error}");
}

/// Root's tests try it as somebody else, in a run of their own.
#[tokio::test]
async fn an_ordinary_user_is_told_what_to_use_instead() {
    if is_root() {
        // The program may lie in root's own folders: it is reached by a descriptor.
        let script = "exec 9<\"$1\"; exec setpriv --reuid=54321 --regid=54321 --clear-groups --inh-caps=-all \
                      /proc/self/fd/9 --exact runtimes::an_ordinary_user_is_told_what_to_use_instead";
        let own = std::env::current_exe().unwrap();
        let ran = Command::new("sh").args(["-c", script, "sh"]).arg(own).current_dir("/").output().unwrap();
        let said = text(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", text(&ran.stderr));
    } else {
        let error = Containers::new(settings(Path::new("/tmp/never-made"))).offer().await.unwrap_err();
        assert!(error.to_string().contains("`namespace`"), "{error}");
    }
}
