//! Reads one step of an event type: who is told, on which channels, when.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::config::{Section, schema, suggestion, units};
use crate::model::address::Channel;
use crate::model::catalogue::{Audience, Step, StepTime, Strategy};
use crate::model::id::{EventTypeName, ProviderName, SegmentName, StepName, TeamName};

/// Reads a step of `event_type`; none if it lacks what every step needs.
pub(super) fn read(section: &Section, event_type: &EventTypeName, data: &Value) -> Option<Step> {
    let name = section.required_text("name");
    let channels = channels(section);
    let step = Step {
        name: StepName::from(name.clone().unwrap_or_default()),
        to: audiences(section, data),
        strategy: strategy(section, &channels),
        template: section.text("template").unwrap_or_else(|| event_type.to_string()),
        window: section.window("window"),
        due: due(section, data),
        unless: section.list("unless").unwrap_or_default().into_iter().map(Into::into).collect(),
        providers: providers(section, &channels),
        from_manager: section.boolean("from_manager").unwrap_or(false),
        channels,
    };
    section.finish();
    name.map(|_| step)
}

fn audiences(section: &Section, data: &Value) -> Vec<Audience> {
    let written = section.required("to", Section::placed_list).unwrap_or_default();
    if written.is_empty() && section.has("to") {
        section.fault("to", "the step tells nobody", format!("write {AUDIENCES}"));
    }
    let mut audiences = Vec::with_capacity(written.len());
    for (text, place) in written {
        match audience(&text) {
            Some(Audience::SegmentAt(pointer)) => {
                schema::warn_if_unknown(section, &place, &pointer, data);
                audiences.push(Audience::SegmentAt(pointer));
            }
            Some(audience) => audiences.push(audience),
            None => {
                let word = text.split(':').next().unwrap_or_default();
                let help = match suggestion::nearest(word, &AUDIENCE_WORDS) {
                    Some(near) if near != word => format!("did you mean `{near}`?"),
                    _ => format!("write {AUDIENCES}"),
                };
                section.faults().error(place, format!("`{text}` is no audience"), help);
            }
        }
    }
    audiences
}

const AUDIENCE_WORDS: [&str; 6] =
    ["recipients", "partner", "manager", "superior", "team", "segment"];
const AUDIENCES: &str = "some of \"recipients\", \"partner\", \"partner:buyer\", \"manager\", \
                         \"superior\", \"team:NAME\", \"segment:NAME\", \"segment:/pointer\"";

fn audience(text: &str) -> Option<Audience> {
    let (word, rest) = match text.split_once(':') {
        Some((word, rest)) => (word, Some(rest.trim()).filter(|rest| !rest.is_empty())),
        None => (text, None),
    };
    let has_colon = text.contains(':');
    Some(match (word, rest) {
        ("recipients", None) if !has_colon => Audience::Recipients,
        ("manager", None) if !has_colon => Audience::Manager,
        ("superior", None) if !has_colon => Audience::Superior,
        ("partner", None) if !has_colon => Audience::Partner { duties: Vec::new() },
        ("partner", Some(duties)) => {
            let duties: Vec<_> = duties.split(',').map(|duty| duty.trim().to_owned()).collect();
            if duties.iter().any(String::is_empty) {
                return None;
            }
            Audience::Partner { duties }
        }
        ("team", Some(name)) => Audience::Team(TeamName::from(name)),
        ("segment", Some(pointer)) if pointer.starts_with('/') => {
            schema::is_pointer(pointer).then(|| Audience::SegmentAt(pointer.to_owned()))?
        }
        ("segment", Some(name)) => Audience::Segment(SegmentName::from(name)),
        _ => return None,
    })
}

fn channels(section: &Section) -> Vec<Channel> {
    let words = Channel::ALL.map(Channel::as_str);
    let written = section.required("channels", Section::placed_list).unwrap_or_default();
    if written.is_empty() && section.has("channels") {
        section.fault("channels", "the step has no channel", suggestion::expected("", &words));
    }
    let mut channels = Vec::with_capacity(written.len());
    for (text, place) in written {
        match text.parse::<Channel>() {
            Ok(channel) if channels.contains(&channel) => {
                section.faults().error(place, format!("`{text}` stands there twice"), "remove one");
            }
            Ok(channel) => channels.push(channel),
            Err(_) => {
                let help = suggestion::expected(&text, &words);
                section.faults().error(place, format!("`{text}` is no channel"), help);
            }
        }
    }
    channels
}

