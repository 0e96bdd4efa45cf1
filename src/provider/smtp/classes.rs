//! What a relay's answer means (RFC 5321, 4.2; RFC 3463): for the message, the address, the relay.

use super::session::{Broken, Step};
use crate::model::outcome::Verdict;

/// The class of what broke.
pub(super) fn verdict(broken: &Broken) -> Verdict {
    let Some((code, text)) = &broken.answer else {
        return match broken.step {
            // The message was on its way; whether it arrived nobody knows.
            Step::Message => Verdict::Unknown,
            Step::Trust => Verdict::Misconfigured,
            Step::Open | Step::Envelope => Verdict::later(),
        };
    };
    if broken.step == Step::Trust && *code >= 500 {
        return Verdict::Misconfigured;
    }
    let enhanced = enhanced(text).unwrap_or_default();
    let mut parts = enhanced.split('.').skip(1);
    let (subject, detail) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    match (*code, subject, detail) {
        (400..=499, _, _) => Verdict::Later {
            after: None,
            // The relay itself is busy or closing.
            whole_provider: *code == 421,
        },
        (530 | 534 | 535 | 538, _, _) => Verdict::Misconfigured,
        // Protocol or parameters: we speak wrongly to this relay.
        (500..=504, _, _) if broken.step != Step::Message => Verdict::Misconfigured,
        (554, _, _) if broken.step == Step::Open => Verdict::later(),
        // Mailbox full: the address is good, and may have room tomorrow.
        (_, "2", "2") => Verdict::later(),
        (_, "1", "1" | "2" | "3" | "6" | "10") | (_, "2", "1") => Verdict::BadAddress,
        (550 | 551 | 553, "", _) if broken.step == Step::Envelope => Verdict::BadAddress,
        _ => Verdict::Refused,
    }
}

/// The enhanced status code at the beginning of an answer, such as `5.1.1`.
pub(super) fn enhanced(text: &str) -> Option<String> {
    let word = text.split_whitespace().find(|word| word.contains('.'))?;
    let digits = |part: &str| {
        !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts: Vec<&str> = word.split('.').collect();
    let is_code = parts.len() == 3
        && matches!(parts.first(), Some(&("2" | "4" | "5")))
        && parts.iter().all(|part| digits(part));
    is_code.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::VerdictClass;

    fn class(step: Step, code: u16, text: &str) -> VerdictClass {
        let answer = Some((code, text.to_owned()));
        verdict(&Broken { step, answer, text: String::new(), keeps_session: true }).class()
    }

    #[test]
    fn answers_mean_what_the_standard_says() {
        use Step::{Envelope, Message, Open, Trust};
        use VerdictClass::{BadAddress, Later, Misconfigured, Refused};

        assert_eq!(class(Envelope, 550, "5.1.1 no such user"), BadAddress);
        assert_eq!(class(Envelope, 550, "no such user"), BadAddress);
        assert_eq!(class(Envelope, 450, "4.2.0 greylisted"), Later);
        assert_eq!(class(Envelope, 552, "5.2.2 mailbox full"), Later);
        assert_eq!(class(Envelope, 550, "5.7.1 relaying denied"), Refused);
        assert_eq!(class(Message, 554, "5.7.1 looks like spam"), Refused);
        assert_eq!(class(Message, 552, "5.3.4 too big"), Refused);
        assert_eq!(class(Trust, 535, "5.7.8 bad credentials"), Misconfigured);
        assert_eq!(class(Envelope, 530, "5.7.0 authenticate first"), Misconfigured);
        assert_eq!(class(Open, 421, "busy"), Later);
    }

    #[test]
    fn a_connection_lost_after_the_message_is_unknown_and_before_it_is_not() {
        let lost = |step| {
            let text = String::new();
            verdict(&Broken { step, answer: None, text, keeps_session: false }).class()
        };

        assert_eq!(lost(Step::Message), VerdictClass::Unknown);
        assert_eq!(lost(Step::Envelope), VerdictClass::Later);
        assert_eq!(lost(Step::Open), VerdictClass::Later);
    }
}
