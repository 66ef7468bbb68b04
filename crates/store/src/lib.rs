//! SQLite and PostgreSQL: journal, blobs, sessions, queues, agent versions
