//! The command line as users see it: the real binary, in a folder of its own, with everything that it writes. One file for each
//! command; `test_crash.rs` kills it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;
mod test_agents_command;
mod test_approvals_command;
mod test_artifacts;
mod test_audit_command;
mod test_backup_command;
mod test_boxes;
mod test_budgets_command;
mod test_canaries;
mod test_cassettes;
mod test_chat_command;
mod test_completions_command;
mod test_crash;
mod test_data_command;
mod test_data_folder;
mod test_demo_command;
mod test_demo_service_command;
mod test_dev_command;
mod test_docs;
mod test_doctor_command;
mod test_errors_command;
mod test_examples;
mod test_identity_command;
mod test_login_command;
mod test_mcp_url;
mod test_migrate_command;
mod test_policy_command;
mod test_provenance;
mod test_restore_drill;
mod test_retry_after;
mod test_run_command;
mod test_runs_command;
mod test_sandboxes;
mod test_sandboxes_command;
mod test_schema_command;
mod test_secrets_command;
mod test_serve_command;
mod test_sessions_command;
mod test_switches_command;
mod test_terminal;
mod test_test_command;
mod test_usage_command;
mod test_why_command;
mod test_wrap_command;
