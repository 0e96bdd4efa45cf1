//! Makes a table fit a terminal: what matters least is shortened, then left out.

/// What columns are parted by, in letters; the first has one more.
const PADDING: usize = 3;
/// No column is cut to less than this.
const LEAST: usize = 12;
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
pub(super) fn fit<'t>(titles: &[&'t str], rows: Vec<Vec<String>>, room: usize) -> Fitted<'t> {
    let widths: Vec<usize> = titles
        .iter()
        .enumerate()
        .map(|(at, title)| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| letters(cell));
            cells.chain([letters(title)]).max().unwrap_or_default()
        })
        .collect();
    let granted = grant(titles, &widths, room);
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

/// How wide each column may be; none for one that there is no room for.
fn grant(titles: &[&str], widths: &[usize], room: usize) -> Vec<Option<usize>> {
    let mut left = room.saturating_sub(1);
    let mut granted = Vec::with_capacity(widths.len());
    for (at, (width, title)) in widths.iter().zip(titles).enumerate() {
        let least = if at == 0 { *width } else { (*width).min(LEAST.max(letters(title))) };
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

    const ID: &str = "019ab1c2-0000-7000-8000-000000000001";
    const WHY: &str = "refused: 554 5.7.1 this sender is not welcome here today";

    fn table() -> (Vec<&'static str>, Vec<Vec<String>>) {
        let row = [ID, "failed", "Nguyễn Thị Lan", WHY, "2026-12-24 09:00:00 +07", "3"];
        let titles = vec!["id", "state", "to", "why", "planned", "attempts"];
        (titles, vec![row.map(str::to_owned).to_vec()])
    }

    #[test]
    fn at_80_letters_no_line_is_longer_and_the_id_is_whole() {
        let (titles, rows) = table();

        let fitted = fit(&titles, rows, 80);

        let width: usize = fitted.rows[0].iter().map(|cell| letters(cell) + PADDING).sum();
        assert!(width < 80, "{fitted:?}");
        assert_eq!(fitted.titles, ["id", "state", "to", "why"]);
        assert_eq!(fitted.rows[0][..3], [ID, "failed", "Nguyễn Thị L…"]);
        assert!(fitted.rows[0][3].starts_with("refused: 55") && fitted.rows[0][3].ends_with('…'));
        assert_eq!(fitted.left_out, ["planned", "attempts"]);
    }

    #[test]
    fn where_there_is_room_everything_is_shown() {
        let (titles, rows) = table();

        let fitted = fit(&titles, rows.clone(), 400);

        assert_eq!((fitted.titles, fitted.rows, fitted.left_out), (titles, rows, Vec::new()));
    }
}
