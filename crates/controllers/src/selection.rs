//! Which controllers run: `--controllers=*,-x`. Pure.

use std::str::FromStr;

use crate::manager::CONTROLLERS;

/// A name that no controller has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not in the list of known controllers")]
pub struct UnknownController(String);

/// A list of names: `x` switches one on, `-x` off, `*` all that are on by default. The first one that speaks of a controller counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    named: Vec<(bool, &'static str)>,
    all: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self { named: Vec::new(), all: true }
    }
}

impl FromStr for Selection {
    type Err = UnknownController;

    fn from_str(text: &str) -> Result<Self, UnknownController> {
        let mut selection = Self { named: Vec::new(), all: false };
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            if item == "*" {
                selection.all = true;
                continue;
            }
            let (on, name) = item.strip_prefix('-').map_or((true, item), |name| (false, name));
            let known = CONTROLLERS.iter().find(|c| c.name == name || c.alias == name);
            let known = known.ok_or_else(|| UnknownController(name.to_owned()))?;
            selection.named.push((on, known.name));
        }
        Ok(selection)
    }
}

impl Selection {
    /// Whether a controller runs.
    pub fn includes(&self, name: &str) -> bool {
        self.named.iter().find(|(_, named)| *named == name).map_or(self.all, |(on, _)| *on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_chosen_as_upstream_chooses_them() {
        let (one, other) = ("serviceaccount-controller", "pod-garbage-collector-controller");
        let rows = [
            ("*", true, true),
            ("", false, false),
            ("serviceaccount-controller", true, false),
            ("*,-serviceaccount-controller", false, true),
            ("-serviceaccount-controller,*", false, true),
            ("*, -serviceaccount", false, true),
            ("podgc", false, true),
            ("-podgc,podgc", false, false),
        ];
        for (text, has_one, has_other) in rows {
            let selection: Selection = text.parse().expect(text);
            assert_eq!((selection.includes(one), selection.includes(other)), (has_one, has_other), "{text}");
        }
        let unknown = "*,-nothing".parse::<Selection>().expect_err("there is no such controller");
        assert_eq!(unknown.to_string(), "\"nothing\" is not in the list of known controllers");
    }
}
