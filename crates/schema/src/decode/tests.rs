//! Bodies, and what becomes of them.

use sampan_model::Value;

use super::*;
use crate::schemas::{core, parse, schema, value as tree};
use crate::types::SchemaSet;

/// The tree, the complaints, or the error.
fn read(kind: &str, body: &str) -> String {
    shown(json(&core(kind), body.as_bytes()))
}

fn shown(read: Result<Decoded, Error>) -> String {
    match read {
        Ok(decoded) => {
            let complaints = decoded.strict_errors();
            let mut text = decoded.value.to_json();
            if !complaints.is_empty() {
                text.push_str(" | ");
                text.push_str(&complaints.join(", "));
            }
            text
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn bodies_become_what_go_would_keep() {
    let rows = [
        (
            "nulls are absent",
            "ConfigMap",
            r#"{"metadata":{"name":"a","labels":null},"data":null,"immutable":null}"#,
            r#"{"metadata":{"name":"a"}}"#,
        ),
        (
            "zero values are left out",
            "Pod",
            r#"{"spec":{"hostNetwork":false,"nodeName":"","volumes":[],"nodeSelector":{}}}"#,
            r#"{"spec":{}}"#,
        ),
        (
            "zero values of pointers stay",
            "Pod",
            r#"{"spec":{"priority":0,"enableServiceLinks":false,"securityContext":{}}}"#,
            r#"{"spec":{"enableServiceLinks":false,"priority":0,"securityContext":{}}}"#,
        ),
        (
            "what is always there stays",
            "Container",
            r#"{"name":"","resources":{}}"#,
            r#"{"name":"","resources":{}}"#,
        ),
        (
            "null in a map is Go's zero",
            "ConfigMap",
            r#"{"data":{"k":null},"binaryData":{"b":null}}"#,
            r#"{"binaryData":{"b":""},"data":{"k":""}}"#,
        ),
        ("a null body is an empty object", "ConfigMap", "null", "{}"),
        (
            "quantities are canonical",
            "ResourceRequirements",
            r#"{"limits":{"a":"0.5","b":1,"c":"1.5Gi","d":2.5,"e":"1e6","f":" 1 "}}"#,
            r#"{"limits":{"a":"500m","b":"1","c":"1536Mi","d":"2500m","e":"1e6","f":"1"}}"#,
        ),
        (
            "times are UTC",
            "PodStatus",
            r#"{"startTime":"2001-01-01T02:00:00.5+02:00"}"#,
            r#"{"startTime":"2001-01-01T00:00:00Z"}"#,
        ),
        (
            "bytes stay",
            "ConfigMap",
            r#"{"binaryData":{"a":"AAE=","b":"","c":"AA\nE="}}"#,
            r#"{"binaryData":{"a":"AAE=","b":"","c":"AAE="}}"#,
        ),
        (
            "ports may be names",
            "ServicePort",
            r#"{"port":1,"targetPort":"x"}"#,
            r#"{"port":1,"targetPort":"x"}"#,
        ),
        (
            "anything stays",
            "ControllerRevision",
            r#"{"data":{"a":null,"b":[0,1.0,{}]}}"#,
            r#"{"data":{"a":null,"b":[0,1,{}]}}"#,
        ),
        (
            "an empty list of managed fields is kept",
            "ConfigMap",
            r#"{"metadata":{"managedFields":[]}}"#,
            r#"{"metadata":{"managedFields":[]}}"#,
        ),
    ];
    for (name, kind, body, want) in rows {
        assert_eq!(read(kind, body), want, "{name}");
        assert_eq!(shown(value(&core(kind), tree(body))), want, "{name}, as a tree");
        assert_eq!(shown(yaml(&core(kind), body.as_bytes())), want, "{name}, as YAML");
    }
}

#[test]
fn unknown_and_duplicate_fields_are_noted_in_the_order_of_the_body() {
    let rows = [
        (
            "Pod",
            r#"{"spec":{"containers":[{"name":"a","imagePulPolicy":"x","ports":[{"containerPort":1,"host":2}]}],"nodeNmae":"x"}}"#,
            r#"{"spec":{"containers":[{"name":"a","ports":[{"containerPort":1}]}]}} | unknown field "spec.containers[0].imagePulPolicy", unknown field "spec.containers[0].ports[0].host", unknown field "spec.nodeNmae""#,
        ),
        (
            "ConfigMap",
            r#"{"extra":{"x":1,"x":2},"metadata":{"name":"c","name":"d"},"data":{"k":"1","k":"2"}}"#,
            r#"{"data":{"k":"2"},"metadata":{"name":"d"}} | unknown field "extra", duplicate field "metadata.name", duplicate field "data.k""#,
        ),
        ("ConfigMap", r#"{"Data":{"k":"v"}}"#, r#"{} | unknown field "Data""#),
        ("ConfigMap", r#"{"x":1,"x":2}"#, r#"{} | unknown field "x""#),
    ];
    for (kind, body, want) in rows {
        assert_eq!(read(kind, body), want, "{body}");
    }
    let text =
        b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: one\n  k: two\nextra: 1\n";
    assert_eq!(
        shown(yaml(&core("ConfigMap"), text)),
        r#"{"apiVersion":"v1","data":{"k":"two"},"kind":"ConfigMap","metadata":{"name":"a"}} | line 7: key "k" already set in map, unknown field "extra""#
    );
    let (_, duplicates) = untyped_json(br#"{"data":{"k":"1","k":"2"},"l":[{"a":1,"a":2}]}"#).unwrap();
    assert_eq!(duplicates, ["data.k", "l[0].a"]);
}

#[test]
fn many_keys_are_searched_for_duplicates_too() {
    let body: Vec<String> = (0..100).rev().map(|i| format!(r#""k{i}":"""#)).collect();
    let body = format!(r#"{{"data":{{{},"k7":"x"}}}}"#, body.join(","));
    let decoded = json(&core("ConfigMap"), body.as_bytes()).unwrap();
    assert_eq!(decoded.duplicates, ["data.k7"]);
    assert_eq!(decoded.value.str_at(&["data", "k7"]), "x");
}

#[test]
fn values_of_the_wrong_type_are_refused_in_gos_words() {
    let rows = [
        (
            "ConfigMap",
            r#"{"data":{"k":5}}"#,
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            "ConfigMap",
            r#"{"metadata":{"labels":["x"]}}"#,
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            "ConfigMap",
            r#"{"metadata":{"name":5}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            "ConfigMap",
            r#"{"immutable":"on"}"#,
            "json: cannot unmarshal string into Go struct field ConfigMap.immutable of type bool",
        ),
        (
            "Service",
            r#"{"spec":{"ports":[{"port":"80"}]}}"#,
            "json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            "Service",
            r#"{"spec":{"ports":[{"port":1.5}]}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            "Service",
            r#"{"spec":{"ports":[{"port":3000000000}]}}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            "Service",
            r#"{"spec":{"ports":{}}}"#,
            "json: cannot unmarshal object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort",
        ),
        (
            "Service",
            r#"{"spec":{"ports":[{"targetPort":{}}]}}"#,
            "json: cannot unmarshal object into Go value of type int32",
        ),
        (
            "ResourceRequirements",
            r#"{"limits":{"cpu":"lots"}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("ConfigMap", r#"{"binaryData":{"a":"%"}}"#, "illegal base64 data at input byte 0"),
        (
            "PodStatus",
            r#"{"startTime":"noon"}"#,
            r#"parsing time "noon" as "2006-01-02T15:04:05Z07:00": cannot parse "noon" as "2006""#,
        ),
    ];
    for (kind, body, want) in rows {
        let got = read(kind, body);
        if want.starts_with("quantities") {
            assert!(got.contains("quantit"), "{got}");
            continue;
        }
        assert_eq!(got, want, "{body}");
    }
    let error = json(&core("Service"), br#"{"spec":{"ports":[{"port":"80"}]}}"#).unwrap_err();
    assert!(matches!(error, Error::Type { path, .. } if path == "spec.ports[0].port"));
}

#[test]
fn what_is_no_json_is_refused_in_gos_words() {
    let prefix = "couldn't get version/kind; json parse error: ";
    let rows = [
        (r#"{"a":"#, "unexpected end of JSON input"),
        ("", "unexpected end of JSON input"),
        ("{} trailing", "invalid character 't' after top-level value"),
        ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
        (r#"{"a" 1}"#, "invalid character '1' after object key"),
        (r#"{"a":1 "b":2}"#, "invalid character '\"' after object key:value pair"),
        ("[1 2]", "json: cannot unmarshal array"),
        ("@", "invalid character '@' looking for beginning of value"),
    ];
    for (body, want) in rows {
        let got = read("ConfigMap", body);
        if want.starts_with("json:") {
            assert!(got.starts_with(want), "{body}: {got}");
        } else {
            assert_eq!(got.replace("'\"'\"'\"'", "'\"'"), format!("{prefix}{want}"), "{body}");
        }
    }
    assert_eq!(untyped_json(b"[{").unwrap_err().to_string(), "unexpected end of JSON input");
}

#[test]
fn nothing_is_too_deep_for_the_stack() {
    for depth in [200, 100_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let body = format!(r#"{{"data":{}1{}}}"#, open.repeat(depth), close.repeat(depth));
            assert!(matches!(json(&core("ControllerRevision"), body.as_bytes()), Err(Error::Limit { .. })));
            assert!(untyped_json(body.as_bytes()).is_err());
        }
    }
    let mut deep = Value::Int(1);
    for _ in 0..130 {
        deep = Value::Array(vec![deep]);
    }
    let object = Value::Object([("data", deep)].into_iter().collect());
    assert!(matches!(value(&core("ControllerRevision"), object), Err(Error::Limit { .. })));
}

#[test]
fn custom_objects_keep_values_for_validation_and_drop_nulls() {
    let set = parse(
        "meta name string ; labels {string}\nspec known string ; n int64 ; m {string} ; free any\nWidget apiVersion string ; kind string ; metadata meta ; spec spec",
        SchemaSet::new().with_lenient_types(),
    );
    let rows = [
        (r#"{"spec":{"known":5,"n":"x"}}"#, r#"{"spec":{"known":5,"n":"x"}}"#),
        (r#"{"spec":[]}"#, r#"{"spec":[]}"#),
        (r#"{"spec":null}"#, "{}"),
        (r#"{"spec":{"m":{"a":null,"b":""},"known":""}}"#, r#"{"spec":{"known":"","m":{"b":""}}}"#),
        (r#"{"spec":{"free":{"a":null},"n":1.0}}"#, r#"{"spec":{"free":{"a":null},"n":1}}"#),
        (
            r#"{"spec":{"z":1,"b":{"c":1,"c":2}},"extra":1,"metadata":{"bogus":1}}"#,
            r#"{"metadata":{},"spec":{}} | duplicate field "spec.b.c", unknown field "metadata.bogus", unknown field "extra", unknown field "spec.b", unknown field "spec.z""#,
        ),
    ];
    for (body, want) in rows {
        assert_eq!(shown(json(&schema(&set, "Widget"), body.as_bytes())), want, "{body}");
    }
}
