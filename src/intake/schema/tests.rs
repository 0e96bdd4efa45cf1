//! What is said of data that fits none of several alternatives, by the schemas of the types that
//! come with Loa.

use serde_json::json;

use super::*;

/// Where `data` of a type does not fit, and what is said of it.
fn misfit(event_type: &str, data: &Value) -> (String, String) {
    let path = format!("config/event-types/{event_type}.toml");
    let file: Value = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let validator = schema::compile(&file["schema"]).unwrap();
    let name: EventTypeName = event_type.into();
    let schemas = Schemas { validators: HashMap::from([(name.clone(), validator)]) };
    let misfit = schemas.check(&name, data).unwrap();
    (misfit.pointer, misfit.message)
}

/// The misfit of a delayed order that is right but for one member.
fn of_delay(member: &str, value: Value) -> (String, String) {
    let mut data = json!({
        "order_id": "1", "partner_id": "minh-phat",
        "promised_at": "2026-12-03", "new_promised_at": "2026-12-04",
    });
    data[member] = value;
    misfit("order.delayed", &data)
}

fn told(pointer: &str, message: &str) -> (String, String) {
    (pointer.to_owned(), message.to_owned())
}

#[test]
fn of_a_described_recipient_the_place_in_it_and_what_was_expected_are_told() {
    let of = |recipient: Value| of_delay("recipients", json!([recipient]));

    let email = told("/recipients/0/email", "expected an email address such as name@example.com");
    assert_eq!(of(json!({ "email": "nope" })), email);
    let nowhere = told("/recipients/0", "expected `id`, `email`, `phone` or `chat`");
    assert_eq!(of(json!({ "name": "x" })), nowhere);
    let (place, message) = of(json!({ "email": "a@b.example", "phon": "1" }));
    assert_eq!(place, "/recipients/0");
    assert!(message.contains("'phon' was unexpected") && !message.contains("email"), "{message}");
    assert_eq!(of(json!(5)), told("/recipients/0", "expected a string or an object"));
    let (place, message) = of(json!(""));
    assert_eq!(place, "/recipients/0");
    assert!(message.contains("1 character"), "{message}");
}

#[test]
fn each_way_to_write_a_day_is_told_and_the_text_that_is_none_is_not() {
    let expected =
        "expected a date such as 2026-12-03 or a date and time such as 2026-12-03T17:00:00+07:00";

    assert_eq!(of_delay("promised_at", json!("not a date")), told("/promised_at", expected));
    let (place, message) = of_delay("promised_at", json!(5));
    assert_eq!(place, "/promised_at");
    assert!(message.contains("string"), "{message}");
}

#[test]
fn what_one_of_must_be_there_is_told() {
    let content = json!({ "vi": { "headline": "a", "text": "b", "link": "https://x.example" } });
    let data = json!({ "product_id": "1", "content": content });

    let said = misfit("product.launched", &data);

    assert_eq!(said, told("", "expected `segment` or `recipients`"));
}

#[test]
fn an_address_is_read_as_one_of_the_channel_that_it_names() {
    let of = |address: Value| {
        let at = "2026-11-23T09:15:00+07:00";
        let data = json!({ "id": "a", "name": "b", "changed_at": at, "addresses": [address] });
        misfit("contact.changed", &data)
    };

    let email = told("/addresses/0/email", "expected an email address such as name@example.com");
    assert_eq!(of(json!({ "channel": "email", "email": "bad" })), email);
    let (place, message) = of(json!({ "channel": "sms" }));
    assert_eq!(place, "/addresses/0");
    assert!(message.contains("phone"), "{message}");
    let channel = told("/addresses/0/channel", r#"expected "email", "sms" or "chat""#);
    assert_eq!(of(json!({ "channel": "fax", "number": "1" })), channel);
}

#[test]
fn what_is_told_of_many_alternatives_is_bounded() {
    let alternatives: Vec<Value> =
        (0..500).map(|number| json!({ "required": [format!("member_{number}")] })).collect();
    let validator = schema::compile(&json!({ "anyOf": alternatives })).unwrap();
    let name: EventTypeName = "many".into();
    let schemas = Schemas { validators: HashMap::from([(name.clone(), validator)]) };

    let misfit = schemas.check(&name, &json!({})).unwrap();

    assert!(misfit.message.starts_with("expected `member_0`, `member_1`"), "{}", misfit.message);
    assert!(misfit.message.chars().count() <= 300, "{}", misfit.message.len());
}
