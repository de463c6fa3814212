//! Paths that are no resources: discovery, health, version, metrics, OpenAPI, Swagger UI.

use std::sync::Arc;

use http::header::{ETAG, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderValue, Method};
use sampan_model::{GroupVersion, Status, Value};

use crate::discovery::Discovery;
use crate::health;
use crate::http_io::media::{Encoding, Form, Offers, Shape, negotiate};
use crate::http_io::query::Query;
use crate::http_io::respond::{self, Answer};
use crate::request_info::RequestInfo;
use crate::server::Shared;
use crate::swagger_ui;

/// Answers such a path.
pub(super) fn answer(server: &Arc<Shared>, info: &RequestInfo, query: &Query, parts: &Parts) -> Answer {
    if info.path.contains("//") {
        return respond::page_not_found();
    }
    // Everything else is served at the very path that was authorized.
    let may_end_in_slash = ["/api", "/version", "/swagger-ui/"].iter().any(|p| info.path.starts_with(p));
    let path = if may_end_in_slash { info.path.trim_end_matches('/') } else { &info.path };
    let words: Vec<&str> = path.split('/').skip(1).collect();
    let found = match words.as_slice() {
        [] | [""] => Some(root(server)),
        ["healthz" | "livez" | "readyz", check @ ..] if check != [""] => health::answer(server, path, query),
        ["version"] => Some(json(&server.version)),
        ["metrics"] => Some(metrics(server)),
        ["debug", "api_priority_and_fairness", table] => server
            .flow_control
            .dump(table, query)
            .map(|text| respond::bytes(200, "text/plain; charset=utf-8", text)),
        ["api" | "apis"] => Some(groups(server, words[0] == "api", parts)),
        ["api", version] => Some(resources(server, "", version, parts)),
        ["apis", group] => {
            let catalog = server.registry.catalog();
            catalog.group(group).map(|g| object(server, &Discovery::group(group, g), parts))
        }
        ["apis", group, version] if server.registry.catalog().group(group).is_some() => {
            Some(resources(server, group, version, parts))
        }
        ["openapi", "v2"] => Some(openapi_v2(server, parts)),
        ["openapi", "v3"] => Some(openapi_v3_index(server)),
        ["openapi", "v3", ..] => openapi_v3(server, &path["/openapi/v3/".len()..], parts),
        ["swagger-ui"] if info.path.ends_with('/') => Some(swagger_ui::page()),
        ["swagger-ui"] => Some(swagger_ui::redirect()),
        ["swagger-ui", file] => swagger_ui::asset(file, parts),
        _ => None,
    };
    let Some(answer) = found else { return respond::page_not_found() };
    if parts.method == Method::GET || parts.method == Method::HEAD {
        return answer;
    }
    respond::status(&super::not_allowed(), super::any_encoding(server, parts))
}

/// A document in the form that the client accepts.
fn object(server: &Shared, value: &Value, parts: &Parts) -> Answer {
    let protobuf = || server.registry.catalog().protobuf();
    match negotiate(super::accept(parts), Offers::Objects, &protobuf) {
        Ok(form) => respond::object(200, value, form, false),
        Err(status) => respond::status(&status, Encoding::Json),
    }
}

/// A document that has no other form, whatever the client accepts.
fn json(value: &Value) -> Answer {
    respond::object(200, value, Form::JSON, false)
}

/// The same with an ETag, and 304 for a client that has it.
fn cached(value: &Value, form: Form, parts: &Parts) -> Answer {
    let document = match respond::encode(value, form.encoding, false) {
        Ok(document) => document,
        Err(status) => return respond::status(&status, Encoding::Json),
    };
    let etag = Discovery::etag(&document);
    tagged(respond::bytes(200, &form.content_type(), document), &etag, parts)
}

fn tagged(mut answer: Answer, etag: &str, parts: &Parts) -> Answer {
    let has = parts.headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok()).is_some_and(|v| v == etag);
    if has {
        answer = respond::bytes(304, "", "");
        answer.headers_mut().remove(http::header::CONTENT_TYPE);
    }
    if let Ok(value) = HeaderValue::from_str(etag) {
        answer.headers_mut().insert(ETAG, value);
    }
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    answer
}

