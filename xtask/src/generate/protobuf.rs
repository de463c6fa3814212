//! The table of field numbers: joins the messages that k8s-pb publishes to the types of the API.
//!
//! A line is a type: its published name, then its fields, each `name=number:word`. A field that stands inline
//! in JSON but in an embedded struct in protobuf has the numbers of the way to it: `hostPath=2.1`. Words are
//! those of the types (`string int32 int64 double boolean bytes time microtime quantity intorstring`, `#` and
//! a published name, `[]` and `{}`), and of messages that JSON shows as something else:
//! `raw` (JSON as bytes, field 1), `items` (a list of strings, field 1), `oneormany#T` (a T, field 1, or a list
//! of T, field 2), `boolor#T` (a boolean, field 1, or a T, field 2), `stringsor#T` (a T, field 1, or strings,
//! field 2).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};

use super::Lines;
use super::prost::{Field, Message};

const HEAD: &str = "\
# The numbers of protobuf fields: written by `cargo xtask generate` from the crate k8s-pb (Kubernetes v1.35); what v1.36 adds stands in
# protobuf-overlay-v1.36.tsv. A field has the numbers of the embedded structs on the way to it, then its own. Words besides those of the
# types: raw (JSON as bytes, field 1), items (strings, field 1), oneormany#T (T 1, list of T 2), boolor#T (boolean 1, T 2), stringsor#T
# (T 1, strings 2).
# type\tfield=numbers:word
";

/// Messages that the API writes, but whose types the OpenAPI documents do not have.
const UNPUBLISHED: &[&str] = &[
    "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata",
    "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadataList",
    "io.k8s.apimachinery.pkg.apis.meta.v1beta1.PartialObjectMetadataList",
    "io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList",
    "io.k8s.api.apidiscovery.v2beta1.APIGroupDiscoveryList",
];

/// Messages that JSON shows as something else.
const SPECIAL: &[(&str, &str)] = &[
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "raw"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "microtime"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "time"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Verbs", "items"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "raw"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "intorstring"),
    ("io.k8s.api.authentication.v1.ExtraValue", "items"),
    ("io.k8s.api.authorization.v1.ExtraValue", "items"),
    ("io.k8s.api.certificates.v1.ExtraValue", "items"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "raw"),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
        "oneormany#io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
        "boolor#io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
        "stringsor#io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
    ),
];

/// The text of the table.
pub(super) fn table(types: &Lines, messages: &BTreeMap<String, Message>) -> Result<String> {
    let join = Join::new(types, messages);
    let mut lines = BTreeMap::new();
    for (name, json) in types {
        let Ok(fields) = serde_json::from_str::<BTreeMap<String, String>>(json) else { continue };
        if let Some(message) = join.message(name) {
            lines.insert(name.clone(), join.published(&fields, message).with_context(|| name.clone())?);
        }
    }
    let mut waiting: BTreeSet<String> = UNPUBLISHED.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = waiting.pop_first() {
        let message = join.message(&name).with_context(|| format!("no message {name}"))?;
        lines.insert(name, join.unpublished(message, &mut waiting)?);
        waiting.retain(|name| !lines.contains_key(name));
    }
    let mut text = HEAD.to_owned();
    for (name, fields) in lines {
        writeln!(text, "{}", [&[name][..], &fields].concat().join("\t"))?;
    }
    Ok(text)
}

struct Join<'a> {
    types: &'a Lines,
    /// By names in lower case: prost writes `Json` for `JSON`.
    messages: BTreeMap<String, &'a Message>,
    /// The published name for one in lower case.
    names: BTreeMap<String, &'a str>,
}

/// A field of a message or of a struct embedded in it.
struct Place<'a> {
    numbers: String,
    field: &'a Field,
}

impl<'a> Join<'a> {
    fn new(types: &'a Lines, messages: &'a BTreeMap<String, Message>) -> Self {
        let messages = messages.iter().map(|(name, message)| (name.to_lowercase(), message)).collect();
        let names = types.keys().map(|name| (name.to_lowercase(), name.as_str())).collect();
        Self { types, messages, names }
    }

