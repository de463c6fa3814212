//! Who may be whom.

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;
use crate::chain::authorization::{Decision, Verdict};
use crate::request_info::RequestInfo;
use crate::user::NODE_NAME_KEY;

/// Verb, resource with subresource, and name of what is allowed.
type Rule = (&'static str, &'static str, &'static str);
type Header = (&'static str, &'static str);
/// What the row is called, what is allowed, what is asked for; the groups and the constraint that come of it.
type Allowed<'a> = (&'a str, &'static [Rule], &'a [Header], &'a [&'a str], &'a str);
/// The same, and the refusal.
type Refused<'a> = (&'a str, &'static [Rule], &'a [Header], String);

/// Allows what is listed: verb, and resource with subresource, and name.
#[derive(Debug)]
struct Listed(&'static [Rule]);

#[async_trait]
impl Authorizer for Listed {
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        let mut resource = format!("{}/{}", a.info.group, a.info.resource);
        if !a.info.subresource.is_empty() {
            resource = format!("{resource}/{}", a.info.subresource);
        }
        let hit = |(verb, r, name): &(&str, &str, &str)| {
            *verb == a.info.verb && *r == resource && *name == a.info.name
        };
        let allowed = self.0.iter().any(hit);
        Verdict::new(if allowed { Decision::Allow } else { Decision::NoOpinion }, "")
    }
}

fn headers(list: &[Header]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    map
}

fn agent() -> User {
    User {
        name: "system:serviceaccount:kube-system:agent".into(),
        extra: [(NODE_NAME_KEY.to_owned(), vec!["n1".to_owned()])].into(),
        ..User::default()
    }
}

async fn outcome(
    requestor: &User,
    rules: &'static [Rule],
    list: &[Header],
) -> Result<Option<Impersonated>, String> {
    let info = RequestInfo::parse(&Method::GET, "/api/v1/namespaces/a/configmaps", false, None);
    let request = Attributes { user: requestor, info: &info, selectors: None };
    let mut headers = headers(list);
    let outcome = impersonate(&Listed(rules), &request, &mut headers).await;
    if outcome.is_ok() {
        assert!(headers.is_empty(), "{headers:?}");
    }
    outcome.map_err(|status| status.message().to_owned())
}

#[tokio::test]
async fn each_mode_takes_the_users_that_it_is_about() {
    const ON_USER: (&str, &str, &str) = ("impersonate-on:user-info:list", "/configmaps", "");
    const BE_JANE: (&str, &str, &str) = ("impersonate:user-info", "authentication.k8s.io/users", "jane");
    let jane = [("impersonate-user", "jane")];
    let account = [("impersonate-user", "system:serviceaccount:a:b")];
    let node = [("impersonate-user", "system:node:n1")];
    let rows: [Allowed<'_>; 7] = [
        ("old", &[("impersonate", "/users", "jane")], &jane, &["system:authenticated"], ""),
        ("user-info", &[ON_USER, BE_JANE], &jane, &["system:authenticated"], "impersonate:user-info"),
        (
            "a service account has its groups",
            &[
                ("impersonate-on:serviceaccount:list", "/configmaps", ""),
                ("impersonate:serviceaccount", "authentication.k8s.io/serviceaccounts", "b"),
            ],
            &account,
            &["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"],
            "impersonate:serviceaccount",
        ),
        (
            "a node of its own",
            &[
                ("impersonate-on:associated-node:list", "/configmaps", ""),
                ("impersonate:associated-node", "authentication.k8s.io/nodes", "*"),
            ],
            &node,
            &["system:nodes", "system:authenticated"],
            "impersonate:associated-node",
        ),
        (
            "any node",
            &[
                ("impersonate-on:arbitrary-node:list", "/configmaps", ""),
                ("impersonate:arbitrary-node", "authentication.k8s.io/nodes", "n1"),
            ],
            &node,
            &["system:nodes", "system:authenticated"],
            "impersonate:arbitrary-node",
        ),
        (
            "nobody",
            &[("impersonate", "/users", "system:anonymous")],
            &[("impersonate-user", "system:anonymous")],
            &["system:unauthenticated"],
            "",
        ),
        (
            "groups and extra",
            &[
                ("impersonate", "/users", "jane"),
                ("impersonate", "/groups", "devs"),
                ("impersonate", "authentication.k8s.io/userextras/scopes", "view"),
                ("impersonate", "authentication.k8s.io/uids", "1"),
            ],
            &[
                ("impersonate-user", "jane"),
                ("impersonate-group", "devs"),
                ("impersonate-extra-scopes", "view"),
                ("impersonate-uid", "1"),
            ],
            &["devs", "system:authenticated"],
            "",
        ),
    ];
    for (name, rules, list, groups, constraint) in rows {
        let got = outcome(&agent(), rules, list).await.unwrap().unwrap();
        assert_eq!(got.user.name, list[0].1, "{name}");
        assert_eq!(got.user.groups, groups, "{name}");
        assert_eq!(got.constraint, constraint, "{name}");
    }
}

