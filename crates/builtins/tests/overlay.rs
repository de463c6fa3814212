//! The overlay speaks of fields that exist, and of every list there is.

use std::collections::{BTreeMap, BTreeSet};

use sampan_model::Value;
use sampan_schema::openapi::Descriptions as _;

fn types() -> BTreeMap<String, serde_json::Value> {
    serde_json::from_str(include_str!("../data/types-v1.36.json")).unwrap()
}

fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|l| !l.starts_with('#')).map(|l| l.split('\t').collect())
}

/// (type, field) of every line of the overlay.
fn named_fields() -> Vec<(String, String)> {
    let mut named = Vec::new();
    for row in rows(include_str!("../data/presence-v1.36.tsv")) {
        for group in &row[1..] {
            let (_, fields) = group.split_once('=').unwrap();
            named.extend(fields.split(',').map(|f| (row[0].to_owned(), f.to_owned())));
        }
    }
    for file in [
        include_str!("../data/lists-v1.36.tsv"),
        include_str!("../data/defaults-v1.36.tsv"),
        include_str!("../data/enums-v1.36.tsv"),
    ] {
        named.extend(rows(file).map(|row| (row[0].to_owned(), row[1].to_owned())));
    }
    named
}

#[test]
fn the_overlay_names_only_fields_that_exist() {
    let types = types();
    let unknown: Vec<_> = named_fields()
        .into_iter()
        .filter(|(ty, field)| match types.get(ty) {
            None => true,
            Some(fields) => field != "-" && fields.get(field).is_none(),
        })
        .collect();
    assert!(unknown.is_empty(), "no such fields: {unknown:?}");
}

#[test]
fn enums_are_of_texts_have_values_and_are_all_used() {
    let types = types();
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in rows(include_str!("../data/enum-values-v1.36.tsv")) {
        assert!(values.entry(row[0]).or_default().insert(row[1]), "{} twice in {}", row[1], row[0]);
    }
    let mut used = BTreeSet::new();
    for row in rows(include_str!("../data/enums-v1.36.tsv")) {
        let word = types[row[0]][row[1]].as_str().unwrap().trim_end_matches('!');
        assert!(["string", "[]string", "{}string"].contains(&word), "{row:?} is no text: {word}");
        used.insert(row[2]);
    }
    assert_eq!(used, values.keys().copied().collect(), "enums of fields, and enums with values");
}

#[test]
fn the_default_of_a_field_is_one_of_its_values() {
    let descriptions = sampan_builtins::descriptions();
    let mut seen = 0;
    for row in rows(include_str!("../data/defaults-v1.36.tsv")) {
        let values = descriptions.values(row[0], row[1]);
        if values.is_empty() {
            continue;
        }
        seen += 1;
        let default: String = serde_json::from_str(row[2]).unwrap();
        assert!(values.iter().any(|v| v.as_str() == Some(&default)), "{row:?}");
    }
    assert!(seen > 0, "no field has both");
}

#[test]
fn values_are_told_as_kube_openapi_tells_them() {
    let descriptions = sampan_builtins::descriptions();
    let core = "io.k8s.api.core.v1";
    let rows = [
        (
            "values with meanings",
            "ServicePort",
            "protocol",
            "\n - `\"SCTP\"` is the SCTP protocol.\n - `\"TCP\"` is the",
        ),
        ("the empty value", "HostPathVolumeSource", "type", "\n\nPossible enum values:\n - `\"\"` "),
    ];
    for (name, ty, field, want) in rows {
        let text = descriptions.of(&format!("{core}.{ty}"), Some(field)).unwrap();
        assert!(text.contains(want), "{name}: {text}");
    }
    let text = descriptions.of("io.k8s.api.core.v1.PodSpec", Some("restartPolicy")).unwrap();
    let list = "\n\nPossible enum values:\n - `\"Always\"`\n - `\"Never\"`\n - `\"OnFailure\"`";
    assert!(text.ends_with(list), "{text}");
    for (ty, field, want) in [
        ("PodSpec", "restartPolicy", &["Always", "Never", "OnFailure"][..]),
        ("ServiceSpec", "ipFamilies", &["", "IPv4", "IPv6"]),
        ("PodSpec", "nodeName", &[]),
    ] {
        assert_eq!(
            descriptions.values(&format!("{core}.{ty}"), field),
            want.iter().map(|v| Value::from(*v)).collect::<Vec<_>>()
        );
    }
    let list = descriptions.of("io.k8s.api.core.v1.ServiceSpec", Some("ipFamilies")).unwrap();
    assert!(!list.contains("Possible enum values"), "elements have no description: {list}");
}

#[test]
fn every_list_has_a_decision_about_its_elements() {
    let decided: BTreeSet<(String, String)> = rows(include_str!("../data/lists-v1.36.tsv"))
        .filter(|row| row[2].contains("list-type="))
        .map(|row| (row[0].to_owned(), row[1].to_owned()))
        .collect();
    let mut undecided = Vec::new();
    for (ty, fields) in types() {
        for (field, word) in fields.as_object().into_iter().flatten() {
            let list_of_kind = ty.ends_with("List") && field == "items";
            let is_list = word.as_str().unwrap().starts_with("[]");
            if is_list && !list_of_kind && !decided.contains(&(ty.clone(), field.clone())) {
                undecided.push(format!("{ty}.{field}"));
            }
        }
    }
    assert!(undecided.is_empty(), "lists without a list type in lists-v1.36.tsv: {undecided:?}");
}
