//! Hooks: what a container asks for after its start and before its end.
//!
//! A failed hook's details stay in the log of the node: they may show what events are not to.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use crate::pods::parts::{Kind, Reporter};
use crate::probe::metrics::Metrics;
use crate::probe::{self, Asked, HttpFailed};
use crate::words::pod_name;

/// What a hook works with.
#[derive(Clone, Copy)]
pub(crate) struct Hook<'a> {
    pub(crate) asked: Asked<'a>,
    pub(crate) pod: &'a Pod,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) metrics: &'a Metrics,
}

impl Hook<'_> {
    /// Runs a hook to its end, whatever time that takes.
    pub(crate) async fn run(self, handler: &LifecycleHandler) -> Result<(), String> {
        let container = self.asked.container;
        let failed = |what: String, error: String, output: &str| {
            let pod = pod_name(self.pod);
            let message = format!(
                "{what} for Container {:?} in Pod {pod:?} failed - error: {error}{output}",
                container.name
            );
            Err(message)
        };
        if let Some(action) = &handler.exec {
            let command = action.command.clone().unwrap_or_default();
            let what = || format!("Exec lifecycle hook ([{}])", command.join(" "));
            return match probe::run_command(self.asked.runtime, self.asked.id, &command).await {
                Ok((0, _)) => Ok(()),
                Ok((code, output)) => failed(
                    what(),
                    format!("command '{}' exited with {code}", command.join(" ")),
                    &format!(", message: {output:?}"),
                ),
                Err(error) => failed(what(), error, ", message: \"\""),
            };
        }
        if let Some(action) = &handler.http_get {
            let path = action.path.as_deref().unwrap_or_default();
            let what = format!("HTTP lifecycle hook ({path})");
            return match self.get(action, container).await {
                Ok(()) => Ok(()),
                Err(error) => failed(what, error, ""),
            };
        }
        if let Some(action) = &handler.sleep {
            let seconds = u64::try_from(action.seconds).unwrap_or_default();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            return Ok(());
        }
        // `tcpSocket` is in the API for old objects only, and fails when it is to be run.
        Err("Cannot run handler: invalid handler".into())
    }

    /// Any answer will do. Whoever does not speak TLS though the hook says so is asked without it, as hooks always were before 1.26.
    async fn get(
        self,
        action: &k8s_openapi::api::core::v1::HTTPGetAction,
        container: &Container,
    ) -> Result<(), String> {
        let host = self.asked.address.map(|ip| ip.to_string()).unwrap_or_default();
        let mut request = probe::http_request(action, container, &host, "kube-lifecycle/1.36")?;
        match probe::get(&request).await {
            Ok(_) => Ok(()),
            Err((url, HttpFailed::NotTls)) => {
                request.url.https = false;
                request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
                if probe::get(&request).await.is_err() {
                    return Err(format!("Get \"{url}\": {}", HttpFailed::NotTls));
                }
                self.metrics.fell_back();
                let message = format!(
                    "request to HTTPS lifecycle hook {} got HTTP response, retry with HTTP succeeded",
                    request.url.authority()
                );
                self.reporter.event(self.pod, None, Kind::Warning, "LifecycleHTTPFallback", &message);
                Ok(())
            }
            Err((url, failed)) => Err(format!("Get \"{url}\": {failed}")),
        }
    }
}
