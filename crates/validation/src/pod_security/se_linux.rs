//! SELinux: the type must be one for containers, user and role are not a pod's to choose.

use sampan_model::Value;

use super::violation::{Values, Violation, bad_containers, plural, quoted, setters};
use crate::look::Look;

const TYPES_1_31: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

fn options(spec: &Value, types: &[&str]) -> Option<Violation> {
    let (mut bad_types, mut user_set, mut role_set) = (Values::new(), false, false);
    let mut is_bad = |holder: &Value| {
        let options = holder.sub("securityContext").sub("seLinuxOptions");
        let bad_type = !types.contains(&options.s("type"));
        if bad_type {
            bad_types.insert(options.s("type").to_owned());
        }
        let (user, role) = (!options.s("user").is_empty(), !options.s("role").is_empty());
        user_set |= user;
        role_set |= role;
        bad_type || user || role
    };
    let pod = is_bad(spec);
    let setters = setters(pod, &bad_containers(spec, is_bad))?;
    let mut data = Vec::new();
    if !bad_types.is_empty() {
        data.push(format!("{} {}", plural("type", "types", bad_types.len()), quoted(bad_types)));
    }
    if user_set {
        data.push("user may not be set".to_owned());
    }
    if role_set {
        data.push("role may not be set".to_owned());
    }
    Violation::new(
        "seLinuxOptions",
        format!("{setters} set forbidden securityContext.seLinuxOptions: {}", data.join("; ")),
    )
}

pub(super) fn options_1_0(_: &Value, spec: &Value) -> Option<Violation> {
    options(spec, &TYPES_1_31[..4])
}

pub(super) fn options_1_31(_: &Value, spec: &Value) -> Option<Violation> {
    options(spec, &TYPES_1_31)
}
