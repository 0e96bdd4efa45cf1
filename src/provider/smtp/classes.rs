//! What a relay's answer means (RFC 5321, 4.2; RFC 3463): for the message, the address, the relay.

use super::broken::{Broken, Cause, Step};
use crate::model::outcome::{Obstacle, Verdict};

/// How relays say that nobody is at an address, where they give no enhanced code that says so.
const UNKNOWN_USER: &[&str] = &[
    "user unknown",
    "unknown user",
    "no such user",
    "user not found",
    "user doesn't exist",
    "recipient unknown",
    "unknown recipient",
    "no such recipient",
    "recipient not found",
    "no such mailbox",
    "mailbox not found",
    "no mailbox here",
    "address does not exist",
    "account does not exist",
    "mailbox does not exist",
    "user does not exist",
    "recipient does not exist",
    "unknown address",
    "address unknown",
    "invalid mailbox",
    "invalid recipient",
];

/// How relays say that they do not know us.
const RELAY_DENIED: &[&str] = &[
    "relay access denied",
    "relaying denied",
    "relay denied",
    "relay not permitted",
    "relay not allowed",
    "relaying not permitted",
    "relaying not allowed",
    "relaying is not allowed",
    "relaying prohibited",
    "relaying is prohibited",
    "unable to relay",
    "not permitted to relay",
    "not allowed to relay",
    "do not relay",
];

/// The class of what broke.
pub(super) fn verdict(broken: &Broken) -> Verdict {
    match &broken.cause {
        Cause::Answer(code, text) => answered(broken.step, *code, text),
        Cause::Untrusted(_) => Verdict::Misconfigured,
        Cause::Unspeakable(_) => Verdict::BadAddress,
        Cause::Lost(_) => match broken.step {
            // The whole message was on its way; whether it arrived nobody knows.
            Step::End => Verdict::Unknown,
            Step::Open | Step::Trust | Step::Sender | Step::Receiver | Step::Data | Step::Body => {
                Verdict::later()
            }
        },
    }
}

fn answered(step: Step, code: u16, text: &str) -> Verdict {
    match code {
        // The relay itself is busy or closing.
        421 => return Verdict::Later { after: None, obstacle: Obstacle::Provider },
        400..=499 if is_about_receiver(step, text) => return Verdict::later_for_receiver(),
        400..=499 => return Verdict::later(),
        530 | 534 | 535 | 538 => return Verdict::Misconfigured,
        _ => {}
    }
    match step {
        // No service here at the moment (RFC 5321, 3.1; RFC 1846).
        Step::Open if matches!(code, 521 | 554) => Verdict::later(),
        // The relay will not speak to us, or not in this way, or not for this sender.
        Step::Open | Step::Trust | Step::Sender => Verdict::Misconfigured,
        Step::Receiver => receiver_refused(code, text),
        Step::Data if matches!(code, 500..=504) => Verdict::Misconfigured,
        Step::Data | Step::Body | Step::End => Verdict::Refused,
    }
}

/// Whether a temporary refusal is the receiver's and no failure of the relay: a full mailbox, a
/// host that is away, greylisting. Of its own troubles (RFC 3463, X.3) the relay says so.
fn is_about_receiver(step: Step, text: &str) -> bool {
    let enhanced = enhanced(text).unwrap_or_default();
    let subject = enhanced.split('.').nth(1).unwrap_or_default();
    match step {
        Step::Receiver => subject != "3",
        Step::End => matches!(subject, "1" | "2" | "7"),
        Step::Open | Step::Trust | Step::Sender | Step::Data | Step::Body => false,
    }
}

