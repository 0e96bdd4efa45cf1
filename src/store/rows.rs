//! Deliveries and events as rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::model::address::{Address, Channel};
use crate::model::catalogue::{Category, Lane};
use crate::model::delivery::{Delivery, Intent, Reason, State};
use crate::model::event::{Event, EventKey};
use crate::model::fold::fold;
use crate::model::id::{ContactId, DeliveryId, EventId, EventTypeName, PartnerId, ProviderName};
use crate::model::window::Window;
use crate::store::StoreError;
use crate::store::engine::{Row, Tx, Value};

/// The columns of a delivery, in the order in which [`read_delivery`] reads them.
pub(super) const DELIVERY: &str = "delivery.id, delivery.event, delivery.event_type, \
    delivery.step, delivery.recipient_key, delivery.contact, delivery.partner, \
    delivery.business_key, delivery.channel, delivery.provider, delivery.address, \
    delivery.locale, delivery.time_zone, delivery.recipient, delivery.template, \
    delivery.category, delivery.lane, delivery.state, delivery.reason, delivery.detail, \
    delivery.due_at, delivery.expires_at, delivery.attempts, delivery.follows, \
    delivery.version, delivery.provider_message_id, delivery.created_at, delivery.updated_at, \
    delivery.unless, delivery.send_window";

/// A delivery's row: the delivery, and what only the store looks at.
#[derive(Clone)]
pub(super) struct DeliveryRow {
    pub(super) delivery: Delivery,
    pub(super) unless: Vec<EventTypeName>,
}

/// Reads a row that was selected by [`DELIVERY`].
pub(super) fn read_delivery(row: &Row) -> Result<DeliveryRow, StoreError> {
    let channel = read_channel(&row.text(8)?)?;
    let address = row.opt_text(10)?.map(|text| read_address(channel, text));
    let delivery = Delivery {
        id: DeliveryId(row.uuid(0)?),
        event: EventId(row.uuid(1)?),
        event_type: row.text(2)?.into(),
        step: row.text(3)?.into(),
        recipient_key: row.text(4)?,
        contact: row.opt_text(5)?.map(Into::into),
        partner: row.opt_text(6)?.map(Into::into),
        business_key: row.opt_text(7)?,
        channel,
        provider: row.opt_text(9)?.map(Into::into),
        address,
        locale: row.text(11)?,
        time_zone: row.text(12)?,
        recipient: read_json(&row.text(13)?)?,
        template: row.text(14)?,
        category: match row.text(15)?.as_str() {
            "marketing" => Category::Marketing,
            _ => Category::Transactional,
        },
        lane: Lane::from_rank(row.int(16)?),
        state: read_state(&row.text(17)?)?,
        reason: read_reason(&row.text(18)?)?,
        detail: row.opt_text(19)?,
        due_at: row.time(20)?,
        expires_at: row.time(21)?,
        window: row.opt_text(29)?.map(|text| read_window(&text)).transpose()?,
        attempts: u32::try_from(row.int(22)?).unwrap_or(0),
        after: row.opt_uuid(23)?.map(DeliveryId),
        version: u32::try_from(row.int(24)?).unwrap_or(u32::MAX),
        provider_message_id: row.opt_text(25)?,
        is_captured: false,
        created_at: row.time(26)?,
        updated_at: row.time(27)?,
    };
    let unless = row.opt_text(28)?.map(|text| read_json(&text)).transpose()?.unwrap_or_default();
    Ok(DeliveryRow { delivery, unless })
}

/// An address as it was written by [`Address::value`]: it is normalised already.
pub(super) fn read_address(channel: Channel, text: String) -> Address {
    match channel {
        Channel::Email => Address::Email { email: text },
        Channel::Sms => Address::Sms { phone: text },
        Channel::Chat => match text.split_once(':') {
            Some((provider, target)) => {
                Address::Chat { provider: provider.into(), target: Some(target.to_owned()) }
            }
            None => Address::Chat { provider: text.into(), target: None },
        },
    }
}

pub(super) fn read_channel(text: &str) -> Result<Channel, StoreError> {
    text.parse().map_err(|_| unknown_word("channel", text))
}

pub(super) fn read_state(text: &str) -> Result<State, StoreError> {
    State::from_word(text).ok_or_else(|| unknown_word("state", text))
}

pub(super) fn read_reason(text: &str) -> Result<Reason, StoreError> {
    Reason::from_word(text).ok_or_else(|| unknown_word("reason", text))
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| no_json(&error))
}

/// What is wrong with a row whose JSON does not read.
pub(super) fn no_json(error: &serde_json::Error) -> StoreError {
    StoreError::Broken(format!("a row holds JSON that does not read: {error}"))
}

pub(super) fn write_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Broken(format!("a value cannot be written as JSON: {error}")))
}

pub(super) fn read_intent(text: &str) -> Result<Intent, StoreError> {
    Intent::from_word(text).ok_or_else(|| unknown_word("intent", text))
}

fn read_window(text: &str) -> Result<Window, StoreError> {
    text.parse().map_err(|_| unknown_word("window", text))
}

fn unknown_word(what: &str, word: &str) -> StoreError {
    StoreError::Broken(format!("a row holds the {what} `{word}`, which this Loa does not know"))
}

