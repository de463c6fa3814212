//! Resources of a container (`resourceFieldRef`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use sampan_model::quantity::{ParseError, Quantity};

/// A node's or container's amounts by resource.
type Amounts = BTreeMap<String, Text>;

/// Why a resource cannot be told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The pod has no such container.
    #[error("container {0} not found")]
    NoContainer(String),
    /// Containers have no such resource.
    #[error("unsupported container resource : {0}")]
    Unsupported(String),
    /// An amount is no quantity.
    #[error("{text:?} is no quantity")]
    NoQuantity {
        /// As it is written.
        text: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
}

/// How often the divisor fits into what `selector` names, rounded up. `own` is the container that asks, when the selector names none. A limit that is
/// not set is what the node can give; a request that is not set is 0.
pub fn resource(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    allocatable: &Amounts,
) -> Result<String, Error> {
    let container = match (selector.container_name.as_deref().filter(|name| !name.is_empty()), own) {
        (None, Some(own)) => own,
        (name, _) => named(pod, name.unwrap_or_default())?,
    };
    let resources = container.resources.as_ref();
    let unsupported = || Error::Unsupported(selector.resource.clone());
    let (side, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    // Huge pages are never lent beyond what there is, so they have no limit but one that is written down.
    let falls_back = matches!(name, "cpu" | "memory" | "ephemeral-storage");
    if !falls_back && !name.starts_with("hugepages-") {
        return Err(unsupported());
    }
    let amount = match side {
        "limits" => {
            let set = amount(resources.and_then(|r| r.limits.as_ref()), name)?;
            if set.is_zero() && falls_back { amount(Some(allocatable), name)? } else { set }
        }
        "requests" => amount(resources.and_then(|r| r.requests.as_ref()), name)?,
        _ => return Err(unsupported()),
    };
    let divisor = selector.divisor.as_ref().map_or(Ok(Quantity::ZERO), |text| parse(&text.0))?;
    let divisor = if divisor.is_zero() { Quantity::from_int(1) } else { divisor };
    let scale = if name == "cpu" { -3 } else { 0 };
    let times = amount.divided_by(divisor, scale).unwrap_or_default();
    Ok(times.to_string())
}

fn named<'a>(pod: &'a Pod, name: &str) -> Result<&'a Container, Error> {
    let spec = pod.spec.as_ref();
    let all = spec.into_iter().flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()));
    all.into_iter().find(|c| c.name == name).ok_or_else(|| Error::NoContainer(name.to_owned()))
}

fn amount(amounts: Option<&Amounts>, name: &str) -> Result<Quantity, Error> {
    amounts.and_then(|a| a.get(name)).map_or(Ok(Quantity::ZERO), |text| parse(&text.0))
}

fn parse(text: &str) -> Result<Quantity, Error> {
    text.parse().map_err(|source| Error::NoQuantity { text: text.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({"spec": {
            "containers": [
                {"name": "main", "resources": {
                    "requests": {"cpu": "15m", "memory": "500Ki", "hugepages-2Mi": "4Mi"},
                    "limits": {"cpu": "100m", "memory": "8Mi", "hugepages-2Mi": "4Mi", "ephemeral-storage": "0"},
                }},
                {"name": "free"},
            ],
            "initContainers": [{"name": "first", "resources": {"requests": {"cpu": "1500m"}}}],
        }}))
        .expect("a pod")
    }

    fn ask(container: &str, resource: &str, divisor: &str) -> Result<String, Error> {
        let selector = ResourceFieldSelector {
            container_name: Some(container.into()),
            resource: resource.into(),
            divisor: (!divisor.is_empty()).then(|| Text(divisor.into())),
        };
        let allocatable = [("cpu", "2"), ("memory", "1Gi"), ("ephemeral-storage", "10G")];
        let allocatable = allocatable.map(|(name, amount)| (name.to_owned(), Text(amount.into())));
        let pod = pod();
        let own = pod.spec.as_ref().map(|spec| &spec.containers[1]);
        super::resource(&pod, own, &selector, &allocatable.into())
    }

    #[test]
    fn amounts_are_divided_and_rounded_up() {
        for (container, resource, divisor, value) in [
            ("main", "requests.cpu", "1m", "15"),
            ("main", "requests.cpu", "", "1"),
            ("main", "requests.cpu", "0", "1"),
            ("main", "limits.cpu", "1m", "100"),
            ("main", "limits.memory", "1Ki", "8192"),
            ("main", "limits.memory", "1", "8388608"),
            ("main", "requests.memory", "1Mi", "1"),
            ("main", "limits.memory", "1M", "9"),
            ("main", "limits.hugepages-2Mi", "1Mi", "4"),
            ("main", "requests.hugepages-2Mi", "", "4194304"),
            ("first", "requests.cpu", "1", "2"),
        ] {
            assert_eq!(
                ask(container, resource, divisor).as_deref(),
                Ok(value),
                "{container} {resource} / {divisor}"
            );
        }
    }

    #[test]
    fn a_limit_that_is_not_set_is_what_the_node_can_give_and_a_request_is_nothing() {
        for (container, resource, value) in [
            ("free", "limits.cpu", "2"),
            ("free", "limits.memory", "1073741824"),
            ("main", "limits.ephemeral-storage", "10000000000"),
            ("free", "limits.hugepages-2Mi", "0"),
            ("free", "requests.cpu", "0"),
            ("free", "requests.memory", "0"),
            // The one that asks, where none is named.
            ("", "limits.cpu", "2"),
        ] {
            assert_eq!(ask(container, resource, "").as_deref(), Ok(value), "{container} {resource}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_that_names_it() {
        for (container, resource, message) in [
            ("none", "limits.cpu", "container none not found"),
            ("main", "limits.example.com/gpu", "unsupported container resource : limits.example.com/gpu"),
            ("main", "capacity.cpu", "unsupported container resource : capacity.cpu"),
            ("main", "cpu", "unsupported container resource : cpu"),
        ] {
            let error = ask(container, resource, "").expect_err(resource);
            assert_eq!(error.to_string(), message);
        }
        assert!(matches!(ask("main", "limits.cpu", "x"), Err(Error::NoQuantity { .. })));
    }
}
