//! Providers: how they do, held and released.

use axum::Json;
use axum::extract::{Path, State};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::model::id::ProviderName;
use crate::web::Surroundings;
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
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let name = known(&surroundings, name)?;
    let reason = String::from_utf8_lossy(&body).trim().chars().take(200).collect::<String>();
    let reason = if reason.is_empty() { "held by an operator".to_owned() } else { reason };
    let is_new =
        surroundings.store.hold_provider(name.clone(), reason, "operator".to_owned()).await?;
    surroundings.pipeline.desks().heed_hold(&name, true);
    Ok(Json(json!({ "held": true, "was_held": !is_new })))
}

/// Ends a provider's hold.
pub(in crate::web) async fn release(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let name = known(&surroundings, name)?;
    let was_held = surroundings.store.release_provider(name.clone()).await?;
    surroundings.pipeline.desks().heed_hold(&name, false);
    Ok(Json(json!({ "held": false, "was_held": was_held })))
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
