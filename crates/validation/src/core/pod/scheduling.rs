//! What else decides where and when a pod runs: tolerations, spread, gates, claims; and what DNS it gets.

use sampan_model::name::{
    is_dns1123_label, is_dns1123_subdomain, is_dns1123_subdomain_with_underscore, is_qualified_name,
    is_valid_ip_for_legacy_field, is_valid_label_value, name_is_dns_subdomain,
};
use sampan_model::{FieldError, FieldPath, Map, Value};

use crate::look::{Errors, Look, NOT_POSITIVE, complain, not_supported, one_of, strings};
use crate::seen::Seen;
use crate::selector::{label_name, label_selector};

/// The effects of taints.
pub(crate) const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// `spec.tolerations`
pub(crate) fn tolerations(e: &mut Errors, p: FieldPath<'_>, tolerations: &[Value]) {
    for (i, toleration) in tolerations.iter().enumerate() {
        let p = p.index(i);
        let (key, operator, value) = (toleration.s("key"), toleration.s("operator"), toleration.s("value"));
        let effect = toleration.s("effect");
        if !key.is_empty() {
            label_name(e, p.child("key"), key);
        } else if operator != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            e.push(FieldError::invalid(p.child("operator"), operator, detail));
        }
        if toleration.has("tolerationSeconds") && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            e.push(FieldError::invalid(p.child("effect"), effect, detail));
        }
        match operator {
            "Equal" | "" => {
                let complaints = is_valid_label_value(value);
                if !complaints.is_empty() {
                    e.push(FieldError::invalid(p.child("operator"), value, complaints.join(";")));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    let detail = "value must be empty when `operator` is 'Exists'";
                    e.push(FieldError::invalid(p.child("operator"), value, detail));
                }
            }
            other => e.push(not_supported(p.child("operator"), other, &["Equal", "Exists"])),
        }
        if !effect.is_empty() {
            one_of(e, p.child("effect"), Some(effect), &EFFECTS);
        }
    }
}

