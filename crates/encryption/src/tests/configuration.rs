//! What may stand in the file, and what it means.

use sampan_store::Transform as _;

use super::{complaint, configuration, key, load, provider};

fn one(provider: &str) -> String {
    configuration(&[("secrets", &[provider.to_owned()])])
}

fn resources(names: &str) -> String {
    configuration(&[(names, &["{identity: {}}".to_owned()])])
}

fn kms(fields: &str) -> String {
    one(&format!("{{kms: {{{fields}}}}}"))
}

#[test]
fn what_is_wrong_is_said_in_upstreams_words() {
    let p = "error while parsing file: resources[0].providers[0]";
    let r = "error while parsing file: resources[0].resources";
    let long = "this is a very long text that is no key";
    let rows = [
        (configuration(&[]), "error while parsing file: resources: Required value: at least one resources is required".to_owned()),
        (resources(""), format!("{r}: Required value: at least one resources[0].resources is required")),
        (configuration(&[("secrets", &[])]), "error while parsing file: resources[0].providers: Required value: at least one resources[0].providers is required".into()),
        (one("{}"), format!("{p}: Invalid value: {{}}: provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity")),
        (one("{identity: {}, aesgcm: {keys: [{name: a, secret: \"AAAA\"}]}}"), format!("{}: Invalid value: \"REDACTED\": more than one provider specified in a single element, should split into different list elements, resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 3, expected one of [16 24 32]]", p.replace("resources", "[resources"))),
        (one("{aesgcm: {keys: []}}"), format!("{p}.aesgcm.keys: Required value: at least one keys is required")),
        (one("{aescbc: {keys: [{secret: \"AAAAAAAAAAAAAAAAAAAAAA==\"}]}}"), format!("{p}.aescbc.keys[0].name: Required value: name is a mandatory field for a key")),
        (one("{aescbc: {keys: [{name: a}]}}"), format!("{p}.aescbc.keys[0].secret: Required value: secret is a mandatory field for a key")),
        (one(&format!("{{secretbox: {{keys: [{{name: a, secret: \"{long}\"}}]}}}}")), format!("{p}.secretbox.keys[0].secret: Invalid value: \"REDACTED\": secrets must be base64 encoded")),
        (one("{secretbox: {keys: [{name: a, secret: \"AAAAAAAAAAAAAAAAAAAAAA==\"}]}}"), format!("{p}.secretbox.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 16, expected one of [32]")),
        (kms("apiVersion: v2, endpoint: 'unix:///a'"), format!("{p}.kms.name: Required value: name is a mandatory field for a provider")),
        (kms("apiVersion: v2, name: 'a:b', endpoint: 'unix:///a'"), format!("{p}.kms.name: Invalid value: \"a:b\": invalid KMS provider name a:b, must not contain ':'")),
        (kms("apiVersion: v2, name: a"), format!("{p}.kms.endpoint: Invalid value: \"\": endpoint is a mandatory field for a kms")),
        (kms("apiVersion: v2, name: a, endpoint: 'tcp://a'"), format!("{p}.kms.endpoint: Invalid value: \"tcp://a\": unsupported scheme \"tcp\" for KMS provider, only unix is supported")),
        (kms("apiVersion: v2, name: a, endpoint: 'unix:///a', timeout: 0s"), format!("{p}.kms.timeout: Invalid value: \"0s\": timeout should be a positive value")),
        (kms("apiVersion: v2, name: a, endpoint: 'unix:///a', cachesize: 5"), format!("{p}.kms.cachesize: Invalid value: 5: cachesize is not supported in v2")),
        (kms("apiVersion: v3, name: a, endpoint: 'unix:///a'"), format!("{p}.kms.apiVersion: Invalid value: \"v3\": unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported")),
        (kms("name: a, endpoint: 'unix:///a', cachesize: 0"), format!("{p}.kms.cachesize: Invalid value: 0: cachesize should be a positive value, or negative to disable")),
        (kms("name: a, endpoint: 'unix:///a'"), "error while building transformers: KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature.".into()),
        (resources("secrets, secrets"), format!("{r}: Invalid value: [\"secrets\",\"secrets\"]: the same resource cannot be specified multiple times")),
        (resources("secrets, '*.'"), format!("{r}: Invalid value: [\"secrets\",\"*.\"]: using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked")),
        (resources("Secrets"), format!("{r}[0]: Invalid value: \"Secrets\": resource name should not contain capital letters")),
        (resources("'*'"), format!("{r}[0]: Invalid value: \"*\": use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources")),
        (resources("serviceipallocations"), format!("{r}[0]: Invalid value: \"serviceipallocations\": resources which do not have REST API/s cannot be encrypted")),
        (resources("events.events.k8s.io"), format!("{r}[0]: Invalid value: \"events.events.k8s.io\": '*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file")),
        (resources("ingresses.extensions"), format!("{r}[0]: Invalid value: \"ingresses.extensions\": 'extensions' group has been removed and cannot be used for encryption")),
        (resources("'deployments.*'"), format!("{r}[0]: Invalid value: \"deployments.*\": encrypting the same resource across groups is not supported")),
        (configuration(&[("'*.apps'", &["{identity: {}}".into()]), ("deployments.apps", &["{identity: {}}".into()])]), "error while building transformers: resource \"deployments.apps\" is masked by earlier rule \"*.apps\"".into()),
        (configuration(&[("'*.*'", &["{identity: {}}".into()]), ("secrets", &["{identity: {}}".into()])]), "error while building transformers: resource \"secrets\" is masked by earlier rule \"*.*\"".into()),
        ("kind: Pod\napiVersion: v1\n".into(), "error decoding encryption provider configuration file \"/etc/enc.yaml\": no kind \"Pod\" is registered for version \"v1\"".into()),
    ];
    for (text, want) in rows {
        assert_eq!(complaint(&text), want, "{text}");
    }
    let twice = configuration(&[
        ("secrets", &["{kms: {apiVersion: v2, name: a, endpoint: 'unix:///a'}}".into()]),
        ("configmaps", &["{kms: {apiVersion: v2, name: a, endpoint: 'unix:///b'}}".into()]),
    ]);
    let want = "error while parsing file: resources[1].providers[0].kms.name: Invalid value: \"a\": duplicate KMS provider name a, names must be unique";
    assert_eq!(complaint(&twice), want);
}

