//! Reads the messages of the crate k8s-pb off its source: prost's derive attributes state field numbers and
//! types. The crate is never compiled; `cargo metadata` says where its source lies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{CargoOpt, MetadataCommand};

/// A message: its fields, in the order of the source.
pub(super) type Message = Vec<Field>;

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name in snake case.
    pub(super) name: String,
    /// Its number.
    pub(super) number: u32,
    /// The word of its type: `string bool int32 int64 double bytes message`.
    pub(super) word: String,
    /// `[]` for repeated fields, `{}` for maps from strings.
    pub(super) repeat: &'static str,
    /// The published name of its message, `io.k8s.api.core.v1.PodSpec`; capital letters may differ.
    pub(super) target: String,
}

/// All messages by their published names (capital letters may differ).
pub(super) fn messages(root: &Path) -> Result<BTreeMap<String, Message>> {
    let source = source(root)?;
    let mut messages = BTreeMap::new();
    let mut folders = vec![(source, Vec::new())];
    while let Some((folder, module)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("").to_owned();
            if path.is_dir() {
                folders.push((path, [&module[..], &[name]].concat()));
            } else if name == "mod.rs" {
                let text =
                    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
                read(&text, &module, &mut messages).with_context(|| format!("in {}", path.display()))?;
            }
        }
    }
    Ok(messages)
}

/// The folder of the crate's source.
fn source(root: &Path) -> Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .features(CargoOpt::SomeFeatures(vec!["xtask/k8s-pb".into()]))
        .exec()
        .context("asking cargo for the source of k8s-pb")?;
    let package = metadata.packages.iter().find(|p| p.name.as_str() == "k8s-pb");
    let manifest = &package.context("k8s-pb is no dependency of xtask")?.manifest_path;
    Ok(manifest.parent().context("a manifest lies in a folder")?.join("src").into())
}

fn read(text: &str, module: &[String], messages: &mut BTreeMap<String, Message>) -> Result<()> {
    let mut current: Option<(String, Message)> = None;
    let mut attribute: Option<&str> = None;
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            messages.extend(current.take());
            let name = rest.split([' ', '{', ';', '<']).next().unwrap_or(rest);
            current = Some((published(&[module, &[name.to_owned()]].concat()), Message::new()));
        } else if let Some(rest) = line.strip_prefix("#[prost(") {
            attribute = rest.strip_suffix(")]");
        } else if let (Some(rest), Some(prost), Some((_, fields))) =
            (line.strip_prefix("pub "), attribute.take(), &mut current)
        {
            let (name, rust) = rest.split_once(':').with_context(|| format!("field {rest}"))?;
            let mut rust = rust.trim().to_owned();
            let whole =
                |rust: &str| rust.ends_with(',') && rust.matches('<').count() == rust.matches('>').count();
            while !whole(&rust) {
                rust.push_str(lines.next().context("a field ends with a comma")?);
            }
            let name = name.strip_prefix("r#").unwrap_or(name);
            fields.push(field(name, prost, &rust, module).with_context(|| format!("field {name}"))?);
        }
    }
    messages.extend(current);
    Ok(())
}

fn field(name: &str, prost: &str, rust: &str, module: &[String]) -> Result<Field> {
    let quoted = |key: &str| {
        let (_, value) = prost.split_once(&format!("{key} = \""))?;
        value.split('"').next()
    };
    let number = quoted("tag").context("no tag")?.parse().context("the tag is no number")?;
    let (word, repeat) = if let Some(map) = quoted("btree_map") {
        (map.strip_prefix("string, ").context("a map from something else than strings")?, "{}")
    } else {
        let word = prost.split([',', ' ']).next().unwrap_or("");
        (word, if prost.contains(", repeated") { "[]" } else { "" })
    };
    if !matches!(word, "string" | "bool" | "int32" | "int64" | "double" | "bytes" | "message") {
        bail!("a type that no table has: {prost}");
    }
    let target = if word == "message" { resolve(rust, module) } else { String::new() };
    Ok(Field { name: name.to_owned(), number, word: word.to_owned(), repeat, target })
}

/// The published name of the innermost type of a Rust type.
fn resolve(rust: &str, module: &[String]) -> String {
    let inner = rust.trim_end_matches([',', '>']).rsplit(['<', ',']).next().unwrap_or(rust).trim();
    let mut path = module.to_vec();
    for step in inner.split("::") {
        if step == "super" {
            path.pop();
        } else {
            path.push(step.to_owned());
        }
    }
    published(&path)
}

fn published(path: &[String]) -> String {
    let steps: Vec<String> = path
        .iter()
        .map(|step| match step.as_str() {
            "apiextensions_apiserver" | "kube_aggregator" => step.replace('_', "-"),
            _ => step.clone(),
        })
        .collect();
    format!("io.k8s.{}", steps.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_off_their_attributes() {
        let text = r#"
            pub struct A {
                /// Words.
                #[prost(string, optional, tag = "3")]
                pub r#type: ::core::option::Option<::prost::alloc::string::String>,
                #[prost(btree_map = "string, message", tag = "11")]
                pub limits:
                    ::prost::alloc::collections::BTreeMap<::prost::alloc::string::String, super::super::b::v1::Quantity>,
                #[prost(message, optional, boxed, tag = "1")]
                pub own: ::core::option::Option<::prost::alloc::boxed::Box<A>>,
                #[prost(int32, repeated, packed = "false", tag = "2")]
                pub numbers: ::prost::alloc::vec::Vec<i32>,
            }
            pub struct Empty {}
        "#;
        let mut messages = BTreeMap::new();
        read(text, &["api".into(), "a".into(), "v1".into()], &mut messages).unwrap();
        assert!(messages["io.k8s.api.a.v1.Empty"].is_empty());
        let fields: Vec<String> = messages["io.k8s.api.a.v1.A"]
            .iter()
            .map(|f| format!("{}={}:{}{}{}", f.name, f.number, f.repeat, f.word, f.target))
            .collect();
        let want = [
            "type=3:string",
            "limits=11:{}messageio.k8s.api.b.v1.Quantity",
            "own=1:messageio.k8s.api.a.v1.A",
            "numbers=2:[]int32",
        ];
        assert_eq!(fields, want);
    }
}
