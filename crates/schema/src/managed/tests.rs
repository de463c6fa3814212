//! Conversations recorded with the real server, told again to this crate.

use sampan_model::Value;
use sampan_model::meta::ObjectMeta;

use super::*;
use crate::schemas::{CORE, core, parse, schema, value};
use crate::types::{Schema, SchemaSet};
use crate::{decode, patch};

/// One object and what has happened to it.
struct Server {
    schema: Schema,
    api_version: &'static str,
    object: Option<Value>,
    clock: u32,
    subresource: &'static str,
    reset: Option<FieldSet>,
    default: fn(&mut Value),
}

impl Server {
    fn new(kind: &str) -> Self {
        Self::with(core(kind), "v1")
    }

    fn with(schema: Schema, api_version: &'static str) -> Self {
        let default = |_: &mut Value| {};
        Self { schema, api_version, object: None, clock: 0, subresource: "", reset: None, default }
    }

    fn manager<'a>(&self, name: &'a str) -> Manager<'a> {
        Manager { name, api_version: self.api_version, subresource: self.subresource }
    }

    fn now(&mut self) -> String {
        self.clock += 1;
        format!("2026-01-01T00:00:{:02}Z", self.clock)
    }

    fn write(&mut self, name: &str, object: Value) {
        let now = self.now();
        let mut new = decode::value(&self.schema, object).unwrap().value;
        (self.default)(&mut new);
        let reset = self.reset.clone();
        update(&self.schema, self.object.as_ref(), &mut new, &self.manager(name), &now, reset.as_ref())
            .unwrap();
        new.set_meta("uid", "u");
        self.object = Some(new);
    }

    /// A create, or a replacement.
    fn put(&mut self, name: &str, object: &str) -> &mut Self {
        self.write(name, value(object));
        self
    }

    fn patch(&mut self, name: &str, merge: &str) -> &mut Self {
        let mut object = self.object.clone().unwrap();
        patch::merge(&mut object, value(merge));
        self.write(name, object);
        self
    }

    fn try_apply(&mut self, name: &str, config: &str, force: bool) -> Result<(), Error> {
        let now = self.now();
        let reset = self.reset.clone();
        let mut new = apply(
            &self.schema,
            self.object.as_ref(),
            value(config),
            &self.manager(name),
            force,
            &now,
            reset.as_ref(),
        )?;
        (self.default)(&mut new);
        new.set_meta("uid", "u");
        self.object = Some(new);
        Ok(())
    }

    fn apply(&mut self, name: &str, config: &str) -> &mut Self {
        self.try_apply(name, config, false).unwrap();
        self
    }

    fn refusal(&mut self, name: &str, config: &str) -> String {
        self.try_apply(name, config, false).unwrap_err().to_string()
    }

    /// `manager operation[/subresource] fields`, a line each.
    fn managed(&self) -> String {
        let object = self.object.as_ref().unwrap();
        let lines: Vec<String> = object
            .array_at(&["metadata", "managedFields"])
            .iter()
            .map(|entry| {
                let subresource = entry.str_at(&["subresource"]);
                let slash = if subresource.is_empty() { "" } else { "/" };
                format!(
                    "{} {}{slash}{subresource} {}",
                    entry.str_at(&["manager"]),
                    entry.str_at(&["operation"]),
                    entry.get("fieldsV1").unwrap().to_json()
                )
            })
            .collect();
        lines.join("\n")
    }

    fn at(&self, path: &[&str]) -> String {
        self.object.as_ref().unwrap().at(path).map_or("absent".into(), Value::to_json)
    }

    fn times(&self) -> Vec<&str> {
        let object = self.object.as_ref().unwrap();
        object.array_at(&["metadata", "managedFields"]).iter().map(|entry| entry.str_at(&["time"])).collect()
    }
}

fn config_map(rest: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}}{rest}}}"#)
}

