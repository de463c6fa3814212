//! The file of `--admission-control-config-file`: what plug-ins are configured with.

use std::collections::BTreeMap;
use std::path::Path;

use sampan_model::Value;
use sampan_schema::decode::untyped_yaml;

use super::Error;
use super::order::ORDER;

/// Configurations by plug-in.
#[derive(Debug, Clone, Default)]
pub struct Configuration(BTreeMap<String, Value>);

impl Configuration {
    /// Reads an `AdmissionConfiguration`, and the files that it names beside itself.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = yaml(path)?;
        let (version, kind) = (file.str_at(&["apiVersion"]), file.str_at(&["kind"]));
        let known = matches!(version, "apiserver.config.k8s.io/v1" | "apiserver.k8s.io/v1alpha1");
        if !known || kind != "AdmissionConfiguration" {
            return Err(Error::File(format!(
                "{}: it must be an AdmissionConfiguration of apiserver.config.k8s.io/v1, not a {kind:?} of {version:?}",
                path.display()
            )));
        }
        let wrong = |why: String| Error::File(format!("{}: {why}", path.display()));
        only_fields(&file, "", &["apiVersion", "kind", "plugins"]).map_err(wrong)?;
        let mut all = BTreeMap::new();
        for (i, plugin) in file.array_at(&["plugins"]).iter().enumerate() {
            only_fields(plugin, &format!("plugins[{i}]"), &["name", "path", "configuration"])
                .map_err(wrong)?;
            let name = plugin.str_at(&["name"]);
            if ORDER.iter().all(|known| known.name != name) {
                return Err(wrong(format!("plugins[{i}].name: there is no admission plug-in {name:?}")));
            }
            let configuration = match (plugin.get("configuration"), plugin.str_at(&["path"])) {
                (Some(inline), _) if !inline.is_null() => inline.clone(),
                (_, "") => continue,
                (_, other) => yaml(&path.parent().unwrap_or(Path::new("")).join(other))?,
            };
            if all.insert(name.to_owned(), configuration).is_some() {
                return Err(Error::File(format!("{}: {name:?} is configured twice", path.display())));
            }
        }
        Ok(Self(all))
    }

    /// Of these plug-ins.
    pub fn new(all: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self(all.into_iter().collect())
    }

    /// The configuration of a plug-in.
    pub fn of(&self, plugin: &str) -> Option<&Value> {
        self.0.get(plugin)
    }
}

/// Refuses a configuration with fields that nobody reads: what is misspelt would not be in force, and nobody would know.
pub(super) fn only_fields(value: &Value, at: &str, known: &[&str]) -> Result<(), String> {
    let Some(map) = value.as_object() else {
        return Err(format!("{}: it must be an object", if at.is_empty() { "the document" } else { at }));
    };
    match map.iter().find(|(field, _)| !known.contains(&field.as_str())) {
        Some((field, _)) if at.is_empty() => Err(format!("unknown field {:?}", field.as_str())),
        Some((field, _)) => Err(format!("unknown field \"{at}.{field}\"")),
        None => Ok(()),
    }
}

/// Refuses a configuration of another kind.
pub(super) fn is_of_kind(value: &Value, known: &[(&str, &str)]) -> Result<(), String> {
    let (version, kind) = (value.str_at(&["apiVersion"]), value.str_at(&["kind"]));
    if known.contains(&(version, kind)) {
        return Ok(());
    }
    let (want_version, want_kind) = known[0];
    Err(format!("it must be a {want_kind} of {want_version}, not a {kind:?} of {version:?}"))
}

fn yaml(path: &Path) -> Result<Value, Error> {
    let show = |error: &dyn std::fmt::Display| Error::File(format!("{}: {error}", path.display()));
    let text = std::fs::read(path).map_err(|e| show(&e))?;
    untyped_yaml(&text).map(|(value, _)| value).map_err(|e| show(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n";

    fn read(text: &str) -> Result<Configuration, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("other.yaml"), "podNodeSelectorPluginConfig: {a: b=c}\n").unwrap();
        let path = dir.path().join("admission.yaml");
        std::fs::write(&path, text).unwrap();
        Configuration::read(&path).map_err(|e| e.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn configurations_stand_in_the_file_or_in_another_beside_it() {
        let text = format!(
            "{HEAD}plugins:\n- name: ResourceQuota\n  configuration: {{limitedResources: []}}\n- name: PodNodeSelector\n  path: other.yaml\n"
        );
        let all = read(&text).unwrap();
        assert!(all.of("ResourceQuota").unwrap().get("limitedResources").is_some());
        assert_eq!(all.of("PodNodeSelector").unwrap().str_at(&["podNodeSelectorPluginConfig", "a"]), "b=c");
        assert!(all.of("Priority").is_none());
    }

    #[test]
    fn a_file_that_makes_no_sense_is_refused_with_what_is_wrong() {
        let rows = [
            (
                "kind: Pod\napiVersion: v1\n".to_owned(),
                "FILE: it must be an AdmissionConfiguration of apiserver.config.k8s.io/v1, not a \"Pod\" of \"v1\"",
            ),
            (
                format!(
                    "{HEAD}plugins:\n- {{name: Priority, configuration: {{}}}}\n- {{name: Priority, configuration: {{}}}}\n"
                ),
                "FILE: \"Priority\" is configured twice",
            ),
            (
                format!("{HEAD}plugins:\n- {{name: ResourceQouta, configuration: {{}}}}\n"),
                "FILE: plugins[0].name: there is no admission plug-in \"ResourceQouta\"",
            ),
            (format!("{HEAD}plugin: []\n"), "FILE: unknown field \"plugin\""),
            (
                format!("{HEAD}plugins:\n- {{name: Priority, config: {{}}}}\n"),
                "FILE: unknown field \"plugins[0].config\"",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(read(&text).unwrap_err(), expected);
        }
        assert!(read("a: [").unwrap_err().starts_with("FILE: "));
    }
}
