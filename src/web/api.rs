//! The HTTP API, version 1: JSON in, JSON out, problem details for what goes wrong.

pub(super) mod deliveries;
pub(super) mod events;
pub(super) mod keys;
pub(super) mod ledger;
pub(super) mod providers;
pub(super) mod rejected;
pub(super) mod routes;
pub(super) mod templates;
pub(super) mod users;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

use self::routes::Routes;
use super::problem::Problem;
use crate::model::access::Scope;
use crate::store::Cursor;

/// Every route of the API, each with the scope that it needs.
pub(super) fn routes() -> Routes {
    let events = Routes::default()
        .post("/v1/events", Scope::EventsWrite, events::publish)
        .get("/v1/events", Scope::EventsRead, events::list)
        .get("/v1/events/{id}", Scope::EventsRead, events::show)
        .get("/v1/rejected", Scope::EventsRead, rejected::list)
        .get("/v1/rejected/{id}", Scope::EventsRead, rejected::show)
        .delete("/v1/rejected/{id}", Scope::EventsWrite, rejected::discard)
        .post("/v1/rejected/{id}/replay", Scope::EventsWrite, rejected::replay);
    let deliveries = events
        .get("/v1/deliveries", Scope::DeliveriesRead, deliveries::list)
        .get("/v1/deliveries/count", Scope::DeliveriesRead, deliveries::count)
        .get("/v1/deliveries/{id}", Scope::DeliveriesRead, deliveries::show)
        .post("/v1/deliveries/repair", Scope::DeliveriesWrite, deliveries::repair)
        .get("/v1/ledger", Scope::LedgerRead, ledger::show);
    deliveries
        .get("/v1/providers", Scope::ProvidersRead, providers::list)
        .post("/v1/providers/{name}/hold", Scope::ProvidersWrite, providers::hold)
        .post("/v1/providers/{name}/release", Scope::ProvidersWrite, providers::release)
        .get("/v1/templates", Scope::TemplatesRead, templates::list)
        .post("/v1/templates/{name}/preview", Scope::TemplatesRead, templates::preview)
        .get("/v1/keys", Scope::Admin, keys::list)
        .post("/v1/keys", Scope::Admin, keys::create)
        .delete("/v1/keys/{name}", Scope::Admin, keys::revoke)
        .get("/v1/users", Scope::Admin, users::list)
        .post("/v1/users", Scope::Admin, users::add)
        .put("/v1/users/{name}/role", Scope::Admin, users::set_role)
        .delete("/v1/users/{name}", Scope::Admin, users::remove)
        .post("/v1/users/{name}/link", Scope::Admin, users::link)
}

/// The most rows of one page.
const MAX_LIMIT: u32 = 500;

/// Which page of a list is wanted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PageQuery {
    limit: Option<u32>,
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
mod tests {
    use super::*;

    #[test]
    fn the_list_of_routes_is_the_only_way_into_the_api() {
        let (_, declared) = routes().finish();

        for (index, route) in declared.iter().enumerate() {
            assert!(route.path.starts_with("/v1/"), "{route:?}");
            let is_twin =
                |other: &routes::Declared| other.path == route.path && other.method == route.method;
            assert!(!declared[..index].iter().any(is_twin), "{route:?} is declared twice");
        }
        // A route beside the list would need no scope.
        assert!(!include_str!("../web.rs").contains("\"/v1/"), "declare it in web/api.rs");
    }
}
