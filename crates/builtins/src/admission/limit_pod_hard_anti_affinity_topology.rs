//! LimitPodHardAntiAffinityTopology: a pod may keep others off its node, not off its zone.

use sampan_apiserver::{Context, Verb};
use sampan_model::{Status, Value};

use super::is;
use super::rule::{Rule, Write};

#[derive(Debug)]
pub(super) struct LimitPodHardAntiAffinityTopology;

const HOSTNAME: &str = "kubernetes.io/hostname";

impl Rule for LimitPodHardAntiAffinityTopology {
    const NAME: &'static str = "LimitPodHardAntiAffinityTopology";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        matches!(verb, Verb::Create | Verb::Update) && is(cx, "", "pods")
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        const TERMS: [&str; 4] =
            ["spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
        let keys = object.array_at(&TERMS).iter().map(|term| term.str_at(&["topologyKey"]));
        match keys.into_iter().find(|key| *key != HOSTNAME) {
            None => Ok(()),
            Some(key) => {
                let why = format!(
                    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOSTNAME} is allowed"
                );
                Err(w.forbidden(object, why))
            }
        }
    }
}
