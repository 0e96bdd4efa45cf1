//! Changes of the client base: never over something newer, never bringing back a withdrawn consent.

use std::sync::Arc;

use tracing::warn;

use crate::model::address::Address;
use crate::model::contact::{Consent, Contact, DirectoryChange, Partner, Suppression};
use crate::model::fold::fold;
use crate::model::id::SegmentName;
use crate::model::segment::SegmentFilter;
use crate::store::engine::{Tx, Value};
use crate::store::rows::write_json;
use crate::store::{Store, StoreError};

/// After so many changes at once the database is told what its tables hold now.
const MANY: usize = 500;
const ANALYZE: &str = "ANALYZE partner, contact, contact_address, contact_team, tag";

/// Applies a change; says whether it was newer than what is known.
pub(in crate::store) async fn apply_change(
    tx: &mut Tx<'_>,
    change: &DirectoryChange,
) -> Result<bool, StoreError> {
    match change {
        DirectoryChange::Partner(partner) => put_partner(tx, partner).await,
        DirectoryChange::Contact { contact, consents } => {
            let is_newer = put_contact(tx, contact).await?;
            // What is older changes nothing, but that somebody withdrew a consent.
            for consent in consents.iter().filter(|consent| is_newer || !consent.granted) {
                put_consent(tx, consent, Claim::Hearsay).await?;
            }
            Ok(is_newer)
        }
    }
}

impl Store {
    /// Applies changes in one transaction; says how many were newer than what was known.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn change_directory(&self, changes: Vec<DirectoryChange>) -> Result<u64, StoreError> {
        let is_big = changes.len() >= MANY;
        let changes = Arc::new(changes);
        let applied = self
            .write(move |tx| {
                let changes = Arc::clone(&changes);
                Box::pin(async move {
                    let mut applied = 0;
                    for change in changes.iter() {
                        applied += u64::from(apply_change(tx, change).await?);
                    }
                    Ok(applied)
                })
            })
            .await?;
        // A planner that takes the new tables for empty reads a big audience in minutes.
        if is_big && let Err(error) = self.analyze_by(ANALYZE).await {
            warn!(%error, "could not look at what the directory holds now; the database will in time");
        }
        Ok(applied)
    }

    /// Records what the owner of an address said about marketing.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn record_consent(&self, consent: Consent) -> Result<(), StoreError> {
        self.write(move |tx| {
            let consent = consent.clone();
            Box::pin(async move {
                put_consent(tx, &consent, Claim::OwnersWord).await?;
                Ok(())
            })
        })
        .await
    }

    /// Makes an address one that must not be used.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn suppress(&self, suppression: Suppression) -> Result<(), StoreError> {
        self.write(move |tx| {
            let Suppression { address, reason, at } = suppression.clone();
            Box::pin(async move {
                let sql = "INSERT INTO suppression (address, channel, reason, at) \
                           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
                let channel = address.channel().as_str();
                let params = [address.value().into(), channel.into(), reason.into(), at.into()];
                tx.execute(sql, &params).await?;
                Ok(())
            })
        })
        .await
    }

    /// Lets an address be used again; says whether it was suppressed.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn unsuppress(&self, address: Address) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let address = address.clone();
            Box::pin(async move {
                let sql = "DELETE FROM suppression WHERE address = $1 AND channel = $2";
                let params = [address.value().into(), address.channel().as_str().into()];
                Ok(tx.execute(sql, &params).await? == 1)
            })
        })
        .await
    }

    /// Saves a segment under its name, over what was there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn put_segment(
        &self,
        name: SegmentName,
        filter: SegmentFilter,
    ) -> Result<(), StoreError> {
        self.write(move |tx| {
            let (name, filter) = (name.clone(), filter.clone());
            Box::pin(async move {
                let sql = "INSERT INTO segment (name, filter) VALUES ($1, $2) \
                           ON CONFLICT (name) DO UPDATE SET filter = excluded.filter";
                tx.execute(sql, &[name.as_str().into(), write_json(&filter)?.into()]).await?;
                Ok(())
            })
        })
        .await
    }

    /// Keeps the source of a template version, once.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn keep_template_version(
        &self,
        version: String,
        source: String,
    ) -> Result<(), StoreError> {
        self.write(move |tx| {
            let (version, source) = (version.clone(), source.clone());
            Box::pin(async move {
                let sql = "INSERT INTO template_version (version, source, at) \
                           VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
                let now = tx.now();
                tx.execute(sql, &[version.into(), source.into(), now.into()]).await?;
                Ok(())
            })
        })
        .await
    }
}

