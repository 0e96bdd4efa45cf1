//! Deliveries: found, counted, told of, repaired.

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::query::{said, time, word};
use super::{PageQuery, known, next};
use crate::config::suggestion::unknown;
use crate::model::address::{Address, Channel};
use crate::model::delivery::{Delivery, Reason, State as DeliveryState};
use crate::model::id::DeliveryId;
use crate::store::{DeliveryFilter, DeliveryStory, Dimension, Repair, Repaired};
use crate::web::Surroundings;
use crate::web::auth::bearer::Author;
use crate::web::problem::Problem;

/// The most deliveries that one repair by filter touches.
pub(in crate::web) const MAX_REPAIRS: u32 = 10_000;

/// Which deliveries are wanted, as texts.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct FilterQuery {
    /// An event, by Loa's id or the publisher's.
    pub(in crate::web) event: Option<String>,
    /// An order or complaint number.
    pub(in crate::web) business_key: Option<String>,
    /// A partner's id.
    pub(in crate::web) partner: Option<String>,
    /// A contact's id.
    pub(in crate::web) contact: Option<String>,
    /// A part of a recipient's or a partner's name; accents do not matter.
    pub(in crate::web) name: Option<String>,
    /// A whole address; a phone number as people write it, such as `0901 234 567`.
    pub(in crate::web) address: Option<String>,
    /// An event type.
    #[serde(rename = "type")]
    pub(in crate::web) kind: Option<String>,
    /// A step of the type's plan.
    pub(in crate::web) step: Option<String>,
    /// `email`, `chat` or `sms`.
    pub(in crate::web) channel: Option<String>,
    /// A provider.
    pub(in crate::web) provider: Option<String>,
    /// States, with commas between.
    pub(in crate::web) state: Option<String>,
    /// Why it is in its state.
    pub(in crate::web) reason: Option<String>,
    /// A provider's code, or one word of it: `550` and `5.1.1` find `550 5.1.1`.
    pub(in crate::web) code: Option<String>,
    /// Planned at this time or later, such as `2026-12-24T09:00:00Z`.
    pub(in crate::web) since: Option<String>,
    /// Planned before this time.
    pub(in crate::web) until: Option<String>,
}

impl FilterQuery {
    /// The filter; texts that are empty filter nothing. National phone numbers are those of
    /// `region`.
    pub(in crate::web) fn read(self, region: &str) -> Result<DeliveryFilter, Problem> {
        let mut states = Vec::new();
        for text in said(self.state).iter().flat_map(|text| text.split(',')) {
            states.push(word("state", text.trim(), &DeliveryState::ALL, DeliveryState::as_str)?);
        }
        let reason =
            said(self.reason).map(|text| word("reason", &text, &Reason::ALL, Reason::as_str));
        let channel =
            said(self.channel).map(|text| word("channel", &text, &Channel::ALL, Channel::as_str));
        let event = said(self.event);
        let loa_id = event.as_deref().and_then(|text| text.parse().ok());
        Ok(DeliveryFilter {
            event: loa_id,
            event_id: event.filter(|_| loa_id.is_none()),
            business_key: said(self.business_key),
            partner: said(self.partner),
            contact: said(self.contact),
            name: said(self.name),
            address: said(self.address).map(|text| normal_address(&text, region)),
            event_type: said(self.kind),
            step: said(self.step),
            channel: channel.transpose()?,
            provider: said(self.provider),
            states,
            reason: reason.transpose()?,
            code: said(self.code),
            since: time("since", self.since)?,
            until: time("until", self.until)?,
        })
    }
}

/// An address in the spelling that it is kept in, as far as the text is one.
pub(in crate::web) fn normal_address(text: &str, region: &str) -> String {
    let text = text.trim();
    let address = match text.contains('@') {
        true => Address::email(text),
        false => Address::phone(text, region),
    };
    address.map_or_else(|_| text.to_owned(), |address| address.value())
}

/// Deliveries, the newest first.
pub(in crate::web) async fn list(
    State(surroundings): State<Surroundings>,
    Query(filter): Query<FilterQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = page.limit();
    let filter = filter.read(&surroundings.config.defaults.region)?;
    let found = surroundings.store.deliveries(filter.clone(), page.cursor()?, limit).await?;
    if found.is_empty() {
        known::is_in_deliveries(&surroundings, &filter, "?").await?;
    }
    let is_full = found.len() == limit as usize;
    let next = found.last().and_then(|last| next(is_full, last.created_at, last.id.0));
    let deliveries: Vec<Value> = found.iter().map(delivery_json).collect();
    Ok(Json(json!({ "deliveries": deliveries, "next": next })))
}

