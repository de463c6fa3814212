//! StorageObjectInUseProtection: volumes and claims wait with their deletion until nothing uses them.

use async_trait::async_trait;
use sampan_apiserver::admission::Admission;
use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};

use super::is;

#[derive(Debug)]
pub(super) struct StorageObjectInUseProtection;

/// Group, resource and the finalizer that protects its objects.
const PROTECTED: [(&str, &str, &str); 3] = [
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

#[async_trait]
impl Admission for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && PROTECTED.iter().any(|(group, resource, _)| is(cx, group, resource))
    }

    async fn admit(
        &self,
        cx: &Context<'_>,
        _verb: Verb,
        object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        let found = PROTECTED.iter().find(|(group, resource, _)| is(cx, group, resource));
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
