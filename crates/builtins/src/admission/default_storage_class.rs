//! DefaultStorageClass: a claim that names no class gets the default one.

use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Status, Value};

use super::rule::{Rule, Write};
use super::{is, newest_marked};

#[derive(Debug)]
pub(super) struct DefaultStorageClass;

const MARKS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const OLD_CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

impl Rule for DefaultStorageClass {
    const NAME: &'static str = "DefaultStorageClass";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && is(cx, "", "persistentvolumeclaims")
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        let named = object.at(&["spec", "storageClassName"]).is_some()
            || object.annotations().is_some_and(|a| a.contains_key(OLD_CLASS_ANNOTATION));
        if named {
            return Ok(());
        }
        let classes = w.cx.lookup.list(&GroupResource::new("storage.k8s.io", "storageclasses"), "");
        if let (Some(class), Value::Object(claim)) = (newest_marked(&classes, &MARKS), object) {
            claim.object_mut("spec").insert("storageClassName", class.name());
        }
        Ok(())
    }
}
