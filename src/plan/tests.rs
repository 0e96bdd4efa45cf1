//! Whom a plan tells, when, and why not.
