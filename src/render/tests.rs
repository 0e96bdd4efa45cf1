//! Every delivered template, rendered with its sample in every language.

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::config::assets::Assets;
use crate::config::{EmailSettings, SmsSettings};
use crate::model::address::Address;
use crate::model::catalogue::{Category, Lane};
use crate::model::delivery::{ManagerFacts, Reason, RecipientFacts, State};
use crate::model::event::EventKey;
use crate::model::id::{DeliveryId, EventId};
use crate::model::token;

pub(super) const NOW: &str = "2026-11-23T03:00:00Z";

pub(super) fn templates() -> Templates {
    Templates::load(&Assets::embedded_templates(), "vi").unwrap()
}

pub(super) fn letterhead() -> Letterhead {
    let config = crate::config::load(&crate::config::Sources::defaults()).unwrap();
    Letterhead {
        company: Company { name: "Cà phê Sao Mai".into(), ..Company::default() },
        email: EmailSettings {
            from_name: "Cà phê Sao Mai".into(),
            from: "tin@saomai.test".into(),
            ..config.email
        },
        sms: SmsSettings { max_parts: 4, ..config.sms },
        unsubscribe: Some(Unsubscribe {
            public_url: "https://loa.saomai.test".parse().unwrap(),
            secret: SecretString::from("0123456789abcdef0123456789abcdef"),
        }),
    }
}

pub(super) fn delivery(template: &str, locale: &str, channel: Channel) -> Delivery {
    let now: Timestamp = NOW.parse().unwrap();
    let manager = ManagerFacts {
        name: "Trần Quốc Bảo".into(),
        email: Some("bao@saomai.test".into()),
        phone: Some("+84903123456".into()),
        signature: Some("Quản lý khách hàng".into()),
    };
    Delivery {
        id: DeliveryId(uuid::Uuid::from_u128(7)),
        event: EventId(uuid::Uuid::from_u128(8)),
        event_type: template.into(),
        step: "tell".into(),
        recipient_key: "lan".into(),
        contact: None,
        partner: None,
        business_key: Some("DH1".into()),
        channel,
        provider: Some("x".into()),
        address: Some(Address::email("lan@partner.test").unwrap()),
        locale: locale.into(),
        time_zone: "Asia/Ho_Chi_Minh".into(),
        recipient: RecipientFacts {
            name: Some("Nguyễn Thị Lan".into()),
            manager: Some(manager),
            ..RecipientFacts::default()
        },
        template: template.into(),
        category: Category::Transactional,
        lane: Lane::Normal,
        state: State::Waiting,
        reason: Reason::Scheduled,
        detail: None,
        due_at: now,
        expires_at: now,
        window: None,
        attempts: 1,
        after: None,
        version: 1,
        provider_message_id: None,
        is_captured: false,
        created_at: now,
        updated_at: now,
    }
}

pub(super) fn event(template: &str, data: Value) -> EventFacts {
    EventFacts {
        id: EventId(uuid::Uuid::from_u128(8)),
        key: EventKey { source: "shop".into(), id: "1".into() },
        event_type: template.into(),
        time: NOW.parse().unwrap(),
        received_at: NOW.parse().unwrap(),
        correlation_id: None,
        traceparent: None,
        data: Arc::new(data),
    }
}

/// What a message says, without the looks of an email.
fn said(message: &Message) -> String {
    match message {
        Message::Email(email) => format!("{}\n\n{}", email.subject, email.text),
        Message::Chat(chat) => chat.text.clone(),
        Message::Sms(sms) => {
            format!("{}\n[{}, {} parts]", sms.text, sms.encoding.as_str(), sms.parts)
        }
    }
}

#[test]
fn every_template_renders_its_sample_in_every_language() {
    let templates = templates();
    let letterhead = letterhead();
    let now = NOW.parse().unwrap();
    for (name, locale, channel) in templates.list() {
        let channel: Channel = channel.parse().unwrap();
        let sample = templates.sample(name).expect(name).clone();
        let delivery = delivery(name, locale, channel);

        let rendered = templates
            .render(&delivery, &event(name, sample), &letterhead, (Dialect::SlackMrkdwn, now))
            .unwrap_or_else(|fault| panic!("{fault}"));

        insta::assert_snapshot!(format!("{name}.{locale}.{channel}"), said(&rendered.message));
    }
}

