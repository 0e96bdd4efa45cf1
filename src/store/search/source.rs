//! Where deliveries are looked for, and the statements of their lists.

use std::collections::BTreeSet;

use crate::model::address::Channel;
use crate::model::delivery::{Reason, State};
use crate::store::conditions::Conditions;
use crate::store::engine::Value;
use crate::store::rows::DELIVERY;
use crate::store::search::{Cursor, DeliveryFilter};

/// Where to look for deliveries: what sets a few of them apart stands in narrow tables.
#[derive(Clone, Copy)]
pub(super) enum Source<'f> {
    /// All of them.
    Every,
    /// Those that wait and that nobody holds.
    Waiting,
    /// Those that are being sent.
    Claimed,
    /// Those that are not as nearly all are, by the column that says so.
    Notable(&'static str, &'f str),
}

/// What nearly every delivery comes to; such ones are in `notable` only for something else.
const COMMON_REASONS: [Reason; 2] = [Reason::Scheduled, Reason::Accepted];
pub(super) const COMMON_CODES: [&str; 3] = ["200", "202", "250"];

impl<'f> Source<'f> {
    /// Where those that fit are found; no delivery is in two of these.
    pub(super) fn of(filter: &'f DeliveryFilter) -> Vec<Self> {
        let DeliveryFilter { event, event_id, business_key, contact, address, .. } = filter;
        let few = [event_id, business_key, contact, address];
        if event.is_some() || few.iter().any(|one| one.is_some()) {
            return vec![Self::Every];
        }
        if let Some(reason) = filter.reason.filter(|reason| !COMMON_REASONS.contains(reason)) {
            return vec![Self::Notable("notable.reason", reason.as_str())];
        }
        if let Some(code) = filter.code.as_deref().filter(|code| !COMMON_CODES.contains(code)) {
            return vec![Self::Notable("notable.code", code)];
        }
        let is_common = |state: &State| matches!(state, State::Sent | State::Delivered);
        if filter.states.is_empty() || filter.states.iter().any(is_common) {
            return vec![Self::Every];
        }
        let states: BTreeSet<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        let of_state = |state| match state {
            "waiting" => vec![Self::Waiting, Self::Claimed],
            state => vec![Self::Notable("notable.state", state)],
        };
        states.into_iter().flat_map(of_state).collect()
    }

    /// The tables, joined so that the narrow one leads to the other, and all that must hold but for
    /// the name.
    pub(super) fn conditions(self, filter: &DeliveryFilter) -> (String, Conditions) {
        let mut query = conditions(filter);
        let narrow = match self {
            Self::Every => return ("FROM delivery".to_owned(), query),
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::Notable(column, value) => {
                query.compare(&format!("{column} ="), Some(value));
                "notable"
            }
        };
        query.add(format!("delivery.id = {narrow}.delivery"));
        (format!("FROM {narrow} CROSS JOIN delivery"), query)
    }

    /// The columns that a list is in the order of.
    fn order(self) -> (&'static str, &'static str) {
        match self {
            Self::Every | Self::Claimed => ("delivery.created_at", "delivery.id"),
            Self::Waiting => ("waiting.created_at", "waiting.delivery"),
            Self::Notable(..) => ("notable.created_at", "notable.delivery"),
        }
    }

    /// The statement that finds the first `limit` of the stretch that fit, with its parameters.
    pub(super) fn list(
        self,
        filter: &DeliveryFilter,
        stretch: Stretch,
        limit: u32,
    ) -> (String, Vec<Value>) {
        let (from, mut query) = self.conditions(filter);
        query.named_row_by_row(filter);
        let (at, id) = self.order();
        query.behind((at, id), stretch.after);
        query.before((at, id), stretch.end);
        let limit = query.param(limit);
        let sql = format!(
            "SELECT {DELIVERY} {from} {} ORDER BY {at} DESC, {id} DESC LIMIT {limit}",
            query.where_clause()
        );
        (sql, query.params)
    }

