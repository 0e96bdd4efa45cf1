//! One labelled test message by one provider, outside of every plan.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{Pipeline, Rulebook};
use crate::model::address::Address;
use crate::model::id::{DeliveryId, ProviderName};
use crate::model::message::{
    ChatMessage, EmailMessage, Envelope, Message, SmsEncoding, SmsMessage,
};
use crate::model::outcome::{Answer, Outcome, Verdict};

/// The event type that a test message names; no catalogue holds it.
const EVENT_TYPE: &str = "loa.test";

/// What came of a test message.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What the provider made of it.
    pub outcome: Outcome,
    /// How long that took.
    pub took: Duration,
}

impl Pipeline {
    /// Sends one test message, at the provider's rate, even if the provider is on hold: that is
    /// how an operator finds out whether it is mended. `None` if there is no such provider.
    ///
    /// Whoever waits for it waits no longer than `patience`: what takes longer is unknown.
    pub async fn try_provider(
        &self,
        provider: &ProviderName,
        to: Address,
        patience: Duration,
    ) -> Option<Trial> {
        let desk = &self.desks.find(provider)?.desk;
        let began = Instant::now();
        let Ok(slot) = timeout(patience, desk.wait_for_slot()).await else {
            let text = "not sent: no slot and no call at its rate was free in this time";
            let answer = Answer::new(Some("not sent".to_owned()), text);
            let outcome = Outcome { verdict: Verdict::later(), answer, captured: None };
            return Some(Trial { outcome, took: began.elapsed() });
        };
        let mut slot = slot?;
        let envelope = self.test_message(provider, to);
        let rest = patience.saturating_sub(began.elapsed());
        let outcome = desk.send_within(rest, &envelope, &mut slot).await;
        Some(Trial { outcome, took: began.elapsed() })
    }

    fn test_message(&self, provider: &ProviderName, to: Address) -> Envelope {
        let at = self.clock.now();
        let delivery = DeliveryId::new(at);
        let message = message(&to, provider, delivery, &self.acceptor.rulebook());
        Envelope {
            delivery,
            attempt: 1,
            event_type: EVENT_TYPE.into(),
            at,
            business_key: None,
            to,
            to_name: None,
            data: Arc::new(json!({})),
            message,
        }
    }
}

/// A message that says what it is, in letters that every channel has.
fn message(
    to: &Address,
    provider: &ProviderName,
    delivery: DeliveryId,
    rulebook: &Rulebook,
) -> Message {
    let company = &rulebook.letterhead.company.name;
    let text = format!(
        "[Test] {company}: Loa reaches you by the provider {provider}. Nothing is to be done."
    );
    match to {
        Address::Email { .. } => {
            let settings = &rulebook.letterhead.email;
            let domain = settings.from.rsplit('@').next().unwrap_or("localhost");
            Message::Email(Box::new(EmailMessage {
                from_name: Some(settings.from_name.clone()),
                from: settings.from.clone(),
                reply_to: settings.reply_to.clone(),
                subject: format!("[Test] Loa reaches you by {provider}"),
                html: format!("<p>{}</p>", crate::text::Escaping::Html.escape(&text)),
                text,
                message_id: format!("<{delivery}@{domain}>"),
                unsubscribe_url: None,
            }))
        }
        Address::Chat { .. } => Message::Chat(ChatMessage { text: text.clone(), plain: text }),
        Address::Sms { .. } => {
            // Without the company's name, which may have letters that make it two parts.
            let text = format!("[Test] Loa: provider {provider}");
            Message::Sms(SmsMessage { text, encoding: SmsEncoding::Gsm7, parts: 1 })
        }
    }
}
