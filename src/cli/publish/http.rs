//! Hands events to a running Loa over its API.

use serde_json::{Value, json};

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
        let mut results = answer["results"].as_array().cloned().unwrap_or_default();
        for (event, result) in events.iter().zip(&mut results) {
            if let (Some(only), true) = (&event.only, result["result"] == "planned") {
                self.look_for(only, result).await?;
            }
        }
        Ok(results)
    }

    /// Adds to the result of a test event how many messages its one address gets (`reached`), and
    /// why others to it are skipped.
    async fn look_for(&self, only: &str, result: &mut Value) -> Result<(), Failure> {
        let event = result["loa_id"].as_str().unwrap_or_default().to_owned();
        let by = ("by", "state,reason".to_owned());
        let query = [("event", event), ("address", only.to_owned()), by];
        let answer = self.client.get("/v1/deliveries/count", &query).await?;
        let (mut reached, mut why) = (0, Vec::new());
        for row in answer["counts"].as_array().into_iter().flatten() {
            match (row["state"].as_str(), row["reason"].as_str()) {
                (Some("skipped"), Some(reason)) => why.push(reason.to_owned()),
                _ => reached += row["count"].as_u64().unwrap_or_default(),
            }
        }
        result["reached"] = json!(reached);
        result["skipped_because"] = json!(why);
        Ok(())
    }
}
