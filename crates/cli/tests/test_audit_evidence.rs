//! `stead audit evidence --for eu-ai-act`: each duty is answered with a query and leaves of the log, and what proves them is verified by two
//! verifiers that know nothing of the server. What was changed afterwards is found by both.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::common::{Serving, TestEnvironment, root};

/// Every duty that is answered, by its article.
const DUTIES: [&str; 12] = [
    "12(1)",
    "12(2)(a)",
    "12(2)(b), 72",
    "12(2)(c), 26(5)",
    "12(3)(a)",
    "12(3)(d), 14(5)",
    "14(1)",
    "14(4)(d)",
    "14(4)(e)",
    "19(1)",
    "26(2)",
    "26(6)",
];

/// A server with a past: a refund that was approved, one that was denied, and a run that was stopped while it waited.
fn lived() -> (TestEnvironment, Serving) {
    let env = TestEnvironment::with_refund_desk();
    let dev = Serving::start(env.command(["dev", "--port", "0", "refund-desk"]), "try");
    for verb in ["deny", "approve"] {
        env.stead("run --quiet refund-desk 'Refund order 1042'");
        let approval = env.approval();
        let answered = env.stead(&format!("approvals {verb} {approval}"));
        assert_eq!(answered.code, Some(0), "{answered}");
        let run = approval.split('.').next().unwrap();
        env.stead(&format!("runs watch {run}"));
    }
    env.stead("run --quiet refund-desk 'Refund order 1042 again'");
    let run = env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(env.stead(&format!("runs cancel {run}")).code, Some(0));
    env.stead(&format!("runs watch {run}"));
    // It waits until the log has all of it.
    let verified = env.json(&format!("runs verify {run} --json"));
    assert_eq!(verified["holds"], true, "{verified}");
    (env, dev)
}

/// What the verifier in Python says of a bundle.
fn python(bundle: &Path, key: &str) -> (bool, String) {
    let script = root().join("crates/audit/verifier/verify.py");
    let mut command = Command::new("python3");
    command.args(["-I", "-B"]).arg(script).arg("bundle").arg(bundle).args(["--log", key]);
    let out = command.output().unwrap_or_else(|e| panic!("python3 is needed: {e}; install the package python3"));
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.success(), said)
}

/// The bundles of the folder, each with the key of its log and the leaves that it has.
fn bundles(told: &Value, folder: &Path) -> Vec<(PathBuf, String, u64)> {
    let logs = told["logs"].as_array().unwrap();
    let of = |log: &Value| {
        let (key, leaves) = (log["key"].as_str().unwrap().to_owned(), log["leaves"].as_u64().unwrap());
        let files = log["bundles"].as_array().unwrap().clone();
        files.into_iter().map(move |file| (folder.join(file.as_str().unwrap()), key.clone(), leaves))
    };
    logs.iter().flat_map(of).collect()
}

#[test]
fn each_duty_of_the_ai_act_is_answered_by_a_query_and_leaves_that_two_verifiers_prove() {
    let (env, dev) = lived();
    let told = env.json("audit evidence --for eu-ai-act -o evidence --json");
    assert_eq!(dev.stop(), Some(0));
    let folder = env.path().join("evidence");
    let written: Value = serde_json::from_slice(&fs::read(folder.join("evidence.json")).unwrap()).unwrap();
    assert_eq!(written, told, "what is printed is what is written");
    assert!(told["note"].as_str().unwrap().contains("not a verdict"));
    let duties = told["duties"].as_array().unwrap();
    let articles: Vec<&str> = duties.iter().map(|duty| duty["article"].as_str().unwrap()).collect();
    assert_eq!(articles, DUTIES);
    let sizes: Vec<u64> = told["logs"].as_array().unwrap().iter().map(|log| log["leaves"].as_u64().unwrap()).collect();
    for duty in duties {
        let article = &duty["article"];
        assert!(!duty["query"].as_str().unwrap().is_empty() && !duty["asks"].as_str().unwrap().is_empty(), "{article}");
        let found = duty["found"].as_array().unwrap();
        let leaves: u64 = found.iter().map(|of| of["leaves"].as_u64().unwrap()).sum();
        assert!(leaves > 0, "{article}: nothing of this past speaks of it");
        for (of, size) in found.iter().zip(&sizes) {
            let indexes = of["indexes"].as_array().unwrap();
            assert_eq!(indexes.len() as u64, of["leaves"].as_u64().unwrap(), "{article}");
            assert!(indexes.iter().all(|index| index.as_u64().unwrap() < *size), "{article}: beyond what is proven");
        }
    }
    // What people did is told where it is asked for: a yes, a no, and a stop.
    let leaves = |article: &str| {
        let duty = duties.iter().find(|duty| duty["article"] == article).unwrap();
        duty["found"].as_array().unwrap().iter().map(|of| of["leaves"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((leaves("12(3)(d), 14(5)"), leaves("26(2)")), (2, 2));
    assert!(leaves("12(1)") > leaves("12(3)(a)"));

    let all = bundles(&told, &folder);
    assert!(all.len() >= 2, "the tenant's log and that of operators: {all:?}");
    for (bundle, key, leaves) in &all {
        let said = env.stead(&format!("audit verify {} --key '{key}'", bundle.display()));
        assert_eq!(said.code, Some(0), "{said}");
        assert!(said.stdout.contains(&leaves.to_string()), "{leaves}: {said}");
        let (holds, said) = python(bundle, key);
        assert!(holds, "{said}");
    }
    // A bundle of one log proves nothing of the other.
    let (tenant, operators) = (&all[0], all.iter().find(|(_, key, _)| *key != all[0].1).unwrap());
    let other = env.stead(&format!("audit verify {} --key '{}'", tenant.0.display(), operators.1));
    assert_eq!(other.code, Some(1), "{other}");
    assert!(!python(&tenant.0, &operators.1).0);
}

#[test]
fn evidence_that_was_changed_afterwards_is_found_by_both_verifiers() {
    let (env, dev) = lived();
    let told = env.json("audit evidence --for eu-ai-act -o evidence --json");
    assert_eq!(dev.stop(), Some(0));
    let (bundle, key, _) = bundles(&told, &env.path().join("evidence")).remove(0);
    let whole = fs::read(&bundle).unwrap();
    let changed = env.path().join("changed.bundle");
    let refused = |what: &str, bytes: &[u8]| {
        fs::write(&changed, bytes).unwrap();
        let said = env.stead(&format!("audit verify changed.bundle --key '{key}'"));
        assert_eq!(said.code, Some(1), "{what}: {said}");
        assert!(said.stderr.starts_with("error[ST0360]"), "{what}: {said}");
        let (holds, said) = python(&changed, &key);
        assert!(!holds, "{what}: {said}");
    };
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        refused(&format!("a bit of byte {at}"), &bytes);
    }
    refused("its end is cut off", &whole[..whole.len() - 1]);
    refused("something is appended", &[&whole[..], b"\0"].concat());
    refused("nothing at all", b"");
    // A folder that is there is not written over.
    let again = env.stead("audit evidence --for eu-ai-act -o evidence");
    assert_eq!(again.code, Some(1), "{again}");
}