/// By what to count.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct CountQuery {
    /// What to count apart, with commas between: `state,reason,provider,channel,type,code`.
    by: Option<String>,
}

/// How many deliveries fit, by reason, provider and so on.
pub(in crate::web) async fn count(
    State(surroundings): State<Surroundings>,
    Query(filter): Query<FilterQuery>,
    Query(count): Query<CountQuery>,
) -> Result<Json<Value>, Problem> {
    let filter = filter.read(&surroundings.config.defaults.region)?;
    let Some(by) = count.by else {
        let count = surroundings.store.count_deliveries(filter.clone()).await?;
        if count == 0 {
            known::is_in_deliveries(&surroundings, &filter, "?").await?;
        }
        return Ok(Json(json!({ "count": count })));
    };
    let read = |word: &str| {
        let words: Vec<_> = Dimension::ALL.iter().map(|one| one.as_str()).collect();
        let help = format!("expected some of {}", words.join(", "));
        Dimension::from_word(word.trim()).ok_or_else(|| Problem::bad_request("?by", help))
    };
    let by = by.split(',').map(read).collect::<Result<Vec<_>, _>>()?;
    let counts = surroundings.store.count_deliveries_by(filter.clone(), by.clone()).await?;
    if counts.is_empty() {
        known::is_in_deliveries(&surroundings, &filter, "?").await?;
    }
    let row = |(words, count): (Vec<String>, u64)| {
        let mut row = json!({ "count": count });
        for (by, word) in by.iter().zip(words) {
            row[by.as_str()] = json!(word);
        }
        row
    };
    Ok(Json(json!({ "counts": counts.into_iter().map(row).collect::<Vec<_>>() })))
}

/// Everything that is known of one delivery.
pub(in crate::web) async fn show(
    State(surroundings): State<Surroundings>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let story = find(&surroundings, &id).await?;
    let attempts: Vec<Value> = story
        .attempts
        .iter()
        .map(|attempt| {
            json!({
                "number": attempt.number, "provider": attempt.provider,
                "started_at": attempt.started_at, "finished_at": attempt.finished_at,
                "class": attempt.class, "code": attempt.answer.code,
                "answer": attempt.answer.text, "template_version": attempt.template_version,
            })
        })
        .collect();
    let captured: Vec<Value> = story
        .captured
        .iter()
        .map(|(attempt, message)| json!({ "attempt": attempt, "message": message }))
        .collect();
    Ok(Json(json!({
        "delivery": delivery_json(&story.delivery),
        "event": { "loa_id": story.event.id, "source": story.event.key.source,
                   "id": story.event.key.id, "time": story.event.time },
        "attempts": attempts,
        "deeds": story.deeds,
        "captured": captured,
    })))
}

/// The story of the delivery whose id is `text`.
pub(in crate::web) async fn find(
    surroundings: &Surroundings,
    text: &str,
) -> Result<DeliveryStory, Problem> {
    let id: DeliveryId = text.parse().map_err(|_| Problem::not_found("delivery"))?;
    let story = surroundings.store.find_delivery(id).await?;
    story.ok_or_else(|| Problem::not_found("delivery"))
}

/// What to do, and to which deliveries.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct RepairBody {
    /// `retry`, `cancel`, `hold` or `release`.
    action: String,
    /// Which deliveries.
    #[serde(default)]
    ids: Vec<String>,
    /// Which more deliveries, of those in a state that the action is for; at least one field is
    /// needed.
    #[serde(default, deserialize_with = "known_fields")]
    filter: Option<FilterQuery>,
    /// Until when an expired delivery may be sent after all.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    new_expiry: Option<Timestamp>,
    /// Only says how many there are.
    #[serde(default)]
    dry_run: bool,
}

/// Reads a filter strictly: a field that is misspelled, or none, would take every delivery.
fn known_fields<'de, D: Deserializer<'de>>(json: D) -> Result<Option<FilterQuery>, D::Error> {
    let Some(fields) = Option::<Map<String, Value>>::deserialize(json)? else { return Ok(None) };
    let params = FilterQuery::into_params(|| None);
    let known: Vec<_> = params.iter().map(|param| param.name.as_str()).collect();
    if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        let help = unknown(name, &known);
        return Err(D::Error::custom(format!("there is no field `{name}` in a filter; {help}")));
    }
    let is_said = |value: &Value| !value.is_null() && value != "";
    if !fields.values().any(is_said) {
        return Err(D::Error::custom(
            "a filter needs at least one field: it would take everything",
        ));
    }
    FilterQuery::deserialize(Value::Object(fields)).map(Some).map_err(D::Error::custom)
}

