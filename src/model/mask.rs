//! Hides whom a text is about: what a gateway says often repeats the address that it was given.

/// Fewer digits than this are no phone number.
const LEAST_DIGITS: usize = 8;
/// How many letters of an email address are shown before the `@`, but never all of them.
const SHOWN: usize = 2;
/// How many letters of a phone number are shown at either end.
const SHOWN_OF_NUMBER: usize = 3;

/// The text with the middle of each email address and phone number left out.
pub fn masked(text: &str) -> String {
    let is_of_email = |letter: char| letter.is_alphanumeric() || "._%+-@".contains(letter);
    let is_of_number = |letter: char| letter.is_ascii_digit() || "+-.() ".contains(letter);
    each_run(&each_run(text, is_of_email, email), is_of_number, numbers)
}

/// The text with each longest run of letters that belong together as `mask` writes it.
fn each_run(text: &str, belongs: impl Fn(char) -> bool, mask: fn(&str) -> String) -> String {
    let (mut written, mut run) = (String::with_capacity(text.len()), String::new());
    for letter in text.chars() {
        if belongs(letter) {
            run.push(letter);
            continue;
        }
        written.push_str(&mask(&run));
        run.clear();
        written.push(letter);
    }
    written.push_str(&mask(&run));
    written
}

/// An email address as lists show it; anything else as it is.
pub(super) fn email(text: &str) -> String {
    match text.split_once('@') {
        Some((local, domain)) if !local.is_empty() && domain.contains(char::is_alphanumeric) => {
            let shown = SHOWN.min(local.chars().count().saturating_sub(1));
            format!("{}…@{domain}", local.chars().take(shown).collect::<String>())
        }
        _ => text.to_owned(),
    }
}

/// A run of digits and what stands between them: numbers alone, or one that is written in groups.
fn numbers(run: &str) -> String {
    let words: Vec<&str> = run.split(' ').collect();
    if words.iter().any(|word| is_number(word)) {
        let shown = words.iter().map(|word| match is_number(word) {
            true => number(word),
            false => (*word).to_owned(),
        });
        return shown.collect::<Vec<_>>().join(" ");
    }
    let core = run.trim_matches(|letter: char| !letter.is_ascii_digit() && letter != '+');
    match is_number(core) {
        true => run.replacen(core, &number(core), 1),
        false => run.to_owned(),
    }
}

fn is_number(text: &str) -> bool {
    text.chars().filter(char::is_ascii_digit).count() >= LEAST_DIGITS
}

/// A phone number as lists show it.
pub(super) fn number(phone: &str) -> String {
    let count = phone.chars().count();
    let head: String = phone.chars().take(SHOWN_OF_NUMBER).collect();
    let tail: String = phone.chars().skip(count.saturating_sub(SHOWN_OF_NUMBER)).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_text_is_about_is_hidden_and_what_it_says_is_not() {
        for (text, shown) in [
            ("no credit to reach +84901234567 today", "no credit to reach +84…567 today"),
            (r#"{"to":"84 90 123 45 67","code":101}"#, r#"{"to":"84 … 67","code":101}"#),
            ("<lan.nguyen@minhphat.test>: relaying denied", "<la…@minhphat.test>: relaying denied"),
            ("u1@x.example, a@x.example", "u…@x.example, …@x.example"),
            ("535 5.7.8 bad credentials", "535 5.7.8 bad credentials"),
            ("550 5.1.1 0901234567 is barred", "550 5.1.1 090…567 is barred"),
            ("(028) 3822-1234 refuses", "(028) 382…234 refuses"),
            ("code 1012, at 10:15", "code 1012, at 10:15"),
            ("", ""),
        ] {
            assert_eq!(masked(text), shown, "{text}");
        }
    }
}
