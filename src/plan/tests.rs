//! Whom a plan tells, when, and why not.

mod audience;
mod described;
mod due;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::*;
use crate::model::address::{Address, Channel};
use crate::model::audience::{InlineRecipient, Stranger};
use crate::model::catalogue::{
    Audience, Category, Effect, Lane, OnUnknown, RetryPolicy, StepTime, Strategy,
};
use crate::model::contact::{Consent, Contact, Partner, Tier};
use crate::model::data::Data;
use crate::model::delivery::State;
use crate::model::event::{Digest, EventKey, Transport};
use crate::model::id::EventId;

const NOON: &str = "2026-11-23T05:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn event(data: Value) -> Event {
    Event {
        id: EventId::new(time(NOON)),
        key: EventKey { source: "shop".into(), id: "1".into() },
        key_is_derived: false,
        event_type: "order.delayed".into(),
        time: time(NOON),
        received_at: time(NOON),
        not_before: None,
        business_key: Some("DH1".into()),
        partner: Some("minh-phat".into()),
        correlation_id: None,
        traceparent: None,
        only: None,
        data: Data::new(data),
        digest: Digest([0; 32]),
        transport: Transport::Http,
    }
}

fn step(to: Audience, channels: &[Channel]) -> Step {
    Step {
        name: "tell".into(),
        to: vec![to],
        channels: channels.to_vec(),
        strategy: Strategy::All,
        template: "order.delayed".into(),
        window: None,
        due: StepTime::Now,
        unless: Vec::new(),
        providers: BTreeMap::new(),
        from_manager: false,
    }
}

fn event_type(steps: Vec<Step>) -> EventType {
    EventType {
        name: "order.delayed".into(),
        description: String::new(),
        category: Category::Transactional,
        lane: Lane::Urgent,
        schema: json!({}),
        business_key: None,
        partner: None,
        id_from: Vec::new(),
        mapping: None,
        effect: None,
        steps,
        expiry: Duration::from_hours(48),
        retry: RetryPolicy {
            first: Duration::from_secs(10),
            cap: Duration::from_mins(30),
            max_attempts: 5,
        },
        on_unknown: OnUnknown::Retry,
    }
}

fn rules() -> Rules {
    let provider = |name: &str, channel| (name.into(), BTreeSet::from([channel]));
    let providers = BTreeMap::from([
        provider("relay", Channel::Email),
        provider("gateway", Channel::Sms),
        provider("team-chat", Channel::Chat),
    ]);
    let defaults =
        BTreeMap::from([(Channel::Email, "relay".into()), (Channel::Sms, "gateway".into())]);
    Rules {
        routes: Routes { providers, defaults },
        locale: "vi".to_owned(),
        time_zone: TimeZone::get("Asia/Ho_Chi_Minh").unwrap(),
        region: "VN".to_owned(),
    }
}

fn person(id: &str, addresses: Vec<Address>) -> Person {
    let contact = Contact {
        id: id.into(),
        name: "Lê An".into(),
        partner: Some("minh-phat".into()),
        duty: None,
        locale: None,
        time_zone: None,
        region: None,
        addresses,
        tags: Vec::new(),
        teams: Vec::new(),
        superior: None,
        signature: None,
        changed_at: time(NOON),
    };
    Person { contact, partner: None, manager: None, suppressed: Vec::new(), consents: Vec::new() }
}

fn key_partner() -> Partner {
    Partner {
        id: "minh-phat".into(),
        name: "Minh Phát".into(),
        tier: Tier::Vip,
        manager: None,
        locale: Some("en".into()),
        time_zone: None,
        region: None,
        tags: Vec::new(),
        channels: Vec::new(),
        changed_at: time(NOON),
    }
}

fn email() -> Address {
    Address::email("an@partner.test").unwrap()
}

fn phone() -> Address {
    Address::phone("+84901234567", "VN").unwrap()
}

fn found(people: Vec<Person>) -> Resolution {
    Resolution::Recipients(Recipients { people, ..Recipients::default() })
}

/// Plans `event` of one step whose audience is `people`.
fn planned(event: &Event, event_type: &EventType, people: Vec<Person>) -> Vec<Delivery> {
    let query = AudienceQuery::Team("x".into());
    let answers = [(Question { query, purpose: Purpose::Step(0) }, found(people))];
    let plan = plan(event, event_type, &answers, &rules(), time(NOON)).unwrap();
    plan.deliveries.into_iter().map(|planned| planned.delivery).collect()
}

