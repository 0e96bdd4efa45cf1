//! The truth: every event, delivery and attempt, in SQLite or PostgreSQL.
