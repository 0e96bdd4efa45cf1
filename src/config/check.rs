//! Checks between settings that no single value shows: routes, providers, marketing.

use crate::config::settings::{Config, ProviderSettings};
use crate::config::{Place, suggestion};
use crate::model::address::Channel;
use crate::model::catalogue::{Category, EventType, Step};
use crate::model::id::ProviderName;

/// What the checks need to know of a provider kind.
#[derive(Clone, Copy, Debug)]
pub struct KindFacts<'a> {
    /// Its word in `kind = "…"`.
    pub name: &'a str,
    /// The channels it serves.
    pub channels: &'a [Channel],
    /// Whether it captures messages instead of sending them.
    pub captures: bool,
}

/// Adds to the config's faults what does not fit together, given every known kind of provider.
///
/// Nothing is added if the settings file could not be read: that is to be repaired first.
pub fn check_config(config: &Config, kinds: &[KindFacts<'_>]) {
    if !config.places.is_whole {
        return;
    }
    let check = Check { config, kinds };
    check.providers();
    check.routes();
    for channel in Channel::ALL {
        check.channel_in_use(channel);
    }
    check.step_providers();
    check.sender_domain();
    check.marketing_email();
    check.marketing_sms();
}

struct Check<'a> {
    config: &'a Config,
    kinds: &'a [KindFacts<'a>],
}

/// A step that is in use, with its type.
type Use<'a> = (&'a EventType, &'a Step);

/// Providers and routes.
impl Check<'_> {
    fn providers(&self) {
        let names: Vec<_> = self.kinds.iter().map(|kind| kind.name).collect();
        for provider in self.config.providers.values() {
            if self.kind_of(provider).is_none() {
                let what = format!("there is no provider kind `{}`", provider.kind);
                let help = suggestion::expected(&provider.kind, &names);
                provider.section.fault("kind", what, help);
            }
        }
    }

    fn routes(&self) {
        let Some(section) = self.config.places.root.section("channels") else { return };
        for (channel, name) in &self.config.routes {
            if let Some((what, help)) = self.misfit(*channel, name) {
                section.fault(channel.as_str(), what, help);
            }
        }
    }

    fn step_providers(&self) {
        for (event_type, step) in self.steps() {
            for (channel, name) in &step.providers {
                let Some((what, help)) = self.misfit(*channel, name) else { continue };
                let place = self.place((event_type, step), "providers");
                self.config.places.faults.error(place, what, help);
            }
        }
    }

    /// A channel that steps use needs a way out, unless each of them names its own.
    fn channel_in_use(&self, channel: Channel) {
        let uses: Vec<_> = self
            .steps()
            .filter(|(_, step)| step.channels.contains(&channel))
            .filter(|(_, step)| !step.providers.contains_key(&channel))
            .collect();
        let Some((first, others)) = uses.split_first() else { return };
        let has_way_out = match channel {
            // A chat address names its provider, so any that serves chat may be the one.
            Channel::Chat => self.config.providers.values().any(|p| self.serves(p, channel)),
            Channel::Email | Channel::Sms => self.config.routes.contains_key(&channel),
        };
        if has_way_out {
            return;
        }
        let more = match others.len() {
            0 => String::new(),
            count => format!(" (and {count} more)"),
        };
        let (event_type, step) = (&first.0.name, &first.1.name);
        let what = format!(
            "the channel `{channel}` has no provider, but is used by step `{step}` of \
             `{event_type}`{more}"
        );
        let help =
            format!("add [providers.NAME] and name it in [channels] as `{channel} = \"NAME\"`");
        self.config.places.faults.error(self.place(*first, "channels"), what, help);
    }

    /// Why provider `name` cannot be the way out of `channel`, and what to do.
    fn misfit(&self, channel: Channel, name: &ProviderName) -> Option<(String, String)> {
        let names: Vec<_> = self.config.providers.keys().map(ProviderName::as_str).collect();
        let Some(provider) = self.config.providers.get(name) else {
            let help = match suggestion::nearest(name.as_str(), &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add [providers.{name}]"),
            };
            return Some((format!("there is no provider `{name}`"), help));
        };
        let kind = self.kind_of(provider)?;
        if kind.channels.contains(&channel) {
            return None;
        }
        let serves: Vec<_> = kind.channels.iter().map(|channel| channel.as_str()).collect();
        let what = format!("provider `{name}` of kind `{}` does not serve {channel}", kind.name);
        Some((what, format!("name one that does; this one serves {}", serves.join(", "))))
    }
}

