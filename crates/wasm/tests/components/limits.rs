//! What a component may use, and that it is told when it met the bound.

use std::time::Duration;

use stead_ports::sandbox::{BoxError, Boxes as _, End, WhenFull};
use stead_wasm::Settings;

use crate::{
    lab::{Lab, capture, text, told},
    text::{alone, run},
};

const SPINS: &str = "(loop (br 0)) (i32.const 0)";

/// 8
#[tokio::test]
async fn a_busy_loop_ends_at_its_deadline_and_others_are_served_meanwhile() {
    let lab = Lab::new();
    let mut spec = lab.spec(&alone("", SPINS), &[]);
    spec.limits.wall = Duration::from_millis(500);
    let spins = lab.boxes.start(spec, capture("", WhenFull::Kill)).await.unwrap();
    // This runtime has one thread, which is not the loop's.
    assert_eq!(lab.run(&alone("", "(i32.const 0)")).await.end, End::Exited(0));
    let outcome = spins.end.await.unwrap();
    assert_eq!(outcome.end, End::Deadline, "{}", told(&outcome));
    assert!(outcome.usage.wall >= Duration::from_millis(500));
    lab.close();
}

#[tokio::test]
async fn what_may_be_computed_is_bounded_whatever_the_clock_says() {
    let lab = Lab::with(Settings { fuel: 1_000_000, ..Settings::default() });
    assert_eq!(lab.run(&alone("", SPINS)).await.end, End::Deadline);
    assert_eq!(lab.run(&alone("", "(i32.const 0)")).await.end, End::Exited(0));
    lab.close();
}

/// 2
#[tokio::test]
async fn memory_beyond_the_limit_is_refused_and_told() {
    let lab = Lab::new();
    // A page at a time, until there is none; then it gives up.
    let greedy = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))";
    for end in ["(unreachable)", "(i32.const 1)"] {
        let mut spec = lab.spec(&alone("(memory 1)", &format!("{greedy} {end}")), &[]);
        spec.limits.memory = Some(10 << 20);
        let outcome = lab.run_spec(spec).await.unwrap();
        assert_eq!(outcome.end, End::Memory, "{}", told(&outcome));
        assert_eq!(outcome.usage.memory_peak, Some(10 << 20));
    }
    // Whoever gets on without it ends well.
    let mut spec = lab.spec(&alone("(memory 1)", &format!("{greedy} (i32.const 0)")), &[]);
    spec.limits.memory = Some(10 << 20);
    assert_eq!(lab.run_spec(spec).await.unwrap().end, End::Exited(0));
    // One that wants it from the start.
    let mut spec = lab.spec(&alone("(memory 1000)", "(i32.const 0)"), &[]);
    spec.limits.memory = Some(10 << 20);
    assert_eq!(lab.run_spec(spec).await.unwrap().end, End::Memory);
    lab.close();
}

/// 6
#[tokio::test]
async fn endless_output_is_cut_at_the_cap_and_ended_or_dropped_as_asked() {
    let lab = Lab::new();
    let flood = run("(loop (call $say (i32.const 0) (i32.const 4096)) (br 0)) (i32.const 0)");
    let outcome = lab.boxes.run(lab.spec(&flood, &[]), capture("", WhenFull::Kill)).await.unwrap();
    assert_eq!(outcome.end, End::Output, "{}", told(&outcome));
    assert_eq!((outcome.stdout.bytes.len(), outcome.stdout.total), (10_000, 12_288));

    let some = run("(local $i i32)
         (loop (call $say (i32.const 0) (i32.const 4096))
           (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
         (i32.const 0)");
    let outcome = lab.run(&some).await;
    assert_eq!((outcome.end, outcome.stdout.bytes.len()), (End::Exited(0), 10_000));
    assert_eq!(outcome.stdout.total, 409_600);
    lab.close();
}

#[tokio::test]
async fn a_stack_that_overflows_traps() {
    let lab = Lab::new();
    let outcome =
        lab.run(&alone("(func $deep (result i32) (i32.add (call $deep) (i32.const 1)))", "(call $deep)")).await;
    assert_eq!(outcome.end, End::Signal(6), "{}", told(&outcome));
    assert!(text(&outcome.stderr.bytes).contains("call stack exhausted"), "{}", told(&outcome));
    // And the host is none the worse.
    assert_eq!(lab.run(&alone("", "(i32.const 0)")).await.end, End::Exited(0));
    lab.close();
}

#[tokio::test]
async fn many_or_large_tables_memories_and_instances_are_refused() {
    let lab = Lab::new();
    let tables = "(table 1 funcref) ".repeat(9);
    let memories = "(memory 1) ".repeat(3);
    for items in [tables.as_str(), "(table 30000 funcref)", &memories, "(memory 20000)"] {
        let refused = lab.run_spec(lab.spec(&alone(items, "(i32.const 0)"), &[])).await;
        match refused {
            Err(BoxError::Command { .. }) => {}
            Ok(outcome) => assert_eq!(outcome.end, End::Memory, "{items}"),
            Err(e) => panic!("{items}: {e}"),
        }
    }
    let grows =
        "(loop (br_if 0 (i32.ne (table.grow 0 (ref.null func) (i32.const 1000)) (i32.const -1)))) (unreachable)";
    assert_eq!(lab.run(&alone("(table 1 funcref)", grows)).await.end, End::Memory);
    let many = "(core instance (instantiate $Main))".repeat(30);
    let many = alone("", "(i32.const 0)").replacen("(core instance $main", &format!("{many} (core instance $main"), 1);
    assert!(matches!(lab.run_spec(lab.spec(&many, &[])).await, Err(BoxError::Command { .. })));
    lab.close();
}

/// Handles on things of the host's are memory of the host's.
#[tokio::test]
async fn handles_without_end_are_refused() {
    let lab = Lab::new();
    let outcome = lab.run(&run("(loop (drop (call $get-stdout)) (br 0)) (i32.const 0)")).await;
    assert_eq!(outcome.end, End::Signal(6), "{}", told(&outcome));
    lab.close();
}

/// Hundreds of endings of all kinds, several at once: each gets its own, and there is room for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_actions_leave_nothing() {
    let lab = Lab::new();
    let kinds = [(lab.spec(&alone("", "(i32.const 0)"), &[]), End::Exited(0))];
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (spec, end) = &kinds[0];
    assert_eq!(&lab.run_spec(spec.clone()).await.unwrap().end, end);
    let before = descriptors();
    for turn in 0..300 {
        let mut spec = spec.clone();
        if turn % 10 == 0 {
            spec = lab.spec(&alone("", "(unreachable)"), &[]);
        } else {
            spec.command.words.push(turn.to_string());
            spec = lab.spec(&alone("", "(i32.const 0)"), &[]);
        }
        let expected = if turn % 10 == 0 { End::Signal(6) } else { End::Exited(0) };
        assert_eq!(lab.run_spec(spec).await.unwrap().end, expected);
    }
    assert!(descriptors() <= before + 2, "descriptors are left open");
    lab.close();
}
