//! Which plug-ins run: upstream's defaults, and what the command line adds and takes away.

use super::order::{Known, ORDER};

/// `--enable-admission-plugins` and `--disable-admission-plugins`.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// These run too.
    pub enable: Vec<String>,
    /// These do not run.
    pub disable: Vec<String>,
}

/// Why plug-ins cannot be put together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// There is no plug-in of that name.
    #[error("{flag} plugin {name:?} is unknown")]
    Unknown {
        /// The flag that names it, without dashes.
        flag: &'static str,
        /// The name.
        name: String,
    },
    /// Plug-ins are enabled and disabled.
    #[error("[{}] in enable-admission-plugins and disable-admission-plugins overlapped", .0.join(" "))]
    Overlap(Vec<String>),
    /// Upstream has it, this version does not.
    #[error("enable-admission-plugins plugin {0:?} is not part of this version yet")]
    Missing(&'static str),
    /// What is wrong with the configuration of a plug-in.
    #[error("the configuration of the admission plug-in {name} is not valid: {why}")]
    Configuration {
        /// The plug-in.
        name: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The file of configurations cannot be read.
    #[error("{0}")]
    File(String),
}

impl Choice {
    /// The plug-ins that run, in order. Those that are on by default and not part of this version are left out.
    pub(super) fn chosen(&self) -> Result<Vec<&'static Known>, Error> {
        check_names("enable-admission-plugins", &self.enable)?;
        check_names("disable-admission-plugins", &self.disable)?;
        let mut both: Vec<String> =
            self.enable.iter().filter(|name| self.disable.contains(name)).cloned().collect();
        both.sort();
        both.dedup();
        if !both.is_empty() {
            return Err(Error::Overlap(both));
        }
        let named = |list: &[String], known: &Known| list.iter().any(|name| name == known.name);
        if let Some(known) = ORDER.iter().find(|k| k.build.is_none() && named(&self.enable, k)) {
            return Err(Error::Missing(known.name));
        }
        let runs = |k: &&Known| {
            k.build.is_some() && (named(&self.enable, k) || (k.default && !named(&self.disable, k)))
        };
        Ok(ORDER.iter().filter(runs).collect())
    }
}

fn check_names(flag: &'static str, names: &[String]) -> Result<(), Error> {
    match names.iter().find(|name| ORDER.iter().all(|k| k.name != name.as_str())) {
        Some(name) => Err(Error::Unknown { flag, name: name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &str) -> Vec<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    fn names(enable: &str, disable: &str) -> Result<Vec<&'static str>, Error> {
        let choice = Choice { enable: list(enable), disable: list(disable) };
        Ok(choice.chosen()?.into_iter().map(|k| k.name).collect())
    }

    #[test]
    fn the_defaults_of_upstream_run_in_upstreams_order_and_quotas_come_last() {
        let names = names("", "").unwrap();
        assert_eq!(&names[..4], ["NamespaceLifecycle", "LimitRanger", "ServiceAccount", "NodeRestriction"]);
        assert_eq!(names.last(), Some(&"ResourceQuota"));
    }

    #[test]
    fn what_is_enabled_runs_in_its_place_and_what_is_disabled_does_not() {
        let names = names("AlwaysPullImages NamespaceExists", "Priority PodSecurity").unwrap();
        let place = |name| names.iter().position(|n| *n == name);
        assert!(place("NamespaceLifecycle") < place("NamespaceExists"));
        assert!(place("NamespaceExists") < place("AlwaysPullImages"));
        assert_eq!(place("Priority"), None);
    }

    #[test]
    fn names_that_make_no_sense_are_refused_in_upstreams_words() {
        let rows = [
            ("Foo", "", r#"enable-admission-plugins plugin "Foo" is unknown"#),
            ("", "Bar", r#"disable-admission-plugins plugin "Bar" is unknown"#),
            (
                "Priority",
                "Priority",
                "[Priority] in enable-admission-plugins and disable-admission-plugins overlapped",
            ),
            (
                "ImagePolicyWebhook",
                "",
                r#"enable-admission-plugins plugin "ImagePolicyWebhook" is not part of this version yet"#,
            ),
        ];
        for (enable, disable, expected) in rows {
            assert_eq!(names(enable, disable).unwrap_err().to_string(), expected);
        }
    }
}
