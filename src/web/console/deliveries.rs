//! Deliveries by filter, counted by state, reason and provider.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use url::form_urlencoded::Serializer;

use super::page;
use super::repair::Action;
use super::rows::Row;
use super::view::View;
use crate::model::address::Channel;
use crate::model::delivery::{Reason, State as DeliveryState};
use crate::store::{DeliveryFilter, Dimension};
use crate::web::Surroundings;
use crate::web::api::deliveries::FilterQuery;
use crate::web::api::{PageQuery, next};
use crate::web::problem::Problem;

/// How many rows a page has.
const ROWS: u32 = 50;

#[derive(Template)]
#[template(path = "deliveries.html")]
struct Deliveries {
    view: View,
    form: Form,
    count: String,
    tabs: Vec<Tab>,
    groups: Vec<Group>,
    repairs: Vec<RepairLink>,
    rows: Vec<Row>,
    is_first: bool,
    newest: String,
    older: Option<String>,
}

/// The filter as its form shows it.
struct Form {
    filter: FilterQuery,
    channels: Vec<Choice>,
    reasons: Vec<Choice>,
    providers: Vec<Choice>,
    kinds: Vec<Choice>,
    /// Whether a field is set that is not seen at first.
    is_open: bool,
    is_set: bool,
}

/// One entry of a list to choose from.
struct Choice {
    value: String,
    text: String,
    is_chosen: bool,
}

/// All of a state; opens the list of it.
struct Tab {
    text: &'static str,
    tone: &'static str,
    count: String,
    link: String,
    is_here: bool,
}

/// All with one reason at one provider; opens the list of it.
struct Group {
    reason: &'static str,
    provider: String,
    count: String,
    link: String,
}

/// A repair of all that the filter finds.
struct RepairLink {
    text: &'static str,
    count: String,
    link: String,
}

/// Deliveries, the newest first.
pub(super) async fn list(
    State(surroundings): State<Surroundings>,
    view: View,
    Query(query): Query<FilterQuery>,
    Query(position): Query<PageQuery>,
) -> Result<Response, Problem> {
    let store = &surroundings.store;
    let filter = read(&surroundings, &view, &query)?;
    let cursor = position.cursor()?;
    let by = vec![Dimension::State, Dimension::Reason, Dimension::Provider];
    let any_state = DeliveryFilter { states: Vec::new(), ..filter.clone() };
    let counts = Counts(store.count_deliveries_by(any_state, by).await?);
    let found = store.deliveries(filter.clone(), cursor, ROWS).await?;
    let is_full = found.len() == ROWS as usize;
    let next = found.last().and_then(|last| next(is_full, last.created_at, last.id.0));
    let older = next.map(|next| link("/deliveries", &query, &[("after", &next)]));
    Ok(page(&Deliveries {
        form: Form::of(&surroundings, &view, &query),
        count: view.count(counts.of_states(&filter.states)),
        tabs: counts.tabs(&view, &query),
        groups: counts.groups(&view, &query, &filter.states),
        repairs: counts.repairs(&view, &query, &filter.states),
        rows: found.iter().map(|delivery| Row::of(delivery, &view)).collect(),
        is_first: cursor.is_none(),
        newest: link("/deliveries", &query, &[]),
        older,
        view,
    }))
}

/// The filter with times on the viewer's clock.
pub(super) fn read(
    surroundings: &Surroundings,
    view: &View,
    query: &FilterQuery,
) -> Result<DeliveryFilter, Problem> {
    let time = |text: &Option<String>| {
        let read = text.as_deref().and_then(|text| view.read_time(text));
        read.map(|time| time.to_string()).or_else(|| text.clone())
    };
    let region = &surroundings.config.defaults.region;
    let filter =
        FilterQuery { since: time(&query.since), until: time(&query.until), ..query.clone() };
    filter.read(region)
}

