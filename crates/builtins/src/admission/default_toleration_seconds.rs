//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable.

use sampan_apiserver::{Context, Verb};
use sampan_model::{Map, Status, Value};

use super::is;
use super::rule::{Rule, Write};

#[derive(Debug)]
pub(super) struct DefaultTolerationSeconds;

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

impl Rule for DefaultTolerationSeconds {
    const NAME: &'static str = "DefaultTolerationSeconds";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        matches!(verb, Verb::Create | Verb::Update) && is(cx, "", "pods")
    }

    fn admit(&self, _w: Write<'_>, object: &mut Value) -> Result<(), Status> {
        let Value::Object(pod) = object else { return Ok(()) };
        let tolerations =
            pod.object_mut("spec").get_or_insert_with("tolerations", || Value::Array(Vec::new()));
        let Value::Array(tolerations) = tolerations else { return Ok(()) };
        for taint in TAINTS {
            if tolerations.iter().any(|t| covers(t, taint)) {
                continue;
            }
            let toleration: Map = [
                ("key", Value::from(taint)),
                ("operator", "Exists".into()),
                ("effect", "NoExecute".into()),
                ("tolerationSeconds", SECONDS.into()),
            ]
            .into_iter()
            .collect();
            tolerations.push(toleration.into());
        }
        Ok(())
    }
}

/// Whether a toleration speaks of that taint's eviction already.
fn covers(toleration: &Value, taint: &str) -> bool {
    let (key, effect) = (toleration.str_at(&["key"]), toleration.str_at(&["effect"]));
    (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
}
