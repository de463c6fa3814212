//! The provider against a plugin on a socket.

use std::time::{Duration, Instant};

use super::fake::{Mood, Plugin};
use super::*;

const KEY: &str = "/registry/secrets/default/a";
const SHORT: Duration = Duration::from_millis(300);

fn start(plugin: &Plugin) -> Kms {
    start_with(plugin, Duration::from_secs(10))
}

fn start_with(plugin: &Plugin, timeout: Duration) -> Kms {
    let kms = Kms::start("vault", plugin.socket().to_str().unwrap(), timeout, &Metrics::new("")).unwrap();
    kms.wait_for_probe();
    kms
}

fn sealed<'a>(kms: &Kms, bytes: &'a [u8]) -> &'a [u8] {
    bytes.strip_prefix(kms.prefix().as_bytes()).unwrap()
}

#[test]
fn a_value_comes_back_and_the_plugin_is_asked_once_a_seed() {
    let plugin = Plugin::start("one");
    let kms = start(&plugin);
    assert_eq!(kms.health(), Ok(()));
    let values: Vec<_> = (0..100).map(|n| kms.seal(KEY, format!("value {n}").as_bytes()).unwrap()).collect();
    assert!(values[0].bytes.starts_with(b"k8s:enc:kms:v2:vault:"));
    for (n, value) in values.iter().enumerate() {
        assert_eq!(kms.open(KEY, sealed(&kms, &value.bytes)).unwrap().bytes, format!("value {n}").as_bytes());
    }
    assert_eq!(plugin.decrypted(), 0, "what it has encrypted itself it knows");
    let later = start(&plugin);
    for value in &values {
        let opened = later.open(KEY, sealed(&kms, &value.bytes)).unwrap();
        assert_eq!(opened.form, value.form);
        assert!(later.would_write(Some(opened.form)));
    }
    assert_eq!(plugin.decrypted(), 1);
}

#[test]
fn a_flipped_bit_and_another_place_are_found() {
    let plugin = Plugin::start("one");
    let kms = start(&plugin);
    let value = kms.seal(KEY, b"value").unwrap();
    let bytes = sealed(&kms, &value.bytes);
    let error = kms.open("/registry/secrets/default/b", bytes).unwrap_err();
    assert_eq!(error.to_string(), "cipher: message authentication failed");
    let data = EncryptedObject::decode(bytes).unwrap();
    for at in 0..data.encrypted_data.len() {
        let mut damaged = data.clone();
        damaged.encrypted_data[at] ^= 1;
        kms.open(KEY, &damaged.encode_to_vec()).unwrap_err();
    }
    for length in 0..bytes.len() {
        kms.open(KEY, &bytes[..length]).unwrap_err();
    }
}

#[test]
fn a_key_that_the_plugin_rotates_is_taken_and_what_was_written_before_is_stale() {
    let plugin = Plugin::start("one");
    let kms = start(&plugin);
    let old = kms.seal(KEY, b"old").unwrap();
    assert!(kms.would_write(Some(old.form)));
    kms.wait_for_probe();
    assert!(kms.would_write(Some(old.form)), "the same key, the same seed");
    plugin.rotate("two");
    kms.wait_for_probe();
    let new = kms.seal(KEY, b"new").unwrap();
    assert!(!kms.would_write(Some(old.form)) && kms.would_write(Some(new.form)));
    assert_eq!(kms.open(KEY, sealed(&kms, &old.bytes)).unwrap().bytes, b"old");
    assert_eq!(EncryptedObject::decode(sealed(&kms, &new.bytes)).unwrap().key_id, "two");
    let later = start(&plugin);
    let opened = later.open(KEY, sealed(&kms, &old.bytes)).unwrap();
    assert_eq!((opened.bytes.as_slice(), later.would_write(Some(opened.form))), (&b"old"[..], false));
}

#[test]
fn a_plugin_that_is_away_stops_writing_after_three_minutes_but_not_reading() {
    let mut plugin = Plugin::start("one");
    let kms = start(&plugin);
    let value = kms.seal(KEY, b"value").unwrap();
    plugin.stop();
    kms.wait_for_probe();
    let complaint = kms.health().unwrap_err();
    assert!(
        complaint.contains("failed to perform status section of the healthz check for KMS Provider vault")
    );
    assert!(complaint.contains("rpc error: code = Unavailable"), "{complaint}");
    let now = Instant::now();
    kms.seal_at(KEY, b"value", now + Duration::from_secs(170)).unwrap();
    let error = kms.seal_at(KEY, b"value", now + Duration::from_secs(185)).unwrap_err().to_string();
    assert!(error.starts_with("encryptedDEKSource with keyID hash \"sha256:"), "{error}");
    assert_eq!(kms.open(KEY, sealed(&kms, &value.bytes)).unwrap().bytes, b"value");
    plugin.restart();
    kms.wait_for_probe();
    assert_eq!(kms.health(), Ok(()));
    kms.seal_at(KEY, b"value", now + Duration::from_secs(170)).unwrap();
}

