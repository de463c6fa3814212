//! All plug-ins that v1.36 knows, in the order in which they run.

use std::sync::Arc;

use sampan_apiserver::admission::Admission;
use sampan_model::Value;

use super::certificates::{Act, SignerPermission};
use super::resource_quota::{Limited, ResourceQuota};
use super::rule::{Asking, Plugin};
use super::{
    Deps, always, always_pull_images, certificates, default_ingress_class, default_storage_class,
    default_toleration_seconds, deny_service_external_ips, event_rate_limit, extended_resource_toleration,
    limit_pod_hard_anti_affinity_topology, limit_ranger, namespace_lifecycle, namespaces, node_restriction,
    owner_references, persistent_volume_claim_resize, pod_node_selector, pod_security,
    pod_toleration_restriction, pod_topology_labels, priority, runtime_class, service_account,
    storage_object_in_use_protection, taint_nodes_by_condition,
};

/// What making a plug-in gives: itself, or what is wrong with its configuration.
type Built = Result<Arc<dyn Admission>, String>;

/// A plug-in that v1.36 knows.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    /// Whether it runs unless it is disabled.
    pub(super) default: bool,
    /// Makes it; `None`: this version does not have it.
    pub(super) build: Option<fn(&Deps, Option<&Value>) -> Built>,
}

const fn on(name: &'static str, build: fn(&Deps, Option<&Value>) -> Built) -> Known {
    Known { name, default: true, build: Some(build) }
}

const fn off(name: &'static str, build: fn(&Deps, Option<&Value>) -> Built) -> Known {
    Known { name, default: false, build: Some(build) }
}

const fn missing(name: &'static str, default: bool) -> Known {
    Known { name, default, build: None }
}

/// A rule that needs nothing.
macro_rules! rule {
    ($rule:expr) => {
        |_, _| Ok(Arc::new(Plugin($rule)))
    };
}

/// The question whether a user may speak for a signer.
macro_rules! signer {
    ($act:expr) => {
        |deps, _| Ok(Arc::new(Asking(SignerPermission::new($act, Arc::clone(&deps.authorizer)))))
    };
}

/// Upstream's `AllOrderedPlugins`, and its defaults; but NodeRestriction runs by default, as in every cluster that
/// kubeadm makes.
pub(super) static ORDER: [Known; 41] = [
    off("AlwaysAdmit", rule!(always::AlwaysAdmit)),
    off("NamespaceAutoProvision", rule!(namespaces::NamespaceAutoProvision)),
    on("NamespaceLifecycle", rule!(namespace_lifecycle::NamespaceLifecycle)),
    off("NamespaceExists", rule!(namespaces::NamespaceExists)),
    off(
        "LimitPodHardAntiAffinityTopology",
        rule!(limit_pod_hard_anti_affinity_topology::LimitPodHardAntiAffinityTopology),
    ),
    on("LimitRanger", rule!(limit_ranger::LimitRanger)),
    on("ServiceAccount", rule!(service_account::ServiceAccount)),
    on("NodeRestriction", |deps, _| {
        Ok(Arc::new(Asking(node_restriction::NodeRestriction::new(Arc::clone(&deps.authorizer)))))
    }),
    on("TaintNodesByCondition", rule!(taint_nodes_by_condition::TaintNodesByCondition)),
    off("AlwaysPullImages", rule!(always_pull_images::AlwaysPullImages)),
    missing("ImagePolicyWebhook", false),
    on("PodSecurity", |_, config| {
        let config = config.map(pod_security::Configuration::from_value).transpose()?;
        Ok(Arc::new(pod_security::PodSecurity::new(config.unwrap_or_default())))
    }),
    off("PodNodeSelector", |_, config| {
        Ok(Arc::new(Plugin(pod_node_selector::PodNodeSelector::new(config)?)))
    }),
    on("Priority", rule!(priority::Priority)),
    on("DefaultTolerationSeconds", rule!(default_toleration_seconds::DefaultTolerationSeconds)),
    off("PodTolerationRestriction", |_, config| {
        Ok(Arc::new(Plugin(pod_toleration_restriction::PodTolerationRestriction::new(config)?)))
    }),
    off("EventRateLimit", |_, config| Ok(Arc::new(Plugin(event_rate_limit::EventRateLimit::new(config)?)))),
    off("ExtendedResourceToleration", rule!(extended_resource_toleration::ExtendedResourceToleration)),
    on("DefaultStorageClass", rule!(default_storage_class::DefaultStorageClass)),
    on("StorageObjectInUseProtection", rule!(storage_object_in_use_protection::StorageObjectInUseProtection)),
    missing("PodGroupProtection", true),
    off("OwnerReferencesPermissionEnforcement", |deps, _| {
        let authorizer = Arc::clone(&deps.authorizer);
        Ok(Arc::new(Asking(owner_references::OwnerReferencesPermissionEnforcement::new(authorizer))))
    }),
    on("PersistentVolumeClaimResize", rule!(persistent_volume_claim_resize::PersistentVolumeClaimResize)),
    on("RuntimeClass", rule!(runtime_class::RuntimeClass)),
    on("CertificateApproval", signer!(Act::Approve)),
    on("CertificateSigning", signer!(Act::Sign)),
    on("ClusterTrustBundleAttest", signer!(Act::Attest)),
    on("CertificateSubjectRestriction", rule!(certificates::CertificateSubjectRestriction)),
    on("DefaultIngressClass", rule!(default_ingress_class::DefaultIngressClass)),
    off("DenyServiceExternalIPs", rule!(deny_service_external_ips::DenyServiceExternalIPs)),
    on("PodTopologyLabels", rule!(pod_topology_labels::PodTopologyLabels)),
    missing("PodGroupWorkloadExists", true),
    missing("NodeDeclaredFeatureValidator", true),
    missing("JobValidation", true),
    missing("PodResizeValidator", true),
    missing("MutatingAdmissionPolicy", true),
    missing("MutatingAdmissionWebhook", true),
    missing("ValidatingAdmissionPolicy", true),
    missing("ValidatingAdmissionWebhook", true),
    // What is refused later must not have been charged to a quota.
    on("ResourceQuota", |deps, config| {
        let limited = config.map(Limited::read_all).transpose()?.unwrap_or_default();
        Ok(Arc::new(ResourceQuota::new(Arc::clone(&deps.store), limited)))
    }),
    off("AlwaysDeny", rule!(always::AlwaysDeny)),
];
