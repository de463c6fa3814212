//! What becomes of the flow schemas and priority levels that every cluster has (upstream's `flowcontrol/ensurer`).
//!
//! The mandatory ones are always as they should be. A suggested one belongs to the server or to whoever edited it, as its
//! annotation `apf.kubernetes.io/autoupdate-spec` says; where there is no such annotation, one whose spec was never changed is
//! the server's.

use sampan_apiserver::Resource;
use sampan_apiserver::registry::Existing;
use sampan_model::Value;
use sampan_model::meta::ObjectMeta;

/// The group of both kinds.
pub const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// Those that are never missing.
pub(super) const MANDATORY: [&str; 2] = ["exempt", "catch-all"];
const ANNOTATION: &str = "apf.kubernetes.io/autoupdate-spec";

/// The annotation as Go's `ParseBool` reads it.
fn annotated(object: &Value) -> Option<bool> {
    match object.annotations()?.str(ANNOTATION) {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Whether an object that the server does not know any more was one of its own.
pub(super) fn is_abandoned(object: &Value) -> bool {
    annotated(object) == Some(true)
}

fn generation(object: &Value) -> i64 {
    object.at(&["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0)
}

/// What becomes of one that is there.
pub fn outcome(resource: &Resource, existing: &Value, wanted: &Value) -> Existing {
    let mut wanted = wanted.clone();
    sampan_schema::default(&resource.schema, &mut wanted);
    resource.strategy.default(&mut wanted);
    sampan_schema::normalise(&resource.schema, &mut wanted);
    sampan_schema::complete(&resource.schema, &mut wanted);
    decided(existing, &wanted)
}

/// The same, for one that is wanted with all defaults.
fn decided(existing: &Value, wanted: &Value) -> Existing {
    let name = existing.name();
    let ours = MANDATORY.contains(&name) || annotated(existing).unwrap_or_else(|| generation(existing) == 1);
    let mut changed = existing.clone();
    if annotated(existing) != Some(ours) {
        changed.meta_mut().object_mut("annotations").insert(ANNOTATION, ours.to_string());
    }
    if ours {
        let mut spec = wanted.get("spec").cloned().unwrap_or_default();
        // How much the exempt level has and lends is for the administrator to say.
        if name == "exempt"
            && let (Some(spec), Some(exempt)) = (spec.as_object_mut(), existing.at(&["spec", "exempt"]))
        {
            spec.insert("exempt", exempt.clone());
        }
        if existing.get("spec") != Some(&spec) {
            if let Some(map) = changed.as_object_mut() {
                map.insert("spec", spec);
            }
            changed.meta_mut().insert("generation", generation(existing) + 1);
        }
    }
    if changed == *existing { Existing::Keep } else { Existing::Update(changed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, annotation: Option<&str>, generation: i64, spec: &str) -> Value {
        let mut object = Value::default();
        object.set_meta("name", name);
        object.meta_mut().insert("generation", generation);
        if let Some(annotation) = annotation {
            object.meta_mut().object_mut("annotations").insert(ANNOTATION, annotation);
        }
        if let Value::Object(map) = &mut object {
            map.insert("spec", serde_json::from_str::<Value>(spec).unwrap());
        }
        object
    }

    /// Name, annotation, generation and spec; then annotation, generation and spec, or nothing.
    type Row = (
        &'static str,
        &'static str,
        Option<&'static str>,
        i64,
        &'static str,
        Option<(&'static str, i64, &'static str)>,
    );

    #[test]
    fn what_is_the_servers_gets_its_spec_and_what_is_not_keeps_it() {
        let (old, new) = (r#"{"x":1}"#, r#"{"x":2}"#);
        let exempt = r#"{"type":"Exempt","exempt":{"lendablePercent":50}}"#;
        let rows: [Row; 11] = [
            ("as wanted", "s", Some("true"), 1, new, None),
            ("the server's", "s", Some("true"), 5, old, Some(("true", 6, new))),
            ("somebody's", "s", Some("false"), 1, old, None),
            ("never edited, without annotation", "s", None, 1, old, Some(("true", 2, new))),
            ("never edited, and as wanted", "s", None, 1, new, Some(("true", 1, new))),
            ("edited, without annotation", "s", None, 2, old, Some(("false", 2, old))),
            ("edited, with nonsense", "s", Some("maybe"), 2, old, Some(("false", 2, old))),
            ("Go's other words", "s", Some("T"), 3, old, Some(("T", 4, new))),
            ("mandatory and claimed", "catch-all", Some("false"), 3, old, Some(("true", 4, new))),
            ("mandatory and as wanted", "catch-all", Some("true"), 1, new, None),
            ("the exempt level's own fields", "exempt", Some("true"), 2, exempt, None),
        ];
        for (row, name, annotation, generation, spec, after) in rows {
            let wanted =
                if name == "exempt" { r#"{"type":"Exempt","exempt":{"lendablePercent":0}}"# } else { new };
            let wanted = object(name, Some("true"), 1, wanted);
            let want = after.map_or(Existing::Keep, |(annotation, generation, spec)| {
                Existing::Update(object(name, Some(annotation), generation, spec))
            });
            assert_eq!(decided(&object(name, annotation, generation, spec), &wanted), want, "{row}");
        }
    }
}
