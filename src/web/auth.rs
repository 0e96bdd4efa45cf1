//! Who may: a key for programs, a session by a one-time link for people.

mod attempts;
pub(super) mod bearer;
pub(super) mod login;
mod secret;
pub(super) mod session;

use std::net::SocketAddr;

use crate::config::Config;
use crate::model::access::Role;
use crate::store::{Store, StoreError};

pub use attempts::Attempts;
pub(super) use attempts::one_place;
pub(super) use secret::new_secret;
pub use secret::random_secret;
pub(super) use session::is_https;

/// The user by which whoever starts Loa signs in.
const LOCAL_USER: &str = "local";

/// Lets there be a user `local`, an admin, where nobody could sign in at all; one that was removed
/// stays away.
///
/// # Errors
/// When the store does not answer.
pub async fn let_somebody_in(store: &Store) -> Result<(), StoreError> {
    if store.users().await?.is_empty() {
        store.add_user(LOCAL_USER.to_owned(), Role::Admin, None).await?;
    }
    Ok(())
}

/// The one-time link of `secret`, by which whoever starts Loa signs in to its console as the user
/// `local`; none if there is no such user any more.
///
/// # Errors
/// When the store does not answer.
pub async fn local_link(
    store: &Store,
    config: &Config,
    address: SocketAddr,
    secret: &str,
) -> Result<Option<String>, StoreError> {
    let_somebody_in(store).await?;
    login::add_link(store, &console_url(config, address), LOCAL_USER, secret).await
}

/// Where people reach the console of a Loa that listens at `address`.
pub fn console_url(config: &Config, address: SocketAddr) -> String {
    // Nobody can go to "every address of this machine".
    let is_anywhere = address.ip().is_unspecified();
    let host =
        if is_anywhere { format!("localhost:{}", address.port()) } else { address.to_string() };
    login::base_url(config, &host)
}
