//! The parts of a node of which a test wants nothing.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use tokio::sync::mpsc;

use super::Remembered;
use crate::container::{ContainerId, PodUid};
use crate::environment::Environment;
use crate::image::{Credentials, DiskUse, Error, Image, Images};
use crate::pods::parts::{Finding, Health, NodeFacts, Parts, Sources, Start, VolumeError, Volumes};
use crate::runtime::Runtime;

struct Nothing;

/// Parts of a node that has a runtime and a reporter, and volumes that are always there.
pub(crate) fn parts<R: Runtime>(runtime: &Arc<R>, reporter: &Arc<Remembered>) -> Parts {
    Parts {
        runtime: Arc::<R>::clone(runtime),
        images: Arc::new(Nothing),
        volumes: Arc::new(Nothing),
        sources: Arc::new(Nothing),
        health: Arc::new(Nothing),
        reporter: Arc::<Remembered>::clone(reporter),
        node: Arc::new(NodeFacts { name: "n1".into(), ..NodeFacts::default() }),
    }
}

#[async_trait]
impl Images for Nothing {
    async fn get(&self, _: &str) -> Result<Option<Image>, Error> {
        Ok(None)
    }

    async fn pull(&self, reference: &str, _: &[Credentials]) -> Result<Image, Error> {
        Err(Error::NotFound(reference.into()))
    }

    async fn list(&self) -> Result<Vec<Image>, Error> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn collect(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn collect_unused(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn disk_use(&self) -> Result<DiskUse, Error> {
        Err(Error::NotFound("a disk".into()))
    }
}

#[async_trait]
impl Volumes for Nothing {
    async fn mount(&self, _: &Pod) -> Result<(), VolumeError> {
        Ok(())
    }

    async fn update(&self, _: &Pod) {}

    fn path(&self, _: &PodUid, _: &str) -> Option<PathBuf> {
        None
    }

    async fn sub_path(&self, _: &ContainerId, _: usize, volume: &str, _: &str) -> Result<PathBuf, String> {
        Err(volume.to_owned())
    }

    async fn unmount(&self, _: &PodUid) -> Result<(), VolumeError> {
        Ok(())
    }
}

#[async_trait]
impl Sources for Nothing {
    async fn environment(&self, _: &Pod, _: &Container, _: &[IpAddr]) -> Result<Environment, String> {
        Err("there is none".into())
    }

    async fn pull_credentials(&self, _: &Pod, _: &str) -> Vec<Credentials> {
        Vec::new()
    }
}

#[async_trait]
impl Health for Nothing {
    async fn run_hook(
        &self,
        _: &Pod,
        _: &Container,
        _: &ContainerId,
        _: &LifecycleHandler,
    ) -> Result<(), String> {
        Ok(())
    }

    fn look_after(&self, _: &Arc<Pod>, _: &Container, _: Start, _: mpsc::Sender<Finding>) -> Box<dyn Send> {
        Box::new(())
    }
}
