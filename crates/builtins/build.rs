//! Joins the published types with what the overlay knows of them, into one list of lines that the server
//! reads at start in about a millisecond; and compresses what is read seldom.
//!
//! A line of `schema.tab` is a type; its index is its number. `name<TAB>shape`, the name `-` for a type
//! without one. A shape is a letter (see `SCALARS`), `A` for anything; `L<type><TAB>a|s|m key,key`;
//! `M<type>` with `!` if atomic; `O` with `!` if atomic, and then a line for each field that begins with
//! a tab: `<TAB>name<TAB>type<TAB>flags<TAB>patch<TAB>default`. A shape that starts with `?` is nullable.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

const SCALARS: &[(&str, &str)] = &[
    ("string", "s"),
    ("int32", "i"),
    ("int64", "l"),
    ("double", "n"),
    ("boolean", "b"),
    ("bytes", "y"),
    ("time", "t"),
    ("microtime", "u"),
    ("quantity", "q"),
    ("intorstring", "x"),
    ("any", "A"),
];

fn main() {
    println!("cargo::rerun-if-changed=data");
    println!("cargo::rerun-if-changed=build.rs");
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let out = Path::new(&out);
    std::fs::write(out.join("schema.tab"), Tables::read().render()).expect("OUT_DIR is writable");
    std::fs::write(out.join("columns.tab"), columns()).expect("OUT_DIR is writable");
    let (descriptions, enums) = published();
    let numbers = read("data/protobuf-v1.36.tsv") + &read("data/protobuf-overlay-v1.36.tsv");
    for (text, to) in [
        (descriptions, "descriptions.z"),
        (enums, "enums.z"),
        (read("data/bootstrap-v1.36.json"), "bootstrap.z"),
        (numbers, "protobuf.z"),
    ] {
        std::fs::write(out.join(to), compress(&text)).expect("OUT_DIR is writable");
    }
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn compress(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_bytes()).expect("a vector takes every write");
    encoder.finish().expect("a vector takes every write")
}

/// Texts of fields by type and field.
type Descriptions = BTreeMap<String, BTreeMap<String, String>>;

fn descriptions() -> Descriptions {
    serde_json::from_str(&read("data/descriptions-v1.36.json")).expect("descriptions are texts")
}

/// The descriptions, with the values of enums in the form that kube-openapi's generator gives them; and the
/// values by type and field.
fn published() -> (String, String) {
    let (fields, values) = (read("data/enums-v1.36.tsv"), read("data/enum-values-v1.36.tsv"));
    // enum -> value -> meaning, sorted by value as upstream sorts both lists
    let mut enums: HashMap<&str, BTreeMap<&str, &str>> = HashMap::new();
    for row in rows(&values) {
        enums.entry(row[0]).or_default().insert(row[1], row.get(2).unwrap_or(&""));
    }
    let types = Tables::read().types;
    let mut descriptions = descriptions();
    let mut by_field: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for row in rows(&fields) {
        let (ty, field) = (row[0], row[1]);
        let values = enums.get(row[2]).unwrap_or_else(|| panic!("no enum {}", row[2]));
        let word = types[ty][field].as_str().unwrap_or_else(|| panic!("no field {ty}.{field}"));
        // Those of lists and maps stand with the elements, which have no description.
        if word.trim_end_matches('!') == "string" {
            let text = descriptions.entry(ty.to_owned()).or_default().entry(field.to_owned()).or_default();
            text.push_str("\n\nPossible enum values:");
            for (value, meaning) in values {
                write!(text, "\n - `{value:?}` {meaning}").expect("a string takes every write");
                text.truncate(text.trim_end().len());
            }
            *text = text.trim_start().to_owned();
        }
        by_field.entry(ty).or_default().insert(field, values.keys().copied().collect());
    }
    let json = "texts are JSON";
    (serde_json::to_string(&descriptions).expect(json), serde_json::to_string(&by_field).expect(json))
}

/// The columns of tables with their texts. A text may have line breaks: lines end with U+001E.
fn columns() -> String {
    let descriptions = descriptions();
    let mut out = String::new();
    for row in rows(&read("data/table-columns-v1.36.tsv")) {
        let (text, columns) = row.split_last().expect("a row has columns");
        let text = match text.split_once('#') {
            Some((ty, field)) => descriptions[ty][field].replace(['\t', '\u{1e}'], " "),
            None => (*text).to_owned(),
        };
        write!(out, "{}\t{text}\u{1e}", columns.join("\t")).expect("a string takes every write");
    }
    out
}

/// The rows of a file of tab-separated columns, without its comments.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(|l| l.split('\t').collect())
}

type Fields = BTreeMap<String, String>;

/// The sources, and the types numbered so far.
struct Tables {
    types: BTreeMap<String, serde_json::Value>,
    /// (type, field) -> flags
    presence: HashMap<(String, String), char>,
    /// (type, field) -> semantics
    lists: HashMap<(String, String), String>,
    /// (type, field) -> default
    defaults: HashMap<(String, String), String>,
    /// The text of each type without a name, and its number.
    anonymous: HashMap<String, usize>,
    lines: Vec<String>,
}

