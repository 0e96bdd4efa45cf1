//! Whom a plan tells, when, and why not.

mod described;

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
fn a_fallback_waits_behind_the_channel_before_it() {
    let mut event_type = to_partner(&[Channel::Email, Channel::Sms]);
    event_type.steps[0].strategy = Strategy::Fallback { after: Duration::from_mins(10) };

    let rows = planned(&event(json!({})), &event_type, vec![person("an", vec![email(), phone()])]);

    assert_eq!(rows[0].due_at, time(NOON));
    assert_eq!(rows[1].due_at, time(NOON) + Duration::from_mins(10));
    assert_eq!((rows[1].after, rows[1].reason), (Some(rows[0].id), Reason::Fallback));
}

#[test]
fn a_fallback_of_an_event_that_comes_late_waits_from_when_the_first_channel_is_due() {
    let mut event_type = to_partner(&[Channel::Email, Channel::Sms]);
    event_type.steps[0].strategy = Strategy::Fallback { after: Duration::from_mins(10) };
    let late = Event { time: time(NOON) - Duration::from_hours(1), ..event(json!({})) };

    let rows = planned(&late, &event_type, vec![person("an", vec![email(), phone()])]);

    assert_eq!(rows[0].due_at, time(NOON));
    assert_eq!(rows[1].due_at, time(NOON) + Duration::from_mins(10));
}

#[test]
fn an_event_that_is_dated_later_than_now_is_due_now_and_expires_by_its_own_time() {
    let event_type = to_partner(&[Channel::Email]);
    let ahead = Duration::from_mins(10);
    let early = Event { time: time(NOON) + ahead, ..event(json!({})) };

    let rows = planned(&early, &event_type, vec![person("an", vec![email()])]);

    assert_eq!((rows[0].due_at, rows[0].reason), (time(NOON), Reason::Scheduled));
    assert_eq!(rows[0].expires_at, time(NOON) + ahead + event_type.expiry);
}

