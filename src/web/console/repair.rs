//! Repairs: retry, cancel, hold and release, one delivery or all that a filter finds.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{Redirect, Response};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::deliveries::{link, pairs, read};
use super::page;
use super::rows::Row;
use super::view::View;
use crate::model::delivery::{Delivery, State as DeliveryState};
use crate::store::{DeliveryFilter, Repair, Repaired};
use crate::web::Surroundings;
use crate::web::api::deliveries::{FilterQuery, MAX_REPAIRS, find};
use crate::web::problem::Problem;

/// How many deliveries the question shows.
const SHOWN: u32 = 10;
/// How long what is too late may be sent after it is retried.
const AGAIN_FOR: SignedDuration = SignedDuration::from_hours(24);

/// What an operator does to deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Retry,
    Release,
    Hold,
    Cancel,
}

impl Action {
    pub(super) const ALL: [Self; 4] = [Self::Retry, Self::Release, Self::Hold, Self::Cancel];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Release => "release",
            Self::Hold => "hold",
            Self::Cancel => "cancel",
        }
    }

    /// The states it is for.
    fn states(self) -> &'static [DeliveryState] {
        self.repair(None).states()
    }

    /// Those of `wanted` it is for; none wanted means any.
    pub(super) fn fitting(self, wanted: &[DeliveryState]) -> Vec<DeliveryState> {
        self.repair(None).fitting(wanted)
    }

    /// What its button says.
    pub(super) fn text(self, view: &View) -> &'static str {
        match self {
            Self::Retry => view.t("repair.retry"),
            Self::Release => view.t("repair.release"),
            Self::Hold => view.t("repair.hold"),
            Self::Cancel => view.t("repair.cancel"),
        }
    }

    /// What its link to all of a list says.
    pub(super) fn all(self, view: &View) -> &'static str {
        match self {
            Self::Retry => view.t("repair.retry_all"),
            Self::Release => view.t("repair.release_all"),
            Self::Hold => view.t("repair.hold_all"),
            Self::Cancel => view.t("repair.cancel_all"),
        }
    }

    /// What it will do, in a sentence.
    fn about(self, view: &View) -> &'static str {
        match self {
            Self::Retry => view.t("repair.retry_about"),
            Self::Release => view.t("repair.release_about"),
            Self::Hold => view.t("repair.hold_about"),
            Self::Cancel => view.t("repair.cancel_about"),
        }
    }

    fn repair(self, new_expiry: Option<Timestamp>) -> Repair {
        match self {
            Self::Retry => Repair::Retry { new_expiry },
            Self::Release => Repair::Release,
            Self::Hold => Repair::Hold,
            Self::Cancel => Repair::Cancel,
        }
    }
}

/// A button of one delivery.
pub(super) struct Button {
    pub(super) action: &'static str,
    pub(super) text: &'static str,
    /// Whether it is the one to press.
    pub(super) is_main: bool,
}

/// The buttons that fit a delivery's state, the most likely first.
pub(super) fn buttons(view: &View, state: DeliveryState) -> Vec<Button> {
    let fitting = Action::ALL.into_iter().filter(|action| action.states().contains(&state));
    let button = |(at, action): (usize, Action)| Button {
        action: action.as_str(),
        text: action.text(view),
        is_main: at == 0,
    };
    fitting.enumerate().map(button).collect()
}

/// Which repair is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    action: Action,
}

#[derive(Template)]
#[template(path = "repair.html")]
struct RepairPage {
    view: View,
    action: Action,
    text: &'static str,
    about: &'static str,
    count: u64,
    counted: String,
    /// How many are left over, if there are more than one repair takes.
    limit: Option<String>,
    fields: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    back: String,
}

