//! Which rules belong to which kind.

use crate::{KindRules, apps, autoscaling, batch, certificates, core};

/// The rules of a kind, or `None` for a kind that has none (all that is true of every kind then holds).
pub fn rules(group: &str, kind: &str) -> Option<&'static KindRules> {
    Some(match (group, kind) {
        ("", "ConfigMap") => &core::config::CONFIG_MAP,
        ("", "Endpoints") => &core::endpoints::RULES,
        ("", "Event") => &core::event::CORE,
        ("", "LimitRange") => &core::quota::LIMIT_RANGE,
        ("", "Namespace") => &core::namespace::RULES,
        ("", "Node") => &core::node::RULES,
        ("", "PersistentVolume") => &core::volume::RULES,
        ("", "PersistentVolumeClaim") => &core::claim::RULES,
        ("", "Pod") => &core::pod::RULES,
        ("", "PodTemplate") => &core::controller::TEMPLATE,
        ("", "ReplicationController") => &core::controller::CONTROLLER,
        ("", "ResourceQuota") => &core::quota::QUOTA,
        ("", "Secret") => &core::config::SECRET,
        ("", "Service") => &core::service::RULES,
        ("", "ServiceAccount") => &core::account::RULES,
        ("apps", "ControllerRevision") => &apps::revision::RULES,
        ("apps", "DaemonSet") => &apps::daemon_set::RULES,
        ("apps", "Deployment") => &apps::deployment::RULES,
        ("apps", "ReplicaSet") => &apps::replica_set::RULES,
        ("apps", "StatefulSet") => &apps::stateful_set::RULES,
        ("autoscaling", "HorizontalPodAutoscaler") => &autoscaling::RULES,
        ("batch", "CronJob") => &batch::cron_job::RULES,
        ("batch", "Job") => &batch::job::RULES,
        ("certificates.k8s.io", "CertificateSigningRequest") => &certificates::REQUEST,
        ("certificates.k8s.io", "ClusterTrustBundle") => &certificates::TRUST_BUNDLE,
        ("events.k8s.io", "Event") => &core::event::NEW,
        _ => return None,
    })
}
