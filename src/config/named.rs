//! What the environment tells the command line of a Loa that runs elsewhere.

use secrecy::SecretString;

/// The Loa that the environment names for the command line.
#[derive(Clone, Debug, Default)]
pub struct NamedServer {
    /// `LOA_SERVER`: the address of its API.
    pub url: Option<String>,
    /// `LOA_TOKEN`: the token that opens it.
    pub token: Option<SecretString>,
}

impl NamedServer {
    /// What this process was given; an empty variable counts as none.
    #[expect(clippy::disallowed_methods, reason = "config is where the environment is read")]
    pub fn of_process() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self { url: variable("LOA_SERVER"), token: variable("LOA_TOKEN").map(SecretString::from) }
    }
}
