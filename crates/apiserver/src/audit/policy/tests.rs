use http::Method;

use super::*;

fn policy(rules: &str) -> Policy {
    Policy::from_yaml(format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}").as_bytes())
        .unwrap()
}

fn jane() -> User {
    User { name: "jane".into(), groups: vec!["dev".into(), "ops".into()], ..User::default() }
}

fn request(method: &str, path: &str) -> RequestInfo {
    RequestInfo::parse(&Method::from_bytes(method.as_bytes()).unwrap(), path, false, None)
}

#[test]
fn a_rule_is_met_by_what_all_its_lists_name() {
    let pods = ("GET", "/api/v1/namespaces/ns/pods/p");
    let log = ("GET", "/api/v1/namespaces/ns/pods/p/log");
    let scale = ("PUT", "/apis/apps/v1/namespaces/ns/deployments/d/scale");
    let nodes = ("GET", "/api/v1/nodes");
    let health = ("GET", "/healthz/ping");
    let rows: [(&str, &str, (&str, &str), bool); 33] = [
        ("nothing is demanded", "{}", pods, true),
        ("nothing is demanded of a path", "{}", health, true),
        ("the user", "{users: [jane]}", pods, true),
        ("another user", "{users: [joe]}", pods, false),
        ("one group of several", "{userGroups: [x, ops]}", pods, true),
        ("no group", "{userGroups: [x]}", pods, false),
        ("the verb", "{verbs: [get]}", pods, true),
        ("another verb", "{verbs: [list, watch]}", pods, false),
        ("the namespace", "{namespaces: [ns]}", pods, true),
        ("another namespace", "{namespaces: [m]}", pods, false),
        ("no namespace", "{namespaces: [\"\"]}", nodes, true),
        ("a namespace means no path", "{namespaces: [\"\"]}", health, false),
        ("the group", "{resources: [{group: \"\"}]}", pods, true),
        ("another group", "{resources: [{group: apps}]}", pods, false),
        ("a group means no path", "{resources: [{group: \"\"}]}", health, false),
        ("the resource", "{resources: [{resources: [pods]}]}", pods, true),
        ("another resource", "{resources: [{resources: [nodes]}]}", pods, false),
        ("a resource without its subresources", "{resources: [{resources: [pods]}]}", log, false),
        ("the subresource", "{resources: [{resources: [pods/log]}]}", log, true),
        ("a subresource without its resource", "{resources: [{resources: [pods/log]}]}", pods, false),
        ("all subresources", "{resources: [{resources: [pods/*]}]}", log, true),
        ("all subresources and the resource", "{resources: [{resources: [pods/*]}]}", pods, true),
        (
            "a subresource of everything",
            "{resources: [{group: apps, resources: [\"*/scale\"]}]}",
            scale,
            true,
        ),
        ("another subresource of everything", "{resources: [{resources: [\"*/scale\"]}]}", log, false),
        ("everything of a group", "{resources: [{resources: [\"*\"]}]}", log, true),
        ("the name", "{resources: [{resources: [pods], resourceNames: [p]}]}", pods, true),
        ("another name", "{resources: [{resources: [pods], resourceNames: [q]}]}", pods, false),
        ("no name", "{resources: [{resources: [nodes], resourceNames: [q]}]}", nodes, false),
        ("the path", "{nonResourceURLs: [/healthz/ping]}", health, true),
        ("the beginning of the path", "{nonResourceURLs: [/healthz*]}", health, true),
        ("all paths", "{nonResourceURLs: [\"*\"]}", health, true),
        ("another path", "{nonResourceURLs: [/healthz]}", health, false),
        ("a path means no resource", "{nonResourceURLs: [\"*\"]}", pods, false),
    ];
    for (name, fields, (method, path), met) in rows {
        let fields = fields.trim_start_matches('{');
        let rule = format!("- {{level: Metadata, {fields}\n").replace(", }", "}");
        let got = policy(&rule).decide(Some(&jane()), &request(method, path)).level;
        assert_eq!(got == Level::Metadata, met, "{name}");
    }
}

