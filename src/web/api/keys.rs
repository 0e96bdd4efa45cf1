//! API keys: made, listed, revoked.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::config::units::parse_duration;
use crate::model::access::{Scope, is_name};
use crate::store::ApiKey;
use crate::web::Surroundings;
use crate::web::auth::bearer::new_key;
use crate::web::problem::Problem;

/// A key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewKey {
    /// What it is for: small letters, digits, dots, dashes.
    name: String,
    /// What it may do.
    scopes: Vec<String>,
    /// How long it lasts, such as `90d`; for ever if not given.
    #[serde(default)]
    lasts: Option<String>,
}

/// Every key, without its secret.
pub(in crate::web) async fn list(
    State(surroundings): State<Surroundings>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "keys": surroundings.store.keys().await? })))
}

/// Makes a key; this answer is the only place where it is ever shown.
pub(in crate::web) async fn create(
    State(surroundings): State<Surroundings>,
    Json(NewKey { name, scopes, lasts }): Json<NewKey>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    if !is_name(&name) {
        let text = "expected 1 to 64 small letters, digits, dots or dashes";
        return Err(Problem::bad_request("/name", text));
    }
    let now = surroundings.clock.now();
    let expires_at = lasts.as_deref().map(|lasts| end(now, lasts)).transpose()?;
    let scopes = read_scopes(&scopes)?;
    let (id, key, digest) = new_key()?;
    let new = ApiKey {
        id: id.clone(),
        name: name.clone(),
        scopes: scopes.clone(),
        created_at: now,
        expires_at,
        used_at: None,
        digest,
    };
    if !surroundings.store.add_key(new).await? {
        return Err(Problem::conflict(format!("there is a key {name} already; revoke it first")));
    }
    tracing::info!(key.name = name, key.id = id, "made the key {name} ({id})");
    let body = json!({
        "id": id, "name": name, "key": key, "scopes": scopes, "expires_at": expires_at,
    });
    Ok((StatusCode::CREATED, Json(body)))
}

/// Ends a key at once.
pub(in crate::web) async fn revoke(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    if !surroundings.store.revoke_key(name.clone()).await? {
        return Err(Problem::not_found("key"));
    }
    tracing::info!(key.name = name, "revoked the key {name}");
    Ok(StatusCode::NO_CONTENT)
}

fn end(now: Timestamp, lasts: &str) -> Result<Timestamp, Problem> {
    let fault = || Problem::bad_request("/lasts", "expected a duration such as 90d or 12h");
    let lasts = parse_duration(lasts).filter(|lasts| !lasts.is_zero()).ok_or_else(fault)?;
    now.checked_add(lasts).map_err(|_| fault())
}

fn read_scopes(words: &[String]) -> Result<Vec<Scope>, Problem> {
    let known: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let help = || format!("expected some of {}", known.join(", "));
    if words.is_empty() {
        return Err(Problem::bad_request("/scopes", help()));
    }
    let mut scopes = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let place = format!("/scopes/{index}");
        let scope = Scope::from_word(word);
        scopes.push(scope.ok_or_else(|| Problem::bad_request(&place, help()))?);
    }
    scopes.sort_unstable();
    scopes.dedup();
    Ok(scopes)
}
