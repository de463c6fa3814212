//! The server as a client sees it that speaks protobuf only.

use bytes::{Buf as _, Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt as _;
use sampan_model::Value;
use sampan_schema::protobuf::{self, Backwards, Layout, envelope};
use sampan_testkit::{Reply, TestServer, fixtures};
use serde_json::json;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

fn layout(server: &TestServer) -> &'static Layout {
    let catalog = server.server().registry().catalog();
    catalog.protobuf().expect("built-in resources have a protobuf form").0
}

/// An enveloped object.
fn enveloped(server: &TestServer, name: &str, api_version: &str, object: &serde_json::Value) -> Vec<u8> {
    let layout = layout(server);
    let id = layout.find(name).unwrap_or_else(|| panic!("no message {name}"));
    let mut out = Backwards::default();
    envelope::begin(&mut out);
    protobuf::encode(layout, id, &Value::from(object.clone()), &mut out).unwrap();
    envelope::close(&mut out, api_version, name.rsplit('.').next().unwrap());
    out.as_slice().to_vec()
}

/// The tree in an envelope, with its type.
fn opened(server: &TestServer, name: &str, body: &[u8]) -> serde_json::Value {
    let layout = layout(server);
    let opened = envelope::open(body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(body)));
    let value = protobuf::decode(layout, layout.find(name).unwrap(), opened.raw).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&value.to_json()).unwrap();
    value["kind"] = opened.kind.into();
    value["apiVersion"] = opened.api_version.into();
    value
}

async fn ask(server: &TestServer, method: Method, path: &str, accept: &str, body: Vec<u8>) -> Reply {
    let headers = [("accept", accept), ("content-type", PROTOBUF)];
    server.request(method, path, &headers, body).await
}

#[tokio::test]
async fn an_object_is_created_read_replaced_and_deleted() {
    let server = TestServer::start().await;
    let object = fixtures::config_map("a", "key", "value");
    let body = enveloped(&server, CONFIG_MAP, "v1", &object);
    let reply = ask(&server, Method::POST, CONFIG_MAPS, PROTOBUF, body).await;
    assert_eq!((reply.code, &reply.headers["content-type"]), (201, &PROTOBUF.parse().unwrap()));
    let created = opened(&server, CONFIG_MAP, &reply.body);
    assert_eq!(created["data"]["key"], "value");

    let path = format!("{CONFIG_MAPS}/a");
    assert_eq!(server.get(&path).await.ok(), created, "JSON and protobuf show one object");
    let mut changed = created.clone();
    changed["data"]["key"] = "other".into();
    let body = enveloped(&server, CONFIG_MAP, "v1", &changed);
    let reply = ask(&server, Method::PUT, &path, PROTOBUF, body).await;
    assert_eq!(reply.code, 200, "{}", reply.text());
    let read =
        ask(&server, Method::GET, &path, "application/vnd.kubernetes.protobuf,application/json", vec![])
            .await;
    assert_eq!(opened(&server, CONFIG_MAP, &read.body)["data"]["key"], "other");

    let options = json!({"preconditions": {"uid": "wrong"}});
    let body = enveloped(&server, &format!("{META}.DeleteOptions"), "v1", &options);
    let refused = ask(&server, Method::DELETE, &path, PROTOBUF, body).await;
    let status = opened(&server, &format!("{META}.Status"), &refused.body);
    assert_eq!((refused.code, status["reason"].as_str()), (409, Some("Conflict")));
    let gone = ask(&server, Method::DELETE, &path, PROTOBUF, vec![]).await;
    assert_eq!(opened(&server, &format!("{META}.Status"), &gone.body)["status"], "Success");
}

