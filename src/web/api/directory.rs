//! Contacts and partners: read, put, imported.

mod import;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::deliveries::normal_address;
use crate::intake::roster::{HIDDEN_TARGET, Kind, Misfit, Roster};
use crate::model::address::Address;
use crate::model::contact::{Consent, Contact, Partner};
use crate::store::directory::ContactFilter;
use crate::web::Surroundings;
use crate::web::problem::Problem;
pub(in crate::web) use import::ImportQuery;
use import::{import, warnings};

/// The most rows of one page.
const MAX_LIMIT: u32 = 500;

/// Which contacts are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct ContactQuery {
    /// Part of the contact's or the partner's name, with or without accents; or an id or address.
    q: Option<String>,
    /// The partner's id.
    partner: Option<String>,
    /// The team they belong to.
    team: Option<String>,
    /// How many rows at most: 50 if not given, 500 if more.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

/// Which partners are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct PartnerQuery {
    /// Part of the name, with or without accents; or the id.
    q: Option<String>,
    /// How many rows at most: 50 if not given, 500 if more.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

/// A text that contacts are looked for by; one that looks like an address in the spelling that it
/// is kept in.
pub(in crate::web) fn spelled(text: &str, region: &str) -> String {
    let text = text.trim();
    match text.contains('@') || text.starts_with(['+', '0']) {
        true => normal_address(text, region),
        false => text.to_owned(),
    }
}

/// How many rows a page has, if `wanted` were asked for.
pub(super) fn page_size(wanted: Option<u32>) -> u32 {
    wanted.unwrap_or(50).clamp(1, MAX_LIMIT)
}

/// Contacts, by name.
pub(in crate::web) async fn contacts(
    State(surroundings): State<Surroundings>,
    Query(query): Query<ContactQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = page_size(query.limit);
    let region = &surroundings.config.defaults.region;
    let text = query.q.map(|text| spelled(&text, region));
    let filter = ContactFilter { text, partner: query.partner, team: query.team };
    let found =
        surroundings.store.find_contacts(filter, query.after.map(Into::into), limit).await?;
    let next = found.last().filter(|_| found.len() == limit as usize);
    let next = next.map(|person| person.contact.id.clone());
    let rows: Vec<_> = found.iter().map(|person| contact_json(&person.contact)).collect();
    Ok(Json(json!({ "contacts": rows, "next": next })))
}

/// One contact, with what is known of its addresses.
pub(in crate::web) async fn contact(
    State(surroundings): State<Surroundings>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let found = surroundings.store.find_contact(id.into()).await?;
    let person = found.ok_or_else(|| Problem::not_found("contact"))?;
    let suppressed = surroundings.store.suppressions_of(person.suppressed.clone()).await?;
    let suppressed: Vec<_> = suppressed
        .iter()
        .map(|one| json!({ "address": address_json(&one.address), "reason": one.reason, "at": one.at }))
        .collect();
    let consents: Vec<_> = person.consents.iter().map(consent_json).collect();
    Ok(Json(json!({
        "contact": contact_json(&person.contact), "suppressed": suppressed, "consents": consents,
    })))
}

/// Puts a contact in the place of what is known of it.
pub(in crate::web) async fn put_contact(
    State(surroundings): State<Surroundings>,
    Path(id): Path<String>,
    Json(row): Json<Value>,
) -> Result<Json<Value>, Problem> {
    put(&surroundings, Kind::Contact, id, row).await
}

/// Takes in a file of contacts.
pub(in crate::web) async fn import_contacts(
    State(surroundings): State<Surroundings>,
    Query(query): Query<ImportQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    import(&surroundings, Kind::Contact, &query, &headers, &body).await
}

/// Partners, by id.
pub(in crate::web) async fn partners(
    State(surroundings): State<Surroundings>,
    Query(query): Query<PartnerQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = page_size(query.limit);
    let after = query.after.map(Into::into);
    let found = surroundings.store.find_partners(query.q, after, limit).await?;
    let next = found.last().filter(|_| found.len() == limit as usize);
    let next = next.map(|partner| partner.id.clone());
    Ok(Json(json!({ "partners": found, "next": next })))
}

/// One partner.
pub(in crate::web) async fn partner(
    State(surroundings): State<Surroundings>,
    Path(id): Path<String>,
) -> Result<Json<Partner>, Problem> {
    let found = surroundings.store.find_partner(id.into()).await?;
    found.map(Json).ok_or_else(|| Problem::not_found("partner"))
}

/// Puts a partner in the place of what is known of it.
pub(in crate::web) async fn put_partner(
    State(surroundings): State<Surroundings>,
    Path(id): Path<String>,
    Json(row): Json<Value>,
) -> Result<Json<Value>, Problem> {
    put(&surroundings, Kind::Partner, id, row).await
}

/// Takes in a file of partners.
pub(in crate::web) async fn import_partners(
    State(surroundings): State<Surroundings>,
    Query(query): Query<ImportQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    import(&surroundings, Kind::Partner, &query, &headers, &body).await
}

async fn put(
    surroundings: &Surroundings,
    kind: Kind,
    id: String,
    mut row: Value,
) -> Result<Json<Value>, Problem> {
    match row.as_object_mut().map(|row| row.insert("id".to_owned(), json!(id))) {
        None => return Err(Problem::bad_request("", "expected a JSON object")),
        Some(Some(said)) if said != json!(id) => {
            return Err(Problem::bad_request(
                "/id",
                format!("expected `{id}` as in the path, or no id"),
            ));
        }
        Some(_) => {}
    }
    let change = roster(surroundings).read(kind, row).map_err(unfit)?;
    let changes = vec![(1, change)];
    let warnings = warnings(surroundings, &changes).await?;
    let changes = changes.into_iter().map(|(_, change)| change).collect();
    let applied = surroundings.store.change_directory(changes).await? == 1;
    Ok(Json(json!({ "id": id, "applied": applied, "warnings": warnings })))
}

fn roster(surroundings: &Surroundings) -> Roster {
    let region = surroundings.config.defaults.region.clone();
    Roster { region, now: surroundings.clock.now() }
}

/// The problem of a row; it names the place of the first thing that is wrong, and tells of all.
fn unfit(misfits: Vec<Misfit>) -> Problem {
    let told: Vec<_> = misfits.iter().map(ToString::to_string).collect();
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "does not fit", told.join("; "));
    problem.with(json!({ "pointer": misfits.first().map(|misfit| &misfit.pointer) }))
}

fn contact_json(contact: &Contact) -> Value {
    let mut row = json!(contact);
    row["addresses"] = contact.addresses.iter().map(address_json).collect();
    row
}

fn consent_json(consent: &Consent) -> Value {
    let mut row = json!(consent);
    row["address"] = address_json(&consent.address);
    row
}

/// An address as whoever keeps the directory may see it: a chat target lets its owner be written
/// to, so it is kept like a secret.
pub(super) fn address_json(address: &Address) -> Value {
    let mut row = json!(address);
    if row.get("target").is_some() {
        row["target"] = json!(HIDDEN_TARGET);
    }
    row
}