/// What a template and a status event may say of a delivery's event.
#[derive(Clone, Debug)]
pub struct EventFacts {
    /// Loa's own id.
    pub id: EventId,
    /// The publisher's key.
    pub key: EventKey,
    /// Its type.
    pub event_type: EventTypeName,
    /// When it happened.
    pub time: jiff::Timestamp,
    /// When it arrived; the same where the publisher does not say when it happened.
    pub received_at: jiff::Timestamp,
    /// What the publisher wants to see on status events.
    pub correlation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The event's data.
    pub data: Arc<Json>,
}

impl EventFacts {
    /// The facts of an event that is being accepted.
    pub fn of(event: &Event) -> Self {
        Self {
            id: event.id,
            key: event.key.clone(),
            event_type: event.event_type.clone(),
            time: event.time,
            received_at: event.received_at,
            correlation_id: event.correlation_id.clone(),
            traceparent: event.traceparent.clone(),
            data: event.data.share(),
        }
    }
}

/// The columns of an event's facts, in the order in which [`read_facts`] reads them.
pub(super) const FACTS: &str = "event.id, event.source, event.external_id, event.event_type, \
    event.time, event.received_at, event.correlation_id, event.traceparent, event.data";

/// Reads a row that was selected by [`FACTS`].
pub(super) fn read_facts(row: &Row) -> Result<EventFacts, StoreError> {
    Ok(EventFacts {
        id: EventId(row.uuid(0)?),
        key: EventKey { source: row.text(1)?, id: row.text(2)? },
        event_type: row.text(3)?.into(),
        time: row.time(4)?,
        received_at: row.time(5)?,
        correlation_id: row.opt_text(6)?,
        traceparent: row.opt_text(7)?,
        data: Arc::new(read_json(&row.text(8)?)?),
    })
}

/// What status events say of an event: its key, and what its publisher correlates by.
pub(super) struct Named {
    pub(super) key: EventKey,
    pub(super) correlation: Option<String>,
}

/// What is said of events, by their ids.
pub(super) type NamedEvents = HashMap<EventId, Named>;

/// What is said of the events of these rows, if anybody is told; their data, which is most of them,
/// stays unread.
pub(super) async fn named_events(
    tx: &mut Tx<'_>,
    rows: &[DeliveryRow],
    tells: bool,
) -> Result<NamedEvents, StoreError> {
    if rows.is_empty() || !tells {
        return Ok(NamedEvents::new());
    }
    let ids: HashSet<uuid::Uuid> = rows.iter().map(|row| row.delivery.event.0).collect();
    let sql = "SELECT id, source, external_id, correlation_id FROM event WHERE id {any_uuid $1}";
    let found = tx.query(sql, &[Value::uuids(ids)]).await?;
    let read = |row: &Row| {
        let key = EventKey { source: row.text(1)?, id: row.text(2)? };
        Ok((EventId(row.uuid(0)?), Named { key, correlation: row.opt_text(3)? }))
    };
    found.iter().map(read).collect()
}

macro_rules! insert_delivery {
    () => {
        "INSERT INTO delivery (id, event, event_type, step, recipient_key, contact, partner, \
         business_key, channel, provider, address, locale, time_zone, recipient, recipient_folded, \
         template, category, lane, state, reason, detail, due_at, expires_at, attempts, follows, \
         version, unless, created_at, updated_at, send_window) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
         $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)"
    };
}

/// The statement that writes one delivery of a new event, its parameters as [`delivery_params`]
/// makes them.
pub(super) const INSERT_DELIVERY: &str = insert_delivery!();

/// The same for one that may be there already.
pub(super) const INSERT_DELIVERY_ONCE: &str =
    concat!(insert_delivery!(), " ON CONFLICT (event, step, recipient_key, channel) DO NOTHING");

/// The parameters of [`INSERT_DELIVERY`].
pub(super) fn delivery_params(
    delivery: &Delivery,
    unless: &[EventTypeName],
) -> Result<Vec<Value>, StoreError> {
    let name = delivery.recipient.name.as_deref().map(fold);
    let unless = if unless.is_empty() { None } else { Some(write_json(&unless)?) };
    let text = |id: &Option<_>| Value::from(id.clone());
    Ok(vec![
        delivery.id.0.into(),
        delivery.event.0.into(),
        delivery.event_type.as_str().into(),
        delivery.step.as_str().into(),
        delivery.recipient_key.as_str().into(),
        delivery.contact.as_ref().map(ContactId::as_str).into(),
        delivery.partner.as_ref().map(PartnerId::as_str).into(),
        text(&delivery.business_key),
        delivery.channel.as_str().into(),
        delivery.provider.as_ref().map(ProviderName::as_str).into(),
        delivery.address.as_ref().map(Address::value).into(),
        delivery.locale.as_str().into(),
        delivery.time_zone.as_str().into(),
        write_json(&delivery.recipient)?.into(),
        name.into(),
        delivery.template.as_str().into(),
        delivery.category.as_str().into(),
        delivery.lane.rank().into(),
        delivery.state.as_str().into(),
        delivery.reason.as_str().into(),
        text(&delivery.detail),
        delivery.due_at.into(),
        delivery.expires_at.into(),
        // A try counts once it has ended.
        0_u32.into(),
        delivery.after.map(|id| id.0).into(),
        delivery.version.into(),
        unless.into(),
        delivery.created_at.into(),
        delivery.updated_at.into(),
        delivery.window.as_ref().map(ToString::to_string).into(),
    ])
}
