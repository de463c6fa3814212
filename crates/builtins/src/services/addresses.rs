//! Cluster addresses: each is an `IPAddress` object that names the service.

use std::net::IpAddr;
use std::sync::Arc;

use sampan_apiserver::{Context, encode};
use sampan_model::meta::ObjectMeta;
use sampan_model::time::format_time;
use sampan_model::{FieldError, GroupResource, Map, Status, Value};
use sampan_store::{Expect, Op};

use super::families::refuse;
use super::range::{Range, family};
use super::{DEFAULT_CIDR, Needs, strings};

fn networking(resource: &'static str) -> GroupResource {
    GroupResource::new("networking.k8s.io", resource)
}

/// The ranges of the cluster, the default one first.
fn ranges(cx: &Context<'_>) -> Vec<Range> {
    let mut cidrs = cx.lookup.list(&networking("servicecidrs"), "");
    cidrs.retain(|c| !c.is_deleting());
    cidrs.sort_by_key(|c| c.name() != "kubernetes");
    let texts = cidrs.iter().flat_map(|c| c.array_at(&["spec", "cidrs"])).filter_map(Value::as_str);
    let ranges: Vec<Range> = texts.filter_map(Range::parse).collect();
    if ranges.is_empty() { Range::parse(DEFAULT_CIDR).into_iter().collect() } else { ranges }
}

/// The IP families that services can have, the default one first.
pub(super) fn cluster_families(cx: &Context<'_>) -> Vec<&'static str> {
    let mut families = Vec::new();
    for range in ranges(cx) {
        if !families.contains(&range.family()) {
            families.push(range.family());
        }
    }
    families
}

/// The addresses that a service holds.
fn held(service: &Value) -> Vec<&str> {
    strings(service, "clusterIPs").into_iter().filter(|ip| *ip != "None").collect()
}

/// Gives the service an address of each of its families, and takes back those that it holds no more.
pub(super) fn allocate(cx: &Context<'_>, service: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    let before = old.map_or_else(Vec::new, held);
    let needs = Needs::of(service);
    if needs.cluster_ip() && !needs.headless() {
        let mut ips: Vec<String> = strings(service, "clusterIPs").into_iter().map(str::to_owned).collect();
        for ip in ips.iter().filter(|ip| !before.contains(&ip.as_str())) {
            take(cx, service, ip)?;
        }
        for wanted in strings(service, "ipFamilies").into_iter().skip(ips.len()) {
            ips.push(take_any(cx, service, wanted)?);
        }
        if let Some(spec) = service.as_object_mut().map(|o| o.object_mut("spec")) {
            spec.insert("clusterIP", ips.first().cloned().unwrap_or_default());
            spec.insert("clusterIPs", ips);
        }
    }
    let now = held(service);
    for ip in before.into_iter().filter(|ip| !now.contains(ip)) {
        give_back(cx, ip);
    }
    Ok(())
}

/// Gives back every address of a service that is deleted.
pub(super) fn release(cx: &Context<'_>, service: &Value) {
    for ip in held(service) {
        give_back(cx, ip);
    }
}

/// Takes the address that the client asked for.
fn take(cx: &Context<'_>, service: &Value, ip: &str) -> Result<(), Status> {
    let why = match ip.parse::<IpAddr>() {
        Err(error) => error.to_string(),
        Ok(address) if !ranges(cx).iter().any(|r| r.contains(address)) => {
            "the provided network does not match the current range".to_owned()
        }
        Ok(address) if cx.lookup.exists(&networking("ipaddresses"), "", &address.to_string()) => {
            "provided IP is already allocated".to_owned()
        }
        Ok(address) => {
            cx.also(reservation(cx, service, address));
            return Ok(());
        }
    };
    let list = service.at(&["spec", "clusterIPs"]).cloned().unwrap_or_default();
    refuse(
        service,
        FieldError::invalid("spec.clusterIPs", list, format!("failed to allocate IP {ip}: {why}")),
    )
}

/// Takes any free address of a family.
fn take_any(cx: &Context<'_>, service: &Value, wanted: &str) -> Result<String, Status> {
    for range in ranges(cx).into_iter().filter(|r| r.family() == wanted) {
        let free = range
            .addresses(rand::random())
            .find(|ip| !cx.lookup.exists(&networking("ipaddresses"), "", &ip.to_string()));
        if let Some(ip) = free {
            cx.also(reservation(cx, service, ip));
            return Ok(ip.to_string());
        }
    }
    Err(Status::internal("failed to allocate a serviceIP: range is full"))
}

fn key(ip: &str) -> Arc<str> {
    format!("/registry/networking.k8s.io/ipaddresses/{ip}").into()
}

/// Writes the `IPAddress` of an address that is believed to be free.
fn reservation(cx: &Context<'_>, service: &Value, ip: IpAddr) -> Op {
    let name = ip.to_string();
    let mut parent = Map::new();
    parent.insert("name", service.name());
    parent.insert("namespace", service.namespace());
    parent.insert("resource", "services");
    let mut object = Value::Object(Map::new());
    object.set_meta("name", name.as_str());
    object.set_meta("uid", uuid::Uuid::new_v4().to_string());
    object.set_meta("generation", 1);
    object.set_meta("creationTimestamp", format_time(cx.now));
    let labels = object.meta_mut().object_mut("labels");
    labels.insert("ipaddress.kubernetes.io/ip-family", family(ip));
    labels.insert("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
    if let Value::Object(map) = &mut object {
        map.object_mut("spec").insert("parentRef", parent);
    }
    Op::Put { key: key(&name), expect: Expect::Absent, value: encode::stored(&object, &prefix()) }
}

fn prefix() -> String {
    encode::type_prefix("IPAddress", "networking.k8s.io/v1")
}

fn give_back(cx: &Context<'_>, ip: &str) {
    let last =
        cx.lookup.get(&networking("ipaddresses"), "", ip).map(|object| encode::stored(&object, &prefix()));
    cx.also(Op::Delete { key: key(ip), expect: Expect::Any, last });
}
