//! The pod network as the node sees it. There is none yet: pods on the host's network run, others say why they do not.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use sampan_node::container::{PodUid, PortMapping};
use sampan_node::network::{Error, Pod, PodNetwork};

use crate::cli::NodeFlags;

pub(super) async fn open(_: &NodeFlags, _: &Path, _: IpAddr) -> Result<Arc<dyn PodNetwork>> {
    Ok(Arc::new(Nothing))
}

struct Nothing;

#[async_trait]
impl PodNetwork for Nothing {
    async fn attach(&self, _: &Pod, _: &Path, _: &[PortMapping]) -> Result<Vec<IpAddr>, Error> {
        Err(Error::Failed {
            context: "there is no pod network in this version yet".into(),
            source: "use hostNetwork".into(),
        })
    }
    async fn detach(&self, _: &PodUid) -> Result<(), Error> {
        Ok(())
    }
    async fn retain(&self, _: &[PodUid]) -> Result<(), Error> {
        Ok(())
    }
}
