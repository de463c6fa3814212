//! The server under test.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use sampan_apiserver::User;
use sampan_apiserver::admission::Plugins;
use sampan_apiserver::backend::Backend;
use sampan_apiserver::catalog::Catalog;
use sampan_apiserver::chain::authentication::{Anonymous, InProcess, PeerIdentity};
use sampan_apiserver::flow_control::{Limits, MAX_MUTATING, MAX_READING};
use sampan_apiserver::http_io::respond::Answer;
use sampan_apiserver::server::{Config, Server};
use sampan_auth::authentication::service_account::last_used;
use sampan_auth::authentication::token::Bearer;
use sampan_auth::authorization::modes::{self, Mode};
use sampan_auth::authorization::rbac::escalation::Escalation;
use sampan_builtins::Nodes;
use sampan_schema::SchemaSet;
use sampan_store::Store;
use sampan_store::embedded::Embedded;
use serde_json::Value;
use tower_service::Service as _;

use crate::credentials::Credentials;
use crate::{Reply, Watch, openapi};

/// The types are read once for all servers of a process.
static TYPES: OnceLock<Arc<SchemaSet>> = OnceLock::new();

/// An API server in this process. Clones are the same server.
#[derive(Clone)]
pub struct TestServer {
    server: Server,
    who: Option<Arc<User>>,
}

/// The administrator.
pub fn admin() -> User {
    user("kubernetes-admin", &["system:masters", "system:authenticated"])
}

/// A user.
pub fn user(name: &str, groups: &[&str]) -> User {
    User { name: name.into(), groups: groups.iter().map(|g| (*g).into()).collect(), ..User::default() }
}

impl TestServer {
    /// A server over an empty store in memory, with the objects of a new cluster; requests come from the administrator.
    pub async fn start() -> Self {
        Self::over(Arc::new(Embedded::in_memory())).await
    }

    /// A server over a store, with the objects of a new cluster; nodes and everybody else may what a cluster lets them.
    pub async fn over(store: Arc<dyn Store>) -> Self {
        Self::built(store, vec![Mode::Node, Mode::Rbac], None, |_| {}).await
    }

    /// A server that reaches nodes, and what runs on them, whoever says that he is one.
    pub async fn reaching_nodes() -> Self {
        let backend = Backend::new(None, None).expect("no certificates are good ones");
        let nodes = Arc::new(Nodes { backend, address_types: vec!["InternalIP".to_owned()] });
        let store = Arc::new(Embedded::in_memory());
        Self::built(store, vec![Mode::Node, Mode::Rbac], Some(nodes), |_| {}).await
    }

    /// A server over a store that authorizes in these modes.
    pub async fn with_modes(store: Arc<dyn Store>, modes: Vec<Mode>) -> Self {
        Self::built(store, modes, None, |_| {}).await
    }

    /// A server with a configuration of the test's own: `change` sees the usual one before the server is put together.
    pub async fn configured(store: Arc<dyn Store>, change: impl FnOnce(&mut Config)) -> Self {
        Self::built(store, vec![Mode::Node, Mode::Rbac], None, change).await
    }

