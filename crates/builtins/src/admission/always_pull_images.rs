//! AlwaysPullImages: every image is pulled, so that nobody runs a private image that happens to be on a node.

use sampan_apiserver::{Context, Verb};
use sampan_model::{FieldError, Status, Value};

use super::is;
use super::pods::{containers, containers_mut};
use super::rule::{Rule, Write};

#[derive(Debug)]
pub(super) struct AlwaysPullImages;

const ALWAYS: &str = "Always";

impl Rule for AlwaysPullImages {
    const NAME: &'static str = "AlwaysPullImages";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        matches!(verb, Verb::Create | Verb::Update) && is(cx, "", "pods")
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        if w.old.is_some_and(|old| !has_new_images(object, old)) {
            return Ok(());
        }
        for container in containers_mut(object) {
            container.insert("imagePullPolicy", ALWAYS);
        }
        let volumes = object.as_object_mut().and_then(|pod| pod.object_mut("spec").get_mut("volumes"));
        for volume in volumes.and_then(Value::as_array_mut).into_iter().flatten() {
            let image = volume.as_object_mut().and_then(|v| v.get_mut("image"));
            if let Some(Value::Object(image)) = image {
                image.insert("pullPolicy", ALWAYS);
            }
        }
        Ok(())
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        if w.old.is_some_and(|old| !has_new_images(object, old)) {
            return Ok(());
        }
        let Some((list, i, container)) =
            containers(object).find(|(_, _, c)| c.str_at(&["imagePullPolicy"]) != ALWAYS)
        else {
            return Ok(());
        };
        let policy = container.str_at(&["imagePullPolicy"]);
        let path = format!("spec.{list}[{i}].imagePullPolicy");
        Err(w.forbidden(object, FieldError::not_supported(path, policy, &[ALWAYS])))
    }
}

/// Whether a pod runs an image that it did not run before.
fn has_new_images(pod: &Value, old: &Value) -> bool {
    let images = |pod| containers(pod).map(|(_, _, c)| c.str_at(&["image"]));
    images(pod).any(|image| !images(old).any(|before| before == image))
}
