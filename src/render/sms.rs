//! SMS: the two encodings of GSM 03.38, and how many parts a text is.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::model::message::{SmsEncoding, SmsMessage};

/// The default alphabet of GSM 03.38 (3GPP TS 23.038, 6.2.1) without the escape.
const GSM7: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension table: each costs two septets.
const GSM7_EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// Counts the parts of a text and chooses its encoding.
pub fn encode(text: &str) -> SmsMessage {
    let text: String = text.nfc().collect();
    let (encoding, parts) = if let Some(units) = septets(&text) {
        (SmsEncoding::Gsm7, parts(&units, 160, 153))
    } else {
        let units: Vec<usize> = text.chars().map(char::len_utf16).collect();
        (SmsEncoding::Ucs2, parts(&units, 70, 67))
    };
    SmsMessage { text, encoding, parts }
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
pub fn strip_diacritics(text: &str) -> String {
    let plain = text.nfd().filter(|letter| !is_combining_mark(*letter));
    plain
        .map(|letter| match letter {
            'đ' => 'd',
            'Đ' => 'D',
            '–' | '—' => '-',
            '‘' | '’' => '\'',
            '“' | '”' => '"',
            other => other,
        })
        .collect()
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
        assert!(vectors.len() > 30);

        for vector in vectors {
            let name = vector["name"].as_str().unwrap();
            let text = vector["text"].as_str().unwrap();
            let sms = encode(text);
            // The vectors count the text as it stands; Loa composes letters first.
            if sms.text != text {
                continue;
            }
            assert_eq!(sms.encoding.as_str(), vector["encoding"], "{name}");
            assert_eq!(u64::from(sms.parts), vector["segments"].as_u64().unwrap(), "{name}");
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

        let (with, without) = (encode(text), encode(&strip_diacritics(text)));

        assert_eq!((with.encoding, with.parts), (SmsEncoding::Ucs2, 2));
        assert_eq!((without.encoding, without.parts), (SmsEncoding::Gsm7, 1));
    }

    proptest! {
        #[test]
        fn parts_are_as_few_as_the_costs_allow(text in "\\PC{0,400}") {
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
    }
}
