//! What the server completes in an object once its write is visible: a second write, in the same request.
//!
//! Some of it can only be computed from a state that holds the object already (what a quota has used). The
//! client's answer is the object as it wrote it; watchers see both writes.

use super::write::{ATTEMPTS, CommitError};
use super::{Attributes, Registry, object};
use crate::{Context, Verb};

impl Registry {
    /// Lets admission complete the object of that name, which `verb` has written. The write stands whatever becomes of this:
    /// a failure is logged, and those who need what is missing compute it again.
    pub(super) async fn settle(&self, a: &Attributes, name: &str, verb: Verb, dry_run: bool) {
        if dry_run || !a.subresource.is_empty() || !self.admission.follows(&a.storage, verb) {
            return;
        }
        for _ in 0..ATTEMPTS {
            match self.try_settle(a, name, verb).await {
                Ok(()) => return,
                Err(CommitError::Raced) => {}
                Err(CommitError::Status(status)) => {
                    tracing::warn!(resource = %a.storage.gvr.resource, namespace = %a.namespace, %name, %status, "an object was written, but not completed");
                    return;
                }
            }
        }
    }

    async fn try_settle(&self, a: &Attributes, name: &str, verb: Verb) -> Result<(), CommitError> {
        let snapshot = self.store.snapshot();
        let key = a.storage.key(&a.namespace, name);
        let Some(entry) = snapshot.get(&key) else { return Ok(()) };
        let mut object = object::parse(entry).map_err(CommitError::Status)?;
        let lookup = self.lookup(&snapshot);
        let cx = Context::new(a, self.now(), false, &lookup);
        if !self.admission.settle(&cx, verb, &mut object) {
            return Ok(());
        }
        self.commit(a, &cx, Some(entry), &object, key).await.map(drop)
    }
}
