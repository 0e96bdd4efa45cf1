//! The settings of a benchmark: event types of its own, and providers that reach its receivers.

use std::fs;
use std::io;

use secrecy::ExposeSecret;

use super::Bench;
use super::BenchError;
use super::sink::Sinks;
use super::work;
use crate::app::StartError;
use crate::config::{self, Config, Sources};
use crate::model::address::Channel;

/// Calls at once, of the gateway and of the relay.
const CALLS: (usize, usize) = (256, 128);

/// What a row changes in the settings that the others share.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    /// Event types beside `bench.chat` and `bench.email`, as texts of their files by their names.
    pub(super) event_types: Vec<(String, String)>,
    /// More providers, as text of the settings file.
    pub(super) providers: String,
    /// Calls at once, of the gateway and of the relay, if not as many as usual.
    pub(super) calls: Option<(usize, usize)>,
}

impl Bench {
    /// Settings that send everything to the sinks.
    pub(super) fn config(&self, sinks: &Sinks, stage: &Stage) -> Result<Config, BenchError> {
        let sources = self.sources(sinks, stage)?;
        Ok(config::load(&sources).map_err(StartError::Faults)?)
    }

    fn sources(&self, sinks: &Sinks, stage: &Stage) -> io::Result<Sources> {
        let catalogue = self.data_dir.join("event-types");
        fs::create_dir_all(&catalogue)?;
        for channel in [Channel::Chat, Channel::Email] {
            let file = catalogue.join(format!("bench.{channel}.toml"));
            fs::write(file, work::event_type(channel))?;
        }
        for (name, text) in &stage.event_types {
            fs::write(catalogue.join(format!("{name}.toml")), text)?;
        }
        let text = settings(sinks, stage);
        let mut sources = Sources::defaults()
            .with_text("bench.toml", &text)
            .with_override("data_dir", &self.data_dir.display().to_string(), "--data-dir")
            .with_override("catalogue_dir", &catalogue.display().to_string(), "the benchmark");
        if let Some(url) = &self.store_url {
            sources = sources.with_override("store.url", url, "--store");
        }
        if let Some(url) = &self.amqp_url {
            sources = sources.with_override("rabbitmq.url", url.expose_secret(), "--amqp");
        }
        Ok(sources)
    }
}

/// The settings file.
pub(super) fn settings(sinks: &Sinks, stage: &Stage) -> String {
    let ((chat, email), smtp) = (stage.calls.unwrap_or(CALLS), sinks.smtp.port());
    format!(
        "alarms = false\n\
         [channels]\nchat = \"chat\"\nemail = \"email\"\n\
         [send]\nallow_private_addresses = true\n\
         [providers.chat]\nkind = \"slack\"\nurl = \"http://{}/\"\nconcurrency = {chat}\n\
         [providers.email]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {smtp}\n\
         tls = \"none\"\nconcurrency = {email}\n\
         [email]\nfrom_name = \"Cà phê Sao Mai\"\nfrom = \"tin@saomai.example\"\n\
         dkim = \"relay\"\n{}",
        sinks.http, stage.providers
    )
}
