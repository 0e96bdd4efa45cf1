//! Parts of emails in seven bits (RFC 2045), with the line breaks of SMTP.
//!
//! One pass over a text instead of the several that lettre takes, which cost more than all system
//! calls that send a mail of 16 KiB.

use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Body, SinglePart};
use memchr::memmem;

/// The longest line of an encoded text, in bytes without its break (RFC 2045, 6.7 (5)).
const LINE: usize = 76;

/// One of the bodies that a message has: as it is, if it can go so; else quoted-printable, or base64
/// if that would escape more than a third.
pub(super) fn body_of(content_type: ContentType, text: &str) -> SinglePart {
    let body = SinglePart::builder().header(content_type);
    if goes_as_it_is(text) {
        let as_it_is = lines(text).into_bytes();
        return body.body(Body::dangerous_pre_encoded(as_it_is, ContentTransferEncoding::SevenBit));
    }
    let quoted = Quoted::of(text);
    if quoted.escaped > text.len() / 3 {
        return body.header(ContentTransferEncoding::Base64).body(lines(text));
    }
    let encoding = ContentTransferEncoding::QuotedPrintable;
    body.body(Body::dangerous_pre_encoded(quoted.bytes, encoding))
}

/// Whether every relay takes the text without an encoding.
fn goes_as_it_is(text: &str) -> bool {
    let is_printable = |byte| is_plain(byte) || is_break(byte) || byte == b'=';
    text.bytes().all(is_printable) && text.split('\n').all(|line| line.len() <= LINE)
}

/// A message as DATA takes it (RFC 5321, 4.5.2): one dot more before each line that begins with a
/// dot, and the line that ends it. Its lines end as SMTP wants it.
pub(super) fn to_wire(mut message: String) -> String {
    if message.starts_with('.') || memmem::find(message.as_bytes(), b"\n.").is_some() {
        let doubled = |line| [if str::starts_with(line, '.') { "." } else { "" }, line];
        message = message.split_inclusive('\n').flat_map(doubled).collect();
    }
    message.push_str(if message.ends_with("\r\n") { ".\r\n" } else { "\r\n.\r\n" });
    message
}

/// The text with every line break as SMTP wants it: a lone CR or LF is no line break to some
/// relays and one to others, by which messages are smuggled.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}

