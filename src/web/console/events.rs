//! Events: found, and one event with all that became of it.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::moment::Moment;
use super::page;
use super::rejected::RejectedRow;
use super::rows::Row;
use super::view::{Badge, View};
use crate::model::delivery::State as DeliveryState;
use crate::store::{DeliveryFilter, Dimension, EventFilter, EventRow, RejectedFilter};
use crate::web::Surroundings;
use crate::web::api::{PageQuery, next};
use crate::web::problem::Problem;

/// How many rows a page has.
const ROWS: u32 = 50;
/// How many deliveries an event's page shows; a link leads to the rest.
const DELIVERIES: u32 = 200;

/// Which events are wanted, as texts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventQuery {
    id: String,
    business_key: String,
    #[serde(rename = "type")]
    kind: String,
    partner: String,
    state: String,
    since: String,
    until: String,
}

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    view: View,
    query: EventQuery,
    kinds: Vec<String>,
    rows: Vec<EventLine>,
    is_first: bool,
    is_set: bool,
    newest: String,
    older: Option<String>,
}

/// An event as a row of a list.
struct EventLine {
    link: String,
    at: Moment,
    kind: String,
    key: String,
    partner: String,
    source: String,
    id: String,
    badge: Badge,
    deliveries: String,
    repeats: Option<String>,
}

impl EventLine {
    fn of(event: &EventRow, view: &View) -> Self {
        let (tone, text) = match event.state.as_str() {
            "planning" => ("waiting", view.t("events.planning")),
            _ => ("sent", view.t("events.planned")),
        };
        Self {
            link: format!("/events/{}", event.loa_id),
            at: view.moment(event.received_at),
            kind: event.event_type.clone(),
            key: event.business_key.clone().unwrap_or_default(),
            partner: event.partner.clone().unwrap_or_default(),
            source: event.source.clone(),
            id: event.id.clone(),
            badge: Badge { tone, text },
            deliveries: view.count(event.deliveries),
            repeats: (event.repeats > 0).then(|| view.count(event.repeats)),
        }
    }
}

impl EventQuery {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("id", self.id.as_str()),
            ("business_key", &self.business_key),
            ("type", &self.kind),
            ("partner", &self.partner),
            ("state", &self.state),
            ("since", &self.since),
            ("until", &self.until),
        ];
        all.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect()
    }

    fn filter(&self, view: &View) -> Result<EventFilter, Problem> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let time = |place: &str, text: &str| {
            let help = "expected a time such as 2026-12-24T09:00";
            let read = |text: String| {
                view.read_time(&text).ok_or_else(|| Problem::bad_request(place, help))
            };
            some(text).map(read).transpose()
        };
        let id = some(&self.id);
        let loa_id = id.as_deref().and_then(|id| id.parse().ok());
        Ok(EventFilter {
            loa_id,
            id: id.filter(|_| loa_id.is_none()),
            business_key: some(&self.business_key),
            event_type: some(&self.kind),
            partner: some(&self.partner),
            state: some(&self.state).filter(|state| state != "repeated"),
            repeated: self.state == "repeated",
            since: time("?since", &self.since)?,
            until: time("?until", &self.until)?,
        })
    }

    fn link(&self, after: Option<&str>) -> String {
        let mut text = Serializer::new(String::new());
        text.extend_pairs(self.pairs());
        text.extend_pairs(after.map(|after| ("after", after)));
        match text.finish() {
            query if query.is_empty() => "/events".to_owned(),
            query => format!("/events?{query}"),
        }
    }
}