    async fn built(
        store: Arc<dyn Store>,
        modes: Vec<Mode>,
        nodes: Option<Arc<Nodes>>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let types = TYPES.get_or_init(sampan_builtins::types);
        let rules = sampan_builtins::bootstrap::node_rules();
        let authorization = modes::build(modes, &store, rules).expect("these modes need no file");
        let authorizer = authorization.authorizer;
        let credentials = Credentials::new(Arc::clone(&store));
        let mut resources = sampan_builtins::resources(types);
        let dependencies = sampan_builtins::Dependencies {
            authorizer: Some(Arc::clone(&authorizer)),
            tokens: Some(Arc::clone(&credentials.tokens)),
            issuer: Some(credentials.issuer),
            nodes,
        };
        let claims = sampan_builtins::admission::claim_status(Arc::clone(&authorizer));
        let escalation = Escalation::new(authorization.rbac, Arc::clone(&authorizer));
        sampan_builtins::install(&mut resources, &dependencies);
        let catalog = Catalog::new(resources);
        let source = Arc::new(sampan_builtins::flow_control::Objects::new(Arc::clone(&store)));
        let limits = Limits::Fair { source, seats: MAX_READING + MAX_MUTATING };
        let mut config = Config {
            store,
            catalog,
            admission: Plugins::default().and(claims).and(Arc::new(escalation)),
            authenticators: vec![Arc::new(InProcess), Arc::new(Bearer(credentials.tokens))],
            anonymous: Some(Anonymous::everywhere()),
            authorizer,
            pages: Vec::new(),
            openapi: Arc::new(openapi::None),
            version: sampan_model::Value::default(),
            clock: Timestamp::now,
            audit: None,
            limits,
            health_checks: Vec::new(),
            metrics: Registry::default(),
        };
        change(&mut config);
        let server = Server::new(config);
        let catalog = server.registry().catalog();
        let objects = sampan_builtins::bootstrap::objects().into_iter().map(|(gvr, object)| {
            let resource = catalog.resource(&gvr.group, &gvr.version, &gvr.resource);
            (resource.expect("the first objects are of resources that are served").clone(), object)
        });
        let ensured =
            server.registry().ensure(objects.collect(), &sampan_builtins::bootstrap::reconcile).await;
        ensured.expect("the first objects can be written");
        tokio::spawn(last_used::follow(server.clone(), credentials.told));
        Self { server, who: Some(Arc::new(admin())) }
    }

    /// The same server, asked by another.
    #[must_use]
    pub fn asked_by(&self, who: User) -> Self {
        Self { who: Some(Arc::new(who)), ..self.clone() }
    }

    /// The same server, asked by nobody in particular.
    #[must_use]
    pub fn asked_anonymously(&self) -> Self {
        Self { who: None, ..self.clone() }
    }

    /// The server itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Sends a request as it is.
    pub async fn send(&self, mut request: Request<Bytes>) -> Answer {
        if let Some(who) = &self.who {
            request.extensions_mut().insert(PeerIdentity(Arc::clone(who)));
        }
        let answer = self.server.clone().call(request.map(Full::new)).await;
        answer.unwrap_or_else(|never| match never {})
    }

    /// Sends a request with these headers, and reads the answer to its end.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header(USER_AGENT, "testkit/1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a test's request is well formed");
        let (parts, body) = self.send(request).await.into_parts();
        let body = body.collect().await.expect("the answer is whole").to_bytes();
        Reply { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Reads a path.
    pub async fn get(&self, path: &str) -> Reply {
        self.request(Method::GET, path, &[(ACCEPT.as_str(), "application/json")], "").await
    }

    /// Posts an object.
    pub async fn create(&self, path: &str, object: &Value) -> Reply {
        self.with_json(Method::POST, path, "application/json", object).await
    }

    /// Puts an object.
    pub async fn replace(&self, path: &str, object: &Value) -> Reply {
        self.with_json(Method::PUT, path, "application/json", object).await
    }

    /// Patches an object; `kind` is the middle of the media type: `json-patch`, `merge-patch`, `strategic-merge-patch`.
    pub async fn patch(&self, path: &str, kind: &str, changes: &Value) -> Reply {
        self.with_json(Method::PATCH, path, &format!("application/{kind}+json"), changes).await
    }

    /// Applies an object as `manager`.
    pub async fn apply(&self, path: &str, manager: &str, object: &Value) -> Reply {
        let path = format!("{path}?fieldManager={manager}");
        self.with_json(Method::PATCH, &path, "application/apply-patch+yaml", object).await
    }

    /// Deletes what is at a path.
    pub async fn delete(&self, path: &str) -> Reply {
        self.request(Method::DELETE, path, &[], "").await
    }

    /// Opens a watch; `path` has `watch=true` in its query. Panics when the answer is no stream.
    pub async fn watch(&self, path: &str) -> Watch {
        let request = Request::get(path).body(Bytes::new()).expect("a test's request is well formed");
        let answer = self.send(request).await;
        assert_eq!(answer.status(), 200, "{path} is no watch");
        Watch::new(answer.into_body())
    }

    async fn with_json(&self, method: Method, path: &str, content_type: &str, body: &Value) -> Reply {
        self.request(method, path, &[(CONTENT_TYPE.as_str(), content_type)], body.to_string()).await
    }
}
