//! Big audiences: leased page by page, until the last page ends the planning.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::model::audience::AudienceQuery;
use crate::model::data::Data;
use crate::model::delivery::{Delivery, Reason, State};
use crate::model::event::{Digest, Event, EventKey};
use crate::model::id::{ContactId, EventId, LeaseToken, StepName};
use crate::store::changes::{Changes, EventDetails, EventFate, Told};
use crate::store::engine::{Tx, Write};
use crate::store::inbox::micros;
use crate::store::overtake::{about, find_markers, is_overtaken};
use crate::store::rejected::read_transport;
use crate::store::rows::{INSERT_DELIVERY_ONCE, delivery_params, no_json, read_json};
use crate::store::waiting::{INSERT_WAITING, waiting_params};
use crate::store::{NewDelivery, Store, StoreError};

/// A page that this process plans.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its id.
    pub id: Uuid,
    /// The event.
    pub event: Event,
    /// The step.
    pub step: StepName,
    /// Whom to ask the directory for.
    pub query: AudienceQuery,
    /// After which contact the page begins.
    pub after: Option<ContactId>,
    /// Proves the claim.
    pub token: LeaseToken,
}

impl Store {
    /// Claims the next page to plan.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn claim_page(&self, lease: Duration) -> Result<Option<Page>, StoreError> {
        let store = self.clone();
        self.write(move |tx| {
            let store = store.clone();
            Box::pin(async move { claim_page(tx, &store, lease).await })
        })
        .await
    }

    /// Writes a page's deliveries and moves on to the next, or ends the audience.
    ///
    /// # Errors
    /// When the store does not answer; the page is then planned again, and nothing twice.
    pub async fn finish_page(
        &self,
        page: Page,
        deliveries: Vec<NewDelivery>,
        next: Option<ContactId>,
    ) -> Result<(), StoreError> {
        let (store, work) = (self.clone(), Arc::new((page, deliveries, next)));
        self.write(move |tx| {
            let (store, work) = (store.clone(), Arc::clone(&work));
            Box::pin(async move { finish_page(tx, &store, &work).await })
        })
        .await
    }
}

async fn claim_page(
    tx: &mut Tx<'_>,
    store: &Store,
    lease: Duration,
) -> Result<Option<Page>, StoreError> {
    let lease_now = store.lease_clock(tx);
    let sql = "WITH next AS (SELECT id FROM page \
               WHERE lease_token IS NULL OR {lease_over $1 $2} \
               ORDER BY id LIMIT 1 {skip_locked}) \
               UPDATE page SET lease_token = $3, lease_until = $4, lease_run = $1 \
               FROM next WHERE page.id = next.id \
               RETURNING page.id, page.event, page.step, page.query, page.after_contact";
    let token = LeaseToken::new(tx.now());
    let params =
        [store.run.0.into(), lease_now.into(), token.0.into(), (lease_now + micros(lease)).into()];
    let Some(row) = tx.query_one(sql, &params).await? else { return Ok(None) };
    let event = read_event(tx, EventId(row.uuid(1)?)).await?;
    Ok(Some(Page {
        id: row.uuid(0)?,
        event,
        step: row.text(2)?.into(),
        query: read_json(&row.text(3)?)?,
        after: row.opt_text(4)?.map(Into::into),
        token,
    }))
}

/// An accepted event as it was.
pub(super) async fn read_event(tx: &mut Tx<'_>, id: EventId) -> Result<Event, StoreError> {
    let sql = "SELECT source, external_id, event_type, time, received_at, not_before, \
               business_key, partner, correlation_id, traceparent, only_address, data, transport \
               FROM event WHERE id = $1";
    let Some(row) = tx.query_one(sql, &[id.0.into()]).await? else {
        return Err(StoreError::Broken(format!("event {id} is gone while it is being planned")));
    };
    Ok(Event {
        id,
        key: EventKey { source: row.text(0)?, id: row.text(1)? },
        key_is_derived: false,
        event_type: row.text(2)?.into(),
        time: row.time(3)?,
        received_at: row.time(4)?,
        not_before: row.opt_time(5)?,
        business_key: row.opt_text(6)?,
        partner: row.opt_text(7)?.map(Into::into),
        correlation_id: row.opt_text(8)?,
        traceparent: row.opt_text(9)?,
        only: row.opt_text(10)?,
        data: Data::read(row.text(11)?).map_err(|error| no_json(&error))?,
        // Only an arriving event is compared with what came before.
        digest: Digest([0; 32]),
        transport: read_transport(&row.text(12)?)?,
    })
}

