//! What a namespace's labels ask for, on top of a cluster's defaults.

use sampan_model::{FieldError, FieldPath, Map};

use super::level::{Level, LevelVersion, Version};

/// The labels of a namespace.
#[allow(missing_docs)]
pub mod labels {
    pub const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
    pub const ENFORCE_VERSION: &str = "pod-security.kubernetes.io/enforce-version";
    pub const AUDIT: &str = "pod-security.kubernetes.io/audit";
    pub const AUDIT_VERSION: &str = "pod-security.kubernetes.io/audit-version";
    pub const WARN: &str = "pod-security.kubernetes.io/warn";
    pub const WARN_VERSION: &str = "pod-security.kubernetes.io/warn-version";
}

/// The level of each mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Pods that violate it are refused.
    pub enforce: LevelVersion,
    /// Violations of it are written into the audit log.
    pub audit: LevelVersion,
    /// Violations of it are told to the client.
    pub warn: LevelVersion,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            enforce: LevelVersion::PRIVILEGED,
            audit: LevelVersion::PRIVILEGED,
            warn: LevelVersion::PRIVILEGED,
        }
    }
}

impl Policy {
    /// The policy of a namespace with these labels. There always is one: where a label is malformed, enforcement is
    /// `restricted`, auditing and warning are `privileged`, and the version is `latest`.
    pub fn of(namespace_labels: Option<&Map>, defaults: &Policy) -> (Policy, Vec<FieldError>) {
        let (mut policy, mut errors) = (*defaults, Vec::new());
        let Some(given) = namespace_labels else { return (policy, errors) };
        let modes = [
            (&mut policy.enforce, labels::ENFORCE, labels::ENFORCE_VERSION, Level::Restricted),
            (&mut policy.audit, labels::AUDIT, labels::AUDIT_VERSION, Level::Privileged),
            (&mut policy.warn, labels::WARN, labels::WARN_VERSION, Level::Privileged),
        ];
        let mut invalid = |label: &str, value: &str, why: &str| {
            let path = FieldPath::field("metadata");
            let path = path.child("labels");
            errors.push(FieldError::invalid(path.key(label), value, why));
        };
        for (mode, level_label, version_label, fallback) in modes {
            if given.contains_key(level_label) {
                let text = given.str(level_label);
                mode.level = Level::parse(text).unwrap_or_else(|why| {
                    invalid(level_label, text, why);
                    fallback
                });
            }
            if given.contains_key(version_label) {
                let text = given.str(version_label);
                mode.version = Version::parse(text).unwrap_or_else(|why| {
                    invalid(version_label, text, why);
                    Version::Latest
                });
            }
        }
        (policy, errors)
    }

    /// Whether no mode has anything to say about any pod.
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|mode| mode.level == Level::Privileged)
    }

    /// Whether both judge alike; versions of `privileged` are all the same.
    pub fn is_equivalent(&self, other: &Policy) -> bool {
        let alike =
            |a: LevelVersion, b: LevelVersion| a == b || (a.level == b.level && a.level == Level::Privileged);
        alike(self.enforce, other.enforce) && alike(self.audit, other.audit) && alike(self.warn, other.warn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, the labels, the policy that they make, and complaints.
    type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static [&'static str]);

    fn read(labels: &[(&str, &str)]) -> (String, Vec<String>) {
        let map: Map = labels.iter().copied().collect();
        let (policy, errors) = Policy::of(Some(&map), &Policy::default());
        let text = format!("{} {} {}", policy.enforce, policy.audit, policy.warn);
        (text, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn malformed_labels_enforce_most_and_tell_least() {
        let rows: [Row; 5] = [
            ("nothing", &[], "privileged:latest privileged:latest privileged:latest", &[]),
            (
                "all modes",
                &[
                    (labels::ENFORCE, "baseline"),
                    (labels::ENFORCE_VERSION, "v1.20"),
                    (labels::AUDIT, "restricted"),
                    (labels::WARN, "restricted"),
                    (labels::WARN_VERSION, "latest"),
                ],
                "baseline:v1.20 restricted:latest restricted:latest",
                &[],
            ),
            (
                "a version without a level",
                &[(labels::ENFORCE_VERSION, "v1.8")],
                "privileged:v1.8 privileged:latest privileged:latest",
                &[],
            ),
            (
                "no level at all",
                &[(labels::ENFORCE, "strictest"), (labels::AUDIT, ""), (labels::WARN, "Baseline")],
                "restricted:latest privileged:latest privileged:latest",
                &[
                    "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strictest\": must be one of privileged, baseline, restricted",
                    "metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: \"\": must be one of privileged, baseline, restricted",
                    "metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: \"Baseline\": must be one of privileged, baseline, restricted",
                ],
            ),
            (
                "no version",
                &[(labels::ENFORCE, "baseline"), (labels::ENFORCE_VERSION, "1.20")],
                "baseline:latest privileged:latest privileged:latest",
                &[
                    "metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: \"1.20\": must be \"latest\" or \"v1.x\"",
                ],
            ),
        ];
        for (name, given, policy, errors) in rows {
            let got = read(given);
            assert_eq!(got.0, policy, "{name}");
            assert_eq!(got.1, errors, "{name}");
        }
    }
}
