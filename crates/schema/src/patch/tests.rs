//! Patches, and what they make of objects.

use proptest::prelude::*;
use sampan_model::Value;

use super::*;
use crate::schemas::{core, value};

#[test]
fn merge_patches_are_those_of_the_rfc() {
    let rows = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a"]"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ];
    for (target, patch, want) in rows {
        let mut result = value(target);
        merge(&mut result, value(patch));
        assert_eq!(result.to_json(), want, "{target} + {patch}");
    }
}

#[test]
fn json_patches_do_what_the_library_of_upstream_does() {
    let doc = r#"{"data":{"k":"v","n":null},"list":["a","b","c"]}"#;
    let rows = [
        ("[]", doc),
        (
            r#"[{"op":"add","path":"/list/1","value":"x"}]"#,
            r#"{"data":{"k":"v","n":null},"list":["a","x","b","c"]}"#,
        ),
        (
            r#"[{"op":"add","path":"/list/-","value":"x"}]"#,
            r#"{"data":{"k":"v","n":null},"list":["a","b","c","x"]}"#,
        ),
        (
            r#"[{"op":"add","path":"/list/-1","value":"x"}]"#,
            r#"{"data":{"k":"v","n":null},"list":["a","b","c","x"]}"#,
        ),
        (r#"[{"op":"remove","path":"/list/-1"}]"#, r#"{"data":{"k":"v","n":null},"list":["a","b"]}"#),
        (
            r#"[{"op":"replace","path":"/data/none","value":1}]"#,
            r#"{"data":{"k":"v","n":null,"none":1},"list":["a","b","c"]}"#,
        ),
        (
            r#"[{"op":"add","path":"/data/a~1b~0c"}]"#,
            r#"{"data":{"a/b~c":null,"k":"v","n":null},"list":["a","b","c"]}"#,
        ),
        (
            r#"[{"op":"copy","from":"/data","path":"/data/x"}]"#,
            r#"{"data":{"k":"v","n":null,"x":{"k":"v","n":null}},"list":["a","b","c"]}"#,
        ),
        (
            r#"[{"op":"move","from":"/list/0","path":"/list/2"}]"#,
            r#"{"data":{"k":"v","n":null},"list":["b","c","a"]}"#,
        ),
        (r#"[{"op":"test","path":"/data/none"},{"op":"test","path":"/data/n","value":null}]"#, doc),
        (r#"[{"op":"replace","path":"","value":{"x":1}}]"#, r#"{"x":1}"#),
        (
            r#"[{"op":"remove","path":"/list/9"}]"#,
            "error in remove for path: '/list/9': Unable to access invalid index: 9: invalid index referenced",
        ),
        (
            r#"[{"op":"remove","path":"/data/none"}]"#,
            "error in remove for path: '/data/none': Unable to remove nonexistent key: none: missing value",
        ),
        (
            r#"[{"op":"add","path":"/no/thing","value":1}]"#,
            "add operation does not apply: doc is missing path: \"/no/thing\": missing value",
        ),
        (
            r#"[{"op":"add","path":"/list/x","value":1}]"#,
            "error in add for path: '/list/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            r#"[{"op":"replace","path":"/list/3","value":1}]"#,
            "replace operation does not apply: doc is missing key: /list/3: missing value",
        ),
        (r#"[{"op":"test","path":"/data/k","value":"nope"}]"#, "testing value /data/k failed: test failed"),
        (r#"[{"op":"frob","path":"/data/k"}]"#, "Unexpected kind: frob"),
        (r#"[{"path":"/data/k"}]"#, "Unexpected kind: unknown"),
        (
            r#"[{"op":"move","from":"/data/none","path":"/x"}]"#,
            "error in move for path: 'none': Unable to remove nonexistent key: none: missing value",
        ),
        (
            r#"{"op":"add"}"#,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
    ];
    for (patch, want) in rows {
        let got = json(value(doc), &value(patch)).map_or_else(|e| e.to_string(), |v| v.to_json());
        assert_eq!(got, want, "{patch}");
    }
}

#[test]
fn json_patches_that_grow_without_bound_are_refused() {
    let deepen: Vec<Value> = (0..200).map(|_| value(r#"{"op":"copy","from":"/a","path":"/a/a"}"#)).collect();
    assert!(json(value(r#"{"a":{"b":1}}"#), &Value::Array(deepen)).is_err());
    let many: Vec<Value> = (0..10_001).map(|_| value(r#"{"op":"test","path":"/a"}"#)).collect();
    assert!(matches!(json(value("{}"), &Value::Array(many)), Err(Error::TooLarge(_))));
    let big = Value::Object([("a", Value::from("x".repeat(1 << 20)))].into_iter().collect());
    let copies: Vec<Value> =
        (0..4).map(|i| value(&format!(r#"{{"op":"copy","from":"/a","path":"/b{i}"}}"#))).collect();
    assert!(matches!(json(big, &Value::Array(copies)), Err(Error::Unprocessable(_))));
}

const POD: &str = r#"{"spec":{
    "containers":[
        {"name":"a","image":"a:1","env":[{"name":"E1","value":"1"},{"name":"E2","value":"2"}],"ports":[{"containerPort":80}]},
        {"name":"b","image":"b:1"}],
    "tolerations":[{"key":"a"}],"nodeSelector":{"a":"1","b":"1"},"securityContext":{"runAsUser":5},
    "volumes":[{"name":"v","emptyDir":{"medium":"Memory"}}]},
    "metadata":{"finalizers":["x/1","x/2","x/3"],"labels":{"app":"x"}}}"#;

fn patched(patch: &str) -> String {
    let mut pod = value(POD);
    strategic(&core("Pod"), &mut pod, value(patch)).map_or_else(|e| e.to_string(), |()| pod.to_json())
}

/// The part of the patched pod at a path.
fn part_at(patch: &str, path: &[&str]) -> String {
    let mut pod = value(POD);
    match strategic(&core("Pod"), &mut pod, value(patch)) {
        Ok(()) => pod.at(path).map_or("absent".into(), Value::to_json),
        Err(error) => error.to_string(),
    }
}

#[test]
fn strategic_patches_merge_lists_by_their_key() {
    let spec = |field: &'static str| ["spec", field];
    let rows = [
        (r#"{"spec":{"tolerations":[{"key":"b"}]}}"#, spec("tolerations"), r#"[{"key":"b"}]"#),
        (r#"{"spec":{"nodeSelector":{"b":null,"c":"1"}}}"#, spec("nodeSelector"), r#"{"a":"1","c":"1"}"#),
        (r#"{"spec":{"securityContext":{"$patch":"delete"}}}"#, spec("securityContext"), "{}"),
        (
            r#"{"metadata":{"labels":{"$patch":"replace","only":"this"}}}"#,
            ["metadata", "labels"],
            r#"{"only":"this"}"#,
        ),
        (
            r#"{"spec":{"containers":[{"name":"b","$patch":"delete"},{"name":"a","env":[{"name":"E1","$patch":"delete"}]}]}}"#,
            spec("containers"),
            r#"[{"env":[{"name":"E2","value":"2"}],"image":"a:1","name":"a","ports":[{"containerPort":80}]}]"#,
        ),
        (
            r#"{"spec":{"containers":[{"name":"z","image":"z:1"},{"$patch":"replace"}]}}"#,
            spec("containers"),
            r#"[{"image":"z:1","name":"z"}]"#,
        ),
        (
            r#"{"spec":{"containers":[{"name":"b","image":"b:2"}],"$setElementOrder/containers":[{"name":"b"},{"name":"a"}],"tolerations":null}}"#,
            spec("containers"),
            r#"[{"image":"b:2","name":"b"},{"env":[{"name":"E1","value":"1"},{"name":"E2","value":"2"}],"image":"a:1","name":"a","ports":[{"containerPort":80}]}]"#,
        ),
        (
            r#"{"metadata":{"finalizers":["x/9","x/1"]}}"#,
            ["metadata", "finalizers"],
            r#"["x/9","x/1","x/2","x/3"]"#,
        ),
        (
            r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["x/2"]}}"#,
            ["metadata", "finalizers"],
            r#"["x/1","x/3"]"#,
        ),
        (
            r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["x/2"],"$setElementOrder/finalizers":["x/3","x/1"]}}"#,
            ["metadata", "finalizers"],
            r#"["x/3","x/1"]"#,
        ),
        (
            r#"{"spec":{"volumes":[{"name":"v","$retainKeys":["name"]}]}}"#,
            spec("volumes"),
            r#"[{"name":"v"}]"#,
        ),
        (
            r#"{"spec":{"initContainers":[{"name":"i","$patch":"delete"},{"name":"j","env":null}]}}"#,
            spec("initContainers"),
            r#"[{"name":"j"}]"#,
        ),
    ];
    for (patch, path, want) in rows {
        assert_eq!(part_at(patch, &path), want, "{patch}");
    }
}

#[test]
fn strategic_patches_that_make_no_sense_are_refused_in_upstreams_words() {
    let rows = [
        (
            r#"{"spec":{"containers":[{"image":"z:1"}]}}"#,
            "map: map[image:z:1] does not contain declared merge key: name",
        ),
        (
            r#"{"spec":{"containers":[{"name":"a","$patch":"explode"}]}}"#,
            "unknown patch type: explode in map: map[$patch:explode name:a]",
        ),
        (r#"{"$retainKeys":1}"#, "invalid patch format of retainKeys"),
        (r#"{"spec":{"hostNetwork":true,"$retainKeys":["x"]}}"#, "invalid patch format of retainKeys"),
        (r#"{"spec":{"$setElementOrder":[]}}"#, "invalid patch format of setElementOrder list"),
        (
            r#"{"metadata":{"finalizers":["q"],"$setElementOrder/finalizers":["x/1"]}}"#,
            "The order in patch list:\n[q]\n doesn't match $setElementOrder list:\n[x/1]\n",
        ),
        (
            "[]",
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
    ];
    for (patch, want) in rows {
        assert_eq!(patched(patch), want, "{patch}");
    }
    assert_eq!(part_at(r#"{"spec":{"containers":"none"}}"#, &["spec", "containers"]), r#""none""#);
}

#[test]
fn service_ports_merge_by_number_in_the_order_of_the_patch() {
    let mut service = value(r#"{"spec":{"ports":[{"name":"a","port":80}]}}"#);
    let patch = r#"{"spec":{"ports":[{"name":"b","port":81},{"port":80,"targetPort":8080}]}}"#;
    strategic(&core("Service"), &mut service, value(patch)).unwrap();
    assert_eq!(
        service.to_json(),
        r#"{"spec":{"ports":[{"name":"b","port":81},{"name":"a","port":80,"targetPort":8080}]}}"#
    );
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<bool>().prop_map(Value::Bool), (0..4i64).prop_map(Value::Int)];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::vec(("[a-d]", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// The merge patch that makes `b` of `a`.
fn diff(a: &Value, b: &Value) -> Value {
    let (Value::Object(a), Value::Object(b)) = (a, b) else { return b.clone() };
    let mut patch = sampan_model::Map::new();
    for (key, value) in b.iter() {
        match a.get(key) {
            Some(there) if there == value => {}
            Some(there) => drop(patch.insert(key.clone(), diff(there, value))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    for key in a.keys().filter(|key| !b.contains_key(key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

proptest! {
    #[test]
    fn a_merge_patch_made_of_a_difference_bridges_it(a in tree(), b in tree()) {
        let mut result = a.clone();
        merge(&mut result, diff(&a, &b));
        prop_assert_eq!(result, b);
    }

    #[test]
    fn a_merge_patch_applied_twice_is_applied_once(a in tree(), patch in tree()) {
        let mut once = a;
        merge(&mut once, patch.clone());
        let mut twice = once.clone();
        merge(&mut twice, patch);
        prop_assert_eq!(once, twice);
    }
}