fn strategy(section: &Section, channels: &[Channel]) -> Strategy {
    let is_fallback = section.choice("strategy", &[("all", false), ("fallback", true)]);
    let after = section.duration("fallback_after");
    if is_fallback != Some(true) {
        if section.has("fallback_after") {
            let help = "add `strategy = \"fallback\"`, or remove it";
            section.fault("fallback_after", "`fallback_after` without a fallback", help);
        }
        return Strategy::All;
    }
    if !section.has("fallback_after") {
        let help = "add for example `fallback_after = \"10 min\"`: how long the channel before has";
        section.fault("strategy", "a fallback without `fallback_after`", help);
    }
    if channels.len() == 1 {
        let help = "name a second channel, or remove the strategy";
        section.fault("strategy", "a fallback with one channel", help);
    }
    Strategy::Fallback { after: after.unwrap_or_default() }
}

fn due(section: &Section, data: &Value) -> StepTime {
    let after = section.duration("after");
    let expected = "a time such as \"2 days before /promised_at\", \"3h after /slot\" or \"/slot\"";
    let at = section.parsed_by("at", expected, relative);
    if section.has("after") && section.has("at") {
        section.fault("at", "both `after` and `at` are set", "keep one of the two");
    }
    if let Some(StepTime::Relative { pointer, .. }) = &at {
        schema::warn_if_unknown(section, &section.place_of("at"), pointer, data);
    }
    at.or(after.map(StepTime::After)).unwrap_or(StepTime::Now)
}

fn relative(text: &str) -> Option<StepTime> {
    let (before_pointer, pointer) = text.trim().rsplit_once(' ').unwrap_or(("", text.trim()));
    if !pointer.starts_with('/') || !schema::is_pointer(pointer) {
        return None;
    }
    let pointer = pointer.to_owned();
    if before_pointer.is_empty() {
        return Some(StepTime::Relative { pointer, by: Duration::ZERO, before: false });
    }
    let (by, word) = before_pointer.trim_end().rsplit_once(' ')?;
    let before = match word {
        "before" => true,
        "after" => false,
        _ => return None,
    };
    Some(StepTime::Relative { pointer, by: units::parse_duration(by)?, before })
}

fn providers(section: &Section, channels: &[Channel]) -> BTreeMap<Channel, ProviderName> {
    let Some(table) = section.section("providers") else { return BTreeMap::new() };
    let named = Channel::ALL.into_iter().filter_map(|channel| {
        let name = table.text(channel.as_str())?;
        if !channels.contains(&channel) {
            let what = format!("the step does not use the channel `{channel}`");
            table.fault(channel.as_str(), what, "add it to `channels`, or remove this line");
        }
        Some((channel, ProviderName::from(name)))
    });
    let named = named.collect();
    table.finish();
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_reads_back_as_it_is_written() {
        for text in [
            "recipients",
            "partner",
            "partner:buyer,accountant",
            "manager",
            "superior",
            "team:operators",
            "segment:south",
            "segment:/audience",
        ] {
            assert_eq!(audience(text).map(|audience| audience.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_no_audience_is_refused() {
        for text in ["", "everyone", "team:", "partner:", "partner:,", "manager:x", "segment:/a~2"]
        {
            assert_eq!(audience(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_relative_to_the_data_is_read() {
        let relative_to = |text| match relative(text) {
            Some(StepTime::Relative { pointer, by, before }) => {
                Some((pointer, by.as_secs(), before))
            }
            _ => None,
        };

        let two_days = Some(("/promised_at".to_owned(), 2 * 86_400, true));
        assert_eq!(relative_to("2 days before /promised_at"), two_days);
        assert_eq!(relative_to("3h after /slot"), Some(("/slot".to_owned(), 3 * 3600, false)));
        assert_eq!(relative_to("/slot"), Some(("/slot".to_owned(), 0, false)));
        assert_eq!(relative_to("2 days around /slot"), None);
        assert_eq!(relative_to("2 days before slot"), None);
    }
}
