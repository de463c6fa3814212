//! Which IP families a service has.

use std::net::IpAddr;

use sampan_apiserver::Context;
use sampan_model::meta::ObjectMeta;
use sampan_model::{FieldError, Status, Value};

use super::{Needs, addresses, range, strings};

/// Sets `ipFamilies` and `ipFamilyPolicy` where the client left them open; refuses families that the
/// cluster does not have.
pub(super) fn decide(cx: &Context<'_>, service: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    let needs = Needs::of(service);
    let headless = needs.headless();
    if !needs.cluster_ip() {
        let unchanged =
            |field: &str| old.is_some_and(|o| o.at(&["spec", field]) == service.at(&["spec", field]));
        let drop: Vec<&str> =
            ["ipFamilies", "ipFamilyPolicy"].into_iter().filter(|field| unchanged(field)).collect();
        if let Some(spec) = service.as_object_mut().map(|o| o.object_mut("spec")) {
            for field in drop {
                spec.remove(field);
            }
        }
        return Ok(());
    }
    let of_cluster = addresses::cluster_families(cx);
    let selectorless = headless && service.at(&["spec", "selector"]).is_none_or(Value::is_empty);
    let mut families: Vec<String> = strings(service, "ipFamilies").into_iter().map(str::to_owned).collect();
    for (i, family) in families.iter().enumerate() {
        if !selectorless && !of_cluster.contains(&family.as_str()) {
            let path = format!("spec.ipFamilies[{i}]");
            return refuse(
                service,
                FieldError::invalid(path, family.as_str(), "not configured on this cluster"),
            );
        }
    }
    for ip in strings(service, "clusterIPs") {
        let Ok(ip) = ip.parse::<IpAddr>() else { continue };
        let family = range::family(ip).to_owned();
        if !families.contains(&family) {
            families.push(family);
        }
    }
    let policy = match service.str_at(&["spec", "ipFamilyPolicy"]) {
        "" if selectorless => "RequireDualStack",
        "" if families.len() > 1 => "RequireDualStack",
        "" => "SingleStack",
        policy => policy,
    }
    .to_owned();
    if policy == "RequireDualStack" && !selectorless && of_cluster.len() < 2 {
        let detail = "this cluster is not configured for dual-stack services";
        return refuse(service, FieldError::invalid("spec.ipFamilyPolicy", policy, detail));
    }
    if families.is_empty() {
        families.push(of_cluster.first().copied().unwrap_or("IPv4").to_owned());
    }
    if families.len() == 1 && policy != "SingleStack" {
        let other = if families[0] == "IPv4" { "IPv6" } else { "IPv4" };
        if selectorless || of_cluster.contains(&other) {
            families.push(other.to_owned());
        }
    }
    if policy == "SingleStack" {
        families.truncate(1);
    }
    if let Some(spec) = service.as_object_mut().map(|o| o.object_mut("spec")) {
        spec.insert("ipFamilies", families);
        spec.insert("ipFamilyPolicy", policy);
    }
    Ok(())
}

/// 422 with one error.
pub(super) fn refuse<T>(service: &Value, error: FieldError) -> Result<T, Status> {
    Err(Status::invalid(&sampan_model::GroupKind::new("", "Service"), service.name(), &[error]))
}
