//! The real app with a staged outside world: demo, bench, drill.