/// What a refusal of the receiver means. Only words about the address itself blame it: a policy, a
/// block list or a full mailbox says nothing about whether somebody is there.
fn receiver_refused(code: u16, text: &str) -> Verdict {
    let enhanced = enhanced(text).unwrap_or_default();
    let mut parts = enhanced.split('.').skip(1);
    let (subject, detail) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let says = |phrases: &[&str]| {
        let text = text.to_lowercase();
        phrases.iter().any(|phrase| text.contains(phrase))
    };
    match (code, subject, detail) {
        (_, "1", "1" | "2" | "3" | "6" | "10") | (_, "2", "1") => Verdict::BadAddress,
        // Full: the address is good, and may have room tomorrow.
        (_, "2", "2") | (552, "", _) => Verdict::later_for_receiver(),
        // The sender's address, not the receiver's.
        (_, "1", "7" | "8") => Verdict::Misconfigured,
        _ if says(RELAY_DENIED) => Verdict::Misconfigured,
        (_, "" | "0" | "5", _) if says(UNKNOWN_USER) => Verdict::BadAddress,
        // We speak wrongly to this relay.
        (500 | 502..=504, _, _) => Verdict::Misconfigured,
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
        verdict(&Broken::at(step, Cause::Answer(code, text.to_owned()))).class()
    }

    #[test]
    fn answers_mean_what_the_standard_says() {
        use Step::{Data, End, Open, Receiver, Sender, Trust};
        use VerdictClass::{BadAddress, Later, Misconfigured, Refused};

        let cases = [
            (Receiver, 550, "5.1.1 no such user", BadAddress),
            (Receiver, 550, "5.2.1 mailbox disabled", BadAddress),
            (Receiver, 550, "no such user", BadAddress),
            (Receiver, 550, "5.5.0 user unknown", BadAddress),
            (Receiver, 450, "4.2.0 greylisted", Later),
            (Receiver, 552, "5.2.2 mailbox full", Later),
            (Receiver, 552, "mailbox full", Later),
            // Good addresses behind a policy.
            (Receiver, 550, "5.7.1 looks like spam", Refused),
            (Receiver, 554, "5.7.1 host blocked, user unknown to us", Refused),
            (Receiver, 550, "mailbox unavailable", Refused),
            (Receiver, 501, "syntax", Refused),
            (Receiver, 550, "5.7.1 relaying denied", Misconfigured),
            (Receiver, 554, "5.7.1 <an@b.test>: Relay access denied", Misconfigured),
            (Receiver, 553, "5.1.8 sender's domain not found", Misconfigured),
            (Receiver, 530, "5.7.0 authenticate first", Misconfigured),
            (Sender, 550, "no", Misconfigured),
            (Sender, 550, "5.1.1 no such user", Misconfigured),
            (Sender, 452, "4.3.1 disk full", Later),
            (Data, 554, "5.5.1 no valid recipients", Refused),
            (Data, 503, "5.5.1 bad sequence", Misconfigured),
            (End, 554, "5.7.1 looks like spam", Refused),
            (End, 550, "5.1.1 no such user", Refused),
            (End, 552, "5.3.4 too big", Refused),
            (Trust, 535, "5.7.8 bad credentials", Misconfigured),
            (Trust, 454, "4.7.0 try again", Later),
            (Open, 421, "busy", Later),
            (Open, 554, "no service here", Later),
            (Open, 550, "go away", Misconfigured),
        ];
        for (step, code, text, expected) in cases {
            assert_eq!(class(step, code, text), expected, "{step:?} {code} {text}");
        }
    }

    #[test]
    fn a_receiver_that_is_not_ready_says_nothing_about_the_relay() {
        let blames = |step, code, text: &str| {
            verdict(&Broken::at(step, Cause::Answer(code, text.to_owned()))).blames_provider()
        };

        for (code, text) in [
            (450, "4.2.0 greylisted"),
            (451, "greylisted, come back in five minutes"),
            (452, "4.2.2 mailbox full"),
            (450, "4.4.1 no answer from the host"),
            (552, "5.2.2 mailbox full"),
        ] {
            assert!(!blames(Step::Receiver, code, text), "{code} {text}");
        }
        assert!(!blames(Step::End, 451, "4.7.1 greylisted"));
        assert!(blames(Step::Receiver, 452, "4.3.1 out of space"));
        assert!(blames(Step::Receiver, 421, "4.7.0 too many connections"));
        assert!(blames(Step::End, 451, "4.3.0 out of memory"));
        assert!(blames(Step::Sender, 451, "4.7.1 slow down"));
    }

    #[test]
    fn a_connection_is_lost_without_doubt_until_the_message_has_ended() {
        let lost = |step| verdict(&Broken::at(step, Cause::Lost("cut".to_owned()))).class();

        assert_eq!(lost(Step::End), VerdictClass::Unknown);
        for step in [Step::Open, Step::Trust, Step::Sender, Step::Receiver, Step::Data, Step::Body]
        {
            assert_eq!(lost(step), VerdictClass::Later, "{step:?}");
        }
    }
}
