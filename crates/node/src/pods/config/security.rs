//! Who a container runs as, and what it may: what the pod says, and what the container says instead.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, SeccompProfile, SecurityContext};

use super::{Error, in_words, qos};
use crate::container::{Seccomp, Security};
use crate::image::Image;
use crate::pods::parts::NodeFacts;

/// Where `localhostProfile`s are, below the kubelet's directory.
const PROFILES: &str = "/var/lib/kubelet/seccomp";

pub(super) fn of(
    pod: &Pod,
    container: &Container,
    image: &Image,
    node: &NodeFacts,
) -> Result<Security, Error> {
    let nothing = PodSecurityContext::default();
    let pods = pod.spec.as_ref().and_then(|s| s.security_context.as_ref()).unwrap_or(&nothing);
    let nothing = SecurityContext::default();
    let own = container.security_context.as_ref().unwrap_or(&nothing);
    let user = own.run_as_user.or(pods.run_as_user);
    if own.run_as_non_root.or(pods.run_as_non_root) == Some(true) {
        is_not_root(pod, container, user, image)?;
    }
    let privileged = own.privileged == Some(true);
    let groups = pods.fs_group.into_iter().chain(pods.supplemental_groups.iter().flatten().copied());
    let supplemental_groups = groups.map(|g| number("group", g)).collect::<Result<_, _>>()?;
    let capabilities = |list: Option<&Vec<String>>| list.cloned().unwrap_or_default();
    let seccomp = own.seccomp_profile.as_ref().or(pods.seccomp_profile.as_ref());
    let apparmor = own.app_armor_profile.as_ref().or(pods.app_armor_profile.as_ref());
    Ok(Security {
        user: user.map(|u| number("user", u)).transpose()?,
        group: own.run_as_group.or(pods.run_as_group).map(|g| number("group", g)).transpose()?,
        supplemental_groups,
        strict_groups: pods.supplemental_groups_policy.as_deref() == Some("Strict"),
        privileged,
        read_only_root: own.read_only_root_filesystem == Some(true),
        no_new_privileges: !privileged && own.allow_privilege_escalation == Some(false),
        add_capabilities: capabilities(own.capabilities.as_ref().and_then(|c| c.add.as_ref())),
        drop_capabilities: capabilities(own.capabilities.as_ref().and_then(|c| c.drop.as_ref())),
        seccomp: if privileged { Seccomp::Unconfined } else { profile(seccomp) },
        apparmor: apparmor.and_then(|profile| match profile.type_.as_str() {
            "Localhost" => profile.localhost_profile.clone(),
            _ => None,
        }),
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
        oom_score_adj: qos::oom_score_adjustment(pod, container, node.memory_bytes),
    })
}

fn is_not_root(pod: &Pod, container: &Container, user: Option<i64>, image: &Image) -> Result<(), Error> {
    let where_ = format!("(pod: \"{}\", container: {})", in_words(pod), container.name);
    match user {
        Some(0) => return Err(Error::Root(format!("container's runAsUser breaks non-root policy {where_}"))),
        Some(_) => return Ok(()),
        None => {}
    }
    let name = image.defaults.user.split(':').next().unwrap_or_default();
    match name.parse::<u32>() {
        Ok(0) => {}
        Ok(_) => return Ok(()),
        Err(_) if name.is_empty() => {}
        Err(_) => {
            return Err(Error::Root(format!(
                "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root {where_}"
            )));
        }
    }
    Err(Error::Root(format!("container has runAsNonRoot and image will run as root {where_}")))
}

fn number(what: &'static str, value: i64) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Error::Range { what, value })
}

fn profile(profile: Option<&SeccompProfile>) -> Seccomp {
    match profile.map(|p| (p.type_.as_str(), p.localhost_profile.as_deref())) {
        Some(("RuntimeDefault", _)) => Seccomp::RuntimeDefault,
        Some(("Localhost", Some(path))) => Seccomp::Localhost(PathBuf::from(PROFILES).join(path)),
        _ => Seccomp::Unconfined,
    }
}
