//! Ways out: what a provider is, and the list of kinds.
