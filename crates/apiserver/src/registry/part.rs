//! Subresources that are more than another way to write the object: projections read, actions run.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use sampan_model::{GroupResource, Status, Value};

use super::update::{project, rules};
use super::write::{ATTEMPTS, CommitError, format_time, managed_error, manager};
use super::{Attributes, DeleteOptions, Deleted, Registry, object};
use crate::http_io::query::WriteOptions;
use crate::subresource::{ChangeFn, Parent};
use crate::{Behaviour, Context, Lookup, Subresource, Verb};

impl Registry {
    /// GET of a subresource that shows the object: itself, or as another kind.
    pub async fn get_part(&self, a: &Attributes, resource_version: &str) -> Result<Bytes, Status> {
        let rules = rules(a)?;
        let bytes = self.get(a, resource_version).await?;
        match rules.projection {
            Some(projection) => project(projection, &bytes),
            None => Ok(bytes),
        }
    }

    /// Lets admission change and refuse the body of an action, on the newest state.
    pub async fn admit_action(
        &self,
        a: &Attributes,
        body: &mut Value,
        dry_run: bool,
    ) -> Result<Vec<String>, Status> {
        let snapshot = self.store.snapshot();
        let lookup = self.lookup(&snapshot);
        let cx = Context::new(a, self.now(), dry_run, &lookup);
        self.admission.admit(&cx, Verb::Create, body, None).await?;
        self.admission.validate(&cx, Verb::Create, body, None).await?;
        Ok(cx.take_warnings())
    }

    /// Lets admission see, change and refuse the options of a connection.
    pub async fn admit_connection(&self, a: &Attributes, options: &mut Value) -> Result<Vec<String>, Status> {
        let snapshot = self.store.snapshot();
        let lookup = self.lookup(&snapshot);
        let cx = Context::new(a, self.now(), false, &lookup);
        self.admission.admit(&cx, Verb::Connect, options, None).await?;
        self.admission.validate(&cx, Verb::Connect, options, None).await?;
        Ok(cx.take_warnings())
    }

    /// Another object, for an action on it by the user of `a`.
    pub fn parent_of<'a>(
        &'a self,
        a: &Attributes,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
        dry_run: bool,
    ) -> Result<Box<dyn Parent + 'a>, Status> {
        let a = self.attributes_of(a, resource, namespace, name)?;
        Ok(Box::new(ActionParent { registry: self, a: Cow::Owned(a), dry_run, warnings: Mutex::default() }))
    }

    fn attributes_of(
        &self,
        a: &Attributes,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Result<Attributes, Status> {
        let storage = self.catalog().by_storage(resource).cloned().ok_or_else(Status::path_not_found)?;
        Ok(Attributes {
            resource: Arc::clone(&storage),
            storage,
            subresource: "".into(),
            namespace: namespace.into(),
            name: name.into(),
            user: Arc::clone(&a.user),
            default_manager: a.default_manager.clone(),
            audit: a.audit.clone(),
            patches: a.patches,
        })
    }

    /// The object that `a` names, for an action on it.
    pub fn parent<'a>(&'a self, a: &'a Attributes, dry_run: bool) -> ActionParent<'a> {
        ActionParent { registry: self, a: Cow::Borrowed(a), dry_run, warnings: Mutex::default() }
    }

    /// Sets what the body of an action leaves out, and writes down in it who sent which field, as upstream does of
    /// everything that is posted.
    pub(crate) fn prepare_action(
        &self,
        a: &Attributes,
        subresource: &Subresource,
        body: &mut Value,
        options: &WriteOptions,
    ) -> Result<(), Status> {
        sampan_schema::default(&subresource.schema, body);
        if let Behaviour::Action(action) = &subresource.behaviour {
            action.default(body);
        }
        let api_version = subresource.kind.group_version().to_string();
        let manager = manager(a, options, &api_version);
        let now = format_time(self.now());
        sampan_schema::managed::update(&subresource.schema, None, body, &manager, &now, None)
            .map_err(managed_error)
    }
}

/// An object, for an action on it.
pub struct ActionParent<'a> {
    registry: &'a Registry,
    a: Cow<'a, Attributes>,
    dry_run: bool,
    warnings: Mutex<Vec<String>>,
}

impl ActionParent<'_> {
    /// What the action has warned of.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock())
    }

    async fn change(&self, a: &Attributes, change: &ChangeFn<'_>) -> Result<Value, Status> {
        for _ in 0..ATTEMPTS {
            match self.try_change(a, change).await {
                Ok(bytes) => return serde_json::from_slice(&bytes).map_err(Status::internal),
                Err(CommitError::Raced) => {}
                Err(CommitError::Status(status)) => return Err(status),
            }
        }
        Err(Status::modified(&a.resource.group_resource(), &a.name))
    }

    async fn try_change(&self, a: &Attributes, change: &ChangeFn<'_>) -> Result<Bytes, CommitError> {
        let snapshot = self.registry.store.snapshot();
        let entry = snapshot.get(&a.key()).ok_or_else(|| CommitError::Status(a.not_found()))?;
        let mut object = object::parse(entry).map_err(CommitError::Status)?;
        let lookup = self.registry.lookup(&snapshot);
        let now = self.registry.now();
        let cx = Context::new(a, now, self.dry_run, &lookup);
        change(&cx, &mut object).map_err(CommitError::Status)?;
        sampan_schema::normalise(&a.storage.schema, &mut object);
        sampan_schema::complete(&a.storage.schema, &mut object);
        self.registry.commit(a, &cx, Some(entry), &object, a.key()).await
    }
}

#[async_trait]
impl Parent for ActionParent<'_> {
    fn place(&self) -> (&str, &str) {
        (&self.a.namespace, &self.a.name)
    }

    async fn get(&self) -> Result<Value, Status> {
        self.registry.get_value(&self.a).await
    }

    async fn update(&self, change: &ChangeFn<'_>) -> Result<Value, Status> {
        self.change(&self.a, change).await
    }

    async fn delete(&self, options: &Value) -> Result<Value, Status> {
        let mut options = DeleteOptions::parse(Some(options), &crate::http_io::query::Query::default())?;
        options.dry_run |= self.dry_run;
        match self.registry.delete(&self.a, &options).await? {
            Deleted::Gone(status, _) => Ok(status.to_value()),
            Deleted::Object(written) => serde_json::from_slice(&written.object).map_err(Status::internal),
        }
    }

    fn find(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Value> {
        self.registry.lookup(&self.registry.store.snapshot()).get(resource, namespace, name)
    }

    fn warn(&self, text: String) {
        self.warnings.lock().push(text);
    }

    fn annotate(&self, key: &'static str, value: String) {
        self.a.audit.annotate(key, value);
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value> {
        self.registry.lookup(&self.registry.store.snapshot()).list(resource, namespace)
    }

    async fn update_other(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
        change: &ChangeFn<'_>,
    ) -> Result<Value, Status> {
        let a = self.registry.attributes_of(&self.a, resource, namespace, name)?;
        self.change(&a, change).await
    }

    fn dry_run(&self) -> bool {
        self.dry_run
    }
}
