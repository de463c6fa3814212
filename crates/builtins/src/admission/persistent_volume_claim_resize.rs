//! PersistentVolumeClaimResize: a claim grows only where its storage class says that volumes can.

use sampan_apiserver::{Context, Verb};
use sampan_model::{GroupResource, Quantity, Status, Value};

use super::rule::{Rule, Write};
use super::{claim_class, is};

#[derive(Debug)]
pub(super) struct PersistentVolumeClaimResize;

impl Rule for PersistentVolumeClaimResize {
    const NAME: &'static str = "PersistentVolumeClaimResize";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Update && is(cx, "", "persistentvolumeclaims")
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        let Some(old) = w.old else { return Ok(()) };
        if size(object) <= size(old) {
            return Ok(());
        }
        if old.str_at(&["status", "phase"]) != "Bound" {
            return Err(w.forbidden(object, "Only bound persistent volume claims can be expanded"));
        }
        let class = claim_class(object);
        let expandable = !class.is_empty() && class == claim_class(old) && {
            let found = w.cx.lookup.get(&GroupResource::new("storage.k8s.io", "storageclasses"), "", class);
            found.and_then(|c| c.get("allowVolumeExpansion").and_then(Value::as_bool)).unwrap_or(false)
        };
        if expandable {
            return Ok(());
        }
        let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
        Err(w.forbidden(object, why))
    }
}

fn size(claim: &Value) -> Quantity {
    let asked = claim.at(&["spec", "resources", "requests", "storage"]);
    asked.and_then(|v| Quantity::from_value(v).ok()).unwrap_or_default()
}
