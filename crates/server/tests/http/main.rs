//! The server as its callers meet it: real HTTP over loopback, a real SQLite store, scripted models.

#![expect(clippy::unwrap_used, reason = "tests")]

mod agents;
mod approvals;
mod artifacts;
mod audit;
mod backup;
mod budgets;
mod document;
mod doors;
mod double;
mod environment;
mod full_disk;
mod gateway;
mod hostile;
mod inputs;
mod lab;
mod life;
mod limits;
mod notices;
mod openai;
mod operate;
mod outside;
mod policies;
mod postgres;
mod providers;
mod published;
mod reference;
mod rights;
mod runs;
mod sessions;
mod signed;
mod streams;
mod tamper;
mod telemetry;
mod versions;
