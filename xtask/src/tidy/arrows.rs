//! Which crate may depend on which: the table of docs/architecture.md.

use cargo_metadata::{DependencyKind, Metadata};

/// A crate, and those of the workspace that it may use directly. Whoever may use a crate may use what that
/// crate stands on.
const ARROWS: &[(&str, &[&str])] = &[
    ("sampan-model", &[]),
    ("sampan-store", &[]),
    ("sampan-schema", &["sampan-model"]),
    ("sampan-encryption", &["sampan-model", "sampan-store"]),
    ("sampan-validation", &["sampan-model"]),
    ("sampan-apiserver", &["sampan-schema", "sampan-store"]),
    ("sampan-auth", &["sampan-apiserver"]),
    ("sampan-builtins", &["sampan-auth", "sampan-validation"]),
    ("sampan-controllers", &["sampan-model"]),
    ("sampan-placement", &["sampan-model"]),
    ("sampan-scheduler", &["sampan-placement"]),
    ("sampan-shim", &[]),
    ("sampan-node", &["sampan-placement", "sampan-shim"]),
    ("sampan-net", &["sampan-model"]),
    (
        "sampan",
        &[
            "sampan-builtins",
            "sampan-encryption",
            "sampan-controllers",
            "sampan-scheduler",
            "sampan-node",
            "sampan-net",
        ],
    ),
    ("sampan-testkit", &["sampan-builtins"]),
    // The end-to-end tests know the binary, and put a node with a runtime of their own behind it.
    ("sampan-tests", &["sampan-node"]),
    ("xtask", &[]),
];

/// Crates from outside that only some may use in what they ship (tests may use anything).
const RESERVED: &[(&str, &[&str])] = &[
    ("anyhow", &["sampan", "sampan-tests", "xtask"]),
    ("clap", &["sampan", "xtask"]),
    ("clap_complete", &["sampan", "xtask"]),
    ("schemars", &["xtask"]),
    (
        "k8s-openapi",
        &[
            "xtask",
            "sampan-tests",
            "sampan-controllers",
            "sampan-placement",
            "sampan-scheduler",
            "sampan-node",
            "sampan-net",
            "sampan",
        ],
    ),
];

/// Crates from outside that these never use: they know no I/O.
const PURE: &[&str] = &["sampan-model", "sampan-schema", "sampan-validation", "sampan-placement"];
const IMPURE: &[&str] = &["tokio", "futures", "hyper", "hyper-util", "async-trait", "rusqlite"];

fn may_use(from: &str, to: &str) -> bool {
    let direct = ARROWS.iter().find(|(name, _)| *name == from).map_or(&[][..], |(_, list)| *list);
    direct.iter().any(|d| *d == to || may_use(d, to))
}

/// What is wrong with the dependencies of the workspace.
pub(super) fn check(metadata: &Metadata) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        if !ARROWS.iter().any(|(known, _)| *known == name) {
            complaints.push(format!("{name} has no line in the table of arrows (xtask/src/tidy/arrows.rs)"));
            continue;
        }
        for dependency in &package.dependencies {
            let shipped = dependency.kind != DependencyKind::Development;
            complaints.extend(complaint(name, &dependency.name, dependency.path.is_some(), shipped));
        }
    }
    complaints
}

fn complaint(from: &str, to: &str, inside: bool, shipped: bool) -> Option<String> {
    if inside {
        let allowed = may_use(from, to) || (!shipped && (to == "sampan-testkit" || to == from));
        return (!allowed).then(|| format!("{from} must not depend on {to}: there is no such arrow"));
    }
    if !shipped {
        return None;
    }
    let reserved = RESERVED.iter().find(|(name, users)| *name == to && !users.contains(&from));
    if let Some((_, users)) = reserved {
        return Some(format!("{from} must not use {to}: only {} may", users.join(", ")));
    }
    (PURE.contains(&from) && IMPURE.contains(&to))
        .then(|| format!("{from} must not use {to}: it knows no I/O"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_one_way() {
        let rows = [
            ("sampan-schema", "sampan-model", true, true, true),
            ("sampan-builtins", "sampan-store", true, true, true),
            ("sampan-model", "sampan-schema", true, true, false),
            ("sampan-controllers", "sampan-apiserver", true, true, false),
            ("sampan-store", "sampan-testkit", true, true, false),
            ("sampan-node", "sampan-testkit", true, false, true),
            ("sampan-apiserver", "anyhow", false, true, false),
            ("sampan-apiserver", "anyhow", false, false, true),
            ("sampan-builtins", "k8s-openapi", false, true, false),
            ("sampan-schema", "tokio", false, true, false),
            ("sampan", "clap", false, true, true),
        ];
        for (from, to, inside, shipped, allowed) in rows {
            assert_eq!(complaint(from, to, inside, shipped).is_none(), allowed, "{from} -> {to}");
        }
    }
}
