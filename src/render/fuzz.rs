//! Chat messages of arbitrary templates and data.

use pulldown_cmark::{Event, Parser};
use serde_json::json;

use super::chat::message;
use crate::model::message::Dialect;
use crate::text::{self, Engine, Escaping};

const DIALECTS: [Dialect; 3] = [Dialect::CommonMark, Dialect::SlackMrkdwn, Dialect::Plain];
/// How chats call people whom a message is not for.
const CALLS: [&str; 6] = ["@all", "@here", "@channel", "@everyone", "<!", "<users/"];

/// The bytes as a template's CommonMark, and as data in a harmless template.
pub(crate) fn chat(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for dialect in DIALECTS {
        let made = message(&text, dialect);
        assert!(made.text.len() <= 8 * text.len() + 64, "{}", made.text);
        data(&text, dialect);
    }
}

fn data(text: &str, dialect: Dialect) {
    let mut engine = Engine::new(Escaping::CommonMark);
    let context = text::context(json!({ "x": text }));
    if engine.add("t", "a {{x}}\n{{x}}").is_err() {
        return;
    }
    let Ok(markdown) = engine.render("t", &context, 1 << 20) else { return };
    let made = message(&markdown, dialect).text;
    match dialect {
        Dialect::CommonMark => {
            let has_marks = Parser::new(&markdown).any(|event| matches!(event, Event::Code(_)));
            assert!(!has_marks, "{made}");
        }
        Dialect::SlackMrkdwn => assert!(!made.contains(['<', '>']), "{made}"),
        Dialect::Plain => {}
    }
    for call in CALLS {
        let mut before = made.match_indices(call).filter_map(|(at, _)| made.get(..at));
        // Within a word it is an address.
        let is_harmless =
            before.all(|before| before.ends_with(char::is_alphanumeric) && call.starts_with('@'));
        assert!(is_harmless, "{call} in {made}");
    }
}
