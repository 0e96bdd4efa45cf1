//! What an event changes in the client base.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::model::address::{Address, Channel};
use crate::model::catalogue::{Effect, EventType};
use crate::model::contact::{Consent, Contact, DirectoryChange, Partner};
use crate::model::event::{Event, RejectReason, Rejection};

use super::{Rules, rejection};

/// What is said about consent beside a contact.
#[derive(Deserialize)]
struct SaidConsent {
    channel: Channel,
    granted: bool,
    #[serde(default)]
    at: Option<Timestamp>,
    #[serde(default)]
    source: Option<String>,
}

/// The change that `event` brings, if its type has an effect.
///
/// # Errors
/// A rejection that names what of the data is no partner or contact.
pub fn change(
    event: &Event,
    event_type: &EventType,
    rules: &Rules,
) -> Result<Option<DirectoryChange>, Box<Rejection>> {
    match event_type.effect {
        None => Ok(None),
        Some(Effect::ChangesPartner) => {
            let partner: Partner = read(event, &event.data)?;
            Ok(Some(DirectoryChange::Partner(partner)))
        }
        Some(Effect::ChangesContact) => contact(event, rules).map(Some),
    }
}

fn contact(event: &Event, rules: &Rules) -> Result<DirectoryChange, Box<Rejection>> {
    let mut contact: Contact = read(event, &event.data)?;
    for (index, address) in contact.addresses.iter_mut().enumerate() {
        let text = address.value();
        *address = Address::parse(address.channel(), &text, &rules.region).map_err(|error| {
            let place = Some(format!("/data/addresses/{index}"));
            rejection(event, RejectReason::Unplannable, place, error.to_string())
        })?;
    }
    let said = match event.data.get("consents") {
        None | Some(Value::Null) => Vec::new(),
        Some(said) => read::<Vec<SaidConsent>>(event, said)?,
    };
    let mut consents = Vec::new();
    for said in said {
        // Consent hangs on an address: on the one that the channel uses.
        if let Some(address) = contact.address(said.channel) {
            consents.push(Consent {
                address: address.clone(),
                granted: said.granted,
                at: said.at.unwrap_or(contact.changed_at),
                source: said.source.unwrap_or_else(|| event.key.source.clone()),
            });
        }
    }
    Ok(DirectoryChange::Contact { contact, consents })
}

fn read<T: serde::de::DeserializeOwned>(event: &Event, data: &Value) -> Result<T, Box<Rejection>> {
    T::deserialize(data).map_err(|error| {
        let place = Some("/data".to_owned());
        rejection(event, RejectReason::Unplannable, place, error.to_string())
    })
}
