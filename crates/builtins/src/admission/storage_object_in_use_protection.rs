//! StorageObjectInUseProtection: volumes and claims wait with their deletion until nothing uses them.

use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};

use super::is;
use super::rule::{Rule, Write};

#[derive(Debug)]
pub(super) struct StorageObjectInUseProtection;

/// Group, resource and the finalizer that protects its objects.
const PROTECTED: [(&str, &str, &str); 3] = [
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

impl Rule for StorageObjectInUseProtection {
    const NAME: &'static str = "StorageObjectInUseProtection";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && PROTECTED.iter().any(|(group, resource, _)| is(cx, group, resource))
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        let found = PROTECTED.iter().find(|(group, resource, _)| w.is(group, resource));
        let Some((_, _, finalizer)) = found else { return Ok(()) };
        let finalizers = object.meta_mut().get_or_insert_with("finalizers", || Value::Array(Vec::new()));
        if let Value::Array(finalizers) = finalizers
            && !finalizers.iter().any(|f| f.as_str() == Some(finalizer))
        {
            finalizers.push((*finalizer).into());
        }
        Ok(())
    }
}
