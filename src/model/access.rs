//! Who may do what: the roles of people, the scopes of keys.

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

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// One right of an API key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope {
            $($(#[$doc])* $name,)*
        }

        impl Scope {
            /// Every scope.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The scope as a word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

scopes! {
    /// Sees events, rejected ones too.
    EventsRead = "events:read",
    /// Hands events in; replays and discards rejected ones.
    EventsWrite = "events:write",
    /// Sees deliveries, their attempts and captured messages.
    DeliveriesRead = "deliveries:read",
    /// Retries, cancels, holds and releases deliveries.
    DeliveriesWrite = "deliveries:write",
    /// Sees contacts, partners, teams and segments.
    DirectoryRead = "directory:read",
    /// Changes them.
    DirectoryWrite = "directory:write",
    /// Sees templates and tries them out.
    TemplatesRead = "templates:read",
    /// Sees how providers do.
    ProvidersRead = "providers:read",
    /// Holds, releases and tests providers.
    ProvidersWrite = "providers:write",
    /// Sees the ledger.
    LedgerRead = "ledger:read",
    /// Keeps users and keys; since it may make any key, it includes every other scope.
    Admin = "admin",
}

impl Scope {
    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == word)
    }

    /// Whether one of `scopes` gives this right.
    pub fn is_in(self, scopes: &[Self]) -> bool {
        scopes.contains(&self) || scopes.contains(&Self::Admin)
    }
}

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
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
    fn a_scope_is_given_by_itself_or_by_admin() {
        let key = [Scope::EventsWrite, Scope::LedgerRead];

        assert!(Scope::LedgerRead.is_in(&key));
        assert!(!Scope::EventsRead.is_in(&key));
        assert!(Scope::EventsRead.is_in(&[Scope::Admin]));
        for scope in Scope::ALL {
            assert_eq!(Scope::from_word(scope.as_str()), Some(*scope));
        }
        assert_eq!(Scope::from_word("events"), None);
    }

    #[test]
    fn every_role_and_scope_is_in_print() {
        let print = include_str!("../../docs/access.md");

        for word in Scope::ALL.iter().map(|scope| scope.as_str()) {
            assert!(print.contains(&format!("| `{word}` |")), "{word}");
        }
        for word in Role::ALL.map(Role::as_str) {
            assert!(print.contains(&format!("| `{word}` |")), "{word}");
        }
    }

    #[test]
    fn a_name_needs_no_escaping_and_is_no_address() {
        assert!(is_name("thu-ha.2"));
        for name in ["", "Thu", "a b", "a/b", "an@partner.test", "hà", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
