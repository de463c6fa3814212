//! DenyServiceExternalIPs: no service gets new external addresses, which would let it take over traffic of others.

use sampan_apiserver::{Context, Verb};
use sampan_model::{Status, Value};

use super::is;
use super::rule::{Rule, Write};

#[derive(Debug)]
pub(super) struct DenyServiceExternalIPs;

impl Rule for DenyServiceExternalIPs {
    const NAME: &'static str = "DenyServiceExternalIPs";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        matches!(verb, Verb::Create | Verb::Update) && is(cx, "", "services")
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        let addresses = |service: &'_ Value| service.array_at(&["spec", "externalIPs"]).to_vec();
        let before = w.old.map(addresses).unwrap_or_default();
        if addresses(object).iter().all(|address| before.contains(address)) {
            return Ok(());
        }
        Err(w.forbidden(object, "Use of external IPs is denied by admission control"))
    }
}
