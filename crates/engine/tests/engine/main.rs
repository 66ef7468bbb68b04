//! The engine over a real SQLite store: what callers are promised, through crashes, stops, limits and hostile answers.

#![expect(clippy::unwrap_used, reason = "tests")]

mod answers;
mod budgets;
mod children;
mod common;
mod counters;
mod crash;
mod drain;
mod faulty;
mod former;
mod gate;
mod history;
mod lease;
mod life;
mod log;
mod models;
mod off;
mod patience;
mod people;
mod places;
mod previews;
mod proven;
mod providers;
mod quarantine;
mod seen;
mod sessions;
mod signed;
mod stop;
mod taint;
mod trouble;
mod unloadable;
mod upper;
mod watch;