#[test]
fn a_plugin_that_is_not_there_yet_is_no_obstacle_to_the_start() {
    let mut plugin = Plugin::start("one");
    plugin.stop();
    let kms = start(&plugin);
    let error = kms.seal(KEY, b"value").unwrap_err().to_string();
    assert!(error.starts_with("got unexpected nil transformer"), "{error}");
    let form = kms.form();
    assert!(kms.would_write(Some(form)), "nothing is to be written anew when nothing can be written");
    plugin.restart();
    kms.wait_for_probe();
    kms.seal(KEY, b"value").unwrap();
}

#[test]
fn a_plugin_that_misbehaves_is_unhealthy_and_says_why() {
    let rows = [
        (Mood::Fails, "rpc error: code = Unavailable desc = the vault is sealed%"),
        (Mood::Unwell, "got unexpected healthz status: the vault is far away"),
        (Mood::Confused, "failed to rotate DEK"),
        (Mood::Hangs, "rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
    ];
    for (mood, want) in rows {
        let plugin = Plugin::start("one");
        plugin.become_(mood.clone());
        let kms = if mood == Mood::Hangs { start_with(&plugin, SHORT) } else { start(&plugin) };
        let complaint = kms.health().unwrap_err();
        assert!(complaint.contains(want), "{mood:?}: {complaint}");
        if mood != Mood::Unwell {
            kms.seal(KEY, b"value").unwrap_err();
        }
    }
}

#[test]
fn a_plugin_that_hangs_is_given_up_after_its_timeout_and_not_asked_again_for_each_value() {
    let plugin = Plugin::start("one");
    let values: Vec<_> = (0..20)
        .map(|n| {
            plugin.rotate(&format!("key-{n}"));
            let kms = start(&plugin);
            kms.seal(KEY, b"value").unwrap().bytes
        })
        .collect();
    plugin.become_(Mood::Hangs);
    let kms = start_with(&plugin, SHORT);
    let before = plugin.calls();
    for value in &values {
        let error = kms.open(KEY, sealed(&kms, value)).unwrap_err().to_string();
        assert_eq!(
            error,
            "failed to decrypt DEK, error: rpc error: code = DeadlineExceeded desc = context deadline exceeded"
        );
    }
    assert!(plugin.calls() - before < values.len() / 2, "each value has waited for itself");
}

#[test]
fn a_key_that_the_plugin_has_no_longer_is_an_error_that_says_so() {
    let plugin = Plugin::start("gone-1");
    let value = start(&plugin).seal(KEY, b"value").unwrap();
    plugin.rotate("two");
    let kms = start(&plugin);
    for _ in 0..3 {
        let error = kms.open(KEY, sealed(&kms, &value.bytes)).unwrap_err().to_string();
        assert_eq!(error, "failed to decrypt DEK, error: rpc error: code = Unavailable desc = no such key");
    }
    assert_eq!(plugin.decrypted(), 1);
}

#[test]
fn calls_and_the_use_of_keys_are_counted_without_telling_their_names() {
    let plugin = Plugin::start("a-secret-name");
    let metrics = Metrics::new("apiserver-x");
    let socket = plugin.socket();
    let start = || {
        let kms = Kms::start("vault", socket.to_str().unwrap(), Duration::from_secs(10), &metrics).unwrap();
        kms.wait_for_probe();
        kms
    };
    let kms = start();
    let value = kms.seal(KEY, b"value").unwrap();
    start().open(KEY, sealed(&kms, &value.bytes)).unwrap();
    plugin.rotate("");
    kms.wait_for_probe();
    plugin.become_(Mood::Fails);
    kms.wait_for_probe();
    let text = metrics::text(&metrics);
    let (key, server) = (metrics::hash(b"a-secret-name"), metrics::hash(b"apiserver-x"));
    let used = |way: &str| {
        format!(
            "key_id_hash_total{{transformation_type=\"{way}\",provider_name=\"vault\",key_id_hash=\"{key}\",apiserver_id_hash=\"{server}\"}} 1"
        )
    };
    let latency = |method: &str, code: &str| {
        format!(
            "kms_operations_latency_seconds_count{{provider_name=\"vault\",method_name=\"/v2.KeyManagementService/{method}\",grpc_status_code=\"{code}\"}}"
        )
    };
    let rows = [
        used("to_storage"),
        used("from_storage"),
        latency("Encrypt", "OK") + " 2",
        latency("Decrypt", "OK") + " 1",
        latency("Status", "OK"),
        latency("Status", "Unavailable") + " 1",
        "invalid_key_id_from_status_total{provider_name=\"vault\",error=\"empty\"}".to_owned(),
        "dek_source_cache_size{provider_name=\"vault\"} 2".to_owned(),
        format!("key_id_hash_status_last_timestamp_seconds{{provider_name=\"vault\",key_id_hash=\"{key}\""),
    ];
    for row in rows {
        assert!(text.contains(&format!("apiserver_envelope_encryption_{row}")), "{row}\n{text}");
    }
    assert!(!text.contains("a-secret-name"), "{text}");
}
