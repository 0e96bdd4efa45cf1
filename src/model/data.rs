//! What an event says, as a value and as the text that it is kept and compared by.

use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

/// CloudEvents `data` with its text; cheap to clone.
#[derive(Clone, Debug)]
pub struct Data {
    value: Arc<Value>,
    text: Arc<str>,
}

impl Data {
    /// `value` with its text: without spaces, the members of every object in order, so that equal data
    /// has equal text.
    pub fn new(value: Value) -> Self {
        let mut text = Vec::new();
        write(&value, &mut text);
        // serde_json writes only UTF-8.
        let text = String::from_utf8(text).unwrap_or_else(|_| value.to_string());
        Self { value: Arc::new(value), text: text.into() }
    }

    /// The value.
    pub fn value(&self) -> &Arc<Value> {
        &self.value
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Deref for Data {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_plain(name, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
        Value::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(value, out);
            }
            out.push(b']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            write_plain(value, out);
        }
    }
}

fn write_plain(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    // A text, a number or a word can always be written into memory.
    drop(serde_json::to_writer(out, value));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Values of some depth, with texts of every kind.
    fn values() -> impl Strategy<Value = Value> {
        let plain = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
            any::<String>().prop_map(Value::from),
        ];
        plain.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_text_reads_back_as_the_value(value in values()) {
            let data = Data::new(value.clone());

            prop_assert_eq!(serde_json::from_str::<Value>(data.text()).unwrap(), value);
        }
    }

    #[test]
    fn equal_data_has_equal_text_whatever_the_order_of_its_members() {
        let read = |text: &str| Data::new(serde_json::from_str(text).unwrap());

        let one = read(r#"{ "b": [1, { "d": "ắ", "c": null }], "a": 1.5 }"#);
        let other = read(r#"{"a":1.5,"b":[1,{"c":null,"d":"ắ"}]}"#);

        assert_eq!(one.text(), r#"{"a":1.5,"b":[1,{"c":null,"d":"ắ"}]}"#);
        assert_eq!(one.text(), other.text());
        assert_eq!(*one, json!({ "a": 1.5, "b": [1, { "c": null, "d": "ắ" }] }));
    }
}
