//! Content addresses: `sha256:` and 64 hexadecimal digits. Computes them; knows no files.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const HEX_DIGITS: usize = 64;

/// The SHA-256 of some content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Reads `sha256:HEX`. The reasons are go-digest's words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (algorithm, hex) = text.split_once(':').ok_or("invalid checksum digest format")?;
        if algorithm != "sha256" {
            return Err("unsupported digest algorithm");
        }
        if hex.len() != HEX_DIGITS {
            return Err("invalid checksum digest length");
        }
        Self::from_hex(hex).ok_or("invalid checksum digest format")
    }

    /// From the hexadecimal digits alone.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let good = hex.len() == HEX_DIGITS && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Self(hex.to_owned()))
    }

    /// Of these bytes.
    pub fn of(content: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(content);
        hasher.finish()
    }

    /// The hexadecimal digits: a name for a file.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// The id of a stack of layers: of one layer what it unpacks to, of more the hash of the stack below and that (the image
    /// specification's `ChainID`).
    pub fn chain(below: Option<&Self>, layer: &Self) -> Self {
        match below {
            None => layer.clone(),
            Some(below) => Self::of(format!("{below} {layer}").as_bytes()),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Computes a digest piece by piece.
#[derive(Clone, Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(crate) fn finish(self) -> Digest {
        use fmt::Write as _;
        let mut hex = String::with_capacity(HEX_DIGITS);
        for byte in self.0.finalize() {
            write!(hex, "{byte:02x}").expect("a string takes all that is written");
        }
        Digest(hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_is_read_or_refused_in_the_words_of_go_digest() {
        let rows = [
            ("good", EMPTY.to_owned(), Ok(())),
            ("no algorithm", "e3b0".into(), Err("invalid checksum digest format")),
            (
                "another algorithm",
                "md5:d41d8cd98f00b204e9800998ecf8427e".into(),
                Err("unsupported digest algorithm"),
            ),
            ("short", "sha256:e3b0".into(), Err("invalid checksum digest length")),
            ("capitals", EMPTY.replace('e', "E"), Err("invalid checksum digest format")),
            ("a path", format!("sha256:../{}", "0".repeat(61)), Err("invalid checksum digest format")),
        ];
        for (name, text, want) in rows {
            assert_eq!(
                Digest::parse(&text).map(|digest| assert_eq!(digest.to_string(), text)),
                want,
                "{name}"
            );
        }
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
    }

    #[test]
    fn a_stack_of_layers_is_named_by_all_of_them_in_their_order() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let ab = Digest::chain(Some(&Digest::chain(None, &a)), &b);
        assert_eq!(Digest::chain(None, &a), a);
        assert_eq!(ab, Digest::of(format!("{a} {b}").as_bytes()));
        assert_ne!(ab, Digest::chain(Some(&b), &a));
    }
}
