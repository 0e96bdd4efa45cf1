//! Escapings that handlebars does not bring.

/// Letters that mean something in CommonMark or to a chat.
const MARKUP: &[char] = &[
    '\\', '`', '*', '_', '[', ']', '(', ')', '#', '+', '-', '.', '!', '|', '<', '>', '~', '&', ':',
    '=', '@', '"', '\'',
];

/// Data in CommonMark: markup is escaped, and so is `@`, which whoever writes the chat's dialect
/// turns into one that calls nobody.
pub(super) fn common_mark(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut was_space = false;
    for letter in text.chars() {
        // White space in data is one space: it must not begin a heading, a list or a code block.
        let is_space = letter.is_whitespace() && letter != '\u{a0}';
        match letter {
            _ if is_space && was_space => {}
            _ if is_space => escaped.push(' '),
            letter if MARKUP.contains(&letter) => {
                escaped.push('\\');
                escaped.push(letter);
            }
            letter => escaped.push(letter),
        }
        was_space = is_space;
    }
    escaped
}

/// Data inside a JSON string.
pub(super) fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

/// Data in one part of a URL: all but the unreserved letters of RFC 3986 is percent-encoded.
pub(super) fn url(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}
