//! Whether the broker lets us in, asked once and at once.

use crate::config::RabbitSettings;

use super::fault::Fault;
use super::line;

/// Why the broker could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// A sentence without a full stop; it holds no password.
    pub text: String,
    /// Whether somebody has to mend it, so that trying again is of no use.
    pub is_standing: bool,
}

impl From<Fault> for Refused {
    fn from(Fault { text, is_slow }: Fault) -> Self {
        Self { text, is_standing: is_slow }
    }
}

/// Opens a connection and ends it again.
///
/// # Errors
/// Why there is none: a broker that is not there, or one that lets this user in nowhere.
pub async fn try_login(settings: &RabbitSettings) -> Result<(), Refused> {
    let connection = line::open(settings, "loa looks").await?;
    line::close(&connection).await;
    Ok(())
}
