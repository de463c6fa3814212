//! What only some kinds have below an object's path: status, scale, binding, eviction, log, exec ...
//!
//! The descriptor carries the implementation; the engine knows only these four shapes.

use std::sync::Arc;

use async_trait::async_trait;
use sampan_model::{GroupVersionKind, Status, Str, Value};
use sampan_schema::Schema;

use crate::http_io::body::Upload;
use crate::http_io::respond::Answer;
use crate::{Context, Strategy, Verbs};

/// A subresource of a [`crate::Resource`].
#[derive(Debug)]
pub struct Subresource {
    /// Its name in the path, `status`.
    pub name: Str,
    /// The kind of its bodies.
    pub kind: GroupVersionKind,
    /// What can be done with it.
    pub verbs: Verbs,
    /// What its bodies look like.
    pub schema: Schema,
    /// What it does.
    pub behaviour: Behaviour,
}

/// The shapes of subresources.
#[derive(Debug)]
pub enum Behaviour {
    /// The same object, written by other rules: `status`, `resize`, `ephemeralcontainers`, `approval`, `finalize`.
    Part(Arc<dyn Strategy>),
    /// Another kind that shows and changes some fields of the object: `scale`.
    Projection(Arc<dyn Projection>),
    /// Something that is asked of the object by a POST: `binding`, `eviction`, `token`.
    Action(Arc<dyn Action>),
    /// A connection to somewhere else: `exec`, `log`, `proxy`.
    Connect(Arc<dyn Connect>),
}

/// Shows an object as another kind, and writes that kind back into it.
pub trait Projection: Send + Sync + std::fmt::Debug {
    /// The object as the subresource's kind, with metadata (name, namespace, uid, resourceVersion, creationTimestamp).
    fn read(&self, object: &Value) -> Result<Value, Status>;
    /// Writes the fields of `projected` into `object`.
    fn write(&self, object: &mut Value, projected: &Value) -> Result<(), Status>;
    /// What is wrong with `projected`.
    fn validate(&self, projected: &Value) -> Vec<sampan_model::FieldError>;
    /// Where a field of the projection stands in the object, for managed fields: pairs of (object path, projection
    /// path), each a list of field names.
    fn field_paths(&self) -> &'static [(&'static [&'static str], &'static [&'static str])];
}

/// A change of an object, run again on a newer state when it lost a race.
pub type ChangeFn<'f> =
    dyn for<'a, 'b, 'c> Fn(&'a Context<'b>, &'c mut Value) -> Result<(), Status> + Send + Sync + 'f;

/// Reads and changes the parent of an [`Action`], by the same engine that serves the resource itself.
#[async_trait]
pub trait Parent: Send + Sync {
    /// The namespace (empty at cluster scope) and the name that stand in the path.
    fn place(&self) -> (&str, &str);
    /// The object that the path names, or 404.
    async fn get(&self) -> Result<Value, Status>;
    /// Changes the object: `change` runs on the newest state, again after a conflict. Rules of the main resource are not applied.
    async fn update(&self, change: &ChangeFn<'_>) -> Result<Value, Status>;
    /// Deletes the object with DeleteOptions, as a client's DELETE does.
    async fn delete(&self, options: &Value) -> Result<Value, Status>;
    /// Another object; `None` when it is not there. `namespace` is empty at cluster scope.
    fn find(&self, resource: &sampan_model::GroupResource, namespace: &str, name: &str) -> Option<Value>;
    /// Adds a `Warning` to the answer.
    fn warn(&self, text: String);
    /// Adds an annotation to the request's audit event.
    fn annotate(&self, key: &'static str, value: String);
    /// The objects of another resource (in the storage's group) in a namespace.
    fn list(&self, resource: &sampan_model::GroupResource, namespace: &str) -> Vec<Value>;
    /// Changes another object in the same way; 404 when it is not there.
    async fn update_other(
        &self,
        resource: &sampan_model::GroupResource,
        namespace: &str,
        name: &str,
        change: &ChangeFn<'_>,
    ) -> Result<Value, Status>;
    /// The query parameter `dryRun=All` was given.
    fn dry_run(&self) -> bool;
}

/// Something that is asked of an object by a POST.
#[async_trait]
pub trait Action: Send + Sync + std::fmt::Debug {
    /// Sets what a body leaves out.
    fn default(&self, body: &mut Value) {
        let _ = body;
    }
    /// Does it. The answer is a body of the subresource's kind, or a success [`Status`] as a tree.
    async fn create(&self, parent: &dyn Parent, body: Value) -> Result<Value, Status>;
}

/// A connection to somewhere else, as far as it was let through: authorized, and seen by admission.
pub struct Connection<'a> {
    /// What was asked for: an object of the subresource's kind (`PodExecOptions`).
    pub options: Value,
    /// Method and headers; among the extensions is what takes the connection over (`hyper::upgrade::OnUpgrade`).
    pub parts: &'a http::request::Parts,
    /// The body, as it comes; only of a proxy.
    pub body: Upload,
}

/// Connects to somewhere else by way of an object.
#[async_trait]
pub trait Connect: Send + Sync + std::fmt::Debug {
    /// What a request asks for, as an object of the subresource's kind: from its query, and from what stands in its path
    /// behind the subresource (with its first slash; empty when there is nothing).
    fn options(&self, query: &str, path: &str) -> Result<Value, Status>;
    /// Whether something may stand in the path behind the subresource.
    fn takes_path(&self) -> bool {
        false
    }
    /// Whether it is a connection for admission ([`crate::Verb::Connect`]); a log is only read.
    fn is_admitted(&self) -> bool {
        true
    }
    /// Whether who connects needs the verb `create` whatever the method is: a WebSocket begins with a GET.
    fn needs_create(&self) -> bool {
        false
    }
    /// Connects, or says why not.
    async fn connect(&self, parent: &dyn Parent, connection: Connection<'_>) -> Result<Answer, Status>;
}

/// Finds an object by resource (in the storage's group), namespace and name, for an action on it.
pub type FindParent<'a> = dyn Fn(&sampan_model::GroupResource, &str, &str) -> Result<Box<dyn Parent + 'a>, Status>
    + Send
    + Sync
    + 'a;

/// A POST to a [`Virtual`] resource.
pub struct VirtualRequest<'a> {
    /// Who asks.
    pub user: &'a crate::User,
    /// In which namespace; empty at cluster scope.
    pub namespace: &'a str,
    /// The object that was sent.
    pub body: Value,
    /// Finds the object that the request is about: resource, namespace, name.
    pub parent: &'a FindParent<'a>,
}

/// A resource that is not stored: what it shows is asked for (reviews), or found elsewhere.
///
/// Methods that a resource does not have are not called: its verbs say which it has.
#[async_trait]
pub trait Virtual: Send + Sync + std::fmt::Debug {
    /// Answers a POST.
    async fn create(&self, request: VirtualRequest<'_>) -> Result<Value, Status> {
        let _ = request;
        Err(Status::not_implemented("the server does not answer this yet"))
    }
    /// One object, `None` when there is none of that name.
    async fn get(&self, name: &str) -> Result<Option<Value>, Status> {
        let _ = name;
        Ok(None)
    }
    /// All objects.
    async fn list(&self) -> Result<Vec<Value>, Status> {
        Ok(Vec::new())
    }
}
