//! Where values stand in a list. Long lists are hashed, so that patches of long lists take no quadratic time.

use std::collections::HashMap;

use sampan_model::Value;

/// Up to this many values are compared one by one.
const FEW: usize = 32;

/// Values by their place; of equal ones the first counts.
#[derive(Default)]
pub(super) struct Index {
    values: Vec<Value>,
    hashed: HashMap<String, usize>,
}

impl Index {
    /// Where the value stands.
    pub(super) fn find(&self, value: &Value) -> Option<usize> {
        if self.hashed.is_empty() {
            return self.values.iter().position(|there| there == value);
        }
        self.hashed.get(&value.to_json()).copied()
    }

    /// Appends a value; whether it was not there before.
    pub(super) fn add(&mut self, value: &Value) -> bool {
        let new = self.find(value).is_none();
        self.values.push(value.clone());
        if self.values.len() > FEW {
            if self.hashed.is_empty() {
                for (place, value) in self.values.iter().enumerate() {
                    self.hashed.entry(value.to_json()).or_insert(place);
                }
            }
            self.hashed.entry(value.to_json()).or_insert(self.values.len() - 1);
        }
        new
    }
}

impl<'a> FromIterator<&'a Value> for Index {
    fn from_iter<I: IntoIterator<Item = &'a Value>>(values: I) -> Self {
        let mut index = Self::default();
        for value in values {
            index.add(value);
        }
        index
    }
}
