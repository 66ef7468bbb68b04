//! What a command must not be able to do, as many cases in one machine as belong together.

use stead_testkit::boxes;

use crate::lab::Lab;

/// 12 to 27, 31 to 33, 35, 38 to 42, 46: all in two machines, for one of the calls is a signal to all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reaches_beyond_the_box_is_refused() {
    let lab = Lab::new();
    tokio::join!(boxes::system_calls_that_reach_beyond_the_box_are_refused(&lab), boxes::all_inside(&lab));
    lab.close().await;
}

/// 43, 44: what another machine has, that runs or that ran before, cannot be found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_another_machine_is_there() {
    let lab = Lab::new();
    tokio::join!(
        boxes::what_another_box_has_cannot_be_found(&lab),
        boxes::nothing_of_one_action_is_there_for_the_next(&lab)
    );
    lab.close().await;
}
