//! Values as both databases take and give them.

use std::error::Error;

use bytes::BytesMut;
use jiff::Timestamp;
use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::store::StoreError;

/// A parameter or a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number, a time in microseconds, or a truth.
    Int(i64),
    /// A text, or JSON.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An id.
    Uuid(Uuid),
    /// A list of texts, for `{any $n}`; only ever a parameter.
    Texts(Vec<String>),
    /// A list of ids, for `{any_uuid $n}`; only ever a parameter.
    Uuids(Vec<Uuid>),
}

impl Value {
    /// A list of texts for `{any $n}`.
    pub fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Texts(texts.into_iter().map(|text| text.as_ref().to_owned()).collect())
    }

    /// A list of ids for `{any_uuid $n}`.
    pub fn uuids(ids: impl IntoIterator<Item = Uuid>) -> Self {
        Self::Uuids(ids.into_iter().collect())
    }
}

/// A list as SQLite takes it.
fn json_list(list: impl Iterator<Item = String>) -> ToSqlOutput<'static> {
    let list = list.map(serde_json::Value::String).collect();
    ToSqlOutput::Owned(SqliteValue::Text(serde_json::Value::Array(list).to_string()))
}

macro_rules! value_from {
    ($($source:ty => |$value:ident| $made:expr;)*) => {
        $(impl From<$source> for Value {
            fn from($value: $source) -> Self {
                $made
            }
        })*
    };
}

value_from! {
    i64 => |value| Self::Int(value);
    u32 => |value| Self::Int(i64::from(value));
    u64 => |value| Self::Int(i64::try_from(value).unwrap_or(i64::MAX));
    usize => |value| Self::Int(i64::try_from(value).unwrap_or(i64::MAX));
    bool => |value| Self::Int(i64::from(value));
    &str => |value| Self::Text(value.to_owned());
    String => |value| Self::Text(value);
    &String => |value| Self::Text(value.clone());
    Vec<u8> => |value| Self::Bytes(value);
    Uuid => |value| Self::Uuid(value);
    Timestamp => |value| Self::Int(value.as_microsecond());
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row, its columns by position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub(super) Vec<Value>);

impl Row {
    fn get(&self, column: usize) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    /// A number.
    ///
    /// # Errors
    /// When the column holds something else: the statement and its reader do not fit.
    pub fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.opt_int(column)?.ok_or_else(|| misread(column, "a number"))
    }

    /// A number, or nothing.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn opt_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.get(column) {
            Value::Null => Ok(None),
            Value::Int(value) => Ok(Some(*value)),
            Value::Text(_)
            | Value::Bytes(_)
            | Value::Uuid(_)
            | Value::Texts(_)
            | Value::Uuids(_) => Err(misread(column, "a number")),
        }
    }

    /// A count.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn count(&self, column: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?).map_err(|_| misread(column, "a count"))
    }

    /// A truth.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn truth(&self, column: usize) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    /// A time.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        self.opt_time(column)?.ok_or_else(|| misread(column, "a time"))
    }

    /// A time, or nothing.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn opt_time(&self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        let Some(micros) = self.opt_int(column)? else { return Ok(None) };
        Timestamp::from_microsecond(micros).map(Some).map_err(|_| misread(column, "a time"))
    }

    /// A text.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn text(&self, column: usize) -> Result<String, StoreError> {
        self.opt_text(column)?.ok_or_else(|| misread(column, "a text"))
    }

    /// A text, or nothing.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn opt_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        match self.get(column) {
            Value::Null => Ok(None),
            Value::Text(value) => Ok(Some(value.clone())),
            Value::Int(_)
            | Value::Bytes(_)
            | Value::Uuid(_)
            | Value::Texts(_)
            | Value::Uuids(_) => Err(misread(column, "a text")),
        }
    }

    /// Bytes.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn bytes(&self, column: usize) -> Result<Vec<u8>, StoreError> {
        match self.get(column) {
            Value::Bytes(value) => Ok(value.clone()),
            Value::Null
            | Value::Int(_)
            | Value::Text(_)
            | Value::Uuid(_)
            | Value::Texts(_)
            | Value::Uuids(_) => Err(misread(column, "bytes")),
        }
    }

    /// An id.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn uuid(&self, column: usize) -> Result<Uuid, StoreError> {
        self.opt_uuid(column)?.ok_or_else(|| misread(column, "an id"))
    }

    /// An id, or nothing.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn opt_uuid(&self, column: usize) -> Result<Option<Uuid>, StoreError> {
        match self.get(column) {
            Value::Null => Ok(None),
            Value::Uuid(value) => Ok(Some(*value)),
            Value::Bytes(bytes) => {
                Uuid::from_slice(bytes).map(Some).map_err(|_| misread(column, "an id"))
            }
            Value::Int(_) | Value::Text(_) | Value::Texts(_) | Value::Uuids(_) => {
                Err(misread(column, "an id"))
            }
        }
    }
}

fn misread(column: usize, expected: &str) -> StoreError {
    StoreError::Broken(format!("column {column} of a row is not {expected}"))
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(SqliteValue::Null),
            Self::Int(value) => ToSqlOutput::Owned(SqliteValue::Integer(*value)),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Self::Bytes(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
            Self::Uuid(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value.as_bytes())),
            Self::Texts(list) => json_list(list.iter().cloned()),
            Self::Uuids(list) => json_list(list.iter().map(|id| id.simple().to_string())),
        })
    }
}

impl Value {
    /// A column of SQLite; its ids come back as bytes.
    pub(super) fn from_sqlite(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Int(value),
            // Loa stores no fractions; a sum of counts that SQLite widened is cut back.
            #[expect(clippy::cast_possible_truncation, reason = "counts stay far below 2^53")]
            ValueRef::Real(value) => Self::Int(value as i64),
            ValueRef::Text(value) => Self::Text(String::from_utf8_lossy(value).into_owned()),
            ValueRef::Blob(value) => Self::Bytes(value.to_vec()),
        }
    }

    /// A column of PostgreSQL.
    pub(super) fn from_postgres(
        row: &tokio_postgres::Row,
        column: usize,
    ) -> Result<Self, tokio_postgres::Error> {
        let kind = row.columns().get(column).map_or(&Type::TEXT, tokio_postgres::Column::type_);
        Ok(match *kind {
            Type::INT8 => row.try_get::<_, Option<i64>>(column)?.into(),
            Type::INT4 => row.try_get::<_, Option<i32>>(column)?.map(i64::from).into(),
            Type::BOOL => row.try_get::<_, Option<bool>>(column)?.into(),
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(column)?.into(),
            Type::UUID => row.try_get::<_, Option<Uuid>>(column)?.into(),
            _ => row.try_get::<_, Option<String>>(column)?.into(),
        })
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) if *kind == Type::INT4 => i32::try_from(*value)?.to_sql(kind, out),
            Self::Int(value) if *kind == Type::BOOL => (*value != 0).to_sql(kind, out),
            Self::Int(value) => value.to_sql(kind, out),
            Self::Text(value) => value.to_sql(kind, out),
            Self::Bytes(value) => value.to_sql(kind, out),
            Self::Uuid(value) => value.to_sql(kind, out),
            Self::Texts(list) => list.to_sql(kind, out),
            Self::Uuids(list) => list.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        const KINDS: [Type; 9] = [
            Type::INT8,
            Type::INT4,
            Type::BOOL,
            Type::TEXT,
            Type::VARCHAR,
            Type::BYTEA,
            Type::UUID,
            Type::TEXT_ARRAY,
            Type::UUID_ARRAY,
        ];
        KINDS.contains(kind)
    }

    to_sql_checked!();
}
