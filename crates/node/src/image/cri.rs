//! Images of another's container runtime, over the CRI's image service: it pulls, unpacks and removes them.
//!
//! When an image was last used is known to nobody but the node: it counts from when this node saw it first or used it, as the kubelet does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::digest::Digest;
use super::gc::{self, Candidate, Policy};
use super::progress::nobody;
use super::reference::Reference;
use super::shared::SharedPulls;
use super::{Credentials, Defaults, DiskUse, Error, Image, Images};
use crate::cri::{Client, Code, Status, messages as cri};

/// The runtime's images. Clones are the same ones.
#[derive(Clone)]
pub struct CriImages(Arc<Inner>);

struct Inner {
    client: Client,
    pulls: SharedPulls,
    /// When each image was seen first and used last, by id.
    times: Mutex<HashMap<String, Times>>,
}

#[derive(Clone, Copy)]
struct Times {
    seen: SystemTime,
    used: SystemTime,
}

impl CriImages {
    /// Those of the runtime of this connection.
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Inner { client, pulls: SharedPulls::default(), times: Mutex::default() }))
    }

    /// What the garbage collection is to know of the images.
    async fn candidates(&self) -> Result<Vec<Candidate>, Error> {
        let images = self.0.images().await?;
        let used = self.0.used().await?;
        let times = self.0.times.lock();
        Ok(images
            .iter()
            .filter_map(|image| {
                let id = Digest::parse(&image.id).ok()?;
                let Times { seen, used: last } = *times.get(&image.id)?;
                let in_use = image.pinned || is_used(image, &used);
                // What images share is not told: each counts as a whole.
                let layers = BTreeMap::from([(id.clone(), image.size)]);
                Some(Candidate { id, layers, added: seen, used: last, in_use })
            })
            .collect())
    }

    async fn remove_all(&self, ids: &[Digest], why: &str) -> Result<(), Error> {
        for id in ids {
            self.0.remove(&id.to_string()).await?;
            tracing::info!(%id, "an image was removed that nothing uses: {why}");
        }
        Ok(())
    }
}

/// Whether any of these names is the image's.
fn is_used(image: &cri::Image, used: &BTreeSet<String>) -> bool {
    let names = [&image.id].into_iter().chain(&image.repo_tags).chain(&image.repo_digests);
    names.into_iter().any(|name| used.contains(name))
}

/// The name under which the runtime knows it: an id as it is, a reference whole.
fn named(reference: &str) -> Result<String, Error> {
    if Digest::parse(reference).is_ok() {
        return Ok(reference.to_owned());
    }
    Ok(Reference::parse(reference)?.to_string())
}

fn spec(image: &str) -> cri::ImageSpec {
    cri::ImageSpec { image: image.to_owned(), ..Default::default() }
}

fn failed(what: &str, status: Status) -> Error {
    Error::failed(what, status)
}

/// Why a pull failed: runtimes say it in the code, or else in their words.
fn pull_failed(status: &Status) -> Error {
    let words = status.to_string();
    let has = |text: &str| status.message.contains(text);
    match status.code {
        Code::NotFound => Error::NotFound(words),
        Code::PermissionDenied | Code::Unauthenticated => Error::Unauthorized(words),
        _ if has("401 Unauthorized") || has("403 Forbidden") || has("authorization failed") => {
            Error::Unauthorized(words)
        }
        _ if has("no match for platform in manifest") => Error::Platform(words),
        _ => Error::failed(words.clone(), words),
    }
}

fn auth(credentials: &Credentials) -> cri::AuthConfig {
    cri::AuthConfig {
        username: credentials.user.clone(),
        password: credentials.password.clone(),
        identity_token: credentials.identity_token.clone().unwrap_or_default(),
        ..Default::default()
    }
}

fn image(found: &cri::Image, last_used: SystemTime) -> Image {
    let user = match found.uid {
        Some(uid) => uid.value.to_string(),
        None => found.username.clone(),
    };
    Image {
        id: found.id.clone(),
        tags: found.repo_tags.clone(),
        digests: found.repo_digests.clone(),
        size_bytes: found.size,
        // The rest of them the runtime applies by itself.
        defaults: Defaults { user, ..Defaults::default() },
        last_used,
    }
}

impl Inner {
    async fn find(&self, name: &str) -> Result<Option<cri::Image>, Error> {
        let request = cri::ImageStatusRequest { image: Some(spec(name)), verbose: false };
        match self.client.ask(request).await {
            Ok(answer) => Ok(answer.image.filter(|image| !image.id.is_empty())),
            Err(status) if status.code == Code::NotFound => Ok(None),
            Err(status) => Err(failed("cannot ask for an image", status)),
        }
    }

    /// All images. Those that are new are seen now, and those that are gone are forgotten.
    async fn images(&self) -> Result<Vec<cri::Image>, Error> {
        let answer = self.client.ask(cri::ListImagesRequest {}).await;
        let images = answer.map_err(|status| failed("cannot list the images", status))?.images;
        let now = SystemTime::now();
        let mut times = self.times.lock();
        times.retain(|id, _| images.iter().any(|image| image.id == *id));
        for image in &images {
            times.entry(image.id.clone()).or_insert(Times { seen: now, used: now });
        }
        Ok(images)
    }

