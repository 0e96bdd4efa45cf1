//! Where something stands in a gateway's answer.

use std::str::FromStr;

use serde_json::Value;

/// The longest id or code that is taken for one, in characters.
const MAX_CHARS: usize = 200;

/// A place in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A JSON pointer, such as `/data/id`.
    Pointer(String),
    /// The text of the first XML element of this name, whatever its prefix.
    Element(String),
    /// What follows this word, with its `:` or `=`, up to the end of the line or field.
    After(String),
    /// The how-manieth word, from 1.
    Word(usize),
}

/// How a place is written, for those who wrote none.
pub(super) const EXPECTED: &str = "a JSON pointer (\"/id\"), an element (\"<id>\"), a word with its sign (\"ID:\") or a number (\"1\")";

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let element = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
        match (element, text.parse::<usize>()) {
            (Some(name), _) if !name.is_empty() => Ok(Self::Element(name.to_owned())),
            (None, Ok(number)) if number > 0 => Ok(Self::Word(number)),
            (None, Err(_)) if text.starts_with('/') => Ok(Self::Pointer(text.to_owned())),
            (None, Err(_)) if text.len() > 1 && text.ends_with([':', '=']) => {
                Ok(Self::After(text.to_owned()))
            }
            _ => Err(()),
        }
    }
}

impl Place {
    /// What stands here in the answer; `json` is the answer read as JSON, `null` if it is none.
    pub(super) fn find(&self, text: &str, json: &Value) -> Option<String> {
        let found = match self {
            Self::Pointer(pointer) => {
                let value = json.pointer(pointer).filter(|value| !value.is_null())?;
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            }
            Self::Element(name) => element(text, name)?.to_owned(),
            Self::After(word) => after(text, word)?.to_owned(),
            Self::Word(number) => words(text).nth(number - 1)?.to_owned(),
        };
        // Stores take no NUL, and screens no escapes.
        let found = found.trim().chars().filter(|letter| !letter.is_control());
        Some(found.take(MAX_CHARS).collect::<String>()).filter(|found| !found.is_empty())
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| letter.is_whitespace() || ":|,;=&".contains(letter))
        .filter(|word| !word.is_empty())
}

fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(word)?;
    rest.split(['\n', '\r', '&', ';', '|', ',']).next()
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    loop {
        let (_, tag) = rest.split_once('<')?;
        let (tag, behind) = tag.split_once('>')?;
        let full = tag.split_whitespace().next().unwrap_or_default();
        let local = full.rsplit(':').next().unwrap_or(full);
        if local == name && !tag.ends_with('/') {
            return behind.split('<').next();
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(place: &str, answer: &str) -> Option<String> {
        let json = serde_json::from_str(answer).unwrap_or(Value::Null);
        place.parse::<Place>().unwrap().find(answer, &json)
    }

    #[test]
    fn json_xml_lines_and_words_are_read() {
        let soap = "<s:Body><return a=\"1\"><message>OK</message><r:result>1</r:result></return>";
        let cases = [
            ("/data/tranId", r#"{"data":{"tranId":123}}"#, Some("123")),
            ("/data/tranId", r#"{"data":{"tranId":null}}"#, None),
            ("<result>", soap, Some("1")),
            ("<message>", soap, Some("OK")),
            ("<absent>", soap, None),
            ("ID:", "OK\nID: 7f3a\nparts: 2", Some("7f3a")),
            ("id=", "status=0&id=77&x=1", Some("77")),
            ("1", "0: Accepted for delivery", Some("0")),
            ("2", "OK 7f3a", Some("7f3a")),
            ("3", "OK 7f3a", None),
            ("/id", r#"{"id":"7\u0000f\u001b[31m"}"#, Some("7f[31m")),
            ("ID:", "ID: 7\u{0}f\u{9b}1m", Some("7f1m")),
            ("/id", r#"{"id":"\u0000"}"#, None),
        ];

        for (place, answer, expected) in cases {
            assert_eq!(find(place, answer).as_deref(), expected, "{place} in {answer}");
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for text in ["", "id", "0", "<>", ":"] {
            assert_eq!(text.parse::<Place>(), Err(()), "{text}");
        }
    }
}
