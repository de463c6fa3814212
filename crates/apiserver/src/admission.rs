//! What may change or refuse a write after it was authorized: the places of admission in the chain.
//!
//! Plug-ins run in the order of their list: all that change before the strategy, all that check after it.

mod metrics;

use std::sync::Arc;

use async_trait::async_trait;
use sampan_model::{Status, Value};

use crate::{Context, Resource, Verb};
use metrics::{Metrics, Phase};

/// One admission plug-in.
///
/// An action ([`crate::Behaviour::Action`]: `binding`, `eviction`, `token`) is a [`Verb::Create`] with
/// [`Context::subresource`] set; `object` is the body that was posted and [`Context::name`] says whose it is. A connection
/// ([`crate::Behaviour::Connect`]: `exec`, `proxy`) is a [`Verb::Connect`]; `object` are its options, a `PodExecOptions` for example.
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

    /// `object` goes for good: what is to be written in the same transaction ([`Context::also`]).
    async fn removed(&self, _cx: &Context<'_>, _object: &Value) -> Result<(), Status> {
        Ok(())
    }

    /// Whether it completes objects of that resource after such a write; only then [`Admission::settle`] is called.
    fn follows(&self, _resource: &Resource, _verb: Verb) -> bool {
        false
    }

    /// Completes an object that was just written, looking at a state that holds it. Answers whether it changed it;
    /// then the object is written once more.
    fn settle(&self, _cx: &Context<'_>, _verb: Verb, _object: &mut Value) -> bool {
        false
    }
}

/// The plug-ins of a server, in order.
#[derive(Debug, Clone, Default)]
pub struct Plugins {
    list: Vec<Arc<dyn Admission>>,
    metrics: Metrics,
}

impl Plugins {
    /// These, in this order.
    pub fn new(plugins: Vec<Arc<dyn Admission>>) -> Self {
        let metrics = Metrics::new(plugins.iter().map(|p| p.name()));
        Self { list: plugins, metrics }
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.list.iter().map(|p| p.name())
    }

    fn handling<'a>(
        &'a self,
        cx: &'a Context<'_>,
        verb: Verb,
    ) -> impl Iterator<Item = (usize, &'a Arc<dyn Admission>)> {
        self.list.iter().enumerate().filter(move |(_, p)| p.handles(cx, verb))
    }

    /// The same, with another at the end.
    #[must_use]
    pub fn and(mut self, plugin: Arc<dyn Admission>) -> Self {
        self.list.push(plugin);
        Self::new(self.list)
    }

    /// Makes the metrics of all of them known, and how long they take.
    pub(crate) fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.metrics.register(registry);
        for plugin in &self.list {
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
        let mut step = self.metrics.step(Phase::Admit, verb);
        for (i, plugin) in self.handling(cx, verb) {
            let result = plugin.admit(cx, verb, object, old).await;
            step.plugin(i, result.is_err());
            result?;
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
        let mut step = self.metrics.step(Phase::Validate, verb);
        for (i, plugin) in self.handling(cx, verb) {
            let result = plugin.validate(cx, verb, object, old).await;
            step.plugin(i, result.is_err());
            result?;
        }
        Ok(())
    }

    /// Tells all that `object` goes for good.
    pub(crate) async fn removed(&self, cx: &Context<'_>, object: &Value) -> Result<(), Status> {
        for plugin in &self.list {
            plugin.removed(cx, object).await?;
        }
        Ok(())
    }

    /// Whether any completes such objects after a write.
    pub(crate) fn follows(&self, resource: &Resource, verb: Verb) -> bool {
        self.list.iter().any(|p| p.follows(resource, verb))
    }

    /// Lets all that follow complete the object; whether any changed it.
    pub(crate) fn settle(&self, cx: &Context<'_>, verb: Verb, object: &mut Value) -> bool {
        let following = self.list.iter().filter(|p| p.follows(cx.resource, verb));
        following.fold(false, |changed, p| p.settle(cx, verb, object) | changed)
    }
}
