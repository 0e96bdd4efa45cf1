//! SMS: the two encodings of GSM 03.38, and how many parts a text is.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::model::message::{SmsEncoding, SmsMessage};

/// The default alphabet of GSM 03.38 (3GPP TS 23.038, 6.2.1) without the escape.
const GSM7: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension table: each costs two septets.
const GSM7_EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// Cleans a text, chooses its encoding and counts its parts.
pub fn encode(text: &str) -> SmsMessage {
    // Composed last: what is dropped may have stood between a letter and its accent.
    let text: String = text.chars().filter_map(clean).nfc().collect();
    let (encoding, parts) = count(&text);
    SmsMessage { text, encoding, parts }
}

/// The same text with and without accents, for people who weigh one against the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// As it is written.
    pub with_accents: SmsMessage,
    /// As [`strip_diacritics`] leaves it.
    pub without_accents: SmsMessage,
}

/// Compares a text with what is left of it without accents.
pub fn compare(text: &str) -> Comparison {
    Comparison { with_accents: encode(text), without_accents: encode(&strip_diacritics(text)) }
}

/// What becomes of letters that nobody sees: one of them would cost a text its GSM-7.
fn clean(letter: char) -> Option<char> {
    match letter {
        '\n' => Some(letter),
        '\t' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' => Some(' '),
        '\u{ad}'
        | '\u{feff}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' => None,
        letter => (!letter.is_control()).then_some(letter),
    }
}

fn count(text: &str) -> (SmsEncoding, u32) {
    if let Some(units) = septets(text) {
        (SmsEncoding::Gsm7, parts(&units, 160, 153))
    } else {
        let units: Vec<usize> = text.chars().map(char::len_utf16).collect();
        (SmsEncoding::Ucs2, parts(&units, 70, 67))
    }
}

/// What each letter costs in GSM-7, if all of them have a place there.
fn septets(text: &str) -> Option<Vec<usize>> {
    text.chars()
        .map(|letter| {
            if GSM7.contains(letter) {
                Some(1)
            } else if GSM7_EXTENSION.contains(letter) {
                Some(2)
            } else {
                None
            }
        })
        .collect()
}

/// How many parts letters of these costs fill; a letter never stands in two parts.
fn parts(costs: &[usize], whole: usize, part: usize) -> u32 {
    if costs.iter().sum::<usize>() <= whole {
        return 1;
    }
    let mut parts = 1;
    let mut used = 0;
    for cost in costs {
        if used + cost > part {
            parts += 1;
            used = 0;
        }
        used += cost;
    }
    parts
}

