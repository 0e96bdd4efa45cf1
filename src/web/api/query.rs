//! Reads the texts of a query: an empty one asks for nothing, a wrong one is told what exists.

use std::str::FromStr;

use jiff::Timestamp;

use crate::config::suggestion::expected;
use crate::web::problem::Problem;

/// The text, unless it is empty.
pub(super) fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The time that the parameter `name` says, if it says one.
pub(super) fn time(name: &str, text: Option<String>) -> Result<Option<Timestamp>, Problem> {
    let wrong = |_| {
        let help = "expected a time such as 2026-12-24T09:00:00Z";
        Problem::bad_request(&format!("?{name}"), help)
    };
    said(text).map(|text| Timestamp::from_str(&text)).transpose().map_err(wrong)
}

/// The one of `all` whose word the parameter `name` says.
pub(super) fn word<T: Copy>(
    name: &str,
    text: &str,
    all: &[T],
    spell: impl Fn(T) -> &'static str,
) -> Result<T, Problem> {
    let found = all.iter().copied().find(|one| spell(*one) == text);
    found.ok_or_else(|| {
        let words: Vec<_> = all.iter().copied().map(spell).collect();
        let help = format!("unknown {name} `{text}`; {}", expected(text, &words));
        Problem::bad_request(&format!("?{name}"), help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::{Reason, State};

    #[test]
    fn a_word_that_is_unknown_is_told_every_one_that_is_known() {
        let state = |text: &str| word("state", text, &State::ALL, State::as_str);

        let problem = state("snet").unwrap_err();

        assert!(problem.detail().starts_with("unknown state `snet`; did you mean `sent`? "));
        for known in State::ALL {
            assert!(problem.detail().contains(&format!("`{}`", known.as_str())));
            assert_eq!(state(known.as_str()).ok(), Some(known));
        }
        let problem = word("reason", "", &Reason::ALL, Reason::as_str).unwrap_err();
        assert!(Reason::ALL.iter().all(|known| problem.detail().contains(known.as_str())));
    }

    #[test]
    fn an_empty_text_asks_for_nothing() {
        assert_eq!(said(Some(String::new())), None);
        assert_eq!(time("since", Some(String::new())).ok(), Some(None));
        assert!(time("since", Some("yesterday".to_owned())).is_err());
    }
}
