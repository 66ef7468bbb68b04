//! The suite of sandboxes, in containers.

use crate::lab::Lab;

macro_rules! tests {
    ($($name:ident)*) => { $(
        #[tokio::test]
        async fn $name() {
            let lab = Lab::new();
            stead_testkit::boxes::$name(&lab).await;
            lab.close().await;
        }
    )* };
}

stead_testkit::abuse_cases!(tests);
stead_testkit::box_cases!(tests);
