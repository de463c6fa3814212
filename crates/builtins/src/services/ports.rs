//! Node ports: each is reserved by a key of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use sampan_apiserver::Context;
use sampan_model::{FieldError, Status, Value};
use sampan_store::{Expect, NewValue, Op};

use super::families::refuse;
use super::{Needs, number};

const RANGE: RangeInclusive<i64> = 30000..=32767;

fn key(port: i64) -> Arc<str> {
    format!("/registry/ranges/servicenodeports/{port}").into()
}

/// What one write takes.
struct Taker<'a, 'c> {
    cx: &'a Context<'c>,
    /// Taken by this write, or held by the service before.
    held: BTreeSet<i64>,
}

impl Taker<'_, '_> {
    fn is_free(&self, port: i64) -> bool {
        !self.held.contains(&port) && !self.cx.lookup.has_key(&key(port))
    }

    fn reserve(&mut self, port: i64) {
        self.held.insert(port);
        let value = NewValue { bytes: b"{}".to_vec(), ..NewValue::default() };
        self.cx.also(Op::Put { key: key(port), expect: Expect::Absent, value });
    }

    /// Takes the port that the client asked for.
    fn take(&mut self, port: i64) -> Result<(), String> {
        if !RANGE.contains(&port) {
            let (first, last) = (RANGE.start(), RANGE.end());
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {first}-{last}"
            ));
        }
        if !self.is_free(port) {
            return Err("provided port is already allocated".into());
        }
        self.reserve(port);
        Ok(())
    }

    /// Takes any free port: the upper ones first, the lower ones are left to those who ask for one.
    fn take_any(&mut self) -> Result<i64, String> {
        let (lower, upper) = (*RANGE.start()..30086, 30086..=*RANGE.end());
        let size = upper.end() - upper.start() + 1;
        let start = i64::from(rand::random::<u16>()) % size;
        let free = (0..size)
            .map(|i| upper.start() + (start + i) % size)
            .chain(lower)
            .find(|port| self.is_free(*port))
            .ok_or("range is full")?;
        self.reserve(free);
        Ok(free)
    }
}

fn ports_mut(service: &mut Value) -> Option<&mut Vec<Value>> {
    service.as_object_mut()?.object_mut("spec").get_mut("ports")?.as_array_mut()
}

fn set(service: &mut Value, index: usize, node_port: i64) {
    if let Some(port) = ports_mut(service).and_then(|p| p.get_mut(index)).and_then(Value::as_object_mut) {
        port.insert("nodePort", node_port);
    }
}

fn taken<T>(service: &Value, index: usize, port: i64, why: String) -> Result<T, Status> {
    refuse(service, FieldError::invalid(format!("spec.ports[{index}].nodePort"), port, why))
}

fn exhausted(why: &str) -> Status {
    Status::internal(format!("failed to allocate a nodePort: {why}"))
}

/// The node ports that a service holds, the health check's included.
fn held(service: &Value) -> BTreeSet<i64> {
    let ports = service.array_at(&["spec", "ports"]).iter().map(|p| number(p, "nodePort"));
    let health = service.get("spec").map_or(0, |s| number(s, "healthCheckNodePort"));
    ports.chain([health]).filter(|p| *p != 0).collect()
}

/// Gives a new service the node ports that it needs. Ports of one number (with different protocols) share one.
pub(super) fn allocate(cx: &Context<'_>, service: &mut Value) -> Result<(), Status> {
    let mut taker = Taker { cx, held: BTreeSet::new() };
    let needs = Needs::of(service);
    if needs.node_ports() {
        let by_default = needs.node_ports_by_default();
        let ports: Vec<(i64, i64)> = pairs(service);
        let mut chosen: BTreeMap<i64, i64> = BTreeMap::new();
        for (i, (port, asked)) in ports.iter().copied().enumerate() {
            if asked == 0 && !by_default {
                continue;
            }
            match chosen.get(&port) {
                Some(node_port) if asked == 0 || asked == *node_port => set(service, i, *node_port),
                Some(_) => taker.take(asked).or_else(|why| taken(service, i, asked, why))?,
                None => {
                    let wanted =
                        ports.iter().find(|(p, asked)| *p == port && *asked != 0).map(|(_, asked)| *asked);
                    let node_port = match wanted {
                        Some(wanted) => {
                            taker.take(wanted).or_else(|why| taken(service, i, wanted, why))?;
                            wanted
                        }
                        None => taker.take_any().map_err(|why| exhausted(&why))?,
                    };
                    set(service, i, node_port);
                    chosen.insert(port, node_port);
                }
            }
        }
    }
    health_check(&mut taker, service)
}

/// The number of each port, and the node port that it has or asks for.
fn pairs(service: &Value) -> Vec<(i64, i64)> {
    let ports = service.array_at(&["spec", "ports"]);
    ports.iter().map(|p| (number(p, "port"), number(p, "nodePort"))).collect()
}

/// Gives a changed service the node ports that it needs besides those it has, and takes back the others.
pub(super) fn reallocate(cx: &Context<'_>, service: &mut Value, old: &Value) -> Result<(), Status> {
    let before = held(old);
    let mut taker = Taker { cx, held: before.clone() };
    let needs = Needs::of(service);
    if needs.node_ports() {
        let by_default = needs.node_ports_by_default();
        for (i, (_, asked)) in pairs(service).into_iter().enumerate() {
            if asked != 0 {
                if !taker.held.contains(&asked) {
                    taker.take(asked).or_else(|why| taken(service, i, asked, why))?;
                }
            } else if by_default {
                let node_port = taker.take_any().map_err(|why| exhausted(&why))?;
                set(service, i, node_port);
            }
        }
    }
    health_check(&mut taker, service)?;
    let now = held(service);
    for port in before.difference(&now) {
        give_back(cx, *port);
    }
    Ok(())
}

/// The port on which nodes say whether they have endpoints of a service that keeps traffic local.
fn health_check(taker: &mut Taker<'_, '_>, service: &mut Value) -> Result<(), Status> {
    if !Needs::of(service).health_check_port() {
        return Ok(());
    }
    let asked = service.get("spec").map_or(0, |s| number(s, "healthCheckNodePort"));
    if asked == 0 {
        let port = taker.take_any().map_err(|why| {
            Status::internal(format!("failed to allocate a HealthCheck NodePort {asked}: {why}"))
        })?;
        if let Value::Object(map) = service {
            map.object_mut("spec").insert("healthCheckNodePort", port);
        }
    } else if !taker.held.contains(&asked) {
        taker.take(asked).map_err(|why| {
            Status::internal(format!("failed to allocate requested HealthCheck NodePort {asked}: {why}"))
        })?;
    }
    Ok(())
}

/// Gives back every node port of a service that is deleted.
pub(super) fn release(cx: &Context<'_>, service: &Value) {
    for port in held(service) {
        give_back(cx, port);
    }
}

fn give_back(cx: &Context<'_>, port: i64) {
    cx.also(Op::Delete { key: key(port), expect: Expect::Any, last: None });
}