#[tokio::test]
async fn lists_small_and_large_are_whole() {
    let server = TestServer::start().await;
    let text = "x".repeat(4000);
    for count in [3, 300] {
        for i in 0..count {
            let object = fixtures::config_map(&format!("c{i:03}"), "key", &text);
            server.create(CONFIG_MAPS, &object).await;
        }
        let rows = [
            ("objects", PROTOBUF.to_owned(), "io.k8s.api.core.v1.ConfigMapList".to_owned(), "v1"),
            (
                "metadata",
                format!("{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
                format!("{META}.PartialObjectMetadataList"),
                "meta.k8s.io/v1",
            ),
            (
                "metadata, first published",
                format!("{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1beta1"),
                "io.k8s.apimachinery.pkg.apis.meta.v1beta1.PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1beta1",
            ),
        ];
        let json = server.get(CONFIG_MAPS).await.ok();
        for (name, accept, message, api_version) in rows {
            let reply = ask(&server, Method::GET, CONFIG_MAPS, &accept, vec![]).await;
            assert_eq!(reply.code, 200, "{name}: {}", reply.text());
            let list = opened(&server, &message, &reply.body);
            assert_eq!(list["apiVersion"], api_version, "{name}");
            assert_eq!(list["metadata"], json["metadata"], "{name}");
            let (items, want) = (list["items"].as_array().unwrap(), json["items"].as_array().unwrap());
            assert_eq!(items.len(), want.len(), "{name} of {count}");
            for (item, want) in items.iter().zip(want) {
                assert_eq!(item["metadata"], want["metadata"], "{name}");
            }
        }
    }
    let page = ask(&server, Method::GET, &format!("{CONFIG_MAPS}?limit=2"), PROTOBUF, vec![]).await;
    let page = opened(&server, "io.k8s.api.core.v1.ConfigMapList", &page.body);
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    assert!(page["metadata"]["continue"].is_string());
}

/// The frames of a watch: type and object.
struct Frames<'a> {
    server: &'a TestServer,
    body: sampan_apiserver::http_io::body::Body,
    buffer: BytesMut,
}

impl Frames<'_> {
    async fn next(&mut self, name: &str) -> (String, serde_json::Value) {
        loop {
            if self.buffer.len() >= 4 {
                let length = u32::from_be_bytes(self.buffer[..4].try_into().unwrap()) as usize;
                if self.buffer.len() >= 4 + length {
                    self.buffer.advance(4);
                    return self.event(&self.buffer.clone()[..length], name, length);
                }
            }
            let frame = tokio::time::timeout(std::time::Duration::from_secs(20), self.body.frame()).await;
            let frame = frame.expect("the watch is silent").expect("the watch is open");
            self.buffer.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    }

    /// `WatchEvent { type = 1, object = 2 { raw = 1 } }`, read by hand.
    fn event(&mut self, bytes: &[u8], name: &str, length: usize) -> (String, serde_json::Value) {
        assert_eq!(bytes[0], 0x0a);
        let kind = String::from_utf8(bytes[2..2 + usize::from(bytes[1])].to_vec()).unwrap();
        let start = bytes.windows(4).position(|window| window == envelope::PREFIX).unwrap();
        let object = opened(self.server, name, &bytes[start..]);
        self.buffer.advance(length);
        (kind, object)
    }
}

async fn watch<'a>(server: &'a TestServer, path: &str, accept: &str) -> Frames<'a> {
    let request = http::Request::get(path).header("accept", accept).body(Bytes::new()).unwrap();
    let answer = server.send(request).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
    Frames { server, body: answer.into_body(), buffer: BytesMut::new() }
}

#[tokio::test]
async fn a_watch_tells_frames() {
    let server = TestServer::start().await;
    server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await.ok();
    let selector = "fieldSelector=metadata.name%3Da";
    let path = format!("{CONFIG_MAPS}?watch=true&{selector}");
    let accept = "application/vnd.kubernetes.protobuf,application/json";
    let mut one = watch(&server, &path, accept).await;
    let mut other =
        watch(&server, &path, &format!("{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1")).await;
    let (kind, object) = one.next(CONFIG_MAP).await;
    assert_eq!((kind.as_str(), object["data"]["k"].as_str()), ("ADDED", Some("v")));
    let (kind, object) = other.next(&format!("{META}.PartialObjectMetadata")).await;
    assert_eq!((kind.as_str(), object["kind"].as_str()), ("ADDED", Some("PartialObjectMetadata")));
    server.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch", &json!({"data": {"k": "w"}})).await.ok();
    server.delete(&format!("{CONFIG_MAPS}/a")).await;
    for want in ["MODIFIED", "DELETED"] {
        let (kind, object) = one.next(CONFIG_MAP).await;
        assert_eq!((kind.as_str(), object["data"]["k"].as_str()), (want, Some("w")));
        assert_eq!(other.next(&format!("{META}.PartialObjectMetadata")).await.0, want);
    }
}

