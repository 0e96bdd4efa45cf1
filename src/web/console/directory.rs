//! Contacts as the directory knows them: how each is reached, and what stands against it.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::moment::Moment;
use super::page;
use super::rows::Row;
use super::view::View;
use crate::model::address::Address;
use crate::model::audience::Person;
use crate::model::contact::{Consent, Suppression, Tier};
use crate::model::id::ContactId;
use crate::store::DeliveryFilter;
use crate::store::directory::ContactFilter;
use crate::web::Surroundings;
use crate::web::api::directory::spelled;
use crate::web::problem::Problem;

/// How many rows a page has.
const ROWS: u32 = 50;
/// How many of a contact's deliveries are shown.
const DELIVERIES: u32 = 20;

/// Which contacts are wanted, as texts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContactQuery {
    q: String,
    partner: String,
    after: String,
}

#[derive(Template)]
#[template(path = "directory.html")]
struct DirectoryPage {
    view: View,
    query: ContactQuery,
    rows: Vec<ContactRow>,
    is_set: bool,
    is_first: bool,
    newest: String,
    older: Option<String>,
}

/// A contact as a row of a list.
struct ContactRow {
    id: String,
    name: String,
    duty: String,
    partner_id: String,
    partner: String,
    is_vip: bool,
    addresses: Vec<(&'static str, String)>,
    /// How many of them must not be used.
    blocked: usize,
    locale: String,
    tags: String,
}

impl ContactRow {
    fn of(person: &Person, view: &View) -> Self {
        let Person { contact, partner, suppressed, .. } = person;
        let addresses = contact.addresses.iter();
        let named = |address: &Address| {
            (view.word("channel", address.channel().as_str()), address.masked())
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            id: contact.id.to_string(),
            name: contact.name.clone(),
            duty: text(&contact.duty),
            partner_id: contact.partner.as_ref().map(ToString::to_string).unwrap_or_default(),
            partner: partner.as_ref().map(|partner| partner.name.clone()).unwrap_or_default(),
            is_vip: partner.as_ref().is_some_and(|partner| partner.tier == Tier::Vip),
            addresses: addresses.map(named).collect(),
            blocked: suppressed.len(),
            locale: text(&contact.locale),
            tags: contact.tags.join(", "),
        }
    }
}

impl ContactQuery {
    fn link(&self, after: &str) -> String {
        let mut text = Serializer::new(String::new());
        let all = [("q", self.q.as_str()), ("partner", &self.partner), ("after", after)];
        text.extend_pairs(all.into_iter().filter(|(_, value)| !value.trim().is_empty()));
        match text.finish() {
            query if query.is_empty() => "/directory".to_owned(),
            query => format!("/directory?{query}"),
        }
    }
}

/// Contacts, by name.
pub(super) async fn list(
    State(surroundings): State<Surroundings>,
    view: View,
    Query(query): Query<ContactQuery>,
) -> Result<Response, Problem> {
    let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let region = &surroundings.config.defaults.region;
    let text = some(&query.q).map(|text| spelled(&text, region));
    let filter = ContactFilter { text, partner: some(&query.partner), team: None };
    let after = some(&query.after).map(ContactId);
    let found = surroundings.store.find_contacts(filter, after, ROWS).await?;
    let last = found.last().filter(|_| found.len() == ROWS as usize);
    Ok(page(&DirectoryPage {
        rows: found.iter().map(|person| ContactRow::of(person, &view)).collect(),
        is_set: some(&query.q).or_else(|| some(&query.partner)).is_some(),
        is_first: query.after.is_empty(),
        newest: query.link(""),
        older: last.map(|person| query.link(person.contact.id.as_str())),
        query,
        view,
    }))
}

#[derive(Template)]
#[template(path = "contact.html")]
struct ContactPage {
    view: View,
    contact: ContactRow,
    facts: Vec<(&'static str, String)>,
    addresses: Vec<AddressRow>,
    rows: Vec<Row>,
}

/// An address with what is known of it.
struct AddressRow {
    channel: &'static str,
    text: String,
    blocked: Option<(String, Moment)>,
    /// Whether marketing is welcome, since when, and where that was said.
    consent: Option<(bool, Moment, String)>,
}

/// One contact.
pub(super) async fn show(
    State(surroundings): State<Surroundings>,
    view: View,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let store = &surroundings.store;
    let id = ContactId(id);
    let person = store.find_contact(id.clone()).await?;
    let person = person.ok_or_else(|| Problem::not_found("contact"))?;
    let addresses = person.contact.addresses.clone();
    let suppressions = store.suppressions_of(addresses).await?;
    let wanted = DeliveryFilter { contact: Some(id.to_string()), ..DeliveryFilter::default() };
    let deliveries = store.deliveries(wanted, None, DELIVERIES).await?;
    let row = |address: &Address| address_row(&view, address, &suppressions, &person.consents);
    Ok(page(&ContactPage {
        contact: ContactRow::of(&person, &view),
        facts: facts(&view, &person),
        addresses: person.contact.addresses.iter().map(row).collect(),
        rows: deliveries.iter().map(|delivery| Row::of(delivery, &view)).collect(),
        view,
    }))
}

fn address_row(
    view: &View,
    address: &Address,
    suppressions: &[Suppression],
    consents: &[Consent],
) -> AddressRow {
    let blocked = suppressions.iter().find(|found| found.address == *address);
    let consent = consents.iter().find(|found| found.address == *address);
    AddressRow {
        channel: view.word("channel", address.channel().as_str()),
        text: match address {
            // Whoever knows a chat's webhook may write there.
            Address::Chat { .. } => address.masked(),
            Address::Email { .. } | Address::Sms { .. } => address.value(),
        },
        blocked: blocked.map(|found| (found.reason.clone(), view.moment(found.at))),
        consent: consent.map(|found| (found.granted, view.moment(found.at), found.source.clone())),
    }
}

fn facts(view: &View, person: &Person) -> Vec<(&'static str, String)> {
    let Person { contact, partner, manager, .. } = person;
    let teams = contact.teams.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let partner_name = partner.as_ref().map(|partner| partner.name.clone());
    let all = [
        (view.t("column.partner"), partner_name.unwrap_or_default()),
        (view.t("directory.duty"), text(&contact.duty)),
        (
            view.t("directory.manager"),
            manager.as_ref().map(|found| found.name.clone()).unwrap_or_default(),
        ),
        (view.t("directory.teams"), teams),
        (view.t("column.language"), text(&contact.locale)),
        (view.t("preferences.zone"), text(&contact.time_zone)),
        (view.t("directory.region"), text(&contact.region)),
        (view.t("directory.tags"), contact.tags.join(", ")),
        (view.t("directory.id"), contact.id.to_string()),
    ];
    all.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}
