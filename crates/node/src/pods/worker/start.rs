//! The longer things that a worker has done: making the sandbox, starting and stopping a container, reading its last words.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::container::{ContainerId, PodUid};
use crate::environment::expand;
use crate::image::{self, Image};
use crate::pods::config::{self, pull_policy};
use crate::pods::parts::{Kind, Parts};
use crate::pods::roles;
use crate::runtime;
use crate::words::in_words;

/// The most of a termination message that is told, in bytes.
const MESSAGE_BYTES: usize = 4096;

/// Why a container could not be started.
#[derive(Debug)]
pub(super) struct Failed {
    /// In one word, as a waiting container shows it.
    pub(super) reason: &'static str,
    pub(super) message: String,
    /// Whether its image could not be pulled.
    pub(super) is_pull: bool,
}

impl Failed {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), is_pull: false }
    }
}

/// Makes the pod's sandbox.
pub(super) async fn sandbox(parts: &Parts, pod: &Pod) -> Result<(), String> {
    let config = config::sandbox(pod, &parts.node).map_err(|error| error.to_string())?;
    parts.runtime.start_sandbox(&config).await.map(|_| ()).map_err(|error| in_words(&error))
}

/// Brings the image, creates the container and starts it.
pub(super) async fn container(
    parts: &Parts,
    pod: &Pod,
    id: &ContainerId,
    pod_ips: &[IpAddr],
) -> Result<ContainerId, Failed> {
    let spec =
        pod.spec.as_ref().ok_or_else(|| Failed::new("CreateContainerConfigError", "the pod has no spec"))?;
    let ephemeral = config::ephemeral(spec, &id.name);
    let container =
        ephemeral.as_ref().or_else(|| roles::containers(spec).map(|(c, _)| c).find(|c| c.name == id.name));
    let Some(container) = container else {
        return Err(Failed::new("CreateContainerConfigError", format!("container {} is not there", id.name)));
    };
    let image = bring_image(parts, pod, container).await?;
    let told = |failed: Failed| {
        parts.reporter.event(
            pod,
            Some(&id.name),
            Kind::Warning,
            "Failed",
            &format!("Error: {}", failed.message),
        );
        failed
    };
    let environment = parts.sources.environment(pod, container, pod_ips).await;
    let environment =
        environment.map_err(|message| told(Failed::new("CreateContainerConfigError", message)))?;
    for skipped in &environment.skipped {
        parts.reporter.event(pod, Some(&id.name), Kind::Warning, "InvalidEnvironmentVariableNames", skipped);
    }
    let (mounts, devices) = places(parts, container, id, &environment.variables)
        .await
        .map_err(|m| told(Failed::new("CreateContainerConfigError", m)))?;
    let inputs = config::Inputs {
        pod,
        id,
        image: &image,
        environment: &environment.variables,
        mounts: &mounts,
        devices: &devices,
        node: &parts.node,
    };
    let config = config::container(container, &inputs);
    let config =
        config.map_err(|error| told(Failed::new("CreateContainerConfigError", error.to_string())))?;
    config::files::write(pod, id, pod_ips, &parts.node).map_err(|error| {
        told(Failed::new("CreateContainerError", format!("cannot write the container's files: {error}")))
    })?;
    if let Err(error) = parts.runtime.create_container(&config).await {
        let reason = match error {
            runtime::Error::Config(_) => "CreateContainerConfigError",
            _ => "CreateContainerError",
        };
        return Err(told(Failed::new(reason, in_words(&error))));
    }
    parts.reporter.event(pod, Some(&id.name), Kind::Normal, "Created", "Container created");
    match parts.runtime.start_container(id).await {
        Ok(()) => {
            parts.reporter.event(pod, Some(&id.name), Kind::Normal, "Started", "Container started");
            Ok(id.clone())
        }
        // The runtime keeps it as a container that ended; the plan goes on from there.
        Err(runtime::Error::Start { message, .. }) => {
            parts.reporter.event(pod, Some(&id.name), Kind::Warning, "Failed", &format!("Error: {message}"));
            Ok(id.clone())
        }
        Err(error) => Err(told(Failed::new("RunContainerError", in_words(&error)))),
    }
}

/// Where a container's volume mounts and volume devices are on the host.
async fn places(
    parts: &Parts,
    container: &Container,
    id: &ContainerId,
    environment: &[(String, String)],
) -> Result<(Vec<PathBuf>, Vec<PathBuf>), String> {
    let missing = |volume: &str| format!("volume \"{volume}\" not found");
    let value_of =
        |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let mut mounts = Vec::new();
    for (place, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let sub_path = mount.sub_path.as_deref().filter(|p| !p.is_empty()).map(str::to_owned);
        let sub_path = sub_path.or_else(|| mount.sub_path_expr.as_deref().map(|e| expand(e, value_of)));
        mounts.push(match sub_path.filter(|p| !p.is_empty()) {
            Some(path) => parts.volumes.sub_path(id, place, &mount.name, &path).await?,
            None => parts.volumes.path(&id.pod, &mount.name).ok_or_else(|| missing(&mount.name))?,
        });
    }
    let devices = container.volume_devices.iter().flatten();
    let devices = devices.map(|d| parts.volumes.path(&id.pod, &d.name).ok_or_else(|| missing(&d.name)));
    Ok((mounts, devices.collect::<Result<_, _>>()?))
}

