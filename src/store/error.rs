//! What can go wrong with the store, by what a caller can do about it.

use rusqlite::ErrorCode;
use tokio::task::JoinError;
use tokio_postgres::error::SqlState;

use crate::lifecycle::CutOff;
use crate::telemetry::with_causes;

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer now; the same call may be made again.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// There is no room left; the same call may be made again once there is.
    #[error("the store's disk is full; free some room and it goes on by itself")]
    Full,
    /// Configuration, permissions or schema are not as they must be; trying again does not help.
    #[error("{0}")]
    Wrong(String),
    /// Somebody else holds what it needs and did not let go of it in time; the same call may be
    /// made again.
    #[error("the store waits for somebody else: {0}")]
    Occupied(String),
    /// Two transactions met; the same call may be made again at once.
    #[error("two transactions met in the store: {0}")]
    Conflict(String),
    /// What it was given is nothing it can keep; trying again does not help, but anything else may.
    #[error("the store refuses what it was given: {0}")]
    Refused(String),
    /// A search took longer than one may; a narrower one may do.
    #[error("the search took too long; narrow it down")]
    TooLong,
    /// Rolled back because the caller wanted it so.
    #[error("the transaction was rolled back on purpose")]
    Abandoned,
    /// A fault of Loa or of the database.
    #[error("the store is broken: {0}")]
    Broken(String),
}

impl StoreError {
    /// What a part of the store that blocks, such as `a read`, came to when it was cut off.
    pub(in crate::store) fn cut_off(what: &str, error: JoinError) -> Self {
        Self::Broken(format!("{what} was cut off: {}", CutOff::from(error)))
    }

    /// Whether configuration, permissions or schema must be mended first.
    pub fn is_for_somebody_to_mend(&self) -> bool {
        matches!(self, Self::Wrong(_))
    }

    /// The same with the place of the store and what to do, where the store is not there.
    #[must_use]
    pub fn of_store_at(self, place: &str) -> Self {
        match self {
            Self::Unreachable(ref why) => Self::Unreachable(format!(
                "{place}: {why}; start it, or correct where it is (`store.url` or --store)"
            )),
            Self::Full
            | Self::Occupied(_)
            | Self::Wrong(_)
            | Self::Conflict(_)
            | Self::Refused(_)
            | Self::TooLong
            | Self::Abandoned
            | Self::Broken(_) => self,
        }
    }

    /// Whether the store is away or full, which it tells by itself for all who wait for it.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Full)
    }

    /// Whether waiting and calling again may help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Full | Self::Occupied(_) | Self::Conflict(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::OperationInterrupted) => Self::TooLong,
            Some(
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SystemIoFailure,
            ) => Self::Unreachable(text),
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::NotADatabase
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::PermissionDenied,
            ) => Self::Wrong(format!("{text}; look at the SQLite file in the data folder")),
            Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => {
                Self::Refused(text)
            }
            _ => Self::Broken(text),
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Self::Unreachable(with_causes(&error));
        };
        let text = format!("{} ({})", db.message(), db.code().code());
        match db.code() {
            code if *code == SqlState::DISK_FULL => Self::Full,
            code if *code == SqlState::LOCK_NOT_AVAILABLE => Self::Occupied(text),
            code if *code == SqlState::T_R_SERIALIZATION_FAILURE
                || *code == SqlState::T_R_DEADLOCK_DETECTED
                || *code == SqlState::UNIQUE_VIOLATION =>
            {
                Self::Conflict(text)
            }
            code if *code == SqlState::INVALID_PASSWORD
                || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                || *code == SqlState::INVALID_CATALOG_NAME
                || *code == SqlState::INSUFFICIENT_PRIVILEGE =>
            {
                Self::Wrong(format!("PostgreSQL refuses: {text}; check store.url"))
            }
            // Class 08 connection, 53 resources, 55 state, 57 operator intervention; 25P03 and
            // 25P04: a transaction that stood idle, or took, longer than the server allows. Not
            // 25006: that a session may only read is Loa's own wish.
            code if ["08", "53", "55", "57"].iter().any(|class| code.code().starts_with(class))
                || ["25P03", "25P04"].contains(&code.code()) =>
            {
                Self::Unreachable(text)
            }
            // Class 22 data, 23 constraints, 54 limits: an index row too large, a text too long.
            code if ["22", "23", "54"].iter().any(|class| code.code().starts_with(class)) => {
                Self::Refused(text)
            }
            _ => Self::Broken(text),
        }
    }
}
