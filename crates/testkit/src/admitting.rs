//! A server under test with admission plug-ins of the test's choice.

use std::sync::Arc;

use sampan_apiserver::chain::authorization::Authorizer;
use sampan_builtins::admission::{Choice, Configuration, Deps, plugins};
use sampan_store::embedded::Embedded;
use serde_json::Value;

use crate::TestServer;

/// What a server admits, and whom it lets do what. Unless chosen: the plug-ins that run by default, RBAC and the node authorizer.
#[derive(Debug, Default)]
pub struct Admitting {
    choice: Choice,
    configuration: Configuration,
    authorizer: Option<Arc<dyn Authorizer>>,
}

impl Admitting {
    /// With these plug-ins besides the defaults.
    #[must_use]
    pub fn with(mut self, plugins: &[&str]) -> Self {
        self.choice.enable.extend(plugins.iter().map(|name| (*name).to_owned()));
        self
    }

    /// Without these plug-ins.
    #[must_use]
    pub fn without(mut self, plugins: &[&str]) -> Self {
        self.choice.disable.extend(plugins.iter().map(|name| (*name).to_owned()));
        self
    }

    /// With a configuration of one plug-in.
    #[must_use]
    pub fn configured(mut self, plugin: &str, configuration: Value) -> Self {
        self.configuration = Configuration::new([(plugin.to_owned(), configuration.into())]);
        self
    }

    /// With an authorizer of the test's own.
    #[must_use]
    pub fn authorized_by(mut self, authorizer: impl Authorizer + 'static) -> Self {
        self.authorizer = Some(Arc::new(authorizer));
        self
    }

    /// The server, over an empty store in memory.
    pub async fn start(self) -> TestServer {
        TestServer::configured(Arc::new(Embedded::in_memory()), |config| {
            if let Some(authorizer) = self.authorizer {
                config.authorizer = authorizer;
            }
            let deps = Deps { authorizer: Arc::clone(&config.authorizer), store: Arc::clone(&config.store) };
            let chosen = plugins(&self.choice, &self.configuration, &deps);
            config.admission = chosen.expect("a test's plug-ins exist");
        })
        .await
    }
}
