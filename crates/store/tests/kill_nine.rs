//! Promise 1 against `kill -9`: a real process is killed while it appends, again and again on the same data.

mod writer;

use std::os::unix::process::ExitStatusExt as _;

use writer::{Writer, assert_all_there, serve};

/// Processes killed.
const KILLS: u64 = 20;

#[test]
fn no_acknowledged_append_is_lost_by_kill_nine() {
    serve();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    let mut acked = Vec::new();
    for life in 1..=KILLS {
        // At the very moment of an acknowledgement, while the other runs have appends under way: an early one of the
        // first commit, or one after some copies of the log into the database.
        let kill_after = 1 + (life as u32 % 5) * 431;
        let writer = Writer::spawn("no_acknowledged_append_is_lost_by_kill_nine", &data, life, kill_after);
        let before = writer.acks(kill_after as usize);
        assert_eq!(before.len(), kill_after as usize, "the writer ended before it was to be killed");
        let (rest, status) = writer.end();
        assert_eq!(status.signal(), Some(9), "the writer was to be killed: {status}");
        let acks = [before, rest].concat();
        assert_all_there(&data, &acks);
        acked.extend(acks);
    }
    // Nor does a later end lose what an earlier one left.
    assert_all_there(&data, &acked);
}
