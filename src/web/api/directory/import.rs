//! Takes in files of contacts and partners, and says of each row what is wrong or odd with it.

use std::collections::BTreeSet;

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::{roster, unfit};
use crate::intake::roster::{Format, Kind, Misfit, Roster, rows};
use crate::model::address::{Address, Channel};
use crate::model::contact::DirectoryChange;
use crate::model::id::{ContactId, PartnerId, ProviderName};
use crate::provider::find_kind;
use crate::store::StoreError;
use crate::web::Surroundings;
use crate::web::problem::Problem;

/// The most faults of an import that are told one by one.
const MAX_FAULTS: usize = 1000;

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

/// What a row changes, with its line.
type Placed = (u64, DirectoryChange);

/// Takes in a file.
pub(super) async fn import(
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
    let read = Import::read(&roster(surroundings), kind, format, body)
        .map_err(|misfit| unfit(vec![misfit]))?;
    let (fit, unfit) = (read.changes.len(), read.unfit);
    let shown = &read.faults[..read.faults.len().min(MAX_FAULTS)];
    if unfit > 0 && query.on_fault == OnFault::Refuse && !query.dry_run {
        let first = &read.faults[0];
        let detail = format!(
            "{unfit} of {} rows cannot be taken, so none was; the first is in line {}: {}",
            fit + unfit,
            first["line"],
            first["message"].as_str().unwrap_or_default()
        );
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "import refused", detail);
        return Err(problem.with(json!({ "faults": shown, "count": unfit })));
    }
    let warnings = warnings(surroundings, &read.changes).await?;
    let mut applied = None;
    if !query.dry_run {
        let changes = read.changes.into_iter().map(|(_, change)| change).collect();
        applied = Some(surroundings.store.change_directory(changes).await?);
    }
    let older = applied.map(|applied| fit as u64 - applied);
    Ok(Json(json!({
        "rows": fit + unfit, "fit": fit, "applied": applied, "older": older,
        "unfit": unfit, "faults": shown,
        "warned": warnings.len(), "warnings": &warnings[..warnings.len().min(MAX_FAULTS)],
    })))
}

/// The changes of a file, and the faults of its other rows.
struct Import {
    changes: Vec<Placed>,
    /// How many rows have a fault.
    unfit: usize,
    faults: Vec<Value>,
}

impl Import {
    fn read(roster: &Roster, kind: Kind, format: Format, body: &[u8]) -> Result<Self, Misfit> {
        let mut read = Self { changes: Vec::new(), unfit: 0, faults: Vec::new() };
        for row in rows(kind, format, body)? {
            let change = row.value.map_err(|misfit| vec![misfit]);
            match change.and_then(|value| roster.read(kind, value)) {
                Ok(change) => read.changes.push((row.line, change)),
                Err(misfits) => {
                    read.unfit += 1;
                    read.faults.extend(misfits.into_iter().map(|Misfit { pointer, message }| {
                        json!({ "line": row.line, "pointer": pointer, "message": message })
                    }));
                }
            }
        }
        Ok(read)
    }
}

/// What a row refers to, with its line and the member, where there is only one that it can be.
type Named<T> = Vec<(u64, &'static str, T)>;

/// What rows refer to that may not be there.
#[derive(Default)]
struct References {
    partners: Named<PartnerId>,
    /// Managers and superiors who are not in the same file.
    contacts: Named<ContactId>,
    /// Providers that chat addresses name.
    chats: Named<ProviderName>,
    /// Addresses whose consent is granted.
    granted: Named<Address>,
}

impl References {
    fn of(changes: &[Placed]) -> Self {
        let mut found = Self::default();
        for (line, change) in changes {
            match change {
                DirectoryChange::Partner(partner) => {
                    let manager = partner.manager.iter().cloned();
                    found.contacts.extend(manager.map(|id| (*line, "/manager", id)));
                }
                DirectoryChange::Contact { contact, consents } => {
                    let partner = contact.partner.iter().cloned();
                    found.partners.extend(partner.map(|id| (*line, "/partner", id)));
                    let superior = contact.superior.iter().cloned();
                    found.contacts.extend(superior.map(|id| (*line, "/superior", id)));
                    let chats = contact.addresses.iter().filter_map(chat_provider);
                    found.chats.extend(chats.map(|name| (*line, "", name.clone())));
                    let granted = consents.iter().filter(|consent| consent.granted);
                    let granted = granted.map(|consent| (*line, "", consent.address.clone()));
                    found.granted.extend(granted);
                }
            }
        }
        let own = changes.iter().filter_map(|(_, change)| match change {
            DirectoryChange::Contact { contact, .. } => Some(&contact.id),
            DirectoryChange::Partner(_) => None,
        });
        let own: BTreeSet<&ContactId> = own.collect();
        found.contacts.retain(|(.., id)| !own.contains(id));
        found
    }
}

/// What is odd about rows that fit: whom they name may yet come, and what they say of consent may
/// not hold.
pub(super) async fn warnings(
    surroundings: &Surroundings,
    changes: &[Placed],
) -> Result<Vec<Value>, StoreError> {
    let References { partners, contacts, chats, granted } = References::of(changes);
    let store = &surroundings.store;
    let no_partner = store.unknown_partners(each(&partners)).await?;
    let no_contact = store.unknown_contacts(each(&contacts)).await?;
    let withdrawn = store.withdrawn(each(&granted)).await?;
    let mut warnings = Vec::new();
    for (line, pointer, id) in partners.iter().filter(|(.., id)| no_partner.contains(id)) {
        let message = format!(
            "the partner `{id}` is not known; import it, or nothing of it reaches this contact"
        );
        warnings.push(json!({ "line": line, "pointer": pointer, "message": message }));
    }
    for (line, pointer, id) in contacts.iter().filter(|(.., id)| no_contact.contains(id)) {
        let message = format!("the contact `{id}` is not known; import it, or nobody is told");
        warnings.push(json!({ "line": line, "pointer": pointer, "message": message, "names": id }));
    }
    for (line, pointer, name) in chats.iter().filter(|(.., name)| !has_chat(surroundings, name)) {
        let message = format!(
            "no provider `{name}` serves chat here; nothing goes there until [providers.{name}] does"
        );
        warnings.push(json!({ "line": line, "pointer": pointer, "message": message }));
    }
    for (line, pointer, address) in granted.iter().filter(|(.., one)| withdrawn.contains(one)) {
        let channel = address.channel();
        let message = format!(
            "consent for the {channel} address was withdrawn, and stays so: only its owner can \
             grant it again"
        );
        warnings.push(json!({ "line": line, "pointer": pointer, "message": message }));
    }
    warnings.sort_by_key(|warning| warning["line"].as_u64());
    Ok(warnings)
}

fn each<T: Clone + Ord>(named: &Named<T>) -> BTreeSet<T> {
    named.iter().map(|(.., one)| one.clone()).collect()
}

fn chat_provider(address: &Address) -> Option<&ProviderName> {
    match address {
        Address::Chat { provider, .. } => Some(provider),
        Address::Email { .. } | Address::Sms { .. } => None,
    }
}

fn has_chat(surroundings: &Surroundings, name: &ProviderName) -> bool {
    let settings = surroundings.config.providers.get(name);
    let kind = settings.and_then(|settings| find_kind(&settings.kind));
    kind.is_some_and(|kind| kind.channels.contains(&Channel::Chat))
}
