//! Services get and give back addresses and node ports, in the transaction that writes them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sampan_apiserver::registry::Attributes;
use sampan_apiserver::{Context, Lookup, Strategy};
use sampan_model::{GroupResource, Status, Value};
use sampan_store::{Expect, Op};

/// Keys and values, as a store would have them after each write.
#[derive(Default)]
struct Keys(Mutex<BTreeMap<String, Value>>);

impl Keys {
    fn key(resource: &GroupResource, namespace: &str, name: &str) -> String {
        let parts = [resource.group.as_str(), resource.resource.as_str(), namespace, name];
        let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        format!("/registry/{}", parts.join("/"))
    }

    fn apply(&self, ops: Vec<Op>) {
        for op in ops {
            match op {
                Op::Put { key, expect, value } => {
                    assert_eq!(expect, Expect::Absent);
                    let value = serde_json::from_slice(&value.bytes).unwrap();
                    assert!(
                        self.0.lock().unwrap().insert(key.to_string(), value).is_none(),
                        "{key} was taken"
                    );
                }
                Op::Delete { key, .. } => {
                    assert!(self.0.lock().unwrap().remove(&*key).is_some(), "{key} was not taken");
                }
                Op::Check { .. } => {}
            }
        }
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        self.keys(prefix).into_iter().map(|k| k[prefix.len()..].to_owned()).collect()
    }
}

impl Lookup for Keys {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Value> {
        self.0.lock().unwrap().get(&Self::key(resource, namespace, name)).cloned()
    }
    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value> {
        let prefix = Self::key(resource, namespace, "") + "/";
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|(k, _)| k.starts_with(&prefix))
            .map(|(_, v)| v.clone())
            .collect()
    }
    fn exists(&self, resource: &GroupResource, namespace: &str, name: &str) -> bool {
        self.has_key(&Self::key(resource, namespace, name))
    }
    fn has_key(&self, key: &str) -> bool {
        self.0.lock().unwrap().contains_key(key)
    }
    fn keys(&self, prefix: &str) -> Vec<String> {
        self.0.lock().unwrap().keys().filter(|k| k.starts_with(prefix)).cloned().collect()
    }
}

const ADDRESSES: &str = "/registry/networking.k8s.io/ipaddresses/";
const PORTS: &str = "/registry/ranges/servicenodeports/";

struct World {
    services: Attributes,
    keys: Keys,
}

impl World {
    fn new() -> Self {
        let types = sampan_builtins::types();
        let mut all = sampan_builtins::resources(&types);
        let at = all.iter().position(|r| r.gvr.resource == "services").unwrap();
        let services = Arc::new(all.swap_remove(at));
        let services = Attributes {
            resource: Arc::clone(&services),
            storage: services,
            subresource: "".into(),
            namespace: "default".into(),
            name: "s".into(),
            user: Arc::default(),
            default_manager: "".into(),
            audit: sampan_apiserver::audit::Recorder::default(),
            patches: false,
        };
        Self { services, keys: Keys::default() }
    }

