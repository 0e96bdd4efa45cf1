//! Who may do what: the roles of people.

use serde::{Deserialize, Serialize};

/// What a person may do in the console; each role may also do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything.
    Viewer,
    /// Repairs: retries, replays, holds, releases, and keeps the directory.
    Operator,
    /// Keeps users and keys.
    Admin,
}

impl Role {
    /// Every role, from the least to the most.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The role as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// Whether `name` may name a user or a key: 1 to 64 small letters, digits, dots, dashes.
///
/// Such names stand in logs and addresses of pages, so they hold no address and need no escaping.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
    };
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_role_may_what_an_earlier_one_may() {
        assert!(Role::Admin > Role::Operator);
        assert!(Role::Operator > Role::Viewer);
        assert_eq!(Role::from_word("operator"), Some(Role::Operator));
        assert_eq!(Role::from_word("root"), None);
    }

    #[test]
    fn a_name_needs_no_escaping_and_is_no_address() {
        assert!(is_name("thu-ha.2"));
        for name in ["", "Thu", "a b", "a/b", "an@partner.test", "hà", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
