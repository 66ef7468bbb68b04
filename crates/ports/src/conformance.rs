//! What every adapter of a port must do, as cases that an adapter's tests run against a fresh and empty adapter each.
//! A case panics when its promise is broken; its name says the promise.
//!
//! Not here: what only one adapter promises (a lock file, a reconnect), and anything that needs two processes.
//!
//! ```ignore
//! macro_rules! tests {
//!     ($($name:ident)*) => { $(
//!         #[tokio::test]
//!         async fn $name() {
//!             stead_ports::conformance::$name(&fresh().await).await;
//!         }
//!     )* };
//! }
//! stead_ports::journal_cases!(tests);
//! ```

mod appends;
mod approvals;
mod audit;
mod budgets;
mod counted;
mod directories;
mod erasure;
mod indexes;
mod kept;
mod kit;
mod notices;
mod objects;
mod policies;
mod sessions;
mod switches;
mod usage;
mod versions;

pub use appends::*;
pub use approvals::*;
pub use audit::*;
pub use budgets::*;
pub use counted::*;
pub use directories::*;
pub use erasure::*;
pub use indexes::*;
pub use kept::*;
pub use notices::*;
pub use objects::*;
pub use policies::*;
pub use sessions::*;
pub use switches::*;
pub use usage::*;
pub use versions::*;

use crate::{
    BoxFuture, erasure::ErasureStore, journal::Journal, notices::NoticeStore, objects::Objects, policies::PolicyStore,
    switches::SwitchStore, trust::DirectoryStore,
};

/// Calls the macro `$callback` with the names of all cases of the journal port.
#[macro_export]
macro_rules! journal_cases {
    ($callback:ident) => {
        $callback! {
            what_was_appended_is_read_back_in_order
            a_wrong_position_is_a_conflict_that_tells_the_right_one
            a_refused_append_fails_alone_in_its_batch
            a_run_begins_with_its_first_record_only
            appends_of_two_hundred_runs_at_once_are_all_readable
            appends_of_one_run_are_taken_in_the_order_of_the_calls
            an_older_epoch_is_fenced
            a_released_lease_writes_no_more
            an_idempotency_key_makes_one_run
            idempotency_keys_of_two_tenants_do_not_meet
            one_key_twice_in_one_batch_makes_one_run
            a_session_has_one_foreground_run
            two_claims_in_one_batch_have_one_winner
            a_run_that_ends_in_the_queue_leaves_the_foreground_alone
            the_head_moves_only_when_told
            what_a_session_spent_is_the_sum_of_its_ended_runs
            unknown_money_stays_unknown
            queued_runs_come_oldest_first
            a_session_without_foreground_but_with_a_queue_is_stranded
            a_session_key_is_get_or_create
            opening_one_session_many_times_at_once_makes_one
            sessions_are_listed_newest_first_in_pages
            a_key_finds_the_sessions_of_all_agents
            a_run_row_says_what_was_told_last
            an_append_without_a_state_leaves_the_row_alone
            lists_filter_by_everything_they_offer
            lists_come_newest_first_in_pages
            runs_are_counted_by_status
            running_runs_and_those_with_messages_are_unfinished
            the_earliest_wake_comes_first
            a_message_arrives_once_and_goes_when_it_is_taken
            a_message_of_a_refused_append_is_not_sent
            a_message_may_wait_for_a_run_that_does_not_exist_yet
            a_question_is_listed_until_it_is_closed
            a_question_asked_again_stands_once_with_its_new_time
            questions_come_newest_first_in_pages
            questions_are_listed_by_agent_session_and_run
            a_question_of_a_refused_append_is_not_listed
            questions_are_entered_by_the_owner_alone
            what_is_counted_is_there_with_its_append_and_in_its_order
            counters_are_kept_by_the_owner_alone_and_forget_what_they_have
            a_blob_is_kept_once_and_found_by_its_content
            blobs_of_two_tenants_have_two_addresses
            a_large_blob_comes_back_whole
            the_latest_snapshot_replaces_the_one_before
            a_run_is_opened_with_what_its_snapshot_does_not_include
            the_version_applied_last_is_live
            versions_of_two_tenants_do_not_meet
            an_alias_names_a_version_beside_the_live_one
            the_history_says_who_moved_which_alias_when
            a_proposed_move_takes_a_second_person
            an_agent_has_only_so_many_aliases
            a_budget_is_kept_until_it_is_removed
            a_slice_is_refused_when_there_is_no_room_for_it
            a_run_may_begin_with_a_slice
            windows_of_a_budget_are_counted_apart
            windows_that_are_over_are_forgotten_once_nothing_of_them_is_held
            a_slice_of_a_removed_budget_is_worth_nothing
            usage_is_the_sum_of_what_was_settled
            usage_is_told_of_a_period
            usage_of_a_refused_append_is_not_counted
            earlier_usage_is_entered_by_the_owner_alone
            absurd_usage_breaks_no_sum
            numbers_at_the_edge_do_not_break_anything
            hostile_text_breaks_nothing
        }
    };
}