#[test]
fn a_fallback_behind_a_missing_address_is_due_at_once() {
    let mut event_type = to_partner(&[Channel::Email, Channel::Sms]);
    event_type.steps[0].strategy = Strategy::Fallback { after: Duration::from_mins(10) };

    let rows = planned(&event(json!({})), &event_type, vec![person("an", vec![phone()])]);

    assert_eq!(rows[0].reason, Reason::NoAddress);
    assert_eq!((rows[1].due_at, rows[1].after), (time(NOON), None));
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
fn an_event_older_than_its_expiry_is_expired_at_once() {
    let mut event = event(json!({}));
    event.time = time("2026-11-20T05:00:00Z");

    let people = vec![person("an", vec![email()])];
    let rows = planned(&event, &to_partner(&[Channel::Email]), people);

    assert_eq!((rows[0].state, rows[0].reason), (State::Expired, Reason::Expiry));
}

#[test]
fn a_reminder_is_due_before_the_time_in_the_data_and_expires_from_there() {
    let mut event_type = to_partner(&[Channel::Email]);
    event_type.steps[0].due = StepTime::Relative {
        pointer: "/promised_at".into(),
        by: Duration::from_hours(48),
        before: true,
    };
    let event = event(json!({"promised_at": "2026-12-24"}));

    let rows = planned(&event, &event_type, vec![person("an", vec![email()])]);

    // Midnight of the 24th in Vietnam is 17:00 UTC of the 23rd.
    assert_eq!(rows[0].due_at, time("2026-12-21T17:00:00Z"));
    assert_eq!(rows[0].expires_at, time("2026-12-23T17:00:00Z"));
}

#[test]
fn a_time_that_the_data_lacks_rejects_the_event_and_names_the_pointer() {
    let mut event_type = to_partner(&[Channel::Email]);
    let pointer = "/promised_at".to_owned();
    let by = Duration::from_hours(48);
    event_type.steps[0].due = StepTime::Relative { pointer, by, before: true };

    let fault = plan(&event(json!({})), &event_type, &[], &rules(), time(NOON)).unwrap_err();

    assert_eq!(fault.reason, RejectReason::Unplannable);
    assert_eq!(fault.place.as_deref(), Some("/data/promised_at"));
}

#[test]
fn a_window_moves_a_night_message_to_the_morning_of_the_recipient() {
    let mut event_type = to_partner(&[Channel::Email]);
    event_type.steps[0].window = Some("Mon-Sat 08:00-18:00".parse().unwrap());
    let mut an = person("an", vec![email()]);
    an.contact.time_zone = Some("America/New_York".into());

    let rows = planned(&event(json!({})), &event_type, vec![an.clone()]);
    // What may not go out for three days does not expire after two.
    event_type.steps[0].window = Some("Thu 08:00-18:00".parse().unwrap());
    let late = planned(&event(json!({})), &event_type, vec![an]);

    assert_eq!(rows[0].reason, Reason::Window);
    assert_eq!(rows[0].due_at, time("2026-11-23T13:00:00Z"));
    assert_eq!((late[0].state, late[0].due_at), (State::Waiting, time("2026-11-26T13:00:00Z")));
    assert_eq!(late[0].expires_at, time("2026-11-28T13:00:00Z"));
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
fn an_unknown_segment_rejects_the_event() {
    let event_type = event_type(vec![step(Audience::Segment("x".into()), &[Channel::Email])]);
    let query = AudienceQuery::Segment("x".into());
    let question = Question { query, purpose: Purpose::Step(0) };
    let answers = [(question, Resolution::UnknownSegment)];

    let fault = plan(&event(json!({})), &event_type, &answers, &rules(), time(NOON)).unwrap_err();

    assert_eq!(fault.reason, RejectReason::UnknownSegment);
    assert!(fault.message.contains("`x`"));
    assert_eq!(fault.place, None, "the catalogue names it, not the event");
}

#[test]
fn an_unknown_segment_that_the_event_names_is_shown_where_it_stands() {
    let event_type =
        event_type(vec![step(Audience::SegmentAt("/to".to_owned()), &[Channel::Email])]);
    let query = AudienceQuery::Segment("x".into());
    let question = Question { query, purpose: Purpose::Step(0) };
    let answers = [(question, Resolution::UnknownSegment)];
    let event = event(json!({ "to": "x" }));

    let fault = plan(&event, &event_type, &answers, &rules(), time(NOON)).unwrap_err();

    assert_eq!(fault.place.as_deref(), Some("/data/to"));
}

#[test]
fn an_audience_above_a_page_is_left_to_pages() {
    let event_type = event_type(vec![step(Audience::Team("all".into()), &[Channel::Email])]);
    let query = AudienceQuery::Team("all".into());
    let question = Question { query: query.clone(), purpose: Purpose::Step(0) };
    let answers = [(question, Resolution::TooMany)];

    let plan = plan(&event(json!({})), &event_type, &answers, &rules(), time(NOON)).unwrap();

    assert!(plan.deliveries.is_empty());
    assert_eq!(plan.pages, [PagedAudience { step: "tell".into(), query }]);
}

#[test]
fn recipients_are_contacts_addresses_or_descriptions() {
    let event = event(json!({"recipients": [
        "an",
        "binh@partner.test",
        {"name": "Chi", "phone": "0901234567"},
        {"contact": "dung"}
    ]}));
    let event_type = event_type(vec![step(Audience::Recipients, &[Channel::Email])]);

    let questions = questions(&event, &event_type, &rules()).unwrap();

    let binh = InlineRecipient {
        addresses: vec![Address::email("binh@partner.test").unwrap()],
        ..InlineRecipient::default()
    };
    let chi = InlineRecipient {
        name: Some("Chi".into()),
        addresses: vec![phone()],
        ..InlineRecipient::default()
    };
    let queries: Vec<_> = questions.into_iter().map(|question| question.query).collect();
    assert_eq!(
        queries,
        [
            AudienceQuery::Manager("minh-phat".into()),
            AudienceQuery::Contacts(vec!["an".into(), "dung".into()]),
            AudienceQuery::Inline(vec![binh, chi]),
        ]
    );
}

#[test]
fn a_bad_address_names_its_place() {
    let event = event(json!({"recipients": [{"name": "An", "email": "nobody"}]}));
    let event_type = event_type(vec![step(Audience::Recipients, &[Channel::Email])]);

    let fault = questions(&event, &event_type, &rules()).unwrap_err();

    assert_eq!(fault.place.as_deref(), Some("/data/recipients/0/email"));
}

#[test]
fn a_stranger_is_known_by_its_address_and_speaks_the_default_language() {
    let recipient = InlineRecipient { addresses: vec![email()], ..InlineRecipient::default() };
    let stranger = Stranger { recipient, suppressed: Vec::new(), consents: Vec::new() };
    let recipients = Recipients { strangers: vec![stranger], ..Recipients::default() };
    let event_type = event_type(vec![step(Audience::Recipients, &[Channel::Email])]);
    let query = AudienceQuery::Inline(Vec::new());
    let question = Question { query, purpose: Purpose::Step(0) };
    let answers = [(question, Resolution::Recipients(recipients))];

    let plan = plan(&event(json!({})), &event_type, &answers, &rules(), time(NOON)).unwrap();

    let row = &plan.deliveries[0].delivery;
    assert_eq!((row.recipient_key.as_str(), row.locale.as_str()), ("an@partner.test", "vi"));
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

#[test]
fn a_change_that_no_store_can_keep_rejects_the_event_with_its_place() {
    let refused = |effect, data: Value| {
        let event_type = EventType { effect: Some(effect), ..event_type(Vec::new()) };
        let fault = change(&event(data), &event_type, &rules()).unwrap_err();
        (fault.reason, fault.place.unwrap(), fault.message)
    };
    let at = "2026-01-01T00:00:00Z";
    let twice = json!({ "id": "mp", "name": "Minh Phát", "channels": ["sms", "sms"],
        "changed_at": at });
    let long = json!({ "id": "an", "name": "An", "tags": ["x".repeat(513)], "changed_at": at });

    let (reason, place, message) = refused(Effect::ChangesPartner, twice);
    assert_eq!((reason, place.as_str()), (RejectReason::Unplannable, "/data/channels/1"));
    assert!(message.starts_with("`sms` stands there twice"), "{message}");
    let (reason, place, message) = refused(Effect::ChangesContact, long);
    assert_eq!((reason, place.as_str()), (RejectReason::Unplannable, "/data/tags/0"));
    assert_eq!(message, "longer than 512 bytes");
}

#[test]
fn a_recipient_that_no_store_can_index_rejects_the_event_with_its_place() {
    let long = "x".repeat(513);
    let to_recipients = event_type(vec![step(Audience::Recipients, &[Channel::Email])]);
    let refused = |recipient: Value| {
        let event = event(json!({ "recipients": ["an", recipient] }));
        let fault = questions(&event, &to_recipients, &rules()).unwrap_err();
        (fault.reason, fault.place.unwrap(), fault.message)
    };

    for (recipient, place) in [
        (json!(long), "/data/recipients/1"),
        (json!({ "contact": long }), "/data/recipients/1/contact"),
        (json!({ "id": long }), "/data/recipients/1/id"),
        (json!({ "name": long }), "/data/recipients/1/name"),
        (json!({ "chat": format!("team-chat:{long}{long}") }), "/data/recipients/1/chat"),
    ] {
        let (reason, at, message) = refused(recipient);
        assert_eq!((reason, at.as_str()), (RejectReason::Unplannable, place));
        assert!(message.starts_with("longer than ") && !message.contains("xxx"), "{message}");
    }
}

#[test]
fn a_language_or_a_time_zone_that_is_none_rejects_the_event_with_its_place() {
    let to_recipients = event_type(vec![step(Audience::Recipients, &[Channel::Email])]);
    let recipient = |key: &str, text: &str| {
        let recipient = json!({ "email": "b@us.test", (key): text });
        let fault =
            questions(&event(json!({ "recipients": ["an", recipient] })), &to_recipients, &rules());
        fault.map_err(|fault| (fault.place.unwrap(), fault.message))
    };
    let changed = |effect, key: &str, text: &str| {
        let event_type = EventType { effect: Some(effect), ..event_type(Vec::new()) };
        let data = json!({ "id": "an", "name": "An", "changed_at": "2026-01-01T00:00:00Z",
            (key): text });
        let fault = change(&event(data), &event_type, &rules());
        fault.map_err(|fault| (fault.place.unwrap(), fault.message))
    };

    for (key, wrong, right) in [
        ("locale", "vietnamese", "vi"),
        ("locale", "en_GB", "en-GB"),
        ("time_zone", "Asia/Hanoi2", "Asia/Ho_Chi_Minh"),
    ] {
        let (place, message) = recipient(key, wrong).unwrap_err();
        assert_eq!(place, format!("/data/recipients/1/{key}"));
        assert!(message.starts_with("expected a ") && !message.contains(wrong), "{message}");
        assert!(recipient(key, right).is_ok());
        for effect in [Effect::ChangesContact, Effect::ChangesPartner] {
            let (place, message) = changed(effect, key, wrong).unwrap_err();
            assert_eq!(place, format!("/data/{key}"));
            assert!(message.starts_with("expected a "), "{message}");
            assert!(changed(effect, key, right).is_ok());
        }
    }
}

#[test]
fn of_two_people_whom_an_event_describes_alike_nobody_is_left_out_in_silence() {
    let to_recipients = event_type(vec![step(Audience::Recipients, &[Channel::Email])]);
    let asked = |one: Value, other: Value| {
        let event = event(json!({ "recipients": [one, "c@us.test", other] }));
        questions(&event, &to_recipients, &rules()).map_err(|fault| fault.place.unwrap())
    };
    let an = json!({ "id": "1", "name": "An", "email": "b@us.test" });
    let nameless = json!({ "email": "b@us.test", "phone": "+84912345678" });

    let named = asked(an.clone(), json!({ "id": "1", "name": "Bình", "email": "b@us.test" }));
    let elsewhere = asked(an.clone(), json!({ "id": "1", "name": "An", "email": "d@us.test" }));
    let by_phone_too = asked(json!("b@us.test"), nameless.clone());

    assert_eq!(named.unwrap_err(), "/data/recipients/2/id");
    assert_eq!(elsewhere.unwrap_err(), "/data/recipients/2/id");
    assert_eq!(by_phone_too.unwrap_err(), "/data/recipients/2");
    assert!(asked(an.clone(), an).is_ok() && asked(nameless, json!("b@us.test")).is_ok());
}

#[test]
fn a_stranger_with_the_id_of_a_contact_is_told_beside_the_contact() {
    let to_partner = to_partner(&[Channel::Email]);
    let mut recipients =
        Recipients { people: vec![person("an", vec![email()])], ..Recipients::default() };
    let address = Address::email("other@us.test").unwrap();
    recipients.strangers = vec![Stranger {
        recipient: InlineRecipient {
            id: Some("an".into()),
            addresses: vec![address.clone()],
            ..InlineRecipient::default()
        },
        suppressed: Vec::new(),
        consents: Vec::new(),
    }];

    let step = &to_partner.steps[0];
    let by = (&rules(), time(NOON));
    let rows = plan_page(&event(json!({})), &to_partner, step, &recipients, by).unwrap();

    let told: Vec<_> = rows.iter().map(|row| row.delivery.recipient_key.as_str()).collect();
    assert_eq!(told, ["an", "other@us.test"]);
    assert_eq!(rows[1].delivery.address, Some(address));
}