fn groups(server: &Shared, core: bool, parts: &Parts) -> Answer {
    let catalog = server.registry.catalog();
    let form = match negotiate(super::accept(parts), Offers::Discovery, &|| catalog.protobuf()) {
        Ok(form) => form,
        Err(status) => return respond::status(&status, Encoding::Json),
    };
    match form.shape {
        Shape::GroupDiscovery(version) => {
            cached(&Discovery::aggregated(&catalog, core, version), form, parts)
        }
        _ if core => {
            let host = parts.uri.authority().map(ToString::to_string);
            let host =
                host.or_else(|| parts.headers.get(http::header::HOST)?.to_str().ok().map(str::to_owned));
            respond::object(200, &Discovery::api_versions(&catalog, &host.unwrap_or_default()), form, false)
        }
        _ => respond::object(200, &Discovery::group_list(&catalog), form, false),
    }
}

fn resources(server: &Shared, group: &str, version: &str, parts: &Parts) -> Answer {
    let catalog = server.registry.catalog();
    match catalog.version(group, version) {
        Some(resources) => object(server, &Discovery::resource_list(group, version, resources), parts),
        None => respond::status(&Status::path_not_found(), super::any_encoding(server, parts)),
    }
}

/// `/`: every path that there is.
fn root(server: &Shared) -> Answer {
    let mut paths: Vec<String> = [
        "/api",
        "/apis",
        "/apis/",
        "/healthz",
        "/healthz/etcd",
        "/healthz/ping",
        "/livez",
        "/livez/etcd",
        "/livez/ping",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/readyz",
        "/readyz/etcd",
        "/readyz/ping",
        "/readyz/shutdown",
        "/swagger-ui",
        "/version",
    ]
    .into_iter()
    .chain(server.pages.iter().map(|page| page.path()))
    .map(str::to_owned)
    .collect();
    for gv in server.registry.catalog().group_versions() {
        if !gv.group.is_empty() {
            paths.push(format!("/apis/{}", gv.group));
        }
        paths.push(version_path(&gv));
    }
    for check in &server.health_checks {
        paths.extend(["healthz", "livez", "readyz"].map(|root| format!("/{root}/{}", check.name)));
    }
    paths.sort();
    paths.dedup();
    let value: Value = Value::Object([("paths", Value::from(paths))].into_iter().collect());
    json(&value)
}

fn version_path(gv: &GroupVersion) -> String {
    if gv.group.is_empty() {
        format!("/api/{}", gv.version)
    } else {
        format!("/apis/{}/{}", gv.group, gv.version)
    }
}

fn metrics(server: &Shared) -> Answer {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &server.metrics_registry) {
        Ok(()) => respond::bytes(200, "application/openmetrics-text; version=1.0.0; charset=utf-8", text),
        Err(error) => respond::status(&Status::internal(error), Encoding::Json),
    }
}

const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const V2_PROTOBUF_OLD: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

fn openapi_v2(server: &Shared, parts: &Parts) -> Answer {
    let accept = super::accept(parts).unwrap_or("*/*");
    for clause in accept.split(',').map(|c| c.split(';').next().unwrap_or("").trim()) {
        let (content_type, document) = match clause {
            "*/*" | "application/*" | "application/json" | "" => {
                ("application/json", server.openapi.v2_json())
            }
            V2_PROTOBUF | V2_PROTOBUF_OLD => (V2_PROTOBUF_OLD, server.openapi.v2_protobuf()),
            _ => continue,
        };
        let etag = Discovery::etag(&document);
        return tagged(respond::bytes(200, content_type, document), &etag, parts);
    }
    respond::bytes(406, "text/plain; charset=utf-8", "")
}

fn openapi_v3_index(server: &Shared) -> Answer {
    let paths: serde_json::Map<String, serde_json::Value> = server
        .openapi
        .v3_paths()
        .into_iter()
        .map(|(path, hash)| {
            let url = format!("/openapi/v3/{path}?hash={hash}");
            (path, serde_json::json!({"serverRelativeURL": url}))
        })
        .collect();
    // Text, though it is JSON: as upstream sends it.
    respond::bytes(200, "text/plain; charset=utf-8", serde_json::json!({"paths": paths}).to_string())
}

fn openapi_v3(server: &Shared, path: &str, parts: &Parts) -> Option<Answer> {
    let document = server.openapi.v3(path)?;
    let etag = Discovery::etag(&document);
    Some(tagged(respond::bytes(200, "application/json", document), &etag, parts))
}
