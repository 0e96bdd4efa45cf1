//! Users: people who may sign in to the console.

use jiff::Timestamp;

use crate::model::access::Role;
use crate::store::engine::{Row, Tx};
use crate::store::{Store, StoreError};

/// A person who may sign in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct User {
    /// What they are called here.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Where they can be reached; Loa itself sends nothing there.
    pub email: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// When they last signed in.
    pub last_signed_in: Option<Timestamp>,
}

impl Store {
    /// Adds a user; says whether the name was free.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn add_user(
        &self,
        name: String,
        role: Role,
        email: Option<String>,
    ) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let (name, email) = (name.clone(), email.clone());
            Box::pin(async move {
                let sql = "INSERT INTO loa_user (name, role, email, created_at) \
                           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
                let now = tx.now();
                let params = [name.into(), role.as_str().into(), email.into(), now.into()];
                Ok(tx.execute(sql, &params).await? == 1)
            })
        })
        .await
    }

    /// Every user, by name.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        self.read(|tx| {
            Box::pin(async move {
                let sql = "SELECT name, role, email, created_at, last_signed_in FROM loa_user \
                           ORDER BY name";
                tx.query(sql, &[]).await?.iter().map(read_user).collect()
            })
        })
        .await
    }

    /// Gives a user another role, at once; says whether there is such a user.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn set_role(&self, name: String, role: Role) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let name = name.clone();
            Box::pin(async move {
                let sql = "UPDATE loa_user SET role = $1 WHERE name = $2";
                Ok(tx.execute(sql, &[role.as_str().into(), name.into()]).await? == 1)
            })
        })
        .await
    }

    /// Removes a user with their sessions and links; says whether there was one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn remove_user(&self, name: String) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let name = name.clone();
            Box::pin(async move {
                let of_user = [name.into()];
                // The user first: whoever signs in at this moment waits for that row.
                let removed = tx.execute("DELETE FROM loa_user WHERE name = $1", &of_user).await?;
                tx.execute("DELETE FROM login_link WHERE loa_user = $1", &of_user).await?;
                tx.execute("DELETE FROM session WHERE loa_user = $1", &of_user).await?;
                Ok(removed == 1)
            })
        })
        .await
    }
}

fn read_user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        name: row.text(0)?,
        role: read_role(&row.text(1)?)?,
        email: row.opt_text(2)?,
        created_at: row.time(3)?,
        last_signed_in: row.opt_time(4)?,
    })
}

pub(super) fn read_role(word: &str) -> Result<Role, StoreError> {
    let broken = || StoreError::Broken(format!("`{word}` is not a role"));
    Role::from_word(word).ok_or_else(broken)
}

/// Keeps a user's row as it is until the transaction ends; says whether there is one.
pub(super) async fn lock_user(tx: &mut Tx<'_>, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT name FROM loa_user WHERE name = $1 {for_update}";
    Ok(tx.query_one(sql, &[name.into()]).await?.is_some())
}
