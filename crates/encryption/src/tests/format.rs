//! What lies on the disk, against values that other programs have made: Python's `cryptography` and PyNaCl, in the
//! layout that kube-apiserver writes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sampan_store::Transform as _;

use super::{configuration, load, provider};
use crate::kms::known_answer;

const KEY: &str = "/registry/secrets/default/a";
const VALUE: &[u8] = br#"{"kind":"Secret","apiVersion":"v1"}"#;

fn counting(length: u8) -> String {
    STANDARD.encode((0..length).collect::<Vec<u8>>())
}

#[test]
fn values_that_others_have_sealed_are_opened() {
    let rows = [
        (
            "aesgcm",
            16,
            "BwcHBwcHBwcHBwcH6m4/tA/f4gPVGEegbdycWxrmK3rbqSD+mKGWS2Dr4nOaEItgwdMXYQRBuvYiwxVcOYBG",
        ),
        (
            "aesgcm",
            24,
            "BwcHBwcHBwcHBwcHFXAICxD5Ug0eLiS3aheoomxbVZG3oB3I7nJ1cKbqj5IslPHk79vZGBWpDcKzwbrom+C7",
        ),
        (
            "aesgcm",
            32,
            "BwcHBwcHBwcHBwcHdEjNNQFr9c7kznbj8jSAuY1+7APhoeRrjdIxlCbkEG0WZowAnDfRpReGD6pW+/wUZrX8",
        ),
        (
            "aescbc",
            16,
            "CQkJCQkJCQkJCQkJCQkJCds3LiR7d+I+rFSYnNWG7iV/bbp/thTJseAeyEK+Du2RAZtXv6aYhYHrQEZxHiBYGw==",
        ),
        (
            "aescbc",
            24,
            "CQkJCQkJCQkJCQkJCQkJCVTpOban5TOH0q6INLye6/X7pVAIqcIJlE+cQU1n1cDoXPZpfhtIzd5/06Qb5GR0MA==",
        ),
        (
            "aescbc",
            32,
            "CQkJCQkJCQkJCQkJCQkJCQlp4jGkySXbdrM8W3ighu+x1zE4TtnWGgI6I+D+grPvXtgZ1kiWB+cIO/QbpFtIyw==",
        ),
        (
            "secretbox",
            32,
            "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFw01O3a2u80p/cvYbiwCf6IfMMsUFSsMIFxDtYKzRjVGF/67O2RzHRYVxMDL/dvfP+hUR",
        ),
    ];
    for (kind, length, sealed) in rows {
        let keys = format!("{{{kind}: {{keys: [{{name: key1, secret: \"{}\"}}]}}}}", counting(length));
        let encryption = load(&configuration(&[("secrets", &[keys])])).unwrap();
        let mut stored = format!("k8s:enc:{kind}:v1:key1:").into_bytes();
        stored.extend(STANDARD.decode(sealed).unwrap());
        let opened =
            encryption.open(KEY, &stored).unwrap_or_else(|e| panic!("{kind} {length}: {e}")).unwrap();
        assert_eq!(opened.bytes, VALUE, "{kind} {length}");
        assert!(encryption.is_current(KEY, Some(opened.form)));
    }
}

#[test]
fn envelopes_that_others_have_made_are_opened() {
    let seed: Vec<u8> = (100..132).collect();
    let key: Vec<u8> = (0..32).collect();
    let rows = [
        (
            "a seed",
            seed,
            "Cl8DAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwQEBAQEBAQEBAQEBIqiNSlUZRg0sGZnxAHigEzrPMgJwjkUWqKRIQmCttKd1qFgaOh7UapDJR1jU2hWRVymnBIFa2V5LTEaC3NlYWxlZC1zZWVkIhYKEWEua21zLmV4YW1wbGUuY29tEgFiKAE=",
        ),
        (
            "a key",
            key,
            "Cj8GBgYGBgYGBgYGBgZHeobgF9GPq/k34N01Bq0fJ6YJISw/4bPFlvmUIZBBMJXW2UfNp7nFvznj4PhsbnwmzlsSBWtleS0wGgpzZWFsZWQta2V5",
        ),
    ];
    for (name, secret, sealed) in rows {
        let opened = known_answer(KEY, &STANDARD.decode(sealed).unwrap(), &secret);
        assert_eq!(opened.unwrap_or_else(|e| panic!("{name}: {e}")), VALUE, "{name}");
    }
}

#[test]
fn every_provider_gives_back_what_it_was_given() {
    let values = [b"".to_vec(), b"x".to_vec(), vec![7; 16], vec![1; 1000], vec![0; 1 << 20]];
    for kind in ["aesgcm", "aescbc", "secretbox"] {
        let encryption = load(&configuration(&[("secrets", &[provider(kind, "key1", 1)])])).unwrap();
        for value in &values {
            let sealed = encryption.seal(KEY, value).unwrap().unwrap();
            assert!(sealed.bytes.starts_with(format!("k8s:enc:{kind}:v1:key1:").as_bytes()));
            assert_ne!(
                encryption.seal(KEY, value).unwrap().unwrap().bytes,
                sealed.bytes,
                "a nonce is used once"
            );
            let opened = encryption.open(KEY, &sealed.bytes).unwrap().unwrap();
            assert!(opened.bytes == *value && opened.form == sealed.form, "{kind}, {} bytes", value.len());
        }
    }
}

#[test]
fn a_flipped_bit_is_found_where_there_is_authentication() {
    for kind in ["aesgcm", "secretbox"] {
        let encryption = load(&configuration(&[("secrets", &[provider(kind, "key1", 1)])])).unwrap();
        let sealed = encryption.seal(KEY, VALUE).unwrap().unwrap().bytes;
        let prefix = format!("k8s:enc:{kind}:v1:key1:").len();
        for at in prefix..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 0x10;
            let error = encryption.open(KEY, &damaged).unwrap_err().to_string();
            assert_eq!(error, "cipher: message authentication failed", "{kind} at {at}");
        }
        for length in prefix..sealed.len() {
            encryption.open(KEY, &sealed[..length]).unwrap_err();
        }
    }
}

#[test]
fn what_cbc_cannot_be_is_refused() {
    let encryption = load(&configuration(&[("secrets", &[provider("aescbc", "key1", 1)])])).unwrap();
    let sealed = encryption.seal(KEY, VALUE).unwrap().unwrap().bytes;
    let rows = [
        (
            "cut off",
            sealed[..sealed.len() - 1].to_vec(),
            "the stored data is not a multiple of the block size",
        ),
        ("no block", sealed[..25].to_vec(), "the stored data was shorter than the required size"),
        ("only the first block", sealed[..23 + 16].to_vec(), "invalid padding on input"),
    ];
    for (name, bytes, want) in rows {
        assert_eq!(encryption.open(KEY, &bytes).unwrap_err().to_string(), want, "{name}");
    }
}

#[test]
fn a_value_of_another_place_is_refused_by_gcm() {
    let encryption = load(&configuration(&[("secrets", &[provider("aesgcm", "key1", 1)])])).unwrap();
    let sealed = encryption.seal(KEY, VALUE).unwrap().unwrap().bytes;
    let error = encryption.open("/registry/secrets/default/b", &sealed).unwrap_err();
    assert_eq!(error.to_string(), "cipher: message authentication failed");
}
