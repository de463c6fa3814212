//! What may be in the file, in upstream's sentences.

use std::collections::HashSet;

use sampan_model::{FieldError, FieldPath, Value};

use super::{Configuration, Key, Keys, KmsConfiguration, ProviderConfiguration};
use crate::resource::GroupResource;

const AES_SIZES: &[usize] = &[16, 24, 32];
const SECRETBOX_SIZES: &[usize] = &[32];

/// Resources of upstream that are not stored as objects of the API.
const NO_RESOURCES: [&str; 3] = ["apiserveripinfo", "serviceipallocations", "servicenodeportallocations"];

/// What is wrong with a configuration.
pub(super) fn validate(configuration: &Configuration) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = FieldPath::field("resources");
    if configuration.resources.is_empty() {
        return vec![FieldError::required(root, "at least one resources is required")];
    }
    let mut kms_names = HashSet::new();
    for (i, rule) in configuration.resources.iter().enumerate() {
        let path = root.index(i);
        let (resources, providers) = (path.child("resources"), path.child("providers"));
        if rule.resources.is_empty() {
            errors.push(FieldError::required(resources, format!("at least one {resources} is required")));
        }
        overlaps(&rule.resources, &resources, &mut errors);
        for (j, name) in rule.resources.iter().enumerate() {
            if let Some(complaint) = resource_complaint(name) {
                errors.push(FieldError::invalid(resources.index(j), name.as_str(), complaint));
            }
        }
        if rule.providers.is_empty() {
            errors.push(FieldError::required(providers, format!("at least one {providers} is required")));
        }
        for (j, provider) in rule.providers.iter().enumerate() {
            validate_provider(provider, &providers.index(j), &mut kms_names, &mut errors);
        }
    }
    errors
}

fn overlaps(names: &[String], path: &FieldPath<'_>, errors: &mut Vec<FieldError>) {
    let resources: Vec<_> = names.iter().map(|name| GroupResource::parse(name)).collect();
    let (mut duplicate, mut overlap) = (false, false);
    for (i, a) in resources.iter().enumerate() {
        for (j, b) in resources.iter().enumerate().filter(|(j, _)| *j != i) {
            if a == b {
                // Of equal names it is the second sight that counts as an overlap, where they are wildcards.
                overlap |= duplicate && a.resource == "*";
                duplicate = true;
            } else {
                overlap |= a.is_any() || (a.group == b.group && (a.resource == "*" || b.resource == "*"));
            }
            debug_assert_ne!(i, j);
        }
    }
    let list = || Value::Array(names.iter().map(|name| Value::from(name.as_str())).collect());
    if duplicate {
        errors.push(FieldError::invalid(
            path,
            list(),
            "the same resource cannot be specified multiple times",
        ));
    }
    if overlap {
        let detail = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not \
                      allowed as they will be masked";
        errors.push(FieldError::invalid(path, list(), detail));
    }
}

fn resource_complaint(name: &str) -> Option<&'static str> {
    let resource = GroupResource::parse(name);
    if name.to_lowercase() != name {
        return Some("resource name should not contain capital letters");
    }
    if name == "*" {
        return Some(
            "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
        );
    }
    if NO_RESOURCES.contains(&name) {
        return Some("resources which do not have REST API/s cannot be encrypted");
    }
    match resource.group {
        "events.k8s.io" => Some(
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in \
             the config file",
        ),
        "extensions" => Some("'extensions' group has been removed and cannot be used for encryption"),
        "*" if resource.resource != "*" => {
            Some("encrypting the same resource across groups is not supported")
        }
        _ => None,
    }
}

fn validate_provider<'a>(
    provider: &'a ProviderConfiguration,
    path: &FieldPath<'_>,
    kms_names: &mut HashSet<&'a str>,
    errors: &mut Vec<FieldError>,
) {
    let ProviderConfiguration { aesgcm, aescbc, secretbox, identity, kms } = provider;
    let found = [aesgcm.is_some(), aescbc.is_some(), secretbox.is_some(), identity.is_some(), kms.is_some()];
    match found.into_iter().filter(|found| *found).count() {
        0 => errors.push(FieldError::invalid(
            path,
            Value::Object(sampan_model::Map::new()),
            "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
        )),
        1 => {}
        // Upstream shows all of it here, its secrets included.
        _ => errors.push(FieldError::invalid(
            path,
            "REDACTED",
            "more than one provider specified in a single element, should split into different list elements",
        )),
    }
    if let Some(kms) = kms {
        validate_kms(kms, &path.child("kms"), kms_names, errors);
        kms_names.insert(&kms.name);
    } else if let Some(keys) = aesgcm {
        validate_keys(keys, &path.child("aesgcm").child("keys"), AES_SIZES, errors);
    } else if let Some(keys) = aescbc {
        validate_keys(keys, &path.child("aescbc").child("keys"), AES_SIZES, errors);
    } else if let Some(keys) = secretbox {
        validate_keys(keys, &path.child("secretbox").child("keys"), SECRETBOX_SIZES, errors);
    }
}