    fn write<T>(
        &self,
        run: impl FnOnce(&dyn Strategy, &Context<'_>) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let cx = Context::new(&self.services, now, false, &self.keys);
        let result = run(&*self.services.resource.strategy, &cx)?;
        self.keys.apply(cx.take_ops());
        Ok(result)
    }

    fn create(&self, spec: &str) -> Result<Value, Status> {
        let mut service = service(spec);
        self.services.resource.strategy.default(&mut service);
        self.write(|strategy, cx| strategy.prepare_for_create(cx, &mut service).map(|()| service))
    }

    fn update(&self, old: &Value, spec: &str) -> Result<Value, Status> {
        let mut service = service(spec);
        self.services.resource.strategy.default(&mut service);
        self.write(|strategy, cx| strategy.prepare_for_update(cx, &mut service, old).map(|()| service))
    }
}

fn service(spec: &str) -> Value {
    let text =
        format!(r#"{{"metadata":{{"name":"s","namespace":"n","resourceVersion":"1"}},"spec":{spec}}}"#);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_service_has_an_address_until_it_is_deleted() {
    let world = World::new();
    let made = world.create(r#"{"type":"ClusterIP","ports":[{"port":80,"protocol":"TCP"}]}"#).unwrap();
    let ip = made.str_at(&["spec", "clusterIP"]).to_owned();
    assert_eq!(made.at(&["spec", "clusterIPs"]), Some(&Value::from(vec![ip.as_str()])));
    assert_eq!(made.at(&["spec", "ipFamilies"]), Some(&Value::from(vec!["IPv4"])));
    assert_eq!(made.str_at(&["spec", "ipFamilyPolicy"]), "SingleStack");
    assert_eq!(world.keys.names(ADDRESSES), [ip.as_str()]);
    let address = world.keys.0.lock().unwrap().values().next().cloned().unwrap();
    assert_eq!(address.str_at(&["spec", "parentRef", "name"]), "s");
    world
        .write(|strategy, cx| {
            strategy.on_delete(cx, &made);
            Ok(())
        })
        .unwrap();
    assert!(world.keys.names(ADDRESSES).is_empty());
}

#[test]
fn an_address_is_given_once_and_only_from_the_range() {
    let world = World::new();
    let spec = r#"{"type":"ClusterIP","clusterIP":"10.96.0.10","ports":[{"port":53,"protocol":"UDP"}]}"#;
    world.create(spec).unwrap();
    let taken = world.create(spec).unwrap_err();
    assert_eq!(taken.code(), 422);
    assert!(
        taken.message().ends_with("failed to allocate IP 10.96.0.10: provided IP is already allocated"),
        "{taken}"
    );
    let outside = r#"{"type":"ClusterIP","clusterIP":"192.0.2.7","ports":[{"port":53,"protocol":"UDP"}]}"#;
    assert_eq!(world.create(outside).unwrap_err().details().unwrap().causes[0].field, "spec.clusterIPs");
}

#[test]
fn a_change_of_type_allocates_and_gives_back() {
    let world = World::new();
    let plain = world.create(r#"{"type":"ClusterIP","ports":[{"port":80,"protocol":"TCP"}]}"#).unwrap();
    let node_port =
        world.update(&plain, r#"{"type":"NodePort","ports":[{"port":80,"protocol":"TCP"}]}"#).unwrap();
    assert_eq!(node_port.str_at(&["spec", "clusterIP"]), plain.str_at(&["spec", "clusterIP"]));
    let port = node_port.array_at(&["spec", "ports"])[0].get("nodePort").and_then(Value::as_i64).unwrap();
    assert_eq!(world.keys.names(PORTS), [port.to_string()]);
    let external =
        world.update(&node_port, r#"{"type":"ExternalName","externalName":"a.example.com"}"#).unwrap();
    assert_eq!(external.at(&["spec", "clusterIP"]), None);
    assert!(world.keys.names(PORTS).is_empty() && world.keys.names(ADDRESSES).is_empty());
}

#[test]
fn ports_of_one_number_share_a_node_port() {
    let world = World::new();
    let ports = r#"[{"name":"a","port":53,"protocol":"TCP"},{"name":"b","port":53,"protocol":"UDP","nodePort":30053}]"#;
    let made = world.create(&format!(r#"{{"type":"NodePort","ports":{ports}}}"#)).unwrap();
    let list = made.array_at(&["spec", "ports"]);
    assert!(list.iter().all(|p| p.get("nodePort") == Some(&Value::Int(30053))), "{list:?}");
    assert_eq!(world.keys.names(PORTS), ["30053"]);
    let again = world.create(&format!(r#"{{"type":"NodePort","ports":{ports}}}"#)).unwrap_err();
    assert!(again.message().ends_with("provided port is already allocated"), "{again}");
}

#[test]
fn a_headless_service_has_no_address() {
    let world = World::new();
    let made = world.create(r#"{"type":"ClusterIP","clusterIP":"None","selector":{"a":"b"}}"#).unwrap();
    assert_eq!(made.at(&["spec", "clusterIPs"]), Some(&Value::from(vec!["None"])));
    assert_eq!(made.at(&["spec", "ipFamilies"]), Some(&Value::from(vec!["IPv4"])));
    let open = world.create(r#"{"type":"ClusterIP","clusterIP":"None"}"#).unwrap();
    assert_eq!(open.str_at(&["spec", "ipFamilyPolicy"]), "RequireDualStack");
    assert!(world.keys.names(ADDRESSES).is_empty());
}
