//! How a kind shows in a table (`meta.k8s.io/v1` Table), which is what `kubectl get` prints.

use jiff::Timestamp;
use sampan_model::{Str, Value};

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// The heading.
    pub name: Str,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub column_type: Str,
    /// `name` for the column that names the object, or an OpenAPI format, or empty.
    pub format: Str,
    /// What it shows.
    pub description: Str,
    /// 0: always shown; more: only in wide output.
    pub priority: i32,
}

/// Turns objects into rows.
pub trait TableConvertor: Send + Sync + std::fmt::Debug {
    /// The columns.
    fn columns(&self) -> &[Column];
    /// One cell a column.
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value>;
    /// What is to be said of the row as a whole (`TableRowCondition`).
    fn conditions(&self, _object: &Value) -> Vec<Value> {
        Vec::new()
    }
}
