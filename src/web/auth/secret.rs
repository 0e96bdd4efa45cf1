//! Secrets that open doors: random, shown once, kept only as their digest.

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use crate::store::Digest;
use crate::web::problem::Problem;

/// 256 random bits as text.
///
/// # Errors
/// When the system gives no random numbers.
pub fn random_secret() -> std::io::Result<String> {
    let mut bytes = [0_u8; 32];
    let no_random = |_| std::io::Error::other("the system gives no random numbers");
    SystemRandom::new().fill(&mut bytes).map_err(no_random)?;
    Ok(hex(&bytes))
}

/// A new secret for an answer to a request.
pub(in crate::web) fn new_secret() -> Result<String, Problem> {
    random_secret().map_err(|error| {
        tracing::error!(%error, "cannot make a secret: {error}");
        Problem::internal()
    })
}

/// What is kept of a secret. A guess is found out by looking for its digest, which tells whoever
/// measures the time nothing about the secret.
pub(super) fn digest_of(secret: &str) -> Digest {
    let mut kept = [0; 32];
    kept.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    kept
}

/// Bytes as small hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
