//! Chooses the provider of each delivery.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::address::{Address, Channel};
use crate::model::catalogue::Step;
use crate::model::id::ProviderName;

/// Which providers there are, and which one a channel uses by default.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Every configured provider with the channels it serves.
    pub providers: BTreeMap<ProviderName, BTreeSet<Channel>>,
    /// The provider of a channel where neither step nor address names one.
    pub defaults: BTreeMap<Channel, ProviderName>,
}

impl Routes {
    /// The provider for `address` in `step`, or the reason why there is none.
    pub(super) fn choose(&self, step: &Step, address: &Address) -> Result<ProviderName, String> {
        let channel = address.channel();
        let named = match address {
            Address::Chat { provider, .. } => Some(provider),
            Address::Email { .. } | Address::Sms { .. } => {
                step.providers.get(&channel).or_else(|| self.defaults.get(&channel))
            }
        };
        let Some(name) = named else {
            return Err(format!("no provider is configured for {channel}"));
        };
        match self.providers.get(name) {
            Some(channels) if channels.contains(&channel) => Ok(name.clone()),
            Some(_) => Err(format!("provider {name} does not serve {channel}")),
            None => Err(format!("provider {name} is not configured")),
        }
    }
}
