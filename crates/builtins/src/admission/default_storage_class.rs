//! DefaultStorageClass: a claim that names no class gets the default one.

use async_trait::async_trait;
use sampan_apiserver::admission::Admission;
use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Status, Value};

use super::is;

#[derive(Debug)]
pub(super) struct DefaultStorageClass;

const MARKS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const OLD_CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

#[async_trait]
impl Admission for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && is(cx, "", "persistentvolumeclaims")
    }

    async fn admit(
        &self,
        cx: &Context<'_>,
        _verb: Verb,
        object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        let named = object.at(&["spec", "storageClassName"]).is_some()
            || object.annotations().is_some_and(|a| a.contains_key(OLD_CLASS_ANNOTATION));
        if named {
            return Ok(());
        }
        let classes = cx.lookup.list(&GroupResource::new("storage.k8s.io", "storageclasses"), "");
        let marked = |c: &&Value| c.annotations().is_some_and(|a| MARKS.iter().any(|m| a.str(m) == "true"));
        // Of several defaults the newest wins, then the first by name.
        let newest = classes.iter().filter(marked).max_by(|a, b| {
            let time = |c: &Value| c.meta_str("creationTimestamp").to_owned();
            time(a).cmp(&time(b)).then_with(|| b.name().cmp(a.name()))
        });
        if let (Some(class), Value::Object(claim)) = (newest, object) {
            claim.object_mut("spec").insert("storageClassName", class.name());
        }
        Ok(())
    }
}
