//! Asks a person before something is done that was not agreed to by `--yes`.

use std::io::IsTerminal;

use super::Failure;

/// Asks at the terminal whether to do it; without a terminal nothing is done, and that is a failure
/// which says what to add.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
pub(super) fn is_agreed_to(what: &str, instead: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Wrong(format!(
            "nothing was done, since there is no terminal to ask at: add --yes {instead} ({what})"
        )));
    }
    eprint!("{what}? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
