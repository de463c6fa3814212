//! Every route of every kind is refused to who has no rights, in the right words, and open to who has exactly that one.

use http::{Method, Request};
use http_body_util::BodyExt as _;
use sampan_apiserver::Verb;
use sampan_testkit::{TestServer, user};
use serde_json::{Value, json};

use super::{RBAC, bind, cluster_role};

/// Routes that are answered otherwise, each with its reason. The list may only shrink.
const EXCEPTIONS: &[&str] = &[];

/// One route, and what is to be authorized for it.
#[derive(Debug)]
struct Route {
    name: String,
    method: Method,
    path: String,
    /// The words of the refusal.
    refusal: String,
    /// The only rule that opens it.
    rule: Value,
}

fn method(verb: Verb) -> Method {
    match verb {
        Verb::Create => Method::POST,
        Verb::Get | Verb::List | Verb::Watch => Method::GET,
        Verb::Update => Method::PUT,
        Verb::Patch => Method::PATCH,
        Verb::Delete | Verb::DeleteCollection => Method::DELETE,
        Verb::Connect => unreachable!("no resource lists it"),
    }
}

/// The route of a verb on a resource or a subresource of it, in a namespace or (empty) at cluster scope.
fn route(gvr: &sampan_model::GroupVersionResource, part: &str, verb: Verb, namespace: &str) -> Route {
    let (group, resource) = (gvr.group.as_str(), gvr.resource.as_str());
    let on_object = !part.is_empty() || matches!(verb, Verb::Get | Verb::Update | Verb::Patch | Verb::Delete);
    let name = if on_object { "x" } else { "" };
    let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
    let within = if namespace.is_empty() { String::new() } else { format!("namespaces/{namespace}") };
    let words = [root.as_str(), &gvr.version, &within, resource, name, part];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let query = match verb {
        Verb::Watch => "?watch=true&timeoutSeconds=1",
        Verb::Get | Verb::List => "",
        // What is let through must not change the server for the routes that follow.
        _ => "?dryRun=All",
    };
    let path = words.join("/") + query;
    let full = if part.is_empty() { resource.to_owned() } else { format!("{resource}/{part}") };
    let dotted = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let object = if name.is_empty() { dotted } else { format!("{dotted} \"{name}\"") };
    // The name of a namespace is its namespace, too.
    let namespace = if resource == "namespaces" && group.is_empty() { name } else { namespace };
    let place = match namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let word = verb.as_str();
    Route {
        name: format!("{} {path}", method(verb)),
        method: method(verb),
        refusal: format!(
            "{object} is forbidden: User \"eve\" cannot {word} resource \"{full}\" in API group \"{group}\" {place}"
        ),
        rule: json!({"verbs": [word], "apiGroups": [group], "resources": [full]}),
        path,
    }
}

async fn routes(server: &TestServer) -> Vec<Route> {
    let catalog = server.server().registry().catalog();
    let mut routes = Vec::new();
    for resource in catalog.resources() {
        let parts = resource.subresources.iter().map(|s| (s.name.as_str(), s.verbs));
        for (part, verbs) in std::iter::once(("", resource.verbs)).chain(parts) {
            for verb in Verb::ALL.into_iter().filter(|verb| verbs.contains(*verb)) {
                let namespace = if resource.namespaced { "default" } else { "" };
                routes.push(route(&resource.gvr, part, verb, namespace));
                if resource.namespaced && matches!(verb, Verb::List | Verb::Watch) {
                    routes.push(route(&resource.gvr, part, verb, ""));
                }
            }
        }
    }
    let paths = server.get("/").await.ok();
    let paths = paths["paths"].as_array().expect("the root lists paths").iter().filter_map(Value::as_str);
    for path in paths.chain(["/", "/nothing/here"]) {
        routes.push(Route {
            name: format!("GET {path}"),
            method: Method::GET,
            path: path.to_owned(),
            refusal: format!("forbidden: User \"eve\" cannot get path \"{path}\""),
            rule: json!({"verbs": ["get"], "nonResourceURLs": [path]}),
        });
    }
    routes
}

