//! The entries of `metadata.managedFields`: reading what clients send, finding one's own, order and number.

use sampan_model::{Map, Str, Value};

use super::{FieldSet, Manager, set};

/// Managers that update (rather than apply) beyond this number are merged into one.
const MAX_UPDATERS: usize = 10;
/// The one they are merged into.
const ANCIENT: &str = "ancient-changes";

/// Who owns an entry: by an update or by an apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn text(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// The entries of one object.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries(pub(super) Vec<Map>);

impl Entries {
    /// Entries of a live object, which were checked when they were written.
    pub(super) fn trusted(list: Value) -> Self {
        let Value::Array(list) = list else { return Self::default() };
        Self(
            list.into_iter()
                .filter_map(|entry| if let Value::Object(map) = entry { Some(map) } else { None })
                .collect(),
        )
    }

    /// Entries that a client sent.
    pub(super) fn checked(list: Value) -> Result<Self, String> {
        let mut entries = Self::default();
        let Value::Array(list) = list else { return Ok(entries) };
        for (i, entry) in list.into_iter().enumerate() {
            let Value::Object(mut entry) = entry else { return Err("an entry is no map".into()) };
            if !matches!(entry.str("operation"), "Apply" | "Update") {
                return Err("operation must be `Apply` or `Update`".into());
            }
            if entry.str("apiVersion").is_empty() {
                return Err("apiVersion must not be empty".into());
            }
            match entry.str("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(format!("missing fieldsType in managed fields entry {i}")),
                other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {i}")),
            }
            let fields = FieldSet::from_value(entry.get("fieldsV1").unwrap_or(&Value::Null))
                .map_err(|e| format!("error decoding versioned set: {e}"))?;
            entry.insert("fieldsV1", fields.0);
            // Of two entries of one manager the later counts.
            entries.0.retain(|there| !same_manager(there, &entry));
            entries.0.push(entry);
        }
        Ok(entries)
    }

    /// Whether a client asks for all entries to be cleared: by none, or by an empty one.
    pub(super) fn is_reset(list: &Value) -> bool {
        match list {
            Value::Array(list) => match list.as_slice() {
                [] => true,
                [Value::Object(entry)] => entry.values().all(Value::is_empty),
                _ => false,
            },
            _ => false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the manager's own entry stands.
    pub(super) fn position(&self, manager: &Manager<'_>, operation: Operation) -> Option<usize> {
        self.0.iter().position(|entry| {
            entry.str("manager") == name(manager)
                && entry.str("operation") == operation.text()
                && entry.str("subresource") == manager.subresource
                && (operation == Operation::Apply || entry.str("apiVersion") == manager.api_version)
        })
    }

    /// Drops entries that own nothing.
    pub(super) fn drop_empty(&mut self) {
        self.0.retain(|entry| !fields(entry).is_empty());
    }

    /// The list as it is stored; null when there is none.
    pub(super) fn encode(mut self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        self.0.sort_by(|a, b| order(a).cmp(&order(b)));
        Value::Array(self.0.into_iter().map(Value::Object).collect())
    }

    /// Merges the oldest updaters, by version, until there are not too many.
    pub(super) fn cap(&mut self) {
        let update = Operation::Update.text();
        let mut updaters = self.0.iter().filter(|entry| entry.str("operation") == update).count();
        if updaters <= MAX_UPDATERS {
            return;
        }
        self.0.sort_by(|a, b| order(a).cmp(&order(b)));
        let mut i = 0;
        // The first updater of each version, by its index, until a second makes a bucket of it.
        let mut firsts: Vec<(Str, usize)> = Vec::new();
        while i < self.0.len() && updaters > MAX_UPDATERS {
            if self.0[i].str("operation") != update {
                i += 1;
                continue;
            }
            let version = Str::from(self.0[i].str("apiVersion"));
            let Some((_, first)) = firsts.iter().find(|(there, _)| *there == version) else {
                firsts.push((version, i));
                i += 1;
                continue;
            };
            let first = *first;
            let merged = self.0.remove(i);
            let bucket = &mut self.0[first];
            let union = set::union(std::mem::take(fields_mut(bucket)), fields(&merged));
            *fields_mut(bucket) = union;
            bucket.insert("manager", ANCIENT);
            bucket.remove("subresource");
            match merged.get("time") {
                Some(time) => drop(bucket.insert("time", time.clone())),
                None => drop(bucket.remove("time")),
            }
            updaters -= 1;
        }
    }
}

fn name<'a>(manager: &Manager<'a>) -> &'a str {
    if manager.name.is_empty() { "unknown" } else { manager.name }
}

fn same_manager(a: &Map, b: &Map) -> bool {
    ["manager", "operation", "subresource"].iter().all(|field| a.str(field) == b.str(field))
        && (a.str("operation") == Operation::Apply.text() || a.str("apiVersion") == b.str("apiVersion"))
}

/// By operation, time, manager, version and subresource. Times in their normal form order as text.
fn order(entry: &Map) -> (&str, i64, &str, &str, &str) {
    let seconds = crate::decode::time::unix_seconds(entry.str("time"));
    (entry.str("operation"), seconds, entry.str("manager"), entry.str("apiVersion"), entry.str("subresource"))
}

/// A new entry.
pub(super) fn entry(manager: &Manager<'_>, operation: Operation, time: Option<&str>, fields: Map) -> Map {
    let mut entry = Map::with_capacity(7);
    entry.insert("apiVersion", manager.api_version);
    entry.insert("fieldsType", "FieldsV1");
    entry.insert("fieldsV1", fields);
    entry.insert("manager", name(manager));
    entry.insert("operation", operation.text());
    if !manager.subresource.is_empty() {
        entry.insert("subresource", manager.subresource);
    }
    if let Some(time) = time {
        entry.insert("time", time);
    }
    entry
}

/// What an entry owns.
pub(super) fn fields(entry: &Map) -> &Map {
    static NONE: Map = Map::new();
    entry.get("fieldsV1").and_then(Value::as_object).unwrap_or(&NONE)
}

/// The same, to be changed.
pub(super) fn fields_mut(entry: &mut Map) -> &mut Map {
    entry.object_mut("fieldsV1")
}
