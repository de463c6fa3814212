use super::*;
use crate::name::name_is_dns_subdomain;

fn map(text: &str) -> Map {
    serde_json::from_str(text).unwrap()
}

fn begins(errors: &[FieldError], want: &[&str], row: &str) {
    assert_eq!(errors.len(), want.len(), "{row}: {errors:?}");
    for (error, want) in errors.iter().zip(want) {
        assert!(error.to_string().starts_with(want), "{row}: {error}");
    }
}

#[test]
fn a_new_objects_metadata_is_checked() {
    let rows: &[(&str, &str, &[&str])] = &[
        (
            "good",
            r#"{"name":"a","namespace":"b","labels":{"a/b":"C"},"annotations":{"A.b/C":"any thing"}}"#,
            &[],
        ),
        (
            "empty",
            "{}",
            &[
                "metadata.name: Required value: name or generateName is required",
                "metadata.namespace: Required value",
            ],
        ),
        (
            "bad names",
            r#"{"name":"A","generateName":"BB-","namespace":"a.b"}"#,
            &[
                "metadata.generateName: Invalid value: \"BB-\": a lowercase RFC 1123 subdomain must",
                "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must",
                "metadata.namespace: Invalid value: \"a.b\": must not contain dots",
            ],
        ),
        ("a good prefix", r#"{"name":"b-x","generateName":"bb-","namespace":"b"}"#, &[]),
        (
            "generation",
            r#"{"name":"a","namespace":"b","generation":-1}"#,
            &["metadata.generation: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            "labels",
            r#"{"name":"a","namespace":"b","labels":{"a b":"c d"}}"#,
            &[
                "metadata.labels: Invalid value: \"a b\": name part must consist of",
                "metadata.labels: Invalid value: \"c d\": a valid label must be an empty string or consist of",
            ],
        ),
        (
            "annotations",
            r#"{"name":"a","namespace":"b","annotations":{"A/b c":""}}"#,
            &["metadata.annotations: Invalid value: \"A/b c\": name part must consist of"],
        ),
        (
            "finalizers",
            r#"{"name":"a","namespace":"b","finalizers":["a b","orphan","foregroundDeletion"]}"#,
            &[
                "metadata.finalizers: Invalid value: \"a b\": name part must consist of",
                "metadata.finalizers: Invalid value: ",
            ],
        ),
        (
            "owners",
            r#"{"name":"a","namespace":"b","ownerReferences":[{},
                {"apiVersion":"v1","kind":"K","name":"x","uid":"1","controller":true},
                {"apiVersion":"v1","kind":"K","name":"y","uid":"2","controller":true}]}"#,
            &[
                "metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty",
                "metadata.ownerReferences.kind: Invalid value: \"\": must not be empty",
                "metadata.ownerReferences.name: Invalid value: \"\": must not be empty",
                "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
                "metadata.ownerReferences: Invalid value: ",
            ],
        ),
        (
            "managed fields",
            r#"{"name":"a","namespace":"b","managedFields":[{"operation":"X","fieldsType":"Y","manager":"a\u0007"}]}"#,
            &[
                "metadata.managedFields[0].operation: Invalid value: \"X\": must be `Apply` or `Update`",
                "metadata.managedFields[0].fieldsType: Invalid value: \"Y\": must be `FieldsV1`",
                "metadata.managedFields[0].manager: Invalid value: \"a\\a\": invalid character U+0007 (at position 1)",
            ],
        ),
    ];
    let path = FieldPath::field("metadata");
    for (row, meta, want) in rows {
        begins(&validate_object_meta(&map(meta), true, name_is_dns_subdomain, &path), want, row);
    }
    let clusters =
        validate_object_meta(&map(r#"{"name":"a","namespace":"b"}"#), false, name_is_dns_subdomain, &path);
    begins(&clusters, &["metadata.namespace: Forbidden: not allowed on this type"], "cluster");
}

#[test]
fn sentences_about_owners_and_finalizers_are_upstreams() {
    let path = FieldPath::field("o");
    let owners = map(r#"{"o":[{"apiVersion":"v1","kind":"K","name":"x","uid":"1","controller":true},
                 {"apiVersion":"v1","kind":"E","name":"y","uid":"2","controller":true}]}"#);
    let owners = owners.get("o").unwrap().as_array().unwrap();
    assert_eq!(
        validate_owner_references(owners, &path)[0].detail,
        "Only one reference can have Controller set to true. Found \"true\" in references for K/x and E/y"
    );
    let banned = [GroupVersionKind::new("", "v1", "E")];
    assert_eq!(
        validate_owners_allowed(owners, &banned, &path)[0].detail,
        "/v1, Kind=E is disallowed from being an owner"
    );
    let both = [Value::from("orphan"), Value::from("foregroundDeletion")];
    assert_eq!(
        validate_finalizers(&both, &path)[0].detail,
        "finalizer orphan and foregroundDeletion cannot be both set"
    );
}

#[test]
fn annotations_may_not_be_too_large() {
    let path = FieldPath::field("metadata");
    let meta = |size: usize| -> Map {
        let annotations: Map = [("a", "x".repeat(size - 1))].into_iter().collect();
        [("name", Value::from("a")), ("annotations", annotations.into())].into_iter().collect()
    };
    let check = |size| validate_object_meta(&meta(size), false, name_is_dns_subdomain, &path);
    begins(&check(262_144), &[], "as large as can be");
    begins(
        &check(262_145),
        &["metadata.annotations: Too long: may not be more than 262144 bytes"],
        "a byte more",
    );
}

#[test]
fn a_changed_objects_metadata_is_checked() {
    let old = r#"{"name":"a","namespace":"b","uid":"1","resourceVersion":"1","generation":2,
        "creationTimestamp":"2024-01-01T00:00:00Z","deletionTimestamp":"2024-01-01T00:00:00Z","finalizers":["a/b"]}"#;
    let rows: &[(&str, &str, &str, &[&str])] = &[
        ("the same", "", "", &[]),
        ("another zone", "2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00", &[]),
        (
            "times",
            "2024-01-01T00:00:00Z",
            "2024-01-01T00:00:01Z",
            &[
                "metadata.creationTimestamp: Invalid value: \"2024-01-01T00:00:01Z\": field is immutable",
                "metadata.deletionTimestamp: Invalid value: \"2024-01-01T00:00:01Z\": field is immutable",
            ],
        ),
        (
            "name",
            r#""name":"a""#,
            r#""name":"x""#,
            &["metadata.name: Invalid value: \"x\": field is immutable"],
        ),
        ("uid", r#""uid":"1""#, r#""uid":"2""#, &["metadata.uid: Invalid value: \"2\": field is immutable"]),
        (
            "no version",
            r#""resourceVersion":"1""#,
            r#""resourceVersion":"""#,
            &["metadata.resourceVersion: Invalid value: \"\": must be specified for an update"],
        ),
        (
            "generation",
            r#""generation":2"#,
            r#""generation":1"#,
            &["metadata.generation: Invalid value: 1: must not be decremented"],
        ),
        ("fewer finalizers", r#""a/b""#, "", &[]),
        (
            "more finalizers",
            r#"["a/b"]"#,
            r#"["d","a/b","c"]"#,
            &[
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found \
               new finalizers []string{\"c\", \"d\"}",
            ],
        ),
        (
            "grace",
            r#""uid":"1""#,
            r#""uid":"1","deletionGracePeriodSeconds":3"#,
            &["metadata.deletionGracePeriodSeconds: Invalid value: 3: field is immutable"],
        ),
    ];
    let path = FieldPath::field("metadata");
    for (row, from, to, want) in rows {
        let new = old.replace(from, to);
        let new = if from.is_empty() { old } else { &new };
        begins(&validate_object_meta_update(&map(new), &map(old), &path), want, row);
    }
}
