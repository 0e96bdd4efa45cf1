//! What an event says, as a value and as the text that it is kept and compared by.

use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value;

/// CloudEvents `data` with its text: without spaces, the members of every object in the order of
/// their names, so that equal data has equal text. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Data {
    value: Arc<Value>,
    text: Arc<str>,
}

impl Data {
    /// Writes the text of `value`.
    pub fn new(value: Value) -> Self {
        let text = value.to_string().into();
        Self { value: Arc::new(value), text }
    }

    /// Reads data back from the text that it was kept as.
    ///
    /// # Errors
    /// When the text is no JSON.
    pub fn read(text: String) -> serde_json::Result<Self> {
        Ok(Self { value: serde_json::from_str(&text)?, text: text.into() })
    }

    /// The value, to be shared.
    pub fn share(&self) -> Arc<Value> {
        Arc::clone(&self.value)
    }

    /// What stores keep and digests are made of.
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
            any::<u64>().prop_map(Value::from),
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

            let read = Data::read(data.text().to_owned()).unwrap();

            prop_assert_eq!(read.text(), data.text());
            prop_assert_eq!(&*read, &value);
        }
    }

    /// Fails as soon as a dependency turns on `preserve_order` of `serde_json`, with which a repeat
    /// of an event would be a reused id.
    #[test]
    fn equal_data_has_equal_text_whatever_the_order_of_its_members() {
        let written = |text: &str| Data::new(serde_json::from_str(text).unwrap());

        let one = written(r#"{ "b": [1, { "d": "ắ", "c": null }], "a": 1.5 }"#);
        let other = written(r#"{"a":1.5,"b":[1,{"c":null,"d":"ắ"}]}"#);

        assert_eq!(one.text(), r#"{"a":1.5,"b":[1,{"c":null,"d":"ắ"}]}"#);
        assert_eq!(one.text(), other.text());
        assert_eq!(*one, json!({ "a": 1.5, "b": [1, { "c": null, "d": "ắ" }] }));
    }
}
