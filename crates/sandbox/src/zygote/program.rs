//! The program of a zygote: what is written in Python, and before it what the rest of the sandbox knows already, so that no
//! number stands in two places.

use std::fmt::Write as _;

use stead_tier::{
    program::USUAL,
    resources::FIXED,
    users::{INSIDE, USER},
};

use crate::{
    landlock,
    privileges::FIRST,
    seccomp::Filter,
    wire::{self, Access},
};

/// In this order: each file uses the names of those before it, and the last one begins.
const FILES: &[&str] = &[
    include_str!("python/kernel.py"),
    include_str!("python/entering.py"),
    include_str!("python/words.py"),
    include_str!("python/acting.py"),
    include_str!("python/serving.py"),
];

/// `include/uapi/linux/capability.h`: the version of the structures, and the process that calls.
const CAPABILITIES_OF_SELF: (u32, i32) = (0x2008_0522, 0);

/// The whole text. `root`: whether the launcher is root; `version`: of Landlock.
pub(super) fn text(root: bool, version: Option<i32>, filter: &Filter) -> String {
    let mut out = String::new();
    for (name, number) in numbers(version) {
        let _ = writeln!(out, "{name} = {number}");
    }
    let outside = if root { USER } else { 0 };
    let (of, process) = CAPABILITIES_OF_SELF;
    let header: Vec<u8> = of.to_ne_bytes().into_iter().chain(process.to_ne_bytes()).collect();
    let _ = writeln!(out, "DIES_FIRST = {FIRST:?}");
    let _ = writeln!(out, "MAP = \"{INSIDE} {outside} 1\"");
    let _ = writeln!(out, "CAPABILITIES_OF_SELF = {}", bytes(&header));
    let _ = writeln!(out, "FILTER = {}", bytes(&filter.bytes()));
    // Both are written as Python writes them too: they are plain ASCII.
    let _ = writeln!(out, "WRITABLE = {:?}", landlock::WRITABLE);
    let _ = writeln!(out, "USUAL = {USUAL:?}");
    let fixed: Vec<_> = FIXED.iter().map(|fixed| (fixed.resource as u32, fixed.most)).collect();
    let _ = writeln!(out, "FIXED = {fixed:?}");
    out.push_str(&FILES.concat());
    out
}

fn bytes(data: &[u8]) -> String {
    let mut out = "bytes.fromhex(\"".to_owned();
    for byte in data {
        let _ = write!(out, "{byte:02x}");
    }
    out + "\")"
}

fn numbers(version: Option<i32>) -> Vec<(&'static str, u64)> {
    macro_rules! of_the_kernel {
        ($($name:ident)*) => { vec![$((stringify!($name), libc::$name as u64)),*] };
    }
    let mut all = of_the_kernel![
        SYS_prctl SYS_seccomp SYS_setns SYS_unshare SYS_close_range SYS_capset SYS_landlock_create_ruleset
        SYS_landlock_add_rule SYS_landlock_restrict_self CLONE_NEWPID CLONE_NEWIPC CLONE_NEWUTS CLONE_NEWNET
        CLONE_NEWCGROUP CLONE_NEWNS CLONE_NEWUSER PR_SET_DUMPABLE PR_SET_PDEATHSIG PR_SET_NO_NEW_PRIVS PR_CAPBSET_DROP
        PR_CAP_AMBIENT PR_CAP_AMBIENT_CLEAR_ALL SIGKILL
    ];
    let rules = landlock::numbers(version);
    all.extend([
        ("LANDLOCK_FILES", rules.files),
        ("LANDLOCK_READ", rules.read),
        ("LANDLOCK_SCOPES", rules.scopes),
        ("LANDLOCK_RULE_PATH_BENEATH", 1),
        ("MAX_MESSAGE", wire::MAX_MESSAGE as u64),
        // As it is told, by its index (`wire/plan.rs`).
        ("READ_ONLY", Access::ReadOnly as u64),
    ]);
    all
}
