//! The store with encryption: rotation, wrong keys, a configuration that changes.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use sampan_store::embedded::{Embedded, Options};
use sampan_store::{Expect, NewValue, Op, Store, Txn};

use super::{configuration, load, provider};
use crate::kms::fake::{Mood, Plugin};
use crate::{Encryption, Error, Reloaded, Reloader};

const SECRET: &str = "/registry/secrets/default/a";
const MAP: &str = "/registry/configmaps/default/a";

fn open(dir: &Path, encryption: &Arc<Encryption>) -> Result<Embedded, sampan_store::Error> {
    Embedded::open(Options { transform: Some(Arc::clone(encryption) as _), ..Options::new(dir) })
}

async fn put(store: &Embedded, key: &str, text: &str) -> Result<(), sampan_store::Error> {
    let value = NewValue {
        bytes: format!("{{\"v\":\"\",\"t\":\"{text}\"}}").into(),
        revision_at: Some(6),
        ..NewValue::default()
    };
    store.commit(Txn { ops: vec![Op::Put { key: key.into(), expect: Expect::Any, value }] }).await.map(drop)
}

fn is_stale(store: &Embedded, key: &str) -> bool {
    store.is_stale(store.snapshot().get(key).unwrap())
}

fn secrets(providers: &[String]) -> Arc<Encryption> {
    Arc::new(load(&configuration(&[("secrets", providers)])).unwrap())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn keys_are_rotated_in_upstreams_steps() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new, identity) =
        (provider("aesgcm", "key1", 1), provider("aesgcm", "key2", 2), "{identity: {}}".to_owned());
    // Plain, then encrypted with what was plain still readable.
    let store = open(dir.path(), &Arc::new(Encryption::none())).unwrap();
    put(&store, SECRET, "first").await.unwrap();
    assert!(!is_stale(&store, SECRET));
    drop(store);
    let store = open(dir.path(), &secrets(&[old.clone(), identity])).unwrap();
    assert!(is_stale(&store, SECRET));
    put(&store, SECRET, "second").await.unwrap();
    put(&store, MAP, "plain").await.unwrap();
    assert!(!is_stale(&store, SECRET) && !is_stale(&store, MAP));
    drop(store);
    // A new key behind the old one, so that every server can read it; then before it.
    drop(open(dir.path(), &secrets(&[old.clone(), new.clone()])).unwrap());
    let store = open(dir.path(), &secrets(&[new.clone(), old])).unwrap();
    assert!(is_stale(&store, SECRET));
    put(&store, SECRET, "second").await.unwrap();
    assert!(!is_stale(&store, SECRET));
    drop(store);
    // The old key may go, although the history still holds what it has sealed.
    let store = open(dir.path(), &secrets(&[new])).unwrap();
    assert_eq!(store.snapshot().get(SECRET).unwrap().value, r#"{"v":"4","t":"second"}"#);
    assert_eq!(store.snapshot().get(MAP).unwrap().value, r#"{"v":"3","t":"plain"}"#);
}

#[tokio::test]
async fn a_wrong_key_names_the_object_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let right = secrets(&[provider("aesgcm", "key1", 1)]);
    let store = open(dir.path(), &right).unwrap();
    put(&store, SECRET, "confidential").await.unwrap();
    drop(store);
    let unable = "unable to transform key \"/registry/secrets/default/a\" of revision 1: ";
    let rows = [
        (
            "another key of that name",
            secrets(&[provider("aesgcm", "key1", 2)]),
            "cipher: message authentication failed",
        ),
        (
            "another name",
            secrets(&[provider("aesgcm", "key2", 1)]),
            "no matching key was found for the provided AES transformer",
        ),
        ("another provider", secrets(&[provider("secretbox", "key1", 1)]), "no matching prefix found"),
        (
            "no configuration",
            Arc::new(Encryption::none()),
            "identity transformer tried to read encrypted data",
        ),
    ];
    for (name, wrong, want) in rows {
        let error = open(dir.path(), &wrong).unwrap_err();
        assert_eq!(chain(&error), format!("{unable}{want}"), "{name}");
        let store = open(dir.path(), &right).unwrap();
        assert_eq!(store.snapshot().get(SECRET).unwrap().value, r#"{"v":"1","t":"confidential"}"#, "{name}");
    }
    // Two keys of one name: each value is opened by the one that fits.
    let both = secrets(&[provider("aesgcm", "key1", 2), provider("aesgcm", "key1", 1)]);
    assert!(is_stale(&open(dir.path(), &both).unwrap(), SECRET));
}

#[tokio::test]
async fn a_value_that_someone_moved_to_another_object_ends_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let encryption = secrets(&[provider("aesgcm", "key1", 1)]);
    let store = open(dir.path(), &encryption).unwrap();
    put(&store, SECRET, "mine").await.unwrap();
    put(&store, "/registry/secrets/default/b", "theirs").await.unwrap();
    drop(store);
    let connection = rusqlite::Connection::open(dir.path().join("state.db")).unwrap();
    let swap =
        "UPDATE events SET value = (SELECT value FROM events WHERE key LIKE '%/a') WHERE key LIKE '%/b'";
    assert_eq!(connection.execute(swap, []).unwrap(), 1);
    drop(connection);
    let error = chain(&open(dir.path(), &encryption).unwrap_err());
    assert!(
        error.contains("\"/registry/secrets/default/b\"") && error.ends_with("authentication failed"),
        "{error}"
    );
}

