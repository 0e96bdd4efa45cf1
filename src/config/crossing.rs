//! Checks between event types: what one of them says of another.

use std::collections::BTreeMap;

use crate::config::settings::CataloguePlaces;
use crate::config::suggestion;
use crate::model::catalogue::{Catalogue, EventType, Step};
use crate::model::id::EventTypeName;

/// Adds a fault for everything that does not fit between types.
pub(super) fn check(catalogue: &Catalogue, places: &CataloguePlaces) {
    for event_type in catalogue.types.values() {
        for step in &event_type.steps {
            check_unless(catalogue, places, event_type, step);
        }
    }
    check_mappings(catalogue, places);
}

/// An `unless` names types that exist, and both sides have a business key to meet by.
fn check_unless(
    catalogue: &Catalogue,
    places: &CataloguePlaces,
    event_type: &EventType,
    step: &Step,
) {
    let Some(section) = places.steps.get(&(event_type.name.clone(), step.name.clone())) else {
        return;
    };
    let names: Vec<_> = catalogue.types.keys().map(EventTypeName::as_str).collect();
    for (word, place) in section.placed_list("unless").unwrap_or_default() {
        let faults = section.faults();
        match catalogue.find(&word) {
            None => {
                let help = match suggestion::nearest(&word, &names) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => "name a type of this catalogue".to_owned(),
                };
                faults.error(place, format!("there is no event type `{word}`"), help);
            }
            Some(other) if other.business_key.is_none() || event_type.business_key.is_none() => {
                let lacking = if other.business_key.is_none() { other } else { event_type };
                let what =
                    format!("`{}` has no `business_key`, so `unless` never fits", lacking.name);
                let help = "add to that type where its order or complaint number stands";
                faults.error(place, what, help);
            }
            Some(_) => {}
        }
    }
}

/// A routing key stands for one type only.
fn check_mappings(catalogue: &Catalogue, places: &CataloguePlaces) {
    let mut taken: BTreeMap<&str, &EventType> = BTreeMap::new();
    for event_type in catalogue.types.values() {
        let Some(mapping) = &event_type.mapping else { continue };
        let Some(first) = taken.insert(&mapping.routing_key, event_type) else { continue };
        if let Some(file) = places.files.get(&event_type.name) {
            let what = format!(
                "the routing key `{}` stands for `{}` too",
                mapping.routing_key, first.name
            );
            file.fault("mapping", what, "give each type a routing key of its own");
        }
    }
}
