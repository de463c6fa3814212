//! Looks after running containers: the hook after the start first, then the startup probe, then liveness and readiness side by side. One task a container.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, Probe};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::container::ContainerId;
use crate::lifecycle::Hook;
use crate::pods::memory::Unhealthy;
use crate::pods::parts::{self, Finding, Health, Reporter, Start, Verdict};
use crate::probe::metrics::{ContainerMetrics, Metrics};
use crate::probe::{self, Answer, Asked, Kind, Machine, Times};
use crate::runtime::Runtime;

/// A probe that cannot be asked is asked again, so often.
const ATTEMPTS: u32 = 3;

/// Looks after containers. See the module.
#[derive(Clone)]
pub struct Keeper {
    runtime: Arc<dyn Runtime>,
    reporter: Arc<dyn Reporter>,
    /// Addresses of the node: those of pods on its network.
    host_ips: Arc<[IpAddr]>,
    metrics: Metrics,
}

impl Keeper {
    /// One for all containers of a node.
    pub fn new(
        runtime: Arc<dyn Runtime>,
        reporter: Arc<dyn Reporter>,
        host_ips: &[IpAddr],
        metrics: Metrics,
    ) -> Self {
        Self { runtime, reporter, host_ips: host_ips.into(), metrics }
    }

    /// Where a pod is asked.
    fn address(&self, pod_ips: &[IpAddr], pod: &Pod) -> Option<IpAddr> {
        let told = || pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok();
        let on_host = pod.spec.as_ref().and_then(|s| s.host_network) == Some(true);
        let host = || self.host_ips.first().copied().filter(|_| on_host);
        pod_ips.first().copied().or_else(host).or_else(told)
    }
}

#[async_trait]
impl Health for Keeper {
    async fn run_hook(
        &self,
        pod: &Pod,
        container: &Container,
        id: &ContainerId,
        hook: &LifecycleHandler,
    ) -> Result<(), String> {
        let address = self.address(&[], pod);
        let asked = Asked { runtime: &self.runtime, container, id, address };
        Hook { asked, pod, reporter: &*self.reporter, metrics: &self.metrics }.run(hook).await
    }

    fn look_after(
        &self,
        pod: &Arc<Pod>,
        container: &Container,
        start: Start,
        findings: mpsc::Sender<Finding>,
    ) -> Box<dyn Send> {
        let watch = Watch {
            address: self.address(&start.pod_ips, pod),
            keeper: self.clone(),
            pod: Arc::clone(pod),
            container: container.clone(),
            counts: ContainerMetrics::new(&self.metrics, pod, &container.name),
            start,
            findings,
        };
        Box::new(Guard(tokio::spawn(async move {
            // The worker may be gone: then nobody wants to know.
            let _ = watch.run().await;
        })))
    }
}

