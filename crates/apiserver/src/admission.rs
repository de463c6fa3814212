//! What may change or refuse a write after it was authorized: the places of admission in the chain.
//!
//! Plug-ins run in the order of their list: all that change before the strategy, all that check after it.

use std::sync::Arc;

use async_trait::async_trait;
use sampan_model::{Status, Value};

use crate::{Context, Verb};

/// One admission plug-in.
///
/// An action ([`crate::Behaviour::Action`]: `binding`, `eviction`, `token`) is a [`Verb::Create`] with
/// [`Context::subresource`] set; `object` is the body that was posted and [`Context::name`] says whose it is.
#[async_trait]
pub trait Admission: Send + Sync + std::fmt::Debug {
    /// Its name, as `--enable-admission-plugins` knows it.
    fn name(&self) -> &'static str;

    /// Whether it has anything to do with such a write; only then it is called.
    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool;

    /// Makes its metrics known to the server's registry.
    fn register_metrics(&self, _registry: &mut prometheus_client::registry::Registry) {}

    /// May change `object`. `old` is there on updates.
    async fn admit(
        &self,
        _cx: &Context<'_>,
        _verb: Verb,
        _object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        Ok(())
    }

    /// May refuse `object`; on deletions it is the object that goes.
    async fn validate(
        &self,
        _cx: &Context<'_>,
        _verb: Verb,
        _object: &Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        Ok(())
    }
}

/// The plug-ins of a server, in order.
#[derive(Debug, Clone, Default)]
pub struct Plugins(Vec<Arc<dyn Admission>>);

impl Plugins {
    /// These, in this order.
    pub fn new(plugins: Vec<Arc<dyn Admission>>) -> Self {
        Self(plugins)
    }

    /// The same, with another at the end.
    #[must_use]
    pub fn and(mut self, plugin: Arc<dyn Admission>) -> Self {
        self.0.push(plugin);
        self
    }

    /// Makes the metrics of all of them known.
    pub(crate) fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        for plugin in &self.0 {
            plugin.register_metrics(registry);
        }
    }

    /// Lets all that handle the write change `object`; the first refusal ends it.
    pub(crate) async fn admit(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        for plugin in self.0.iter().filter(|p| p.handles(cx, verb)) {
            plugin.admit(cx, verb, object, old).await?;
        }
        Ok(())
    }

    /// Lets all that handle the write refuse `object`; the first refusal ends it.
    pub(crate) async fn validate(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        for plugin in self.0.iter().filter(|p| p.handles(cx, verb)) {
            plugin.validate(cx, verb, object, old).await?;
        }
        Ok(())
    }
}
