//! What every tier of sandboxes must do and must keep from happening, as cases that a tier's tests run in a [`Lab`] of their
//! own. A case panics when its promise is broken; its name says the promise, and the number before its description is that of
//! the list of abuse cases (docs/abuse.md, which says what shows each case in each tier).
//!
//! Not here: what only one tier does (zygotes, shims, machines), and who ends when a server or what makes boxes is killed.
//!
//! ```ignore
//! macro_rules! tests {
//!     ($($name:ident)*) => { $(
//!         #[tokio::test]
//!         async fn $name() {
//!             let lab = Lab::new();
//!             stead_testkit::boxes::$name(&lab).await;
//!             lab.close().await;
//!         }
//!     )* };
//! }
//! stead_testkit::abuse_cases!(tests);
//! stead_testkit::box_cases!(tests);
//! ```
//!
//! A tier in which a box takes seconds runs the cases of [`INSIDE`] in one box ([`all_inside`]), and of the others those that it has no
//! shorter test for.

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod calls;
mod canaries;
mod deadlines;
mod ends;
mod folders;
mod inside;
mod lab;
mod limits;
mod neighbours;
mod network;
mod place;
mod running;
mod streams;

pub use calls::*;
pub use canaries::*;
pub use deadlines::*;
pub use ends::*;
pub use folders::*;
pub use inside::*;
pub use lab::*;
pub use limits::*;
pub use neighbours::*;
pub use network::*;
pub use place::*;
pub use running::*;
pub use streams::*;

/// Calls the macro `$callback` with the names of the abuse cases: what a hostile command tries.
#[macro_export]
macro_rules! abuse_cases {
    ($callback:ident) => {
        $callback! {
            system_calls_that_reach_beyond_the_box_are_refused
            other_gates_into_the_kernel_kill
            only_ordinary_sockets_can_be_made
            no_limit_can_be_raised_and_no_core_is_written
            a_command_has_no_right_no_secret_and_no_descriptor_but_its_streams
            only_the_boxs_own_processes_are_there
            the_runtime_cannot_be_changed_from_inside
            the_hosts_knobs_and_devices_are_not_there_or_not_writable
            the_root_is_read_only_and_what_is_private_is_writable
            nothing_of_the_host_or_the_network_can_be_reached
            a_fork_bomb_meets_the_limit_of_processes_and_dies_at_its_deadline
            grandchildren_daemons_and_zombies_end_with_the_action
            the_deadline_holds_whoever_holds_the_output
            a_set_user_id_program_gains_nothing
            whoever_it_says_it_is_inside_it_is_nobody_outside
            too_much_memory_is_killed_in_the_box_and_told
            private_folders_end_at_their_quota
            a_layer_ends_at_the_quota
            a_huge_sparse_file_is_refused
            output_without_newlines_invalid_text_escapes_and_nul_come_back_byte_for_byte
            endless_output_is_cut_at_the_cap_and_killed_or_dropped_as_asked
            nothing_of_one_action_is_there_for_the_next
            what_another_box_has_cannot_be_found
        }
    };
}

/// Calls the macro `$callback` with the names of the other cases: what a box does for its caller.
#[macro_export]
macro_rules! box_cases {
    ($callback:ident) => {
        $callback! {
            a_command_gets_its_words_environment_folder_and_input_and_its_output_comes_back
            a_signal_and_a_code_are_told_apart
            a_program_that_is_not_there_or_cannot_run_is_an_error_and_no_outcome
            a_follower_hears_output_while_the_command_runs
            pipes_carry_a_conversation
            a_terminal_is_one_to_the_command_and_can_be_resized
            a_command_that_does_not_read_its_input_ends_all_the_same
            folders_are_read_only_writable_or_layered_as_asked
            a_folder_in_a_closed_one_can_be_given
            nothing_is_mounted_through_a_link
            a_folder_can_be_the_root
            the_way_out_is_a_socket_that_is_accepted_on_outside
            boxes_hear_nothing_of_each_other
            what_was_used_is_measured
            what_a_box_uses_is_seen_while_it_runs
            limits_of_a_box_that_runs_can_be_changed
            processor_time_is_held_to_its_share
        }
    };
}
