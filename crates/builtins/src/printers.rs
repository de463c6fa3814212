//! How the built-in kinds show in a table: columns from the table of columns, cells by area.

mod cells;
mod core;
mod network;
mod pods;
mod policy;
mod storage;
mod workloads;

use std::sync::Arc;

use jiff::Timestamp;
use sampan_apiserver::{Column, TableConvertor};
use sampan_model::{Str, Value};

/// Lines that end with U+001E; see `build.rs`.
static COLUMNS: &str = include_str!(concat!(env!("OUT_DIR"), "/columns.tab"));

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The cells of an object.
type Cells = fn(&Value, Timestamp) -> Vec<Value>;

/// What is to be said of an object's row as a whole.
type Conditions = fn(&Value) -> Vec<Value>;

#[derive(Debug)]
struct Printer {
    columns: Vec<Column>,
    cells: Cells,
    conditions: Option<Conditions>,
}

impl TableConvertor for Printer {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        (self.cells)(object, now)
    }

    fn conditions(&self, object: &Value) -> Vec<Value> {
        self.conditions.map_or_else(Vec::new, |conditions| conditions(object))
    }
}

/// The table of a resource.
pub(crate) fn convertor(group: &str, version: &str, resource: &str) -> Arc<dyn TableConvertor> {
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut columns: Vec<Column> = COLUMNS
        .split('\u{1e}')
        .filter_map(|line| {
            line.strip_prefix(group_version.as_str())?
                .strip_prefix('\t')?
                .strip_prefix(resource)?
                .strip_prefix('\t')
        })
        .map(column)
        .collect();
    if columns.is_empty() {
        columns = ["Name\tstring\tname\t0\t-", "Created At\tdate\t-\t0\t-"].map(column).into();
    }
    let conditions: Option<Conditions> = ((group, resource) == ("", "pods")).then_some(pods::conditions);
    Arc::new(Printer { columns, cells: cells(group, resource), conditions })
}

fn column(line: &'static str) -> Column {
    let mut words = line.split('\t').map(|c| if c == "-" { "" } else { c });
    let mut next = || words.next().unwrap_or("");
    let name = next();
    Column {
        name: Str::const_new(name),
        column_type: Str::const_new(next()),
        format: Str::const_new(next()),
        priority: next().parse().unwrap_or(0),
        description: Str::const_new(match name {
            "Name" => NAME,
            "Age" | "Created At" => CREATED,
            _ => next(),
        }),
    }
}

fn cells(group: &str, resource: &str) -> Cells {
    match (group, resource) {
        ("", "pods") => pods::pod,
        ("", "componentstatuses") => core::component_status,
        ("", "configmaps") => core::config_map,
        ("", "endpoints") => network::endpoints,
        ("" | "events.k8s.io", "events") => core::event,
        ("", "namespaces") => core::namespace,
        ("", "nodes") => core::node,
        ("", "persistentvolumeclaims") => storage::claim,
        ("", "persistentvolumes") => storage::volume,
        ("", "podtemplates") => workloads::pod_template,
        ("", "replicationcontrollers") => workloads::replication_controller,
        ("", "resourcequotas") => core::quota,
        ("", "secrets") => core::secret,
        ("", "serviceaccounts") => core::name_and_age,
        ("", "services") => network::service,
        (
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations" | "validatingwebhookconfigurations",
        ) => policy::webhooks,
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => policy::mutating_policy,
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => policy::validating_policy,
        ("admissionregistration.k8s.io", _) => policy::policy_binding,
        ("apiregistration.k8s.io", _) => policy::api_service,
        ("apps", "controllerrevisions") => workloads::controller_revision,
        ("apps", "daemonsets") => workloads::daemon_set,
        ("apps", "deployments") => workloads::deployment,
        ("apps", "replicasets") => workloads::replica_set,
        ("apps", "statefulsets") => workloads::stateful_set,
        ("autoscaling", _) => workloads::autoscaler,
        ("batch", "cronjobs") => workloads::cron_job,
        ("batch", "jobs") => workloads::job,
        ("certificates.k8s.io", _) => policy::signing_request,
        ("coordination.k8s.io", _) => policy::lease,
        ("discovery.k8s.io", _) => network::endpoint_slice,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => policy::flow_schema,
        ("flowcontrol.apiserver.k8s.io", _) => policy::priority_level,
        ("networking.k8s.io", "ingressclasses") => network::ingress_class,
        ("networking.k8s.io", "ingresses") => network::ingress,
        ("networking.k8s.io", "ipaddresses") => network::ip_address,
        ("networking.k8s.io", "networkpolicies") => network::network_policy,
        ("networking.k8s.io", "servicecidrs") => network::service_cidr,
        ("node.k8s.io", _) => policy::runtime_class,
        ("policy", "poddisruptionbudgets") => workloads::disruption_budget,
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => policy::role_binding,
        ("resource.k8s.io", "resourceclaims") => storage::resource_claim,
        ("resource.k8s.io", "resourceslices") => storage::resource_slice,
        ("resource.k8s.io", _) => core::name_and_age,
        ("scheduling.k8s.io", _) => policy::priority_class,
        ("storage.k8s.io", "csidrivers") => storage::driver,
        ("storage.k8s.io", "csinodes") => storage::csi_node,
        ("storage.k8s.io", "storageclasses") => storage::storage_class,
        ("storage.k8s.io", "volumeattachments") => storage::attachment,
        ("storage.k8s.io", "volumeattributesclasses") => storage::attributes_class,
        _ => core::created_at,
    }
}