#[tokio::test]
async fn the_first_refusal_is_what_is_told() {
    let who = "User \"system:serviceaccount:kube-system:agent\" cannot";
    let on = |mode: &str| {
        format!(
            "configmaps is forbidden: {who} impersonate-on:{mode}:list resource \"configmaps\" in API group \"\" in the namespace \"a\""
        )
    };
    let masters = [("impersonate-user", "jane"), ("impersonate-group", "system:masters")];
    let scopes = [("impersonate-user", "jane"), ("impersonate-extra-scopes", "view")];
    let rows: [Refused<'_>; 6] = [
        ("nothing allowed", &[], &[("impersonate-user", "jane")], on("user-info")),
        ("an account", &[], &[("impersonate-user", "system:serviceaccount:a:b")], on("serviceaccount")),
        ("its node", &[], &[("impersonate-user", "system:node:n1")], on("associated-node")),
        ("another node", &[], &[("impersonate-user", "system:node:n2")], on("arbitrary-node")),
        (
            "masters by a constrained mode",
            &[
                ("impersonate-on:user-info:list", "/configmaps", ""),
                ("impersonate:user-info", "authentication.k8s.io/users", "jane"),
                ("impersonate:user-info", "authentication.k8s.io/groups", "system:masters"),
            ],
            &masters,
            format!(
                "groups.authentication.k8s.io \"system:masters\" is forbidden: {who} impersonate:user-info resource \"groups\" in API group \"authentication.k8s.io\" at the cluster scope: impersonating the system:masters group is not allowed"
            ),
        ),
        (
            "an extra key without a domain",
            &[
                ("impersonate-on:user-info:list", "/configmaps", ""),
                ("impersonate:user-info", "authentication.k8s.io/users", "jane"),
            ],
            &scopes,
            format!(
                "userextras.authentication.k8s.io is forbidden: {who} impersonate:user-info resource \"userextras\" in API group \"authentication.k8s.io\" at the cluster scope: impersonating an invalid key in extra is not allowed: extra.key: Invalid value: \"scopes\": must be a domain-prefixed path (such as \"acme.io/foo\")"
            ),
        ),
    ];
    for (name, rules, list, want) in rows {
        assert_eq!(outcome(&agent(), rules, list).await.unwrap_err(), want, "{name}");
    }
}

#[tokio::test]
async fn something_of_a_user_without_its_name_is_a_bad_request() {
    let rows: [(&[Header], &str); 3] = [
        (
            &[("impersonate-group", "devs")],
            "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"devs\"}, Extra:map[string][]string(nil)} without impersonating a user name",
        ),
        (
            &[("impersonate-uid", "7")],
            "requested &user.DefaultInfo{Name:\"\", UID:\"7\", Groups:[]string(nil), Extra:map[string][]string(nil)} without impersonating a user name",
        ),
        (
            &[("impersonate-extra-a%2fb", "x")],
            "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string(nil), Extra:map[string][]string{\"a/b\":[]string{\"x\"}}} without impersonating a user name",
        ),
    ];
    for (list, want) in rows {
        assert_eq!(outcome(&agent(), &[], list).await.unwrap_err(), want);
    }
    assert_eq!(outcome(&agent(), &[], &[]).await.unwrap(), None);
}
