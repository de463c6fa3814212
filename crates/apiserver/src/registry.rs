//! The CRUD engine: every resource is created, read, changed, deleted and watched here.
//!
//! It takes typed [`Attributes`], not HTTP requests, and never looks anything up in a context. Files:
//! `create`, `update` (PUT, patches, apply), `create_on_update`, `delete`, `read` (get, list), `filter` (selectors), `watch`,
//! `part` (subresources);
//! `settle` what the server completes after a write,
//! `write` holds what all writes share, `object` how stored bytes become trees and back.

mod create;
mod create_on_update;
mod delete;
mod filter;
mod first;
mod lookup;
pub mod object;
mod part;
mod patching;
mod read;
mod settle;
mod update;
mod watch;
mod write;

pub mod list_options;

use std::sync::Arc;

use jiff::Timestamp;
use sampan_model::{Status, Str};
use sampan_store::{Revision, Store};

use crate::admission::Plugins;
use crate::audit::Recorder;
use crate::catalog::Catalog;
use crate::chain::authorization::Authorizer;
use crate::{Resource, User};

pub use create::random_name_letters;
pub use delete::{DeleteOptions, Deleted};
pub use first::{Existing, Reconcile};
pub use list_options::ListOptions;
pub use lookup::SnapshotLookup;
pub(crate) use patching::invalid_patch;
pub use read::{ListAnswer, ListCursor};
pub use update::{Change, PatchType};
pub(crate) use watch::at_revision;
pub use watch::{WatchEvent, WatchEvents, WatchItem};
pub use write::Written;

/// What a request is about, for the engine.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// The resource in the version of the request.
    pub resource: Arc<Resource>,
    /// The same resource in the version that is stored.
    pub storage: Arc<Resource>,
    /// The subresource; empty for none.
    pub subresource: Str,
    /// The namespace; empty at cluster scope and for all namespaces.
    pub namespace: Str,
    /// The name; empty for collections.
    pub name: Str,
    /// Who asks.
    pub user: Arc<User>,
    /// The field manager of a write when its options name none: the user agent up to its first slash.
    pub default_manager: Str,
    /// What the request tells the audit log.
    pub audit: Recorder,
    /// Whether the request is a PATCH: who may update need not be allowed to patch.
    pub patches: bool,
}

impl Attributes {
    fn key(&self) -> String {
        self.storage.key(&self.namespace, &self.name)
    }

    fn prefix(&self) -> String {
        self.storage.key_prefix(&self.namespace)
    }

    fn not_found(&self) -> Status {
        Status::not_found(&self.resource.group_resource(), &self.name)
    }
}

/// Where the time comes from; tests give their own.
pub type Clock = fn() -> Timestamp;

/// The CRUD engine.
pub struct Registry {
    store: Arc<dyn Store>,
    catalog: arc_swap::ArcSwap<Catalog>,
    admission: Plugins,
    authorizer: Arc<dyn Authorizer>,
    clock: Clock,
}

impl Registry {
    /// An engine over a store. The authorizer is asked only about what the verb of a request does not say: whether an
    /// update may create.
    pub fn new(
        store: Arc<dyn Store>,
        catalog: Catalog,
        admission: Plugins,
        authorizer: Arc<dyn Authorizer>,
        clock: Clock,
    ) -> Self {
        Self { store, catalog: arc_swap::ArcSwap::from_pointee(catalog), admission, authorizer, clock }
    }

    /// The resources as they are served now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Where the time comes from.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The newest revision.
    pub fn revision(&self) -> Revision {
        self.store.snapshot().revision()
    }
}

/// A failure of the store, in the words of the API.
fn store_error(error: &sampan_store::Error) -> Status {
    use sampan_store::Error;
    match error {
        Error::Compacted { .. } => Status::expired("The provided resource version is too old."),
        Error::Future { requested, newest } => too_large_version(*requested, *newest),
        Error::Overloaded { .. } => {
            Status::too_many_requests("the storage is busy, please try again later", 1)
        }
        Error::SlowWatcher { .. } => Status::internal("the watch fell behind"),
        Error::Seal { source, .. } => Status::internal(Chain(source.as_ref())),
        Error::Closed => Status::service_unavailable("the server is shutting down"),
        Error::Conflict { .. }
        | Error::InUse(_)
        | Error::Corrupt { .. }
        | Error::Unreadable { .. }
        | Error::InvalidTxn(_)
        | Error::Engine(_) => Status::internal(Chain(error)),
    }
}

/// 504 for a revision that has not come yet, with the cause that clients look for.
fn too_large_version(requested: Revision, newest: Revision) -> Status {
    let mut status =
        Status::timeout(format!("Too large resource version: {requested}, current: {newest}"), 1);
    status.details_mut().causes.push(sampan_model::Cause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        field: String::new(),
    });
    status
}

/// An error with all its sources, in one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