/// `spec.topologySpreadConstraints`
pub(crate) fn topology_spread(e: &mut Errors, p: FieldPath<'_>, constraints: &[Value]) {
    for (i, constraint) in constraints.iter().enumerate() {
        let p = p.index(i);
        let skew = constraint.num("maxSkew");
        if skew <= 0 {
            e.push(FieldError::invalid(p.child("maxSkew"), skew, NOT_POSITIVE));
        }
        let (key, action) = (constraint.s("topologyKey"), constraint.s("whenUnsatisfiable"));
        if key.is_empty() {
            e.push(FieldError::required(p.child("topologyKey"), "can not be empty"));
        }
        one_of(e, p.child("whenUnsatisfiable"), Some(action), &["DoNotSchedule", "ScheduleAnyway"]);
        if constraints[i + 1..]
            .iter()
            .any(|c| c.s("topologyKey") == key && c.s("whenUnsatisfiable") == action)
        {
            let at = p.child("{topologyKey, whenUnsatisfiable}");
            e.push(FieldError::duplicate(at, format!("{{{key}, {action}}}")));
        }
        if let Some(domains) = constraint.opt_num("minDomains") {
            let p = p.child("minDomains");
            if domains <= 0 {
                e.push(FieldError::invalid(p, domains, NOT_POSITIVE));
            }
            if action != "DoNotSchedule" {
                let detail =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                e.push(FieldError::invalid(p, domains, detail));
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            one_of(e, p.child(field), constraint.opt_s(field), &["Honor", "Ignore"]);
        }
        spread_label_keys(e, p.child("matchLabelKeys"), constraint);
        label_selector(e, p.child("labelSelector"), constraint.sub("labelSelector"));
    }
}

fn spread_label_keys(e: &mut Errors, p: FieldPath<'_>, constraint: &Value) {
    let keys = constraint.list("matchLabelKeys");
    if keys.is_empty() {
        return;
    }
    let selector = constraint.sub("labelSelector");
    if selector.is_null() {
        e.push(FieldError::forbidden(p, "must not be specified when labelSelector is not set"));
    }
    let asked: Seen<_> = selector.list("matchExpressions").iter().map(|r| r.s("key")).collect();
    for (i, key) in strings(keys).enumerate() {
        label_name(e, p.index(i), key);
        let selected = selector.map("matchLabels").is_some_and(|m| m.contains_key(key)) || asked.has(&key);
        if selected {
            let detail = "exists in both matchLabelKeys and labelSelector";
            e.push(FieldError::invalid(p.index(i), key, detail));
        }
    }
}

/// `spec.readinessGates`
pub(crate) fn readiness_gates(e: &mut Errors, p: FieldPath<'_>, gates: &[Value]) {
    for (i, gate) in gates.iter().enumerate() {
        let name = gate.s("conditionType");
        complain(e, p.index(i).child("conditionType"), name, is_qualified_name(name));
    }
}

/// `spec.schedulingGates`
pub(crate) fn scheduling_gates(e: &mut Errors, p: FieldPath<'_>, gates: &[Value]) {
    let mut seen = Seen::default();
    for (i, gate) in gates.iter().enumerate() {
        let name = gate.s("name");
        complain(e, p.index(i), name, is_qualified_name(name));
        if seen.again(name) {
            e.push(FieldError::duplicate(p.index(i), name));
        }
    }
}

/// `spec.resourceClaims`
pub(crate) fn resource_claims(e: &mut Errors, p: FieldPath<'_>, claims: &[Value]) {
    let mut seen = Seen::default();
    for (i, claim) in claims.iter().enumerate() {
        let p = p.index(i);
        let name = claim.s("name");
        if name.is_empty() {
            e.push(FieldError::required(p.child("name"), ""));
        } else if seen.again(name) {
            e.push(FieldError::duplicate(p.child("name"), name));
        } else {
            complain(e, p.child("name"), name, is_dns1123_label(name));
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        match sources.iter().filter(|s| claim.has(s)).count() {
            0 => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                e.push(FieldError::invalid(p, claim.clone(), detail));
            }
            2 => {
                let detail =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                e.push(FieldError::invalid(p, claim.clone(), detail));
            }
            _ => {}
        }
        for field in sources {
            if let Some(name) = claim.opt_s(field) {
                complain(e, p.child(field), name, name_is_dns_subdomain(name, false));
            }
        }
    }
}

/// `spec.dnsPolicy`
pub(crate) fn dns_policy(e: &mut Errors, p: FieldPath<'_>, policy: &str) {
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    crate::look::required_one_of(e, p, policy, &policies);
}

/// `spec.dnsConfig`
pub(crate) fn dns_config(e: &mut Errors, p: FieldPath<'_>, config: &Value, policy: &str) {
    const MOST_SERVERS: usize = 3;
    const MOST_SEARCHES: usize = 32;
    const MOST_CHARACTERS: usize = 2048;
    if policy == "None" {
        if config.is_null() {
            e.push(FieldError::required(p, "must provide `dnsConfig` when `dnsPolicy` is None"));
            return;
        }
        if config.list("nameservers").is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            e.push(FieldError::required(p.child("nameservers"), detail));
            return;
        }
    }
    let (servers, searches) = (config.list("nameservers"), config.list("searches"));
    if servers.len() > MOST_SERVERS {
        let detail = format!("must not have more than {MOST_SERVERS} nameservers");
        e.push(FieldError::invalid(p.child("nameservers"), servers.to_vec(), detail));
    }
    for (i, server) in strings(servers).enumerate() {
        ip(e, p.child("nameservers").index(i), server);
    }
    let at = p.child("searches");
    if searches.len() > MOST_SEARCHES {
        let detail = format!("must not have more than {MOST_SEARCHES} search paths");
        e.push(FieldError::invalid(at, searches.to_vec(), detail));
    }
    if strings(searches).map(|s| s.len() + 1).sum::<usize>() > MOST_CHARACTERS + 1 {
        let detail = format!(
            "must not have more than {MOST_CHARACTERS} characters (including spaces) in the search list"
        );
        e.push(FieldError::invalid(at, searches.to_vec(), detail));
    }
    for (i, search) in strings(searches).enumerate() {
        if search != "." {
            let search = search.strip_suffix('.').unwrap_or(search);
            complain(e, at.index(i), search, is_dns1123_subdomain_with_underscore(search));
        }
    }
    for (i, option) in config.list("options").iter().enumerate() {
        if option.s("name").is_empty() {
            e.push(FieldError::required(p.child("options").index(i), "must not be empty"));
        }
    }
}

/// An address in a field that is older than the strict rules.
pub(crate) fn ip(e: &mut Errors, p: FieldPath<'_>, ip: &str) {
    e.append(&mut is_valid_ip_for_legacy_field(&p, ip, false, &[]));
}

/// `spec.hostAliases`
pub(crate) fn host_aliases(e: &mut Errors, p: FieldPath<'_>, aliases: &[Value]) {
    for (i, alias) in aliases.iter().enumerate() {
        let p = p.index(i);
        ip(e, p.child("ip"), alias.s("ip"));
        for (j, name) in strings(alias.list("hostnames")).enumerate() {
            complain(e, p.child("hostnames").index(j), name, is_dns1123_subdomain(name));
        }
    }
}

/// A secret to pull images with has a name and nothing else.
pub(crate) fn image_pull_secrets(e: &mut Errors, p: FieldPath<'_>, secrets: &[Value]) {
    for (i, secret) in secrets.iter().enumerate() {
        if secret.as_object().is_some_and(|m: &Map| m.keys().any(|k| k != "name")) {
            e.push(FieldError::invalid(p.index(i), secret.clone(), "only name may be set"));
        }
    }
}
