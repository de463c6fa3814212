//! Sends audit events to a webhook, in lists as upstream sends them (`audit.k8s.io/v1` `EventList`).
//!
//! Every failure is worth another try here: whatever a receiver answers, an event that it did not take is lost otherwise.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sampan_apiserver::audit::{Backend, Event, Failure};
use serde_json::{Value, json};

use crate::https;
use crate::webhook_client::{self, Backoff, Kubeconfig, WebhookClient};

/// How often a list is sent altogether.
const ATTEMPTS: u32 = 5;
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The webhook.
#[derive(Debug)]
pub struct AuditWebhook {
    client: WebhookClient,
    initial_backoff: Duration,
}

impl AuditWebhook {
    /// The webhook that a kubeconfig names; the first pause after a failure is `initial_backoff`, each further one is
    /// half as long again.
    pub fn new(config: Kubeconfig, initial_backoff: Duration) -> Result<Self, https::Error> {
        Self::with_timeout(config, initial_backoff, TIMEOUT)
    }

    /// The same, with a limit of each attempt.
    pub fn with_timeout(
        config: Kubeconfig,
        initial_backoff: Duration,
        timeout: Duration,
    ) -> Result<Self, https::Error> {
        let once = Backoff { attempts: 1, first: Duration::ZERO };
        Ok(Self { client: WebhookClient::new(config, timeout, once)?, initial_backoff })
    }

    async fn send(&self, list: &Value) -> Result<(), webhook_client::Error> {
        match self.client.ask(list).await {
            // What a receiver says besides its code does not matter.
            Ok(_) | Err(webhook_client::Error::Answer(_)) => Ok(()),
            Err(webhook_client::Error::Refused { code, .. }) if code.is_success() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Backend for AuditWebhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    async fn process(&self, events: &[Arc<Event>]) -> Result<(), Failure> {
        let unreadable = |error: serde_json::Error| Failure(format!("the events have no JSON form: {error}"));
        let items: Vec<Value> = events
            .iter()
            .map(|e| serde_json::to_value(e.to_value()))
            .collect::<Result<_, _>>()
            .map_err(unreadable)?;
        let list =
            json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items});
        let mut pause = self.initial_backoff;
        for attempt in 1.. {
            match self.send(&list).await {
                Ok(()) => return Ok(()),
                Err(error) if attempt >= ATTEMPTS => {
                    return Err(Failure(format!("the webhook did not take the events: {error}")));
                }
                Err(error) => {
                    tracing::debug!(attempt, %error, "the audit webhook failed; the events are sent again");
                    tokio::time::sleep(pause).await;
                    pause = pause * 3 / 2;
                }
            }
        }
        unreachable!("the last attempt returns")
    }
}
