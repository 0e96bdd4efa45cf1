//! The story of one delivery: for whom and why, what was tried, and what comes next.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::cli::cell;
use crate::cli::print::cell_in;

/// The story as lines for people, moments in `zone`.
pub(super) fn tell(answer: &Value, zone: &TimeZone) -> String {
    let delivery = &answer["delivery"];
    let mut lines = vec![head(delivery), state(delivery), why(answer), String::new()];
    let mut entry = |at: String, text: String| lines.push(format!("{at:<24}  {text}"));
    let (event, id) = (&answer["event"], cell(delivery, "event"));
    entry(
        cell_in(zone, event, "time"),
        format!("the event happened: {} of {}", cell(event, "id"), cell(event, "source")),
    );
    entry(cell_in(zone, delivery, "created_at"), "planned".to_owned());
    for (at, step) in past(answer) {
        entry(cell_in(zone, step, at), if at == "at" { done(step) } else { tried(step) });
    }
    match cell(delivery, "state").as_str() {
        "waiting" => {
            entry(cell_in(zone, delivery, "due_at"), "is due".to_owned());
            entry(cell_in(zone, delivery, "expires_at"), "expires if not sent by then".to_owned());
        }
        "held" => {
            let text = "expires if not released and sent by then".to_owned();
            entry(cell_in(zone, delivery, "expires_at"), text);
        }
        word => entry(cell_in(zone, delivery, "updated_at"), format!("became {word}")),
    }
    lines.push(String::new());
    lines.push(format!("The event and all its deliveries: loa events show {id}"));
    let clean = |line: &String| line.chars().filter(|letter| !letter.is_control()).collect();
    lines.iter().map(clean).collect::<Vec<String>>().join("\n")
}

/// What it is and for whom.
fn head(delivery: &Value) -> String {
    let said = |key| cell(delivery, key);
    let (name, address) = (said("name"), said("address"));
    let name = if name.is_empty() { said("recipient") } else { name };
    let address = if address.is_empty() { "no address".to_owned() } else { address };
    let business = match said("business_key") {
        key if key.is_empty() => key,
        key => format!(" about {key}"),
    };
    format!(
        "{} {}{business} by {} to {name} ({address})",
        said("type"),
        said("id"),
        said("channel")
    )
}

/// Where it stands.
fn state(delivery: &Value) -> String {
    let (state, reason, detail) =
        (cell(delivery, "state"), cell(delivery, "reason"), cell(delivery, "detail"));
    let reason = reason.replace('_', " ");
    let captured = match delivery["is_captured"] == true {
        true => "; captured, so nothing left this Loa",
        false => "",
    };
    match detail.is_empty() {
        true => format!("{state}: {reason}{captured}"),
        false => format!("{state}: {reason}; {detail}{captured}"),
    }
}

/// Why this recipient, and by which way.
fn why(answer: &Value) -> String {
    let delivery = &answer["delivery"];
    let said = |key| cell(delivery, key);
    let partner = match said("partner") {
        id if id.is_empty() => id,
        id => format!(", partner {id}"),
    };
    let provider = match said("provider") {
        name if name.is_empty() => "no provider".to_owned(),
        name => format!("provider {name}"),
    };
    format!(
        "step {} of {}{partner}; {provider}, lane {}, language {}",
        said("step"),
        said("type"),
        said("lane"),
        said("locale"),
    )
}

/// Tries and deeds in the order in which they happened, each with the member that says when.
fn past(answer: &Value) -> Vec<(&'static str, &Value)> {
    let of =
        |list: &str, at| answer[list].as_array().into_iter().flatten().map(move |one| (at, one));
    let mut all: Vec<_> = of("attempts", "started_at").chain(of("deeds", "at")).collect();
    all.sort_by_key(|(at, step)| cell(step, at).parse::<Timestamp>().ok());
    all
}

/// What somebody did to it, or Loa for a fault.
fn done(deed: &Value) -> String {
    let said = |key| cell(deed, key);
    match said("note") {
        note if note.is_empty() => format!("{} by {}", said("deed"), said("by")),
        note => format!("{} by {}: {}", said("deed"), said("by"), note.replace('_', " ")),
    }
}

fn tried(attempt: &Value) -> String {
    let said = |key| cell(attempt, key);
    let answer = [said("code"), said("answer")].join(" ");
    let class = said("class").replace('_', " ");
    format!("try {} by {}: {class}: {}", said("number"), said("provider"), answer.trim())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_story_says_for_whom_why_what_was_tried_and_what_comes_next() {
        let answer = json!({
            "delivery": {
                "id": "d-1", "event": "e-1", "type": "order.delayed", "step": "notice",
                "recipient": "lan", "name": "Nguy\u{1b}ễn Thị Lan", "partner": "minh-phat",
                "business_key": "DH-7", "channel": "email", "provider": "relay",
                "address": "l…@minhphat.test", "locale": "vi", "lane": "normal",
                "state": "waiting", "reason": "retry", "detail": "mailbox busy",
                "created_at": "2026-03-02T01:00:01Z", "due_at": "2026-03-02T01:05:00Z",
                "expires_at": "2026-03-04T01:00:00Z", "updated_at": "2026-03-02T01:00:02Z",
            },
            "event": { "source": "shop", "id": "7", "time": "2026-03-02T01:00:00Z" },
            "attempts": [{
                "number": 1, "provider": "relay", "started_at": "2026-03-02T01:00:02Z",
                "class": "later", "code": "451", "answer": "mailbox busy",
            }],
            "deeds": [
                { "at": "2026-03-02T01:00:03.5Z", "deed": "released", "by": "key shop" },
                { "at": "2026-03-02T01:00:01.5Z", "deed": "held", "by": "loa",
                  "note": "render_fault: no such variable" },
            ],
        });
        let zone = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();

        insta::assert_snapshot!(tell(&answer, &zone));
    }
}