    fn message(&self, name: &str) -> Option<&'a Message> {
        self.messages.get(&name.to_lowercase()).copied()
    }

    /// The fields of a type that the documents publish.
    fn published(&self, fields: &BTreeMap<String, String>, message: &'a Message) -> Result<Vec<String>> {
        let by_letters: BTreeMap<String, &str> =
            fields.keys().map(|name| (letters(name), name.as_str())).collect();
        let mut places: BTreeMap<String, Place<'a>> = BTreeMap::new();
        self.places(message, "", &by_letters, &mut places);
        let mut columns = Vec::new();
        for (name, json_word) in fields {
            let Some(place) = places.get(&letters(name)) else { continue };
            let word = self.word(place.field)?;
            self.agree(json_word, &word).with_context(|| format!("field {name}"))?;
            columns.push(format!("{name}={}:{word}", place.numbers));
        }
        Ok(columns)
    }

    /// Where the fields of a message stand; fields of embedded structs where JSON has them inline.
    fn places(
        &self,
        message: &'a Message,
        before: &str,
        json: &BTreeMap<String, &str>,
        places: &mut BTreeMap<String, Place<'a>>,
    ) {
        for field in message {
            let numbers = format!("{before}{}", field.number);
            if json.contains_key(&letters(&field.name)) {
                places.insert(letters(&field.name), Place { numbers, field });
            } else if let (true, Some(inner)) = (field.repeat.is_empty(), self.message(&field.target)) {
                self.places(inner, &format!("{numbers}."), json, places);
            }
        }
    }

    /// The fields of a message that no document publishes: their names follow from prost's.
    fn unpublished(&self, message: &Message, waiting: &mut BTreeSet<String>) -> Result<Vec<String>> {
        let mut columns = Vec::new();
        for field in message {
            let word = self.word(field)?;
            if let Some((_, target)) = word.split_once('#')
                && !self.types.contains_key(target)
            {
                waiting.insert(target.to_owned());
            }
            columns.push(format!("{}={}:{word}", camel(&field.name), field.number));
        }
        columns.sort();
        Ok(columns)
    }

    fn word(&self, field: &Field) -> Result<String> {
        let word = match field.word.as_str() {
            "message" => {
                let target = field.target.to_lowercase();
                if let Some((_, word)) = SPECIAL.iter().find(|(name, _)| name.to_lowercase() == target) {
                    (*word).to_owned()
                } else if let Some(name) = self.names.get(&target) {
                    format!("#{name}")
                } else {
                    ensure!(self.messages.contains_key(&target), "no message {}", field.target);
                    format!("#{}", field.target)
                }
            }
            "bool" => "boolean".to_owned(),
            word => word.to_owned(),
        };
        Ok(format!("{}{word}", field.repeat))
    }

    /// Whether JSON and protobuf mean the same by a field.
    fn agree(&self, json: &str, protobuf: &str) -> Result<()> {
        let json = json.trim_end_matches('!');
        let (repeat, inner) = json.split_at(json.find(|c| !"[]{}".contains(c)).unwrap_or(0));
        // Some published types are words themselves.
        let own = inner.strip_prefix('#').and_then(|name| self.types.get(name)).map(String::as_str);
        let own = own.and_then(|json| serde_json::from_str::<String>(json).ok());
        let json = format!("{repeat}{}", own.as_deref().unwrap_or(inner));
        let shown = protobuf.replace("items", "[]string");
        let any = ["raw", "oneormany", "boolor", "stringsor"];
        let shown = match any.iter().find_map(|word| shown.split_once(word)) {
            Some((repeat, _)) => format!("{repeat}any"),
            None => shown,
        };
        if json != shown {
            bail!("JSON has {json}, protobuf {protobuf}");
        }
        Ok(())
    }
}

/// A name as both sides write it: without capital letters, underscores and the signs of extensions.
fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn camel(name: &str) -> String {
    let mut text = String::new();
    for (i, word) in name.split('_').enumerate() {
        let (first, rest) = word.split_at(usize::from(i > 0 && !word.is_empty()));
        text.push_str(&first.to_uppercase());
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_sides_meet() {
        let rows = [("podIP", "pod_ip"), ("$ref", "ref"), ("x-kubernetes-map-type", "x_kubernetes_map_type")];
        for (json, prost) in rows {
            assert_eq!(letters(json), letters(prost));
        }
        assert_eq!(camel("response_kind"), "responseKind");
    }
}
