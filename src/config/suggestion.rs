//! Finds the word that someone probably meant.

/// What to do about a word that is none of `words`.
pub(crate) fn expected(found: &str, words: &[&str]) -> String {
    let list = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match nearest(found, words) {
        Some(word) => format!("did you mean `{word}`? expected one of {list}"),
        None => format!("expected one of {list}"),
    }
}

/// What to do about a key that is none of the keys that are read.
pub(crate) fn unknown(found: &str, words: &[&str]) -> String {
    match nearest(found, words) {
        Some(word) => format!("did you mean `{word}`?"),
        None if words.is_empty() => "remove it; nothing is expected here".to_owned(),
        None => {
            let list = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
            format!("remove it, or write one of {list}")
        }
    }
}

/// The word that differs in at most a third of its letters.
pub(super) fn nearest<'a>(found: &str, words: &[&'a str]) -> Option<&'a str> {
    let distances = words.iter().map(|word| (strsim::damerau_levenshtein(found, word), *word));
    let (distance, word) = distances.min()?;
    let allowed = found.chars().count().max(word.chars().count()) / 3;
    (distance <= allowed).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_finds_its_word() {
        assert_eq!(nearest("pasword", &["password", "username"]), Some("password"));
        assert_eq!(nearest("prot", &["port", "host"]), Some("port"));
        assert_eq!(nearest("url", &["password", "username"]), None);
        assert_eq!(nearest("d", &["a", "b"]), None);
    }
}
