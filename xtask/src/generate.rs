//! `cargo xtask generate`: writes the published types down as data files of `builtins`.
//!
//! k8s-openapi is the source, and only this tool compiles it. The files are committed, so that a new
//! version of the API is a diff. One type is one line. A field's type is a word:
//! `string int32 int64 double boolean bytes time microtime quantity intorstring any`, a published name
//! after `#`, `[]` before the type of elements, `{}` before the type of a map's values; `!` at the end
//! says that the field is required. The numbers of protobuf fields come from k8s-pb (see `protobuf`).

mod prost;
mod protobuf;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::roots;

const TYPES: &str = "crates/builtins/data/types-v1.36.json";
const DESCRIPTIONS: &str = "crates/builtins/data/descriptions-v1.36.json";
const PROTOBUF: &str = "crates/builtins/data/protobuf-v1.36.tsv";

/// Types whose values are no objects of known fields, whatever their schema says.
const SPECIAL: &[(&str, &str)] = &[
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "any"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "microtime"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Patch", "any"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "time"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "any"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "intorstring"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "any"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", "any"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", "any"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray", "any"),
];

/// Writes the files.
pub(crate) fn write(root: &Path) -> Result<()> {
    for (file, text) in render(root)? {
        std::fs::write(root.join(file), text).with_context(|| format!("writing {file}"))?;
    }
    Ok(())
}

/// Fails when the committed files are not what would be written.
pub(crate) fn check(root: &Path) -> Result<()> {
    for (file, text) in render(root)? {
        let committed =
            std::fs::read_to_string(root.join(file)).with_context(|| format!("reading {file}"))?;
        ensure!(committed == text, "{file} is out of date: run `cargo xtask generate`");
    }
    Ok(())
}

/// A line a type: name -> the JSON of its fields.
type Lines = BTreeMap<String, String>;

/// Every file and its text.
fn render(root: &Path) -> Result<[(&'static str, String); 3]> {
    let mut generator = schemars::generate::SchemaSettings::default().into_generator();
    let lists = roots::collect(&mut generator);
    let mut types = Lines::new();
    let mut descriptions = Lines::new();
    for (name, schema) in generator.definitions() {
        let (fields, texts) = one(name, schema).with_context(|| name.clone())?;
        types.insert(name.clone(), fields);
        descriptions.insert(name.clone(), texts);
    }
    for list in &lists {
        let (list_name, fields, texts) = list_type(list)?;
        types.insert(list_name.clone(), fields);
        descriptions.insert(list_name, texts);
    }
    let numbers = protobuf::table(&types, &prost::messages(root)?)?;
    Ok([(TYPES, file(&types)), (DESCRIPTIONS, file(&descriptions)), (PROTOBUF, numbers)])
}

fn file(lines: &Lines) -> String {
    let body: Vec<String> = lines.iter().map(|(name, json)| format!("\"{name}\": {json}")).collect();
    format!("{{\n{}\n}}\n", body.join(",\n"))
}

fn one(name: &str, schema: &Value) -> Result<(String, String)> {
    let mut texts: BTreeMap<&str, &str> = BTreeMap::new();
    if let Some(text) = schema["description"].as_str() {
        texts.insert("", text);
    }
    if let Some((_, word)) = SPECIAL.iter().find(|(special, _)| *special == name) {
        return Ok((serde_json::to_string(word)?, serde_json::to_string(&texts)?));
    }
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    let no_fields = serde_json::Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&no_fields);
    let top_level = properties.contains_key("apiVersion") && properties.contains_key("kind");
    for (field, property) in properties {
        let mut word = word(property).with_context(|| field.clone())?;
        let required =
            schema["required"].as_array().is_some_and(|list| list.iter().any(|r| r == field.as_str()));
        // k8s-openapi demands the metadata of every object; the published schemas do not.
        if required && !(top_level && field == "metadata") {
            word.push('!');
        }
        fields.insert(field, word);
        if let Some(text) = property["description"].as_str() {
            texts.insert(field, text);
        }
    }
    Ok((serde_json::to_string(&fields)?, serde_json::to_string(&texts)?))
}

fn word(property: &Value) -> Result<String> {
    if let Some(reference) = property["$ref"].as_str() {
        let name = reference.strip_prefix("#/$defs/").with_context(|| format!("reference {reference}"))?;
        return Ok(format!("#{name}"));
    }
    Ok(match (property["type"].as_str(), property["format"].as_str()) {
        (Some("string"), None) => "string".into(),
        (Some("string"), Some("byte")) => "bytes".into(),
        (Some("integer"), Some("int32")) => "int32".into(),
        (Some("integer"), _) => "int64".into(),
        (Some("number"), _) => "double".into(),
        (Some("boolean"), _) => "boolean".into(),
        (Some("array"), _) => format!("[]{}", word(&property["items"])?),
        (Some("object"), _) if property["additionalProperties"].is_object() => {
            format!("{{}}{}", word(&property["additionalProperties"])?)
        }
        (Some("object"), _) => "any".into(),
        _ if property["x-kubernetes-preserve-unknown-fields"] == true => "any".into(),
        _ => bail!("no word for {property}"),
    })
}

fn list_type(list: &roots::Listed) -> Result<(String, String, String)> {
    let (package, kind) = list.name.rsplit_once('.').context("a name without a package")?;
    let fields = BTreeMap::from([
        ("apiVersion", "string".to_owned()),
        ("items", format!("[]#{}!", list.name)),
        ("kind", "string".to_owned()),
        ("metadata", "#io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta".to_owned()),
    ]);
    let texts = BTreeMap::from([
        ("", format!("{} is a list of {kind} objects.", list.list_kind)),
        ("apiVersion", "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources".to_owned()),
        ("items", "List of objects.".to_owned()),
        ("kind", "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds".to_owned()),
        ("metadata", "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds".to_owned()),
    ]);
    Ok((
        format!("{package}.{}", list.list_kind),
        serde_json::to_string(&fields)?,
        serde_json::to_string(&texts)?,
    ))
}