fn kms(plugin: &Plugin, timeout: &str) -> String {
    let socket = plugin.socket();
    format!(
        "{{kms: {{apiVersion: v2, name: vault, endpoint: 'unix://{}', timeout: {timeout}}}}}",
        socket.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_a_plugin_lives_through_its_absence() {
    let mut plugin = Plugin::start("one");
    let dir = tempfile::tempdir().unwrap();
    let providers = [kms(&plugin, "2s"), "{identity: {}}".to_owned()];
    let store = open(dir.path(), &secrets(&providers)).unwrap();
    put(&store, SECRET, "confidential").await.unwrap();
    drop(store);
    plugin.rotate("two");
    let store = open(dir.path(), &secrets(&providers)).unwrap();
    assert!(is_stale(&store, SECRET));
    put(&store, SECRET, "confidential").await.unwrap();
    assert!(!is_stale(&store, SECRET));
    drop(store);
    plugin.stop();
    let away = secrets(&providers);
    assert!(away.has_plugins());
    assert!(away.health().unwrap_err().starts_with("kms-provider-0: failed to perform status section"));
    let error = chain(&open(dir.path(), &away).unwrap_err());
    assert!(error.contains("failed to decrypt DEK, error: rpc error: code = Unavailable"), "{error}");
    // Without encrypted values nothing hinders the start; those resources cannot be written, others can.
    let empty = tempfile::tempdir().unwrap();
    let store = open(empty.path(), &away).unwrap();
    put(&store, MAP, "plain").await.unwrap();
    let error = put(&store, SECRET, "confidential").await.unwrap_err();
    assert!(chain(&error).contains("got unexpected nil transformer"), "{}", chain(&error));
    plugin.restart();
    let store = open(dir.path(), &secrets(&providers)).unwrap();
    assert_eq!(store.snapshot().get(SECRET).unwrap().value, r#"{"v":"2","t":"confidential"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_configuration_is_taken_over_if_it_can_read_everything() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("enc.yaml");
    let write =
        |providers: &[String]| std::fs::write(&file, configuration(&[("secrets", providers)])).unwrap();
    let (old, new, identity) =
        (provider("aesgcm", "key1", 1), provider("aesgcm", "key2", 2), "{identity: {}}".to_owned());
    write(&[old.clone(), identity.clone()]);
    let encryption = Arc::new(Encryption::load(&file, "").unwrap());
    let store = open(&dir.path().join("data"), &encryption).unwrap();
    let mut reloader = Reloader::new(Arc::clone(&encryption), &file);
    put(&store, SECRET, "confidential").await.unwrap();
    let mut look = || reloader.look(|| store.snapshot());
    assert_eq!(look().unwrap(), Reloaded::Unchanged);
    // A mistake changes nothing, and is told once.
    std::fs::write(&file, "kind: [").unwrap();
    assert!(matches!(look(), Err(Error::Decode { .. })));
    assert_eq!(look().unwrap(), Reloaded::Unchanged);
    std::fs::write(&file, "").unwrap();
    assert!(matches!(look(), Err(Error::Empty(_))));
    write(&[new.clone(), identity.clone()]);
    match look() {
        Err(Error::Unreadable { key, others: 0 }) => assert_eq!(key, SECRET),
        other => panic!("{other:?}"),
    }
    assert!(!is_stale(&store, SECRET));
    // The right one is in force from the next write on.
    write(&[new.clone(), old]);
    assert_eq!(look().unwrap(), Reloaded::Changed);
    assert!(is_stale(&store, SECRET));
    put(&store, SECRET, "confidential").await.unwrap();
    assert!(!is_stale(&store, SECRET));
    write(&[new]);
    assert_eq!(look().unwrap(), Reloaded::Changed);
    drop(store);
    assert_eq!(open(&dir.path().join("data"), &encryption).unwrap().snapshot().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plugin_must_be_well_before_it_is_taken_over() {
    let plugin = Plugin::start("one");
    let file = plugin.dir().join("enc.yaml");
    let write =
        |providers: &[String]| std::fs::write(&file, configuration(&[("secrets", providers)])).unwrap();
    let old = provider("aesgcm", "key1", 1);
    write(std::slice::from_ref(&old));
    let encryption = Arc::new(Encryption::load(&file, "").unwrap());
    let store = open(&plugin.dir().join("data"), &encryption).unwrap();
    put(&store, SECRET, "confidential").await.unwrap();
    let mut reloader = Reloader::new(Arc::clone(&encryption), &file);
    plugin.become_(Mood::Unwell);
    write(&[kms(&plugin, "2s"), old]);
    for _ in 0..2 {
        let error = reloader.look(|| store.snapshot()).unwrap_err().to_string();
        assert!(error.contains("the vault is far away"), "{error}");
    }
    plugin.become_(Mood::Well);
    assert_eq!(reloader.look(|| store.snapshot()).unwrap(), Reloaded::Changed);
    assert!(encryption.has_plugins() && encryption.health().is_ok() && is_stale(&store, SECRET));
}
