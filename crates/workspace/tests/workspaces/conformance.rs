//! The memory of these tests keeps the promises of the port, so that what holds here holds on the stores.

use crate::kit::Memory;

macro_rules! tests {
    ($($name:ident)*) => { $(
        #[tokio::test]
        async fn $name() {
            stead_ports::conformance::$name(&Memory::default()).await;
        }
    )* };
}
stead_ports::objects_cases!(tests);
