//! One blob: asked of host after host, written and verified as it comes, and resumed where it broke off.

use std::time::Duration;

use crate::image::Error;
use crate::image::digest::Digest;
use crate::image::progress::{Event, Observer};
use crate::image::registry::{Refusal, Registry, Transfer};
use crate::image::store::blocking;
use crate::image::store::ingest::{self, Ingest, Partial};
use crate::image::store::layout::Layout;

use std::sync::Arc;

/// How often a host is asked again in vain before the next one is.
const ATTEMPTS: u32 = 5;
/// The pause before the second attempt; doubled each time.
const PAUSE: Duration = Duration::from_millis(100);
/// So much is handed to the disk at once.
const PIECE: usize = 1 << 20;

pub(super) struct Download {
    pub(super) layout: Layout,
    pub(super) registry: Arc<Registry>,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) observer: Observer,
}

impl Download {
    pub(super) async fn run(self) -> Result<(), Error> {
        let opened = {
            let (layout, digest, size) = (self.layout.clone(), self.digest.clone(), self.size);
            blocking(move || {
                ingest::open(&layout, &digest, size)
                    .map_err(|e| Error::failed("cannot keep a part of an image", e))
            })
        };
        let mut partial = match opened.await? {
            Ingest::Present => return Ok(()),
            Ingest::Partial(partial) => partial,
        };
        let mut first = None;
        for host in 0..self.registry.hosts() {
            if partial.is_complete() {
                break;
            }
            let outcome;
            (partial, outcome) = self.ask(host, partial).await?;
            if let Err(error) = outcome {
                first = first.or(Some(error));
            }
        }
        if !partial.is_complete() {
            return Err(first.unwrap_or_else(|| Error::NotFound(format!("{}: not found", self.digest))));
        }
        blocking(move || partial.commit()).await
    }

    /// Asks one host until the blob is complete, or that host is no help. The outer error ends everything: what came is wrong.
    async fn ask(&self, host: usize, mut partial: Partial) -> Result<(Partial, Result<(), Error>), Error> {
        let mut failures = 0;
        loop {
            let before = partial.offset();
            let refusal = match self.registry.blob(host, &self.digest, before).await {
                Ok(None) => return Ok((partial, Ok(()))),
                Ok(Some(transfer)) => {
                    let broken;
                    (partial, broken) = self.receive(transfer, partial).await?;
                    match broken {
                        None if partial.is_complete() => return Ok((partial, Ok(()))),
                        None => Refusal {
                            error: Error::failed(
                                "the transfer ended early",
                                std::io::Error::from(std::io::ErrorKind::UnexpectedEof),
                            ),
                            transient: true,
                        },
                        Some(error) => {
                            Refusal { error: Error::failed("the transfer broke off", error), transient: true }
                        }
                    }
                }
                Err(refusal) => refusal,
            };
            // As long as something comes, it goes on.
            failures = if partial.offset() > before { 1 } else { failures + 1 };
            if !refusal.transient || failures >= ATTEMPTS {
                return Ok((partial, Err(refusal.error)));
            }
            tracing::debug!(digest = %self.digest, error = %refusal.error, "a transfer is tried again");
            tokio::time::sleep(PAUSE * 2_u32.pow(failures - 1)).await;
        }
    }

    /// Writes what comes until it ends or breaks off, and says why it broke off.
    async fn receive(
        &self,
        transfer: Transfer,
        mut partial: Partial,
    ) -> Result<(Partial, Option<reqwest::Error>), Error> {
        if transfer.offset != partial.offset() {
            partial.restart()?;
        } else if transfer.offset > 0 {
            (self.observer)(&Event::Resumed { layer: self.digest.clone(), bytes: transfer.offset });
        }
        let mut response = transfer.response;
        loop {
            let mut piece = Vec::new();
            let mut end = None;
            while piece.len() < PIECE && end.is_none() {
                match response.chunk().await {
                    Ok(Some(bytes)) => piece.extend_from_slice(&bytes),
                    Ok(None) => end = Some(None),
                    Err(error) => end = Some(Some(error.without_url())),
                }
            }
            partial = blocking(move || partial.write(&piece).map(|()| partial)).await?;
            (self.observer)(&Event::Received { layer: self.digest.clone(), bytes: partial.offset() });
            if let Some(broken) = end {
                return Ok((partial, broken));
            }
        }
    }
}
