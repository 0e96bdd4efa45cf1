//! A believable company for the demo: partners, contacts, managers, consents.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::address::Address;
use crate::model::contact::{Consent, Contact, DirectoryChange, Partner, Suppression};
use crate::model::segment::SegmentFilter;
use crate::store::{Store, StoreError};

/// The company as a file.
const COMPANY: &str = include_str!("company.json");

/// Puts the company into an empty store.
///
/// # Errors
/// When the store does not answer.
pub(super) async fn settle_in(store: &Store, now: Timestamp) -> Result<usize, StoreError> {
    let unreadable = |error: serde_json::Error| {
        StoreError::Broken(format!("the demo's company does not read: {error}"))
    };
    let company: Value = serde_json::from_str(COMPANY).map_err(unreadable)?;
    let list = |key: &str| company[key].as_array().cloned().unwrap_or_default();
    let mut changes = Vec::new();
    for mut partner in list("partners") {
        partner["changed_at"] = json!(now);
        let partner: Partner = serde_json::from_value(partner).map_err(unreadable)?;
        changes.push(DirectoryChange::Partner(partner));
    }
    for mut entry in list("contacts") {
        entry["changed_at"] = json!(now);
        let said = entry["consents"].take();
        let contact: Contact = serde_json::from_value(entry).map_err(unreadable)?;
        let consents = consents(&contact, &said, now);
        changes.push(DirectoryChange::Contact { contact, consents });
    }
    let count = changes.len();
    store.change_directory(changes).await?;
    for (name, filter) in company["segments"].as_object().into_iter().flatten() {
        let filter: SegmentFilter = serde_json::from_value(filter.clone()).map_err(unreadable)?;
        store.put_segment(name.as_str().into(), filter).await?;
    }
    for entry in list("suppressed") {
        let reason = entry["reason"].as_str().unwrap_or("operator").to_owned();
        let address: Address = serde_json::from_value(entry).map_err(unreadable)?;
        store.suppress(Suppression { address, reason, at: now }).await?;
    }
    Ok(count)
}

/// Consents are said by channel: each is about the contact's own address there.
fn consents(contact: &Contact, said: &Value, at: Timestamp) -> Vec<Consent> {
    let said = said.as_array().into_iter().flatten();
    said.filter_map(|said| {
        let channel = said["channel"].as_str()?.parse().ok()?;
        let address = contact.address(channel)?.clone();
        let granted = said["granted"].as_bool()?;
        Some(Consent { address, granted, at, source: "contract".to_owned() })
    })
    .collect()
}
