//! AlwaysAdmit and AlwaysDeny: upstream keeps them for tests.

use sampan_apiserver::{Context, Verb};
use sampan_model::{Status, Value};

use super::rule::{Rule, Write};

/// Has nothing to say.
#[derive(Debug)]
pub(super) struct AlwaysAdmit;

impl Rule for AlwaysAdmit {
    const NAME: &'static str = "AlwaysAdmit";

    fn handles(&self, _cx: &Context<'_>, _verb: Verb) -> bool {
        false
    }
}

/// Refuses everything.
#[derive(Debug)]
pub(super) struct AlwaysDeny;

const WHY: &str = "admission control is denying all modifications";

impl Rule for AlwaysDeny {
    const NAME: &'static str = "AlwaysDeny";

    fn handles(&self, _cx: &Context<'_>, _verb: Verb) -> bool {
        true
    }

    fn admit(&self, w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        Err(w.forbidden(object, WHY))
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        Err(w.forbidden(object, WHY))
    }
}
