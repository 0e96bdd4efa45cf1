//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    loa::cli::run()
}
