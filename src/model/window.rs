//! Times of day at which messages may go out, such as `Mon-Sat 08:00-18:00`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Days of the week and hours of the day, in the recipient's zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    days: [bool; 7],
    from: Time,
    to: Time,
    text: String,
}

/// Why a text is no window.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no window; expected days and hours such as `Mon-Sat 08:00-18:00`")]
pub struct WindowError(String);

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Window {
    /// The first moment not before `at` that lies in the window.
    pub fn next_open(&self, at: Timestamp, zone: &TimeZone) -> Timestamp {
        let local = at.to_zoned(zone.clone());
        for day in 0..8 {
            let Ok(date) = local.date().checked_add(day.days()) else { break };
            if !self.is_open_on(date.weekday()) {
                continue;
            }
            let opens = date.to_datetime(self.from).to_zoned(zone.clone());
            let closes = date.to_datetime(self.to).to_zoned(zone.clone());
            let (Ok(opens), Ok(closes)) = (opens, closes) else { continue };
            if at < closes.timestamp() {
                return at.max(opens.timestamp());
            }
        }
        at
    }

    fn is_open_on(&self, day: Weekday) -> bool {
        let index = usize::from(day.to_monday_zero_offset().unsigned_abs());
        self.days.get(index).copied().unwrap_or(false)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let fault = || WindowError(text.to_owned());
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, hours) = match words.as_slice() {
            [hours] => ([true; 7], *hours),
            [days, hours] => (read_days(days).ok_or_else(fault)?, *hours),
            _ => return Err(fault()),
        };
        let (from, to) = hours.split_once('-').ok_or_else(fault)?;
        let from = read_time(from).ok_or_else(fault)?;
        let to = read_time(to).ok_or_else(fault)?;
        if from >= to {
            return Err(fault());
        }
        Ok(Self { days, from, to, text: text.trim().to_owned() })
    }
}

/// Reads `HH:MM`; `24:00` is the last moment of the day.
fn read_time(text: &str) -> Option<Time> {
    if text == "24:00" {
        return Some(Time::MAX);
    }
    let (hour, minute) = text.split_once(':')?;
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

/// Reads `Mon-Sat`, `Mon,Wed` or `Mon-Wed,Fri`.
fn read_days(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day_index(first)?, day_index(last)?);
        let mut day = first;
        loop {
            *days.get_mut(day)? = true;
            if day == last {
                break;
            }
            day = (day + 1) % 7;
        }
    }
    Some(days)
}

fn day_index(text: &str) -> Option<usize> {
    let text = text.to_lowercase();
    DAYS.iter().position(|day| text == *day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(window: &str, at: &str) -> String {
        let zone = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();
        let window: Window = window.parse().unwrap();
        let open = window.next_open(at.parse().unwrap(), &zone);
        open.to_zoned(zone).strftime("%a %H:%M").to_string()
    }

    #[test]
    fn a_moment_inside_the_window_stays() {
        assert_eq!(opens("Mon-Sat 08:00-18:00", "2026-11-23T03:15:00Z"), "Mon 10:15");
    }

    #[test]
    fn an_evening_moves_to_the_next_morning() {
        assert_eq!(opens("Mon-Sat 08:00-18:00", "2026-11-23T13:00:00Z"), "Tue 08:00");
    }

    #[test]
    fn saturday_evening_moves_to_monday() {
        assert_eq!(opens("Mon-Sat 08:00-18:00", "2026-11-28T12:00:00Z"), "Mon 08:00");
    }

    #[test]
    fn days_may_wrap_around_the_week() {
        assert_eq!(opens("Sat-Mon 08:00-18:00", "2026-11-24T03:00:00Z"), "Sat 08:00");
    }

    #[test]
    fn hours_that_end_before_they_begin_are_refused() {
        assert!("Mon 18:00-08:00".parse::<Window>().is_err());
    }
}
