//! Makes one statement out of several that write.

/// Statements that touch no rows of one another as one, its parameters one after the other.
///
/// PostgreSQL 15 runs the last statement first, then the others from the last `WITH` to the first;
/// so they stand here from the last to the first, to be run, and so to lock, in their order. That
/// is not promised (postgresql.org/docs/15/queries-with.html, 7.8.4): if it were otherwise, two
/// transactions might now and then meet in a circle, and one of them be tried again.
pub(super) fn joined(statements: &[&str]) -> String {
    let mut offset = 0;
    let mut texts = Vec::with_capacity(statements.len());
    for sql in statements {
        let (text, highest) = shifted(sql, offset);
        texts.push(text);
        offset += highest;
    }
    let Some((first, rest)) = texts.split_first() else { return String::new() };
    if rest.is_empty() {
        return first.clone();
    }
    let named = rest.iter().enumerate().map(|(number, text)| format!("w{number} AS ({text})"));
    format!("WITH {} {first}", named.rev().collect::<Vec<_>>().join(", "))
}

/// A statement whose parameters are `offset` higher, and the highest that it had.
fn shifted(sql: &str, offset: usize) -> (String, usize) {
    let (mut text, mut highest) = (String::with_capacity(sql.len() + 16), 0);
    let mut parts = sql.split('$');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        text.push('$');
        match number.parse::<usize>() {
            Ok(number) => {
                highest = highest.max(number);
                text.push_str(&(number + offset).to_string());
            }
            // A text in dollars, as it was.
            Err(_) => text.push_str(number),
        }
        text.push_str(rest);
    }
    (text, highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_run_in_their_order_each_with_its_own_parameters() {
        let ten = "UPDATE a SET x = COALESCE($10, $2) WHERE id = $1";

        assert_eq!(joined(&[ten]), ten);
        assert_eq!(shifted("SELECT $$a$$, $2", 3), ("SELECT $$a$$, $5".to_owned(), 2));
        assert_eq!(
            joined(&[ten, "DELETE FROM b WHERE id {any_uuid $1}", "INSERT INTO c VALUES ($1, $2)"]),
            "WITH w1 AS (INSERT INTO c VALUES ($12, $13)), w0 AS (DELETE FROM b WHERE id {any_uuid $11}) \
             UPDATE a SET x = COALESCE($10, $2) WHERE id = $1"
        );
    }
}
