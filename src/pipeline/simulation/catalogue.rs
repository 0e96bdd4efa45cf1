//! Event types in which everything occurs: fallback, later steps, windows, holds, consent, markers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::json;

use crate::model::address::Channel;
use crate::model::catalogue::{
    Audience, Catalogue, Category, EventType, Lane, OnUnknown, RetryPolicy, Step, StepTime,
    Strategy,
};
use crate::plan::{Routes, Rules};

/// Tells by email, ten minutes later by chat, then by SMS; an unknown outcome is tried again.
pub(super) const DELAYED: &str = "order.delayed";
/// Makes the others unwanted.
pub(super) const ARRIVED: &str = "order.arrived";
/// Tells by SMS, reminds in the hours of a window; an unknown outcome is held.
pub(super) const DUE: &str = "payment.due";
/// Marketing by email.
pub(super) const PROMOTION: &str = "promotion.announced";

/// The types of events that come in.
pub(super) const TYPES: [&str; 4] = [DELAYED, ARRIVED, DUE, PROMOTION];

/// How often a delivery is tried.
pub(super) const MOST_ATTEMPTS: u32 = 3;

/// The catalogue of the simulation.
pub(super) fn catalogue() -> Catalogue {
    let fallback = Strategy::Fallback { after: Duration::from_mins(10) };
    let tell = Step { strategy: fallback, ..step("tell", &Channel::ALL) };
    let remind = Step {
        due: StepTime::After(Duration::from_hours(4)),
        window: Some("08:00-18:00".parse().unwrap()),
        ..step("remind", &[Channel::Sms])
    };
    let delayed = EventType { lane: Lane::Urgent, ..event_type(DELAYED, vec![tell]) };
    let due = EventType {
        on_unknown: OnUnknown::Hold,
        expiry: Duration::from_mins(30),
        ..event_type(DUE, vec![step("tell", &[Channel::Sms]), remind])
    };
    let promotion = EventType {
        category: Category::Marketing,
        lane: Lane::Bulk,
        ..event_type(PROMOTION, vec![step("tell", &[Channel::Email])])
    };
    let types = [delayed, event_type(ARRIVED, Vec::new()), due, promotion];
    Catalogue { types: types.into_iter().map(|one| (one.name.clone(), one)).collect() }
}

fn step(name: &str, channels: &[Channel]) -> Step {
    Step {
        name: name.into(),
        to: vec![Audience::Recipients],
        channels: channels.to_vec(),
        strategy: Strategy::All,
        template: name.to_owned(),
        window: None,
        due: StepTime::Now,
        unless: vec![ARRIVED.into()],
        providers: BTreeMap::new(),
        from_manager: false,
    }
}

fn event_type(name: &str, steps: Vec<Step>) -> EventType {
    EventType {
        name: name.into(),
        description: String::new(),
        category: Category::Transactional,
        lane: Lane::Normal,
        schema: json!({ "type": "object", "required": ["order"] }),
        business_key: Some("/order".to_owned()),
        partner: None,
        id_from: Vec::new(),
        mapping: None,
        effect: None,
        steps,
        expiry: Duration::from_hours(2),
        retry: RetryPolicy {
            first: Duration::from_secs(10),
            cap: Duration::from_mins(5),
            max_attempts: MOST_ATTEMPTS,
        },
        on_unknown: OnUnknown::Retry,
    }
}

/// Which provider sends what.
pub(super) fn rules() -> Rules {
    let ways = [(Channel::Email, "relay"), (Channel::Chat, "room"), (Channel::Sms, "gateway")];
    let routes = Routes {
        providers: ways
            .iter()
            .map(|(channel, name)| ((*name).into(), BTreeSet::from([*channel])))
            .collect(),
        defaults: ways.iter().map(|(channel, name)| (*channel, (*name).into())).collect(),
    };
    Rules {
        routes,
        locale: "vi".to_owned(),
        time_zone: TimeZone::get("Asia/Ho_Chi_Minh").unwrap(),
        region: "VN".to_owned(),
    }
}
