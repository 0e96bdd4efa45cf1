//! What data might call or mark, so that it calls nobody and marks nothing.

/// Put where it keeps a letter of data from being a mark or a mention; nobody sees it.
pub(super) const INERT: char = '\u{200b}';

/// CommonMark in which an `@` from data calls nobody, without the escapes that are not needed: some
/// gateways know only half of CommonMark and would show them.
pub(super) fn inert(markdown: &str) -> String {
    let mut written = String::with_capacity(markdown.len() + 8);
    let mut is_destination = false;
    let mut letters = markdown.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = letters.next_if(|next| letter == '\\' && next.is_ascii_punctuation());
        let Some(escaped) = escaped else {
            is_destination = match letter {
                ']' => letters.peek() == Some(&'('),
                ')' | '\n' => false,
                _ => is_destination,
            };
            written.push(letter);
            continue;
        };
        let is_inert = match escaped {
            // A destination with a blank in it is none, and is shown as it stands.
            '@' if is_destination => written.ends_with(' '),
            '@' => !ends_in_word(&written),
            '<' => letters.clone().find(|next| *next != '\\').is_some_and(calls),
            _ => false,
        };
        let is_needed = match is_destination {
            true => matches!(escaped, '(' | ')' | '<' | '>' | '\\' | '"' | '\''),
            false => is_markup(escaped, &written, letters.peek().copied()),
        };
        written.extend(is_needed.then_some('\\'));
        written.push(escaped);
        written.extend(is_inert.then_some(INERT));
    }
    written
}

/// Whether a letter would mean something between what is written and what comes next.
fn is_markup(letter: char, written: &str, next: Option<char>) -> bool {
    let line = written.rsplit('\n').next().unwrap_or_default();
    // Behind a word nothing begins a list, a heading or a rule.
    let is_early = !line.chars().any(char::is_alphabetic);
    match letter {
        '@' | '"' | '\'' => false,
        '-' | '+' | '=' | ')' => is_early,
        '.' => is_early || line.to_ascii_lowercase().ends_with("www"),
        ':' => next.is_some_and(|next| next == '/' || next.is_alphabetic()),
        '!' => next == Some('['),
        '(' => written.ends_with(']'),
        '_' => !(ends_in_word(written) && next.is_some_and(char::is_alphanumeric)),
        _ => true,
    }
}

/// Whether `<` before this letter may begin a call of people: `<!channel>`, `<@U1>`, `<users/all>`.
pub(super) fn calls(next: char) -> bool {
    matches!(next, '!' | '@' | '#' | 'u' | 'U')
}

/// Whether an `@` behind this text stands inside a word, as in an email address.
pub(super) fn ends_in_word(text: &str) -> bool {
    text.ends_with(char::is_alphanumeric)
}
