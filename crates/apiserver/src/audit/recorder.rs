//! What one request tells the audit log on its way.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use sampan_model::meta::ObjectMeta;
use sampan_model::{Map, Value};

use super::event::{Event, ObjectRef};
use super::level::{Level, Stage};
use super::policy::Decision;
use crate::User;

/// Takes down what is told of one request; empty, and free, where nothing is audited. Clones are the same recorder.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    decision: Decision,
    event: Mutex<Event>,
}

impl Recorder {
    /// One that takes down what `decision` says, beginning with what is known of the request.
    pub(crate) fn new(decision: Decision, event: Event) -> Self {
        Self(Some(Arc::new(Inner { decision, event: Mutex::new(event) })))
    }

    /// One that takes down everything, of no request in particular.
    pub fn listening() -> Self {
        let level = Level::RequestResponse;
        let event = Event {
            level,
            audit_id: String::new(),
            stage: Stage::RequestReceived,
            request_uri: String::new(),
            verb: String::new(),
            user: None,
            impersonated_user: None,
            impersonation_constraint: "",
            source_ips: Vec::new(),
            user_agent: String::new(),
            object_ref: None,
            response_status: None,
            request_object: None,
            response_object: None,
            received: Timestamp::UNIX_EPOCH,
            stage_time: Timestamp::UNIX_EPOCH,
            annotations: BTreeMap::new(),
        };
        Self::new(Decision { level, omit_stages: Vec::new(), omit_managed_fields: false }, event)
    }

    /// How much is told; `None` where nothing is audited.
    pub fn level(&self) -> Level {
        self.0.as_ref().map_or(Level::None, |inner| inner.decision.level)
    }

    /// Adds an annotation to the event. What was said first of a key stays.
    pub fn annotate(&self, key: &str, value: impl Into<String>) {
        self.change(|event| {
            event.annotations.entry(key.to_owned()).or_insert_with(|| value.into());
        });
    }

    /// The annotations so far.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.0.as_ref().map(|inner| inner.event.lock().annotations.clone()).unwrap_or_default()
    }

    /// The request counts as made by another; `constraint` is the verb that allowed it, if it was a constrained one.
    pub fn impersonated(&self, user: &Arc<User>, constraint: &'static str) {
        self.change(|event| {
            event.impersonated_user = Some(Arc::clone(user));
            event.impersonation_constraint = constraint;
        });
    }

    /// What was sent, decoded; `complete` makes of it what the server works with, where that is told.
    pub fn request_object(&self, sent: &Value, complete: impl FnOnce(&mut Value)) {
        self.change(|event| {
            let object = event.object_ref.get_or_insert_with(ObjectRef::default);
            for (field, value) in [
                (&mut object.namespace, sent.namespace()),
                (&mut object.name, sent.name()),
                (&mut object.uid, sent.uid()),
                (&mut object.resource_version, sent.resource_version()),
            ] {
                if field.is_empty() {
                    value.clone_into(field);
                }
            }
        });
        if self.level() >= Level::Request {
            let mut object = sent.clone();
            complete(&mut object);
            self.request_body(object);
        }
    }

    /// A patch that was sent.
    pub fn request_patch(&self, patch: &Value) {
        if self.level() >= Level::Request {
            self.request_body(patch.clone());
        }
    }

    fn request_body(&self, body: Value) {
        let body = self.told(body);
        self.change(|event| event.request_object = Some(body));
    }

    /// The answer's code, the fields of its Status, and its body as far as they are known.
    pub(crate) fn response(&self, code: u16, status: Option<&Value>, body: Option<Value>) {
        let body = body.map(|body| self.told(body));
        self.change(|event| {
            let mut told = event.response_status.take().unwrap_or_default();
            told.insert("metadata", Map::new());
            for field in ["status", "message", "reason", "details"] {
                if let Some(value) = status.and_then(|s| s.get(field)) {
                    told.insert(field, value.clone());
                }
            }
            // The code of an answer may come after its sentence.
            let said =
                told.get("code").and_then(Value::as_i64).and_then(|c| u16::try_from(c).ok()).unwrap_or(0);
            if super::secrets::are_in_object(event.object_ref.as_ref()) {
                let own = status.and_then(|s| s.get("code")).and_then(Value::as_i64);
                let own = own.and_then(|c| u16::try_from(c).ok()).unwrap_or(0);
                super::secrets::take_out(&mut told, code.max(said).max(own));
            }
            told.insert("code", i64::from(code));
            event.response_status = Some(told);
            if body.is_some() {
                event.response_object = body;
            }
        });
    }

    /// The answer is this Status.
    pub(crate) fn status(&self, status: &Value) {
        let told = (self.level() >= Level::RequestResponse).then(|| status.clone());
        self.response(0, Some(status), told);
    }

    /// The answer is this object.
    pub(crate) fn response_tree(&self, object: &Value) {
        if self.level() >= Level::RequestResponse {
            self.response_body(object.clone());
        }
    }

    /// A sentence that the answer itself does not have.
    pub(crate) fn response_message(&self, text: &str) {
        self.change(|event| {
            event.response_status.get_or_insert_with(Map::new).insert("message", text);
        });
    }

    /// The body of an answer that was sent in pieces.
    pub(crate) fn response_body(&self, body: Value) {
        let body = self.told(body);
        self.change(|event| event.response_object = Some(body));
    }

    /// The event of a stage, unless the stage is omitted.
    pub(super) fn event_at(&self, stage: Stage, now: Timestamp) -> Option<Arc<Event>> {
        let inner = self.0.as_ref()?;
        if inner.decision.omit_stages.contains(&stage) {
            return None;
        }
        let mut event = inner.event.lock().clone();
        event.stage = stage;
        event.stage_time = if stage == Stage::RequestReceived { event.received } else { now };
        Some(Arc::new(event))
    }

    fn change(&self, change: impl FnOnce(&mut Event)) {
        if let Some(inner) = &self.0 {
            change(&mut inner.event.lock());
        }
    }

    /// A body as it may be told: without managed fields where the policy says so.
    fn told(&self, mut body: Value) -> Value {
        if self.0.as_ref().is_some_and(|inner| inner.decision.omit_managed_fields) {
            omit_managed_fields(&mut body);
            if let Some(items) =
                body.as_object_mut().and_then(|o| o.get_mut("items")).and_then(Value::as_array_mut)
            {
                items.iter_mut().for_each(omit_managed_fields);
            }
        }
        body
    }
}

fn omit_managed_fields(object: &mut Value) {
    let meta = object.as_object_mut().and_then(|o| o.get_mut("metadata")).and_then(Value::as_object_mut);
    if let Some(meta) = meta {
        meta.remove("managedFields");
    }
}
