//! Removes what settings name: for rehearsals, which declare exchanges and queues of their own.

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};

use crate::config::RabbitSettings;

use super::fault::{Fault, bounded};
use super::line::{self, STEP};

/// Deletes every queue and exchange that `settings` name, with all that is in them.
///
/// What is not there is no fault.
///
/// # Errors
/// What the broker says, in a sentence.
pub async fn remove(settings: &RabbitSettings) -> Result<(), String> {
    let connection = line::open(settings, "loa: removal").await.map_err(text)?;
    let channel = line::channel(&connection).await.map_err(text)?;
    for queue in [&settings.queue, &settings.dead_letter_queue] {
        let deleted = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
        bounded("deleting a queue", STEP, deleted).await.map_err(text)?;
    }
    let exchanges = [&settings.exchange, &settings.dead_letter_exchange, &settings.status_exchange];
    for exchange in exchanges {
        let options = ExchangeDeleteOptions::default();
        let deleted = channel.exchange_delete(exchange.as_str().into(), options);
        bounded("deleting an exchange", STEP, deleted).await.map_err(text)?;
    }
    line::close(&connection).await;
    Ok(())
}

fn text(fault: Fault) -> String {
    fault.text
}
