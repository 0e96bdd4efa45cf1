//! Whom an event names, and what is said where nobody can be told so.

use super::*;

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
