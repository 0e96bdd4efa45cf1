//! A program that calls the API: by the token of the data folder, or by a key with its scopes.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::secret::{digest_of, new_secret};
use crate::model::access::Scope;
use crate::model::deed::COMMAND_LINE;
use crate::store::{ApiKey, Digest};
use crate::web::Surroundings;
use crate::web::problem::Problem;

/// What every key begins with, so that programs which look for leaked secrets know it.
const PREFIX: &str = "loa";
/// How many letters a key's id has.
const ID_LETTERS: usize = 8;
/// How far behind the note of a key's last use may be.
const USED_STEP: SignedDuration = SignedDuration::from_mins(1);

/// Who calls the API, and what they may.
#[derive(Clone, Debug)]
enum Caller {
    /// Whoever may read the data folder: everything.
    Local,
    /// The holder of a key: its name, and what it may.
    Key(String, Vec<Scope>),
}

/// In whose name a call does what it does, as it is kept with the deed.
#[derive(Clone, Debug)]
pub(in crate::web) struct Author(pub(in crate::web) String);

impl Author {
    fn of(caller: &Caller) -> Self {
        Self(match caller {
            Caller::Local => COMMAND_LINE.to_owned(),
            Caller::Key(name, _) => format!("key {name}"),
        })
    }
}

/// A new key: its id, the whole text that is shown once, and what is kept of that.
pub(in crate::web) fn new_key() -> Result<(String, String, Digest), Problem> {
    let id: String = new_secret()?.chars().take(ID_LETTERS).collect();
    let key = format!("{PREFIX}_{id}_{}", new_secret()?);
    let digest = digest_of(&key);
    Ok((id, key, digest))
}

/// Lets a request through whose `Authorization: Bearer` is known, and notes what it may.
pub(in crate::web) async fn require_caller(
    State(surroundings): State<Surroundings>,
    mut request: Request,
    next: Next,
) -> Response {
    match caller(&surroundings, request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(Author::of(&caller));
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Lets a caller through who has `scope`.
pub(in crate::web) async fn require_scope(scope: Scope, request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(Caller::Local) => next.run(request).await,
        Some(Caller::Key(_, scopes)) if scope.is_in(scopes) => next.run(request).await,
        Some(Caller::Key(..)) => lacks(scope).into_response(),
        // Only a route outside of `require_caller` lacks it.
        None => Problem::internal().into_response(),
    }
}

async fn caller(surroundings: &Surroundings, headers: &HeaderMap) -> Result<Caller, Problem> {
    let Some(bearer) = bearer(headers) else {
        let detail = "send `Authorization: Bearer KEY`; `loa keys create` makes one";
        return Err(unknown(detail));
    };
    let token = surroundings.local_token.expose_secret();
    if bool::from(bearer.as_bytes().ct_eq(token.as_bytes())) {
        return Ok(Caller::Local);
    }
    let found = match id_of(bearer) {
        Some(id) => surroundings.store.find_key(id.to_owned()).await?,
        None => None,
    };
    let is_right = |key: &ApiKey| bool::from(key.digest.ct_eq(&digest_of(bearer)));
    let Some(key) = found.filter(is_right) else {
        return Err(unknown("this key is not known here, or was revoked"));
    };
    let now = surroundings.clock.now();
    if let Some(ended) = key.expires_at.filter(|end| *end <= now) {
        return Err(unknown(&format!("this key ended at {ended}; make another")));
    }
    let is_behind = |used| now.duration_since(used) >= USED_STEP;
    if key.used_at.is_none_or(is_behind) {
        surroundings.store.touch_key(key.id).await?;
    }
    Ok(Caller::Key(key.name, key.scopes))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn id_of(key: &str) -> Option<&str> {
    let (id, _) = key.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
    (id.len() == ID_LETTERS).then_some(id)
}

fn unknown(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "not signed in", detail)
}

fn lacks(scope: Scope) -> Problem {
    let scope = scope.as_str();
    let detail = format!("this key lacks the scope {scope}");
    let problem = Problem::new(StatusCode::FORBIDDEN, "not allowed", detail);
    problem.with(json!({ "scope": scope }))
}
