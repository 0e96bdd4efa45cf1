//! Keeps a staging system from reaching customers.

use crate::model::address::Address;

/// The addresses that may be written to; everything else is captured.
#[derive(Clone, Debug, Default)]
pub struct OnlyTo {
    patterns: Vec<String>,
}

impl OnlyTo {
    /// Allows what fits one of `patterns`, in which `*` stands for any text; none allow all.
    pub fn new(patterns: &[String]) -> Self {
        Self { patterns: patterns.iter().map(|pattern| pattern.trim().to_lowercase()).collect() }
    }

    /// Whether a message may really go to `address`.
    pub fn allows(&self, address: &Address) -> bool {
        if self.patterns.is_empty() {
            return true;
        }
        let value = address.value().to_lowercase();
        self.patterns.iter().any(|pattern| fits(pattern, &value))
    }
}

/// Whether `text` fits `pattern`, in which each `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = tail.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, email: &str) -> bool {
        OnlyTo::new(&[pattern.to_owned()]).allows(&Address::email(email).unwrap())
    }

    #[test]
    fn a_domain_pattern_allows_its_domain_and_no_other() {
        assert!(allows("*@us.example", "an@us.example"));
        assert!(!allows("*@us.example", "an@us.example.evil.test"));
        assert!(!allows("*@us.example", "us.example@customer.test"));
    }

    #[test]
    fn no_pattern_allows_everything() {
        assert!(OnlyTo::default().allows(&Address::email("an@customer.test").unwrap()));
    }

    #[test]
    fn pieces_between_stars_stand_in_order() {
        assert!(allows("a*b*@x.test", "a-b-c@x.test"));
        assert!(!allows("a*b*@x.test", "b-a-c@x.test"));
    }
}
