//! Providers: how they do, held, released and tested.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::model::address::{Address, Channel};
use crate::model::contact::Suppression;
use crate::model::id::ProviderName;
use crate::model::outcome::{Answer, Verdict};
use crate::pipeline::Trial;
use crate::provider::find_kind;
use crate::web::Surroundings;
use crate::web::auth::bearer::Author;
use crate::web::problem::Problem;

/// Every provider with its pace, its breaker and its hold.
pub(in crate::web) async fn list(
    State(surroundings): State<Surroundings>,
) -> Result<Json<Value>, Problem> {
    let holds = surroundings.store.provider_holds().await?;
    let row = |station: &std::sync::Arc<crate::pipeline::Station>| {
        let desk = &station.desk;
        let settings = desk.settings();
        let hold = holds.iter().find(|hold| hold.provider == *desk.name());
        json!({
            "name": desk.name(), "kind": settings.kind, "concurrency": settings.concurrency,
            "rate": settings.rate, "breaker": desk.breaker_state().as_str(),
            "opens_at": desk.opens_at(), "hold": hold,
        })
    };
    let rows: Vec<Value> = surroundings.pipeline.desks().stations().map(row).collect();
    Ok(Json(json!({ "providers": rows })))
}

/// Puts a provider on hold; the body may say why.
pub(in crate::web) async fn hold(
    State(surroundings): State<Surroundings>,
    Extension(author): Extension<Author>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let name = known(&surroundings, name)?;
    let reason = String::from_utf8_lossy(&body).trim().chars().take(200).collect::<String>();
    let reason = if reason.is_empty() { "held by an operator".to_owned() } else { reason };
    let is_new = hold_provider(&surroundings, &name, reason, author.0).await?;
    Ok(Json(json!({ "held": true, "was_held": !is_new })))
}

/// Puts a provider on hold, from here on at once; says whether it was not before.
pub(in crate::web) async fn hold_provider(
    surroundings: &Surroundings,
    name: &ProviderName,
    reason: String,
    by: String,
) -> Result<bool, Problem> {
    let is_new = surroundings.store.hold_provider(name.clone(), reason, by).await?;
    surroundings.pipeline.desks().heed_hold(name, true);
    Ok(is_new)
}

/// Ends a provider's hold.
pub(in crate::web) async fn release(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let name = known(&surroundings, name)?;
    let was_held = release_provider(&surroundings, &name).await?;
    Ok(Json(json!({ "held": false, "was_held": was_held })))
}

/// Ends a provider's hold, from here on at once; says whether there was one.
pub(in crate::web) async fn release_provider(
    surroundings: &Surroundings,
    name: &ProviderName,
) -> Result<bool, Problem> {
    let was_held = surroundings.store.release_provider(name.clone()).await?;
    surroundings.pipeline.desks().heed_hold(name, false);
    Ok(was_held)
}

/// Whom a test message is for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct TestBody {
    /// An email address, a phone number, or the id or URL of a chat; none for a chat whose place
    /// is the provider's own.
    #[serde(default)]
    to: Option<String>,
}

/// Sends one test message, even if the provider is on hold.
pub(in crate::web) async fn test(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
    Json(body): Json<TestBody>,
) -> Result<Json<Value>, Problem> {
    let name = known(&surroundings, name)?;
    if body.to.as_deref().is_some_and(|to| to.trim().is_empty()) {
        let text =
            "is empty; write an address, or leave it out for the chat that the provider names";
        return Err(Problem::bad_request("/to", text));
    }
    let to = body.to.as_deref().unwrap_or_default();
    let Trial { outcome, took } = send_test(&surroundings, &name, to).await?;
    let class = outcome.verdict.class().as_str();
    let message_id = match outcome.verdict {
        Verdict::Accepted { message_id } => message_id,
        Verdict::Refused
        | Verdict::Later { .. }
        | Verdict::BadAddress
        | Verdict::Misconfigured
        | Verdict::Unknown => None,
    };
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let Answer { code, text } = outcome.answer;
    Ok(Json(json!({
        "provider": name, "outcome": class, "code": code, "answer": text,
        "message_id": message_id, "took_ms": took_ms,
    })))
}

/// Sends one test message by a provider to what a person wrote, unless the address is suppressed.
pub(in crate::web) async fn send_test(
    surroundings: &Surroundings,
    name: &ProviderName,
    to: &str,
) -> Result<Trial, Problem> {
    let to = address(surroundings, name, to.trim())?;
    let suppressed = surroundings.store.suppressions_of(vec![to.clone()]).await?;
    if let Some(Suppression { reason, .. }) = suppressed.first() {
        let text = "must not be used";
        let help = "lift that first, or test by another address";
        return Err(Problem::conflict(format!("this address {text} ({reason}); {help}")));
    }
    // A little less than any request has, so that whoever asks hears that there was no answer.
    let patience = surroundings.config.http.timeout.mul_f64(0.9);
    let tried = surroundings.pipeline.try_provider(name, to, patience).await;
    let trial = tried.ok_or_else(|| Problem::not_found("provider"))?;
    let class = trial.outcome.verdict.class().as_str();
    tracing::info!(provider = %name, "sent a test message by provider {name}: {class}");
    Ok(trial)
}

/// The address that `to` means on the channel of a provider; one that serves several channels gets
/// what the text looks like.
fn address(surroundings: &Surroundings, name: &ProviderName, to: &str) -> Result<Address, Problem> {
    let station = surroundings.pipeline.desks().find(name);
    let kind = station.and_then(|station| find_kind(&station.desk.settings().kind));
    let channel = match kind.map(|kind| kind.channels) {
        Some([only]) => *only,
        _ if to.contains('@') => Channel::Email,
        _ if to.starts_with(['+', '0']) => Channel::Sms,
        _ => Channel::Chat,
    };
    let read = match channel {
        Channel::Email => Address::email(to),
        Channel::Sms => Address::phone(to, &surroundings.config.defaults.region),
        Channel::Chat if to.is_empty() => Address::chat(name.as_str()),
        Channel::Chat => Address::chat(&format!("{name}:{to}")),
    };
    read.map_err(|error| Problem::bad_request("/to", error.to_string()))
}

/// The name of a provider of this process.
pub(in crate::web) fn known(
    surroundings: &Surroundings,
    name: String,
) -> Result<ProviderName, Problem> {
    let name = ProviderName(name);
    let found = surroundings.pipeline.desks().find(&name);
    found.map(|_| name).ok_or_else(|| Problem::not_found("provider"))
}