#[test]
fn data_in_an_email_is_text_and_never_markup() {
    let templates = templates();
    let mut sample = templates.sample("order.delayed").unwrap().clone();
    sample["order_id"] = Value::from("<script>alert(1)</script>");
    let delivery = delivery("order.delayed", "vi", Channel::Email);
    let now = NOW.parse().unwrap();

    let rendered = templates
        .render(&delivery, &event("x", sample), &letterhead(), (Dialect::Plain, now))
        .unwrap();

    let Message::Email(email) = rendered.message else { panic!("expected an email") };
    assert!(!email.html.contains("<script>"));
    assert!(email.html.contains("&lt;script&gt;"));
}

#[test]
fn a_manager_is_told_the_partners_name_where_the_event_names_its_id_alone() {
    let templates = templates();
    let now = NOW.parse().unwrap();
    for name in ["order.delayed.manager", "complaint.opened.manager", "order.accepted.reminder"] {
        for (channel, locale) in [(Channel::Chat, "vi"), (Channel::Sms, "en")] {
            let mut sample = templates.sample(name).unwrap().clone();
            sample.as_object_mut().unwrap().remove("partner_name");
            let mut delivery = delivery(name, locale, channel);
            delivery.recipient.partner_name = Some("Hoa Sen".into());

            let rendered = templates
                .render(&delivery, &event(name, sample), &letterhead(), (Dialect::Plain, now))
                .unwrap();

            let text = said(&rendered.message);
            assert!(text.contains("Hoa Sen") && !text.contains("minh-phat"), "{text}");
        }
    }
}

#[test]
fn a_missing_variable_names_template_and_variable() {
    let templates = templates();
    let delivery = delivery("order.delayed", "en", Channel::Sms);
    let now = NOW.parse().unwrap();
    let event = event("order.delayed", json!({"order_id": "DH1"}));

    let fault =
        templates.render(&delivery, &event, &letterhead(), (Dialect::Plain, now)).unwrap_err();

    let text = fault.to_string();
    assert!(text.starts_with("template order.delayed/en/sms: "), "{text}");
    assert!(text.contains("promised_at"), "{text}");
}

#[test]
fn marketing_email_carries_a_link_that_withdraws_its_own_address() {
    let templates = templates();
    let sample = templates.sample("promotion.announced").unwrap().clone();
    let mut delivery = delivery("promotion.announced", "vi", Channel::Email);
    delivery.category = Category::Marketing;
    let now = NOW.parse().unwrap();

    let event = event("promotion.announced", sample);
    let rendered =
        templates.render(&delivery, &event, &letterhead(), (Dialect::Plain, now)).unwrap();

    let Message::Email(email) = rendered.message else { panic!("expected an email") };
    let url = email.unsubscribe_url.unwrap();
    let token = url.strip_prefix("https://loa.saomai.test/u/").unwrap();
    let address = token::verify(token, b"0123456789abcdef0123456789abcdef");
    assert_eq!(address, delivery.address);
    assert!(email.html.contains(&url.replace('=', "&#x3D;")) || email.html.contains(&url));
}