/// Ends a task when it is dropped.
struct Guard(JoinHandle<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One container that is looked after.
struct Watch {
    keeper: Keeper,
    pod: Arc<Pod>,
    container: Container,
    counts: ContainerMetrics,
    start: Start,
    address: Option<IpAddr>,
    findings: mpsc::Sender<Finding>,
}

/// The worker is gone.
struct Gone;

impl Watch {
    async fn run(self) -> Result<(), Gone> {
        if !self.has_begun().await? {
            return Ok(());
        }
        self.find(Verdict::Started).await?;
        tokio::try_join!(self.keep(Kind::Liveness), self.keep(Kind::Readiness)).map(|_| ())
    }

    /// Whether hook and startup probe have succeeded.
    async fn has_begun(&self) -> Result<bool, Gone> {
        let hook = self.container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref());
        if let Some(hook) = hook.filter(|_| self.start.is_new) {
            let reporter = &*self.keeper.reporter;
            let asked = self.asked();
            let ran = Hook { asked, pod: &self.pod, reporter, metrics: &self.keeper.metrics }.run(hook);
            let ran = Box::pin(ran).await;
            if let Err(message) = ran {
                tracing::warn!(container = %self.start.id, message, "the hook after the start failed");
                self.event("FailedPostStartHook", "PostStartHook failed");
                let message = "FailedPostStartHook".into();
                self.find(Verdict::Unhealthy(Unhealthy { message, grace: None })).await?;
                return Ok(false);
            }
        }
        if Kind::Startup.of(&self.container).is_none() {
            return Ok(true);
        }
        self.keep(Kind::Startup).await
    }

    /// Asks until there is nothing more to ask: the container has started, or is to be killed. Whether all was well in the end.
    async fn keep(&self, kind: Kind) -> Result<bool, Gone> {
        let Some(probe) = kind.of(&self.container) else { return Ok(true) };
        let jitter = if self.start.is_new { 0.0 } else { rand::random_range(0.0..1.0) };
        let times = Times::new(probe, self.start.started_at, SystemTime::now(), jitter);
        let mut ticks = tokio::time::interval_at(Instant::now() + times.delay, times.period);
        // A slow answer is no reason to ask twice in a row.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut machine = Machine::new(probe);
        let mut told = None;
        loop {
            ticks.tick().await;
            let Some(healthy) = machine.take(self.ask(kind, probe).await) else { continue };
            match (kind, healthy) {
                (Kind::Startup, true) => return Ok(true),
                (Kind::Startup | Kind::Liveness, false) => {
                    self.find(Verdict::Unhealthy(self.verdict(kind, probe))).await?;
                    return Ok(false);
                }
                (Kind::Liveness, true) => {}
                (Kind::Readiness, _) if told != Some(healthy) => {
                    told = Some(healthy);
                    self.find(Verdict::Ready(healthy)).await?;
                }
                (Kind::Readiness, _) => {}
            }
        }
    }

    /// Asks once, and tells what is wrong. What it needs to ask is there only meanwhile: most of the time a container is waited for.
    async fn ask(&self, kind: Kind, probe: &Probe) -> bool {
        let mut answer = Box::pin(probe::ask(self.asked(), probe)).await;
        for _ in 1..ATTEMPTS {
            if !matches!(answer, Answer::Error(_)) {
                break;
            }
            answer = Box::pin(probe::ask(self.asked(), probe)).await;
        }
        self.counts.count(kind, &answer);
        let name = kind.name();
        match &answer {
            Answer::Success => {}
            Answer::Warning(output) => self.event("ProbeWarning", &format!("{name} probe warning: {output}")),
            Answer::Failure(output) => self.event("Unhealthy", &format!("{name} probe failed: {output}")),
            Answer::Error(error) => self
                .event("Unhealthy", &format!("{name} probe errored and resulted in unknown state: {error}")),
        }
        matches!(answer, Answer::Success | Answer::Warning(_))
    }

    /// Why the container is to be killed.
    fn verdict(&self, kind: Kind, probe: &Probe) -> Unhealthy {
        let name = &self.container.name;
        let probe_name = if kind == Kind::Startup { "startup" } else { "liveness" };
        let own = self.container.restart_policy.as_deref();
        let pods = self.pod.spec.as_ref().and_then(|s| s.restart_policy.as_deref());
        let restarts = own.or(pods) != Some("Never");
        let ending = if restarts { ", will be restarted" } else { "" };
        let grace = probe.termination_grace_period_seconds.and_then(|s| u64::try_from(s).ok());
        Unhealthy {
            message: format!("Container {name} failed {probe_name} probe{ending}"),
            grace: grace.map(std::time::Duration::from_secs),
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            runtime: &self.keeper.runtime,
            container: &self.container,
            id: &self.start.id,
            address: self.address,
        }
    }

    fn event(&self, reason: &str, message: &str) {
        let name = Some(self.container.name.as_str());
        self.keeper.reporter.event(&self.pod, name, parts::Kind::Warning, reason, message);
    }

    async fn find(&self, verdict: Verdict) -> Result<(), Gone> {
        let finding = Finding { id: self.start.id.clone(), verdict };
        self.findings.send(finding).await.map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests;
