//! Recorded conversations with kube-apiserver, sent to a cluster by `replay.py`: which of them pass.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, ensure};

use crate::{Cluster, tools};

/// How many conversations go on at once; most of their time is waiting.
const SHARDS: usize = 12;

/// A suite of conversations: the folder with `replay.py` and `scenarios`.
#[derive(Debug)]
pub struct Suite(PathBuf);

/// The outcome of each conversation, by name: `None` when it passed, else the difference.
pub type Outcomes = BTreeMap<String, Option<String>>;

impl Suite {
    /// The suite that `SAMPAN_REPLAY` names, else the one beside the repository; says so when there is none.
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("SAMPAN_REPLAY").map(PathBuf::from);
        let path = path.unwrap_or_else(|| tools::root().join("../shared/replay"));
        if path.join("replay.py").exists() {
            return Some(Self(path));
        }
        eprintln!("skipped: there are no recorded conversations (SAMPAN_REPLAY names their folder)");
        None
    }

    /// Plays all conversations, several at once.
    pub fn play(&self, cluster: &Cluster) -> Result<Outcomes> {
        let mut shards = vec![Vec::new(); SHARDS];
        for (i, name) in self.names()?.into_iter().enumerate() {
            shards[i % SHARDS].push(name);
        }
        let (url, pki) = (cluster.url(), cluster.data_dir().join("pki"));
        let (url, pki) = (url.as_str(), pki.as_path());
        thread::scope(|scope| {
            let running: Vec<_> =
                shards.iter().map(|names| scope.spawn(move || self.play_some(url, pki, names))).collect();
            let mut outcomes = Outcomes::new();
            for shard in running {
                outcomes.extend(shard.join().expect("no shard panics")?);
            }
            Ok(outcomes)
        })
    }

    /// The names: the paths of the files below `scenarios`.
    fn names(&self) -> Result<Vec<String>> {
        let scenarios = self.0.join("scenarios");
        let mut names = Vec::new();
        for area in fs::read_dir(&scenarios).with_context(|| format!("listing {}", scenarios.display()))? {
            for file in fs::read_dir(area?.path())? {
                let path = file?.path().with_extension("");
                let name = path.strip_prefix(&scenarios)?.to_string_lossy().into_owned();
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn play_some(&self, url: &str, pki: &Path, names: &[String]) -> Result<Outcomes> {
        let mut command = Command::new("python3");
        command.arg(self.0.join("replay.py")).args(["--server", url]);
        for (flag, file) in [("--ca", "ca.crt"), ("--cert", "admin.crt"), ("--key", "admin.key")] {
            command.arg(flag).arg(pki.join(file));
        }
        for name in names {
            command.args(["--only", name]);
        }
        let output = command.arg(self.0.join("scenarios")).output().context("python3 cannot be started")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let outcomes: Outcomes = text.lines().filter_map(outcome).collect();
        ensure!(outcomes.len() == names.len(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(outcomes)
    }
}

/// `ok NAME` or `FAIL NAME: REASON`.
fn outcome(line: &str) -> Option<(String, Option<String>)> {
    if let Some(name) = line.strip_prefix("ok ") {
        return Some((name.to_owned(), None));
    }
    let (name, reason) = line.strip_prefix("FAIL ")?.split_once(": ")?;
    Some((name.to_owned(), (!is_of_the_calendar(reason)).then(|| reason.to_owned())))
}

/// Whether answers differ in an age of years only, which the suite compares to the letter: it was another one on the
/// day of the recording.
fn is_of_the_calendar(reason: &str) -> bool {
    let Some((expected, got)) = reason.rsplit_once(": expected ").and_then(|(_, r)| r.split_once(", got "))
    else {
        return false;
    };
    let is_age = |text: &str| {
        let age = text.trim_matches('"').strip_suffix('d').and_then(|t| t.split_once('y'));
        age.is_some_and(|(years, days)| years.parse::<u32>().is_ok() && days.parse::<u32>().is_ok())
    };
    is_age(expected) && is_age(got)
}

/// The list of conversations that are known to fail: one a line, `#` begins a remark.
pub fn known_failures(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_owned());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::is_of_the_calendar;

    #[test]
    fn only_ages_of_years_are_excused() {
        let rows = [
            (r#"step 2 GET /e: /rows/0/cells/0: expected "2y327d", got "2y328d""#, true),
            (r#"step 2 GET /e: /rows/0/cells/0: expected "2y327d", got "Normal""#, false),
            ("step 1 GET /e: status: expected 200, got 404 not found", false),
        ];
        for (reason, excused) in rows {
            assert_eq!(is_of_the_calendar(reason), excused, "{reason}");
        }
    }
}