#[test]
fn every_delivered_template_can_do_with_what_its_schema_requires() {
    let config = crate::config::load(&crate::config::Sources::defaults()).unwrap();

    let letterhead = Letterhead { sms: config.sms.clone(), ..letterhead() };

    let faults = templates().check(&config.catalogue, &letterhead, &[]);

    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn what_was_sent_can_be_shown_again_from_its_stored_version() {
    let templates = templates();
    let now = NOW.parse().unwrap();
    for channel in Channel::ALL {
        let delivery = delivery("order.delayed", "vi-VN", channel);
        let event = event("order.delayed", templates.sample("order.delayed").unwrap().clone());
        let moment = (Dialect::CommonMark, now);
        let sent = templates.render(&delivery, &event, &letterhead(), moment).unwrap();

        let source = templates.source(&sent.template_version).unwrap();
        let stored = Templates::of_version(source).unwrap();
        let again = stored.render(&delivery, &event, &letterhead(), moment).unwrap();

        assert_eq!(again.message, sent.message);
        assert_eq!(again.template_version, sent.template_version);
        assert_eq!(sent.template_version.len(), 16);
    }
}

#[test]
fn an_email_says_who_sends_it_and_where_answers_go() {
    let templates = templates();
    let mut delivery = delivery("order.delayed", "en", Channel::Email);
    let event = event("order.delayed", templates.sample("order.delayed").unwrap().clone());
    let moment = (Dialect::Plain, NOW.parse().unwrap());
    let email = |delivery: &Delivery| {
        let rendered = templates.render(delivery, &event, &letterhead(), moment).unwrap();
        let Message::Email(email) = rendered.message else { panic!("expected an email") };
        email
    };
    delivery.recipient.manager.as_mut().unwrap().name = "Bảo\r\n\"x\" <a@b.test>".into();

    let of_manager = email(&delivery);
    delivery.recipient.manager = None;
    let of_company = email(&delivery);

    assert_eq!(of_manager.from_name.unwrap(), "Bảox ab.test (Cà phê Sao Mai)");
    assert_eq!(of_manager.reply_to.unwrap(), "\"Bảox ab.test\" <bao@saomai.test>");
    assert_eq!(of_manager.message_id, format!("<{}@saomai.test>", delivery.id));
    assert_eq!(of_company.from_name.unwrap(), "Cà phê Sao Mai");
    assert_eq!(of_company.message_id, of_manager.message_id);
}

#[test]
fn a_language_falls_back_to_its_family_and_then_to_the_default() {
    let templates = templates();
    let locale = |wanted| templates.locale_for("order.delayed", Channel::Sms, wanted).unwrap();

    assert_eq!(locale("vi-VN"), "vi");
    assert_eq!(locale("en-GB"), "en");
    assert_eq!(locale("ko"), "vi");
    assert_eq!(templates.locale_for("nope", Channel::Sms, "vi"), None);
}

#[test]
fn a_text_message_of_too_many_parts_is_held_and_says_how_many() {
    let templates = templates();
    let letterhead = letterhead();
    let letterhead =
        Letterhead { sms: SmsSettings { max_parts: 1, ..letterhead.sms.clone() }, ..letterhead };
    let event = event("order.delayed", templates.sample("order.delayed").unwrap().clone());
    let delivery = delivery("order.delayed", "vi", Channel::Sms);
    let moment = (Dialect::Plain, NOW.parse().unwrap());

    let fault = templates.render(&delivery, &event, &letterhead, moment).unwrap_err();

    assert_eq!(fault.fault.message, "2 SMS parts; at most 1 are allowed (sms.max_parts)");
}

#[test]
fn advertising_by_sms_begins_with_its_label_and_ends_with_how_to_stop_it() {
    let templates = templates();
    let marketing = crate::config::SmsMarketing {
        label: "[QC]".into(),
        window: "Mon-Sun 07:00-22:00".parse().unwrap(),
        stop_text: "Tu choi: 1800 1234".into(),
    };
    let letterhead = letterhead();
    let sms = SmsSettings {
        marketing: Some(marketing),
        strip_diacritics: true,
        ..letterhead.sms.clone()
    };
    let letterhead = Letterhead { sms, ..letterhead };
    let sample = templates.sample("promotion.announced").unwrap().clone();
    let mut delivery = delivery("promotion.announced", "vi", Channel::Sms);
    delivery.category = Category::Marketing;
    let moment = (Dialect::Plain, NOW.parse().unwrap());

    let event = event("promotion.announced", sample);
    let rendered = templates.render(&delivery, &event, &letterhead, moment).unwrap();

    let Message::Sms(sms) = rendered.message else { panic!("expected an SMS") };
    assert!(sms.text.starts_with("[QC] "), "{}", sms.text);
    assert!(sms.text.ends_with(" Tu choi: 1800 1234"), "{}", sms.text);
    assert_eq!(sms.encoding, crate::model::message::SmsEncoding::Gsm7, "{}", sms.text);
}
