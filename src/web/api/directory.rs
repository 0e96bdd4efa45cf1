//! Contacts and partners: read, put, imported.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::intake::roster::{Format, HIDDEN_TARGET, Kind, Misfit, Roster, rows};
use crate::model::address::Address;
use crate::model::contact::{Consent, Contact, DirectoryChange, Partner};
use crate::model::id::PartnerId;
use crate::store::StoreError;
use crate::store::directory::ContactFilter;
use crate::web::Surroundings;
use crate::web::problem::Problem;

/// The most rows of one page.
const MAX_LIMIT: u32 = 500;
/// The most faults of an import that are told one by one.
const MAX_FAULTS: usize = 1000;

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

/// How an import is done.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct ImportQuery {
    /// `true`: reads everything and says what is wrong, and changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// `refuse` (the default) changes nothing if one row has a fault; `skip` takes the others.
    #[serde(default)]
    #[param(inline)]
    on_fault: OnFault,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum OnFault {
    #[default]
    Refuse,
    Skip,
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
    let filter = ContactFilter { text: query.q, partner: query.partner, team: query.team };
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
    let applied = surroundings.store.change_directory(vec![change]).await? == 1;
    Ok(Json(json!({ "id": id, "applied": applied })))
}

async fn import(
    surroundings: &Surroundings,
    kind: Kind,
    query: &ImportQuery,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Json<Value>, Problem> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let format = media_type.and_then(Format::of_media_type).ok_or_else(|| {
        let text = "send application/x-ndjson, text/csv or application/json as content-type";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported media type", text)
    })?;
    let read = Import::read(&roster(surroundings), kind, format, body).map_err(unfit)?;
    let count = read.changes.len() + read.faults.len();
    let shown = &read.faults[..read.faults.len().min(MAX_FAULTS)];
    if !read.faults.is_empty() && query.on_fault == OnFault::Refuse && !query.dry_run {
        let first = &read.faults[0];
        let detail = format!(
            "{} of {count} rows cannot be taken, so none was; the first is in line {}: {}",
            read.faults.len(),
            first["line"],
            first["message"].as_str().unwrap_or_default()
        );
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "import refused", detail);
        return Err(problem.with(json!({ "faults": shown, "count": read.faults.len() })));
    }
    let fit = read.changes.len();
    let warnings = read.warnings(surroundings).await?;
    let applied = match query.dry_run {
        true => None,
        false => Some(surroundings.store.change_directory(read.changes).await?),
    };
    let older = applied.map(|applied| fit as u64 - applied);
    Ok(Json(json!({
        "rows": count, "fit": fit, "applied": applied, "older": older,
        "unfit": read.faults.len(), "faults": shown,
        "warned": warnings.len(), "warnings": &warnings[..warnings.len().min(MAX_FAULTS)],
    })))
}

/// The changes of a file, and the faults of its other rows.
struct Import {
    changes: Vec<DirectoryChange>,
    faults: Vec<Value>,
    /// Which partner the contact of which line belongs to.
    partners: Vec<(u64, PartnerId)>,
}

impl Import {
    fn read(roster: &Roster, kind: Kind, format: Format, body: &[u8]) -> Result<Self, Misfit> {
        let (mut changes, mut faults, mut partners) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows(kind, format, body)? {
            let change = row.value.and_then(|value| roster.read(kind, value));
            match change {
                Ok(change) => {
                    if let DirectoryChange::Contact { contact, .. } = &change {
                        let partner = contact.partner.clone();
                        partners.extend(partner.map(|partner| (row.line, partner)));
                    }
                    changes.push(change);
                }
                Err(misfit) => faults.push(json!({
                    "line": row.line, "pointer": misfit.pointer, "message": misfit.message,
                })),
            }
        }
        Ok(Self { changes, faults, partners })
    }

    /// A warning for each contact of a partner whom nobody knows; it may yet come.
    async fn warnings(&self, surroundings: &Surroundings) -> Result<Vec<Value>, StoreError> {
        let named: BTreeSet<PartnerId> =
            self.partners.iter().map(|(_, partner)| partner.clone()).collect();
        let unknown = surroundings.store.unknown_partners(named).await?;
        let of_unknown = self.partners.iter().filter(|(_, partner)| unknown.contains(partner));
        let warning = |(line, partner): &(u64, PartnerId)| {
            let message = format!(
                "the partner `{partner}` is not known; import it, or nothing of it reaches this contact"
            );
            json!({ "line": line, "pointer": "/partner", "message": message })
        };
        Ok(of_unknown.map(warning).collect())
    }
}

fn roster(surroundings: &Surroundings) -> Roster {
    let region = surroundings.config.defaults.region.clone();
    Roster { region, now: surroundings.clock.now() }
}

pub(super) fn unfit(misfit: Misfit) -> Problem {
    let problem =
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "does not fit", misfit.to_string());
    problem.with(json!({ "pointer": misfit.pointer }))
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
