//! When a step is due, before windows.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::model::catalogue::{Step, StepTime};
use crate::model::event::{Event, RejectReason, Rejection};

/// The step's own time, never before the event's `notbefore`.
///
/// An event that is dated later than `now` happened now: a publisher's clock that is fast must
/// delay nothing.
pub(super) fn due(
    event: &Event,
    step: &Step,
    (default_zone, now): (&TimeZone, Timestamp),
) -> Result<Timestamp, Box<Rejection>> {
    let happened = event.time.min(now);
    let start = event.not_before.map_or(happened, |not_before| not_before.max(happened));
    match &step.due {
        StepTime::Now => Ok(start),
        StepTime::After(wait) => Ok(later(start, *wait)),
        StepTime::Relative { pointer, by, before } => {
            let anchor = read_time(event, pointer, default_zone)?;
            let moment = if *before { earlier(anchor, *by) } else { later(anchor, *by) };
            Ok(moment.max(start))
        }
    }
}

/// `moment` plus `by`, or the end of time.
pub(super) fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// Reads the time at `pointer`: RFC 3339, or a date or local time in the default zone.
fn read_time(event: &Event, pointer: &str, zone: &TimeZone) -> Result<Timestamp, Box<Rejection>> {
    let fault = |message: &str| {
        let place = Some(format!("/data{pointer}"));
        super::rejection(event, RejectReason::Unplannable, place, message.to_owned())
    };
    let text = match event.data.pointer(pointer) {
        Some(Value::String(text)) => text,
        Some(_) => return Err(fault("expected a time such as 2026-12-24T09:00:00+07:00")),
        None => return Err(fault("missing; a step of the plan is due relative to this time")),
    };
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let local = text
        .parse::<DateTime>()
        .or_else(|_| text.parse::<Date>().map(|date| date.to_datetime(Time::midnight())));
    local
        .and_then(|local| local.to_zoned(zone.clone()))
        .map(|zoned| zoned.timestamp())
        .map_err(|_| fault("not a time; expected 2026-12-24T09:00:00+07:00, or a date"))
}
