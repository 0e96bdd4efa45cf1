//! Knows the order of the steps, and nothing else does.
