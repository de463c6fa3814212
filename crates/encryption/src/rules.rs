//! Which providers are for which resource.

use std::sync::Arc;

use sampan_store::{Form, Snapshot};

use crate::Error;
use crate::config::{Configuration, KmsConfiguration, ProviderConfiguration};
use crate::kms::Kms;
use crate::metrics::Metrics;
use crate::provider::{Family, Keyed, Provider};
use crate::resource::GroupResource;

/// A configuration in force.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// All plugins, in the order of the file.
    plugins: Vec<Arc<Kms>>,
}

/// The providers of one resource, of a group, or of everything.
#[derive(Debug)]
struct Rule {
    group: String,
    resource: String,
    providers: Vec<Provider>,
}

impl Rules {
    /// Makes a valid configuration into rules, and starts to talk to its plugins: each has been asked once then,
    /// whether it answered or not.
    pub(crate) fn new(configuration: &Configuration, metrics: &Metrics) -> Result<Self, Error> {
        let mut rules = Self::default();
        for entry in &configuration.resources {
            let mut providers = Vec::new();
            for provider in &entry.providers {
                providers.append(&mut rules.provider(provider, metrics)?);
            }
            for name in &entry.resources {
                rules.add(name, &providers)?;
            }
        }
        rules.plugins.iter().for_each(|kms| kms.wait_for_probe());
        Ok(rules)
    }

    fn provider(
        &mut self,
        provider: &ProviderConfiguration,
        metrics: &Metrics,
    ) -> Result<Vec<Provider>, Error> {
        let ProviderConfiguration { aesgcm, aescbc, secretbox, identity: _, kms } = provider;
        if let Some(keys) = aesgcm {
            Keyed::all(Family::AesGcm, keys)
        } else if let Some(keys) = aescbc {
            Keyed::all(Family::AesCbc, keys)
        } else if let Some(keys) = secretbox {
            Keyed::all(Family::Secretbox, keys)
        } else if let Some(kms) = kms {
            let kms = start(kms, metrics)?;
            self.plugins.push(Arc::clone(&kms));
            Ok(vec![Provider::Kms(kms)])
        } else {
            Ok(vec![Provider::Identity])
        }
    }

    /// Providers of a resource that has some already come behind those.
    fn add(&mut self, name: &str, providers: &[Provider]) -> Result<(), Error> {
        let GroupResource { group, resource } = GroupResource::parse(name);
        if let Some(rule) = [(group, "*"), ("*", "*")].into_iter().find(|(g, r)| self.has(g, r)) {
            return Err(Error::Masked { resource: shown(group, resource), rule: shown(rule.0, rule.1) });
        }
        match self.rules.iter_mut().find(|rule| rule.group == group && rule.resource == resource) {
            Some(rule) => rule.providers.extend_from_slice(providers),
            None => self.rules.push(Rule {
                group: group.to_owned(),
                resource: resource.to_owned(),
                providers: providers.to_vec(),
            }),
        }
        Ok(())
    }

    fn has(&self, group: &str, resource: &str) -> bool {
        self.find(group, resource).is_some()
    }

    fn find(&self, group: &str, resource: &str) -> Option<&[Provider]> {
        let rule = self.rules.iter().find(|rule| rule.group == group && rule.resource == resource)?;
        Some(&rule.providers)
    }

    /// The providers for a key: those of its resource, else of its group, else of everything, else none but the one
    /// that leaves all as it is.
    pub(crate) fn providers(&self, key: &str) -> &[Provider] {
        let found = || {
            if self.rules.is_empty() {
                return None;
            }
            let GroupResource { group, resource } = GroupResource::of_key(key)?;
            self.find(group, resource).or_else(|| self.find(group, "*")).or_else(|| self.find("*", "*"))
        };
        found().unwrap_or(&[Provider::Identity])
    }

    /// Whether all that lies on the disk could be read with these rules, and what is just being written by `old`.
    pub(crate) fn can_read(&self, snapshot: &Snapshot, old: &Rules) -> Result<(), Error> {
        let readable =
            |key: &str, form: Option<Form>| self.providers(key).iter().any(|provider| provider.has_key(form));
        let written = |key: &str| old.providers(key).first().and_then(Provider::form);
        let mut unreadable = snapshot
            .range("", None)
            .filter(|e| !readable(&e.key, e.form) || !readable(&e.key, written(&e.key)));
        match unreadable.next() {
            None => Ok(()),
            Some(first) => Err(Error::Unreadable { key: first.key.to_string(), others: unreadable.count() }),
        }
    }

    pub(crate) fn plugins(&self) -> &[Arc<Kms>] {
        &self.plugins
    }

    /// What is wrong with the plugins, in the words of upstream's check `kms-providers`.
    pub(crate) fn health(&self) -> Result<(), String> {
        let complaint = |(i, kms): (usize, &Arc<Kms>)| {
            kms.health().err().map(|error| format!("kms-provider-{i}: {error}"))
        };
        let mut complaints: Vec<_> = self.plugins.iter().enumerate().filter_map(complaint).collect();
        match complaints.len() {
            0 => Ok(()),
            1 => Err(complaints.remove(0)),
            _ => Err(format!("[{}]", complaints.join(", "))),
        }
    }
}

fn start(kms: &KmsConfiguration, metrics: &Metrics) -> Result<Arc<Kms>, Error> {
    if kms.api_version == "v1" {
        return Err(Error::KmsV1);
    }
    let failed = |source| Error::Kms { name: kms.name.clone(), source };
    let invalid = || failed(std::io::ErrorKind::InvalidInput.into());
    let (socket, timeout) = (kms.socket().ok_or_else(invalid)?, kms.timeout().ok_or_else(invalid)?);
    Kms::start(&kms.name, socket, timeout, metrics).map(Arc::new).map_err(failed)
}

fn shown(group: &str, resource: &str) -> String {
    // Upstream shows the core group's wildcard as it is written in the file.
    if group.is_empty() && resource != "*" { resource.to_owned() } else { format!("{resource}.{group}") }
}
