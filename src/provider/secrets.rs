//! Takes a provider's secrets out of what its gateway says, before that is kept.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::text::Escaping;

/// What stands in the place of a secret.
const HIDDEN: &str = "[secret]";
/// A shorter text is too likely to be part of an innocent word.
const LEAST_LENGTH: usize = 6;

/// The texts that must not be kept; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(Arc<Vec<SecretString>>);

impl Secrets {
    /// Hides each of `secrets`, as it is and as requests and answers may spell it.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut spellings: Vec<String> =
            secrets.into_iter().flat_map(|secret| spellings(secret.expose_secret())).collect();
        // A secret may be part of another one; the longer goes first.
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        spellings.dedup();
        Self(Arc::new(spellings.into_iter().map(SecretString::from).collect()))
    }

    /// The text without any of the secrets.
    pub(super) fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in self.0.iter().map(ExposeSecret::expose_secret) {
            if text.contains(secret) {
                text = Cow::Owned(text.replace(secret, HIDDEN));
            }
        }
        text
    }
}

/// A text and the ways in which it comes back: in JSON, in a URL, in base64; of a URL also the
/// part behind the host.
fn spellings(secret: &str) -> Vec<String> {
    let secret = secret.trim();
    let path = secret.split_once("://").and_then(|(_, rest)| Some(rest.split_once('/')?.1));
    let mut all = Vec::new();
    for text in [Some(secret), path].into_iter().flatten() {
        let json = Escaping::Json.escape(text);
        let slashed = json.replace('/', "\\/");
        all.extend([text.to_owned(), json, slashed, Escaping::Url.escape(text)]);
    }
    all.push(STANDARD.encode(secret));
    all.retain(|spelling| spelling.len() >= LEAST_LENGTH);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_however_it_is_spelled() {
        let secrets = ["hush-hush/42", "https://hooks.test/services/T1/B2"].map(SecretString::from);
        let secrets = Secrets::new(&secrets);

        for text in [
            "key hush-hush/42 is wrong",
            r#"{"key":"hush-hush\/42"}"#,
            "?key=hush-hush%2F42",
            "Basic aHVzaC1odXNoLzQy",
            "no hook at /services/T1/B2",
        ] {
            let hidden = secrets.hide(text);
            assert!(hidden.contains("[secret]"), "{hidden}");
            assert!(!hidden.contains("hush") && !hidden.contains("T1"), "{hidden}");
        }
        assert_eq!(secrets.hide("all is well"), "all is well");
    }

    #[test]
    fn a_short_text_is_no_secret_to_look_for() {
        let secrets = Secrets::new(&[SecretString::from("100")]);

        assert_eq!(secrets.hide("CodeResult 100"), "CodeResult 100");
    }
}
