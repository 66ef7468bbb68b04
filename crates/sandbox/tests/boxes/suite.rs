//! The suite of sandboxes: the abuse cases whoever's launcher made the box and whether a zygote started the command, the others
//! whoever's launcher it is.

use crate::lab::{Lab, every_way, everyone};

macro_rules! by_every_way {
    ($($name:ident)*) => { $(
        #[tokio::test]
        async fn $name() {
            for way in every_way() {
                // Shown if it fails.
                println!("{way:?}");
                let lab = Lab::new(way);
                stead_testkit::boxes::$name(&lab).await;
                lab.close().await;
            }
        }
    )* };
}

macro_rules! by_everyone {
    ($($name:ident)*) => { $(
        #[tokio::test]
        async fn $name() {
            for who in everyone() {
                println!("{who:?}");
                let lab = Lab::new(who);
                stead_testkit::boxes::$name(&lab).await;
                lab.close().await;
            }
        }
    )* };
}

stead_testkit::abuse_cases!(by_every_way);
stead_testkit::box_cases!(by_everyone);
