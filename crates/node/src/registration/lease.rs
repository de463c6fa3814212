//! The Lease by which a node says that it is alive.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};

/// The namespace of such leases.
pub const NAMESPACE: &str = "kube-node-lease";
/// After so many seconds without a renewal the node counts as gone.
pub const DURATION_SECONDS: i32 = 40;
/// How often it is renewed: a quarter of that.
pub const PERIOD: Duration = Duration::from_secs(10);

/// The lease of node `name`, renewed now. It goes with the node, whose UID it names.
pub fn renewed(name: &str, node_uid: &str, now: SystemTime) -> Lease {
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: name.to_owned(),
        uid: node_uid.to_owned(),
        ..OwnerReference::default()
    };
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name.to_owned()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            renew_time: Some(MicroTime(Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH))),
            ..LeaseSpec::default()
        }),
    }
}
