//! What an event changes in the client base.

use serde_json::Value;

use crate::model::address::Address;
use crate::model::bounds::Flaw;
use crate::model::catalogue::{Effect, EventType};
use crate::model::contact::{Consent, Contact, DirectoryChange, Partner};
use crate::model::event::{Event, RejectReason, Rejection};

use super::{Rules, rejection};

/// The change that `event` brings, if its type has an effect.
///
/// # Errors
/// A rejection that names what of the data is no partner or contact.
pub fn change(
    event: &Event,
    event_type: &EventType,
    rules: &Rules,
) -> Result<Option<DirectoryChange>, Box<Rejection>> {
    let change = match event_type.effect {
        None => return Ok(None),
        Some(Effect::ChangesPartner) => {
            let partner: Partner = read(event, &event.data)?;
            DirectoryChange::Partner(partner)
        }
        Some(Effect::ChangesContact) => contact(event, rules)?,
    };
    match change.find_flaw() {
        Some(Flaw { pointer, message }) => {
            let place = Some(format!("/data{pointer}"));
            Err(rejection(event, RejectReason::Unplannable, place, message))
        }
        None => Ok(Some(change)),
    }
}

fn contact(event: &Event, rules: &Rules) -> Result<DirectoryChange, Box<Rejection>> {
    let mut contact: Contact = read(event, &event.data)?;
    for (index, address) in contact.addresses.iter_mut().enumerate() {
        normalise(address, &format!("addresses/{index}"), event, rules)?;
    }
    let mut consents: Vec<Consent> = match event.data.get("consents") {
        None | Some(Value::Null) => Vec::new(),
        Some(said) => read(event, said)?,
    };
    for (index, consent) in consents.iter_mut().enumerate() {
        normalise(&mut consent.address, &format!("consents/{index}/address"), event, rules)?;
    }
    Ok(DirectoryChange::Contact { contact, consents })
}

/// Brings an address into the one spelling that Loa compares by.
fn normalise(
    address: &mut Address,
    place: &str,
    event: &Event,
    rules: &Rules,
) -> Result<(), Box<Rejection>> {
    *address = address.normalised(&rules.region).map_err(|error| {
        let place = Some(format!("/data/{place}"));
        rejection(event, RejectReason::Unplannable, place, error.to_string())
    })?;
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(event: &Event, data: &Value) -> Result<T, Box<Rejection>> {
    T::deserialize(data).map_err(|error| {
        let place = Some("/data".to_owned());
        rejection(event, RejectReason::Unplannable, place, error.to_string())
    })
}
