//! What a row of the benchmark found, for people and for programs.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// The figures of one run.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What the columns of `rows` are.
    pub titles: Vec<&'static str>,
    /// A table for people.
    pub rows: Vec<Vec<String>>,
    /// Lines for people below the table.
    pub lines: Vec<String>,
    /// The same for programs.
    pub json: Value,
}

/// Figures with names, each a row of a table of two columns.
#[derive(Default)]
pub(super) struct Figures {
    rows: Vec<Vec<String>>,
    json: Map<String, Value>,
}

impl Figures {
    /// Adds a figure: what it is to people, its key, the figure rounded to `digits`.
    pub(super) fn add(&mut self, (what, key): (&str, &str), figure: f64, digits: usize) {
        self.rows.push(vec![what.to_owned(), format!("{figure:.digits$}")]);
        self.json.insert(key.to_owned(), json!(round(figure, digits)));
    }

    /// Adds a count.
    pub(super) fn count(&mut self, (what, key): (&str, &str), count: u64) {
        self.rows.push(vec![what.to_owned(), count.to_string()]);
        self.json.insert(key.to_owned(), json!(count));
    }

    /// The figures of what was measured on `store`.
    pub(super) fn findings(self, store: &str) -> Findings {
        let Self { rows, mut json } = self;
        json.insert("store".to_owned(), json!(store));
        Findings {
            titles: vec!["what", "figure"],
            rows,
            lines: vec![store.to_owned()],
            json: Value::Object(json),
        }
    }
}

/// The middle one of a few figures.
pub(super) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_unstable_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match (figures.get(middle), figures.get(middle.wrapping_sub(1))) {
        (Some(upper), Some(lower)) if figures.len().is_multiple_of(2) => {
            f64::midpoint(*upper, *lower)
        }
        (Some(one), _) => *one,
        (None, _) => 0.0,
    }
}

/// The figure with so many digits behind the point.
pub(super) fn round(figure: f64, digits: usize) -> f64 {
    let scale = 10_f64.powi(i32::try_from(digits).unwrap_or(0));
    (figure * scale).round() / scale
}

/// The time within which `percent` of the messages came, in milliseconds; `sorted` by size.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).map_or(0.0, |took| millis(*took))
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
pub(super) fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read_from_the_sorted_times() {
        let took: Vec<_> = (1..=100).map(Duration::from_millis).collect();

        assert_eq!((percentile(&took, 50), percentile(&took, 99)), (51.0, 100.0));
        assert!(percentile(&[], 50).abs() < f64::EPSILON);
    }

    #[test]
    fn figures_are_the_same_for_people_and_programs() {
        let mut figures = Figures::default();
        figures.add(("messages/s", "per_second"), 12.345, 1);
        figures.count(("rows", "rows"), 7);

        let findings = figures.findings("SQLite");

        assert_eq!(findings.rows[0], ["messages/s", "12.3"]);
        assert_eq!(findings.json["per_second"], 12.3);
        assert_eq!((&findings.json["rows"], findings.lines[0].as_str()), (&json!(7), "SQLite"));
    }
}
