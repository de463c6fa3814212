//! Levels and versions of the standards, as labels and configuration files write them.

use std::fmt;

/// How strict; in order of strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Everything is allowed.
    Privileged,
    /// Known ways to more privileges are forbidden.
    Baseline,
    /// The current practice of hardening is demanded.
    Restricted,
}

/// Which version of the standards; all have the major number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `v1.x`
    Minor(u64),
    /// The newest that there is.
    Latest,
}

/// A level of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LevelVersion {
    /// The level.
    pub level: Level,
    /// The version.
    pub version: Version,
}

/// What is wrong with a level that is none.
pub(super) const NOT_A_LEVEL: &str = "must be one of privileged, baseline, restricted";
/// What is wrong with a version that is none.
pub(super) const NOT_A_VERSION: &str = "must be \"latest\" or \"v1.x\"";

impl Level {
    /// Reads a level.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "privileged" => Ok(Level::Privileged),
            "baseline" => Ok(Level::Baseline),
            "restricted" => Ok(Level::Restricted),
            _ => Err(NOT_A_LEVEL),
        }
    }

    /// The level's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }
}

impl Version {
    /// Reads a version: `latest` or `v1.x`, without leading zeros.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "latest" {
            return Ok(Version::Latest);
        }
        let digits = text.strip_prefix("v1.").filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
        let digits = digits.filter(|d| d.len() == 1 || !d.starts_with('0'));
        // Upstream reads into a signed number.
        let minor = digits.and_then(|d| d.parse::<i64>().ok()).and_then(|n| u64::try_from(n).ok());
        minor.map(Version::Minor).ok_or(NOT_A_VERSION)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Version::Minor(minor) => write!(f, "v1.{minor}"),
            Version::Latest => f.write_str("latest"),
        }
    }
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.version)
    }
}

impl LevelVersion {
    /// `privileged:latest`, which every namespace has that says nothing.
    pub const PRIVILEGED: Self = Self { level: Level::Privileged, version: Version::Latest };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_latest_or_v1_and_a_plain_number() {
        let rows = [
            ("latest", Some(Version::Latest)),
            ("v1.0", Some(Version::Minor(0))),
            ("v1.36", Some(Version::Minor(36))),
            ("v1.1000", Some(Version::Minor(1000))),
            ("v1.01", None),
            ("v1.00", None),
            ("v1.", None),
            ("1.20", None),
            ("v2.1", None),
            ("v1.-1", None),
            ("v1.+1", None),
            ("v1.20.1", None),
            ("v1.99999999999999999999", None),
            ("", None),
        ];
        for (text, want) in rows {
            assert_eq!(Version::parse(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn latest_is_newer_than_every_number() {
        assert!(Version::Latest > Version::Minor(u64::MAX));
        assert!(Version::Minor(9) < Version::Minor(10));
    }
}
