//! The overlay speaks of fields that exist, and of every list there is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

fn types() -> BTreeMap<String, Value> {
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
    for file in [include_str!("../data/lists-v1.36.tsv"), include_str!("../data/defaults-v1.36.tsv")] {
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
