//! Moments and spans of time as people read them.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::texts::Language;

/// A moment in the viewer's zone; the exact time in UTC stands in its title.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    text: String,
    utc: Timestamp,
}

impl Moment {
    /// `moment` as a clock on the viewer's wall shows it; the year only if it is not this one.
    pub(super) fn of(
        moment: Timestamp,
        now: Timestamp,
        zone: &TimeZone,
        language: Language,
    ) -> Self {
        let local = moment.to_zoned(zone.clone());
        let is_this_year = local.year() == now.to_zoned(zone.clone()).year();
        let format = match (language, is_this_year) {
            (Language::English, true) => "%-d %b, %H:%M:%S",
            (Language::English, false) => "%-d %b %Y, %H:%M:%S",
            (Language::Vietnamese, true) => "%d/%m, %H:%M:%S",
            (Language::Vietnamese, false) => "%d/%m/%Y, %H:%M:%S",
        };
        Self { text: local.strftime(format).to_string(), utc: moment }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, utc } = self;
        write!(f, "<time datetime=\"{utc}\" title=\"{utc} (UTC)\">{text}</time>")
    }
}

// Made of figures and names of months alone.
impl askama::filters::HtmlSafe for Moment {}

/// A span in its one or two largest units.
pub(super) fn span(duration: Duration, language: Language) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let [second, minute, hour, day] = match language {
        Language::English => ["s", "min", "h", "d"],
        Language::Vietnamese => ["giây", "phút", "giờ", "ngày"],
    };
    match () {
        () if minutes == 0 => format!("{seconds} {second}"),
        () if hours == 0 => format!("{minutes} {minute}"),
        () if days == 0 && minutes % 60 == 0 => format!("{hours} {hour}"),
        () if days == 0 => format!("{hours} {hour} {} {minute}", minutes % 60),
        () => format!("{days} {day}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_the_viewers_zone_with_the_exact_utc_in_its_title() {
        let moment: Timestamp = "2026-11-23T18:00:05.25Z".parse().unwrap();
        let zone = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();

        let english = Moment::of(moment, moment, &zone, Language::English).to_string();
        let vietnamese = Moment::of(moment, moment, &zone, Language::Vietnamese).to_string();

        assert!(english.contains(">24 Nov, 01:00:05<"), "{english}");
        assert!(vietnamese.contains(">24/11, 01:00:05<"), "{vietnamese}");
        assert!(english.contains("title=\"2026-11-23T18:00:05.25Z (UTC)\""), "{english}");
    }

    #[test]
    fn a_span_is_told_in_its_largest_units() {
        let told = |seconds| span(Duration::from_secs(seconds), Language::English);

        assert_eq!(told(59), "59 s");
        assert_eq!(told(119), "1 min");
        assert_eq!(told(7_200), "2 h");
        assert_eq!(told(7_500), "2 h 5 min");
        assert_eq!(told(200_000), "2 d");
    }
}
