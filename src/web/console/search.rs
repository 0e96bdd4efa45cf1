//! One box that searches it all: leads to the thing itself, or to the list that holds it.

use axum::extract::{Query, State};
use axum::response::Redirect;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::model::id::{DeliveryId, EventId, RejectedId};
use crate::store::{DeliveryFilter, EventFilter};
use crate::web::Surroundings;
use crate::web::api::deliveries::normal_address;
use crate::web::problem::Problem;

/// What the box asks for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
}

/// Leads to the first reading of the text that finds something.
pub(super) async fn find(
    State(surroundings): State<Surroundings>,
    Query(search): Query<Search>,
) -> Result<Redirect, Problem> {
    let text = search.q.trim();
    if text.is_empty() {
        return Ok(Redirect::to("/deliveries"));
    }
    let place = match find_by_loa_id(&surroundings, text).await? {
        Some(place) => place,
        None => find_by_word(&surroundings, text).await?,
    };
    Ok(Redirect::to(&place))
}

/// The page of what has this id of Loa's own.
async fn find_by_loa_id(
    surroundings: &Surroundings,
    text: &str,
) -> Result<Option<String>, Problem> {
    let store = &surroundings.store;
    let Ok(id) = text.parse::<uuid::Uuid>() else { return Ok(None) };
    if store.find_delivery(DeliveryId(id)).await?.is_some() {
        return Ok(Some(format!("/deliveries/{id}")));
    }
    let filter = EventFilter { loa_id: Some(EventId(id)), ..EventFilter::default() };
    if !store.events(filter, None, 1).await?.is_empty() {
        return Ok(Some(format!("/events/{id}")));
    }
    let rejected = store.find_rejected(RejectedId(id)).await?;
    Ok(rejected.map(|_| format!("/rejected/{id}")))
}

/// The list in which the text is a business key, an event's id, a person, a partner or an address.
async fn find_by_word(surroundings: &Surroundings, text: &str) -> Result<String, Problem> {
    let store = &surroundings.store;
    let named = || Some(text.to_owned());
    for (key, filter) in [
        ("business_key", EventFilter { business_key: named(), ..EventFilter::default() }),
        ("id", EventFilter { id: named(), ..EventFilter::default() }),
    ] {
        let found = store.events(filter, None, 2).await?;
        if let ("id", [event]) = (key, found.as_slice()) {
            return Ok(format!("/events/{}", event.loa_id));
        }
        if !found.is_empty() {
            return Ok(list("/events", key, text));
        }
    }
    let address = normal_address(text, &surroundings.config.defaults.region);
    for (key, filter) in [
        ("contact", DeliveryFilter { contact: named(), ..DeliveryFilter::default() }),
        ("partner", DeliveryFilter { partner: named(), ..DeliveryFilter::default() }),
        ("address", DeliveryFilter { address: Some(address), ..DeliveryFilter::default() }),
    ] {
        if !store.deliveries(filter, None, 1).await?.is_empty() {
            return Ok(list("/deliveries", key, text));
        }
    }
    Ok(list("/deliveries", "name", text))
}

fn list(room: &str, key: &str, text: &str) -> String {
    let query = Serializer::new(String::new()).append_pair(key, text).finish();
    format!("{room}?{query}")
}