/// Asks, with the count, before anything is done.
pub(super) async fn confirm(
    State(surroundings): State<Surroundings>,
    view: View,
    Query(wish): Query<Wish>,
    Query(query): Query<FilterQuery>,
) -> Result<Response, Problem> {
    let store = &surroundings.store;
    let filter = fitting(&surroundings, &view, wish.action, &query)?;
    let (count, found) = match filter {
        Some(filter) => (
            store.count_deliveries(filter.clone()).await?,
            store.deliveries(filter, None, SHOWN).await?,
        ),
        None => (0, Vec::new()),
    };
    let is_more = count > u64::from(MAX_REPAIRS);
    let fields = pairs(&query).into_iter().map(|(name, value)| (name, value.to_owned()));
    Ok(page(&RepairPage {
        action: wish.action,
        text: wish.action.all(&view),
        about: wish.action.about(&view),
        count,
        counted: view.count(count),
        limit: is_more.then(|| view.count(u64::from(MAX_REPAIRS))),
        fields: fields.collect(),
        rows: found.iter().map(|delivery| Row::of(delivery, &view)).collect(),
        back: link("/deliveries", &query, &[]),
        view,
    }))
}

/// Which repair is asked for, of what the filter finds.
#[derive(Debug, Deserialize)]
pub(super) struct RepairForm {
    action: Action,
    #[serde(flatten)]
    query: FilterQuery,
}

/// Repairs all that the filter finds and the action is for.
pub(super) async fn all(
    State(surroundings): State<Surroundings>,
    view: View,
    Form(RepairForm { action, query }): Form<RepairForm>,
) -> Result<Redirect, Problem> {
    let found = match fitting(&surroundings, &view, action, &query)? {
        Some(filter) => surroundings.store.deliveries(filter, None, MAX_REPAIRS).await?,
        None => Vec::new(),
    };
    let results = repair(&surroundings, &view, &found, action).await?;
    let is_done = |result: &&Repaired| matches!(result, Repaired::Moved(_) | Repaired::Noted);
    let count = results.iter().filter(is_done).count().to_string();
    let changes = [("state", ""), ("done", action.as_str()), ("count", &count)];
    Ok(Redirect::to(&link("/deliveries", &query, &changes)))
}

/// Repairs one delivery.
pub(super) async fn one(
    State(surroundings): State<Surroundings>,
    view: View,
    Path(id): Path<String>,
    Form(wish): Form<Wish>,
) -> Result<Redirect, Problem> {
    let delivery = find(&surroundings, &id).await?.delivery;
    let place = format!("/deliveries/{}", delivery.id);
    let results = repair(&surroundings, &view, &[delivery], wish.action).await?;
    let done = match results.first() {
        Some(Repaired::Moved(_)) => wish.action.as_str(),
        Some(Repaired::Noted) => "noted",
        Some(Repaired::Unfit(_) | Repaired::Missing) | None => "unfit",
    };
    Ok(Redirect::to(&format!("{place}?done={done}")))
}

/// The filter, narrowed to states the action is for; none if no state is.
fn fitting(
    surroundings: &Surroundings,
    view: &View,
    action: Action,
    query: &FilterQuery,
) -> Result<Option<DeliveryFilter>, Problem> {
    let filter = read(surroundings, view, query)?;
    let states = action.fitting(&filter.states);
    Ok((!states.is_empty()).then_some(DeliveryFilter { states, ..filter }))
}

/// Does it; what is tried again although it is too late gets another day.
async fn repair(
    surroundings: &Surroundings,
    view: &View,
    deliveries: &[Delivery],
    action: Action,
) -> Result<Vec<Repaired>, Problem> {
    let (late, timely): (Vec<&Delivery>, Vec<&Delivery>) =
        deliveries.iter().partition(|delivery| delivery.expires_at <= view.now);
    let mut results = Vec::with_capacity(deliveries.len());
    for (group, new_expiry) in [(timely, None), (late, Some(view.now + AGAIN_FOR))] {
        let ids: Vec<_> = group.into_iter().map(|delivery| delivery.id).collect();
        if !ids.is_empty() {
            let repair = action.repair(new_expiry);
            results.extend(surroundings.store.repair(ids, repair, &view.user).await?);
        }
    }
    surroundings.pipeline.desks().wake_all();
    Ok(results)
}
