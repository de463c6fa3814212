//! Whether amounts keep within a limit range, in upstream's sentences.

use sampan_model::{Quantity, Value};

use super::super::amounts::{Amounts, Side, Source, amounts, of_pod as sum};

/// What a container, a pod or a claim declares.
struct Declared<'a> {
    what: &'a str,
    requests: &'a Amounts,
    limits: &'a Amounts,
}

/// What is wrong with a pod and its containers.
pub(super) fn of_pod(pod: &Value, range: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for item in range.array_at(&["spec", "limits"]) {
        match item.str_at(&["type"]) {
            what @ "Container" => {
                let lists = ["containers", "initContainers"].into_iter();
                for container in lists.flat_map(|list| pod.array_at(&["spec", list])) {
                    let requests = amounts(container, &["resources", "requests"]);
                    let limits = amounts(container, &["resources", "limits"]);
                    check(&mut complaints, item, &Declared { what, requests: &requests, limits: &limits });
                }
            }
            what @ "Pod" => {
                let requests = sum(pod, Side::Requests, Source::Spec);
                let limits = sum(pod, Side::Limits, Source::Spec);
                check(&mut complaints, item, &Declared { what, requests: &requests, limits: &limits });
            }
            _ => {}
        }
    }
    complaints
}

/// What is wrong with a claim: only its requests count.
pub(super) fn of_claim(claim: &Value, range: &Value) -> Vec<String> {
    let requests = amounts(claim, &["spec", "resources", "requests"]);
    let limits = Amounts::new();
    let mut complaints = Vec::new();
    for item in range.array_at(&["spec", "limits"]) {
        let what = item.str_at(&["type"]);
        if what == "PersistentVolumeClaim" {
            let declared = Declared { what, requests: &requests, limits: &limits };
            complaints.extend(each(item, "min", |name, min| declared.too_little(name, min)));
            complaints.extend(each(item, "max", |name, max| declared.requests_too_much(name, max)));
        }
    }
    complaints
}

fn check(complaints: &mut Vec<String>, item: &Value, declared: &Declared<'_>) {
    complaints.extend(each(item, "min", |name, min| declared.too_little(name, min)));
    complaints.extend(each(item, "max", |name, max| declared.too_much(name, max)));
    complaints.extend(each(item, "maxLimitRequestRatio", |name, ratio| declared.too_uneven(name, ratio)));
}

/// The complaints about each bound of an item. Upstream's order is that of a hash map; this one is by name.
fn each(item: &Value, field: &str, check: impl Fn(&str, Quantity) -> Option<String>) -> Vec<String> {
    amounts(item, &[field]).iter().filter_map(|(name, bound)| check(name, *bound)).collect()
}

impl Declared<'_> {
    fn too_little(&self, name: &str, min: Quantity) -> Option<String> {
        let head = format!("minimum {name} usage per {} is {min}", self.what);
        match (self.requests.get(name), self.limits.get(name)) {
            (None, _) => Some(format!("{head}.  No request is specified")),
            (Some(request), _) if *request < min => Some(format!("{head}, but request is {request}")),
            (_, Some(limit)) if *limit < min => Some(format!("{head}, but limit is {limit}")),
            _ => None,
        }
    }

    fn too_much(&self, name: &str, max: Quantity) -> Option<String> {
        let head = format!("maximum {name} usage per {} is {max}", self.what);
        match (self.requests.get(name), self.limits.get(name)) {
            (_, None) => Some(format!("{head}.  No limit is specified")),
            (_, Some(limit)) if *limit > max => Some(format!("{head}, but limit is {limit}")),
            (Some(request), _) if *request > max => Some(format!("{head}, but request is {request}")),
            _ => None,
        }
    }

    fn requests_too_much(&self, name: &str, max: Quantity) -> Option<String> {
        let head = format!("maximum {name} usage per {} is {max}", self.what);
        match self.requests.get(name) {
            None => Some(format!("{head}.  No request is specified")),
            Some(request) if *request > max => Some(format!("{head}, but request is {request}")),
            Some(_) => None,
        }
    }

    fn too_uneven(&self, name: &str, max: Quantity) -> Option<String> {
        let head = format!("{name} max limit to request ratio per {} is {max}", self.what);
        let set = |side: &Amounts| side.get(name).copied().filter(|q| !q.is_zero());
        let Some(request) = set(self.requests) else {
            return Some(format!("{head}, but no request is specified or request is 0"));
        };
        let Some(limit) = set(self.limits) else {
            return Some(format!("{head}, but no limit is specified or limit is 0"));
        };
        let ratio = limit.as_f64() / request.as_f64();
        (ratio > max.as_f64()).then(|| format!("{head}, but provided ratio is {ratio:.6}"))
    }
}