fn to_partner(channels: &[Channel]) -> EventType {
    event_type(vec![step(Audience::Partner { duties: Vec::new() }, channels)])
}

#[test]
fn each_channel_of_a_recipient_is_a_row_and_a_missing_address_says_so() {
    let an = person("an", vec![email()]);

    let rows = planned(&event(json!({})), &to_partner(&[Channel::Email, Channel::Sms]), vec![an]);

    assert_eq!(rows[0].state, State::Waiting);
    assert_eq!(rows[0].provider, Some("relay".into()));
    assert_eq!((rows[1].state, rows[1].reason), (State::Skipped, Reason::NoAddress));
}

#[test]
fn somebody_named_twice_is_told_once() {
    let twice = vec![person("an", vec![email()]), person("an", vec![email()])];

    let rows = planned(&event(json!({})), &to_partner(&[Channel::Email]), twice);

    assert_eq!(rows.len(), 1);
}

#[test]
fn nobody_to_tell_leaves_one_skipped_row() {
    let rows = planned(&event(json!({})), &to_partner(&[Channel::Email]), Vec::new());

    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].state, rows[0].reason), (State::Skipped, Reason::EmptyAudience));
}

#[test]
fn marketing_without_consent_is_skipped_and_with_consent_is_not() {
    let mut event_type = to_partner(&[Channel::Email]);
    event_type.category = Category::Marketing;
    let mut agreed = person("binh", vec![email()]);
    let at = time(NOON);
    agreed.consents = vec![Consent { address: email(), granted: true, at, source: "x".into() }];

    let people = vec![person("an", vec![email()]), agreed];
    let rows = planned(&event(json!({})), &event_type, people);

    assert_eq!((rows[0].state, rows[0].reason), (State::Skipped, Reason::NoConsent));
    assert_eq!(rows[1].state, State::Waiting);
}

#[test]
fn a_suppressed_address_is_skipped() {
    let mut an = person("an", vec![email()]);
    an.suppressed = vec![email()];

    let rows = planned(&event(json!({})), &to_partner(&[Channel::Email]), vec![an]);

    assert_eq!((rows[0].state, rows[0].reason), (State::Skipped, Reason::SuppressedAddress));
}

#[test]
fn a_key_partner_chooses_the_order_of_channels_and_the_language() {
    let mut an = person("an", vec![email(), phone()]);
    an.contact.locale = Some("vi".into());
    an.partner = Some(Partner { channels: vec![Channel::Sms], ..key_partner() });

    let rows = planned(&event(json!({})), &to_partner(&[Channel::Email, Channel::Sms]), vec![an]);

    assert_eq!(rows[0].channel, Channel::Sms);
    assert_eq!(rows[0].locale, "en");
}

#[test]
fn a_channel_that_a_key_partner_names_twice_is_planned_once() {
    let mut an = person("an", vec![email(), phone()]);
    an.partner = Some(Partner { channels: vec![Channel::Sms, Channel::Sms], ..key_partner() });

    let rows = planned(&event(json!({})), &to_partner(&[Channel::Email, Channel::Sms]), vec![an]);

    let channels: Vec<_> = rows.iter().map(|row| row.channel).collect();
    assert_eq!(channels, [Channel::Sms, Channel::Email]);
}

#[test]
fn a_test_event_reaches_only_its_address() {
    let mut event = event(json!({}));
    event.only = Some("other@us.test".into());

    let people = vec![person("an", vec![email()])];
    let rows = planned(&event, &to_partner(&[Channel::Email]), people);

    assert_eq!(rows[0].reason, Reason::NotOnlyAddress);
}

#[test]
fn the_manager_is_named_only_where_the_step_speaks_in_the_managers_name() {
    let mut event_type = to_partner(&[Channel::Email]);
    event_type.steps[0].from_manager = true;
    let mut an = person("an", vec![email()]);
    an.manager = Some(person("hoa", Vec::new()).contact);

    let with = planned(&event(json!({})), &event_type, vec![an.clone()]);
    event_type.steps[0].from_manager = false;
    let without = planned(&event(json!({})), &event_type, vec![an]);

    assert!(with[0].recipient.manager.is_some());
    assert!(without[0].recipient.manager.is_none());
}