/// Retries, cancels, holds or releases deliveries, by id or by filter.
pub(in crate::web) async fn repair(
    State(surroundings): State<Surroundings>,
    Extension(author): Extension<Author>,
    Json(body): Json<RepairBody>,
) -> Result<Json<Value>, Problem> {
    let repair = match body.action.as_str() {
        "retry" => Repair::Retry { new_expiry: body.new_expiry },
        "cancel" => Repair::Cancel,
        "hold" => Repair::Hold,
        "release" => Repair::Release,
        _ => {
            let text = "expected retry, cancel, hold or release";
            return Err(Problem::bad_request("/action", text));
        }
    };
    let mut ids = delivery_ids(&body.ids)?;
    let mut fitting = 0;
    if let Some(filter) = body.filter {
        let mut filter = filter.read(&surroundings.config.defaults.region)?;
        filter.states = repair.fitting(&filter.states);
        if filter.states.is_empty() {
            let fits: Vec<_> = repair.states().iter().map(|state| state.as_str()).collect();
            let text = format!("{} is for {} deliveries only", body.action, fits.join(", "));
            return Err(Problem::bad_request("/filter/state", text));
        }
        fitting = surroundings.store.count_deliveries(filter.clone()).await?;
        if fitting == 0 {
            known::is_in_deliveries(&surroundings, &filter, "/filter/").await?;
        }
        if !body.dry_run {
            let found = surroundings.store.deliveries(filter, None, MAX_REPAIRS).await?;
            ids.extend(found.iter().map(|delivery| delivery.id));
        }
    }
    let more = left_over(fitting);
    if body.dry_run {
        return Ok(Json(json!({ "count": ids.len() as u64 + fitting, "more": more })));
    }
    let results = surroundings.store.repair(ids.clone(), repair, &author.0).await?;
    surroundings.pipeline.desks().wake_all();
    let moved = results.iter().filter(|result| matches!(result, Repaired::Moved(_))).count();
    let row = |(id, result): (DeliveryId, Repaired)| match result {
        Repaired::Moved(state) => json!({ "id": id, "result": "moved", "state": state }),
        Repaired::Noted => json!({ "id": id, "result": "noted" }),
        Repaired::Unfit(state) => json!({ "id": id, "result": "unfit", "state": state }),
        Repaired::Missing => json!({ "id": id, "result": "missing" }),
    };
    let rows: Vec<Value> = ids.into_iter().zip(results).map(row).collect();
    Ok(Json(json!({ "moved": moved, "more": more, "results": rows })))
}

/// Reads the ids of a repair; of one that is none it says which.
fn delivery_ids(texts: &[String]) -> Result<Vec<DeliveryId>, Problem> {
    let read = |(index, text): (usize, &String)| {
        text.parse().map_err(|_| {
            let help = format!(
                "`{text}` is not the id of a delivery; take `id` from a list of deliveries, or \
                 filter by `event` or `business_key`"
            );
            Problem::bad_request(&format!("/ids/{index}"), help)
        })
    };
    texts.iter().enumerate().map(read).collect()
}

/// How many of those that fit a filter one repair leaves for the next.
fn left_over(fitting: u64) -> u64 {
    fitting.saturating_sub(u64::from(MAX_REPAIRS))
}

/// A delivery as lists show it; the address masked.
pub(in crate::web) fn delivery_json(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id, "event": delivery.event, "type": delivery.event_type,
        "step": delivery.step, "recipient": delivery.recipient_key,
        "name": delivery.recipient.name, "partner": delivery.partner,
        "business_key": delivery.business_key, "channel": delivery.channel,
        "provider": delivery.provider, "address": delivery.address.as_ref().map(Address::masked),
        "locale": delivery.locale, "lane": delivery.lane, "state": delivery.state,
        "is_captured": delivery.is_captured,
        "reason": delivery.reason, "detail": delivery.detail, "due_at": delivery.due_at,
        "expires_at": delivery.expires_at, "attempts": delivery.attempts,
        "version": delivery.version, "created_at": delivery.created_at,
        "updated_at": delivery.updated_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_says_how_many_it_leaves_for_the_next() {
        assert_eq!(left_over(10_000), 0);
        assert_eq!(left_over(12_345), 2_345);
    }
}
