//! The HTTP API, version 1: JSON in, JSON out, problem details for what goes wrong.

pub(super) mod audiences;
pub(super) mod deliveries;
pub(super) mod directory;
mod document;
pub(super) mod events;
pub(super) mod keys;
mod known;
pub(super) mod ledger;
pub(super) mod providers;
mod query;
pub(super) mod rejected;
pub(super) mod routes;
mod shapes;
pub(super) mod templates;
pub(super) mod users;

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use self::routes::Routes;
use super::Surroundings;
use super::problem::Problem;
use crate::model::access::Scope;
use crate::store::Cursor;

/// Every route of the API, each with the scope that it needs.
pub(super) fn routes() -> Routes {
    access(people(outside(messages(Routes::default()))))
}

/// The document of `declared`, for whoever wants it; it tells nothing that is not in print.
pub(super) fn described(declared: &[routes::Declared]) -> Router<Surroundings> {
    let document: Arc<str> = document::document(declared).to_string().into();
    let media_type = [(header::CONTENT_TYPE, "application/json")];
    let show = get(move || async move { (media_type, document.to_string()) });
    DOCUMENT.iter().fold(Router::new(), |router, path| router.route(path, show.clone()))
}

/// Where the document is: of this version, and where tools look for it.
const DOCUMENT: [&str; 2] = ["/v1/openapi.json", "/openapi.json"];

/// What an event may be sent as.
const EVENT_TYPES: &[&str] =
    &["application/cloudevents+json", "application/cloudevents-batch+json", "application/json"];

/// Events, and the deliveries that come of them.
fn messages(routes: Routes) -> Routes {
    routes
        .post("/v1/events", Scope::EventsWrite, events::publish)
        .says(
            "Takes in an event or an array; 202 means committed",
            (202, &shapes::ACCEPTED_MEMBERS),
        )
        .query::<events::PublishQuery>()
        .takes_anything("One event or an array, as CloudEvents or plain JSON", EVENT_TYPES)
        .get("/v1/events", Scope::EventsRead, events::list)
        .says("Lists events, the newest first", (200, shapes::EVENTS))
        .query::<events::ListQuery>()
        .query::<PageQuery>()
        .get("/v1/events/{id}", Scope::EventsRead, events::show)
        .says("Shows an event, by Loa's id or the publisher's", (200, shapes::ONE_EVENT))
        .get("/v1/rejected", Scope::EventsRead, rejected::list)
        .says("Lists rejected events, the newest first", (200, shapes::REJECTIONS))
        .query::<rejected::ListQuery>()
        .query::<PageQuery>()
        .get("/v1/rejected/{id}", Scope::EventsRead, rejected::show)
        .says("Shows a rejected event whole", (200, &shapes::REJECTED_WHOLE))
        .delete("/v1/rejected/{id}", Scope::EventsWrite, rejected::discard)
        .says("Forgets a rejected event", (204, &[]))
        .post("/v1/rejected/{id}/replay", Scope::EventsWrite, rejected::replay)
        .says("Hands a rejected event in again", (202, &shapes::ACCEPTED_MEMBERS))
        .query::<rejected::ReplayQuery>()
        .takes_anything("A mended body; the kept one if there is none", EVENT_TYPES)
        .get("/v1/deliveries", Scope::DeliveriesRead, deliveries::list)
        .says("Lists deliveries, the newest first", (200, shapes::DELIVERIES))
        .query::<deliveries::FilterQuery>()
        .query::<PageQuery>()
        .get("/v1/deliveries/count", Scope::DeliveriesRead, deliveries::count)
        .says("Counts deliveries", (200, shapes::COUNTS))
        .query::<deliveries::FilterQuery>()
        .query::<deliveries::CountQuery>()
        .get("/v1/deliveries/{id}", Scope::DeliveriesRead, deliveries::show)
        .says("Shows all that is known of a delivery", (200, shapes::ONE_DELIVERY))
        .post("/v1/deliveries/repair", Scope::DeliveriesWrite, deliveries::repair)
        .says("Retries, cancels, holds or releases deliveries", (200, shapes::REPAIRS))
        .takes::<deliveries::RepairBody>()
        .get("/v1/ledger", Scope::LedgerRead, ledger::show)
        .says("Shows the ledger", (200, shapes::LEDGER))
        .query::<ledger::LedgerQuery>()
}

/// How messages look, and by whom they go out.
fn outside(routes: Routes) -> Routes {
    routes
        .get("/v1/providers", Scope::ProvidersRead, providers::list)
        .says("Lists providers", (200, shapes::PROVIDERS))
        .post("/v1/providers/{name}/hold", Scope::ProvidersWrite, providers::hold)
        .says("Stops calling a provider", (200, shapes::HELD))
        .takes_anything("Why", &["text/plain"])
        .post("/v1/providers/{name}/release", Scope::ProvidersWrite, providers::release)
        .says("Ends a provider's hold", (200, shapes::HELD))
        .post("/v1/providers/{name}/test", Scope::ProvidersWrite, providers::test)
        .says("Sends one test message by a provider", (200, shapes::TRIED))
        .takes::<providers::TestBody>()
        .get("/v1/templates", Scope::TemplatesRead, templates::list)
        .says("Lists templates", (200, shapes::TEMPLATES))
        .post("/v1/templates/{name}/preview", Scope::TemplatesRead, templates::preview)
        .says("Shows what a template says, as it is or edited", (200, shapes::SHOWN))
        .takes::<templates::PreviewBody>()
}

/// How rows of the directory may be sent.
const ROW_TYPES: &[&str] = &["application/x-ndjson", "text/csv", "application/json"];
/// What a row is, in a sentence.
const CONTACT_ROW: &str = "A contact as a whole: `name`, and what else `GET` shows";
const PARTNER_ROW: &str = "A partner as a whole: `name`, and what else `GET` shows";