/// The text without accents, so that Vietnamese fits GSM-7.
///
/// All of them go or none: half a stripped word reads worse than a whole one.
pub fn strip_diacritics(text: &str) -> String {
    let mut stripped = String::with_capacity(text.len());
    for letter in text.nfd().filter(|letter| !is_combining_mark(*letter)) {
        match letter {
            'đ' | 'ð' => stripped.push('d'),
            'Đ' | 'Ð' | 'Ɖ' => stripped.push('D'),
            '₫' => stripped.push_str("VND"),
            '–' | '—' | '―' | '‐' | '‑' | '−' | '•' | '·' => stripped.push('-'),
            '‘' | '’' | '‚' | '′' | '`' => stripped.push('\''),
            '“' | '”' | '„' | '«' | '»' | '″' => stripped.push('"'),
            '…' => stripped.push_str("..."),
            '×' => stripped.push('x'),
            '⁄' => stripped.push('/'),
            other => stripped.push(other),
        }
    }
    stripped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_trades_own_vectors_agree() {
        let vectors = include_str!("../../tests/samples/sms/segment-vectors.json");
        let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
        assert_eq!(vectors.len(), 38);

        for vector in vectors {
            let name = vector["name"].as_str().unwrap();
            // The vectors count the text as it stands; only then is ours cleaned and composed.
            let (encoding, parts) = count(vector["text"].as_str().unwrap());
            assert_eq!(encoding.as_str(), vector["encoding"], "{name}");
            assert_eq!(u64::from(parts), vector["segments"].as_u64().unwrap(), "{name}");
        }
    }

    #[test]
    fn every_letter_of_the_table_is_gsm_7() {
        let table = include_str!("../../tests/samples/sms/gsm0338.tsv");
        let mut count = 0;
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let mut columns = line.split('\t');
            let (bytes, code) = (columns.next().unwrap(), columns.next().unwrap());
            let code = code.trim_start_matches("U+").trim_start_matches("0x");
            let Some(letter) = u32::from_str_radix(code, 16).ok().and_then(char::from_u32) else {
                continue;
            };
            if letter == '\u{1b}' {
                continue;
            }
            let cost = septets(&letter.to_string());
            let bytes = bytes.split_whitespace().count();
            assert_eq!(cost, Some(vec![bytes]), "{letter:?}");
            count += 1;
        }
        assert!(count > 130, "{count}");
    }

    #[test]
    fn vietnamese_without_accents_is_half_as_long() {
        let text = "Đơn hàng DH12345 của bạn bị trễ. Dự kiến giao ngày 25/12. Xin lỗi quý khách.";

        let Comparison { with_accents, without_accents } = compare(text);

        assert_eq!((with_accents.encoding, with_accents.parts), (SmsEncoding::Ucs2, 2));
        assert_eq!((without_accents.encoding, without_accents.parts), (SmsEncoding::Gsm7, 1));
        let plain = "Don hang DH12345 cua ban bi tre. Du kien giao ngay 25/12. Xin loi quy khach.";
        assert_eq!(without_accents.text, plain);
    }

    #[test]
    fn every_accented_letter_of_vietnamese_fits_gsm_7_without_its_accents() {
        let rows = [
            ("aăâàảãáạằẳẵắặầẩẫấậ", 'a'),
            ("eêèẻẽéẹềểễếệ", 'e'),
            ("iìỉĩíị", 'i'),
            ("oôơòỏõóọồổỗốộờởỡớợ", 'o'),
            ("uưùủũúụừửữứự", 'u'),
            ("yỳỷỹýỵ", 'y'),
            ("dđ", 'd'),
        ];
        for (letters, plain) in rows {
            let upper = (letters.to_uppercase(), plain.to_ascii_uppercase());
            for (letters, plain) in [(letters.to_owned(), plain), upper] {
                let expected: String = letters.chars().map(|_| plain).collect();
                assert_eq!(strip_diacritics(&letters), expected);
                assert_eq!(strip_diacritics(&letters.nfd().collect::<String>()), expected);
            }
        }
        assert_eq!(encode(&strip_diacritics("1.234\u{a0}₫ – “ạ”…")).encoding, SmsEncoding::Gsm7);
    }

    #[test]
    fn letters_that_nobody_sees_cost_nothing() {
        let sms = encode("a\u{200b}b\u{a0}c\u{feff}\u{ad}\td\re\n");

        assert_eq!((sms.text.as_str(), sms.encoding), ("ab c de\n", SmsEncoding::Gsm7));
    }

    #[test]
    fn accents_are_composed_before_they_are_counted() {
        let decomposed: String = "ế".repeat(70).nfd().collect();

        assert_eq!(encode(&decomposed).parts, 1);
    }

    proptest! {
        #[test]
        fn parts_are_as_few_as_the_costs_allow(text in "[ -~àđế€🙂\\PC]{0,400}") {
            let sms = encode(&text);
            let costs: Vec<usize> = septets(&sms.text)
                .unwrap_or_else(|| sms.text.chars().map(char::len_utf16).collect());
            let (whole, part) = match sms.encoding {
                SmsEncoding::Gsm7 => (160, 153),
                SmsEncoding::Ucs2 => (70, 67),
            };
            let total: usize = costs.iter().sum();
            let least = if total <= whole { 1 } else { total.div_ceil(part) };

            prop_assert!(sms.parts as usize >= least);
            // Each part but the last wastes at most one unit.
            prop_assert!(sms.parts as usize <= total.div_ceil(part - 1).max(1));
        }

        #[test]
        fn a_text_once_cleaned_stays_as_it_is(text in "\\PC{0,100}") {
            let once = encode(&text);
            prop_assert_eq!(encode(&once.text), once);
        }
    }
}