#[test]
fn no_message_shows_a_key() {
    let secret = key(9);
    let texts = [
        one(&format!("{{aesgcm: {{keys: [{{name: a, secret: \"{secret}\", more: 1}}]}}}}")),
        one(&format!("{{aesgcm: {{keys: [{{name: a, secret: [\"{secret}\"]}}]}}}}")),
        one(&format!("{{aesgcm: {{keys: [{{name: a, secret: \"{secret}\"")),
        one(&format!("{{identity: {{}}, aesgcm: {{keys: [{{name: a, secret: \"{secret}\"}}]}}}}")),
    ];
    for text in texts {
        let complaint = complaint(&text);
        assert!(!complaint.contains(&secret[..8]), "{complaint}");
    }
    let encryption = load(&one(&provider("aesgcm", "a", 9))).unwrap();
    assert!(!format!("{encryption:?}").contains(&secret[..8]));
}

#[test]
fn a_file_in_json_is_read_as_well() {
    let text = format!(
        r#"{{"apiVersion":"apiserver.config.k8s.io/v1","kind":"EncryptionConfiguration",
            "resources":[{{"resources":["secrets"],"providers":[{{"secretbox":{{"keys":[{{"name":"k","secret":"{}"}}]}}}}]}}]}}"#,
        key(1)
    );
    assert!(load(&text).unwrap().seal("/registry/secrets/a/b", b"x").unwrap().is_some());
}