#[tokio::test]
async fn subresources_take_and_give_their_own_kinds() {
    let server = TestServer::start().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    server.create(deployments, &fixtures::deployment("web", 2)).await.ok();
    let path = format!("{deployments}/web/scale");
    let scale = "io.k8s.api.autoscaling.v1.Scale";
    let reply = ask(&server, Method::GET, &path, PROTOBUF, vec![]).await;
    let mut object = opened(&server, scale, &reply.body);
    assert_eq!((object["spec"]["replicas"].as_i64(), object["kind"].as_str()), (Some(2), Some("Scale")));
    object["spec"]["replicas"] = 5.into();
    let body = enveloped(&server, scale, "autoscaling/v1", &object);
    let reply = ask(&server, Method::PUT, &path, PROTOBUF, body).await;
    assert_eq!(opened(&server, scale, &reply.body)["spec"]["replicas"], 5);

    server.create("/api/v1/namespaces/default/pods", &fixtures::pod("p")).await.ok();
    let eviction = json!({"metadata": {"name": "p", "namespace": "default"}});
    let body = enveloped(&server, "io.k8s.api.policy.v1.Eviction", "policy/v1", &eviction);
    let reply =
        ask(&server, Method::POST, "/api/v1/namespaces/default/pods/p/eviction", PROTOBUF, body).await;
    assert_eq!(opened(&server, &format!("{META}.Status"), &reply.body)["status"], "Success");
}

#[tokio::test]
async fn discovery_speaks_protobuf() {
    let server = TestServer::start().await;
    let aggregated = format!("{PROTOBUF};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let list = "io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList".to_owned();
    let rows = [
        ("/api", PROTOBUF, format!("{META}.APIVersions"), "/versions/0", "v1"),
        ("/apis", PROTOBUF, format!("{META}.APIGroupList"), "/groups/0/name", "apiregistration.k8s.io"),
        ("/apis/apps", PROTOBUF, format!("{META}.APIGroup"), "/name", "apps"),
        ("/apis/apps/v1", PROTOBUF, format!("{META}.APIResourceList"), "/groupVersion", "apps/v1"),
        ("/apis/apps/v1", PROTOBUF, format!("{META}.APIResourceList"), "/resources/0/verbs/0", "create"),
        ("/apis", &aggregated, list, "/items/0/versions/0/freshness", "Current"),
    ];
    for (path, accept, message, pointer, want) in rows {
        let reply = ask(&server, Method::GET, path, accept, vec![]).await;
        let mut document = opened(&server, &message, &reply.body);
        assert_eq!(document.pointer(pointer).and_then(|v| v.as_str()), Some(want), "{path}: {document}");
        let accept = accept.replace(PROTOBUF, "application/json");
        let mut json = server.request(Method::GET, path, &[("accept", &accept)], "").await.ok();
        // An empty apiVersion is none.
        without_zeros(&mut document);
        without_zeros(&mut json);
        assert_eq!(document, json, "{path}");
    }
}

/// Drops what some of Go's JSON leaves out and some does not.
fn without_zeros(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, value| *value != json!("") && *value != json!(false));
            map.values_mut().for_each(without_zeros);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_zeros),
        _ => {}
    }
}

#[tokio::test]
async fn bad_bodies_are_refused_with_the_words_of_go() {
    let server = TestServer::start().await;
    let unrecognized = |why: &str, hex: &str| {
        format!("the object provided is unrecognized (must be of type ConfigMap): {why} ({hex})")
    };
    let wrong_type =
        enveloped(&server, "io.k8s.api.core.v1.Secret", "v1", &json!({"metadata": {"name": "a"}}));
    let prefix = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
    let inner = |raw: &[u8]| [&envelope::head("v1", "ConfigMap", raw.len()), raw].concat();
    let handled = |why: &str| format!("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: {why}");
    let rows: [(&str, Vec<u8>, String); 7] = [
        ("json", b"{}".to_vec(), unrecognized(prefix, "7b7d")),
        ("only the prefix", b"k8s\0".to_vec(), unrecognized("empty body", "6b387300")),
        ("cut off", b"k8s\0\x0a\x05".to_vec(), unrecognized("unexpected EOF", "6b3873000a05")),
        (
            "another kind",
            wrong_type,
            "Secret in version \"v1\" cannot be handled as a ConfigMap: no kind \"Secret\" is registered for version \"v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"".into(),
        ),
        ("metadata is cut off", inner(b"\x0a\x05ab"), handled("unexpected EOF")),
        ("metadata is a number", inner(b"\x08\x01"), handled("proto: wrong wireType = 0 for field metadata")),
        ("no field", inner(b"\x00\x01"), handled("proto: ConfigMap: illegal tag 0 (wire type 0)")),
    ];
    for (name, body, want) in rows {
        let reply = ask(&server, Method::POST, CONFIG_MAPS, "application/json", body).await;
        assert_eq!(reply.refused(400)["message"], want, "{name}");
    }
    let patch =
        server.request(Method::PATCH, &format!("{CONFIG_MAPS}/a"), &[("content-type", PROTOBUF)], "x").await;
    patch.refused(415);
}

