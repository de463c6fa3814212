//! The Pod Security Standards, check by check: the least that a level demands passes, and each way to break it is told
//! in upstream's words.

mod common;

use common::tree;
use sampan_model::Value;
use sampan_validation::pod_security::{
    Level, LevelVersion, Policy, Version, checks, details, evaluate, reasons,
};
use serde_json::{Value as Json, json};

/// The least that a pod must say at a level, in every version.
fn minimal(level: Level) -> Json {
    match level {
        Level::Privileged | Level::Baseline => json!({"spec": {
            "initContainers": [{"name": "init"}],
            "containers": [{"name": "main"}],
        }}),
        Level::Restricted => {
            let context = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
            json!({"spec": {
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "initContainers": [{"name": "init", "securityContext": context}],
                "containers": [{"name": "main", "securityContext": context}],
            }})
        }
    }
}

/// Lays `patch` over `base`: maps are merged, lists element by element, null takes away.
fn merge(base: &mut Json, patch: &Json) {
    match (base, patch) {
        (Json::Object(base), Json::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    base.remove(key);
                } else {
                    merge(base.entry(key).or_insert(Json::Null), value);
                }
            }
        }
        (Json::Array(base), Json::Array(patch)) => {
            for (i, value) in patch.iter().enumerate() {
                if i == base.len() {
                    base.push(Json::Null);
                }
                merge(&mut base[i], value);
            }
        }
        (base, patch) => *base = patch.clone(),
    }
}

fn judge(level: Level, version: Version, patch: &Json) -> String {
    let mut pod = minimal(level);
    merge(&mut pod, patch);
    let pod = tree(&pod);
    let part = |name: &str| pod.get(name).cloned().unwrap_or(Value::Null);
    details(&evaluate(LevelVersion { level, version }, &part("metadata"), &part("spec")))
}

/// The first container with a security context.
fn main_context(context: &Json) -> Json {
    json!({"spec": {"containers": [{"securityContext": context}]}})
}

fn pod_context(context: &Json) -> Json {
    json!({"spec": {"securityContext": context}})
}

fn spec(fields: &Json) -> Json {
    json!({ "spec": fields })
}

/// (what it shows, level, from which minor version, up to which, patch, sentence)
type Row = (&'static str, Level, u64, u64, Json, &'static str);

const NEWEST: u64 = 36;

/// Checks each row in its first and last version, and that its pod passes in the versions around them.
fn check_rows(rows: &[Row], passes_outside: bool) {
    for (name, level, from, to, patch, want) in rows {
        for minor in [*from, *to] {
            assert_eq!(judge(*level, Version::Minor(minor), patch), *want, "{name} in v1.{minor}");
        }
        if *to == NEWEST {
            assert_eq!(judge(*level, Version::Latest, patch), *want, "{name} in latest");
            assert_eq!(judge(*level, Version::Minor(999), patch), *want, "{name} in the future");
        }
        if passes_outside {
            let outside = [from.checked_sub(1), Some(to + 1).filter(|v| *v <= NEWEST)];
            for minor in outside.into_iter().flatten() {
                assert_eq!(judge(*level, Version::Minor(minor), patch), "", "{name} in v1.{minor}");
            }
        }
        assert_eq!(judge(Level::Privileged, Version::Minor(*to), patch), "", "{name} at privileged");
    }
}

use Level::{Baseline, Restricted};

#[test]
fn the_least_that_a_level_demands_passes_in_every_version() {
    for level in [Level::Privileged, Baseline, Restricted] {
        for version in (0..=NEWEST + 1).map(Version::Minor).chain([Version::Latest]) {
            assert_eq!(judge(level, version, &json!({})), "", "{level} {version}");
        }
    }
}

