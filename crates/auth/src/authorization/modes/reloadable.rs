//! An order of authorizers that can change while the server runs.

use std::path::Path;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use sampan_apiserver::User;
use sampan_apiserver::chain::authorization::{Attributes, Authorizer, Rules, Union, Verdict};

use super::{Error, Named, Parts, file};
use crate::reload::Refusal;

/// Asks the order that is in force.
#[derive(Debug)]
pub struct Reloadable {
    current: ArcSwap<Union>,
    parts: Parts,
}

impl Reloadable {
    /// With this order, and what further ones are made of.
    pub fn new(order: Vec<Named>, parts: Parts) -> Result<Self, Error> {
        Ok(Self { current: ArcSwap::from_pointee(parts.order(order)?), parts })
    }

    /// Takes over the order that the text of a file gives, if it can be used.
    pub fn reload(&self, path: &Path, text: &str) -> Result<(), Refusal> {
        let order = file::parse(path, text).map_err(|e| Refusal::Wrong(e.to_string()))?;
        let union = self.parts.order(order).map_err(|e| Refusal::Wrong(in_full(&e)))?;
        self.current.store(union.into());
        Ok(())
    }
}

/// An error with all its sources, in one line.
fn in_full(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |e| e.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

#[async_trait]
impl Authorizer for Reloadable {
    async fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        let current = self.current.load_full();
        current.authorize(a).await
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        self.current.load().rules(user, namespace)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sampan_apiserver::request_info::RequestInfo;
    use sampan_store::embedded::Embedded;

    use super::super::Mode;
    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn a_new_order_is_in_force_at_once_and_a_bad_one_changes_nothing() {
        let order: Vec<Named> = vec![Mode::AlwaysAllow.into()];
        let store: Arc<dyn sampan_store::Store> = Arc::new(Embedded::in_memory());
        let parts = Parts::new(&order, &store, Vec::new(), None, Metrics::default()).unwrap();
        let reloadable = Reloadable::new(order, parts).unwrap();
        let file = |authorizers: &str| {
            format!(
                "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{authorizers}]\n"
            )
        };
        let (user, info) = (
            User::anonymous(),
            RequestInfo { verb: "get".into(), path: "/x".into(), ..RequestInfo::default() },
        );
        let rows = [
            ("a bad file", file(""), false, true),
            ("no file", "x".into(), false, true),
            ("a mode that was not on", file("{type: RBAC, name: rbac}"), false, true),
            ("nobody may", file("{type: AlwaysDeny, name: deny}"), true, false),
            ("a bad file again", file("{type: Nobody, name: n}"), false, false),
            ("everybody may", file("{type: AlwaysAllow, name: allow}"), true, true),
        ];
        for (name, text, is_taken, is_allowed) in rows {
            assert_eq!(reloadable.reload(Path::new("f"), &text).is_ok(), is_taken, "{name}");
            let a = Attributes { user: &user, info: &info, selectors: None };
            assert_eq!(reloadable.authorize(&a).await.is_allowed(), is_allowed, "{name}");
        }
    }
}