#[test]
fn a_create_owns_what_differs_from_an_empty_object() {
    let rows = [
        ("ConfigMap", r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#, r#"{"f:data":{".":{},"f:k":{}}}"#),
        (
            "ConfigMap",
            r#"{"metadata":{"name":"a","labels":{"l":"1"},"finalizers":["x/1"],"generateName":"p-"}}"#,
            r#"{"f:metadata":{"f:finalizers":{".":{},"v:\"x/1\"":{}},"f:generateName":{},"f:labels":{".":{},"f:l":{}}}}"#,
        ),
        (
            "Service",
            r#"{"spec":{"ports":[{"port":80,"protocol":"TCP","targetPort":80}],"selector":{"a":"b"},"type":"ClusterIP"}}"#,
            r#"{"f:spec":{"f:ports":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:protocol":{},"f:targetPort":{}}},"f:selector":{},"f:type":{}}}"#,
        ),
        (
            "Pod",
            r#"{"spec":{"containers":[{"name":"main","image":"i"}],"initContainers":[{"name":"x"}],"securityContext":{},"tolerations":[{"key":"k"}]}}"#,
            r#"{"f:spec":{"f:containers":{"k:{\"name\":\"main\"}":{".":{},"f:image":{},"f:name":{},"f:resources":{}}},"f:initContainers":{".":{},"k:{\"name\":\"x\"}":{".":{},"f:name":{},"f:resources":{}}},"f:securityContext":{},"f:tolerations":{}}}"#,
        ),
        (
            "Deployment",
            r#"{"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},"strategy":{"type":"R","rollingUpdate":{"maxSurge":1}},"template":{"metadata":{"labels":{"a":"b"}}}}}"#,
            r#"{"f:spec":{"f:replicas":{},"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{}},"f:type":{}},"f:template":{"f:metadata":{"f:labels":{".":{},"f:a":{}}}}}}"#,
        ),
        (
            "ControllerRevision",
            r#"{"data":{"spec":{"any":[1]}},"revision":3}"#,
            r#"{"f:data":{},"f:revision":{}}"#,
        ),
    ];
    for (kind, object, want) in rows {
        let mut server = Server::new(kind);
        server.put("m", object);
        assert_eq!(server.managed(), format!("m Update {want}"), "{kind}");
    }
    let mut server = Server::new("ConfigMap");
    server.put("m", r#"{"metadata":{"name":"a"}}"#);
    assert_eq!(server.managed(), "");
}

#[test]
fn updates_take_changed_fields_from_their_managers() {
    let mut server = Server::new("ConfigMap");
    server
        .put("alpha", r#"{"metadata":{"name":"a","labels":{"l":"1"}},"data":{"x":"1","y":"1"}}"#)
        .put("beta", r#"{"metadata":{"name":"a","labels":{"l":"1"}},"data":{"x":"2","y":"1","z":"1"}}"#)
        .patch("gamma", r#"{"data":{"y":null},"metadata":{"annotations":{"n":"1"}}}"#);
    assert_eq!(
        server.managed(),
        concat!(
            r#"alpha Update {"f:data":{},"f:metadata":{"f:labels":{".":{},"f:l":{}}}}"#,
            "\n",
            r#"beta Update {"f:data":{"f:x":{},"f:z":{}}}"#,
            "\n",
            r#"gamma Update {"f:metadata":{"f:annotations":{".":{},"f:n":{}}}}"#,
        )
    );
}

#[test]
fn an_update_without_changes_changes_no_time() {
    let mut server = Server::new("ConfigMap");
    server.put("m", &config_map(r#","data":{"k":"v"}"#));
    let times = server.times().join(",");
    server.put("m", &config_map(r#","data":{"k":"v"}"#)).put("other", &config_map(r#","data":{"k":"v"}"#));
    assert_eq!((server.times().join(","), server.managed().lines().count()), (times, 1));
    server.put("m", &config_map(r#","data":{"k":"w"}"#));
    assert_eq!(server.times(), ["2026-01-01T00:00:04Z"]);
}

#[test]
fn clearing_managed_fields_ends_tracking() {
    for reset in ["[{}]", "[]"] {
        let mut server = Server::new("ConfigMap");
        server.put("alpha", &config_map(r#","data":{"x":"1"}"#));
        server.patch("beta", &format!(r#"{{"metadata":{{"managedFields":{reset}}}}}"#));
        assert_eq!(server.at(&["metadata", "managedFields"]), "absent", "{reset}");
        server.patch("gamma", r#"{"data":{"x":"2"}}"#);
        assert_eq!(server.managed(), "", "{reset}");
        server.apply("m", &config_map(r#","data":{"y":"1"}"#));
        assert_eq!(
            server.managed(),
            "m Apply {\"f:data\":{\"f:y\":{}}}\nbefore-first-apply Update {\"f:data\":{\".\":{},\"f:x\":{}}}"
        );
    }
}

#[test]
fn unsound_managed_fields_of_clients_are_ignored() {
    let sent = [
        r#"[{"manager":"x","operation":"Update"}]"#,
        r#"[{"manager":"x","operation":"Frob","apiVersion":"v1","fieldsType":"FieldsV1"}]"#,
        r#"[{"manager":"x","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"data":{}}}]"#,
    ];
    for sent in sent {
        let mut server = Server::new("ConfigMap");
        server.put("m", &config_map(r#","data":{"k":"v"}"#));
        let before = server.managed();
        server.patch("m", &format!(r#"{{"metadata":{{"managedFields":{sent}}}}}"#));
        assert_eq!(server.managed(), before, "{sent}");
    }
    let mut server = Server::new("ConfigMap");
    server.put("m", &config_map(r#","data":{"k":"v"}"#)).patch(
        "m",
        r#"{"metadata":{"managedFields":[{"manager":"x","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:k":{}}}}]}}"#,
    );
    assert_eq!(server.managed(), r#"x Apply {"f:data":{"f:k":{}}}"#);
}

#[test]
fn old_updaters_are_merged_when_there_are_too_many() {
    let mut server = Server::new("ConfigMap");
    server.put("m0", &config_map(r#","data":{"k0":"v"}"#));
    for i in 1..12 {
        server.patch(&format!("m{i}"), &format!(r#"{{"data":{{"k{i}":"v"}}}}"#));
    }
    let managed = server.managed();
    assert_eq!(managed.lines().count(), 10, "{managed}");
    assert!(
        managed.starts_with(r#"ancient-changes Update {"f:data":{".":{},"f:k0":{},"f:k1":{},"f:k2":{}}}"#),
        "{managed}"
    );
}

#[test]
fn applying_owns_what_is_applied_and_defaults_are_no_ones() {
    let mut server = Server::new("ConfigMap");
    server.apply("m1", &config_map(r#","data":{"k":"v"}"#));
    assert_eq!(server.managed(), r#"m1 Apply {"f:data":{"f:k":{}}}"#);
    server.apply("m1", &config_map(r#","data":{"k":"v"}"#));
    assert_eq!(server.times(), ["2026-01-01T00:00:01Z"]);
    server.apply("m1", &config_map(r#","data":{"k":"w","l":"1"}"#));
    assert_eq!(server.managed(), r#"m1 Apply {"f:data":{"f:k":{},"f:l":{}}}"#);
    assert_eq!(server.at(&["data"]), r#"{"k":"w","l":"1"}"#);
}

#[test]
fn a_conflict_names_the_manager_and_force_takes_the_field() {
    let mut server = Server::new("ConfigMap");
    server.apply("m1", &config_map(r#","data":{"k":"v","l":"1"}"#));
    let config = config_map(r#","data":{"k":"w"}"#);
    assert_eq!(server.refusal("m2", &config), r#"Apply failed with 1 conflict: conflict with "m1": .data.k"#);
    server.try_apply("m2", &config, true).unwrap();
    server.apply("m1", &config_map(r#","data":{"l":"1"}"#));
    assert_eq!(server.managed(), "m1 Apply {\"f:data\":{\"f:l\":{}}}\nm2 Apply {\"f:data\":{\"f:k\":{}}}");
    assert_eq!(server.at(&["data"]), r#"{"k":"w","l":"1"}"#);

    let mut server = Server::new("ConfigMap");
    server.put("kubectl-edit", &config_map(r#","data":{"k":"v"}"#));
    assert_eq!(
        server.refusal("m", &config),
        r#"Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .data.k"#
    );
}

#[test]
fn conflicts_with_several_managers_are_listed_together() {
    let mut server = Server::new("ConfigMap");
    server.apply("m1", &config_map(r#","data":{"k":"v"}"#)).apply("m2", &config_map(r#","data":{"l":"v"}"#));
    assert_eq!(
        server.refusal("m3", &config_map(r#","data":{"k":"w","l":"w"}"#)),
        "Apply failed with 2 conflicts: conflicts with \"m1\":\n- .data.k\nconflicts with \"m2\":\n- .data.l"
    );
}

#[test]
fn atomic_fields_conflict_as_a_whole() {
    let template = |spec: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"PodTemplate","metadata":{{"name":"t"}},"template":{{"spec":{spec}}}}}"#
        )
    };
    let mut server = Server::new("PodTemplate");
    server.apply(
        "m1",
        &template(r#"{"nodeSelector":{"a":"1"},"tolerations":[{"key":"a"}],"containers":[{"name":"a","image":"i"}]}"#),
    );
    assert_eq!(
        server.refusal("m2", &template(r#"{"nodeSelector":{"b":"1"},"tolerations":[{"key":"b"}]}"#)),
        "Apply failed with 2 conflicts: conflicts with \"m1\":\n- .template.spec.nodeSelector\n- .template.spec.tolerations"
    );
    assert_eq!(
        server.managed(),
        r#"m1 Apply {"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{}}},"f:nodeSelector":{},"f:tolerations":{}}}}"#
    );
}

#[test]
fn two_managers_own_their_containers_and_variables() {
    let template = |containers: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"PodTemplate","metadata":{{"name":"t"}},"template":{{"spec":{{"containers":{containers}}}}}}}"#
        )
    };
    let mut server = Server::new("PodTemplate");
    server.default = |object| {
        let Some(Value::Array(containers)) = object
            .as_object_mut()
            .map(|o| o.object_mut("template").object_mut("spec"))
            .and_then(|spec| spec.get_mut("containers"))
        else {
            return;
        };
        for container in containers {
            container.as_object_mut().unwrap().insert("imagePullPolicy", "IfNotPresent");
        }
    };
    let fields =
        |a: &str, env: &str| format!(r#"{{"f:template":{{"f:spec":{{"f:containers":{{{a}{env}}}}}}}}}"#);
    server.apply("m1", &template(r#"[{"name":"a","image":"a:1","env":[{"name":"E","value":"1"}]}]"#)).apply(
        "m2",
        &template(r#"[{"name":"b","image":"b:1"},{"name":"a","env":[{"name":"F","value":"2"}]}]"#),
    );
    assert_eq!(
        server.at(&["template", "spec", "containers"]),
        concat!(
            r#"[{"image":"b:1","imagePullPolicy":"IfNotPresent","name":"b"},"#,
            r#"{"env":[{"name":"E","value":"1"},{"name":"F","value":"2"}],"image":"a:1","imagePullPolicy":"IfNotPresent","name":"a"}]"#
        )
    );
    server.apply("m1", &template(r#"[{"name":"a","image":"a:2"}]"#));
    assert_eq!(
        server.at(&["template", "spec", "containers"]),
        concat!(
            r#"[{"image":"b:1","imagePullPolicy":"IfNotPresent","name":"b"},"#,
            r#"{"env":[{"name":"F","value":"2"}],"image":"a:2","imagePullPolicy":"IfNotPresent","name":"a"}]"#
        )
    );
    server.apply("m2", &template(r#"[{"name":"b","image":"b:1"}]"#));
    assert_eq!(
        server.managed(),
        format!(
            "m1 Apply {}\nm2 Apply {}",
            fields(r#""k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{}}"#, ""),
            fields(r#""k:{\"name\":\"b\"}":{".":{},"f:image":{},"f:name":{}}"#, ""),
        )
    );
    assert_eq!(
        server.at(&["template", "spec", "containers"]),
        concat!(
            r#"[{"image":"b:1","imagePullPolicy":"IfNotPresent","name":"b"},"#,
            r#"{"image":"a:2","imagePullPolicy":"IfNotPresent","name":"a"}]"#
        )
    );
}

#[test]
fn a_field_no_longer_applied_is_removed_when_no_one_else_owns_it() {
    let mut server = Server::new("ConfigMap");
    server.apply(
        "m1",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","labels":{"x":"y"}},"data":{"k":"v","l":"1"}}"#,
    );
    server.apply("m1", &config_map(r#","data":{"k":"v"}"#));
    assert_eq!(server.managed(), r#"m1 Apply {"f:data":{"f:k":{}}}"#);
    assert_eq!(
        (server.at(&["data"]), server.at(&["metadata", "labels"])),
        (r#"{"k":"v"}"#.into(), "absent".into())
    );
}

#[test]
fn equal_values_are_shared_and_go_with_their_last_owner() {
    let mut server = Server::new("ConfigMap");
    server
        .apply("m1", &config_map(r#","data":{"k":"v"}"#))
        .apply("m2", &config_map(r#","data":{"k":"v","l":"2"}"#));
    assert_eq!(
        server.managed(),
        "m1 Apply {\"f:data\":{\"f:k\":{}}}\nm2 Apply {\"f:data\":{\"f:k\":{},\"f:l\":{}}}"
    );
    server.apply("m1", &config_map(r#","data":{}"#));
    assert_eq!(server.managed(), "m1 Apply {\"f:data\":{}}\nm2 Apply {\"f:data\":{\"f:k\":{},\"f:l\":{}}}");
    assert_eq!(server.at(&["data"]), r#"{"k":"v","l":"2"}"#);
    server.apply("m2", &config_map(r#","data":{"l":"2"}"#));
    assert_eq!(server.at(&["data"]), r#"{"l":"2"}"#);
}

#[test]
fn members_of_sets_have_their_own_managers() {
    let with = |finalizer: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a","finalizers":["{finalizer}"]}}}}"#
        )
    };
    let mut server = Server::new("ConfigMap");
    server.apply("m1", &with("x/1")).apply("m2", &with("x/2"));
    assert_eq!(server.at(&["metadata", "finalizers"]), r#"["x/1","x/2"]"#);
    server.apply("m1", &config_map(""));
    assert_eq!(server.at(&["metadata", "finalizers"]), r#"["x/2"]"#);
    assert_eq!(server.managed(), r#"m2 Apply {"f:metadata":{"f:finalizers":{"v:\"x/2\"":{}}}}"#);
}

#[test]
fn a_status_applied_through_its_subresource_is_an_entry_of_its_own() {
    let mut server = Server::new("Pod");
    server.put("m0", r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"main","image":"i"}]}}"#);
    server.subresource = "status";
    server.reset = Some(FieldSet::from_value(&value(r#"{"f:spec":{}}"#)).unwrap());
    server.apply(
        "m1",
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"not":"owned"}},"spec":{"nodeName":"ignored"},"status":{"message":"hello","conditions":[{"type":"x/ok","status":"True"}]}}"#,
    );
    assert!(server.managed().starts_with(
        r#"m1 Apply/status {"f:metadata":{"f:labels":{"f:not":{}}},"f:status":{"f:conditions":{"k:{\"type\":\"x/ok\"}":{".":{},"f:status":{},"f:type":{}}},"f:message":{}}}"#
    ));
}

#[test]
fn configurations_that_do_not_fit_are_refused_in_upstreams_words() {
    let rows = [
        (
            "Service",
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"ports":[{"name":"a","port":80},{"name":"b","port":80}]}}"#,
            r#"failed to create typed patch object (/s; /v1, Kind=Service): .spec.ports: duplicate entries for key [port=80,protocol="TCP"]"#,
        ),
        (
            "ConfigMap",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"n"},"data2":{}}"#,
            "failed to create typed patch object (n/a; /v1, Kind=ConfigMap): .data2: field not declared in schema",
        ),
        (
            "ConfigMap",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":5}}"#,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.k: expected string, got &value.valueUnstructured{Value:5}",
        ),
        (
            "Pod",
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"image":"i"}],"hostNetwork":"yes","volumes":{}}}"#,
            "failed to create typed patch object (/a; /v1, Kind=Pod): errors:\n  .spec.hostNetwork: expected boolean, got &{yes}\n  .spec.volumes: expected list, got &{map[]}",
        ),
        ("ConfigMap", r#"{"apiVersion":"v2","kind":"X"}"#, "invalid object type: /v2, Kind=X"),
        (
            "ConfigMap",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"managedFields":[]}}"#,
            "metadata.managedFields must be nil",
        ),
    ];
    for (kind, config, want) in rows {
        assert_eq!(Server::new(kind).refusal("m", config), want);
    }
}

const WIDGET: &str = r"
meta name string ; labels {string} ; managedFields [any] ; uid string
port port int64 ; name string
spec ports [port]~port ; set [string]~set ; atom [string] ; amap {string}% ; free any
Widget apiVersion string ; kind string ; metadata meta ; spec spec
";

#[test]
fn custom_objects_follow_the_list_types_of_their_schema() {
    let set = parse(WIDGET, SchemaSet::new().with_lenient_types());
    let widget = |spec: &str| {
        format!(r#"{{"apiVersion":"e/v1","kind":"Widget","metadata":{{"name":"w"}},"spec":{spec}}}"#)
    };
    let mut server = Server::with(schema(&set, "Widget"), "e/v1");
    server
        .apply(
            "m1",
            &widget(r#"{"ports":[{"port":1,"name":"a"}],"set":["x"],"atom":["x"],"amap":{"a":"1"}}"#),
        )
        .apply("m2", &widget(r#"{"ports":[{"port":2,"name":"b"}],"set":["y"]}"#));
    assert_eq!(
        server.at(&["spec"]),
        r#"{"amap":{"a":"1"},"atom":["x"],"ports":[{"name":"a","port":1},{"name":"b","port":2}],"set":["x","y"]}"#
    );
    assert_eq!(
        server.refusal("m2", &widget(r#"{"ports":[{"name":"z"}]}"#)),
        "failed to create typed patch object (/w; e/v1, Kind=Widget): .spec.ports: element 0: associative list \
         with keys has an element that omits key field \"port\" (and doesn't have default value)"
    );
    assert_eq!(
        server.refusal("m2", &widget(r#"{"atom":["y"],"amap":{"b":"1"},"ports":[{"port":1,"name":"z"}]}"#)),
        "Apply failed with 3 conflicts: conflicts with \"m1\":\n- .spec.amap\n- .spec.atom\n- .spec.ports[port=1].name"
    );
    server.apply("m1", &widget(r#"{"set":["x"]}"#));
    assert_eq!(server.at(&["spec"]), r#"{"ports":[{"name":"b","port":2}],"set":["x","y"]}"#);
    assert_eq!(
        server.managed(),
        concat!(
            r#"m2 Apply {"f:spec":{"f:ports":{"k:{\"port\":2}":{".":{},"f:name":{},"f:port":{}}},"f:set":{"v:\"y\"":{}}}}"#,
            "\n",
            r#"m1 Apply {"f:spec":{"f:set":{"v:\"x\"":{}}}}"#
        )
    );
    let mut server = Server::with(schema(&set, "Widget"), "e/v1");
    server.put("m", &widget(r#"{"free":{"a":{"b":[1]},"c":{}}}"#));
    assert_eq!(
        server.managed(),
        r#"m Update {"f:spec":{".":{},"f:free":{".":{},"f:a":{".":{},"f:b":{}},"f:c":{}}}}"#
    );
}

#[test]
fn duplicates_in_a_live_list_are_borne() {
    let pod = |env: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{{"containers":[{{"name":"a","env":{env}}}]}}}}"#
        )
    };
    let mut server = Server::new("Pod");
    server.put("m", &pod(r#"[{"name":"X","value":"1"},{"name":"X","value":"2"},{"name":"Y"}]"#));
    assert_eq!(
        server.managed(),
        r#"m Update {"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"X\"}":{},"k:{\"name\":\"Y\"}":{".":{},"f:name":{}}},"f:name":{},"f:resources":{}}}}}"#
    );
    server.put("n", &pod(r#"[{"name":"X","value":"3"},{"name":"X","value":"2"},{"name":"Y"}]"#));
    assert!(server.managed().contains(
        r#"n Update {"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{"f:env":{"k:{\"name\":\"X\"}":{}}}}}}"#
    ));
    server.apply("z", &pod(r#"[{"name":"Z","value":"1"}]"#));
    assert_eq!(
        server.object.as_ref().unwrap().array_at(&["spec", "containers"])[0].array_at(&["env"]).len(),
        4
    );
}

#[test]
fn applying_a_zero_where_zeros_are_left_out_is_a_change() {
    let pod =
        |spec: &str| format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{spec}}}"#);
    let mut server = Server::new("Pod");
    server
        .put("m", &pod(r#"{"hostNetwork":true,"containers":[{"name":"a"}]}"#))
        .patch("n", r#"{"spec":{"hostNetwork":false}}"#);
    server.apply("z", &pod(r#"{"hostNetwork":false}"#));
    assert_eq!(server.at(&["spec", "hostNetwork"]), "absent");
    server.put("q", &pod(r#"{"hostNetwork":true,"containers":[{"name":"a"}]}"#));
    assert!(
        server
            .refusal("z", &pod(r#"{"hostNetwork":false}"#))
            .contains(r#"conflict with "q" using v1: .spec.hostNetwork"#)
    );
}

#[test]
fn kubectl_takes_over_what_it_applied_on_the_client() {
    let mut server = Server::new("ConfigMap");
    let last = r#"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}"#;
    server.put(
        "kubectl-client-side-apply",
        &format!(
            r#"{{"metadata":{{"name":"a","annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{last}"}}}},"data":{{"k":"v","l":"1"}}}}"#
        ),
    );
    server.apply("kubectl", &config_map(r#","data":{"k":"w"}"#));
    assert_eq!(server.at(&["data"]), r#"{"k":"w","l":"1"}"#);
    assert!(server.at(&["metadata", "annotations"]).contains(r#"{\"k\":\"w\"}"#));
    assert!(server.refusal("kubectl", &config_map(r#","data":{"l":"2"}"#)).contains(".data.l"));
}

#[test]
fn schemas_of_the_fixture_are_sound() {
    for (name, id) in parse(CORE, SchemaSet::new()).names() {
        assert!(core(name.rsplit('.').next().unwrap()).set().get(id).name.is_some());
    }
}