impl Tables {
    fn read() -> Self {
        let types: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&read("data/types-v1.36.json")).expect("types are JSON");
        let mut presence = HashMap::new();
        for row in rows(&read("data/presence-v1.36.tsv")) {
            for group in &row[1..] {
                let (word, fields) = group.split_once('=').expect("presence is word=fields");
                let flag = match word {
                    "always" => 'a',
                    "null" => 'n',
                    "keep" => 'k',
                    other => panic!("presence {other}"),
                };
                presence.extend(fields.split(',').map(|f| ((row[0].to_owned(), f.to_owned()), flag)));
            }
        }
        let three = |file: &str| -> HashMap<(String, String), String> {
            rows(&read(file)).map(|r| ((r[0].into(), r[1].into()), r[2].into())).collect()
        };
        let lines = types.keys().cloned().collect();
        Self {
            types,
            presence,
            lists: three("data/lists-v1.36.tsv"),
            defaults: three("data/defaults-v1.36.tsv"),
            anonymous: HashMap::new(),
            lines,
        }
    }

    fn render(mut self) -> String {
        for (number, (name, shape)) in self.types.clone().into_iter().enumerate() {
            let shape = match shape {
                serde_json::Value::String(word) => scalar(&word).to_owned(),
                fields => {
                    let fields: Fields = serde_json::from_value(fields).expect("fields are words");
                    let atomic = self.semantics(&name, "-").contains("map-type=atomic");
                    self.object(&name, &fields, atomic)
                }
            };
            self.lines[number] = format!("{name}\t{shape}");
        }
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }

    fn semantics(&self, ty: &str, field: &str) -> String {
        self.lists.get(&(ty.to_owned(), field.to_owned())).cloned().unwrap_or_default()
    }

    fn object(&mut self, name: &str, fields: &Fields, atomic: bool) -> String {
        let mut text = String::from(if atomic { "O!" } else { "O" });
        for (field, word) in fields {
            let key = (name.to_owned(), field.clone());
            let semantics = self.semantics(name, field);
            let (word, required) = match word.strip_suffix('!') {
                Some(word) => (word, true),
                None => (word.as_str(), false),
            };
            let presence = self.presence.get(&key).copied();
            let ty = self.field_type(word, &semantics, presence == Some('n'));
            let mut flags = String::new();
            flags.extend(presence);
            if required {
                flags.push('!');
            }
            let default = self.defaults.get(&key).cloned().unwrap_or_default();
            write!(text, "\n\t{field}\t{ty}\t{flags}\t{}\t{default}", patch(&semantics))
                .expect("a string takes every write");
        }
        text
    }

    /// The number of the type that a field has.
    fn field_type(&mut self, word: &str, semantics: &str, nullable: bool) -> usize {
        let shape = if let Some(items) = word.strip_prefix("[]") {
            let items = self.field_type(items, "", false);
            let kind =
                words(semantics).find_map(|(k, v)| (k == "list-type").then_some(v)).unwrap_or("atomic");
            match kind {
                "map" => {
                    let keys = words(semantics).find_map(|(k, v)| (k == "list-map-keys").then_some(v));
                    format!("L{items}\tm{}", keys.expect("a list of type map has keys"))
                }
                "set" => format!("L{items}\ts"),
                "atomic" => format!("L{items}\ta"),
                other => panic!("list type {other}"),
            }
        } else if let Some(values) = word.strip_prefix("{}") {
            let values = self.field_type(values, "", false);
            let atomic = if semantics.contains("map-type=atomic") { "!" } else { "" };
            format!("M{values}{atomic}")
        } else if let Some(name) = word.strip_prefix('#') {
            let number =
                self.types.keys().position(|n| n == name).unwrap_or_else(|| panic!("no type {name}"));
            let own = words(semantics).find_map(|(k, v)| (k == "map-type").then_some(v));
            if own.is_none() && !nullable {
                return number;
            }
            match self.types[name].clone() {
                serde_json::Value::String(word) => scalar(&word).to_owned(),
                fields => {
                    let fields: Fields = serde_json::from_value(fields).expect("fields are words");
                    let atomic = match own {
                        Some(own) => own == "atomic",
                        None => self.semantics(name, "-").contains("map-type=atomic"),
                    };
                    self.object(name, &fields, atomic)
                }
            }
        } else {
            scalar(word).to_owned()
        };
        let shape = if nullable { format!("?{shape}") } else { shape };
        if let Some(number) = self.anonymous.get(&shape) {
            return *number;
        }
        let number = self.lines.len();
        self.lines.push(format!("-\t{shape}"));
        self.anonymous.insert(shape, number);
        number
    }
}

fn scalar(word: &str) -> &'static str {
    SCALARS.iter().find(|(w, _)| *w == word).unwrap_or_else(|| panic!("no shape for {word}")).1
}

/// The `key=value` words of a field's semantics.
fn words(semantics: &str) -> impl Iterator<Item = (&str, &str)> {
    semantics.split(' ').filter_map(|w| w.split_once('='))
}

/// `m` merge, `k` retainKeys, `r` replace; then the merge key after a colon.
fn patch(semantics: &str) -> String {
    let mut text = String::new();
    for (key, value) in words(semantics) {
        match key {
            "patch-strategy" => text.extend(value.split(',').map(|s| match s {
                "merge" => 'm',
                "retainKeys" => 'k',
                "replace" => 'r',
                other => panic!("patch strategy {other}"),
            })),
            "patch-merge-key" => {
                text.push(':');
                text.push_str(value);
            }
            _ => {}
        }
    }
    text
}
