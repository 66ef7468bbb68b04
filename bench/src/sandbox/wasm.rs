//! A fresh instance of a component, from the order until its outcome is there. It is compiled before: what is measured is what
//! each action costs, reading the component and taking its digest among it.

use std::{fs, time::Instant};

use serde_json::{Value, json};
use stead_ports::sandbox::{Boxes as _, Command, Content, End, Mount, Spec, Stdio};
use stead_wasm::{Components, Settings};

use super::Times;

/// A component with a memory of a megabyte, of which it writes to one page.
const COMPONENT: &str = r#"(component
  (core module $Main
    (memory 16)
    (func (export "run") (result i32) (i32.store (i32.const 70000) (i32.const 1)) (i32.const 0)))
  (core instance $main (instantiate $Main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))"#;

/// Starts one after the other, each in an instance of its own.
pub(super) async fn measure(starts: usize) -> Result<Value, String> {
    let told = |e: &dyn std::fmt::Display| e.to_string();
    let folder = tempfile::tempdir().map_err(|e| told(&e))?;
    let bytes = wat::parse_str(COMPONENT).map_err(|e| told(&e))?;
    fs::write(folder.path().join("it.wasm"), bytes).map_err(|e| told(&e))?;
    let boxes = Components::new(Settings::default()).map_err(|e| told(&e))?;
    let spec = Spec {
        command: Command { words: vec!["/data/it.wasm".to_owned()], ..Command::default() },
        mounts: vec![Mount { at: "/data".into(), content: Content::ReadOnly(folder.path().to_owned()) }],
        ..Spec::default()
    };
    let mut times = Times::default();
    for turn in 0..starts + starts / 10 {
        let begun = Instant::now();
        let outcome = boxes.run(spec.clone(), Stdio::Quiet).await.map_err(|e| told(&e))?;
        if outcome.end != End::Exited(0) {
            return Err(format!("a component that does nothing ended with {:?}", outcome.end));
        }
        // The first tenth warms all up.
        if turn >= starts / 10 {
            times.add(begun);
        }
    }
    Ok(json!(times.json()))
}