async fn put_partner(tx: &mut Tx<'_>, partner: &Partner) -> Result<bool, StoreError> {
    let sql = "INSERT INTO partner (id, name, name_folded, tier, manager, locale, time_zone, \
               region, tags, channels, changed_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
               ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
               name_folded = excluded.name_folded, tier = excluded.tier, \
               manager = excluded.manager, locale = excluded.locale, \
               time_zone = excluded.time_zone, region = excluded.region, tags = excluded.tags, \
               channels = excluded.channels, changed_at = excluded.changed_at \
               WHERE partner.changed_at <= excluded.changed_at";
    let params = [
        partner.id.as_str().into(),
        partner.name.as_str().into(),
        fold(&partner.name).into(),
        partner.tier.as_str().into(),
        partner.manager.as_ref().map(crate::model::id::ContactId::as_str).into(),
        partner.locale.clone().into(),
        partner.time_zone.clone().into(),
        partner.region.clone().into(),
        write_json(&partner.tags)?.into(),
        write_json(&partner.channels)?.into(),
        partner.changed_at.into(),
    ];
    let is_newer = tx.execute(sql, &params).await? == 1;
    if is_newer {
        put_tags(tx, "partner", partner.id.as_str(), &partner.tags).await?;
    }
    Ok(is_newer)
}

async fn put_contact(tx: &mut Tx<'_>, contact: &Contact) -> Result<bool, StoreError> {
    let sql = "INSERT INTO contact (id, name, name_folded, partner, duty, locale, time_zone, \
               region, tags, superior, signature, changed_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
               ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
               name_folded = excluded.name_folded, partner = excluded.partner, \
               duty = excluded.duty, locale = excluded.locale, time_zone = excluded.time_zone, \
               region = excluded.region, tags = excluded.tags, superior = excluded.superior, \
               signature = excluded.signature, changed_at = excluded.changed_at \
               WHERE contact.changed_at <= excluded.changed_at";
    let id = contact.id.as_str();
    let params = [
        id.into(),
        contact.name.as_str().into(),
        fold(&contact.name).into(),
        contact.partner.as_ref().map(crate::model::id::PartnerId::as_str).into(),
        contact.duty.clone().into(),
        contact.locale.clone().into(),
        contact.time_zone.clone().into(),
        contact.region.clone().into(),
        write_json(&contact.tags)?.into(),
        contact.superior.as_ref().map(crate::model::id::ContactId::as_str).into(),
        contact.signature.clone().into(),
        contact.changed_at.into(),
    ];
    if tx.execute(sql, &params).await? == 0 {
        return Ok(false);
    }
    put_tags(tx, "contact", id, &contact.tags).await?;
    tx.execute("DELETE FROM contact_address WHERE contact = $1", &[id.into()]).await?;
    let addresses: Vec<Vec<Value>> = contact
        .addresses
        .iter()
        .enumerate()
        .map(|(position, address)| {
            let channel = address.channel().as_str();
            vec![id.into(), position.into(), channel.into(), address.value().into()]
        })
        .collect();
    let sql = "INSERT INTO contact_address (contact, position, channel, address) \
               VALUES ($1, $2, $3, $4)";
    tx.execute_many(sql, &addresses).await?;
    tx.execute("DELETE FROM contact_team WHERE contact = $1", &[id.into()]).await?;
    let teams: Vec<Vec<Value>> =
        contact.teams.iter().map(|team| vec![team.as_str().into(), id.into()]).collect();
    let sql = "INSERT INTO contact_team (team, contact) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    tx.execute_many(sql, &teams).await?;
    Ok(true)
}

async fn put_tags(
    tx: &mut Tx<'_>,
    kind: &str,
    owner: &str,
    tags: &[String],
) -> Result<(), StoreError> {
    let sql = "DELETE FROM tag WHERE owner = $1 AND kind = $2";
    tx.execute(sql, &[owner.into(), kind.into()]).await?;
    let rows: Vec<Vec<Value>> =
        tags.iter().map(|tag| vec![owner.into(), kind.into(), tag.into()]).collect();
    let sql = "INSERT INTO tag (owner, kind, tag) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    tx.execute_many(sql, &rows).await?;
    Ok(())
}

/// Who says something about consent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// The owner of the address: a withdrawal always holds, else the newest word.
    OwnersWord,
    /// An upstream system: it may withdraw, and grant only what nobody has withdrawn.
    Hearsay,
}

/// Keeps the latest word about consent.
///
/// A withdrawal by the owner holds whatever is dated later: clocks differ, and it is the owner's
/// word. Hearsay never brings back what was withdrawn.
async fn put_consent(tx: &mut Tx<'_>, consent: &Consent, claim: Claim) -> Result<(), StoreError> {
    let sql = "INSERT INTO consent (address, channel, granted, at, source) \
               VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (address, channel) DO UPDATE \
               SET granted = excluded.granted, at = excluded.at, source = excluded.source \
               WHERE ($6 = 1 AND excluded.granted = 0) OR (consent.at <= excluded.at \
               AND ($6 = 1 OR excluded.granted = 0 OR consent.granted = 1))";
    let params = [
        consent.address.value().into(),
        consent.address.channel().as_str().into(),
        consent.granted.into(),
        consent.at.into(),
        consent.source.as_str().into(),
        (claim == Claim::OwnersWord).into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(())
}