    /// The statement that finds where a stretch of `length` behind `after` ends: of the rows that
    /// one index leads to in the order of a list. Nothing where all that can fit are few.
    pub(super) fn end(
        self,
        filter: &DeliveryFilter,
        after: Option<Cursor>,
        length: u32,
    ) -> Option<(String, Vec<Value>)> {
        let mut query = Conditions::default();
        let from = match self {
            Self::Every if is_of_few(filter) => return None,
            Self::Claimed => return None,
            Self::Every => {
                one_of_the_indexed(&mut query, filter);
                "delivery"
            }
            Self::Waiting => "waiting",
            Self::Notable(column, value) => {
                query.compare(&format!("{column} ="), Some(value));
                "notable"
            }
        };
        let (at, id) = self.order();
        query.compare(&format!("{at} >="), filter.since);
        query.compare(&format!("{at} <"), filter.until);
        query.behind((at, id), after);
        let skipped = query.param(length);
        let sql = format!(
            "SELECT {at}, {id} FROM {from} {} ORDER BY {at} DESC, {id} DESC \
             LIMIT 1 OFFSET {skipped}",
            query.where_clause()
        );
        Some((sql, query.params))
    }
}

/// A stretch of a list: behind `after` and before `end`, where they are given.
#[derive(Clone, Copy, Default)]
pub(super) struct Stretch {
    pub(super) after: Option<Cursor>,
    pub(super) end: Option<Cursor>,
}

/// The statements of a list, each with its parameters; together they find the first `limit`.
pub(in crate::store) fn lists(
    filter: &DeliveryFilter,
    after: Option<Cursor>,
    limit: u32,
) -> Vec<(String, Vec<Value>)> {
    let stretch = Stretch { after, end: None };
    Source::of(filter).into_iter().map(|source| source.list(filter, stretch, limit)).collect()
}

/// Whether few deliveries can fit, however many there are.
fn is_of_few(filter: &DeliveryFilter) -> bool {
    let DeliveryFilter { event, event_id, business_key, .. } = filter;
    event.is_some() || event_id.is_some() || business_key.is_some()
}

/// Adds the one condition whose index leads to the fewest rows in the order of a list.
fn one_of_the_indexed(query: &mut Conditions, filter: &DeliveryFilter) {
    let indexed = [
        ("delivery.recipient_key =", filter.contact.clone()),
        ("delivery.address =", filter.address.as_deref().map(as_stored)),
        ("delivery.partner =", filter.partner.clone()),
        ("delivery.event_type =", filter.event_type.clone()),
        ("delivery.provider =", filter.provider.clone()),
    ];
    if let Some((left, value)) = indexed.into_iter().find(|(_, value)| value.is_some()) {
        query.compare(left, value);
    }
}

/// An address as it is stored: in lower case, but for the targets of chats.
fn as_stored(address: &str) -> String {
    match address.contains('@') {
        true => address.to_lowercase(),
        false => address.to_owned(),
    }
}

fn conditions(filter: &DeliveryFilter) -> Conditions {
    let mut query = Conditions::default();
    query.compare("delivery.event =", filter.event.map(|id| id.0));
    query.compare("delivery.business_key =", filter.business_key.clone());
    query.compare("delivery.partner =", filter.partner.clone());
    query.compare("delivery.recipient_key =", filter.contact.clone());
    query.compare("delivery.address =", filter.address.as_deref().map(as_stored));
    query.compare("delivery.event_type =", filter.event_type.clone());
    query.compare("delivery.step =", filter.step.clone());
    query.compare("delivery.channel =", filter.channel.map(Channel::as_str));
    query.compare("delivery.provider =", filter.provider.clone());
    if let Some(reason) = filter.reason {
        query.compare("delivery.reason =", Some(reason.as_str()));
    }
    if let Some(code) = &filter.code {
        query.compare("delivery.last_code =", Some(code.as_str()));
    }
    query.compare("delivery.created_at >=", filter.since);
    query.compare("delivery.created_at <", filter.until);
    if let Some(id) = &filter.event_id {
        let id = query.param(id);
        query.add(format!("delivery.event IN (SELECT id FROM event WHERE external_id = {id})"));
    }
    if !filter.states.is_empty() {
        let states = Value::texts(filter.states.iter().map(|state| state.as_str()));
        let states = query.param(states);
        query.add(format!("delivery.state {{any {states}}}"));
    }
    query
}
