//! All checks, each with the versions from which a form of it holds.

use sampan_model::Value;

use super::level::{Level, LevelVersion, Version};
use super::violation::Violation;
use super::{
    app_armor, capabilities, escalation, host, probes, proc_mount, run_as, se_linux, seccomp, sysctls,
    volumes,
};

type CheckPod = fn(metadata: &Value, spec: &Value) -> Option<Violation>;

/// One check.
#[derive(Debug)]
pub struct Check {
    /// Its name.
    pub id: &'static str,
    /// The lowest level that has it.
    pub level: Level,
    /// Checks of the level below that it stands for.
    pub overrides: &'static [&'static str],
    /// The minor versions from which each form holds, rising.
    versions: &'static [(u64, CheckPod)],
}

const fn check(id: &'static str, level: Level, versions: &'static [(u64, CheckPod)]) -> Check {
    Check { id, level, overrides: &[], versions }
}

const fn instead(
    id: &'static str,
    overrides: &'static [&'static str],
    versions: &'static [(u64, CheckPod)],
) -> Check {
    Check { id, level: Level::Restricted, overrides, versions }
}

use Level::{Baseline, Restricted};

/// The checks of v1.36, in the order in which messages name them: by level, then by id.
static CHECKS: [Check; 19] = [
    check("appArmorProfile", Baseline, &[(0, app_armor::profile)]),
    check("capabilities_baseline", Baseline, &[(0, capabilities::baseline)]),
    check("hostNamespaces", Baseline, &[(0, host::namespaces)]),
    check("hostPathVolumes", Baseline, &[(0, volumes::host_path)]),
    check("hostPorts", Baseline, &[(0, host::ports)]),
    check("hostProbesAndHostLifecycle", Baseline, &[(34, probes::hosts)]),
    check("privileged", Baseline, &[(0, escalation::privileged)]),
    check("procMount", Baseline, &[(0, proc_mount::default_only), (35, proc_mount::outside_user_namespaces)]),
    check("seLinuxOptions", Baseline, &[(0, se_linux::options_1_0), (31, se_linux::options_1_31)]),
    check("seccompProfile_baseline", Baseline, &[(0, seccomp::annotations), (19, seccomp::baseline)]),
    check(
        "sysctls",
        Baseline,
        &[
            (0, sysctls::safe_1_0),
            (27, sysctls::safe_1_27),
            (29, sysctls::safe_1_29),
            (32, sysctls::safe_1_32),
        ],
    ),
    check("windowsHostProcess", Baseline, &[(0, host::windows_process)]),
    check(
        "allowPrivilegeEscalation",
        Restricted,
        &[(8, escalation::denied), (25, escalation::denied_but_on_windows)],
    ),
    instead(
        "capabilities_restricted",
        &["capabilities_baseline"],
        &[(22, capabilities::restricted), (25, capabilities::restricted_but_on_windows)],
    ),
    instead("procMount_restricted", &["procMount"], &[(35, proc_mount::default_only)]),
    instead("restrictedVolumes", &["hostPathVolumes"], &[(0, volumes::restricted)]),
    check(
        "runAsNonRoot",
        Restricted,
        &[(0, run_as::non_root), (35, run_as::non_root_outside_user_namespaces)],
    ),
    check(
        "runAsUser",
        Restricted,
        &[(23, run_as::not_user_0), (35, run_as::not_user_0_outside_user_namespaces)],
    ),
    instead(
        "seccompProfile_restricted",
        &["seccompProfile_baseline"],
        &[(19, seccomp::restricted), (25, seccomp::restricted_but_on_windows)],
    ),
];

/// The newest minor version that differs from the one before; `latest` and all later ones are as it is.
pub const LATEST: u64 = 35;

/// All checks.
pub fn checks() -> &'static [Check] {
    &CHECKS
}

impl Check {
    /// The form that holds in a version, if the check exists in it.
    fn in_version(&self, minor: u64) -> Option<CheckPod> {
        self.versions.iter().rev().find(|(from, _)| *from <= minor).map(|(_, check)| *check)
    }

    /// The minor versions in which the check began or changed.
    pub fn minimum_versions(&self) -> impl Iterator<Item = u64> {
        self.versions.iter().map(|(from, _)| *from)
    }
}

/// What a level of a version forbids in a pod.
pub fn evaluate(at: LevelVersion, metadata: &Value, spec: &Value) -> Vec<Violation> {
    if at.level == Level::Privileged {
        return Vec::new();
    }
    let minor = match at.version {
        Version::Minor(minor) => minor.min(LATEST),
        Version::Latest => LATEST,
    };
    let in_force = |check: &Check| check.level <= at.level && check.in_version(minor).is_some();
    let overridden = |id: &str| CHECKS.iter().any(|check| check.overrides.contains(&id) && in_force(check));
    CHECKS
        .iter()
        .filter(|check| check.level <= at.level && !overridden(check.id))
        .filter_map(|check| check.in_version(minor)?(metadata, spec))
        .collect()
}
