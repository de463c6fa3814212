//! Starts the controllers that are chosen, each with the client of its own service account, and ends them together.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::certificates::{approving, cleaner, signing};
use crate::events::Recorder;
use crate::informer::Informers;
use crate::{
    Metrics, Settings, node_lifecycle, pod_garbage_collector, root_ca_publisher, service_account,
    taint_eviction,
};

/// Who asks the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The controller manager itself, `system:kube-controller-manager`: what all controllers look at is watched by it.
    Manager,
    /// The service account of a controller, by its name in `kube-system`.
    Controller(&'static str),
}

impl Identity {
    /// The name of the user.
    pub fn user(self) -> String {
        match self {
            Self::Manager => "system:kube-controller-manager".into(),
            Self::Controller(account) => format!("system:serviceaccount:kube-system:{account}"),
        }
    }

    /// The groups of the user, but for `system:authenticated`, in which everybody is who is known.
    pub fn groups(self) -> &'static [&'static str] {
        match self {
            Self::Manager => &[],
            Self::Controller(_) => &["system:serviceaccounts", "system:serviceaccounts:kube-system"],
        }
    }
}

/// Makes the client of an identity.
pub type Clients = Arc<dyn Fn(Identity) -> kube::Client + Send + Sync>;

/// What a controller is given.
pub(crate) struct Context {
    pub(crate) name: &'static str,
    /// Asks as the controller's service account.
    pub(crate) client: kube::Client,
    pub(crate) settings: Arc<Settings>,
    pub(crate) recorder: Recorder,
}

impl Context {
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.settings.metrics
    }
}

/// A controller: asks for its informers at once, and then runs for good.
type Start = fn(Context, &mut Informers) -> BoxFuture<'static, ()>;

/// A controller.
pub(crate) struct Controller {
    pub(crate) name: &'static str,
    /// Its name before v1.28.
    pub(crate) alias: &'static str,
    account: &'static str,
    start: Start,
}

/// All of them, by upstream's names, with the service accounts whose roles are among a cluster's first objects.
pub(crate) const CONTROLLERS: [Controller; 8] = [
    Controller {
        name: "serviceaccount-controller",
        alias: "serviceaccount",
        account: "service-account-controller",
        start: service_account::start,
    },
    Controller {
        name: "root-ca-certificate-publisher-controller",
        alias: "root-ca-cert-publisher",
        account: "root-ca-cert-publisher",
        start: root_ca_publisher::start,
    },
    Controller {
        name: "certificatesigningrequest-signing-controller",
        alias: "csrsigning",
        account: "certificate-controller",
        start: signing::start,
    },
    Controller {
        name: "certificatesigningrequest-approving-controller",
        alias: "csrapproving",
        account: "certificate-controller",
        start: approving::start,
    },
    Controller {
        name: "certificatesigningrequest-cleaner-controller",
        alias: "csrcleaner",
        account: "certificate-controller",
        start: cleaner::start,
    },
    Controller {
        name: "pod-garbage-collector-controller",
        alias: "podgc",
        account: "pod-garbage-collector",
        start: pod_garbage_collector::start,
    },
    Controller {
        name: "node-lifecycle-controller",
        alias: "nodelifecycle",
        account: "node-controller",
        start: node_lifecycle::start,
    },
    // It shares the rights of the former, of which it once was a part (KEP-3902).
    Controller {
        name: "taint-eviction-controller",
        alias: "taint-eviction-controller",
        account: "node-controller",
        start: taint_eviction::start,
    },
];

/// Runs the chosen controllers until `stop`. Whatever fails is tried again, so it ends only then. A controller that panics takes the others with it.
pub async fn run(clients: Clients, settings: Settings, stop: CancellationToken) {
    let settings = Arc::new(settings);
    let mut informers = Informers::new(clients(Identity::Manager));
    // Dropped with this function: then they end.
    let mut tasks = JoinSet::new();
    for controller in CONTROLLERS.iter().filter(|c| settings.controllers.includes(c.name)) {
        let client = clients(Identity::Controller(controller.account));
        let (recorder, writer) = Recorder::new(client.clone(), controller.name, &settings.metrics);
        let context = Context { name: controller.name, client, settings: Arc::clone(&settings), recorder };
        let running = (controller.start)(context, &mut informers);
        tasks.spawn(async move { tokio::join!(running, writer.run()).0 }.boxed());
    }
    let ended = async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        // None was chosen.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = ended => {}
        () = stop.cancelled() => {}
    }
}
