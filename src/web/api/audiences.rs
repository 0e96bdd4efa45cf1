//! Teams, segments and addresses that must not be used.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::directory::{address_json, page_size};
use crate::model::access::is_name;
use crate::model::address::{Address, AddressError, Channel};
use crate::model::contact::Suppression;
use crate::model::segment::SegmentFilter;
use crate::store::directory::Segment;
use crate::web::Surroundings;
use crate::web::problem::Problem;

/// How many members of a segment are shown as examples.
const EXAMPLES: u32 = 10;

/// Every team with how many belong to it.
pub(in crate::web) async fn teams(
    State(surroundings): State<Surroundings>,
) -> Result<Json<Value>, Problem> {
    let found = surroundings.store.teams().await?;
    let rows: Vec<_> =
        found.iter().map(|(name, members)| json!({ "name": name, "members": members })).collect();
    Ok(Json(json!({ "teams": rows })))
}

/// Every saved segment.
pub(in crate::web) async fn segments(
    State(surroundings): State<Surroundings>,
) -> Result<Json<Value>, Problem> {
    let found = surroundings.store.segments().await?;
    let rows: Vec<_> = found
        .iter()
        .map(|Segment { name, filter }| json!({ "name": name, "filter": filter }))
        .collect();
    Ok(Json(json!({ "segments": rows })))
}

/// One segment, and who belongs to it now.
pub(in crate::web) async fn segment(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let mut all = surroundings.store.segments().await?.into_iter();
    let found = all.find(|segment| segment.name.as_str() == name);
    let Segment { name, filter } = found.ok_or_else(|| Problem::not_found("segment"))?;
    shown(&surroundings, name.as_str(), filter).await
}

/// Saves a segment, over what was there.
pub(in crate::web) async fn put_segment(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
    Json(filter): Json<Value>,
) -> Result<Json<Value>, Problem> {
    if !is_name(&name) {
        let text = "expected a name of 1 to 64 small letters, digits, dots or dashes in the path";
        return Err(Problem::bad_request("", text));
    }
    let filter: SegmentFilter = serde_path_to_error::deserialize(filter).map_err(|error| {
        let place = format!("/{}", error.path()).trim_end_matches("/.").to_owned();
        Problem::bad_request(&place, error.into_inner().to_string())
    })?;
    if filter == SegmentFilter::default() {
        let text = "a segment without a condition takes everyone; give at least one of tags, \
                    tiers, locales, regions, duties";
        return Err(Problem::bad_request("", text));
    }
    surroundings.store.put_segment(name.as_str().into(), filter.clone()).await?;
    shown(&surroundings, &name, filter).await
}

/// Forgets a segment.
pub(in crate::web) async fn delete_segment(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    match surroundings.store.delete_segment(name.into()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("segment")),
    }
}

async fn shown(
    surroundings: &Surroundings,
    name: &str,
    filter: SegmentFilter,
) -> Result<Json<Value>, Problem> {
    let (count, first) = surroundings.store.segment_members(filter.clone(), EXAMPLES).await?;
    let first: Vec<_> = first.iter().map(|contact| &contact.id).collect();
    Ok(Json(json!({ "name": name, "filter": filter, "members": count, "first": first })))
}

/// Which page of suppressed addresses is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct SuppressionQuery {
    /// How many rows at most: 50 if not given, 500 if more.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

/// An address that must not be used, or may be used again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct SuppressionBody {
    /// `email`, `sms` or `chat`.
    channel: String,
    /// The email address, the phone number, or the chat provider and target (`team-chat:ROOM`).
    address: String,
    /// Why: `operator` if not given.
    #[serde(default)]
    reason: Option<String>,
}

/// Addresses that must not be used, the oldest first.
pub(in crate::web) async fn suppressions(
    State(surroundings): State<Surroundings>,
    Query(query): Query<SuppressionQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = page_size(query.limit);
    let (since, seen) = query.after.as_deref().map(read_place).transpose()?.unzip();
    let found = surroundings.store.suppressions(since, seen.unwrap_or_default(), limit).await?;
    let next = found.last().filter(|_| found.len() == limit as usize).map(|last| {
        // A cursor holds no address: how many of this very moment were shown stands for it.
        let shown = found.iter().filter(|one| one.at == last.at).count();
        let before = seen.filter(|_| since == Some(last.at)).unwrap_or_default() as usize;
        format!("{}-{}", last.at.as_microsecond(), shown + before)
    });
    let rows: Vec<_> = found.iter().map(suppression_json).collect();
    Ok(Json(json!({ "suppressions": rows, "next": next })))
}

/// Stops an address from being used.
pub(in crate::web) async fn suppress(
    State(surroundings): State<Surroundings>,
    Json(body): Json<SuppressionBody>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let address = address_of(&surroundings, &body)?;
    let reason = body.reason.unwrap_or_else(|| "operator".to_owned());
    if !is_name(&reason) {
        let text = "expected one word of small letters, digits, dots or dashes, such as operator";
        return Err(Problem::bad_request("/reason", text));
    }
    let suppression = Suppression { address, reason, at: surroundings.clock.now() };
    surroundings.store.suppress(suppression.clone()).await?;
    Ok((StatusCode::CREATED, Json(suppression_json(&suppression))))
}

/// Lets an address be used again.
pub(in crate::web) async fn lift(
    State(surroundings): State<Surroundings>,
    Json(body): Json<SuppressionBody>,
) -> Result<Json<Value>, Problem> {
    let address = address_of(&surroundings, &body)?;
    let was_suppressed = surroundings.store.unsuppress(address).await?;
    Ok(Json(json!({ "was_suppressed": was_suppressed })))
}

/// The moment of the last row shown, and how many rows of that moment were.
fn read_place(cursor: &str) -> Result<(Timestamp, u32), Problem> {
    let read = || {
        let (at, seen) = cursor.split_once('-')?;
        Some((Timestamp::from_microsecond(at.parse().ok()?).ok()?, seen.parse().ok()?))
    };
    read().ok_or_else(|| Problem::bad_request("?after", "not a cursor; take `next` of a page"))
}

fn address_of(surroundings: &Surroundings, body: &SuppressionBody) -> Result<Address, Problem> {
    let channel: Channel = body
        .channel
        .parse()
        .map_err(|error: AddressError| Problem::bad_request("/channel", error.to_string()))?;
    let region = &surroundings.config.defaults.region;
    Address::parse(channel, &body.address, region)
        .map_err(|error| Problem::bad_request("/address", error.to_string()))
}

fn suppression_json(one: &Suppression) -> Value {
    json!({ "address": address_json(&one.address), "reason": one.reason, "at": one.at })
}
