//! Where deliveries are looked for, and the statements of their lists.

use std::collections::BTreeSet;

use crate::model::address::Channel;
use crate::model::delivery::{Reason, State};
use crate::model::fold::fold;
use crate::store::conditions::Conditions;
use crate::store::engine::Value;
use crate::store::rows::DELIVERY;
use crate::store::search::{Cursor, DeliveryFilter};

/// Every name in an index, one step of the index a name; so a part of a name is looked for among
/// names, not among deliveries.
const NAMES: &str = "WITH RECURSIVE names (name) AS (SELECT MIN(recipient_folded) FROM delivery \
     UNION ALL SELECT (SELECT MIN(recipient_folded) FROM delivery \
     WHERE recipient_folded > names.name) FROM names WHERE names.name IS NOT NULL)";

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

    /// The tables, joined so that the narrow one leads to the other, and all that must hold.
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
}

/// The statements of a list, each with its parameters; together they find the first `limit`.
pub(in crate::store) fn lists(
    filter: &DeliveryFilter,
    after: Option<Cursor>,
    limit: u32,
) -> Vec<(String, Vec<Value>)> {
    let list = |source: Source<'_>| {
        let (from, mut query) = source.conditions(filter);
        let (at, id) = source.order();
        query.behind((at, id), after);
        let limit = query.param(limit);
        let sql = format!(
            "SELECT {DELIVERY} {from} {} ORDER BY {at} DESC, {id} DESC LIMIT {limit}",
            query.where_clause()
        );
        (sql, query.params)
    };
    Source::of(filter).into_iter().map(list).collect()
}

fn conditions(filter: &DeliveryFilter) -> Conditions {
    let mut query = Conditions::default();
    query.compare("delivery.event =", filter.event.map(|id| id.0));
    query.compare("delivery.business_key =", filter.business_key.clone());
    query.compare("delivery.partner =", filter.partner.clone());
    query.compare("delivery.recipient_key =", filter.contact.clone());
    // Stored in lower case, but for the targets of chats.
    let address = filter.address.as_ref().map(|text| match text.contains('@') {
        true => text.to_lowercase(),
        false => text.clone(),
    });
    query.compare("delivery.address =", address);
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
    if let Some(name) = &filter.name {
        let part = query.param(fold(name));
        query.add(format!(
            "(delivery.recipient_folded {{in_rows}} \
             {NAMES} SELECT name FROM names WHERE {{contains name {part}}} {{end_rows}} \
             OR delivery.partner {{in_rows}} \
             SELECT id FROM partner WHERE {{contains name_folded {part}}} {{end_rows}})"
        ));
    }
    query
}