/// Whom Loa knows.
fn people(routes: Routes) -> Routes {
    routes
        .get("/v1/contacts", Scope::DirectoryRead, directory::contacts)
        .says("Lists contacts, by name", (200, shapes::CONTACTS))
        .query::<directory::ContactQuery>()
        .get("/v1/contacts/{id}", Scope::DirectoryRead, directory::contact)
        .says("Shows a contact and what stands against its addresses", (200, shapes::ONE_CONTACT))
        .put("/v1/contacts/{id}", Scope::DirectoryWrite, directory::put_contact)
        .says("Puts a contact in the place of what is known of it", (200, shapes::PUT))
        .takes_anything(CONTACT_ROW, &["application/json"])
        .post("/v1/contacts/import", Scope::DirectoryWrite, directory::import_contacts)
        .says("Takes in contacts, row by row", (200, shapes::IMPORTED))
        .query::<directory::ImportQuery>()
        .takes_anything("Contacts, one a row", ROW_TYPES)
        .get("/v1/partners", Scope::DirectoryRead, directory::partners)
        .says("Lists partners, by id", (200, shapes::PARTNERS))
        .query::<directory::PartnerQuery>()
        .get("/v1/partners/{id}", Scope::DirectoryRead, directory::partner)
        .says("Shows a partner", (200, shapes::PARTNER.members))
        .put("/v1/partners/{id}", Scope::DirectoryWrite, directory::put_partner)
        .says("Puts a partner in the place of what is known of it", (200, shapes::PUT))
        .takes_anything(PARTNER_ROW, &["application/json"])
        .post("/v1/partners/import", Scope::DirectoryWrite, directory::import_partners)
        .says("Takes in partners, row by row", (200, shapes::IMPORTED))
        .query::<directory::ImportQuery>()
        .takes_anything("Partners, one a row", ROW_TYPES)
        .get("/v1/teams", Scope::DirectoryRead, audiences::teams)
        .says("Lists teams; contacts say which they belong to", (200, shapes::TEAMS))
        .get("/v1/segments", Scope::DirectoryRead, audiences::segments)
        .says("Lists saved segments", (200, shapes::SEGMENTS))
        .get("/v1/segments/{name}", Scope::DirectoryRead, audiences::segment)
        .says("Shows a segment and how many belong to it now", (200, shapes::ONE_SEGMENT))
        .put("/v1/segments/{name}", Scope::DirectoryWrite, audiences::put_segment)
        .says("Saves a segment, over what was there", (200, shapes::ONE_SEGMENT))
        .takes_anything("`tags`, `tiers`, `locales`, `regions`, `duties`", &["application/json"])
        .delete("/v1/segments/{name}", Scope::DirectoryWrite, audiences::delete_segment)
        .says("Forgets a segment", (204, &[]))
        .get("/v1/suppressions", Scope::DirectoryRead, audiences::suppressions)
        .says("Lists addresses that must not be used", (200, shapes::SUPPRESSIONS))
        .query::<audiences::SuppressionQuery>()
        .post("/v1/suppressions", Scope::DirectoryWrite, audiences::suppress)
        .says("Stops an address from being used", (201, shapes::SUPPRESSION.members))
        .takes::<audiences::SuppressionBody>()
        .post("/v1/suppressions/lift", Scope::DirectoryWrite, audiences::lift)
        .says("Lets an address be used again", (200, shapes::LIFTED))
        .takes::<audiences::SuppressionBody>()
}

/// Who may.
fn access(routes: Routes) -> Routes {
    routes
        .get("/v1/keys", Scope::Admin, keys::list)
        .says("Lists keys", (200, shapes::KEYS))
        .post("/v1/keys", Scope::Admin, keys::create)
        .says("Makes a key", (201, shapes::NEW_KEY))
        .takes::<keys::NewKey>()
        .delete("/v1/keys/{name}", Scope::Admin, keys::revoke)
        .says("Ends a key at once", (204, &[]))
        .get("/v1/users", Scope::Admin, users::list)
        .says("Lists users", (200, shapes::USERS))
        .post("/v1/users", Scope::Admin, users::add)
        .says("Adds a user", (201, shapes::ONE_USER))
        .takes::<users::NewUser>()
        .put("/v1/users/{name}/role", Scope::Admin, users::set_role)
        .says("Gives a user another role", (200, shapes::ONE_USER))
        .takes::<users::NewRole>()
        .delete("/v1/users/{name}", Scope::Admin, users::remove)
        .says("Removes a user and ends their sessions", (204, &[]))
        .post("/v1/users/{name}/link", Scope::Admin, users::link)
        .says("Makes a link by which a user signs in once", (201, shapes::LINK))
}

/// The most rows of one page.
const MAX_LIMIT: u32 = 500;

/// Which page of a list is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// How many rows at most: 50 if not given, 500 if more.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

impl PageQuery {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(50).clamp(1, MAX_LIMIT)
    }

    /// The row behind which the page begins, if it is not the first page.
    pub(super) fn cursor(&self) -> Result<Option<Cursor>, Problem> {
        let Some(text) = &self.after else { return Ok(None) };
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (at, id) = text.split_once(' ')?;
            let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
            Some(Cursor { at, id: id.parse().ok()? })
        };
        let fault = || Problem::bad_request("?after", "not a cursor; take `next` of a page");
        read().ok_or_else(fault).map(Some)
    }
}

/// The cursor behind a row, if the page is full.
pub(super) fn next(is_full: bool, at: Timestamp, id: uuid::Uuid) -> Option<String> {
    is_full.then(|| URL_SAFE_NO_PAD.encode(format!("{} {id}", at.as_microsecond())))
}

#[cfg(test)]
mod tests;
