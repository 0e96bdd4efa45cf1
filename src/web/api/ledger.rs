//! The ledger.

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use crate::web::Surroundings;
use crate::web::problem::Problem;

/// Whether the rows are to be counted too.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct LedgerQuery {
    /// `true`: counts the rows too, which takes a while.
    #[serde(default)]
    audit: bool,
}

/// The ledger, what waits, and on request an audit of the rows.
pub(in crate::web) async fn show(
    State(surroundings): State<Surroundings>,
    Query(query): Query<LedgerQuery>,
) -> Result<Json<Value>, Problem> {
    let ledger = surroundings.store.ledger().await?;
    let backlog = surroundings.store.backlog().await?;
    let mut body = json!({ "ledger": ledger, "backlog": backlog });
    if query.audit {
        body["audit"] = json!(surroundings.store.audit().await?);
    }
    Ok(Json(body))
}
