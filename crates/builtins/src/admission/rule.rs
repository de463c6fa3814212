//! The forms of most plug-ins: a [`Rule`] answers at once, a [`Judge`] asks others first. [`Plugin`] and [`Asking`] make an
//! [`Admission`] of them.

use async_trait::async_trait;
use sampan_apiserver::admission::Admission;
use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};

use super::{forbidden, is};

/// A write that a rule judges.
#[derive(Clone, Copy)]
pub(super) struct Write<'a> {
    /// Its circumstances.
    pub(super) cx: &'a Context<'a>,
    /// What is done.
    pub(super) verb: Verb,
    /// The object as it is stored; `None` on creates.
    pub(super) old: Option<&'a Value>,
    /// Whether names that the server generates are not made yet, as far as clients are told.
    before_names: bool,
}

impl<'a> Write<'a> {
    /// A write in the half of admission that may change the object.
    pub(super) fn changing(cx: &'a Context<'a>, verb: Verb, old: Option<&'a Value>) -> Self {
        Self { cx, verb, old, before_names: true }
    }

    /// A write in the half of admission that may only refuse.
    pub(super) fn checking(cx: &'a Context<'a>, verb: Verb, old: Option<&'a Value>) -> Self {
        Self { cx, verb, old, before_names: false }
    }

    /// Whether it is about that resource itself, not a subresource of it.
    pub(super) fn is(&self, group: &str, resource: &str) -> bool {
        is(self.cx, group, resource)
    }

    /// 403 for the object that is written.
    pub(super) fn forbidden(&self, object: &Value, why: impl std::fmt::Display) -> Status {
        let name = if self.cx.name.is_empty() { self.name_of(object) } else { self.cx.name };
        forbidden(self.cx, name, why)
    }

    /// The name by which a refusal calls an object. Upstream generates names between the two halves of admission; this
    /// engine has done it before, so what was generated is left away here.
    fn name_of<'o>(&self, object: &'o Value) -> &'o str {
        const SUFFIX: usize = 5;
        let (name, prefix) = (object.name(), object.meta_str("generateName"));
        let generated = name.len().checked_sub(SUFFIX).is_some_and(|end| {
            !prefix.is_empty() && name.get(..end).is_some_and(|stem| prefix.starts_with(stem))
        });
        match name {
            _ if self.before_names && generated => prefix,
            "" if !prefix.is_empty() => prefix,
            "" => "Unknown",
            name => name,
        }
    }
}

/// A plug-in that waits for nobody.
pub(super) trait Rule: Send + Sync + std::fmt::Debug {
    /// Its name, as `--enable-admission-plugins` knows it.
    const NAME: &'static str;

    /// Whether it has anything to do with such a write; only then it is asked.
    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool;

    /// May change `object`.
    fn admit(&self, _write: Write<'_>, _object: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    /// May refuse `object`; on deletions it is the object that goes.
    fn validate(&self, _write: Write<'_>, _object: &Value) -> Result<(), Status> {
        Ok(())
    }
}

/// A rule as the chain takes it.
#[derive(Debug)]
pub(super) struct Plugin<R>(pub(super) R);

#[async_trait]
impl<R: Rule> Admission for Plugin<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        self.0.handles(cx, verb)
    }

    async fn admit(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        self.0.admit(Write::changing(cx, verb, old), object)
    }

    async fn validate(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        self.0.validate(Write::checking(cx, verb, old), object)
    }
}

/// A plug-in that changes nothing, and asks others before it answers.
#[async_trait]
pub(super) trait Judge: Send + Sync + std::fmt::Debug {
    /// Its name, as `--enable-admission-plugins` knows it.
    fn name(&self) -> &'static str;

    /// Whether it has anything to do with such a write; only then it is asked.
    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool;

    /// Whether upstream has it judge in the first half of admission. Of deletions there is only the second.
    fn is_early(&self) -> bool {
        false
    }

    /// May refuse `object`.
    async fn judge(&self, write: Write<'_>, object: &Value) -> Result<(), Status>;
}

/// A judge as the chain takes it.
#[derive(Debug)]
pub(super) struct Asking<J>(pub(super) J);

#[async_trait]
impl<J: Judge> Admission for Asking<J> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        self.0.handles(cx, verb)
    }

    async fn admit(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if self.0.is_early() {
            return self.0.judge(Write::changing(cx, verb, old), object).await;
        }
        Ok(())
    }

    async fn validate(
        &self,
        cx: &Context<'_>,
        verb: Verb,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if self.0.is_early() && verb != Verb::Delete {
            return Ok(());
        }
        self.0.judge(Write::checking(cx, verb, old), object).await
    }
}
