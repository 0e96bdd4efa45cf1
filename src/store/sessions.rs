//! Login links and the sessions they begin; of every secret only its digest is here.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::access::Role;
use crate::store::users::{lock_user, read_role};
use crate::store::{Store, StoreError};

/// The SHA-256 of a secret.
pub type Digest = [u8; 32];

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The user's name.
    pub user: String,
    /// What they may do, as things stand now.
    pub role: Role,
    /// When the session was last known to be used.
    pub seen_at: Timestamp,
}

impl Store {
    /// Keeps a login link that lasts for `lasts`; says whether there is such a user.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn add_login_link(
        &self,
        user: String,
        link: Digest,
        lasts: Duration,
    ) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let user = user.clone();
            Box::pin(async move {
                if !lock_user(tx, &user).await? {
                    return Ok(false);
                }
                let sql = "INSERT INTO login_link (digest, loa_user, expires_at) \
                           VALUES ($1, $2, $3)";
                let ends = later(tx.now(), lasts);
                tx.execute(sql, &[link.to_vec().into(), user.into(), ends.into()]).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Uses up a login link and begins a session that lasts for `lasts` at most; says who signed
    /// in, or nobody if the link is unknown, used or over.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn sign_in(
        &self,
        link: Digest,
        session: Digest,
        lasts: Duration,
    ) -> Result<Option<String>, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let sql = "DELETE FROM login_link WHERE digest = $1 RETURNING loa_user, expires_at";
                let Some(row) = tx.query_one(sql, &[link.to_vec().into()]).await? else {
                    return Ok(None);
                };
                let user = row.text(0)?;
                if row.time(1)? <= now || !lock_user(tx, &user).await? {
                    return Ok(None);
                }
                let sql = "INSERT INTO session (digest, loa_user, created_at, seen_at, expires_at) \
                           VALUES ($1, $2, $3, $3, $4)";
                let ends = later(now, lasts).into();
                let params = [session.to_vec().into(), user.as_str().into(), now.into(), ends];
                tx.execute(sql, &params).await?;
                let sql = "UPDATE loa_user SET last_signed_in = $1 WHERE name = $2";
                tx.execute(sql, &[now.into(), user.as_str().into()]).await?;
                Ok(Some(user))
            })
        })
        .await
    }

    /// The session of a digest, unless it is over or was idle for longer than `idle`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_session(
        &self,
        session: Digest,
        idle: Duration,
    ) -> Result<Option<Session>, StoreError> {
        self.read(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let seen_after = now.checked_sub(idle).unwrap_or(Timestamp::MIN);
                let sql = "SELECT loa_user.name, loa_user.role, session.seen_at FROM session \
                           JOIN loa_user ON loa_user.name = session.loa_user \
                           WHERE session.digest = $1 AND session.expires_at > $2 \
                           AND session.seen_at > $3";
                let params = [session.to_vec().into(), now.into(), seen_after.into()];
                let Some(row) = tx.query_one(sql, &params).await? else { return Ok(None) };
                let role = read_role(&row.text(1)?)?;
                Ok(Some(Session { user: row.text(0)?, role, seen_at: row.time(2)? }))
            })
        })
        .await
    }

    /// Notes that a session is used now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn touch_session(&self, session: Digest) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE session SET seen_at = $1 WHERE digest = $2";
                tx.execute(sql, &[tx.now().into(), session.to_vec().into()]).await?;
                Ok(())
            })
        })
        .await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end_session(&self, session: Digest) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let sql = "DELETE FROM session WHERE digest = $1";
                tx.execute(sql, &[session.to_vec().into()]).await?;
                Ok(())
            })
        })
        .await
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
