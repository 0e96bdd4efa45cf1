//! When a delivery is due, and when it is too late for it.

use super::*;

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