#[test]
fn what_baseline_forbids_is_told_in_upstreams_words() {
    let rows: Vec<Row> = vec![
        (
            "host namespaces",
            Baseline,
            0,
            NEWEST,
            spec(&json!({"hostIPC": true, "hostNetwork": true, "hostPID": true})),
            "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
        ),
        (
            "a privileged container",
            Baseline,
            0,
            NEWEST,
            main_context(&json!({"privileged": true})),
            "privileged (container \"main\" must not set securityContext.privileged=true)",
        ),
        (
            "privileged containers of each kind",
            Baseline,
            0,
            NEWEST,
            spec(&json!({
                "initContainers": [{"securityContext": {"privileged": true}}],
                "containers": [{"securityContext": {"privileged": true}}],
                "ephemeralContainers": [{"name": "debug", "securityContext": {"privileged": true}}],
            })),
            "privileged (containers \"init\", \"main\", \"debug\" must not set securityContext.privileged=true)",
        ),
        (
            "capabilities that are not given by default",
            Baseline,
            0,
            NEWEST,
            main_context(&json!({"capabilities": {"add": ["SYS_TIME", "CHOWN", "NET_RAW"]}})),
            "non-default capabilities (container \"main\" must not include \"NET_RAW\", \"SYS_TIME\" in securityContext.capabilities.add)",
        ),
        (
            "host path volumes",
            Baseline,
            0,
            NEWEST,
            spec(&json!({"volumes": [
                {"name": "a", "hostPath": {"path": "/"}},
                {"name": "b", "emptyDir": {}},
                {"name": "c", "hostPath": {}},
            ]})),
            "hostPath volumes (volumes \"a\", \"c\")",
        ),
        (
            "a host port",
            Baseline,
            0,
            NEWEST,
            spec(
                &json!({"containers": [{"ports": [{"containerPort": 1, "hostPort": 1}, {"containerPort": 2}]}]}),
            ),
            "hostPort (container \"main\" uses hostPort 1)",
        ),
        (
            "host ports are sorted as text",
            Baseline,
            0,
            NEWEST,
            spec(&json!({
                "initContainers": [{"ports": [{"hostPort": 9}, {"hostPort": 10}]}],
                "containers": [{"ports": [{"hostPort": 10}]}],
            })),
            "hostPort (containers \"init\", \"main\" use hostPorts 10, 9)",
        ),
        (
            "an AppArmor profile",
            Baseline,
            0,
            NEWEST,
            pod_context(&json!({"appArmorProfile": {"type": "Unconfined"}})),
            "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            "AppArmor profiles everywhere",
            Baseline,
            0,
            NEWEST,
            json!({
                "metadata": {"annotations": {
                    "container.apparmor.security.beta.kubernetes.io/main": "unconfined",
                    "container.apparmor.security.beta.kubernetes.io/init": "runtime/default",
                    "container.apparmor.security.beta.kubernetes.io/x": "localhost/x",
                    "container.apparmor.security.beta.kubernetes.io/y": "",
                }},
                "spec": {
                    "securityContext": {"appArmorProfile": {"type": "Unconfined"}},
                    "initContainers": [{"securityContext": {"appArmorProfile": {"type": "Localhost"}}}],
                    "containers": [{"securityContext": {"appArmorProfile": {"type": "Other"}}}],
                },
            }),
            "forbidden AppArmor profiles (pod and container \"main\" and annotation must not set AppArmor profile type to \"Other\", \"Unconfined\", \"container.apparmor.security.beta.kubernetes.io/main=\"unconfined\"\")",
        ),
        (
            "SELinux types",
            Baseline,
            0,
            NEWEST,
            spec(&json!({
                "securityContext": {"seLinuxOptions": {"type": "b"}},
                "initContainers": [{"securityContext": {"seLinuxOptions": {"type": "a"}}}],
                "containers": [{"securityContext": {"seLinuxOptions": {"type": "container_t", "level": "s0"}}}],
            })),
            "seLinuxOptions (pod and container \"init\" set forbidden securityContext.seLinuxOptions: types \"a\", \"b\")",
        ),
        (
            "an SELinux user and role",
            Baseline,
            0,
            NEWEST,
            main_context(&json!({"seLinuxOptions": {"user": "u", "role": "r"}})),
            "seLinuxOptions (container \"main\" set forbidden securityContext.seLinuxOptions: user may not be set; role may not be set)",
        ),
        (
            "the SELinux type of container engines",
            Baseline,
            0,
            30,
            main_context(&json!({"seLinuxOptions": {"type": "container_engine_t"}})),
            "seLinuxOptions (container \"main\" set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")",
        ),
        (
            "an unmasked /proc",
            Baseline,
            0,
            NEWEST,
            main_context(&json!({"procMount": "Unmasked"})),
            "procMount (container \"main\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            "an unmasked /proc in a user namespace",
            Baseline,
            0,
            34,
            spec(
                &json!({"hostUsers": false, "containers": [{"securityContext": {"procMount": "Unmasked"}}]}),
            ),
            "procMount (container \"main\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            "seccomp annotations",
            Baseline,
            0,
            18,
            json!({"metadata": {"annotations": {
                "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
                "container.seccomp.security.alpha.kubernetes.io/main": "bad",
                "container.seccomp.security.alpha.kubernetes.io/init": "docker/default",
                "container.seccomp.security.alpha.kubernetes.io/nobody": "bad",
            }}}),
            "seccompProfile (forbidden annotations container.seccomp.security.alpha.kubernetes.io/main=\"bad\", seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")",
        ),
        (
            "seccomp profiles",
            Baseline,
            19,
            NEWEST,
            spec(&json!({
                "securityContext": {"seccompProfile": {"type": "Unconfined"}},
                "containers": [{"securityContext": {"seccompProfile": {"type": "Unconfined"}}}],
            })),
            "seccompProfile (pod and container \"main\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            "sysctls that were never safe",
            Baseline,
            0,
            NEWEST,
            pod_context(&json!({"sysctls": [
                {"name": "net.core.somaxconn"}, {"name": "kernel.shm_rmid_forced"}, {"name": "a"},
            ]})),
            "forbidden sysctls (net.core.somaxconn, a)",
        ),
        (
            "a sysctl of v1.27",
            Baseline,
            0,
            26,
            pod_context(&json!({"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]})),
            "forbidden sysctls (net.ipv4.ip_local_reserved_ports)",
        ),
        (
            "the sysctls of v1.29",
            Baseline,
            0,
            28,
            pod_context(&json!({"sysctls": [
                {"name": "net.ipv4.tcp_keepalive_time"}, {"name": "net.ipv4.tcp_fin_timeout"},
                {"name": "net.ipv4.tcp_keepalive_intvl"}, {"name": "net.ipv4.tcp_keepalive_probes"},
            ]})),
            "forbidden sysctls (net.ipv4.tcp_keepalive_time, net.ipv4.tcp_fin_timeout, net.ipv4.tcp_keepalive_intvl, net.ipv4.tcp_keepalive_probes)",
        ),
        (
            "the sysctls of v1.32",
            Baseline,
            0,
            31,
            pod_context(&json!({"sysctls": [{"name": "net.ipv4.tcp_rmem"}, {"name": "net.ipv4.tcp_wmem"}]})),
            "forbidden sysctls (net.ipv4.tcp_rmem, net.ipv4.tcp_wmem)",
        ),
        (
            "a sysctl of v1.37",
            Baseline,
            0,
            NEWEST,
            pod_context(&json!({"sysctls": [{"name": "net.ipv4.tcp_notsent_lowat"}]})),
            "forbidden sysctls (net.ipv4.tcp_notsent_lowat)",
        ),
        (
            "host processes",
            Baseline,
            0,
            NEWEST,
            spec(&json!({
                "securityContext": {"windowsOptions": {"hostProcess": true}},
                "containers": [{"securityContext": {"windowsOptions": {"hostProcess": true}}}],
            })),
            "hostProcess (pod and container \"main\" must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            "a probe that goes elsewhere",
            Baseline,
            34,
            NEWEST,
            spec(&json!({"containers": [{
                "livenessProbe": {"httpGet": {"host": "8.8.8.8"}},
                "readinessProbe": {"tcpSocket": {"port": 1}},
            }]})),
            "probe or lifecycle host (container \"main\" uses probe or lifecycle host \"8.8.8.8\")",
        ),
        (
            "hooks and probes that go elsewhere",
            Baseline,
            34,
            NEWEST,
            spec(&json!({
                "initContainers": [{"startupProbe": {"tcpSocket": {"host": "b"}}}],
                "containers": [{"lifecycle": {
                    "postStart": {"httpGet": {"host": "a"}},
                    "preStop": {"tcpSocket": {"host": "b"}},
                }}],
            })),
            "probe or lifecycle host (containers \"init\", \"main\" use probe or lifecycle hosts \"a\", \"b\")",
        ),
    ];
    check_rows(&rows, true);
}

#[test]
fn what_restricted_forbids_is_told_in_upstreams_words() {
    let rows: Vec<Row> = vec![
        (
            "escalation",
            Restricted,
            8,
            NEWEST,
            main_context(&json!({"allowPrivilegeEscalation": null})),
            "allowPrivilegeEscalation != false (container \"main\" must set securityContext.allowPrivilegeEscalation=false)",
        ),
        (
            "escalation on Windows",
            Restricted,
            8,
            24,
            spec(
                &json!({"os": {"name": "windows"}, "containers": [{"securityContext": {"allowPrivilegeEscalation": true}}]}),
            ),
            "allowPrivilegeEscalation != false (container \"main\" must set securityContext.allowPrivilegeEscalation=false)",
        ),
        (
            "capabilities that are kept",
            Restricted,
            22,
            NEWEST,
            main_context(&json!({"capabilities": {"drop": ["CHOWN"]}})),
            "unrestricted capabilities (container \"main\" must set securityContext.capabilities.drop=[\"ALL\"])",
        ),
        (
            "capabilities on Windows",
            Restricted,
            22,
            24,
            spec(
                &json!({"os": {"name": "windows"}, "containers": [{"securityContext": {"capabilities": null}}]}),
            ),
            "unrestricted capabilities (container \"main\" must set securityContext.capabilities.drop=[\"ALL\"])",
        ),
        (
            "capabilities that the baseline lets be added",
            Restricted,
            22,
            NEWEST,
            spec(&json!({
                "initContainers": [{"securityContext": {"capabilities": null}}],
                "containers": [{"securityContext": {"capabilities": {"add": ["CHOWN", "NET_BIND_SERVICE"]}}}],
            })),
            "unrestricted capabilities (container \"init\" must set securityContext.capabilities.drop=[\"ALL\"]; container \"main\" must not include \"CHOWN\" in securityContext.capabilities.add)",
        ),
        (
            "root by consent",
            Restricted,
            0,
            NEWEST,
            spec(&json!({
                "securityContext": {"runAsNonRoot": false},
                "containers": [{"securityContext": {"runAsNonRoot": false}}],
            })),
            "runAsNonRoot != true (pod and container \"main\" must not set securityContext.runAsNonRoot=false)",
        ),
        (
            "root by silence",
            Restricted,
            0,
            NEWEST,
            spec(&json!({
                "securityContext": {"runAsNonRoot": null},
                "initContainers": [{"securityContext": {"runAsNonRoot": true}}],
            })),
            "runAsNonRoot != true (pod or container \"main\" must set securityContext.runAsNonRoot=true)",
        ),
        (
            "root in a user namespace",
            Restricted,
            0,
            34,
            spec(&json!({"hostUsers": false, "securityContext": {"runAsNonRoot": false}})),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            "user 0",
            Restricted,
            23,
            NEWEST,
            spec(&json!({
                "securityContext": {"runAsUser": 0},
                "initContainers": [{"securityContext": {"runAsUser": 1}}],
                "containers": [{"securityContext": {"runAsUser": 0}}],
            })),
            "runAsUser=0 (pod and container \"main\" must not set runAsUser=0)",
        ),
        (
            "user 0 in a user namespace",
            Restricted,
            23,
            34,
            spec(&json!({"hostUsers": false, "securityContext": {"runAsUser": 0}})),
            "runAsUser=0 (pod must not set runAsUser=0)",
        ),
        (
            "no seccomp profile",
            Restricted,
            19,
            NEWEST,
            spec(&json!({
                "securityContext": {"seccompProfile": null},
                "initContainers": [{"securityContext": {"seccompProfile": {"type": "Localhost"}}}],
            })),
            "seccompProfile (pod or container \"main\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        ),
        (
            "no seccomp profile on Windows",
            Restricted,
            19,
            24,
            spec(&json!({"os": {"name": "windows"}, "securityContext": {"seccompProfile": null}})),
            "seccompProfile (pod or containers \"init\", \"main\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        ),
        (
            "a wrong seccomp profile is told before a missing one",
            Restricted,
            19,
            NEWEST,
            spec(&json!({
                "securityContext": {"seccompProfile": null},
                "containers": [{"securityContext": {"seccompProfile": {"type": "Unconfined"}}}],
            })),
            "seccompProfile (container \"main\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            "volumes of the host and of the network, which override the baseline's check",
            Restricted,
            0,
            NEWEST,
            spec(&json!({"volumes": [
                {"name": "a", "hostPath": {"path": "/"}},
                {"name": "b", "nfs": {"server": "x"}},
                {"name": "c", "image": {"reference": "x"}},
                {"name": "d", "new": {}},
                {"name": "e", "csi": {"driver": "x"}},
            ]})),
            "restricted volume types (volumes \"a\", \"b\", \"d\" use restricted volume types \"hostPath\", \"nfs\", \"unknown\")",
        ),
        (
            "an unmasked /proc, in a user namespace too",
            Restricted,
            0,
            NEWEST,
            spec(
                &json!({"hostUsers": false, "containers": [{"securityContext": {"procMount": "Unmasked"}}]}),
            ),
            "procMount (container \"main\" must not set securityContext.procMount to \"Unmasked\")",
        ),
    ];
    check_rows(&rows, true);
}

#[test]
fn a_restricted_check_stands_for_its_baseline_only_in_the_versions_that_have_it() {
    let adds = main_context(&json!({"capabilities": {"drop": ["ALL"], "add": ["SYS_TIME"]}}));
    let baseline = "non-default capabilities (container \"main\" must not include \"SYS_TIME\" in securityContext.capabilities.add)";
    let restricted = "unrestricted capabilities (container \"main\" must not include \"SYS_TIME\" in securityContext.capabilities.add)";
    assert_eq!(judge(Restricted, Version::Minor(21), &adds), baseline);
    assert_eq!(judge(Restricted, Version::Minor(22), &adds), restricted);
    assert_eq!(judge(Baseline, Version::Minor(22), &adds), baseline);
}

#[test]
fn the_baselines_violations_come_before_those_of_restricted_each_by_id() {
    let pod = tree(&json!({"spec": {
        "hostNetwork": true,
        "containers": [{"name": "a", "securityContext": {"privileged": true}}],
        "volumes": [{"name": "h", "hostPath": {"path": "/"}}],
    }}));
    let at = LevelVersion { level: Restricted, version: Version::Latest };
    let found = evaluate(at, &Value::Null, pod.get("spec").unwrap());
    assert_eq!(
        reasons(&found),
        "host namespaces, privileged, allowPrivilegeEscalation != false, unrestricted capabilities, restricted volume types, runAsNonRoot != true, seccompProfile"
    );
}

#[test]
fn every_check_begins_and_changes_where_the_v1_36_release_says() {
    let got: Vec<String> = checks()
        .iter()
        .map(|c| {
            let versions: Vec<String> = c.minimum_versions().map(|v| v.to_string()).collect();
            format!("{} {} {} {}", c.id, c.level, versions.join(","), c.overrides.join(","))
        })
        .collect();
    let want = [
        "appArmorProfile baseline 0 ",
        "capabilities_baseline baseline 0 ",
        "hostNamespaces baseline 0 ",
        "hostPathVolumes baseline 0 ",
        "hostPorts baseline 0 ",
        "hostProbesAndHostLifecycle baseline 34 ",
        "privileged baseline 0 ",
        "procMount baseline 0,35 ",
        "seLinuxOptions baseline 0,31 ",
        "seccompProfile_baseline baseline 0,19 ",
        "sysctls baseline 0,27,29,32 ",
        "windowsHostProcess baseline 0 ",
        "allowPrivilegeEscalation restricted 8,25 ",
        "capabilities_restricted restricted 22,25 capabilities_baseline",
        "procMount_restricted restricted 35 procMount",
        "restrictedVolumes restricted 0 hostPathVolumes",
        "runAsNonRoot restricted 0,35 ",
        "runAsUser restricted 23,35 ",
        "seccompProfile_restricted restricted 19,25 seccompProfile_baseline",
    ];
    assert_eq!(got, want);
    let newest = checks().iter().flat_map(sampan_validation::pod_security::Check::minimum_versions).max();
    assert_eq!(newest, Some(sampan_validation::pod_security::LATEST));
}

#[test]
fn policies_that_judge_alike_are_equivalent() {
    let with = |level, version| Policy { warn: LevelVersion { level, version }, ..Policy::default() };
    let old = with(Level::Privileged, Version::Minor(1));
    assert!(old.is_equivalent(&Policy::default()) && old.is_privileged());
    let strict = with(Restricted, Version::Latest);
    assert!(!strict.is_equivalent(&Policy::default()) && !strict.is_privileged());
    assert!(!strict.is_equivalent(&with(Restricted, Version::Minor(1))));
}