/// A case with its name.
#[derive(Clone, Copy)]
pub struct Case {
    /// What it promises, in words joined by `_`.
    pub name: &'static str,
    /// Runs it against an empty journal; panics when the promise is broken.
    pub run: for<'a> fn(&'a dyn Journal) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! table {
    ($($name:ident)*) => {
        /// All cases of the journal port, for an adapter that runs them side by side.
        pub const JOURNAL: &[Case] = &[$(Case { name: stringify!($name), run: |j| Box::pin($name(j)) }),*];
    };
}
journal_cases!(table);

/// Calls the macro `$callback` with the names of all cases of the objects port.
#[macro_export]
macro_rules! objects_cases {
    ($callback:ident) => {
        $callback! {
            an_object_is_found_by_its_address
            objects_of_two_tenants_do_not_meet
            what_somebody_holds_is_not_removed
            a_hold_names_what_is_missing
            a_hold_never_gets_shorter
            objects_that_nobody_holds_are_listed_in_pages
            tenants_that_have_objects_are_found_one_after_another
            a_long_object_comes_back_whole_and_a_longer_one_is_refused
            many_put_the_same_objects_at_once
        }
    };
}

/// A case of the objects port with its name.
#[derive(Clone, Copy)]
pub struct ObjectsCase {
    /// What it promises, in words joined by `_`.
    pub name: &'static str,
    /// Runs it against an empty store; panics when the promise is broken.
    pub run: for<'a> fn(&'a dyn Objects) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for ObjectsCase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! objects_table {
    ($($name:ident)*) => {
        /// All cases of the objects port, for an adapter that runs them side by side.
        pub const OBJECTS: &[ObjectsCase] =
            &[$(ObjectsCase { name: stringify!($name), run: |o| Box::pin($name(o)) }),*];
    };
}
objects_cases!(objects_table);

/// Calls the macro `$callback` with the names of all cases of the policies port.
#[macro_export]
macro_rules! policies_cases {
    ($callback:ident) => {
        $callback! {
            the_set_applied_last_is_in_force
            sets_applied_at_once_have_an_epoch_each
            sets_are_listed_last_first
            a_proposed_set_comes_into_force_when_another_person_confirms_it
        }
    };
}

/// A case of the policies port with its name.
#[derive(Clone, Copy)]
pub struct PoliciesCase {
    /// What it promises, in words joined by `_`.
    pub name: &'static str,
    /// Runs it against an empty store; panics when the promise is broken.
    pub run: for<'a> fn(&'a dyn PolicyStore) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for PoliciesCase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! policies_table {
    ($($name:ident)*) => {
        /// All cases of the policies port, for an adapter that runs them side by side.
        pub const POLICIES: &[PoliciesCase] =
            &[$(PoliciesCase { name: stringify!($name), run: |s| Box::pin($name(s)) }),*];
    };
}
policies_cases!(policies_table);

/// Calls the macro `$callback` with the names of all cases of the port of the audit log.
#[macro_export]
macro_rules! audit_cases {
    ($callback:ident) => {
        $callback! {
            what_is_appended_is_unsequenced_until_it_is_integrated
            a_refused_append_is_not_unsequenced
            what_is_taken_is_taken_once_and_a_log_never_forks
            an_integrator_that_lost_its_lease_writes_nothing
            tiles_and_spans_are_found_again
            acts_are_kept_and_unsequenced_like_records
            the_bell_rings_after_an_append_and_after_an_act
            a_reader_of_logs_goes_on_where_it_was
        }
    };
}

/// A case of the port of the audit log with its name.
#[derive(Clone, Copy)]
pub struct AuditCase {
    /// What it promises, in words joined by `_`.
    pub name: &'static str,
    /// Runs it against an empty store; panics when the promise is broken.
    pub run: for<'a> fn(&'a dyn Audited) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for AuditCase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! audit_table {
    ($($name:ident)*) => {
        /// All cases of the port of the audit log, for an adapter that runs them side by side.
        pub const AUDIT: &[AuditCase] =
            &[$(AuditCase { name: stringify!($name), run: |s| Box::pin($name(s)) }),*];
    };
}
audit_cases!(audit_table);

