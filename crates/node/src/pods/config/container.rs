//! A container as a runtime is given it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use super::{Error, files, log_path, resources, security, termination_log};
use crate::container::{ContainerConfig, ContainerId, Device, Mount, Propagation};
use crate::environment::expand;
use crate::image::Image;
use crate::pods::parts::NodeFacts;

/// What a container is made of, besides its spec.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Which start.
    pub id: &'a ContainerId,
    /// Its image.
    pub image: &'a Image,
    /// Its environment.
    pub environment: &'a [(String, String)],
    /// Where each of its volume mounts is on the host, in their order: sub-paths are resolved.
    pub mounts: &'a [PathBuf],
    /// Where each of its volume devices is on the host, in their order.
    pub devices: &'a [PathBuf],
    /// The node.
    pub node: &'a NodeFacts,
}

/// The container. What the runtime's labels say is all that is known of it after a restart.
pub fn container(container: &Container, inputs: &Inputs<'_>) -> Result<ContainerConfig, Error> {
    let Inputs { pod, id, image, environment, node, .. } = *inputs;
    let value_of =
        |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let expanded =
        |list: Option<&Vec<String>>| list.into_iter().flatten().map(|text| expand(text, value_of)).collect();
    let stop_signal = container.lifecycle.as_ref().and_then(|l| l.stop_signal.clone());
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Ok(ContainerConfig {
        id: id.clone(),
        image_id: image.id.clone(),
        image: container.image.clone().unwrap_or_default(),
        command: expanded(container.command.as_ref()),
        args: expanded(container.args.as_ref()),
        environment: environment.to_vec(),
        working_directory: container.working_dir.clone().filter(|d| !d.is_empty()),
        mounts: mounts(container, inputs)?,
        devices: devices(container, inputs),
        security: security::of(pod, container, image, node)?,
        resources: resources::of_container(container.resources.as_ref())?,
        terminal: container.tty == Some(true),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        stop_signal,
        log_path: log_path(id),
        labels: BTreeMap::from([
            ("io.kubernetes.container.name".to_owned(), container.name.clone()),
            ("io.kubernetes.pod.name".to_owned(), text(&pod.metadata.name)),
            ("io.kubernetes.pod.namespace".to_owned(), text(&pod.metadata.namespace)),
            ("io.kubernetes.pod.uid".to_owned(), id.pod.as_str().to_owned()),
        ]),
    })
}

fn mounts(container: &Container, inputs: &Inputs<'_>) -> Result<Vec<Mount>, Error> {
    let wanted: Vec<&VolumeMount> = container.volume_mounts.iter().flatten().collect();
    let mut mounts = Vec::with_capacity(wanted.len() + 2);
    for (place, mount) in wanted.iter().enumerate() {
        let host_path = inputs.mounts.get(place).ok_or_else(|| Error::NoVolume(mount.name.clone()))?;
        let read_only = mount.read_only == Some(true) || is_read_only(inputs.pod, &mount.name);
        mounts.push(Mount {
            host_path: host_path.clone(),
            container_path: absolute(&mount.mount_path),
            read_only,
            recursive_read_only: mount.read_only == Some(true)
                && matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible")),
            propagation: match mount.mount_propagation.as_deref() {
                Some("HostToContainer") => Propagation::HostToContainer,
                Some("Bidirectional") => Propagation::Bidirectional,
                _ => Propagation::Private,
            },
        });
    }
    let mut own = |host_path: PathBuf, container_path: PathBuf| {
        // What a volume was mounted on is the pod's own business.
        if !mounts.iter().any(|m| m.container_path == container_path) {
            mounts.push(Mount {
                host_path,
                container_path,
                read_only: false,
                recursive_read_only: false,
                propagation: Propagation::Private,
            });
        }
    };
    own(files::hosts(inputs.node, &inputs.id.pod), PathBuf::from("/etc/hosts"));
    if let Some(path) = container.termination_message_path.as_deref().filter(|p| !p.is_empty()) {
        own(termination_log(inputs.node, inputs.id), absolute(path));
    }
    Ok(mounts)
}

/// Whether no container may write to a volume, whatever its mount says: the node alone writes what is made of objects, and follows them.
fn is_read_only(pod: &Pod, volume: &str) -> bool {
    let all = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    all.into_iter().find(|known| known.name == volume).is_some_and(|known| {
        let claim = known.persistent_volume_claim.as_ref();
        known.config_map.is_some()
            || known.secret.is_some()
            || known.downward_api.is_some()
            || known.projected.is_some()
            || claim.is_some_and(|claim| claim.read_only == Some(true))
    })
}

/// A path that is not absolute is meant from the root.
fn absolute(path: &str) -> PathBuf {
    Path::new("/").join(path)
}

fn devices(container: &Container, inputs: &Inputs<'_>) -> Vec<Device> {
    let wanted = container.volume_devices.iter().flatten().zip(inputs.devices);
    wanted
        .map(|(device, host_path)| Device {
            host_path: host_path.clone(),
            container_path: absolute(&device.device_path),
            permissions: "mrw".into(),
        })
        .collect()
}