/// Events, the newest first.
pub(super) async fn list(
    State(surroundings): State<Surroundings>,
    view: View,
    Query(query): Query<EventQuery>,
    Query(position): Query<PageQuery>,
) -> Result<Response, Problem> {
    let cursor = position.cursor()?;
    let found = surroundings.store.events(query.filter(&view)?, cursor, ROWS).await?;
    let is_full = found.len() == ROWS as usize;
    let next = found.last().and_then(|last| next(is_full, last.received_at, last.loa_id.0));
    let kinds = surroundings.config.catalogue.types.keys();
    Ok(page(&EventsPage {
        kinds: kinds.map(ToString::to_string).collect(),
        rows: found.iter().map(|event| EventLine::of(event, &view)).collect(),
        is_first: cursor.is_none(),
        is_set: !query.pairs().is_empty(),
        newest: query.link(None),
        older: next.map(|next| query.link(Some(&next))),
        query,
        view,
    }))
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    view: View,
    event: EventLine,
    about: String,
    loa_id: String,
    time: Moment,
    counts: Vec<Outcome>,
    rows: Vec<Row>,
    /// A link to all deliveries, if there are more than the page shows.
    more: Option<String>,
    rejected: Vec<RejectedRow>,
    data: String,
}

/// How many deliveries came to the same end for the same reason.
struct Outcome {
    badge: Badge,
    reason: &'static str,
    count: String,
    link: String,
}

/// One event, by Loa's id or the publisher's, with all that became of it.
pub(super) async fn show(
    State(surroundings): State<Surroundings>,
    view: View,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let store = &surroundings.store;
    let event = find(&surroundings, id).await?;
    let id = event.loa_id;
    let wanted = DeliveryFilter { event: Some(id), ..DeliveryFilter::default() };
    let by = vec![Dimension::State, Dimension::Reason];
    let counts = store.count_deliveries_by(wanted.clone(), by).await?;
    let mut deliveries = store.deliveries(wanted, None, DELIVERIES).await?;
    // In the order of the plan, so that the story reads from the top.
    deliveries.sort_by_key(|delivery| (delivery.created_at, delivery.id.0));
    let same = RejectedFilter { id: Some(event.id.clone()), ..RejectedFilter::default() };
    let mut rejected = store.find_rejected_events(same, None, ROWS).await?;
    rejected.retain(|rejected| {
        rejected.rejection.key.as_ref().is_some_and(|key| key.source == event.source)
    });
    let types = &surroundings.config.catalogue.types;
    let about = types.get(&event.event_type.as_str().into());
    let more = event.deliveries > u64::from(DELIVERIES);
    Ok(page(&EventPage {
        about: about.map(|found| found.description.clone()).unwrap_or_default(),
        loa_id: id.to_string(),
        time: view.moment(event.time),
        counts: counts.into_iter().filter_map(|row| outcome(&view, &event, row)).collect(),
        rows: deliveries.iter().map(|delivery| Row::of(delivery, &view)).collect(),
        more: more.then(|| format!("/deliveries?event={id}")),
        rejected: rejected.iter().map(|event| RejectedRow::of(event, &view)).collect(),
        data: event.data.as_ref().map(|data| format!("{data:#}")).unwrap_or_default(),
        event: EventLine::of(&event, &view),
        view,
    }))
}

fn outcome(view: &View, event: &EventRow, (words, count): (Vec<String>, u64)) -> Option<Outcome> {
    let [state, reason] = words.as_slice() else { return None };
    Some(Outcome {
        badge: view.badge(DeliveryState::from_word(state)?),
        reason: view.word("reason", reason),
        count: view.count(count),
        link: format!("/deliveries?event={}&state={state}&reason={reason}", event.loa_id),
    })
}

/// The event with its data, by Loa's id or the publisher's.
async fn find(surroundings: &Surroundings, id: String) -> Result<EventRow, Problem> {
    let loa_id = id.parse().ok();
    let filter = EventFilter { loa_id, id: Some(id), ..EventFilter::default() };
    let filter = match loa_id {
        Some(_) => EventFilter { id: None, ..filter },
        None => filter,
    };
    let first = async |filter: EventFilter| -> Result<EventRow, Problem> {
        let found = surroundings.store.events(filter, None, 1).await?;
        found.into_iter().next().ok_or_else(|| Problem::not_found("event"))
    };
    let found = first(filter).await?;
    // Only who asks for one event by Loa's id gets its data.
    match found.data {
        Some(_) => Ok(found),
        None => first(EventFilter { loa_id: Some(found.loa_id), ..EventFilter::default() }).await,
    }
}
