//! Which of an index's images runs on this machine. Pure.

use serde::{Deserialize, Serialize};

use super::manifest::Descriptor;

/// What an image was made for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Platform {
    /// `linux`.
    pub(crate) os: String,
    /// As Go calls it: `amd64`, `arm64`.
    pub(crate) architecture: String,
    /// Of the architecture: `v7`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
}

impl Platform {
    /// This machine.
    pub(crate) fn here() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "aarch64" => ("arm64", "v8"),
            "x86" => ("386", ""),
            "arm" => ("arm", "v7"),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", ""),
            "powerpc64" => ("ppc64", ""),
            "loongarch64" => ("loong64", ""),
            other => (other, ""),
        };
        Self {
            os: std::env::consts::OS.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        }
    }

    /// How well an image of `other` runs here: the smaller the better, `None` if it does not.
    fn distance(&self, other: &Self) -> Option<u32> {
        let (here, there) = (self.normal(), other.normal());
        if (here.0, here.1) != (there.0, there.1) {
            return None;
        }
        match (here.2, there.2) {
            (a, b) if a == b => Some(0),
            // An older ARM runs on a newer one. x86's levels are no older machines: v2 and v3 need more than every amd64 has.
            (a, b) if here.1 == "arm" || here.1 == "arm64" => level(a)?.checked_sub(level(b)?),
            _ => None,
        }
    }

    /// Other spellings of the same, as containerd normalizes them.
    fn normal(&self) -> (&str, &str, &str) {
        let architecture = match self.architecture.as_str() {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            "i386" => "386",
            "armhf" => "arm",
            other => other,
        };
        let variant = match (architecture, self.variant.as_str()) {
            ("amd64", "v1") => "",
            ("arm64", "" | "8") => "v8",
            ("arm", "" | "7") => "v7",
            ("arm", "5") => "v5",
            ("arm", "6") => "v6",
            (_, other) => other,
        };
        (&self.os, architecture, variant)
    }
}

fn level(variant: &str) -> Option<u32> {
    variant.strip_prefix('v')?.parse().ok()
}

/// The image of an index for a platform: the one that fits best, of equals the first.
pub(super) fn choose<'a>(index: &'a [Descriptor], here: &Platform) -> Option<&'a Descriptor> {
    let fits = |entry: &Descriptor| match &entry.platform {
        Some(platform) => here.distance(platform),
        None => None,
    };
    let fitting = index.iter().filter_map(|entry| Some((fits(entry)?, entry)));
    fitting.min_by_key(|(distance, _)| *distance).map(|(_, entry)| entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    fn platform(text: &str) -> Platform {
        let mut words = text.split('/').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        Platform { os: next(), architecture: next(), variant: next() }
    }

    #[test]
    fn the_image_that_fits_best_is_chosen() {
        let rows: [(&str, &str, &[&str], Option<usize>); 9] = [
            ("the same", "linux/amd64", &["linux/arm64", "linux/amd64"], Some(1)),
            ("another system", "linux/amd64", &["windows/amd64"], None),
            ("an attestation", "linux/amd64", &["unknown/unknown", "linux/amd64"], Some(1)),
            ("the baseline by name", "linux/amd64", &["linux/amd64/v1"], Some(0)),
            ("more than the baseline", "linux/amd64", &["linux/amd64/v3"], None),
            ("arm64 without its variant", "linux/arm64/v8", &["linux/arm/v7", "linux/arm64"], Some(1)),
            ("an older arm", "linux/arm/v7", &["linux/arm/v5", "linux/arm/v6"], Some(1)),
            ("a newer arm", "linux/arm/v6", &["linux/arm/v7"], None),
            ("the first of equals", "linux/amd64", &["linux/amd64", "linux/amd64"], Some(0)),
        ];
        for (name, here, entries, want) in rows {
            let index: Vec<Descriptor> = entries
                .iter()
                .enumerate()
                .map(|(i, text)| Descriptor {
                    platform: Some(platform(text)),
                    ..Descriptor::new("", Digest::of(&[u8::try_from(i).unwrap()]), 1)
                })
                .collect();
            let chosen = choose(&index, &platform(here));
            assert_eq!(chosen.map(|c| &c.digest), want.map(|i| &index[i].digest), "{name}");
        }
    }
}
