//! Makes a table fit a terminal: what matters least is shortened, then left out.

/// What columns are parted by, in letters; the first has one more.
const PADDING: usize = 3;
/// No column is cut to less than this beside a name.
const LEAST: usize = 12;
/// Nor to less than this beside an id, which leaves room for little: a moment, a name and the
/// beginning of a sentence are read.
const LEAST_BESIDE_ID: usize = 26;
/// What is as long as this in the first column is an id.
const ID: usize = 30;
/// What a second line of a row begins with.
const INDENT: &str = "   ";
/// What stands at the end of a text that is cut.
const CUT: char = '…';

/// A table as it fits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fitted<'t> {
    pub(super) titles: Vec<&'t str>,
    pub(super) rows: Vec<Vec<String>>,
    /// The titles of the columns that found no room.
    pub(super) left_out: Vec<&'t str>,
}

/// The table in `room` letters a line; columns stand with the one that matters most first, and that
/// one stays whole, so that ids can be copied.
fn fit<'t>(
    titles: &[&'t str],
    rows: Vec<Vec<String>>,
    (least, room): (usize, usize),
) -> Fitted<'t> {
    let widths: Vec<usize> = titles
        .iter()
        .enumerate()
        .map(|(at, title)| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| letters(cell));
            cells.chain([letters(title)]).max().unwrap_or_default()
        })
        .collect();
    let granted = grant(titles, &widths, (least, room));
    let cells = |row: Vec<String>| {
        let cells = row.into_iter().zip(&granted);
        cells.filter_map(|(cell, width)| Some(cut(cell, (*width)?))).collect()
    };
    let (shown, left_out): (Vec<_>, Vec<_>) =
        titles.iter().zip(&granted).partition(|(_, width)| width.is_some());
    let named = |columns: Vec<(&&'t str, &Option<usize>)>| {
        columns.into_iter().map(|(title, _)| *title).collect()
    };
    Fitted {
        titles: named(shown),
        rows: rows.into_iter().map(cells).collect(),
        left_out: named(left_out),
    }
}

/// How a table stands in the room that there is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arranged<'t> {
    OnOneLine(Fitted<'t>),
    OnTwoLines(OnTwoLines<'t>),
}

/// The table in `room` letters a line: rows that begin with an id take two lines where one is too
/// short.
pub(super) fn arrange<'t>(titles: &[&'t str], rows: Vec<Vec<String>>, room: usize) -> Arranged<'t> {
    let begins_with_id = rows.iter().any(|row| row.first().is_some_and(|cell| letters(cell) >= ID));
    if !begins_with_id {
        return Arranged::OnOneLine(fit(titles, rows, (LEAST, room)));
    }
    let fitted = fit(titles, rows.clone(), (LEAST_BESIDE_ID, room));
    match fitted.left_out.is_empty() {
        true => Arranged::OnOneLine(fitted),
        false => Arranged::OnTwoLines(on_two_lines(titles, &rows, room)),
    }
}

/// A table that finds no room on one line a row, as two lines: the words first, below them the
/// column that stands whole and whatever else finds room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OnTwoLines<'t> {
    pub(super) first: Fitted<'t>,
    pub(super) second: Fitted<'t>,
}

/// The table on two lines a row, each of `room` letters.
fn on_two_lines<'t>(titles: &[&'t str], rows: &[Vec<String>], room: usize) -> OnTwoLines<'t> {
    let of = |chosen: &[usize]| -> (Vec<&'t str>, Vec<Vec<String>>) {
        let pick = |row: &Vec<String>| {
            chosen.iter().map(|at| row.get(*at).cloned().unwrap_or_default()).collect()
        };
        let titles = chosen.iter().filter_map(|at| titles.get(*at).copied()).collect();
        (titles, rows.iter().map(pick).collect())
    };
    // What is empty in every row takes no room.
    let is_said =
        |at: &usize| rows.iter().any(|row| row.get(*at).is_some_and(|cell| !cell.is_empty()));
    let words: Vec<usize> = (1..titles.len()).filter(is_said).collect();
    let (names, cells) = of(&words);
    let first = fit(&names, cells, (LEAST_BESIDE_ID, room));
    let is_left = |at: &usize| titles.get(*at).is_some_and(|title| first.left_out.contains(title));
    let rest: Vec<usize> = std::iter::once(0).chain(words.into_iter().filter(is_left)).collect();
    let (names, cells) = of(&rest);
    let second = fit(&names, cells, (LEAST_BESIDE_ID, room.saturating_sub(INDENT.len())));
    OnTwoLines { first, second }
}

