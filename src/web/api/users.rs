//! Users: added, listed, removed, and given login links.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::model::access::{Role, is_name};
use crate::web::Surroundings;
use crate::web::auth::login::{LINK_LASTS, add_link, base_url};
use crate::web::auth::new_secret;
use crate::web::problem::Problem;

/// A user to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewUser {
    /// What they are called here: small letters, digits, dots, dashes.
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: Role,
    /// Where they can be reached.
    #[serde(default)]
    email: Option<String>,
}

/// Every user.
pub(in crate::web) async fn list(
    State(surroundings): State<Surroundings>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "users": surroundings.store.users().await? })))
}

/// Adds a user; it takes a login link to sign in.
pub(in crate::web) async fn add(
    State(surroundings): State<Surroundings>,
    Json(NewUser { name, role, email }): Json<NewUser>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    if !is_name(&name) {
        let text = "expected 1 to 64 small letters, digits, dots or dashes";
        return Err(Problem::bad_request("/name", text));
    }
    if !surroundings.store.add_user(name.clone(), role, email).await? {
        let text = format!("there is a user {name} already; `loa users role` changes its role");
        return Err(Problem::conflict(text));
    }
    tracing::info!(user = name, "added the user {name} as {}", role.as_str());
    Ok((StatusCode::CREATED, Json(json!({ "name": name, "role": role }))))
}

/// What a user may do from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewRole {
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    role: Role,
}

/// Gives a user another role, in the sessions that they have too.
pub(in crate::web) async fn set_role(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
    Json(NewRole { role }): Json<NewRole>,
) -> Result<Json<Value>, Problem> {
    if !surroundings.store.set_role(name.clone(), role).await? {
        return Err(Problem::not_found("user"));
    }
    tracing::info!(user = name, "the user {name} is {} now", role.as_str());
    Ok(Json(json!({ "name": name, "role": role })))
}

/// Removes a user, and ends their sessions.
pub(in crate::web) async fn remove(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    if !surroundings.store.remove_user(name.clone()).await? {
        return Err(Problem::not_found("user"));
    }
    tracing::info!(user = name, "removed the user {name}");
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a link by which a user signs in once.
pub(in crate::web) async fn link(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let listen = surroundings.config.http.listen.to_string();
    let base = base_url(&surroundings.config, host.unwrap_or(&listen));
    let secret = new_secret()?;
    let link = add_link(&surroundings.store, &base, &name, &secret).await?;
    let Some(url) = link else { return Err(Problem::not_found("user")) };
    let expires_at = surroundings.clock.now().checked_add(LINK_LASTS).unwrap_or(Timestamp::MAX);
    let body = json!({ "user": name, "url": url, "expires_at": expires_at });
    Ok((StatusCode::CREATED, Json(body)))
}
