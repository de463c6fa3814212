//! Clients of the API within the process: the same `kube::Client` that others have over TCP, around the server's own service.
//!
//! Their requests pass authentication, authorization and admission like anybody's; all that is spared is the network.

use std::sync::Arc;

use http::header::USER_AGENT;
use http::{HeaderValue, Request};
use kube::client::Body;
use sampan_apiserver::User;
use sampan_apiserver::chain::authentication::{AUTHENTICATED, PeerIdentity};
use sampan_apiserver::server::Server;
use tower_service::Service;

/// What the clients of this process call themselves, as `User-Agent`: the binary, its version, and the part of it.
const AGENT: &str = concat!("sampan/", env!("CARGO_PKG_VERSION"));

/// A client of `server` that is `name`, in these groups and in that of everybody who is known. `part` names it in logs and audit events.
pub(crate) fn client(server: &Server, name: &str, groups: &[&str], part: &str) -> kube::Client {
    let groups = groups.iter().copied().chain([AUTHENTICATED]).map(Into::into).collect();
    let user = Arc::new(User { name: name.into(), groups, ..User::default() });
    let agent = HeaderValue::try_from(format!("{AGENT} ({part})")).unwrap_or(HeaderValue::from_static(AGENT));
    kube::Client::new(As { server: server.clone(), user, agent }, "default")
}

/// The server, asked by somebody.
struct As {
    server: Server,
    user: Arc<User>,
    agent: HeaderValue,
}

impl Service<Request<Body>> for As {
    type Response = <Server as Service<Request<Body>>>::Response;
    type Error = <Server as Service<Request<Body>>>::Error;
    type Future = <Server as Service<Request<Body>>>::Future;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        Service::<Request<Body>>::poll_ready(&mut self.server, context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.extensions_mut().insert(PeerIdentity(Arc::clone(&self.user)));
        request.headers_mut().entry(USER_AGENT).or_insert_with(|| self.agent.clone());
        self.server.call(request)
    }
}
