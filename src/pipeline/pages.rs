//! Plans big audiences page by page, each page a leased piece of work.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, warn};

use crate::model::audience::{PAGE_SIZE, Recipients, Resolution};
use crate::pipeline::{Parts, Pipeline};
use crate::plan;
use crate::store::{NewDelivery, Page, StoreError};

/// How long an idle planner sleeps.
const POLL: Duration = Duration::from_millis(300);

/// Starts one planner of pages.
pub(super) fn start(pipeline: &Pipeline, parts: &Parts) {
    let (pipeline, tasks, clock) = (pipeline.clone(), parts.tasks.clone(), parts.clock.clone());
    let (rulebook, lease) = (Arc::clone(&parts.rulebook), parts.lease);
    let soft = tasks.soft().clone();
    tasks.spawn(async move {
        let mut said: Option<String> = None;
        while !soft.is_cancelled() {
            let planned = match pipeline.store.claim_page(lease).await {
                Ok(Some(page)) => {
                    let rulebook = rulebook.load_full();
                    plan_page(&pipeline, &rulebook, page).await.map(|()| true)
                }
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            };
            match planned {
                Ok(true) => continue,
                Ok(false) => said = None,
                Err(error) => {
                    let text = error.to_string();
                    if said.as_ref() != Some(&text) {
                        warn!(error = %text, "planning of a big audience waits: {text}");
                        said = Some(text);
                    }
                }
            }
            let wait = if clock.is_manual() { Duration::from_millis(20) } else { POLL };
            tokio::select! {
                () = soft.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    });
}

async fn plan_page(
    pipeline: &Pipeline,
    rulebook: &crate::pipeline::Rulebook,
    page: Page,
) -> Result<(), StoreError> {
    let now = pipeline.clock.now();
    let query = vec![page.query.clone()];
    let answers = pipeline.store.resolve(query, page.after.clone(), PAGE_SIZE).await?;
    let recipients = match answers.into_iter().next() {
        Some(Resolution::Recipients(recipients)) => recipients,
        // The segment or partner is gone since the event came: nobody is left to tell.
        Some(Resolution::UnknownPartner | Resolution::UnknownSegment) | None => {
            Recipients::default()
        }
    };
    let event_type = rulebook.event_type(&page.event);
    let step = event_type.and_then(|t| t.steps.iter().find(|step| step.name == page.step));
    let planned = match event_type.zip(step) {
        Some((event_type, step)) => {
            plan::plan_page(&page.event, event_type, step, &recipients, (&rulebook.rules, now))
        }
        None => Ok(Vec::new()),
    };
    let planned = planned.unwrap_or_else(|rejection| {
        let id = page.event.id;
        // Its message may quote the event's data.
        let reason = rejection.reason.as_str();
        error!(event.id = %id, reason, "a page of event {id} cannot be planned: {reason}");
        Vec::new()
    });
    let new_delivery = |planned: plan::Planned| NewDelivery {
        delivery: planned.delivery,
        unless: planned.unless,
        lease: None,
    };
    let deliveries: Vec<_> = planned.into_iter().map(new_delivery).collect();
    let count = deliveries.len() as u64;
    pipeline.store.finish_page(page, deliveries, recipients.next).await?;
    pipeline.metrics.count_planned(count);
    pipeline.desks.wake_all();
    Ok(())
}
