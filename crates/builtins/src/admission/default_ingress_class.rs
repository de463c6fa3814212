//! DefaultIngressClass: an ingress that names no class gets the default one.

use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{GroupResource, Status, Value};

use super::rule::{Rule, Write};
use super::{is, newest_marked};

#[derive(Debug)]
pub(super) struct DefaultIngressClass;

const GROUP: &str = "networking.k8s.io";
const MARKS: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];
const OLD_CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

impl Rule for DefaultIngressClass {
    const NAME: &'static str = "DefaultIngressClass";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && is(cx, GROUP, "ingresses")
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        let named = object.at(&["spec", "ingressClassName"]).is_some_and(|n| !n.is_null())
            || object.annotations().is_some_and(|a| a.contains_key(OLD_CLASS_ANNOTATION));
        if named {
            return Ok(());
        }
        let classes = w.cx.lookup.list(&GroupResource::new(GROUP, "ingressclasses"), "");
        if let (Some(class), Value::Object(ingress)) = (newest_marked(&classes, &MARKS), object) {
            ingress.object_mut("spec").insert("ingressClassName", class.name());
        }
        Ok(())
    }
}
