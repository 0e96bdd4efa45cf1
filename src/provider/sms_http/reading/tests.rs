//! Answers of real gateways, and what they come to.

use std::time::Duration;

use reqwest::StatusCode;

use super::*;
use crate::model::outcome::VerdictClass;
use crate::provider::gateway::Blame;

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        retry_after: None,
        body: body.to_owned(),
        is_whole: true,
        blame: Blame::Provider,
    }
}

fn class(reading: &Reading, status: u16, body: &str) -> VerdictClass {
    reading.outcome(&reply(status, body)).verdict.class()
}

fn listed(codes: &[(&str, Meaning)]) -> BTreeMap<String, Meaning> {
    codes.iter().map(|(code, meaning)| ((*code).to_owned(), *meaning)).collect()
}

fn reading(id_at: &str, code_at: &str, codes: &[(&str, Meaning)]) -> Reading {
    Reading {
        id_at: id_at.parse().ok(),
        code_at: code_at.parse().ok(),
        codes: listed(codes),
        ..Reading::default()
    }
}

fn esms() -> Reading {
    reading(
        "/SMSID",
        "/CodeResult",
        &[
            ("100", Meaning::Ok),
            ("124", Meaning::Ok),
            ("99", Meaning::BadAddress),
            ("103", Meaning::Misconfigured),
        ],
    )
}

#[test]
fn a_gateway_that_always_answers_200_is_read_by_its_codes() {
    let esms = esms();

    let accepted = esms.outcome(&reply(200, r#"{"CodeResult":"100","SMSID":"abc"}"#));

    let message_id = Some("abc".to_owned());
    assert_eq!(accepted.verdict, Verdict::Accepted { message_id });
    let class = |body| class(&esms, 200, body);
    assert_eq!(class(r#"{"CodeResult":"124"}"#), VerdictClass::Accepted);
    assert_eq!(class(r#"{"CodeResult":"99"}"#), VerdictClass::BadAddress);
    assert_eq!(class(r#"{"CodeResult":"103"}"#), VerdictClass::Misconfigured);
    assert_eq!(class(r#"{"CodeResult":"777"}"#), VerdictClass::Refused);
    assert_eq!(class("<html>"), VerdictClass::Refused);
}

#[test]
fn a_success_whose_body_broke_off_is_unknown_and_a_failure_is_not() {
    let cut = |status| Reply { is_whole: false, ..reply(status, r#"{"CodeResult":"99"}"#) };

    assert_eq!(esms().outcome(&cut(200)).verdict, Verdict::Unknown);
    assert_eq!(Reading::default().outcome(&cut(200)).verdict, Verdict::Unknown);
    assert_eq!(Reading::default().outcome(&cut(500)).verdict.class(), VerdictClass::Later);
}

#[test]
fn a_gateway_with_plain_answers_is_read_by_the_first_word_or_the_status() {
    let kannel =
        Reading { codes: listed(&[("0", Meaning::Ok), ("3", Meaning::Ok)]), ..Reading::default() };

    assert_eq!(class(&kannel, 202, "0: Accepted for delivery"), VerdictClass::Accepted);
    assert_eq!(class(&kannel, 202, "3: Queued for later delivery"), VerdictClass::Accepted);
    assert_eq!(class(&kannel, 403, "Authorization failed"), VerdictClass::Misconfigured);
    assert_eq!(class(&kannel, 503, "Temporal failure, try again later."), VerdictClass::Later);
    assert_eq!(class(&kannel, 502, "0"), VerdictClass::Later);
}

#[test]
fn a_gateway_that_speaks_http_is_read_by_its_status() {
    let plain = reading("/sid", "/code", &[("21211", Meaning::BadAddress)]);

    let accepted = plain.outcome(&reply(201, r#"{"sid":"SM1","status":"queued"}"#));
    let bad = plain.outcome(&reply(400, r#"{"code":21211,"message":"invalid To"}"#));

    assert_eq!(accepted.verdict, Verdict::Accepted { message_id: Some("SM1".to_owned()) });
    assert_eq!(bad.verdict, Verdict::BadAddress);
    assert_eq!(bad.answer.code.as_deref(), Some("400 21211"));
}

#[test]
fn a_gateway_that_speaks_xml_is_read_by_its_elements() {
    let viettel = Reading {
        error_at: "<message>".parse().ok(),
        ..reading("<id>", "<result>", &[("1", Meaning::Ok), ("0", Meaning::Misconfigured)])
    };
    let body = "<return><message>wrong CPCode</message><result>0</result></return>";

    let refused = viettel.outcome(&reply(200, body));

    assert_eq!(refused.verdict, Verdict::Misconfigured);
    assert_eq!(refused.answer.text, "wrong CPCode");
}

#[test]
fn what_statuses_mean_can_be_said() {
    let statuses =
        listed(&[("404", Meaning::BadAddress), ("4xx", Meaning::Later), ("302", Meaning::Ok)]);
    let own = Reading { statuses, ..Reading::default() };
    let after = Some(Duration::from_secs(7));

    assert_eq!(class(&own, 404, ""), VerdictClass::BadAddress);
    assert_eq!(class(&own, 302, ""), VerdictClass::Accepted);
    assert_eq!(class(&own, 500, ""), VerdictClass::Later);
    let busy = own.outcome(&Reply { retry_after: after, ..reply(409, "") });
    assert_eq!(busy.verdict, Verdict::Later { after, obstacle: Obstacle::Call });
}
