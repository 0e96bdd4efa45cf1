//! Who is told by an event type, in words.

use std::time::Duration;

use crate::model::catalogue::{Audience, EventType, OnUnknown, Step, StepTime, Strategy};
use crate::model::id::EventTypeName;

/// A step in a line: who, by which channels, when, unless what.
pub(super) fn step(step: &Step) -> String {
    let who: Vec<String> = step.to.iter().map(audience).collect();
    let mut line = format!("{}: {} by {}", step.name, who.join(" and "), channels(step));
    line.push_str(&match &step.due {
        StepTime::Now => ", at once".to_owned(),
        StepTime::After(after) => format!(", {} after the event", duration(*after)),
        StepTime::Relative { pointer, by, .. } if by.is_zero() => {
            format!(", at the time that the data says at {pointer}")
        }
        StepTime::Relative { pointer, by, before } => {
            let word = if *before { "before" } else { "after" };
            format!(", {} {word} the time that the data says at {pointer}", duration(*by))
        }
    });
    if let Some(window) = &step.window {
        line.push_str(&format!(", but only {window}"));
    }
    if !step.unless.is_empty() {
        let unless: Vec<&str> = step.unless.iter().map(EventTypeName::as_str).collect();
        line.push_str(&format!(", unless {} comes", unless.join(" or ")));
    }
    if step.from_manager {
        line.push_str(", in the name of the partner's manager");
    }
    line
}

/// What holds for the whole type.
pub(super) fn event_type(found: &EventType) -> String {
    let (category, lane) = (found.category.as_str(), found.lane.as_str());
    let unknown = match found.on_unknown {
        OnUnknown::Retry => "sent again",
        OnUnknown::Hold => "held for an operator",
    };
    format!(
        "It is {category}, goes in the {lane} lane, and is given up {} after it is due. A message of \
         which nobody knows whether it arrived is {unknown}.",
        duration(found.expiry)
    )
}

fn audience(audience: &Audience) -> String {
    match audience {
        Audience::Recipients => "whom the event names".to_owned(),
        Audience::Partner { duties } if duties.is_empty() => {
            "all contacts of the partner".to_owned()
        }
        Audience::Partner { duties } => {
            format!("the partner's contacts with the duty {}", duties.join(" or "))
        }
        Audience::Manager => "the partner's manager".to_owned(),
        Audience::Superior => "the superior of the partner's manager".to_owned(),
        Audience::Team(team) => format!("our team {team}"),
        Audience::Segment(segment) => format!("the segment {segment}"),
        Audience::SegmentAt(pointer) => format!("the segment that the data names at {pointer}"),
    }
}

fn channels(step: &Step) -> String {
    let words: Vec<&str> = step.channels.iter().map(|channel| channel.as_str()).collect();
    match step.strategy {
        Strategy::All => words.join(" and "),
        Strategy::Fallback { after } => {
            let wait = duration(after);
            let next = format!(", and if that has failed or is not sent within {wait}, by ");
            words.join(&next)
        }
    }
}

fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)];
    let fits = units.iter().find(|(_, size)| seconds > 0 && seconds.is_multiple_of(*size));
    let Some((word, size)) = fits else { return format!("{seconds} seconds") };
    match seconds / size {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Sources};

    #[test]
    fn each_delivered_type_says_who_is_told() {
        let config = config::load(&Sources::defaults()).unwrap();
        let types = config.catalogue.types.values();
        let told = types.flat_map(|found| {
            found.steps.iter().map(|one| format!("{} · {}", found.name, step(one)))
        });

        insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"));
    }
}