fn validate_keys(keys: &Keys, path: &FieldPath<'_>, sizes: &[usize], errors: &mut Vec<FieldError>) {
    if keys.keys.is_empty() {
        errors.push(FieldError::required(path, "at least one keys is required"));
    }
    for (i, key) in keys.keys.iter().enumerate() {
        validate_key(key, &path.index(i), sizes, errors);
    }
}

fn validate_key(key: &Key, path: &FieldPath<'_>, sizes: &[usize], errors: &mut Vec<FieldError>) {
    if key.name.is_empty() {
        errors.push(FieldError::required(path.child("name"), "name is a mandatory field for a key"));
    }
    let path = path.child("secret");
    if key.secret.is_empty() {
        errors.push(FieldError::required(path, "secret is a mandatory field for a key"));
        return;
    }
    match key.secret.decode() {
        None => errors.push(FieldError::invalid(path, "REDACTED", "secrets must be base64 encoded")),
        Some(secret) if !sizes.contains(&secret.len()) => {
            let sizes: Vec<_> = sizes.iter().map(usize::to_string).collect();
            let detail = format!(
                "secret is not of the expected length, got {}, expected one of [{}]",
                secret.len(),
                sizes.join(" ")
            );
            errors.push(FieldError::invalid(path, "REDACTED", detail));
        }
        Some(_) => {}
    }
}

fn validate_kms(
    kms: &KmsConfiguration,
    path: &FieldPath<'_>,
    names: &HashSet<&str>,
    errors: &mut Vec<FieldError>,
) {
    let name = path.child("name");
    let is_v1 = kms.api_version == "v1";
    if kms.name.is_empty() {
        errors.push(FieldError::required(name, "name is a mandatory field for a provider"));
    }
    if !is_v1 && kms.name.contains(':') {
        let detail = format!("invalid KMS provider name {}, must not contain ':'", kms.name);
        errors.push(FieldError::invalid(name, kms.name.as_str(), detail));
    }
    if !is_v1 && names.contains(kms.name.as_str()) {
        let detail = format!("duplicate KMS provider name {}, names must be unique", kms.name);
        errors.push(FieldError::invalid(name, kms.name.as_str(), detail));
    }
    if kms.timeout().is_none() {
        let detail = match sampan_model::time::parse_go_duration(&kms.timeout) {
            Ok(_) => "timeout should be a positive value".to_owned(),
            Err(error) => error.to_string(),
        };
        errors.push(FieldError::invalid(path.child("timeout"), kms.timeout.as_str(), detail));
    }
    let endpoint = path.child("endpoint");
    if kms.endpoint.is_empty() {
        errors.push(FieldError::invalid(endpoint, "", "endpoint is a mandatory field for a kms"));
    } else if kms.socket().is_none() {
        let scheme = kms.endpoint.split_once(':').map_or("", |(scheme, _)| scheme);
        let detail = format!("unsupported scheme {scheme:?} for KMS provider, only unix is supported");
        errors.push(FieldError::invalid(endpoint, kms.endpoint.as_str(), detail));
    }
    if let Some(size) = kms.cache_size {
        let path = path.child("cachesize");
        if !is_v1 {
            errors.push(FieldError::invalid(path, i64::from(size), "cachesize is not supported in v2"));
        } else if size == 0 {
            let detail = "cachesize should be a positive value, or negative to disable";
            errors.push(FieldError::invalid(path, i64::from(size), detail));
        }
    }
    if !is_v1 && kms.api_version != "v2" {
        // Upstream names the field here, not its value.
        let detail = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported";
        errors.push(FieldError::invalid(path.child("apiVersion"), kms.api_version.as_str(), detail));
    }
}
