//! Finds contacts for people who look for them.

use crate::model::address::Address;
use crate::model::audience::{AudienceQuery, Person, Resolution};
use crate::model::contact::Suppression;
use crate::model::fold::fold;
use crate::model::id::ContactId;
use crate::store::engine::{Row, Value};
use crate::store::rows::{read_address, read_channel};
use crate::store::{Store, StoreError};

/// Which contacts are wanted; every field that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactFilter {
    /// Part of the contact's or the partner's name, with or without accents; or the contact's id,
    /// or one of its addresses as it is normalised.
    pub text: Option<String>,
    /// The partner's id.
    pub partner: Option<String>,
    /// The team they belong to.
    pub team: Option<String>,
}

impl Store {
    /// Contacts by name, at most `limit` behind the contact `after`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_contacts(
        &self,
        filter: ContactFilter,
        after: Option<ContactId>,
        limit: u32,
    ) -> Result<Vec<Person>, StoreError> {
        let ids = self.find_contact_ids(filter, after, limit).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut people = self.people(ids.clone()).await?;
        people.sort_by_key(|person| ids.iter().position(|id| *id == person.contact.id));
        Ok(people)
    }

    /// One contact with all that is known of it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_contact(&self, id: ContactId) -> Result<Option<Person>, StoreError> {
        Ok(self.people(vec![id]).await?.pop())
    }

    async fn people(&self, ids: Vec<ContactId>) -> Result<Vec<Person>, StoreError> {
        let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let answers = self.resolve(vec![AudienceQuery::Contacts(ids)], limit).await?;
        Ok(match answers.into_iter().next() {
            Some(Resolution::Recipients(found)) => found.people,
            Some(Resolution::TooMany | Resolution::UnknownPartner | Resolution::UnknownSegment)
            | None => Vec::new(),
        })
    }

    async fn find_contact_ids(
        &self,
        filter: ContactFilter,
        after: Option<ContactId>,
        limit: u32,
    ) -> Result<Vec<ContactId>, StoreError> {
        self.search(move |tx| {
            Box::pin(async move {
                let mut params: Vec<Value> = vec![limit.into()];
                let mut clauses = vec!["1 = 1".to_owned()];
                if let Some(text) = &filter.text {
                    let folded = fold(text.trim());
                    params.extend([folded.into(), text.trim().into()]);
                    let (name, exact) = (params.len() - 1, params.len());
                    clauses.push(format!(
                        "({{contains name_folded ${name}}} OR id = ${exact} \
                         OR partner IN (SELECT id FROM partner \
                         WHERE {{contains name_folded ${name}}}) \
                         OR id IN (SELECT contact FROM contact_address WHERE address = ${exact}))"
                    ));
                }
                if let Some(partner) = filter.partner {
                    params.push(partner.into());
                    clauses.push(format!("partner = ${}", params.len()));
                }
                if let Some(team) = filter.team {
                    params.push(team.into());
                    let team = params.len();
                    clauses.push(format!(
                        "id IN (SELECT contact FROM contact_team WHERE team = ${team})"
                    ));
                }
                if let Some(after) = after {
                    params.push(after.as_str().into());
                    let last = params.len();
                    clauses.push(format!(
                        "(name_folded, id) > ((SELECT name_folded FROM contact \
                         WHERE id = ${last}), ${last})"
                    ));
                }
                let sql = format!(
                    "SELECT id FROM contact WHERE {} ORDER BY name_folded, id LIMIT $1",
                    clauses.join(" AND ")
                );
                let rows = tx.query(&sql, &params).await?;
                rows.iter().map(|row| row.text(0).map(ContactId)).collect()
            })
        })
        .await
    }

    /// Which of `addresses` must not be used, why and since when.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn suppressions_of(
        &self,
        addresses: Vec<Address>,
    ) -> Result<Vec<Suppression>, StoreError> {
        let values = Value::texts(addresses.iter().map(Address::value));
        let mut found: Vec<Suppression> = self
            .read(move |tx| {
                Box::pin(async move {
                    let sql = "SELECT channel, address, reason, at FROM suppression \
                               WHERE address {any $1} ORDER BY at";
                    tx.query(sql, &[values]).await?.iter().map(read_suppression).collect()
                })
            })
            .await?;
        // The same text may be an address of another channel.
        found.retain(|found| addresses.contains(&found.address));
        Ok(found)
    }
}

pub(super) fn read_suppression(row: &Row) -> Result<Suppression, StoreError> {
    Ok(Suppression {
        address: read_address(read_channel(&row.text(0)?)?, row.text(1)?),
        reason: row.text(2)?,
        at: row.time(3)?,
    })
}