async fn finish_page(
    tx: &mut Tx<'_>,
    store: &Store,
    (page, deliveries, next): &(Page, Vec<NewDelivery>, Option<ContactId>),
) -> Result<(), StoreError> {
    let mine = "SELECT 1 FROM page WHERE id = $1 AND lease_token = $2 {for_update}";
    if tx.query_one(mine, &[page.id.into(), page.token.0.into()]).await?.is_none() {
        // Somebody else took the page over; what it plans is the same.
        return Ok(());
    }
    let mut changes = Changes::new(store, tx.now());
    let keys: Vec<&String> = page.event.business_key.iter().collect();
    let markers = find_markers(tx, &keys).await?;
    let (mut planned, mut rows) = (Vec::new(), Vec::new());
    for new in deliveries {
        let mut delivery = new.delivery.clone();
        if delivery.state == State::Waiting
            && is_overtaken(about(&page.event), &new.unless, &markers)
        {
            (delivery.state, delivery.reason) = (State::Cancelled, Reason::Overtaken);
        }
        rows.push(delivery_params(&delivery, &new.unless)?);
        planned.push(delivery);
    }
    let insert = Write::insert(INSERT_DELIVERY_ONCE, rows);
    let (written, _) = tx.insert_new(&insert, ("id", 1), &[]).await?;
    let written: HashSet<Uuid> = written.iter().map(|row| row.uuid(0)).collect::<Result<_, _>>()?;
    // A recipient that an earlier page or audience of the step had already is not planned twice.
    let fresh: Vec<&Delivery> =
        planned.iter().filter(|delivery| written.contains(&delivery.id.0)).collect();
    for delivery in &fresh {
        note(&page.event, delivery, &mut changes);
    }
    let waiting = fresh.iter().filter(|delivery| delivery.state == State::Waiting);
    let waiting = waiting.map(|one| waiting_params(one, one.due_at, one.expires_at)).collect();
    let counted = "UPDATE event SET deliveries = deliveries + $2 WHERE id = $1";
    let counts = vec![page.event.id.0.into(), fresh.len().into()];
    let mut writes =
        vec![Write::insert(INSERT_WAITING, waiting), Write::update(counted, vec![counts])];
    let Some(next) = next else {
        tx.write_all(&writes).await?;
        end_audience(tx, page, &mut changes).await?;
        return tx.write_last(&changes.into_writes()).await;
    };
    let update = "UPDATE page SET after_contact = $2, lease_token = NULL, \
                  lease_until = NULL, lease_run = NULL WHERE id = $1";
    writes.push(Write::update(update, vec![vec![page.id.into(), next.as_str().into()]]));
    writes.extend(changes.into_writes());
    tx.write_last(&writes).await
}

/// Counts a delivery that was just planned, and tells of it where that was its end.
fn note(event: &Event, delivery: &Delivery, changes: &mut Changes) {
    changes.planned(delivery);
    if delivery.state.is_final() {
        changes.tell(&Told::of(delivery), Some(&event.key), event.correlation_id.as_deref());
    }
}

/// Ends an audience; the last one of an event ends its planning.
async fn end_audience(
    tx: &mut Tx<'_>,
    page: &Page,
    changes: &mut Changes,
) -> Result<(), StoreError> {
    // Locks the event, so that of two last pages at once only one is the last.
    let lock = "SELECT deliveries FROM event WHERE id = $1 {for_update}";
    let row = tx.query_one(lock, &[page.event.id.0.into()]).await?;
    let deliveries = row.map_or(Ok(0), |row| row.count(0))?;
    tx.execute("DELETE FROM page WHERE id = $1", &[page.id.into()]).await?;
    let left = "SELECT 1 FROM page WHERE event = $1 LIMIT 1";
    if tx.query_one(left, &[page.event.id.0.into()]).await?.is_none() {
        let done = "UPDATE event SET state = 'planned' WHERE id = $1";
        tx.execute(done, &[page.event.id.0.into()]).await?;
        let event = &page.event;
        let event_type = event.event_type.as_str();
        changes.count(event_type, EventFate::Planning.counter(), -1);
        changes.count(event_type, EventFate::Planned.counter(), 1);
        let about = (Some(&event.key), event.correlation_id.as_deref());
        let details = EventDetails::Planned {
            loa_id: event.id,
            deliveries,
            planning: false,
            business_key: event.business_key.as_deref(),
        };
        changes.tell_event(EventFate::Planned, event_type, about, &details);
    }
    Ok(())
}
