//! Plans big audiences page by page, each page a leased piece of work.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::error;
use uuid::Uuid;

use crate::model::audience::{PAGE_SIZE, Recipients, Resolution};
use crate::model::id::StepName;
use crate::pipeline::{Parts, Pipeline, Rulebook};
use crate::plan::{self, Planned};
use crate::store::waits::Waits;
use crate::store::{NewDelivery, Page, StoreError};

/// How long an idle planner sleeps.
const POLL: Duration = Duration::from_millis(300);

/// Starts one planner of pages.
pub(super) fn start(pipeline: &Pipeline, parts: &Parts) {
    let planner = Planner {
        pipeline: pipeline.clone(),
        rulebook: Arc::clone(&parts.rulebook),
        lease: parts.lease,
        put_off: HashSet::new(),
    };
    parts.tasks.spawn(planner.run(parts.tasks.soft().clone()));
}

struct Planner {
    pipeline: Pipeline,
    rulebook: Arc<ArcSwap<Rulebook>>,
    lease: Duration,
    /// Pages that cannot be planned as things are; said of each once.
    put_off: HashSet<Uuid>,
}

impl Planner {
    async fn run(mut self, soft: CancellationToken) {
        let mut waits = Waits::default();
        while !soft.is_cancelled() {
            match self.plan_next().await {
                Ok(true) => continue,
                Ok(false) => waits.over(),
                Err(error) => waits.say("planning of a big audience waits", &error),
            }
            let is_manual = self.pipeline.clock.is_manual();
            let wait = if is_manual { Duration::from_millis(20) } else { POLL };
            tokio::select! {
                () = soft.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Plans the next page, if there is one.
    ///
    /// A page that cannot be planned stays until its lease is over and is tried again then, so that
    /// nobody is left out and a mended catalogue goes on where the old one stopped.
    async fn plan_next(&mut self) -> Result<bool, StoreError> {
        let Some(page) = self.pipeline.store.claim_page(self.lease).await? else {
            return Ok(false);
        };
        let (id, event) = (page.id, page.event.id);
        match plan_page(&self.pipeline, &self.rulebook.load_full(), page).await? {
            Ok(()) => {
                self.put_off.remove(&id);
            }
            Err(fault) if self.put_off.insert(id) => {
                error!(event.id = %event, "the audience of event {event} is not planned on: {fault}");
            }
            Err(_) => {}
        }
        Ok(true)
    }
}

/// Why a page cannot be planned as things are.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("its type or the step `{0}` is gone from the catalogue; bring it back and reload")]
    Gone(StepName),
    #[error("by the step `{0}` it cannot be planned ({1}); mend the catalogue and reload")]
    Unplannable(StepName, &'static str),
}

async fn plan_page(
    pipeline: &Pipeline,
    rulebook: &Rulebook,
    page: Page,
) -> Result<Result<(), Fault>, StoreError> {
    let (query, after) = (page.query.clone(), page.after.clone());
    let recipients = match pipeline.store.resolve_page(query, after, PAGE_SIZE).await? {
        Resolution::Recipients(recipients) => recipients,
        // The segment or partner is gone since the event came: nobody is left to tell.
        Resolution::UnknownPartner | Resolution::UnknownSegment | Resolution::TooMany => {
            Recipients::default()
        }
    };
    let planned = match planned(&page, &recipients, rulebook, pipeline.clock.now()) {
        Ok(planned) => planned,
        Err(fault) => return Ok(Err(fault)),
    };
    let new_delivery = |planned: Planned| NewDelivery {
        delivery: planned.delivery,
        unless: planned.unless,
        lease: None,
    };
    let deliveries: Vec<_> = planned.into_iter().map(new_delivery).collect();
    let count = deliveries.len() as u64;
    pipeline.store.finish_page(page, deliveries, recipients.next).await?;
    pipeline.metrics.count_planned(count);
    pipeline.desks.wake_all();
    Ok(Ok(()))
}

/// The rows of a page; where nobody is left on the first, one row that says so.
fn planned(
    page: &Page,
    recipients: &Recipients,
    rulebook: &Rulebook,
    now: Timestamp,
) -> Result<Vec<Planned>, Fault> {
    let gone = || Fault::Gone(page.step.clone());
    let event_type = rulebook.event_type(&page.event).ok_or_else(gone)?;
    let step = event_type.steps.iter().find(|step| step.name == page.step).ok_or_else(gone)?;
    let by = (&rulebook.rules, now);
    let rows = plan::plan_page(&page.event, event_type, step, recipients, by);
    let rows = rows.and_then(|rows| {
        if !rows.is_empty() || page.after.is_some() {
            return Ok(rows);
        }
        let detail = "nobody is left of the audience that there was when the event came";
        plan::plan_nobody(&page.event, event_type, step, detail.to_owned(), by).map(|row| vec![row])
    });
    // The reason's word alone: its sentence may quote the data.
    rows.map_err(|rejection| Fault::Unplannable(page.step.clone(), rejection.reason.as_str()))
}
