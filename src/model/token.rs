//! Signed links: what a person clicks proves by itself which address it is about.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::model::address::{Address, Channel};

/// Separates these signatures from every other use of the same key.
const PURPOSE: &[u8] = b"loa unsubscribe 1\n";

/// The token of an unsubscribe link for `address`.
pub fn sign(address: &Address, key: &[u8]) -> String {
    let payload = format!("{}:{}", address.channel(), address.value());
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed(payload.as_bytes()));
    format!("{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(tag))
}

/// The address that a token is about, if `key` signed it; compared in constant time.
pub fn verify(token: &str, key: &[u8]) -> Option<Address> {
    let (payload, tag) = token.split_once('.')?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed(&payload), &tag).ok()?;
    let payload = String::from_utf8(payload).ok()?;
    let (channel, value) = payload.split_once(':')?;
    let channel: Channel = channel.parse().ok()?;
    // A signed address was normalised before it was signed; the region is never asked for.
    Address::parse(channel, value, "VN").ok()
}

fn signed(payload: &[u8]) -> Vec<u8> {
    [PURPOSE, payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    #[test]
    fn a_token_names_its_address_and_no_other_key_makes_one() {
        let address = Address::email("an@partner.test").unwrap();

        let token = sign(&address, KEY);

        assert_eq!(verify(&token, KEY), Some(address));
        assert_eq!(verify(&token, b"another key of the same length!!"), None);
        assert_eq!(verify(&token.replacen('a', "b", 1), KEY), None);
    }
}