impl OnTwoLines<'_> {
    /// All of it as text, with a line below the titles.
    pub(super) fn written(&self) -> String {
        let [first, second] = [&self.first, &self.second].map(Fitted::lines);
        let mut lines = Vec::new();
        for (words, rest) in first.iter().zip(&second) {
            lines.extend([words.clone(), format!("{INDENT}{rest}")]);
            if lines.len() == 2 {
                let width = lines.iter().map(|line| letters(line)).max().unwrap_or_default();
                lines.push("─".repeat(width));
            }
        }
        lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
    }
}

impl Fitted<'_> {
    /// Titles and rows, each cell as wide as the widest of its column.
    fn lines(&self) -> Vec<String> {
        let titles = self.titles.iter().map(|title| (*title).to_owned()).collect();
        let all: Vec<&Vec<String>> = std::iter::once(&titles).chain(&self.rows).collect();
        let width = |at: usize| {
            let cells = all.iter().filter_map(|row| row.get(at));
            cells.map(|cell| letters(cell)).max().unwrap_or_default()
        };
        let line = |row: &&Vec<String>| {
            let cells = row.iter().enumerate();
            let padded = cells.map(|(at, cell)| format!(" {cell:<width$} ", width = width(at)));
            padded.collect::<Vec<_>>().join(" ")
        };
        all.iter().map(line).collect()
    }
}

/// How wide each column may be; none for one that there is no room for.
fn grant(titles: &[&str], widths: &[usize], (least, room): (usize, usize)) -> Vec<Option<usize>> {
    let mut left = room.saturating_sub(1);
    let mut granted = Vec::with_capacity(widths.len());
    for (at, (width, title)) in widths.iter().zip(titles).enumerate() {
        let least = if at == 0 { *width } else { (*width).min(least.max(letters(title))) };
        let has_room = at == 0 || least + PADDING <= left;
        left = left.saturating_sub(if has_room { least + PADDING } else { 0 });
        granted.push(has_room.then_some(least));
    }
    for (width, granted) in widths.iter().zip(&mut granted) {
        if let Some(granted) = granted {
            let more = (width - *granted).min(left);
            *granted += more;
            left -= more;
        }
    }
    granted
}

fn letters(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: String, width: usize) -> String {
    if letters(&text) <= width {
        return text;
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain([CUT]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "019ab1c2-0000-7000-8000-000000000001";
    const WHY: &str = "refused: 554 5.7.1 this sender is not welcome here today";

    fn table() -> (Vec<&'static str>, Vec<Vec<String>>) {
        let row = [WHOLE, "failed", "Nguyễn Thị Lan", WHY, "2026-12-24 09:00:00 +07", "3"];
        let titles = vec!["id", "state", "to", "why", "planned", "attempts"];
        (titles, vec![row.map(str::to_owned).to_vec()])
    }

    #[test]
    fn at_100_letters_no_line_is_longer_and_the_id_is_whole() {
        let (titles, rows) = table();

        let fitted = fit(&titles, rows, (LEAST_BESIDE_ID, 100));

        let width: usize = fitted.rows[0].iter().map(|cell| letters(cell) + PADDING).sum();
        assert!(width < 100, "{fitted:?}");
        assert_eq!(fitted.titles, ["id", "state", "to", "why"]);
        assert_eq!(fitted.rows[0][..3], [WHOLE, "failed", "Nguyễn Thị Lan"]);
        assert!(fitted.rows[0][3].starts_with("refused: 554") && fitted.rows[0][3].ends_with('…'));
        assert_eq!(fitted.left_out, ["planned", "attempts"]);
    }

    #[test]
    fn what_finds_no_room_on_one_line_stands_on_two_with_the_id_whole() {
        let (titles, rows) = table();

        let Arranged::OnTwoLines(arranged) = arrange(&titles, rows, 80) else { panic!() };
        let written = arranged.written();

        assert!(written.lines().all(|line| letters(line) <= 80), "{written}");
        insta::assert_snapshot!(written);
    }

    #[test]
    fn where_there_is_room_everything_is_shown() {
        let (titles, rows) = table();

        let Arranged::OnOneLine(fitted) = arrange(&titles, rows.clone(), 400) else { panic!() };

        assert_eq!((fitted.titles, fitted.rows, fitted.left_out), (titles, rows, Vec::new()));
    }
}
