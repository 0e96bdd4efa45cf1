//! The ways out: how each does, held and released.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{Redirect, Response};
use serde::Deserialize;

use super::page;
use super::view::{Badge, View};
use crate::model::id::ProviderName;
use crate::model::outcome::VerdictClass;
use crate::pipeline::Station;
use crate::provider;
use crate::send::breaker::BreakerState;
use crate::store::ProviderHold;
use crate::web::Surroundings;
use crate::web::api::providers::{hold_provider, known, release_provider, send_test};
use crate::web::problem::Problem;

/// A provider as a row of a list.
pub(super) struct ProviderRow {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) channels: String,
    pub(super) badge: Badge,
    /// Why it is on hold, or until when it is not called.
    pub(super) why: String,
    pub(super) is_held: bool,
    /// Calls under way, of how many at most.
    pub(super) busy: String,
    pub(super) rate: String,
    /// What came of the test message that was just sent.
    pub(super) tried: Option<(Badge, String)>,
}

#[derive(Template)]
#[template(path = "providers.html")]
struct ProvidersPage {
    view: View,
    rows: Vec<ProviderRow>,
}

impl ProviderRow {
    /// Every provider of this process.
    pub(super) fn all(
        surroundings: &Surroundings,
        view: &View,
        holds: &[ProviderHold],
    ) -> Vec<Self> {
        let stations = surroundings.pipeline.desks().stations();
        stations.map(|station| Self::of(station, view, holds)).collect()
    }

    fn of(station: &Station, view: &View, holds: &[ProviderHold]) -> Self {
        let desk = &station.desk;
        let settings = desk.settings();
        let hold = holds.iter().find(|hold| hold.provider == *desk.name());
        let (badge, why) = standing(station, view, hold);
        let kind = provider::find_kind(&settings.kind);
        let channels = kind.map(|kind| kind.channels).unwrap_or_default();
        let channels = channels.iter().map(|channel| view.word("channel", channel.as_str()));
        let busy = settings.concurrency.saturating_sub(desk.free_slots());
        Self {
            name: desk.name().to_string(),
            kind: settings.kind.clone(),
            channels: channels.collect::<Vec<_>>().join(", "),
            badge,
            why,
            is_held: hold.is_some(),
            busy: format!("{busy} / {}", settings.concurrency),
            rate: match settings.rate {
                Some(rate) => view.t("providers.a_second").replace("{}", &rate.to_string()),
                None => view.t("providers.no_limit").to_owned(),
            },
            tried: None,
        }
    }
}

/// How a provider stands, and why.
fn standing(station: &Station, view: &View, hold: Option<&ProviderHold>) -> (Badge, String) {
    let badge = |tone, text| Badge { tone, text };
    if let Some(hold) = hold {
        let age = view.t("providers.since").replace("{}", &view.age(hold.since));
        let by = view.t("providers.by").replace("{}", view.author(&hold.held_by));
        let why = format!("{} ({by}, {age})", hold.reason);
        return (badge("held", view.t("providers.held")), why);
    }
    let until = station.desk.opens_at().filter(|opens| *opens > view.now);
    let wait = until.map(|until| {
        let wait = until.duration_since(view.now);
        let wait = view.span(std::time::Duration::try_from(wait).unwrap_or_default());
        view.t("providers.again_in").replace("{}", &wait)
    });
    let why = wait.unwrap_or_default();
    match station.desk.breaker_state() {
        BreakerState::Closed if why.is_empty() => (badge("sent", view.t("providers.works")), why),
        BreakerState::Closed => (badge("held", view.t("providers.paused")), why),
        BreakerState::Open => (badge("failed", view.t("providers.broken")), why),
        BreakerState::HalfOpen => (badge("held", view.t("providers.probing")), why),
    }
}

/// Every provider, with what can be done about it.
pub(super) async fn show(
    State(surroundings): State<Surroundings>,
    view: View,
) -> Result<Response, Problem> {
    let holds = surroundings.store.provider_holds().await?;
    Ok(page(&ProvidersPage { rows: ProviderRow::all(&surroundings, &view, &holds), view }))
}

/// Why a provider is put on hold.
#[derive(Debug, Default, Deserialize)]
pub(super) struct HoldForm {
    #[serde(default)]
    reason: String,
}

/// Puts a provider on hold.
pub(super) async fn hold(
    State(surroundings): State<Surroundings>,
    view: View,
    Path(name): Path<String>,
    Form(form): Form<HoldForm>,
) -> Result<Redirect, Problem> {
    let name: ProviderName = known(&surroundings, name)?;
    let reason: String = form.reason.trim().chars().take(200).collect();
    let reason = match reason.is_empty() {
        true => view.t("providers.by_hand").to_owned(),
        false => reason,
    };
    hold_provider(&surroundings, &name, reason, view.user.clone()).await?;
    Ok(Redirect::to("/providers?done=provider_held"))
}

/// Ends a provider's hold.
pub(super) async fn release(
    State(surroundings): State<Surroundings>,
    Path(name): Path<String>,
) -> Result<Redirect, Problem> {
    let name = known(&surroundings, name)?;
    release_provider(&surroundings, &name).await?;
    Ok(Redirect::to("/providers?done=provider_released"))
}

/// Whom a test message is for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TestForm {
    #[serde(default)]
    to: String,
}

/// Sends one test message, even if the provider is on hold, and shows what it answered.
pub(super) async fn test(
    State(surroundings): State<Surroundings>,
    view: View,
    Path(name): Path<String>,
    Form(form): Form<TestForm>,
) -> Result<Response, Problem> {
    let name = known(&surroundings, name)?;
    let trial = send_test(&surroundings, &name, &form.to).await?;
    let class = trial.outcome.verdict.class();
    let tone = match class {
        VerdictClass::Accepted => "sent",
        VerdictClass::Later | VerdictClass::Unknown => "held",
        VerdictClass::Refused | VerdictClass::BadAddress | VerdictClass::Misconfigured => "failed",
    };
    let badge = Badge { tone, text: view.word("class", class.as_str()) };
    let answer = trial.outcome.answer;
    let took = trial.took.as_millis();
    let said = format!("{} {} ({took} ms)", answer.code.unwrap_or_default(), answer.text);
    let holds = surroundings.store.provider_holds().await?;
    let mut rows = ProviderRow::all(&surroundings, &view, &holds);
    if let Some(row) = rows.iter_mut().find(|row| row.name == name.as_str()) {
        row.tried = Some((badge, said.trim().to_owned()));
    }
    Ok(page(&ProvidersPage { view, rows }))
}
