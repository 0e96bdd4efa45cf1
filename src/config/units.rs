//! Durations, sizes and rates as people write them.

use std::time::Duration;

/// Reads `30s`, `5 min`, `4h`, `2 days`, `1h 30min`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let (unit, after) = split_unit(after);
        let unit = match unit {
            "ms" | "millisecond" | "milliseconds" => Duration::from_millis(1),
            "s" | "sec" | "second" | "seconds" => Duration::from_secs(1),
            "m" | "min" | "minute" | "minutes" => Duration::from_mins(1),
            "h" | "hour" | "hours" => Duration::from_hours(1),
            "d" | "day" | "days" => Duration::from_hours(24),
            "w" | "week" | "weeks" => Duration::from_hours(24 * 7),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(u32::try_from(number).ok()?)?)?;
        rest = after;
    }
    // A thousand years: what is longer is a slip, and would overflow a date.
    (total <= Duration::from_hours(24 * 366 * 1000)).then_some(total)
}

/// Reads `500`, `64 KiB`, `1 MiB`, `2 GB` as bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, after) = split_number(text.trim())?;
    let unit = match after.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Reads `14/s`, `100/min`, `5000/h` as a number a second.
pub fn parse_rate(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once('/')?;
    let number: u32 = number.trim().parse().ok()?;
    let seconds = match unit.trim() {
        "s" | "second" => 1.0,
        "min" | "minute" => 60.0,
        "h" | "hour" => 3600.0,
        "day" => 86_400.0,
        _ => return None,
    };
    (number > 0).then(|| f64::from(number) / seconds)
}

/// The digits at the start of `text`, and what follows.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

/// The letters after optional blanks, and what follows them and more blanks.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (unit, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (unit, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let seconds = |text| parse_duration(text).map(|duration| duration.as_secs());

        assert_eq!(seconds("30s"), Some(30));
        assert_eq!(seconds("5 min"), Some(300));
        assert_eq!(seconds("4h"), Some(4 * 3600));
        assert_eq!(seconds("2 days"), Some(2 * 86_400));
        assert_eq!(seconds("1h 30min"), Some(5400));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "s", "10", "-5s", "5 parsecs", "1.5h", "99999999999999999999s", "4294967295 w"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_know_both_kinds_of_thousand() {
        assert_eq!(parse_size("1 MiB"), Some(1_048_576));
        assert_eq!(parse_size("1MB"), Some(1_000_000));
        assert_eq!(parse_size("512"), Some(512));
        assert_eq!(parse_size("1 mb"), None);
        assert_eq!(parse_size("99999999999 GiB"), None);
    }

    #[test]
    fn rates_are_a_number_a_time() {
        assert_eq!(parse_rate("14/s"), Some(14.0));
        assert_eq!(parse_rate("120 / min"), Some(2.0));
        assert_eq!(parse_rate("0/s"), None);
        assert_eq!(parse_rate("14"), None);
    }
}
