//! Numbers, money and dates as Vietnamese and English write them.

use fixed_decimal::{Decimal, Sign};
use icu_decimal::DecimalFormatter;
use icu_locale_core::Locale;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde_json::Value;

/// The languages whose dates and money Loa writes; every other one is written as English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Vietnamese,
    English,
}

impl Language {
    /// The language of a BCP 47 tag.
    pub(super) fn of(locale: &str) -> Self {
        match locale.split(['-', '_']).next() {
            Some("vi") => Self::Vietnamese,
            _ => Self::English,
        }
    }
}

/// Currencies whose amounts have no fraction (ISO 4217, minor unit 0).
const WHOLE: [&str; 16] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV",
    "XAF", "XOF", "XPF",
];

/// Currencies whose amounts have three digits of fraction (ISO 4217, minor unit 3).
const THOUSANDTHS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// How many digits of fraction an amount has.
fn fraction_of(currency: &str) -> i16 {
    if WHOLE.contains(&currency) {
        0
    } else if THOUSANDTHS.contains(&currency) {
        3
    } else {
        2
    }
}

/// A number with the separators of `locale`.
pub(super) fn number(value: &Value, locale: &str) -> Option<String> {
    grouped(&decimal(value)?, locale)
}

/// An amount in units of `currency`, with its sign where the language puts it; `None` for what is
/// no amount, or has more digits than the currency: money is never rounded.
pub(super) fn money(value: &Value, currency: &str, locale: &str) -> Option<String> {
    let mut amount = decimal(value)?;
    let fraction = fraction_of(currency);
    amount.absolute.trim_end();
    if amount.absolute.magnitude_range().start() < &-fraction {
        return None;
    }
    amount.absolute.pad_end(-fraction);
    let is_negative = amount.sign() == Sign::Negative;
    amount.set_sign(Sign::None);
    let digits = grouped(&amount, locale)?;
    let sign = match currency {
        "VND" => "₫",
        "USD" => "$",
        "EUR" => "€",
        "GBP" => "£",
        "JPY" => "¥",
        other => other,
    };
    let minus = if is_negative { "-" } else { "" };
    Some(match (Language::of(locale), sign.chars().count()) {
        (Language::Vietnamese, _) => format!("{minus}{digits}\u{a0}{sign}"),
        (Language::English, 1) => format!("{minus}{sign}{digits}"),
        (Language::English, _) => format!("{minus}{sign}\u{a0}{digits}"),
    })
}

/// An exact decimal of a number or of a text such as `12.50`.
fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn grouped(value: &Decimal, locale: &str) -> Option<String> {
    let locale: Locale = locale.parse().or_else(|_| "en".parse()).ok()?;
    let formatter = DecimalFormatter::try_new((&locale).into(), Default::default()).ok()?;
    Some(formatter.format(value).to_string())
}

/// A moment, or a day that no zone shifts.
pub(super) enum When {
    Moment(DateTime),
    Day(Date),
}

/// Reads a date, or a moment as the recipient's clock shows it.
pub(super) fn when(text: &str, zone: &TimeZone) -> Option<When> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(When::Moment(moment.to_zoned(zone.clone()).datetime()));
    }
    if !text.contains('T')
        && let Ok(day) = text.parse::<Date>()
    {
        return Some(When::Day(day));
    }
    text.parse::<DateTime>().ok().map(When::Moment)
}

/// A date in one of the forms `short`, `long`, `weekday`, `time`.
pub(super) fn date(when: &When, form: &str, locale: &str) -> Option<String> {
    let (day, time) = match when {
        When::Moment(moment) => (moment.date(), moment.time()),
        When::Day(day) => (*day, Time::midnight()),
    };
    let language = Language::of(locale);
    Some(match (language, form) {
        (_, "time") => time.strftime("%H:%M").to_string(),
        (Language::Vietnamese, "short") => day.strftime("%d/%m/%Y").to_string(),
        (Language::English, "short") => day.strftime("%-d %b %Y").to_string(),
        (Language::Vietnamese, "long") => {
            format!("ngày {} tháng {} năm {}", day.day(), day.month(), day.year())
        }
        (Language::English, "long") => day.strftime("%-d %B %Y").to_string(),
        (Language::English, "weekday") => day.strftime("%A").to_string(),
        (Language::Vietnamese, "weekday") => {
            let names =
                ["Thứ Hai", "Thứ Ba", "Thứ Tư", "Thứ Năm", "Thứ Sáu", "Thứ Bảy", "Chủ Nhật"];
            let index = usize::from(day.weekday().to_monday_zero_offset().unsigned_abs());
            (*names.get(index)?).to_owned()
        }
        _ => return None,
    })
}

