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

/// The one-time link of `secret`, by which whoever starts Loa signs in to its console as an admin.
///
/// # Errors
/// When the store does not answer.
pub async fn local_link(
    store: &Store,
    config: &Config,
    address: SocketAddr,
    secret: &str,
) -> Result<String, StoreError> {
    store.add_user(LOCAL_USER.to_owned(), Role::Admin, None).await?;
    // Nobody can go to "every address of this machine".
    let is_anywhere = address.ip().is_unspecified();
    let host =
        if is_anywhere { format!("localhost:{}", address.port()) } else { address.to_string() };
    let base = login::base_url(config, &host);
    let link = login::add_link(store, &base, LOCAL_USER, secret).await?;
    // Gone between two statements: somebody else removes users right now.
    link.ok_or_else(|| StoreError::Conflict(format!("the user {LOCAL_USER} was just removed")))
}