    /// Names of images that containers are made of.
    async fn used(&self) -> Result<BTreeSet<String>, Error> {
        let answer = self.client.ask(cri::ListContainersRequest { filter: None }).await;
        let containers = answer.map_err(|status| failed("cannot list the containers", status))?.containers;
        let names = containers.into_iter().flat_map(|container| {
            let image = container.image.map(|image| image.image).unwrap_or_default();
            [container.image_ref, container.image_id, image]
        });
        let mut used: BTreeSet<String> = names.filter(|name| !name.is_empty()).collect();
        used.extend(self.sandbox_image().await?);
        let now = SystemTime::now();
        for (id, times) in self.times.lock().iter_mut() {
            if used.contains(id) {
                times.used = now;
            }
        }
        Ok(used)
    }

    /// The image that holds pods together: containerd tells of it only in its configuration, and would have to pull it again.
    async fn sandbox_image(&self) -> Result<Option<String>, Error> {
        let answer = self.client.ask(cri::StatusRequest { verbose: true }).await;
        let info = answer.map_err(|status| failed("cannot ask for the runtime's status", status))?.info;
        let config: Option<serde_json::Value> =
            info.get("config").and_then(|text| serde_json::from_str(text).ok());
        Ok(config.and_then(|config| config.get("sandboxImage")?.as_str().map(str::to_owned)))
    }

    fn touch(&self, id: &str) -> SystemTime {
        let now = SystemTime::now();
        let mut times = self.times.lock();
        times.entry(id.to_owned()).or_insert(Times { seen: now, used: now }).used = now;
        now
    }

    /// One credential after the other, as the kubelet does; what the last one met is told.
    async fn pull(&self, name: &str, credentials: &[Credentials]) -> Result<String, Error> {
        let mut attempts: Vec<Option<cri::AuthConfig>> =
            credentials.iter().map(|credentials| Some(auth(credentials))).collect();
        if attempts.is_empty() {
            attempts.push(None);
        }
        let mut last = None;
        for auth in attempts {
            let request = cri::PullImageRequest { image: Some(spec(name)), auth, sandbox_config: None };
            match self.client.ask_patiently(request).await {
                Ok(answer) => return Ok(answer.image_ref),
                Err(status) => last = Some(pull_failed(&status)),
            }
        }
        Err(last.unwrap_or_else(|| Error::NotFound(name.to_owned())))
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        match self.client.ask(cri::RemoveImageRequest { image: Some(spec(name)) }).await {
            Ok(_) => Ok(()),
            Err(status) if status.code == Code::NotFound => Ok(()),
            Err(status) => Err(failed("cannot remove an image", status)),
        }
    }
}

#[async_trait]
impl Images for CriImages {
    async fn get(&self, reference: &str) -> Result<Option<Image>, Error> {
        let found = self.0.find(&named(reference)?).await?;
        Ok(found.map(|found| image(&found, self.0.touch(&found.id))))
    }

    async fn pull(&self, reference: &str, credentials: &[Credentials]) -> Result<Image, Error> {
        let parsed = Reference::parse(reference)?;
        let name = parsed.to_string();
        let (inner, pulled, by) = (Arc::clone(&self.0), name.clone(), credentials.to_vec());
        let work = move |_| async move {
            let got = inner.pull(&pulled, &by).await?;
            // What is answered is an id with containerd, and a name with others.
            let image = inner.find(&got).await?.ok_or_else(|| Error::NotFound(pulled))?;
            Digest::parse(&image.id).map_err(|reason| Error::Invalid(format!("{}: {reason}", image.id)))
        };
        let id = self.0.pulls.join(&parsed, credentials, nobody(), work).await?.to_string();
        let found = self.0.find(&id).await?.ok_or(Error::NotFound(name))?;
        Ok(image(&found, self.0.touch(&found.id)))
    }

    async fn list(&self) -> Result<Vec<Image>, Error> {
        let images = self.0.images().await?;
        let times = self.0.times.lock();
        let used = |id: &str| times.get(id).map_or(SystemTime::UNIX_EPOCH, |times| times.used);
        Ok(images.iter().map(|found| image(found, used(&found.id))).collect())
    }

    async fn remove(&self, reference: &str) -> Result<(), Error> {
        let name = named(reference)?;
        let found = self.0.find(&name).await?.ok_or_else(|| Error::NotFound(reference.to_owned()))?;
        if found.pinned || is_used(&found, &self.0.used().await?) {
            return Err(Error::InUse(reference.to_owned()));
        }
        self.0.remove(&name).await
    }

    async fn collect(&self) -> Result<(), Error> {
        let disk = self.disk_use().await?;
        let plan = gc::plan(&self.candidates().await?, &Policy::default(), &disk, SystemTime::now());
        if let Some(complaint) = plan.complaint() {
            tracing::warn!("{complaint}");
        }
        self.remove_all(&plan.remove, "the disk is too full").await
    }

    async fn collect_unused(&self) -> Result<(), Error> {
        let unused = gc::unused(&self.candidates().await?);
        self.remove_all(&unused, "the node is short of disk").await
    }

    async fn disk_use(&self) -> Result<DiskUse, Error> {
        let answer = self.0.client.ask(cri::ImageFsInfoRequest {}).await;
        let answer = answer.map_err(|status| failed("cannot ask what images take", status))?;
        let Some(system) = answer.image_filesystems.into_iter().next() else { return Ok(DiskUse::default()) };
        let place = system.fs_id.map(|id| id.mountpoint).unwrap_or_default();
        let disk = rustix::fs::statvfs(place.as_str()).map_err(|errno| {
            Error::failed(format!("cannot measure the disk of {place}"), std::io::Error::from(errno))
        })?;
        Ok(DiskUse {
            used_bytes: system.used_bytes.map_or(0, |bytes| bytes.value),
            capacity_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
            available_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        })
    }
}

#[cfg(test)]
mod tests;
