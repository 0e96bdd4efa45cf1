//! Providers on hold: one stored row each, which every process's claims respect.

use jiff::Timestamp;

use crate::model::delivery::{Delivery, State};
use crate::model::id::ProviderName;
use crate::store::engine::{Row, Tx, Value};
use crate::store::{Store, StoreError};

/// A provider that is not called until it is released.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ProviderHold {
    /// The provider.
    pub provider: ProviderName,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Who: `loa`, or an operator.
    pub held_by: String,
}

impl Store {
    /// Puts a provider on hold; says whether it was not before. Of one that is, it says anew why
    /// and by whom.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn hold_provider(
        &self,
        provider: ProviderName,
        reason: String,
        held_by: String,
    ) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let (provider, reason, held_by) = (provider.clone(), reason.clone(), held_by.clone());
            Box::pin(async move {
                let sql = "INSERT INTO provider_hold (provider, reason, since, held_by) \
                           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
                let now = tx.now();
                let (name, reason, held_by): (Value, Value, Value) =
                    (provider.as_str().into(), reason.into(), held_by.into());
                let params = [name.clone(), reason.clone(), now.into(), held_by.clone()];
                let is_new = tx.execute(sql, &params).await? == 1;
                if !is_new {
                    let sql = "UPDATE provider_hold SET reason = $2, held_by = $3 \
                               WHERE provider = $1";
                    tx.execute(sql, &[name, reason, held_by]).await?;
                }
                Ok(is_new)
            })
        })
        .await
    }

    /// Ends a provider's hold; says whether there was one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn release_provider(&self, provider: ProviderName) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let provider = provider.clone();
            Box::pin(async move {
                let sql = "DELETE FROM provider_hold WHERE provider = $1";
                Ok(tx.execute(sql, &[provider.as_str().into()]).await? == 1)
            })
        })
        .await
    }

    /// Every provider on hold.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn provider_holds(&self) -> Result<Vec<ProviderHold>, StoreError> {
        self.read(|tx| Box::pin(holds(tx))).await
    }
}

async fn holds(tx: &mut Tx<'_>) -> Result<Vec<ProviderHold>, StoreError> {
    let sql = "SELECT provider, reason, since, held_by FROM provider_hold ORDER BY provider";
    let rows = tx.query(sql, &[]).await?;
    let read = |row: &Row| {
        Ok(ProviderHold {
            provider: row.text(0)?.into(),
            reason: row.text(1)?,
            since: row.time(2)?,
            held_by: row.text(3)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Says beside each waiting delivery that its provider is on hold, and why.
pub(super) async fn say_holds(
    tx: &mut Tx<'_>,
    deliveries: &mut [Delivery],
) -> Result<(), StoreError> {
    if !deliveries.iter().any(|delivery| delivery.state == State::Waiting) {
        return Ok(());
    }
    for hold in holds(tx).await? {
        let behind = deliveries.iter_mut().filter(|delivery| {
            delivery.state == State::Waiting && delivery.provider.as_ref() == Some(&hold.provider)
        });
        for delivery in behind {
            let note = format!("provider {} is on hold: {}", hold.provider, hold.reason);
            delivery.detail = Some(match delivery.detail.take() {
                Some(detail) if !hold.reason.contains(&detail) => format!("{detail}; {note}"),
                _ => note,
            });
        }
    }
    Ok(())
}
