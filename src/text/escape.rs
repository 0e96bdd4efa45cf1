//! Escapings that handlebars does not bring.

/// Letters that mean something in CommonMark or to a chat.
const MARKUP: &[char] = &[
    '\\', '`', '*', '_', '{', '}', '[', ']', '(', ')', '#', '+', '-', '.', '!', '|', '<', '>', '~',
    '&', ':',
];

/// Data in CommonMark: markup is escaped, and `@` is followed by a word joiner so that it calls
/// nobody.
pub(super) fn common_mark(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '@' => escaped.push_str("@\u{2060}"),
            // A line break in data is a space: it must not begin a heading or a list.
            '\n' | '\r' => escaped.push(' '),
            letter if MARKUP.contains(&letter) => {
                escaped.push('\\');
                escaped.push(letter);
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Data inside a JSON string.
pub(super) fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}
