//! Names of images, read as docker and containerd read them: `busybox` is `docker.io/library/busybox:latest`.
//!
//! Pure. The rules are those of the `distribution/reference` grammar, and so are the words in which a name is refused.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

use super::Error;
use super::digest::Digest;

/// The registry that a name without one means.
pub const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const DEFAULT_TAG: &str = "latest";
const MAX_NAME: usize = 255;

/// A name with a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    which: Which,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Which {
    Tag(String),
    Digest(Digest),
}

impl Reference {
    /// Reads a name as people write it. One with a tag and a digest is its digest.
    pub fn parse(text: &str) -> Result<Self, Error> {
        read(text).map_err(|reason| Error::InvalidName { reference: text.to_owned(), reason })
    }

    /// The registry: `docker.io`, `localhost:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository in the registry: `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Without tag and digest: `docker.io/library/busybox`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The digest, if it is named by one.
    pub fn digest(&self) -> Option<&Digest> {
        match &self.which {
            Which::Digest(digest) => Some(digest),
            Which::Tag(_) => None,
        }
    }

    /// The tag, if it is named by one.
    pub fn tag(&self) -> Option<&str> {
        match &self.which {
            Which::Tag(tag) => Some(tag),
            Which::Digest(_) => None,
        }
    }

    /// The same repository, by a digest.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self { which: Which::Digest(digest.clone()), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Which::Tag(tag) => write!(f, "{}/{}:{tag}", self.domain, self.path),
            Which::Digest(digest) => write!(f, "{}/{}@{digest}", self.domain, self.path),
        }
    }
}

/// domain, path, tag, digest. The grammar of `distribution/reference`.
static GRAMMAR: LazyLock<Regex> = LazyLock::new(|| {
    let label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
    let domain = format!(r"(?:{label}(?:\.{label})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?");
    let component = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*";
    let digest = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
    Regex::new(&format!(
        r"^({domain})/({component}(?:/{component})*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@({digest}))?$"
    ))
    .expect("the grammar is a regular expression")
});

fn read(text: &str) -> Result<Reference, String> {
    if Digest::from_hex(text).is_some() {
        return Err(format!("invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"));
    }
    let (domain, remainder) = split_domain(text);
    let repository = remainder.split(':').next().unwrap_or_default();
    // A digest's algorithm stands before the first colon where there is no tag.
    let repository = repository.split('@').next().unwrap_or_default();
    if repository.chars().any(char::is_uppercase) {
        return Err(format!("invalid reference format: repository name ({repository}) must be lowercase"));
    }
    let whole = format!("{domain}/{remainder}");
    let parts = GRAMMAR.captures(&whole).ok_or("invalid reference format")?;
    let part = |index: usize| parts.get(index).map(|found| found.as_str().to_owned());
    let path = part(2).unwrap_or_default();
    if domain.len() + 1 + path.len() > MAX_NAME {
        return Err(format!("repository name must not be more than {MAX_NAME} characters"));
    }
    let which = match (part(4), part(3)) {
        (Some(digest), _) => Which::Digest(Digest::parse(&digest)?),
        (None, tag) => Which::Tag(tag.unwrap_or_else(|| DEFAULT_TAG.to_owned())),
    };
    Ok(Reference { domain, path, which })
}

/// The first part is a registry if it looks like a host: it has a dot, a port, a capital, or is `localhost`.
fn split_domain(text: &str) -> (String, String) {
    let (domain, rest) = match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.chars().any(char::is_uppercase) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    };
    let domain = if domain == LEGACY_DEFAULT_DOMAIN { DEFAULT_DOMAIN } else { domain };
    let official = domain == DEFAULT_DOMAIN && !rest.contains('/');
    (domain.to_owned(), if official { format!("library/{rest}") } else { rest.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_become_what_docker_and_containerd_make_of_them() {
        let rows = [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
            ("library/busybox", "docker.io/library/busybox:latest"),
            ("org/app", "docker.io/org/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest"),
            ("Upper/app", "Upper/app:latest"),
            ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
        ];
        for (given, want) in rows {
            assert_eq!(Reference::parse(given).unwrap().to_string(), want, "{given}");
        }
        let both = Reference::parse(&format!("busybox:1.36@sha256:{HEX}")).unwrap();
        assert_eq!(both.to_string(), format!("docker.io/library/busybox@sha256:{HEX}"));
        assert_eq!((both.tag(), both.path(), both.domain()), (None, "library/busybox", "docker.io"));
    }

    #[test]
    fn what_is_no_name_is_refused_in_upstreams_words() {
        let long = format!("x.io/{}", "a".repeat(260));
        let rows = [
            ("", "invalid reference format"),
            ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
            ("busy box", "invalid reference format"),
            ("busybox:", "invalid reference format"),
            ("busybox:-x", "invalid reference format"),
            ("busybox@sha256:abc", "invalid reference format"),
            ("../etc/passwd", "invalid reference format"),
            ("a//b", "invalid reference format"),
            ("x.io/a/../b", "invalid reference format"),
            ("http://x.io/a", "invalid reference format"),
            ("busybox@md5:d41d8cd98f00b204e9800998ecf8427e", "unsupported digest algorithm"),
            ("busybox@sha256:d41d8cd98f00b204e9800998ecf8427e", "invalid checksum digest length"),
            (long.as_str(), "repository name must not be more than 255 characters"),
        ];
        for (given, want) in rows {
            let error = Reference::parse(given).unwrap_err();
            assert_eq!(error.to_string(), format!("couldn't parse image name \"{given}\": {want}"));
        }
        let hex = Reference::parse(HEX).unwrap_err().to_string();
        assert!(hex.ends_with("cannot specify 64-byte hexadecimal strings"), "{hex}");
    }
}
