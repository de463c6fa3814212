//! Images for tests, made of nothing but what a test says: layers (hostile ones too), manifests of either form, indexes, archives.
//!
//! [`ImageBuilder::busybox`] is one that runs: Debian's `busybox-static`.

mod layer;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use layer::{Compression, EntrySpec, Layer};
pub use tar::EntryType;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// `sha256:...` of some content.
pub fn digest(content: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(content) {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
    }
    text
}

/// What an image is to be.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    layers: Vec<(Vec<u8>, Compression)>,
    config: Value,
    architecture: String,
    docker: bool,
}

/// An image: blobs by digest, and the manifest among them.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// Everything it consists of, the manifest and (of an index) the images' parts included.
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// Digest of the manifest or index.
    pub manifest: String,
    /// Its media type.
    pub media_type: String,
    /// Digest of the configuration, which is the image's id; empty for an index.
    pub config: String,
    /// Digests of the layers as they are sent.
    pub layers: Vec<String>,
    architecture: String,
}

impl Default for ImageBuilder {
    fn default() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { layers: Vec::new(), config: json!({}), architecture: architecture.to_owned(), docker: false }
    }
}

impl ImageBuilder {
    /// An image that runs: `/bin/busybox` and links to it for the commands that tests use.
    pub fn busybox() -> Self {
        let program = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| std::fs::read(path).ok());
        let program = program.expect("busybox is there (apt-get install busybox-static)");
        let mut layer = Layer::new();
        for directory in ["bin", "etc", "proc", "sys", "dev", "root"] {
            layer.directory(directory, 0o755);
        }
        layer.directory("tmp", 0o1777);
        layer.file("bin/busybox", &program, 0o755);
        for command in [
            "sh", "ls", "cat", "echo", "sleep", "id", "env", "true", "false", "mkdir", "touch", "rm", "kill",
            "wget", "tar", "nc", "test", "hostname", "stty",
        ] {
            layer.symlink(&format!("bin/{command}"), "busybox");
        }
        layer.file(
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
            0o644,
        );
        layer.file("etc/group", b"root:x:0:\nnobody:x:65534:\n", 0o644);
        let config = json!({"Env": ["PATH=/bin"], "Cmd": ["sh"]});
        Self::default().layer(layer, Compression::Gzip).config(config)
    }

    /// Adds a layer above the others.
    #[must_use]
    pub fn layer(self, layer: Layer, compression: Compression) -> Self {
        self.tar(layer.finish(), compression)
    }

    /// Adds a layer that is an archive already.
    #[must_use]
    pub fn tar(mut self, archive: Vec<u8>, compression: Compression) -> Self {
        self.layers.push((archive, compression));
        self
    }

    /// Sets the part of the configuration that speaks of containers (`Env`, `Cmd` ...).
    #[must_use]
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// For another architecture than this machine's.
    #[must_use]
    pub fn architecture(mut self, name: &str) -> Self {
        name.clone_into(&mut self.architecture);
        self
    }

    /// With Docker's media types.
    #[must_use]
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    /// Makes it.
    pub fn build(self) -> BuiltImage {
        let mut blobs = BTreeMap::new();
        let mut add = |bytes: Vec<u8>| {
            let digest = digest(&bytes);
            let size = bytes.len();
            blobs.insert(digest.clone(), bytes);
            (digest, size)
        };
        let mut layers = Vec::new();
        let mut digests = Vec::new();
        let diff_ids: Vec<String> = self.layers.iter().map(|(tar, _)| digest(tar)).collect();
        for (tar, compression) in &self.layers {
            let media_type = if self.docker { DOCKER_LAYER } else { compression.media_type() };
            let (digest, size) = add(compression.of(tar));
            layers.push(json!({"mediaType": media_type, "digest": digest, "size": size}));
            digests.push(digest);
        }
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let (config, size) = add(config.to_string().into_bytes());
        let (manifest_type, config_type) =
            if self.docker { (DOCKER_MANIFEST, DOCKER_CONFIG) } else { (OCI_MANIFEST, OCI_CONFIG) };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": {"mediaType": config_type, "digest": config, "size": size},
            "layers": layers,
        });
        let (manifest, _) = add(manifest.to_string().into_bytes());
        BuiltImage {
            blobs,
            manifest,
            media_type: manifest_type.to_owned(),
            config,
            layers: digests,
            architecture: self.architecture,
        }
    }
}

impl BuiltImage {
    /// An index of several images for several architectures.
    pub fn index(images: &[Self]) -> Self {
        let mut blobs = BTreeMap::new();
        let mut entries = Vec::new();
        for image in images {
            let platform = json!({"os": "linux", "architecture": image.architecture});
            let mut entry = image.descriptor();
            entry["platform"] = platform;
            entries.push(entry);
            blobs.extend(image.blobs.clone());
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
            .to_string()
            .into_bytes();
        let manifest = digest(&index);
        blobs.insert(manifest.clone(), index);
        Self {
            blobs,
            manifest,
            media_type: OCI_INDEX.to_owned(),
            config: String::new(),
            layers: Vec::new(),
            architecture: String::new(),
        }
    }

    fn descriptor(&self) -> Value {
        let size = self.blobs[&self.manifest].len();
        json!({"mediaType": self.media_type, "digest": self.manifest, "size": size})
    }

    /// An OCI image layout in a tar archive. `annotations` say what the image is called.
    pub fn oci_archive(&self, annotations: &Value) -> Vec<u8> {
        let mut archive = Layer::new();
        let mut entry = self.descriptor();
        entry["annotations"] = annotations.clone();
        archive.file("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#, 0o644);
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        archive.file("index.json", index.to_string().as_bytes(), 0o644);
        for (digest, bytes) in &self.blobs {
            archive.file(&format!("blobs/{}", digest.replace(':', "/")), bytes, 0o644);
        }
        archive.finish()
    }

    /// What `docker save` wrote before it wrote layouts too.
    pub fn docker_archive(&self, tags: &[&str]) -> Vec<u8> {
        let mut archive = Layer::new();
        let hex = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
        let mut layers = Vec::new();
        for digest in &self.layers {
            let name = format!("{}/layer.tar", hex(digest));
            archive.file(&name, &self.blobs[digest], 0o644);
            layers.push(name);
        }
        let config = format!("{}.json", hex(&self.config));
        archive.file(&config, &self.blobs[&self.config], 0o644);
        let manifest = json!([{"Config": config, "RepoTags": tags, "Layers": layers}]);
        archive.file("manifest.json", manifest.to_string().as_bytes(), 0o644);
        archive.finish()
    }
}
