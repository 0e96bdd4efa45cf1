//! The ledger at a glance: what came, what became of it, what waits, and how the ways out do.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::page;
use super::providers::ProviderRow;
use super::view::{Badge, View};
use crate::model::catalogue::Lane;
use crate::model::delivery::State as DeliveryState;
use crate::model::ledger::{DeliveryLedger, Ledger};
use crate::store::{Backlog, DeliveryFilter, Dimension};
use crate::web::Surroundings;
use crate::web::problem::Problem;
use crate::web::rates::Rate;

/// States in which somebody should look.
const TROUBLE: [DeliveryState; 4] =
    [DeliveryState::Held, DeliveryState::Failed, DeliveryState::Bounced, DeliveryState::Expired];

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    view: View,
    closes: bool,
    gap: String,
    received: String,
    events: Vec<Term>,
    planned: String,
    deliveries: Vec<Term>,
    overdue: Option<String>,
    lanes: Vec<LaneRow>,
    outbox: String,
    pages: String,
    rates: Vec<RateCard>,
    providers: Vec<ProviderRow>,
    troubles: Vec<Trouble>,
    types: Vec<TypeRow>,
}

/// One figure of a sum.
struct Term {
    count: String,
    text: &'static str,
    tone: &'static str,
    link: String,
    is_nothing: bool,
}

struct LaneRow {
    text: &'static str,
    age: Option<String>,
    is_late: bool,
}

struct RateCard {
    text: &'static str,
    a_minute: String,
    bars: Vec<Bar>,
}

/// One minute of a chart of 30 by 24 units.
struct Bar {
    x: usize,
    y: i64,
    height: i64,
}

struct Trouble {
    badge: Badge,
    reason: &'static str,
    provider: String,
    count: String,
    link: String,
}

struct TypeRow {
    kind: String,
    planned: String,
    counts: Vec<(&'static str, String)>,
    closes: bool,
}

/// The ledger, what is late, and the providers.
pub(super) async fn show(
    State(surroundings): State<Surroundings>,
    view: View,
) -> Result<Response, Problem> {
    let store = &surroundings.store;
    let ledger = store.ledger().await?;
    let backlog = store.backlog().await?;
    let wanted = DeliveryFilter { states: TROUBLE.to_vec(), ..DeliveryFilter::default() };
    let by = vec![Dimension::State, Dimension::Reason, Dimension::Provider];
    let troubles = store.count_deliveries_by(wanted, by).await?;
    let holds = store.provider_holds().await?;
    let rates = [
        (view.t("rate.events"), surroundings.rates.events(view.now)),
        (view.t("rate.sent"), surroundings.rates.sent(view.now)),
    ];
    let overdue = (backlog.overdue > 0).then(|| view.count(backlog.overdue));
    Ok(page(&Overview {
        closes: ledger.closes,
        gap: view.number(ledger.gap()),
        received: view.number(ledger.events.received),
        events: events(&view, &ledger),
        planned: view.number(ledger.deliveries.planned),
        deliveries: deliveries(&view, &ledger.deliveries),
        overdue,
        lanes: lanes(&view, &backlog),
        outbox: view.count(backlog.outbox),
        pages: view.count(backlog.pages),
        rates: rates.into_iter().map(|(text, rate)| rate_card(text, &rate)).collect(),
        providers: ProviderRow::all(&surroundings, &view, &holds),
        troubles: troubles.into_iter().filter_map(|row| trouble(&view, row)).collect(),
        types: types(&view, &ledger),
        view,
    }))
}

fn events(view: &View, ledger: &Ledger) -> Vec<Term> {
    let events = &ledger.events;
    let term = |text, tone, count: i64, link: &str| Term {
        count: view.number(count),
        text,
        tone,
        link: link.to_owned(),
        is_nothing: count == 0,
    };
    vec![
        term(view.t("events.planned"), "sent", events.planned, "/events?state=planned"),
        term(view.t("events.planning"), "waiting", events.planning, "/events?state=planning"),
        term(view.t("events.rejected"), "failed", events.rejected, "/rejected"),
        term(view.t("events.repeats"), "skipped", events.repeats, "/events?state=repeated"),
    ]
}

fn deliveries(view: &View, ledger: &DeliveryLedger) -> Vec<Term> {
    let term = |state: DeliveryState| {
        let word = state.as_str();
        let count = ledger.states.get(word).copied().unwrap_or(0);
        Term {
            count: view.number(count),
            text: view.word("state", word),
            tone: word,
            link: format!("/deliveries?state={word}"),
            is_nothing: count == 0,
        }
    };
    DeliveryState::ALL.into_iter().map(term).collect()
}

fn lanes(view: &View, backlog: &Backlog) -> Vec<LaneRow> {
    /// From this age on a due delivery is overdue.
    const LATE_SECONDS: i64 = 300;
    let row = |lane: Lane| {
        let oldest = backlog.oldest_due.get(lane.as_str());
        let seconds = oldest.map_or(0, |oldest| view.now.duration_since(*oldest).as_secs());
        LaneRow {
            text: view.word("lane", lane.as_str()),
            age: oldest.map(|oldest| view.age(*oldest)),
            is_late: seconds >= LATE_SECONDS,
        }
    };
    Lane::ALL.into_iter().map(row).collect()
}

fn rate_card(text: &'static str, rate: &Rate) -> RateCard {
    const HEIGHT: i64 = 24;
    let most = rate.minutes.iter().copied().max().unwrap_or(0).max(1);
    let bar = |(x, count): (usize, &i64)| {
        // What is not nothing is seen.
        let height = (count * HEIGHT / most).max(i64::from(*count > 0) * 2);
        Bar { x, y: HEIGHT - height, height }
    };
    RateCard {
        text,
        a_minute: rate.a_minute.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.0}")),
        bars: rate.minutes.iter().enumerate().map(bar).collect(),
    }
}

fn trouble(view: &View, (words, count): (Vec<String>, u64)) -> Option<Trouble> {
    let [state, reason, provider] = words.as_slice() else { return None };
    let mut link = url::form_urlencoded::Serializer::new(String::new());
    link.append_pair("state", state).append_pair("reason", reason);
    if !provider.is_empty() {
        link.append_pair("provider", provider);
    }
    Some(Trouble {
        badge: view.badge(DeliveryState::from_word(state)?),
        reason: view.word("reason", reason),
        provider: provider.clone(),
        count: view.count(count),
        link: format!("/deliveries?{}", link.finish()),
    })
}

fn types(view: &View, ledger: &Ledger) -> Vec<TypeRow> {
    let row = |(kind, ledger): (&String, &DeliveryLedger)| {
        let of = |states: &[&str]| {
            let count: i64 = states.iter().filter_map(|state| ledger.states.get(state)).sum();
            if count == 0 { "·".to_owned() } else { view.number(count) }
        };
        TypeRow {
            kind: kind.clone(),
            planned: view.number(ledger.planned),
            counts: vec![
                (view.t("state.waiting"), of(&["waiting"])),
                (view.t("state.held"), of(&["held"])),
                (view.t("overview.arrived"), of(&["sent", "delivered"])),
                (view.t("overview.lost"), of(&["bounced", "failed"])),
                (view.t("overview.not_wanted"), of(&["skipped", "expired", "cancelled"])),
            ],
            closes: ledger.closes,
        }
    };
    ledger.by_type.iter().map(row).collect()
}