#[test]
fn the_most_specific_rule_decides_and_what_is_in_no_rule_stays_plain() {
    let encryption = load(&configuration(&[
        ("secrets, deployments.apps", &[provider("aesgcm", "exact", 1)]),
        ("'*.apps'", &[provider("secretbox", "group", 2)]),
        ("'*.'", &["{identity: {}}".to_owned()]),
        ("configmaps.example.com", &[provider("aescbc", "custom", 3)]),
    ]))
    .unwrap();
    let rows = [
        ("/registry/secrets/default/a", "k8s:enc:aesgcm:v1:exact:"),
        ("/registry/apps/deployments/default/a", "k8s:enc:aesgcm:v1:exact:"),
        ("/registry/apps/replicasets/default/a", "k8s:enc:secretbox:v1:group:"),
        ("/registry/configmaps/default/a", ""),
        ("/registry/example.com/configmaps/default/a", "k8s:enc:aescbc:v1:custom:"),
        ("/registry/batch/jobs/default/a", ""),
    ];
    for (key, prefix) in rows {
        let sealed = encryption.seal(key, b"value").unwrap();
        match &sealed {
            Some(sealed) => {
                assert!(sealed.bytes.starts_with(prefix.as_bytes()) && !prefix.is_empty(), "{key}");
            }
            None => assert_eq!(prefix, "", "{key}"),
        }
        assert!(encryption.is_current(key, sealed.map(|s| s.form)), "{key}");
    }
    let all = load(&configuration(&[("'*.*'", &[provider("aesgcm", "all", 1)])])).unwrap();
    for (key, _) in rows {
        assert!(all.seal(key, b"value").unwrap().is_some(), "{key}");
    }
}

#[test]
fn the_first_provider_writes_and_all_read() {
    let key = "/registry/secrets/default/a";
    let (old, new) = (provider("aescbc", "old", 1), provider("aesgcm", "new", 2));
    let make = |list: &[&str]| {
        let list: Vec<String> = list.iter().map(|p| (*p).to_owned()).collect();
        load(&configuration(&[("secrets", &list)])).unwrap()
    };
    let identity = "{identity: {}}";
    let by_old = make(&[&old]).seal(key, b"value").unwrap().unwrap();
    let by_new = make(&[&new]).seal(key, b"value").unwrap().unwrap();
    let rows = [
        ("both", make(&[&new, &old, identity]), Ok((false, true, false))),
        ("turned round", make(&[&old, &new, identity]), Ok((true, false, false))),
        ("identity first", make(&[identity, &old, &new]), Ok((false, false, true))),
        ("one only", make(&[&new]), Err("no matching prefix found")),
    ];
    for (name, encryption, want) in rows {
        let open = |stored: &[u8]| encryption.open(key, stored).map(|o| o.map(|o| o.form));
        let current = |form| encryption.is_current(key, form);
        match want {
            Ok((old_is, new_is, plain_is)) => {
                assert_eq!(current(open(&by_old.bytes).unwrap()), old_is, "{name}");
                assert_eq!(current(open(&by_new.bytes).unwrap()), new_is, "{name}");
                assert_eq!(current(open(b"{}").unwrap()), plain_is, "{name}");
            }
            Err(text) => {
                assert_eq!(open(&by_old.bytes).unwrap_err().to_string(), text, "{name}");
                assert_eq!(open(b"{}").unwrap_err().to_string(), text, "{name}");
                assert!(current(open(&by_new.bytes).unwrap()), "{name}");
            }
        }
    }
    let none = crate::Encryption::none();
    let error = none.open(key, &by_old.bytes).unwrap_err().to_string();
    assert_eq!(error, "identity transformer tried to read encrypted data");
    assert!(none.open(key, b"{}").unwrap().is_none());
    let other = make(&[&provider("aescbc", "other", 3)]);
    let error = other.open(key, &by_old.bytes).unwrap_err().to_string();
    assert_eq!(error, "no matching key was found for the provided AES transformer");
}
