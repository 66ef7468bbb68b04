//! The simulated journal is an honest adapter when no faults are switched on: it passes the suite of its port.

use stead_sim::live::journal::SimJournal;

macro_rules! tests {
    ($($name:ident)*) => { $(
        #[tokio::test]
        async fn $name() {
            stead_ports::conformance::$name(&SimJournal::honest()).await;
        }
    )* };
}
stead_ports::journal_cases!(tests);
