//! Cuts a long text into pieces that Slack takes, none of them in the middle of a thing.

/// The longest text of one section, in characters (Slack allows 3,000).
const SECTION: usize = 2_900;
/// The longest text of one message: above about 13,000 Slack refuses the blocks.
const MESSAGE: usize = 12_000;
/// The longest text for notifications, in characters.
const NOTICE: usize = 2_000;
/// The longest of the entities that Slack knows, `&amp;`, in bytes.
const ENTITY: usize = 5;

/// The text in sections. Entities, links and mentions stay whole, words where they can; what is
/// beyond the length of a message is left out and shown by an ellipsis.
pub(super) fn sections(text: &str) -> Vec<String> {
    // No longer in characters than in bytes.
    if text.len() <= SECTION && !text.is_empty() {
        return vec![text.to_owned()];
    }
    let mut cutter = Cutter::default();
    let (mut rest, mut total) = (text, 0);
    while !rest.is_empty() {
        let (thing, after) = next_thing(rest);
        let length = thing.chars().count();
        if length > SECTION || total + length >= MESSAGE {
            cutter.add("…", 1);
            break;
        }
        cutter.add(thing, length);
        (rest, total) = (after, total + length);
    }
    cutter.finish()
}

/// The plain text for notifications, in which nothing is a link or calls anybody.
pub(super) fn notice(plain: &str) -> String {
    let mut notice = String::with_capacity(plain.len());
    for letter in plain.chars().take(NOTICE) {
        match letter {
            '&' => notice.push_str("&amp;"),
            '<' => notice.push_str("&lt;"),
            '>' => notice.push_str("&gt;"),
            other => notice.push(other),
        }
    }
    notice
}

/// The first thing of a text that must not be cut, and the rest: an entity, a link or mention, or
/// a letter.
fn next_thing(text: &str) -> (&str, &str) {
    let first = text.chars().next();
    let end = match first {
        Some('&') => text.find(';').filter(|end| *end < ENTITY),
        Some('<') => text.find('>'),
        _ => None,
    };
    let length = end.map_or_else(|| first.map_or(0, char::len_utf8), |end| end + 1);
    text.split_at(length)
}

#[derive(Default)]
struct Cutter {
    done: Vec<String>,
    section: String,
    /// How many characters the section has.
    length: usize,
    /// Where in the section the last word ends, in bytes.
    word_end: usize,
}

impl Cutter {
    fn add(&mut self, thing: &str, length: usize) {
        if self.length + length > SECTION {
            self.cut();
        }
        self.section.push_str(thing);
        self.length += length;
        if thing.chars().all(char::is_whitespace) {
            self.word_end = self.section.len();
        }
    }

    /// Ends the section after its last word, if that makes it no shorter than half.
    fn cut(&mut self) {
        let at = if self.word_end > self.section.len() / 2 { self.word_end } else { usize::MAX };
        let rest = self.section.split_off(at.min(self.section.len()));
        self.length = rest.chars().count();
        self.word_end = 0;
        self.done.push(std::mem::replace(&mut self.section, rest));
    }

    fn finish(mut self) -> Vec<String> {
        if !self.section.is_empty() {
            self.done.push(self.section);
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_into_sections_that_slack_takes() {
        let sections = sections(&"à".repeat(20_000));

        let lengths: Vec<usize> = sections.iter().map(|text| text.chars().count()).collect();
        assert!(lengths.iter().all(|length| *length <= SECTION), "{lengths:?}");
        assert_eq!(lengths.iter().sum::<usize>(), MESSAGE);
        assert!(sections.last().unwrap().ends_with('…'));
    }

    #[test]
    fn an_entity_and_a_link_are_never_cut() {
        for thing in ["&amp;", "<https://loa.test/a|see this here>"] {
            // Every place in a section is once the place of the cut.
            for before in 0..thing.chars().count() {
                let text = "x".repeat(SECTION - before) + &thing.repeat(3);

                let sections = sections(&text);

                assert_eq!(sections.concat(), text);
                for section in &sections {
                    let without = section.replace(thing, "");
                    assert!(without.chars().all(|letter| letter == 'x'), "{thing}: {without}");
                }
            }
        }
    }

    #[test]
    fn a_word_is_cut_only_if_it_must_be() {
        for section in sections(&"giao hàng ".repeat(1_000)) {
            let words = section.trim_end_matches('…').split_whitespace();
            assert!(words.clone().all(|word| ["giao", "hàng"].contains(&word)), "{section}");
        }
    }

    #[test]
    fn a_notice_calls_nobody() {
        assert_eq!(notice("<!channel> R&D"), "&lt;!channel&gt; R&amp;D");
    }
}
