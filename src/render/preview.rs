//! Shows what a template would say, before anyone is told.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::compose::Facts;
use super::letterhead::Letterhead;
use super::{RenderFault, Rendered, Templates};
use crate::model::address::{Address, Channel};
use crate::model::catalogue::Category;
use crate::model::delivery::{ManagerFacts, RecipientFacts};
use crate::model::message::Dialect;

/// What is to be shown.
#[derive(Clone, Debug)]
pub struct Preview<'a> {
    /// The template's name.
    pub template: &'a str,
    /// The language wanted; the template falls back as it does for a delivery.
    pub locale: &'a str,
    /// The channel.
    pub channel: Channel,
    /// What decides about the link to unsubscribe.
    pub category: Category,
    /// The event's data; the template's sample if none is given.
    pub data: Option<&'a Value>,
    /// Whether recipient and manager are known by name, or nothing is known of them.
    pub is_known: bool,
}

impl Templates {
    /// Renders a template for an invented recipient.
    ///
    /// # Errors
    /// What is missing and where.
    pub fn preview(
        &self,
        preview: &Preview<'_>,
        letterhead: &Letterhead,
        (dialect, now): (Dialect, Timestamp),
    ) -> Result<Rendered, RenderFault> {
        let recipient = if preview.is_known { known() } else { RecipientFacts::default() };
        let address = Address::email("lan@partner.example").ok();
        let data = preview.data.or_else(|| self.sample(preview.template)).unwrap_or(&Value::Null);
        let facts = Facts {
            template: preview.template,
            channel: preview.channel,
            locale: preview.locale,
            time_zone: "Asia/Ho_Chi_Minh",
            category: preview.category,
            recipient: &recipient,
            address: address.as_ref(),
            id: "preview".to_owned(),
            event: json!({
                "type": preview.template,
                "id": "preview",
                "time": now.to_string(),
                "business_key": preview.is_known.then_some("preview"),
            }),
            data,
            now,
        };
        self.render_facts(&facts, letterhead, dialect)
    }
}

/// A recipient of whom everything is known.
fn known() -> RecipientFacts {
    RecipientFacts {
        name: Some("Nguyễn Thị Lan".to_owned()),
        duty: Some("buyer".to_owned()),
        partner_name: Some("Công ty TNHH Minh Phát".to_owned()),
        tier: Some("standard".to_owned()),
        manager: Some(ManagerFacts {
            name: "Trần Quốc Bảo".to_owned(),
            email: Some("bao@company.example".to_owned()),
            phone: Some("+84903123456".to_owned()),
            signature: Some("Quản lý khách hàng".to_owned()),
        }),
    }
}
