//! The quality of service that a pod's requests and limits earn it.

use sampan_model::{Quantity, Value};

use crate::amount::quantity;
use crate::look::Look;

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_class(pod: &Value) -> &'static str {
    let spec = pod.sub("spec");
    if let Some(resources) = spec.opt("resources")
        && (!resources.sub("requests").is_empty() || !resources.sub("limits").is_empty())
    {
        return class_of(std::iter::once(resources));
    }
    let containers = spec.list("containers").iter().chain(spec.list("initContainers"));
    class_of(containers.map(|c| c.sub("resources")))
}

fn class_of<'a>(all: impl Iterator<Item = &'a Value>) -> &'static str {
    let mut guaranteed = true;
    let mut sums = [[Quantity::ZERO; 2]; 2];
    let mut seen = [[false; 2]; 2];
    for resources in all {
        for (i, name) in ["cpu", "memory"].into_iter().enumerate() {
            for (j, part) in ["requests", "limits"].into_iter().enumerate() {
                let amount = quantity(resources.sub(part).sub(name));
                if amount.sign() > 0 {
                    sums[i][j] = sums[i][j].add(amount);
                    seen[i][j] = true;
                } else if j == 1 {
                    guaranteed = false;
                }
            }
        }
    }
    if !seen.iter().flatten().any(|s| *s) {
        return "BestEffort";
    }
    let equal = (0..2).all(|i| seen[i][0] == seen[i][1] && sums[i][0] == sums[i][1]);
    if guaranteed && equal { "Guaranteed" } else { "Burstable" }
}

/// The class that the status tells, else the computed one.
pub fn current_qos_class(pod: &Value) -> &str {
    match pod.sub("status").s("qosClass") {
        "" => qos_class(pod),
        class => class,
    }
}
