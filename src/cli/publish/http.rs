//! Hands events to a running Loa over its API.

use serde_json::Value;

use crate::cli::Failure;
use crate::cli::client::Client;
use crate::intake::encode::{Outgoing, STRUCTURED, structured};

/// A running Loa.
pub(super) struct Http {
    client: Client,
    dry_run: bool,
}

impl Http {
    pub(super) fn new(client: Client, dry_run: bool) -> Self {
        Self { client, dry_run }
    }

    /// One result each, in their order; what cannot be planned is kept there as rejected.
    pub(super) async fn publish(&self, events: &[Outgoing]) -> Result<Vec<Value>, Failure> {
        let texts: Vec<_> = events.iter().map(structured).collect();
        let body = format!("[{}]", texts.join(","));
        let mut query = vec![("on_reject", "keep".to_owned())];
        if self.dry_run {
            query.push(("dry_run", "true".to_owned()));
        }
        let body = (STRUCTURED, body.into_bytes());
        let answer = self.client.post("/v1/events", &query, body).await?;
        Ok(answer["results"].as_array().cloned().unwrap_or_default())
    }
}
