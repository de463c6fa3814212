//! Services: addresses and node ports are allocated in the transaction that writes the service.
//!
//! An address is taken by an `IPAddress` object of its name, a node port by a reservation key; both are
//! written with the expectation that they are absent, so that two services never get the same one and
//! none is lost when a write fails. What one snapshot shows as free may be taken at the commit: then the
//! engine runs the write again.

mod addresses;
mod families;
mod ports;
mod range;

use sampan_apiserver::Context;
use sampan_model::{Status, Value};

use crate::strategy::Extra;

/// The range from which service addresses are taken unless it is configured otherwise.
pub(crate) const DEFAULT_CIDR: &str = "10.96.0.0/12";
/// The address of the service `kubernetes`: the first of the default range.
pub(crate) const KUBERNETES_IP: &str = "10.96.0.1";

/// What services do with other objects.
pub(crate) const EXTRA: Extra = Extra {
    create: Some(create),
    update: Some(update),
    delete: Some(delete),
    holds_deletion: None,
    prepare_deletion: None,
    deletion_warning: None,
};

fn create(cx: &Context<'_>, service: &mut Value) -> Result<(), Status> {
    families::decide(cx, service, None)?;
    addresses::allocate(cx, service, None)?;
    ports::allocate(cx, service)
}

fn update(cx: &Context<'_>, service: &mut Value, old: &Value) -> Result<(), Status> {
    families::decide(cx, service, Some(old))?;
    addresses::allocate(cx, service, Some(old))?;
    ports::reallocate(cx, service, old)
}

fn delete(cx: &Context<'_>, service: &Value) {
    addresses::release(cx, service);
    ports::release(cx, service);
}

/// What the type of a service says of it.
pub(super) struct Needs<'a> {
    service_type: &'a str,
    service: &'a Value,
}

impl<'a> Needs<'a> {
    pub(super) fn of(service: &'a Value) -> Self {
        let service_type = match service.str_at(&["spec", "type"]) {
            "" => "ClusterIP",
            other => other,
        };
        Self { service_type, service }
    }

    /// Every type but an external name has an address (which may be `None`).
    pub(super) fn cluster_ip(&self) -> bool {
        self.service_type != "ExternalName"
    }

    pub(super) fn load_balancer(&self) -> bool {
        self.service_type == "LoadBalancer"
    }

    pub(super) fn node_ports(&self) -> bool {
        matches!(self.service_type, "NodePort" | "LoadBalancer")
    }

    /// Whether ports without a node port get one.
    pub(super) fn node_ports_by_default(&self) -> bool {
        let declined =
            self.service.at(&["spec", "allocateLoadBalancerNodePorts"]) == Some(&Value::Bool(false));
        self.service_type == "NodePort" || (self.load_balancer() && !declined)
    }

    pub(super) fn health_check_port(&self) -> bool {
        self.load_balancer() && self.service.str_at(&["spec", "externalTrafficPolicy"]) == "Local"
    }

    pub(super) fn headless(&self) -> bool {
        self.cluster_ip() && self.service.str_at(&["spec", "clusterIP"]) == "None"
    }
}

/// The strings of a list in the spec.
pub(super) fn strings<'a>(service: &'a Value, field: &str) -> Vec<&'a str> {
    service.array_at(&["spec", field]).iter().filter_map(Value::as_str).collect()
}

/// A number of a map; 0 when there is none.
pub(super) fn number(object: &Value, field: &str) -> i64 {
    object.get(field).and_then(Value::as_i64).unwrap_or(0)
}
