//! Lists partners, teams, segments and suppressed addresses for people who look after them.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::find::read_suppression;
use super::load::{PARTNER, contacts, read_partner};
use super::segment;
use crate::model::address::Address;
use crate::model::contact::{Contact, Partner, Suppression};
use crate::model::fold::fold;
use crate::model::id::{ContactId, PartnerId, SegmentName, TeamName};
use crate::model::segment::SegmentFilter;
use crate::store::conditions::Conditions;
use crate::store::engine::{Row, Value};
use crate::store::rows::{read_address, read_channel, read_json};
use crate::store::{Store, StoreError};

/// A saved segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name.
    pub name: SegmentName,
    /// Who belongs.
    pub filter: SegmentFilter,
}

impl Store {
    /// Partners by id, at most `limit` behind the partner `after`; `text` is part of the name, with
    /// or without accents, or the id.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_partners(
        &self,
        text: Option<String>,
        after: Option<PartnerId>,
        limit: u32,
    ) -> Result<Vec<Partner>, StoreError> {
        self.search(move |tx| {
            Box::pin(async move {
                let mut conditions = Conditions::default();
                if let Some(text) = text {
                    let name = conditions.param(fold(text.trim()));
                    let id = conditions.param(text.trim());
                    conditions.add(format!("({{contains name_folded {name}}} OR id = {id})"));
                }
                conditions.compare("id >", after.as_ref().map(PartnerId::as_str));
                let limit = conditions.param(limit);
                let wanted = conditions.where_clause();
                let sql =
                    format!("SELECT {PARTNER} FROM partner {wanted} ORDER BY id LIMIT {limit}");
                let rows = tx.query(&sql, &conditions.params).await?;
                rows.iter().map(read_partner).collect()
            })
        })
        .await
    }

    /// Those of `named` that are no partner's id.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn unknown_partners(
        &self,
        mut named: BTreeSet<PartnerId>,
    ) -> Result<BTreeSet<PartnerId>, StoreError> {
        if named.is_empty() {
            return Ok(named);
        }
        self.read(move |tx| {
            Box::pin(async move {
                let ids = Value::texts(named.iter().map(PartnerId::as_str));
                let rows = tx.query("SELECT id FROM partner WHERE id {any $1}", &[ids]).await?;
                for row in rows {
                    named.remove(&row.text(0)?.into());
                }
                Ok(named)
            })
        })
        .await
    }

    /// Which of these contacts nobody knows.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn unknown_contacts(
        &self,
        mut named: BTreeSet<ContactId>,
    ) -> Result<BTreeSet<ContactId>, StoreError> {
        if named.is_empty() {
            return Ok(named);
        }
        self.read(move |tx| {
            Box::pin(async move {
                let ids = Value::texts(named.iter().map(ContactId::as_str));
                let rows = tx.query("SELECT id FROM contact WHERE id {any $1}", &[ids]).await?;
                for row in rows {
                    named.remove(&ContactId(row.text(0)?));
                }
                Ok(named)
            })
        })
        .await
    }

    /// For which of these addresses consent was withdrawn.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn withdrawn(
        &self,
        addresses: BTreeSet<Address>,
    ) -> Result<BTreeSet<Address>, StoreError> {
        if addresses.is_empty() {
            return Ok(addresses);
        }
        let texts = Value::texts(addresses.iter().map(Address::value));
        let found: BTreeSet<Address> = self
            .read(move |tx| {
                Box::pin(async move {
                    let sql = "SELECT channel, address FROM consent \
                               WHERE address {any $1} AND granted = 0";
                    let rows = tx.query(sql, &[texts]).await?;
                    let read =
                        |row: &Row| Ok(read_address(read_channel(&row.text(0)?)?, row.text(1)?));
                    rows.iter().map(read).collect::<Result<_, StoreError>>()
                })
            })
            .await?;
        Ok(addresses.intersection(&found).cloned().collect())
    }

    /// One partner.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_partner(&self, id: PartnerId) -> Result<Option<Partner>, StoreError> {
        self.read(move |tx| {
            Box::pin(async move {
                let sql = format!("SELECT {PARTNER} FROM partner WHERE id = $1");
                let row = tx.query_one(&sql, &[id.as_str().into()]).await?;
                row.as_ref().map(read_partner).transpose()
            })
        })
        .await
    }

    /// Every team that somebody belongs to, with how many do.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn teams(&self) -> Result<Vec<(TeamName, u64)>, StoreError> {
        self.search(|tx| {
            Box::pin(async move {
                let sql = "SELECT team, COUNT(*) FROM contact_team GROUP BY team ORDER BY team";
                let rows = tx.query(sql, &[]).await?;
                rows.iter().map(|row| Ok((row.text(0)?.into(), row.count(1)?))).collect()
            })
        })
        .await
    }

    /// The saved segments, by name.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn segments(&self) -> Result<Vec<Segment>, StoreError> {
        self.search(|tx| {
            Box::pin(async move {
                let sql = "SELECT name, filter FROM segment ORDER BY name";
                let rows = tx.query(sql, &[]).await?;
                let read = |row: &Row| {
                    Ok(Segment { name: row.text(0)?.into(), filter: read_json(&row.text(1)?)? })
                };
                rows.iter().map(read).collect()
            })
        })
        .await
    }

    /// How many contacts a filter takes, and the first `limit` of them by id.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn segment_members(
        &self,
        filter: SegmentFilter,
        limit: u32,
    ) -> Result<(u64, Vec<Contact>), StoreError> {
        self.search(move |tx| {
            Box::pin(async move {
                let count = segment::count(tx, &filter).await?;
                let ids = segment::members(tx, &filter, None, limit).await?;
                Ok((count, contacts(tx, &ids).await?.into_values().collect()))
            })
        })
        .await
    }

    /// Forgets a segment; says whether there was one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn delete_segment(&self, name: SegmentName) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let name = name.clone();
            Box::pin(async move {
                let sql = "DELETE FROM segment WHERE name = $1";
                Ok(tx.execute(sql, &[name.as_str().into()]).await? == 1)
            })
        })
        .await
    }

    /// Suppressed addresses, the oldest first: at most `limit` of those since `since`, without the
    /// first `skip`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn suppressions(
        &self,
        since: Option<Timestamp>,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<Suppression>, StoreError> {
        self.search(move |tx| {
            Box::pin(async move {
                let mut conditions = Conditions::default();
                conditions.compare("at >=", since);
                let (limit, skip) = (conditions.param(limit), conditions.param(skip));
                let wanted = conditions.where_clause();
                let sql = format!(
                    "SELECT channel, address, reason, at FROM suppression {wanted} \
                     ORDER BY at, address, channel LIMIT {limit} OFFSET {skip}"
                );
                let rows = tx.query(&sql, &conditions.params).await?;
                rows.iter().map(read_suppression).collect()
            })
        })
        .await
    }
}