/// How far `when` is from `now`, in words: "in 2 days", "3 giờ trước".
pub(super) fn relative(when: &When, now: DateTime, locale: &str) -> String {
    let moment = match when {
        When::Moment(moment) => *moment,
        When::Day(day) => day.to_datetime(Time::midnight()),
    };
    let minutes = moment.duration_since(now).as_mins();
    let (count, unit) = match minutes.unsigned_abs() {
        0 => (0, 0),
        minutes @ 1..60 => (minutes, 0),
        minutes @ 60..2880 => (minutes / 60, 1),
        minutes => (minutes / 1440, 2),
    };
    let is_past = minutes < 0;
    match Language::of(locale) {
        Language::Vietnamese => {
            let unit = ["phút", "giờ", "ngày"][unit];
            match (count, is_past) {
                (0, _) => "ngay bây giờ".to_owned(),
                (_, true) => format!("{count} {unit} trước"),
                (_, false) => format!("{count} {unit} nữa"),
            }
        }
        Language::English => {
            let unit = ["minute", "hour", "day"][unit];
            let plural = if count == 1 { "" } else { "s" };
            match (count, is_past) {
                (0, _) => "now".to_owned(),
                (_, true) => format!("{count} {unit}{plural} ago"),
                (_, false) => format!("in {count} {unit}{plural}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn money_is_written_as_each_language_writes_it() {
        assert_eq!(money(&json!(1_234_567), "VND", "vi").unwrap(), "1.234.567\u{a0}₫");
        assert_eq!(money(&json!(1_234_567), "VND", "en").unwrap(), "₫1,234,567");
        assert_eq!(money(&json!("1234.5"), "USD", "en").unwrap(), "$1,234.50");
        assert_eq!(money(&json!("1234.5"), "USD", "vi").unwrap(), "1.234,50\u{a0}$");
        assert_eq!(money(&json!(true), "USD", "vi"), None);
        assert_eq!(
            money(&json!("9007199254740993.10"), "USD", "en").unwrap(),
            "$9,007,199,254,740,993.10"
        );
        assert_eq!(money(&json!(-5), "VND", "en").unwrap(), "-₫5");
        assert_eq!(money(&json!("1.5"), "KWD", "en").unwrap(), "KWD\u{a0}1.500");
    }

    #[test]
    fn money_is_never_rounded() {
        assert_eq!(money(&json!("1.005"), "USD", "en"), None);
        assert_eq!(money(&json!(1.5), "VND", "vi"), None);
        assert_eq!(money(&json!("1.500"), "USD", "en").unwrap(), "$1.50");
        assert_eq!(money(&json!("100.00"), "VND", "vi").unwrap(), "100\u{a0}₫");
    }

    #[test]
    fn a_bare_date_is_shifted_by_no_zone_and_a_moment_is() {
        let zone = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();
        let short = |text| date(&when(text, &zone).unwrap(), "short", "vi").unwrap();

        assert_eq!(short("2026-12-04"), "04/12/2026");
        assert_eq!(short("2026-12-04T20:00:00Z"), "05/12/2026");
    }

    #[test]
    fn weekdays_and_distances_are_words() {
        let zone = TimeZone::UTC;
        let day = when("2026-12-04", &zone).unwrap();
        let now: DateTime = "2026-12-02T00:00:00".parse().unwrap();

        assert_eq!(date(&day, "weekday", "vi").unwrap(), "Thứ Sáu");
        assert_eq!(relative(&day, now, "en"), "in 2 days");
        assert_eq!(relative(&day, now, "vi"), "2 ngày nữa");
    }
}
