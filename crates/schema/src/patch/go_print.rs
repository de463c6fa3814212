//! Values as Go's `%v` prints them, for sentences that quote a part of a patch.

use std::fmt::{self, Display, Formatter};

use sampan_model::Value;

/// Prints a value like `map[image:x ports:[map[port:80]]]`.
pub(crate) struct GoPrint<'a>(pub(crate) &'a Value);

impl Display for GoPrint<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("<nil>"),
            Value::String(text) => f.write_str(text),
            Value::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if i == 0 { "" } else { " " }, GoPrint(item))?;
                }
                f.write_str("]")
            }
            Value::Object(map) => {
                f.write_str("map[")?;
                for (i, (key, value)) in map.iter().enumerate() {
                    write!(f, "{}{key}:{}", if i == 0 { "" } else { " " }, GoPrint(value))?;
                }
                f.write_str("]")
            }
            other => f.write_str(&other.to_json()),
        }
    }
}
