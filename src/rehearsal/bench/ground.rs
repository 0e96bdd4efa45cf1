//! What a row begins on: an app on an empty store, and an empty virtual host.

use super::settings::Stage;
use super::sink::Sinks;
use super::{Bench, BenchError};
use crate::app::App;
use crate::broker::Playground;
use crate::config::Config;
use crate::lifecycle::Tasks;
use crate::store::Store;

impl Bench {
    /// The app on an empty store, and an empty virtual host if events come by a broker.
    pub(super) async fn open(
        &self,
        sinks: &Sinks,
        stage: &Stage,
    ) -> Result<(App, Option<Playground>), BenchError> {
        let config = self.config(sinks, stage)?;
        refuse_store_in_use(&config).await?;
        let playground = claim_broker(&config).await?;
        // One clock for both, or latencies would be off by what lies between two beginnings.
        let app = App::build(config, sinks.tally.clock(), Tasks::new()).await?;
        Ok((app, playground))
    }
}

/// An empty virtual host, if events come by a broker.
pub(super) async fn claim_broker(config: &Config) -> Result<Option<Playground>, BenchError> {
    match &config.rabbitmq {
        Some(settings) => Ok(Some(Playground::claim(settings).await?)),
        None => Ok(None),
    }
}

/// What was measured counts only if every planned delivery is in exactly one state afterwards.
pub(super) async fn insist_that_it_closes(store: &Store) -> Result<(), BenchError> {
    let (ledger, discrepancies) = (store.ledger().await?, store.audit().await?);
    let text = match (ledger.closes, discrepancies.len()) {
        (true, 0) => return Ok(()),
        (false, _) => "the ledger does not close".to_owned(),
        (true, count) => format!("the ledger does not hold what the rows say, {count} times"),
    };
    Err(BenchError::Broken(text))
}

/// A benchmark begins in a store that holds nothing.
pub(super) async fn refuse_store_in_use(config: &Config) -> Result<(), BenchError> {
    match crate::rehearsal::find_store_in_use(config).await? {
        Some(store) => Err(BenchError::NotEmpty(store)),
        None => Ok(()),
    }
}
