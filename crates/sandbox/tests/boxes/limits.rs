//! What boxes of namespaces are held to: by control groups of root's, and by nothing that was not asked for.

use stead_ports::sandbox::{BoxError, Boxes as _, End, Property};

use crate::lab::{Lab, Tried as _, Who, everyone, told};

#[tokio::test]
async fn the_tests_of_root_have_control_groups_and_a_user_without_is_told() {
    for who in everyone() {
        let lab = Lab::new(who);
        let offer = lab.boxes.offer().await.unwrap();
        for property in [Property::MemoryLimit, Property::PidsLimit, Property::CpuLimit, Property::Accounting] {
            match offer.holds(property) {
                Ok(by) => assert!(who == Who::User || by.starts_with("control group"), "{offer:?}"),
                Err(error) => assert!(who == Who::User && matches!(error, BoxError::Lacks { .. }), "{error}"),
            }
        }
        lab.close().await;
    }
}

/// A box that was made ahead, with the usual limits, keeps none that is not asked for.
#[tokio::test]
async fn what_is_not_limited_is_not_limited() {
    for who in everyone() {
        let lab = Lab::new(who);
        lab.boxes.offer().await.unwrap();
        for _ in 0..3 {
            let mut spec = lab.spec(&["python3", "-c", "x = bytearray(600 << 20); print(len(x))"]);
            (spec.limits.memory, spec.limits.pids, spec.limits.cpu_milli) = (None, None, None);
            let outcome = lab.run_spec(spec).await.unwrap();
            assert_eq!(outcome.end, End::Exited(0), "{}", told(&outcome));
        }
        lab.close().await;
    }
}
