//! What the node shows to those who ask its own API: made of the cluster's authority, and anew before it ends.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sampan_node::server::tls;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::pki::{Pki, ServerNames};

/// How often the certificate's end is looked at; it is made anew weeks before.
const INTERVAL: Duration = Duration::from_hours(12);

/// A node's certificate.
pub(crate) struct Certificate {
    node: String,
    authorities: Vec<u8>,
    names: ServerNames,
    shown: String,
    current: watch::Sender<Arc<tls::ServerConfig>>,
}

impl Certificate {
    /// Makes it, or reads the one that is there. Clients are believed whose certificates these authorities (PEM) vouch for.
    pub(crate) fn make(
        pki: &Pki,
        node: &str,
        addresses: &[IpAddr],
        authorities: &[u8],
    ) -> Result<(Self, watch::Receiver<Arc<tls::ServerConfig>>)> {
        let names = ServerNames::of_node(node, addresses);
        let (shown, config) = of(pki, node, &names, authorities)?;
        let (current, newest) = watch::channel(config);
        let authorities = authorities.to_owned();
        Ok((Self { node: node.to_owned(), authorities, names, shown, current }, newest))
    }

    /// Keeps it good, for as long as it is run.
    pub(crate) async fn keep(mut self, pki: &Pki) -> Infallible {
        loop {
            tokio::time::sleep(INTERVAL).await;
            match of(pki, &self.node, &self.names, &self.authorities) {
                Ok((shown, config)) if shown != self.shown => {
                    self.shown = shown;
                    self.current.send_replace(config);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the node's certificate is not made anew");
                }
            }
        }
    }
}

fn of(
    pki: &Pki,
    node: &str,
    names: &ServerNames,
    authorities: &[u8],
) -> Result<(String, Arc<tls::ServerConfig>)> {
    let pair = pki.node(node, names, OffsetDateTime::now_utc())?;
    let config = tls::config(pair.certificate.as_bytes(), pair.key.as_bytes(), authorities)
        .context("the node cannot show its certificate")?;
    Ok((pair.certificate, config))
}
