//! Limits of containers and pods in the kernel's units.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use sampan_model::quantity::Quantity;

use super::Error;
use crate::container::Resources;
use crate::pods::roles::{self, Role};

const PERIOD_US: u64 = 100_000;
/// The least quota and weight that the kernel takes.
const LEAST_QUOTA_US: i64 = 1_000;
const LEAST_SHARES: u64 = 2;
const MOST_SHARES: u64 = 262_144;

/// The limits of a container.
pub fn of_container(resources: Option<&ResourceRequirements>) -> Result<Resources, Error> {
    let limits = resources.and_then(|r| r.limits.as_ref());
    let requests = resources.and_then(|r| r.requests.as_ref());
    let cpu_limit = amount(limits, "cpu")?;
    let cpu_request = amount(requests, "cpu")?.or(cpu_limit);
    let mut made = limited(cpu_request, cpu_limit, amount(limits, "memory")?);
    for (name, size) in
        limits.into_iter().flatten().filter_map(|(name, _)| Some((name, name.strip_prefix("hugepages-")?)))
    {
        let bytes = amount(limits, name)?.map_or(0, Quantity::value);
        made.hugepage_limits.insert(page_size(size), u64::try_from(bytes).unwrap_or_default());
    }
    Ok(made)
}

/// The limits of a pod: those of its own, or the sums of its containers' where each has one.
pub(super) fn of_pod(spec: &PodSpec) -> Result<Resources, Error> {
    let own = spec.resources.as_ref();
    let sum = |limit: bool, name: &str| -> Result<Option<Quantity>, Error> {
        let list = |r: Option<&ResourceRequirements>| {
            r.and_then(|r| if limit { r.limits.clone() } else { r.requests.clone() })
        };
        if let Some(own) = amount(list(own).as_ref(), name)? {
            return Ok(Some(own));
        }
        // Init containers run alone, beside the sidecars before them; main containers beside all sidecars.
        let (mut sidecars, mut most, mut main) = (Quantity::ZERO, Quantity::ZERO, Quantity::ZERO);
        let mut lacks = false;
        for (container, role) in roles::containers(spec) {
            let found = amount(list(container.resources.as_ref()).as_ref(), name)?;
            lacks |= found.is_none();
            let found = found.unwrap_or(Quantity::ZERO);
            match role {
                Role::Init => most = most.max(sidecars.add(found)),
                Role::Sidecar => sidecars = sidecars.add(found),
                Role::Main => main = main.add(found),
            }
        }
        Ok(if limit && lacks { None } else { Some(most.max(sidecars.add(main))) })
    };
    Ok(limited(sum(false, "cpu")?, sum(true, "cpu")?, sum(true, "memory")?))
}

fn limited(
    cpu_request: Option<Quantity>,
    cpu_limit: Option<Quantity>,
    memory: Option<Quantity>,
) -> Resources {
    let quota = cpu_limit.filter(|q| !q.is_zero()).map(|q| quota(q.milli_value()));
    Resources {
        cpu_shares: Some(shares(cpu_request.map_or(0, Quantity::milli_value))),
        cpu_quota_us: quota,
        cpu_period_us: quota.map(|_| PERIOD_US),
        memory_limit_bytes: memory.map(Quantity::value).filter(|bytes| *bytes > 0),
        ..Resources::default()
    }
}

fn shares(milli: i64) -> u64 {
    let milli = u64::try_from(milli).unwrap_or_default();
    (milli.saturating_mul(1024) / 1000).clamp(LEAST_SHARES, MOST_SHARES)
}

fn quota(milli: i64) -> i64 {
    milli.saturating_mul(100).max(LEAST_QUOTA_US)
}

fn amount(list: Option<&BTreeMap<String, Text>>, name: &str) -> Result<Option<Quantity>, Error> {
    let text = list.and_then(|list| list.get(name));
    text.map(|text| text.0.parse().map_err(|_| Error::Quantity(text.0.clone()))).transpose()
}

/// `2Mi` as the kernel names it: `2MB`.
fn page_size(size: &str) -> String {
    let size = size.strip_suffix('i').unwrap_or(size);
    format!("{size}B")
}
