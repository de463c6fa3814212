//! Which version this is, in the words that clients of the API understand.

use sampan_model::{Map, Value};

/// The release of Kubernetes whose API is served.
pub(crate) const KUBERNETES: &str = "v1.36.2";

/// What `sampan version` prints.
pub(crate) fn sentence() -> String {
    format!("sampan {} (Kubernetes {KUBERNETES} API)", env!("CARGO_PKG_VERSION"))
}

/// The answer of `/version`: `version.Info` of apimachinery. Clients read `gitVersion` as a semantic version.
pub(crate) fn info() -> Value {
    let entries: Map = [
        ("major", Value::from("1")),
        ("minor", "36".into()),
        ("emulationMajor", "1".into()),
        ("emulationMinor", "36".into()),
        ("minCompatibilityMajor", "1".into()),
        ("minCompatibilityMinor", "35".into()),
        ("gitVersion", format!("{KUBERNETES}+sampan.{}", env!("CARGO_PKG_VERSION")).into()),
        ("gitCommit", option_env!("SAMPAN_GIT_COMMIT").unwrap_or("unknown").into()),
        ("gitTreeState", if option_env!("SAMPAN_GIT_COMMIT").is_some() { "clean" } else { "unknown" }.into()),
        ("buildDate", option_env!("SAMPAN_BUILD_DATE").unwrap_or("1970-01-01T00:00:00Z").into()),
        // There is no Go in it; clients print the field and want it there.
        ("goVersion", "none".into()),
        ("compiler", "rustc".into()),
        ("platform", format!("{}/{}", std::env::consts::OS, architecture()).into()),
    ]
    .into_iter()
    .collect();
    Value::Object(entries)
}

/// The architecture in Go's words, which image names and node labels use too.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}