/// The code, and the message of a refusal.
async fn ask(server: &TestServer, route: &Route) -> (u16, String) {
    let json = "application/json";
    let content_type = if route.method == Method::PATCH { "application/merge-patch+json" } else { json };
    let request = Request::builder()
        .method(route.method.clone())
        .uri(&route.path)
        .header("accept", json)
        .header("content-type", content_type)
        .body("{}".into())
        .expect("the route is a URL");
    let answer = server.send(request).await;
    let code = answer.status().as_u16();
    if code != 403 {
        return (code, String::new());
    }
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let status: Value = serde_json::from_slice(&body).expect("a refusal is a Status");
    (code, status["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_route_is_closed_without_rights_and_open_with_exactly_its_own() {
    let server = TestServer::start().await;
    let eve = server.asked_by(user("eve", &[]));
    let role = format!("{RBAC}/clusterroles/one");
    let role_of = |rules: &[Value]| cluster_role("one", rules);
    server.create(&format!("{RBAC}/clusterroles"), &role_of(&[])).await.ok();
    bind(&server, "eve", "one").await;
    let routes = routes(&server).await;
    assert!(routes.len() > 500, "there are only {} routes", routes.len());
    let mut wrong = Vec::new();
    for route in &routes {
        server.replace(&role, &role_of(&[])).await.ok();
        let refused = ask(&eve, route).await;
        server.replace(&role, &role_of(std::slice::from_ref(&route.rule))).await.ok();
        let (code, message) = ask(&eve, route).await;
        let open = code != 403 || !message.contains("User \"eve\" cannot");
        if refused != (403, route.refusal.clone()) || !open {
            wrong
                .push((route.name.clone(), format!("without: {refused:?}; with its rule: {code} {message}")));
        }
    }
    let unexpected: Vec<_> = wrong.iter().filter(|(name, _)| !EXCEPTIONS.contains(&name.as_str())).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    let needless: Vec<_> = EXCEPTIONS.iter().filter(|e| wrong.iter().all(|(name, _)| name != *e)).collect();
    assert!(needless.is_empty(), "these are no exceptions any more: {needless:?}");
}

/// What would make an object, by an apply or a PUT, where there is none.
fn making(resource: &sampan_apiserver::Resource, verb: Verb) -> Route {
    let namespace = if resource.namespaced { "default" } else { "" };
    let mut route = route(&resource.gvr, "", verb, namespace);
    if verb == Verb::Patch {
        route.path += "&fieldManager=test";
    }
    route
}

async fn make(server: &TestServer, route: &Route, resource: &sampan_apiserver::Resource) -> (u16, String) {
    let object = json!({
        "apiVersion": resource.group_version().to_string(),
        "kind": resource.kind.as_str(),
        "metadata": {"name": "x"},
        // Some roles are made of nothing, and bindings of this.
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "one"},
        "webhooks": [],
        "spec": {"ports": [{"port": 80}]},
    });
    let mut object = object;
    let has = |name: &str| resource.kind.as_str().ends_with(name);
    let fields = object.as_object_mut().expect("it is an object");
    fields.retain(|field, _| match field.as_str() {
        "roleRef" => has("Binding"),
        "webhooks" => has("WebhookConfiguration"),
        "spec" => has("Service"),
        _ => true,
    });
    let apply = route.method == Method::PATCH;
    let content_type = if apply { "application/apply-patch+yaml" } else { "application/json" };
    let headers = [("content-type", content_type)];
    let reply = server.request(route.method.clone(), &route.path, &headers, object.to_string()).await;
    let message = reply.json()["message"].as_str().unwrap_or_default().to_owned();
    (reply.code, message)
}

#[tokio::test]
async fn an_apply_or_a_put_that_would_create_is_refused_to_who_may_not_create() {
    let server = TestServer::start().await;
    let eve = server.asked_by(user("eve", &[]));
    let role = format!("{RBAC}/clusterroles/one");
    server.create(&format!("{RBAC}/clusterroles"), &cluster_role("one", &[])).await.ok();
    bind(&server, "eve", "one").await;
    let catalog = server.server().registry().catalog();
    let (mut made, mut wrong) = ([0, 0], Vec::new());
    for resource in catalog.resources() {
        for (i, verb) in [Verb::Patch, Verb::Update].into_iter().enumerate() {
            if !resource.verbs.contains(verb) || !resource.verbs.contains(Verb::Create) {
                continue;
            }
            let route = making(resource, verb);
            let allowing = |verbs: &[&str]| {
                let (group, resource) = (resource.gvr.group.as_str(), resource.gvr.resource.as_str());
                // Who may grant and bind anything, so that only the create is in question.
                let verbs = [verbs, &["escalate", "bind"]].concat();
                json!({"verbs": verbs, "apiGroups": [group], "resources": [resource]})
            };
            let bound = json!({"verbs": ["bind"], "apiGroups": ["*"], "resources": ["*"]});
            let mut answers = Vec::new();
            for verbs in [&[verb.as_str()][..], &[verb.as_str(), "create"]] {
                server.replace(&role, &cluster_role("one", &[allowing(verbs), bound.clone()])).await.ok();
                answers.push(make(&eve, &route, resource).await);
            }
            let (without, with) = (&answers[0], &answers[1]);
            let refusal = format!("{} \"x\" is forbidden: ", resource.group_resource());
            let created = with.0 == 201;
            made[i] += usize::from(created);
            let right = if created { *without == (403, refusal) } else { without == with };
            if !right {
                wrong.push((route.name, answers));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(made[0] > 20 && made[1] > 5, "too few kinds can be made this way: {made:?}");
}