/// The filter's fields that are set, by the names of the form.
pub(super) fn pairs(query: &FilterQuery) -> Vec<(&'static str, &str)> {
    let fields = [
        ("event", &query.event),
        ("business_key", &query.business_key),
        ("partner", &query.partner),
        ("contact", &query.contact),
        ("name", &query.name),
        ("address", &query.address),
        ("type", &query.kind),
        ("step", &query.step),
        ("channel", &query.channel),
        ("provider", &query.provider),
        ("state", &query.state),
        ("reason", &query.reason),
        ("code", &query.code),
        ("since", &query.since),
        ("until", &query.until),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// A link that keeps the filter but for the fields in `changes`; an empty value takes one away.
pub(super) fn link(room: &str, query: &FilterQuery, changes: &[(&str, &str)]) -> String {
    let mut text = Serializer::new(String::new());
    let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let kept = pairs(query).into_iter().filter(|(name, _)| !is_changed(name));
    text.extend_pairs(kept);
    text.extend_pairs(changes.iter().filter(|(_, value)| !value.is_empty()));
    match text.finish() {
        query if query.is_empty() => room.to_owned(),
        query => format!("{room}?{query}"),
    }
}

impl Form {
    fn of(surroundings: &Surroundings, view: &View, query: &FilterQuery) -> Self {
        let choices = |chosen: &Option<String>, all: Vec<(String, String)>| {
            let choice = |(value, text): (String, String)| Choice {
                is_chosen: chosen.as_ref() == Some(&value),
                value,
                text,
            };
            all.into_iter().map(choice).collect()
        };
        let word = |family: &str, word: &str| (word.to_owned(), view.word(family, word).to_owned());
        let named = |name: &str| (name.to_owned(), name.to_owned());
        let config = &surroundings.config;
        let hidden =
            ["provider", "reason", "partner", "contact", "address", "code", "step", "event"];
        let times = ["since", "until", "business_key"];
        let set = pairs(query);
        let is_hidden = |name: &&str| hidden.contains(name) || times.contains(name);
        let mut reasons: Vec<_> =
            Reason::ALL.iter().map(|reason| word("reason", reason.as_str())).collect();
        reasons.sort_by_key(|(_, text)| text.to_lowercase());
        Self {
            channels: choices(
                &query.channel,
                Channel::ALL.iter().map(|channel| word("channel", channel.as_str())).collect(),
            ),
            reasons: choices(&query.reason, reasons),
            providers: choices(
                &query.provider,
                config.providers.keys().map(|name| named(name.as_str())).collect(),
            ),
            kinds: choices(
                &query.kind,
                config.catalogue.types.keys().map(|name| named(name.as_str())).collect(),
            ),
            is_open: set.iter().any(|(name, _)| is_hidden(name)),
            is_set: set.iter().any(|(name, _)| *name != "state"),
            filter: query.clone(),
        }
    }

    /// A field's text, empty if it is not set.
    fn text(&self, name: &str) -> &str {
        let set = pairs(&self.filter).into_iter().find(|(field, _)| *field == name);
        set.map_or("", |(_, value)| value)
    }
}

/// Counts by state, reason and provider.
struct Counts(Vec<(Vec<String>, u64)>);

impl Counts {
    fn rows(&self) -> impl Iterator<Item = (DeliveryState, &str, &str, u64)> {
        self.0.iter().filter_map(|(words, count)| match words.as_slice() {
            [state, reason, provider] => {
                Some((DeliveryState::from_word(state)?, reason.as_str(), provider.as_str(), *count))
            }
            _ => None,
        })
    }

    /// How many are in one of these states; none means any.
    fn of_states(&self, states: &[DeliveryState]) -> u64 {
        let fits = |state: DeliveryState| states.is_empty() || states.contains(&state);
        self.rows().filter(|(state, ..)| fits(*state)).map(|(.., count)| count).sum()
    }

    fn tabs(&self, view: &View, query: &FilterQuery) -> Vec<Tab> {
        let here = query.state.as_deref().unwrap_or_default();
        let mut tabs = vec![Tab {
            text: view.t("deliveries.all"),
            tone: "",
            count: view.count(self.of_states(&[])),
            link: link("/deliveries", query, &[("state", "")]),
            is_here: here.is_empty(),
        }];
        for state in DeliveryState::ALL {
            let (word, count) = (state.as_str(), self.of_states(&[state]));
            if count > 0 || here == word {
                tabs.push(Tab {
                    text: view.word("state", word),
                    tone: word,
                    count: view.count(count),
                    link: link("/deliveries", query, &[("state", word)]),
                    is_here: here == word,
                });
            }
        }
        tabs
    }

    fn groups(&self, view: &View, query: &FilterQuery, states: &[DeliveryState]) -> Vec<Group> {
        let mut sums: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (state, reason, provider, count) in self.rows() {
            if states.is_empty() || states.contains(&state) {
                *sums.entry((reason, provider)).or_default() += count;
            }
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let group = |((reason, provider), count): ((&str, &str), u64)| Group {
            reason: view.word("reason", reason),
            provider: provider.to_owned(),
            count: view.count(count),
            link: link("/deliveries", query, &[("reason", reason), ("provider", provider)]),
        };
        sums.into_iter().map(group).collect()
    }

    fn repairs(
        &self,
        view: &View,
        query: &FilterQuery,
        states: &[DeliveryState],
    ) -> Vec<RepairLink> {
        let repair = |action: Action| {
            let fit: Vec<_> = action.fitting(states);
            let count = if fit.is_empty() { 0 } else { self.of_states(&fit) };
            (count > 0).then(|| RepairLink {
                text: action.all(view),
                count: view.count(count),
                link: link("/deliveries/repair", query, &[("action", action.as_str())]),
            })
        };
        Action::ALL.into_iter().filter_map(repair).collect()
    }
}