#[tokio::test]
async fn what_protobuf_does_not_have_is_passed_over() {
    let server = TestServer::start().await;
    let table = format!("{PROTOBUF};as=Table;g=meta.k8s.io;v=v1");
    ask(&server, Method::GET, CONFIG_MAPS, &table, vec![]).await.refused(406);
    let reply = ask(&server, Method::GET, CONFIG_MAPS, &format!("{table},application/json"), vec![]).await;
    assert_eq!(reply.ok()["kind"], "ConfigMapList");
    let not_found = ask(&server, Method::GET, &format!("{CONFIG_MAPS}/none"), PROTOBUF, vec![]).await;
    let status = opened(&server, &format!("{META}.Status"), &not_found.body);
    assert_eq!((not_found.code, status["message"].as_str()), (404, Some("configmaps \"none\" not found")));
}

/// Failures are told in the encoding that was asked for, whoever finds them. (Not so a request that takes too long, and one that is too
/// many: upstream answers these in JSON and in plain text.)
#[tokio::test]
async fn refusals_by_the_filters_are_told_in_protobuf() {
    let server = TestServer::start().await;
    let stranger = server.asked_by(sampan_testkit::user("eve", &["system:authenticated"]));
    let nobody = server.asked_anonymously();
    let (bad, impersonating) = (("authorization", "Bearer nonsense"), ("impersonate-user", "bob"));
    let none = ("x-none", "");
    let rows = [
        ("unknown credentials", &nobody, CONFIG_MAPS, bad, 401, "Unauthorized"),
        ("no permission", &stranger, CONFIG_MAPS, none, 403, "Forbidden"),
        ("no permission on a path", &stranger, "/metrics", none, 403, "Forbidden"),
        (
            "no permission on a custom resource",
            &stranger,
            "/apis/example.com/v1/things",
            none,
            403,
            "Forbidden",
        ),
        ("impersonation", &stranger, CONFIG_MAPS, impersonating, 403, "Forbidden"),
        ("an unknown version", &server, "/apis/apps/v9", none, 404, "NotFound"),
        ("a missing object", &server, "/api/v1/namespaces/default/configmaps/none", none, 404, "NotFound"),
    ];
    let metadata = format!("{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{PROTOBUF}");
    for (name, who, path, header, code, reason) in rows {
        for accept in [PROTOBUF, &metadata] {
            let reply = who.request(Method::GET, path, &[("accept", accept), header], "").await;
            assert_eq!(reply.code, code, "{name}: {}", reply.text());
            assert_eq!(reply.headers["content-type"], PROTOBUF, "{name}");
            let status = opened(&server, &format!("{META}.Status"), &reply.body);
            assert_eq!((&status["reason"], &status["code"]), (&json!(reason), &json!(code)), "{name}");
            assert_eq!((&status["kind"], &status["apiVersion"]), (&json!("Status"), &json!("v1")), "{name}");
        }
        let tables = "application/json;as=Table;g=meta.k8s.io;v=v1";
        let reply = who.request(Method::GET, path, &[("accept", tables), header], "").await;
        assert_eq!((reply.code, &reply.json()["kind"]), (code, &json!("Status")), "{name}");
    }
    let post = ask(&server, Method::POST, "/apis/apps/v1", PROTOBUF, vec![]).await;
    assert_eq!((post.code, &post.headers["content-type"]), (405, &PROTOBUF.parse().unwrap()));
    let unknown = ask(&server, Method::GET, "/apis/nowhere", PROTOBUF, vec![]).await;
    assert_eq!((unknown.code, unknown.text().as_str()), (404, "404 page not found\n"));
}

#[tokio::test]
async fn an_object_of_another_version_than_the_stored_one_is_transcoded_too() {
    let server = TestServer::start().await;
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({
        "kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": {"name": "e"},
        "eventTime": "2026-01-01T00:00:00.000001Z", "reportingController": "c.test/x", "reportingInstance": "i",
        "action": "a", "reason": "r", "type": "Normal", "note": "a \"quoted\" note\n",
        "regarding": {"namespace": "default"},
    });
    let created = server.create(events, &event).await.ok();
    let read = ask(&server, Method::GET, &format!("{events}/e"), PROTOBUF, vec![]).await;
    assert_eq!(opened(&server, "io.k8s.api.events.v1.Event", &read.body)["note"], created["note"]);
    let list = ask(&server, Method::GET, events, PROTOBUF, vec![]).await;
    let list = opened(&server, "io.k8s.api.events.v1.EventList", &list.body);
    assert_eq!(list["items"][0]["note"], created["note"]);
    assert_eq!(list["items"][0]["eventTime"], created["eventTime"]);
}