/// Whether quoted-printable leaves the byte as it is (RFC 2045, 6.7 (2, 3)); a blank only within a
/// line.
const fn is_plain(byte: u8) -> bool {
    byte.wrapping_sub(b' ') < 0x5f && byte != b'=' || byte == b'\t'
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// How many plain bytes `text` begins with.
fn count_plain(text: &[u8]) -> usize {
    // Whole blocks without a branch for each byte, for the compiler to look at many at once.
    let (blocks, _) = text.as_chunks::<16>();
    let is_plain_block =
        |block: &&[u8; 16]| block.iter().fold(true, |all, &byte| all & is_plain(byte));
    let whole = blocks.iter().take_while(is_plain_block).count() * 16;
    whole + text.iter().skip(whole).take_while(|&&byte| is_plain(byte)).count()
}

/// A quoted-printable text.
struct Quoted {
    bytes: Vec<u8>,
    /// How many bytes its last line has.
    column: usize,
    /// How many bytes of the text were escaped.
    escaped: usize,
}

impl Quoted {
    /// The text, no letter divided by the end of a line; a dot that begins one is escaped, so that
    /// no relay takes it for the end of a message.
    fn of(text: &str) -> Self {
        let bytes = Vec::with_capacity(text.len() / 2 * 3);
        let mut quoted = Self { bytes, column: 0, escaped: 0 };
        let mut rest = text.as_bytes();
        while let Some(&byte) = rest.first() {
            let count = if is_break(byte) {
                quoted.end_line();
                quoted.break_line();
                if rest.starts_with(b"\r\n") { 2 } else { 1 }
            } else if is_plain(byte) {
                let count = count_plain(rest);
                quoted.add_plain(rest.get(..count).unwrap_or_default());
                count
            } else {
                // A letter beyond ASCII begins with as many ones as it has bytes.
                let count = usize::try_from(byte.leading_ones()).unwrap_or_default().max(1);
                quoted.add_escaped(rest.get(..count).unwrap_or_default());
                count
            };
            rest = rest.get(count..).unwrap_or_default();
        }
        quoted.end_line();
        quoted
    }

    fn add_plain(&mut self, mut text: &[u8]) {
        while let Some(&byte) = text.first() {
            self.make_room(1);
            let count = if self.column == 0 && byte == b'.' {
                self.add_escaped(b".");
                1
            } else {
                let count = self.room().min(text.len());
                self.bytes.extend_from_slice(text.get(..count).unwrap_or_default());
                self.column += count;
                count
            };
            text = text.get(count..).unwrap_or_default();
        }
    }

    fn add_escaped(&mut self, letter: &[u8]) {
        let digit = |value: u8| match value & 0xf {
            digit @ 0..=9 => b'0' + digit,
            digit => b'A' - 10 + digit,
        };
        self.make_room(3 * letter.len());
        for byte in letter {
            self.bytes.extend_from_slice(&[b'=', digit(byte >> 4), digit(*byte)]);
        }
        self.column += 3 * letter.len();
        self.escaped += letter.len();
    }

    /// How many bytes more the line takes, with the `=` that may end it.
    fn room(&self) -> usize {
        LINE - 1 - self.column
    }

    /// Goes on in the next line, without a break in the text, if this one has too little room.
    fn make_room(&mut self, bytes: usize) {
        if self.room() < bytes {
            self.bytes.push(b'=');
            self.break_line();
        }
    }

    /// Escapes a blank that would end a line: relays take it away.
    fn end_line(&mut self) {
        if let Some(blank) = self.bytes.pop_if(|last| matches!(*last, b' ' | b'\t')) {
            self.column -= 1;
            self.add_escaped(&[blank]);
        }
    }

    fn break_line(&mut self) {
        self.bytes.extend_from_slice(b"\r\n");
        self.column = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoding(text: &str) -> ContentTransferEncoding {
        body_of(ContentType::TEXT_PLAIN, text).headers().get().unwrap()
    }

    fn quoted(text: &str) -> String {
        String::from_utf8(Quoted::of(text).bytes).unwrap()
    }

    #[test]
    fn a_message_has_one_end() {
        for (message, wire) in [
            ("a: b\r\n\r\nc", "a: b\r\n\r\nc\r\n.\r\n"),
            ("a: b\r\n\r\n.c\r\n", "a: b\r\n\r\n..c\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            ("a: b\r\n\r\nc\r\n", "a: b\r\n\r\nc\r\n.\r\n"),
            (".\r\n..\r\n.a.\r\n", "..\r\n...\r\n..a.\r\n.\r\n"),
        ] {
            assert_eq!(to_wire(message.to_owned()), wire);
        }
    }

    #[test]
    fn every_line_break_becomes_the_one_of_smtp() {
        assert_eq!(lines("a\rb\nc\r\nd\n\re"), "a\r\nb\r\nc\r\nd\r\n\r\ne");
        assert_eq!(quoted("a\rb\nc\r\nd\n\re"), "a\r\nb\r\nc\r\nd\r\n\r\ne");
    }

    #[test]
    fn a_text_goes_in_the_most_readable_way_that_every_relay_takes() {
        let (short, long) = ("x".repeat(LINE), "x".repeat(LINE + 1));
        for (text, expected) in [
            ("", ContentTransferEncoding::SevenBit),
            ("Hello,\n\tAn = Lan.\r\n", ContentTransferEncoding::SevenBit),
            (&short, ContentTransferEncoding::SevenBit),
            (&long, ContentTransferEncoding::QuotedPrintable),
            ("a bell \u{7} rings", ContentTransferEncoding::QuotedPrintable),
            (
                "Đơn hàng DH-2026-1187 của bạn đã giao xong",
                ContentTransferEncoding::QuotedPrintable,
            ),
            ("ご注文の商品を発送しました", ContentTransferEncoding::Base64),
        ] {
            assert_eq!(encoding(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_relays_would_change_is_escaped() {
        for (text, expected) in [
            ("giá = 5\n", "gi=C3=A1 =3D 5\r\n"),
            ("a \nb\t\r\nc ", "a=20\r\nb=09\r\nc=20"),
            (".\n..a.b", "=2E\r\n=2E.a.b"),
            ("\0\u{7f}", "=00=7F"),
            (" ", "=20"),
        ] {
            assert_eq!(quoted(text), expected, "{text:?}");
        }
    }

    #[test]
    fn no_line_is_longer_than_allowed_and_none_divides_a_letter() {
        let full = |less: usize| "x".repeat(LINE - 1 - less);
        let expected = [
            (full(0) + "\ny", full(0) + "\r\ny"),
            (full(0) + "y", full(0) + "=\r\ny"),
            (full(0) + ".y", full(0) + "=\r\n=2Ey"),
            (full(1) + " \ny", full(1) + "=\r\n=20\r\ny"),
            (full(3) + " \ny", full(3) + "=20\r\ny"),
            (full(8) + "ệ", full(8) + "=\r\n=E1=BB=87"),
            (full(9) + "ệ", full(9) + "=E1=BB=87"),
        ];
        for (text, wire) in expected {
            assert_eq!(quoted(&text), wire, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_text_reads_as_it_was_written(text in "([ -~\t]{0,40}|[\r\n.= ]|\\PC{0,9}|[ạ-ỹ]{0,30}){0,20}") {
            let wire = Quoted::of(&text).bytes;

            let read = quoted_printable::decode(&wire, quoted_printable::ParseMode::Strict);
            prop_assert_eq!(String::from_utf8(read.unwrap()).unwrap(), lines(&text));
            for line in wire.split(|&byte| byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                prop_assert!(line.len() <= LINE);
                prop_assert!(line.iter().all(|&byte| is_plain(byte) || byte == b'='));
                prop_assert!(!line.ends_with(b" ") && !line.ends_with(b"\t"));
                prop_assert!(!line.starts_with(b"."));
            }
        }
    }
}
