//! What a box may use, and that it is told when it met the bound.

use stead_ports::sandbox::{BoxError, Content, End, Mount, Property};

use super::{Lab, resident, text, told};

/// 2
pub async fn too_much_memory_is_killed_in_the_box_and_told(lab: &dyn Lab) {
    let mut spec = lab.spec(&["python3", "-c", "x = bytearray(10 << 30)"]);
    spec.limits.memory = Some(64 << 20);
    spec.requires.insert(Property::MemoryLimit);
    if lab.holds(Property::MemoryLimit).await {
        lab.ready(&spec).await;
        let before = resident();
        let outcome = lab.run_spec(spec).await.unwrap();
        assert_eq!(outcome.end, End::Memory, "{}", told(&outcome));
        assert!(outcome.usage.oom_kills.is_some_and(|n| n > 0));
        assert!(outcome.usage.memory_peak.is_some_and(|n| n <= 64 << 20), "{:?}", outcome.usage);
        assert!(resident() < before + (16 << 10), "the server grew from {before} to {} KiB", resident());
    } else {
        // Nothing is lowered in silence.
        let error = lab.run_spec(spec).await.unwrap_err();
        assert!(matches!(error, BoxError::Lacks { property: Property::MemoryLimit, .. }), "{error}");
        assert_eq!(error.code().to_string(), "ST0221");
        let outcome = lab.sh("true").await;
        assert!(outcome.evidence.not_held.contains_key(&Property::MemoryLimit), "{:?}", outcome.evidence);
    }
}

/// 3, 5: bytes and files of all private folders together.
pub async fn private_folders_end_at_their_quota(lab: &dyn Lab) {
    let script = "head -c 6000000 /dev/zero > /tmp/a; head -c 6000000 /dev/zero > ~/b; echo $?; wc -c < ~/b";
    let mut spec = lab.spec(&["sh", "-c", script]);
    spec.limits.disk = 8 << 20;
    let outcome = lab.run_spec(spec).await.unwrap();
    assert!(text(&outcome.stderr.bytes).contains("No space left on device"), "{}", told(&outcome));
    let kept: u64 = text(&outcome.stdout.bytes).lines().last().unwrap().trim().parse().unwrap();
    assert!(kept + 6_000_000 <= 8 << 20, "{kept}");

    let many = "import errno, os, sys\ntry:\n for i in range(1000000): open(f'/tmp/{i}', 'w').close()\n\
                except OSError as e: print(errno.errorcode[e.errno], i)";
    let mut spec = lab.spec(&["python3", "-c", many]);
    spec.limits.inodes = 1000;
    let outcome = lab.run_spec(spec).await.unwrap();
    let told = text(&outcome.stdout.bytes);
    let made: u32 = told.trim().strip_prefix("ENOSPC ").unwrap_or_else(|| panic!("{told}")).parse().unwrap();
    assert!((900..=1016).contains(&made), "{made}");
}

/// 3: the layer counts against the quota of the private folders.
pub async fn a_layer_ends_at_the_quota(lab: &dyn Lab) {
    let base = lab.folder("base");
    lab.give(&base).await;
    // What the runtime keeps of the layer is out of sight, wherever it lies.
    let script = "ls -A /tmp; umount /tmp 2>/dev/null; ls -A /tmp; head -c 9000000 /dev/zero > /workspace/big";
    let mut spec = lab.spec(&["sh", "-c", script]);
    spec.limits.disk = 8 << 20;
    spec.requires.insert(Property::DiskQuota);
    spec.mounts.push(Mount { at: "/workspace".into(), content: Content::Layered(base) });
    let outcome = lab.run_spec(spec).await.unwrap();
    assert!(text(&outcome.stderr.bytes).contains("No space left"), "{}", told(&outcome));
    assert_eq!(text(&outcome.stdout.bytes), "", "{}", told(&outcome));
}

/// 4
pub async fn a_huge_sparse_file_is_refused(lab: &dyn Lab) {
    let script = "import os\nf = os.open('/tmp/x', os.O_CREAT | os.O_RDWR)\nos.ftruncate(f, 1 << 42)";
    let mut spec = lab.spec(&["python3", "-c", script]);
    spec.limits.file = 1 << 20;
    let outcome = lab.run_spec(spec).await.unwrap();
    let refused = outcome.end == End::Signal(libc::SIGXFSZ) || text(&outcome.stderr.bytes).contains("File too large");
    assert!(refused, "{}", told(&outcome));
}
