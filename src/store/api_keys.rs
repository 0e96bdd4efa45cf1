//! Keys by which programs use the API; of each secret only its digest is here.

use jiff::Timestamp;

use crate::model::access::Scope;
use crate::store::engine::Row;
use crate::store::{Digest, Store, StoreError};

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ApiKey {
    /// What the key begins with, by which it is recognised.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Since when.
    pub created_at: Timestamp,
    /// When it ends; never if none.
    pub expires_at: Option<Timestamp>,
    /// When it was last known to be used.
    pub used_at: Option<Timestamp>,
    /// What its secret is recognised by.
    #[serde(skip)]
    pub digest: Digest,
}

const COLUMNS: &str = "id, name, scopes, created_at, expires_at, used_at, digest";

impl Store {
    /// Keeps a key; says whether its name was free.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn add_key(&self, key: ApiKey) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let key = key.clone();
            Box::pin(async move {
                let sql = "INSERT INTO api_key (id, name, scopes, created_at, expires_at, digest) \
                           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
                let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
                let params = [
                    key.id.into(),
                    key.name.into(),
                    scopes.join(" ").into(),
                    key.created_at.into(),
                    key.expires_at.into(),
                    key.digest.to_vec().into(),
                ];
                Ok(tx.execute(sql, &params).await? == 1)
            })
        })
        .await
    }

    /// Every key, by name.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.read(|tx| {
            Box::pin(async move {
                let sql = format!("SELECT {COLUMNS} FROM api_key ORDER BY name");
                tx.query(&sql, &[]).await?.iter().map(read_key).collect()
            })
        })
        .await
    }

    /// The key that begins with `id`, whether it has ended or not.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_key(&self, id: String) -> Result<Option<ApiKey>, StoreError> {
        self.read(|tx| {
            Box::pin(async move {
                let sql = format!("SELECT {COLUMNS} FROM api_key WHERE id = $1");
                tx.query_one(&sql, &[id.into()]).await?.as_ref().map(read_key).transpose()
            })
        })
        .await
    }

    /// Notes that a key is used now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn touch_key(&self, id: String) -> Result<(), StoreError> {
        self.write(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                let sql = "UPDATE api_key SET used_at = $1 WHERE id = $2";
                tx.execute(sql, &[tx.now().into(), id.into()]).await?;
                Ok(())
            })
        })
        .await
    }

    /// Ends a key at once, by its name; says whether there was one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn revoke_key(&self, name: String) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let name = name.clone();
            Box::pin(async move {
                let sql = "DELETE FROM api_key WHERE name = $1";
                Ok(tx.execute(sql, &[name.into()]).await? == 1)
            })
        })
        .await
    }
}

fn read_key(row: &Row) -> Result<ApiKey, StoreError> {
    // A scope that an older Loa does not know opens nothing there.
    let scopes = row.text(2)?.split(' ').filter_map(Scope::from_word).collect();
    let broken = |_| StoreError::Broken("the digest of a key has another length".to_owned());
    Ok(ApiKey {
        id: row.text(0)?,
        name: row.text(1)?,
        scopes,
        created_at: row.time(3)?,
        expires_at: row.opt_time(4)?,
        used_at: row.opt_time(5)?,
        digest: row.bytes(6)?.try_into().map_err(broken)?,
    })
}
