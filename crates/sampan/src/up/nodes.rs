//! How the API server reaches nodes: from the command line and the data directory.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use prometheus_client::registry::Registry;
use sampan_apiserver::backend::{Backend, Identity};
use sampan_builtins::Nodes;

use crate::cli::KubeletFlags;
use crate::pki::Pki;

/// How nodes are reached.
pub(super) fn of(flags: &KubeletFlags, pki: &Pki, registry: &mut Registry) -> Result<Arc<Nodes>> {
    let identity = match (&flags.client_certificate, &flags.client_key) {
        (Some(chain), Some(key)) => Identity { chain: read(chain)?, key: read(key)? },
        _ => Identity {
            chain: pki.kubelet_client.certificate.clone().into_bytes(),
            key: pki.kubelet_client.key.clone().into_bytes(),
        },
    };
    let authorities = match &flags.certificate_authority {
        Some(file) => read(file)?,
        None => pki.authority().as_bytes().to_vec(),
    };
    let backend = Backend::new(Some(&identity), Some(&authorities)).context("nodes cannot be reached")?;
    backend.register_metrics(registry);
    Ok(Arc::new(Nodes { backend, address_types: flags.address_types.clone() }))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