/// Senders and marketing.
impl Check<'_> {
    fn sender_domain(&self) {
        let email = &self.config.email;
        let sends = |p: &&ProviderSettings| {
            self.kind_of(p).is_some_and(|k| !k.captures && k.channels.contains(&Channel::Email))
        };
        if email.dkim.is_some() || self.config.providers.values().find(sends).is_none() {
            return;
        }
        let Some(section) = self.config.places.root.section("email") else { return };
        let domain = email.from.rsplit('@').next().unwrap_or_default();
        let what = format!("nothing says who signs emails from `{domain}` with DKIM");
        let help = "let the relay sign and write `dkim = \"relay\"`; without it much lands in spam";
        section.warn("from", what, help);
    }

    fn marketing_email(&self) {
        let Some(found) = self.marketing(Channel::Email) else { return };
        let (place, faults) = (self.place(found, "channels"), &self.config.places.faults);
        match &self.config.http.public_url {
            None => {
                let what = "marketing email without a public URL has no unsubscribe link";
                let help =
                    "write `public_url = \"https://…\"` in [http]: how people reach this Loa";
                faults.error(place.clone(), what, help);
            }
            Some(url) if url.scheme() != "https" && url.host_str() != Some("localhost") => {
                if let Some(section) = self.config.places.root.section("http") {
                    let what = "the unsubscribe links of marketing email need https";
                    section.warn(
                        "public_url",
                        what,
                        "mail programs ignore one-click links without it",
                    );
                }
            }
            Some(_) => {}
        }
        let unsubscribe = self.config.places.root.section("unsubscribe");
        let has_secret = unsubscribe.is_some_and(|section| section.has("secret"));
        if !has_secret && self.config.unsubscribe_secret.is_none() {
            let what = "marketing email without `unsubscribe.secret` has no unsubscribe link";
            let help = "write a long random text to a file (`openssl rand -base64 32`) and name it as \
                        `secret_file` in [unsubscribe]";
            faults.error(place, what, help);
        }
    }

    fn marketing_sms(&self) {
        let Some(found) = self.marketing(Channel::Sms) else { return };
        if self.config.sms.marketing.is_some() {
            return;
        }
        let what = "marketing by SMS needs a label, hours and a way to stop it";
        let help = "add [sms.marketing] with `label`, `window` and `stop_text` (Vietnam: \"[QC]\", \
                    \"07:00-22:00\"), or take sms out of this step";
        self.config.places.faults.error(self.place(found, "channels"), what, help);
    }

    /// The first marketing step on `channel`.
    fn marketing(&self, channel: Channel) -> Option<Use<'_>> {
        self.steps().find(|(event_type, step)| {
            event_type.category == Category::Marketing && step.channels.contains(&channel)
        })
    }
}

impl<'a> Check<'a> {
    fn steps(&self) -> impl Iterator<Item = Use<'a>> + use<'a> {
        let types = self.config.catalogue.types.values();
        types.flat_map(|event_type| event_type.steps.iter().map(move |step| (event_type, step)))
    }

    fn kind_of(&self, provider: &ProviderSettings) -> Option<&'a KindFacts<'a>> {
        self.kinds.iter().find(|kind| kind.name == provider.kind)
    }

    fn serves(&self, provider: &ProviderSettings, channel: Channel) -> bool {
        self.kind_of(provider).is_some_and(|kind| kind.channels.contains(&channel))
    }

    fn place(&self, (event_type, step): Use<'_>, key: &str) -> Place {
        let id = (event_type.name.clone(), step.name.clone());
        let section = self.config.places.catalogue.steps.get(&id);
        section.map_or_else(|| Place::Named(id.0.to_string()), |section| section.place_of(key))
    }
}