#[test]
fn the_first_rule_that_is_met_decides() {
    let policy = policy(
        "- {level: None, verbs: [get]}\n- {level: Request, users: [jane]}\n- {level: Metadata}\n- {level: RequestResponse}\n",
    );
    let level = |user: Option<&User>, method: &str| {
        policy.decide(user, &request(method, "/api/v1/namespaces/ns/pods/p")).level
    };
    assert_eq!(level(Some(&jane()), "GET"), Level::None);
    assert_eq!(level(Some(&jane()), "PUT"), Level::Request);
    assert_eq!(level(Some(&User::anonymous()), "PUT"), Level::Metadata);
    assert_eq!(level(None, "PUT"), Level::Metadata, "nobody is no user that a rule names");
}

#[test]
fn a_request_that_meets_no_rule_is_not_audited() {
    let policy = policy("- {level: Metadata, users: [joe]}\n");
    assert_eq!(policy.decide(Some(&jane()), &request("GET", "/healthz")).level, Level::None);
}

#[test]
fn what_is_omitted_is_what_rule_and_policy_say_together() {
    let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n- {level: Metadata, verbs: [get], omitStages: [Panic], omitManagedFields: false}\n- {level: Metadata}\n";
    let policy = Policy::from_yaml(text.as_bytes()).unwrap();
    let decide =
        |method: &str| policy.decide(Some(&jane()), &request(method, "/api/v1/namespaces/ns/pods/p"));
    let get = decide("GET");
    assert_eq!(get.omit_stages, [Stage::RequestReceived, Stage::Panic]);
    assert!(!get.omit_managed_fields, "the rule's word is more than the policy's");
    let put = decide("PUT");
    assert_eq!(put.omit_stages, [Stage::RequestReceived]);
    assert!(put.omit_managed_fields);
}

#[test]
fn a_policy_that_cannot_be_used_is_refused_in_upstreams_words() {
    let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
    let rows = [
        ("no rules", format!("{head}rules: []"), "loaded illegal policy with 0 rules"),
        (
            "another version",
            "apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]".into(),
            "unknown group version field audit.k8s.io/v1beta1, Kind=Policy in policy",
        ),
        ("no level", format!("{head}rules: [{{}}]"), "rules[0].level: Required value"),
        (
            "another level",
            format!("{head}rules: [{{level: Everything}}]"),
            "rules[0].level: Unsupported value: \"Everything\": supported values: \"None\", \"Metadata\", \"Request\", \"RequestResponse\"",
        ),
        (
            "stages",
            format!("{head}omitStages: [x]\nrules: [{{level: None, omitStages: [Panic, z]}}]"),
            "[omitStages[0]: Invalid value: \"x\": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic, rules[0].omitStages[1]: Invalid value: \"z\": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic]",
        ),
        (
            "a path that is none",
            format!("{head}rules: [{{level: None, nonResourceURLs: [healthz]}}]"),
            "rules[0].nonResourceURLs[0]: Invalid value: \"healthz\": non-resource URL rules must begin with a '/' character",
        ),
        (
            "a wildcard within",
            format!("{head}rules: [{{level: None, nonResourceURLs: [/a*b, /a*]}}]"),
            "rules[0].nonResourceURLs[0]: Invalid value: \"/a*b\": non-resource URL wildcards '*' must be the final character of the rule",
        ),
        (
            "paths and resources",
            format!("{head}rules: [{{level: None, nonResourceURLs: [/a], namespaces: [ns]}}]"),
            "rules[0].nonResourceURLs: Invalid value: [\"/a\"]: rules cannot apply to both regular resources and non-resource URLs",
        ),
        (
            "names without resources",
            format!("{head}rules: [{{level: None, resources: [{{resourceNames: [a]}}]}}]"),
            "rules[0].resources.resourceNames: Invalid value: [\"a\"]: using resourceNames requires at least one resource",
        ),
    ];
    for (name, text, want) in rows {
        assert_eq!(Policy::from_yaml(text.as_bytes()).unwrap_err().to_string(), want, "{name}");
    }
    let version = format!("{head}rules: [{{level: None, resources: [{{group: rbac.k8s.io/v1}}]}}]");
    let error = Policy::from_yaml(version.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("rules[0].resources.group: Invalid value: \"rbac.k8s.io/v1\": "), "{error}");
    let shape = format!("{head}rules: [{{level: None, users: jane}}]");
    assert!(Policy::from_yaml(shape.as_bytes()).unwrap_err().to_string().starts_with("failed decoding: "));
}

#[test]
fn a_field_that_does_not_exist_is_ignored() {
    assert_eq!(policy("- {level: Metadata, usres: [jane]}\n"), policy("- {level: Metadata}\n"));
}
