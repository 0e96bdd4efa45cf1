//! Builds every part once and runs until stopped.