/// Calls the macro `$callback` with the names of all cases of the switches port.
#[macro_export]
macro_rules! switches_cases {
    ($callback:ident) => {
        $callback! {
            switches_are_kept_in_their_order
            switches_turned_at_once_have_a_number_each
            that_all_runs_have_heard_is_kept
        }
    };
}

/// A case of the switches port with its name.
#[derive(Clone, Copy)]
pub struct SwitchesCase {
    /// What it promises, in words joined by `_`.
    pub name: &'static str,
    /// Runs it against an empty store; panics when the promise is broken.
    pub run: for<'a> fn(&'a dyn SwitchStore) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for SwitchesCase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! switches_table {
    ($($name:ident)*) => {
        /// All cases of the switches port, for an adapter that runs them side by side.
        pub const SWITCHES: &[SwitchesCase] =
            &[$(SwitchesCase { name: stringify!($name), run: |s| Box::pin($name(s)) }),*];
    };
}
switches_cases!(switches_table);

/// Calls the macro `$callback` with the names of all cases of the directory port.
#[macro_export]
macro_rules! directories_cases {
    ($callback:ident) => {
        $callback! {
            an_entry_is_kept_at_the_next_place_and_no_other
            of_entries_added_at_once_one_takes_the_place
        }
    };
}

/// A case of the directory port with its name.
#[derive(Clone, Copy)]
pub struct DirectoriesCase {
    /// What it promises, in words joined by `_`.
    pub name: &'static str,
    /// Runs it against an empty store; panics when the promise is broken.
    pub run: for<'a> fn(&'a dyn DirectoryStore) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for DirectoriesCase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! directories_table {
    ($($name:ident)*) => {
        /// All cases of the directory port, for an adapter that runs them side by side.
        pub const DIRECTORIES: &[DirectoriesCase] =
            &[$(DirectoriesCase { name: stringify!($name), run: |s| Box::pin($name(s)) }),*];
    };
}
directories_cases!(directories_table);

/// A journal that knows how far notices of its open questions have gone out.
pub trait Noticing: Journal + NoticeStore {}

impl<T: Journal + NoticeStore> Noticing for T {}

/// Calls the macro `$callback` with the names of all cases of the notices port.
#[macro_export]
macro_rules! notices_cases {
    ($callback:ident) => {
        $callback! {
            a_notice_is_owed_until_it_is_told_and_again_with_each_round
            of_many_who_take_a_notice_one_has_it
            what_is_answered_is_not_told_as_open
        }
    };
}

/// A case of the notices port with its name.
#[derive(Clone, Copy)]
pub struct NoticesCase {
    /// What it promises, in words joined by `_`.
    pub name: &'static str,
    /// Runs it against an empty store; panics when the promise is broken.
    pub run: for<'a> fn(&'a dyn Noticing) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for NoticesCase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! notices_table {
    ($($name:ident)*) => {
        /// All cases of the notices port, for an adapter that runs them side by side.
        pub const NOTICES: &[NoticesCase] =
            &[$(NoticesCase { name: stringify!($name), run: |s| Box::pin($name(s)) }),*];
    };
}
notices_cases!(notices_table);

/// A journal that can be erased from.
pub trait Erasing: Journal + ErasureStore {}

impl<T: Journal + ErasureStore> Erasing for T {}

/// Calls the macro `$callback` with the names of all cases of the port of erasure.
#[macro_export]
macro_rules! erasure_cases {
    ($callback:ident) => {
        $callback! {
            runs_are_found_by_the_person_on_whose_behalf_they_work
            a_hold_is_in_force_until_it_is_released_once
            an_erasure_is_proposed_begun_once_and_done
            of_a_hold_and_an_erasure_the_second_is_refused
            of_a_hold_and_an_erasure_at_once_one_is_refused
            a_run_loses_its_texts_and_keeps_its_hashes
            long_texts_go_when_no_record_names_them
            trees_that_a_person_keeps_are_found_and_forgotten
        }
    };
}

/// A case of the port of erasure with its name.
#[derive(Clone, Copy)]
pub struct ErasureCase {
    /// What it promises, in words joined by `_`.
    pub name: &'static str,
    /// Runs it against an empty store; panics when the promise is broken.
    pub run: for<'a> fn(&'a dyn Erasing) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for ErasureCase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! erasure_table {
    ($($name:ident)*) => {
        /// All cases of the port of erasure, for an adapter that runs them side by side.
        pub const ERASURE: &[ErasureCase] =
            &[$(ErasureCase { name: stringify!($name), run: |s| Box::pin($name(s)) }),*];
    };
}
erasure_cases!(erasure_table);
