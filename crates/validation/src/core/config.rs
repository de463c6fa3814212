//! ConfigMaps and Secrets: their keys, their size, their types, and that some never change.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_model::name::is_config_map_key;
use sampan_model::{FieldError, FieldPath, Map, Value};

use crate::KindRules;
use crate::go_json::object_complaint;
use crate::look::{Errors, Look, Put, annotation, complain, immutable, top};

const MAX_SIZE: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// The rules of config maps.
pub(crate) const CONFIG_MAP: KindRules = KindRules {
    validate: Some(validate_config_map),
    validate_update: Some(validate_config_map_update),
    ..KindRules::PLAIN
};

/// The rules of secrets.
pub(crate) const SECRET: KindRules = KindRules {
    default: Some(default_secret),
    prepare_update: Some(prepare_secret_for_update),
    validate: Some(validate_secret),
    validate_update: Some(validate_secret_update),
    warnings: Some(secret_warnings),
    ..KindRules::PLAIN
};

/// How many bytes a base64 text stands for.
fn decoded_len(value: &Value) -> usize {
    let text = value.as_str().unwrap_or("");
    (text.len() / 4 * 3).saturating_sub(text.bytes().rev().take_while(|b| *b == b'=').count())
}

/// What is wrong with a config map.
pub fn validate_config_map(config: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let mut size = 0;
    let binary = config.sub("binaryData");
    for (key, value) in config.entries("data") {
        let p = FieldPath::field("data");
        complain(&mut e, p.key(key), key, is_config_map_key(key));
        if binary.get(key).is_some() {
            e.push(FieldError::invalid(p.key(key), key, "duplicate of key present in binaryData"));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in config.entries("binaryData") {
        let p = FieldPath::field("binaryData");
        complain(&mut e, p.key(key), key, is_config_map_key(key));
        size += decoded_len(value);
    }
    if size > MAX_SIZE {
        e.push(FieldError::too_long("", MAX_SIZE));
    }
    e
}

fn frozen(e: &mut Errors, new: &Value, old: &Value, fields: &[&str]) {
    if !old.flag("immutable") {
        return;
    }
    if !new.flag("immutable") {
        e.push(FieldError::forbidden("immutable", FROZEN));
    }
    for field in fields {
        if !crate::look::same(new.sub(field), old.sub(field)) {
            e.push(FieldError::forbidden(field, FROZEN));
        }
    }
}

/// What is wrong with a change of a config map.
pub fn validate_config_map_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    frozen(&mut e, new, old, &["data", "binaryData"]);
    e.append(&mut validate_config_map(new));
    e
}

/// A secret without a type is opaque; what was given as text joins the data.
pub fn default_secret(secret: &mut Value) {
    let secret = top(secret);
    secret.default_to("type", "Opaque");
    if let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut) {
        for (_, value) in data.iter_mut().filter(|(_, value)| value.is_null()) {
            *value = "".into();
        }
    }
    if let Some(Value::Object(texts)) = secret.remove("stringData") {
        let data = secret.object_mut("data");
        for (key, text) in texts {
            data.insert(key, STANDARD.encode(text.as_str().unwrap_or("")));
        }
        if data.is_empty() {
            secret.remove("data");
        }
    }
}

/// A secret that was sent without a type keeps the one it has.
pub fn prepare_secret_for_update(new: &mut Value, old: &Value, _: &crate::Params<'_>) {
    if new.s("type").is_empty() {
        top(new).insert("type", old.s("type"));
    }
}

/// What is wrong with a secret.
pub fn validate_secret(secret: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    let p = FieldPath::field("data");
    let mut size = 0;
    for (key, value) in secret.entries("data") {
        complain(&mut e, p.key(key), key, is_config_map_key(key));
        size += decoded_len(value);
    }
    if size > MAX_SIZE {
        e.push(FieldError::too_long(p, MAX_SIZE));
    }
    let empty = Map::new();
    let data = secret.map("data").unwrap_or(&empty);
    let required = |e: &mut Errors, keys: &[&str]| {
        for key in keys {
            if !data.contains_key(key) {
                e.push(FieldError::required(p.key(key), ""));
            }
        }
    };
    match secret.s("type") {
        "kubernetes.io/service-account-token"
            if annotation(secret.sub("metadata"), ACCOUNT_NAME).is_none_or(str::is_empty) =>
        {
            let p = FieldPath::field("metadata");
            e.push(FieldError::required(p.child("annotations").key(ACCOUNT_NAME), ""));
        }
        "kubernetes.io/dockercfg" => docker_config(&mut e, p, data, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => docker_config(&mut e, p, data, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" if !data.contains_key("username") && !data.contains_key("password") => {
            required(&mut e, &["username", "password"]);
        }
        "kubernetes.io/ssh-auth" if data.str("ssh-privatekey").is_empty() => {
            e.push(FieldError::required(p.key("ssh-privatekey"), ""));
        }
        "kubernetes.io/tls" => required(&mut e, &["tls.crt", "tls.key"]),
        _ => {}
    }
    e
}

fn docker_config(e: &mut Errors, p: FieldPath<'_>, data: &Map, key: &str) {
    if !data.contains_key(key) {
        e.push(FieldError::required(p.key(key), ""));
        return;
    }
    let text = STANDARD.decode(data.str(key)).unwrap_or_default();
    if let Some(complaint) = object_complaint(&text) {
        e.push(FieldError::invalid(p.key(key), "<secret contents redacted>", complaint));
    }
}

/// What is wrong with a change of a secret.
pub fn validate_secret_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut e = Errors::new();
    immutable(&mut e, FieldPath::field("type"), new.sub("type"), old.sub("type"));
    frozen(&mut e, new, old, &["data"]);
    e.append(&mut validate_secret(new));
    e
}

/// Warnings about a secret: a TLS pair that is none. (Whether the two belong together is not looked at.)
pub fn secret_warnings(secret: &Value, _: Option<&Value>) -> Vec<String> {
    if secret.s("type") != "kubernetes.io/tls" {
        return Vec::new();
    }
    let has_block = |key: &str, label: &[u8]| {
        let text = STANDARD.decode(secret.sub("data").s(key)).unwrap_or_default();
        text.windows(label.len()).any(|window| window == label)
    };
    if !has_block("tls.crt", b"-----BEGIN CERTIFICATE-----") {
        vec!["tls: failed to find any PEM data in certificate input".to_owned()]
    } else if !has_block("tls.key", b"PRIVATE KEY-----") {
        vec!["tls: failed to find any PEM data in key input".to_owned()]
    } else {
        Vec::new()
    }
}
