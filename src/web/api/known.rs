//! Tells of an event type or a provider that there is not, where a list would only be empty.

use crate::config::suggestion::expected;
use crate::model::id::{EventTypeName, ProviderName};
use crate::store::{DeliveryFilter, EventFilter};
use crate::web::Surroundings;
use crate::web::problem::Problem;

/// Refuses a filter that found no delivery if there is no such type or provider; what the catalogue
/// or the settings no longer have is known as long as a delivery names it.
pub(super) async fn is_in_deliveries(
    surroundings: &Surroundings,
    filter: &DeliveryFilter,
    place: &str,
) -> Result<(), Problem> {
    let is_named = async |filter: DeliveryFilter| {
        surroundings.store.deliveries(filter, None, 1).await.map(|found| !found.is_empty())
    };
    if let Some(kind) = &filter.event_type {
        let any = DeliveryFilter { event_type: Some(kind.clone()), ..DeliveryFilter::default() };
        if !has_type(surroundings, kind) && !is_named(any).await? {
            return Err(unknown_type(surroundings, place, kind));
        }
    }
    if let Some(name) = &filter.provider {
        let names: Vec<_> =
            surroundings.pipeline.desks().stations().map(|one| one.desk.name().clone()).collect();
        let names: Vec<&str> = names.iter().map(ProviderName::as_str).collect();
        let any = DeliveryFilter { provider: Some(name.clone()), ..DeliveryFilter::default() };
        if !names.contains(&name.as_str()) && !is_named(any).await? {
            return Err(unknown(&format!("{place}provider"), "provider", name, &names));
        }
    }
    Ok(())
}

/// Refuses a filter that found no event if there is no such type.
pub(super) async fn is_in_events(
    surroundings: &Surroundings,
    kind: Option<String>,
) -> Result<(), Problem> {
    let Some(kind) = kind else { return Ok(()) };
    let any = EventFilter { event_type: Some(kind.clone()), ..EventFilter::default() };
    let is_known =
        has_type(surroundings, &kind) || !surroundings.store.events(any, None, 1).await?.is_empty();
    if is_known { Ok(()) } else { Err(unknown_type(surroundings, "?", &kind)) }
}

fn has_type(surroundings: &Surroundings, kind: &str) -> bool {
    let rulebook = surroundings.pipeline.acceptor().rulebook();
    rulebook.catalogue.types.keys().any(|known| known.as_str() == kind)
}

fn unknown_type(surroundings: &Surroundings, place: &str, kind: &str) -> Problem {
    let rulebook = surroundings.pipeline.acceptor().rulebook();
    let types: Vec<&str> = rulebook.catalogue.types.keys().map(EventTypeName::as_str).collect();
    unknown(&format!("{place}type"), "event type", kind, &types)
}

fn unknown(place: &str, what: &str, name: &str, known: &[&str]) -> Problem {
    let help = format!("unknown {what} `{name}`; {}", expected(name, known));
    Problem::bad_request(place, help)
}
