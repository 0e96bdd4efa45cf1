//! Arguments in, exit code out.

use std::process::ExitCode;

/// Messages are many short texts: the C library's allocator took a sixth of the processor time. It
/// serves C code too, SQLite above all (feature `override`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    loa::cli::run()
}