async fn bring_image(parts: &Parts, pod: &Pod, container: &Container) -> Result<Image, Failed> {
    let reference = container.image.as_deref().unwrap_or_default();
    let event = |kind, reason: &str, message: &str| {
        parts.reporter.event(pod, Some(&container.name), kind, reason, message);
    };
    let here = match parts.images.get(reference).await {
        Ok(here) => here,
        Err(error @ image::Error::InvalidName { .. }) => {
            let message = format!("Failed to apply default image tag \"{reference}\": {error}");
            event(Kind::Warning, "InspectFailed", &message);
            return Err(Failed { is_pull: true, ..Failed::new("InvalidImageName", message) });
        }
        Err(error) => {
            let message = format!("Failed to inspect image \"{reference}\": {}", in_words(&error));
            event(Kind::Warning, "InspectFailed", &message);
            return Err(Failed { is_pull: true, ..Failed::new("ImageInspectError", message) });
        }
    };
    let policy = pull_policy(container);
    match (policy, here) {
        ("IfNotPresent" | "Never", Some(image)) => {
            let message = format!("Container image \"{reference}\" already present on machine");
            event(Kind::Normal, "Pulled", &message);
            return Ok(image);
        }
        ("Never", None) => {
            let message = format!("Container image \"{reference}\" is not present with pull policy of Never");
            event(Kind::Warning, "ErrImageNeverPull", &message);
            return Err(Failed { is_pull: true, ..Failed::new("ErrImageNeverPull", message) });
        }
        _ => {}
    }
    event(Kind::Normal, "Pulling", &format!("Pulling image \"{reference}\""));
    let credentials = parts.sources.pull_credentials(pod, reference).await;
    let began = Instant::now();
    match parts.images.pull(reference, &credentials).await {
        Ok(image) => {
            let took = config::go_duration(began.elapsed());
            event(
                Kind::Normal,
                "Pulled",
                &format!(
                    "Successfully pulled image \"{reference}\" in {took} ({took} including waiting). Image size: {} bytes.",
                    image.size_bytes
                ),
            );
            Ok(image)
        }
        Err(error) => {
            let words = in_words(&error);
            event(Kind::Warning, "Failed", &format!("Failed to pull image \"{reference}\": {words}"));
            event(Kind::Warning, "Failed", "Error: ErrImagePull");
            Err(Failed { is_pull: true, ..Failed::new("ErrImagePull", words) })
        }
    }
}

/// Runs the hook before the stop (once), asks the container to end, and kills it when its time is over.
pub(super) async fn stop(
    parts: &Parts,
    pod: &Pod,
    container: Option<&Container>,
    id: &ContainerId,
    grace: Duration,
    with_hook: bool,
) -> Result<(), runtime::Error> {
    let began = Instant::now();
    let hook = container.and_then(|c| c.lifecycle.as_ref()).and_then(|l| l.pre_stop.as_ref());
    if let (Some(container), Some(hook), true) = (container, hook, with_hook && !grace.is_zero()) {
        let ran = tokio::time::timeout(grace, parts.health.run_hook(pod, container, id, hook)).await;
        if let Ok(Err(message)) = ran {
            // The event does not show it: it may be what a server said.
            tracing::warn!(container = %id, message, "the hook before the stop failed");
            let told = "PreStopHook failed";
            parts.reporter.event(pod, Some(&id.name), Kind::Warning, "FailedPreStopHook", told);
        }
    }
    // A hook that took all of the time leaves the container two seconds, as the kubelet does.
    let left = grace.saturating_sub(began.elapsed());
    let left =
        if with_hook && hook.is_some() && !grace.is_zero() { left.max(Duration::from_secs(2)) } else { left };
    parts.runtime.stop_container(id, left).await
}

/// Removes all that is left of a pod whose volumes are gone.
pub(super) async fn forget(parts: &Parts, uid: &PodUid) -> Result<(), String> {
    parts.runtime.remove_sandbox(uid).await.map_err(|error| in_words(&error))?;
    config::files::remove(&parts.node, uid)
        .map_err(|error| format!("cannot remove the directory of the pod: {error}"))
}

/// The last words of a container: its termination file, or the end of its log where the policy says so and it failed.
pub(super) fn termination_message(
    parts: &Parts,
    pod: &Pod,
    id: &ContainerId,
    container: &Container,
    has_failed: bool,
) -> String {
    let path = config::termination_log(&parts.node, id);
    let message = std::fs::read(&path).map(|bytes| tail(&bytes)).unwrap_or_default();
    let falls_back =
        has_failed && container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    if !message.is_empty() || !falls_back {
        return message;
    }
    let log = parts.node.logs.join(config::log_directory(pod)).join(config::log_path(id));
    std::fs::read(log).map(|bytes| last_lines(&bytes)).unwrap_or_default()
}

fn tail(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(MESSAGE_BYTES);
    String::from_utf8_lossy(&bytes[from..]).into_owned()
}

/// At most 80 lines and 2 KiB of a log in the CRI's format, without its times.
fn last_lines(log: &[u8]) -> String {
    const LINES: usize = 80;
    const BYTES: usize = 2048;
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> =
        text.lines().rev().take(LINES).filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
    let mut message = String::new();
    for line in lines.into_iter().rev() {
        message.push_str(line);
        message.push('\n');
    }
    let mut from = message.len().saturating_sub(BYTES);
    while !message.is_char_boundary(from) {
        from += 1;
    }
    message.split_off(from)
}
