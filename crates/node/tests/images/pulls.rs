//! Pulls: what registries do, and what they do wrong.

use std::sync::atomic::{AtomicUsize, Ordering};

use sampan_node::image::progress::{Event, nobody};
use sampan_node::image::{Credentials, Error, Images as _};
use sampan_testkit::image::{BuiltImage, Compression, ImageBuilder, Layer, digest};
use sampan_testkit::registry::{Behaviour, LOGIN, Proxy, Registry};
use serde_json::json;

use crate::{Store, container, recorder, whole};

fn credentials(user: &str, password: &str) -> Vec<Credentials> {
    vec![Credentials { user: user.into(), password: password.into(), identity_token: None }]
}

/// Content that does not compress, so that its size on the wire is known.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn layer(path: &str, content: &[u8]) -> Layer {
    let mut layer = Layer::new();
    layer.file(path, content, 0o644);
    layer
}

/// Three layers, each compressed otherwise; the second hides a file of the first.
fn image() -> BuiltImage {
    let mut second = layer("second", b"2");
    second.file(".wh.hidden", b"", 0);
    let mut first = layer("first", b"1");
    first.file("hidden", b"1", 0o644);
    ImageBuilder::default()
        .layer(first, Compression::Gzip)
        .layer(second, Compression::Zstd)
        .layer(layer("third", &noise(100_000, 3)), Compression::None)
        .config(
            json!({"Env": ["A=b"], "Cmd": ["/run"], "User": "7", "WorkingDir": "/w", "StopSignal": "SIGINT"}),
        )
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_from_a_public_registry_and_becomes_a_containers_root_as_root() {
    let Some(registry) = Registry::start() else { return };
    let (built, store) = (image(), Store::new());
    registry.push("some/app", "v1", &built);
    let name = registry.reference("some/app:v1");
    assert_eq!(store.store.get(&name).await.unwrap(), None);
    let (observer, events) = recorder();
    let image = store.store.pull_observed(&name, &[], observer).await.unwrap();
    assert_eq!(image.id, built.config);
    assert_eq!(image.tags, [name.as_str()]);
    assert_eq!(image.digests, [registry.reference(&format!("some/app@{}", built.manifest))]);
    let size: usize = built.blobs.values().map(Vec::len).sum();
    assert_eq!(image.size_bytes, size as u64);
    assert_eq!((image.defaults.user.as_str(), image.defaults.stop_signal.as_deref()), ("7", Some("SIGINT")));
    let unpacked = events.lock().iter().filter(|event| matches!(event, Event::Unpacked(_))).count();
    assert_eq!(unpacked, 3);
    // Manifest and configuration stay; layers are kept unpacked only.
    assert_eq!((store.count("blobs/sha256"), store.count("layers")), (2, 3));
    store.assert_clean();
    for asked in [&name, &image.id, &image.digests[0]] {
        assert_eq!(store.store.get(asked).await.unwrap().as_ref(), Some(&image), "{asked}");
    }

    let target = store.path("../root");
    let id = container("main");
    let defaults = store.store.mount(&image.id, &id, &target).await.unwrap();
    store.store.mount(&image.id, &id, &target).await.unwrap();
    assert_eq!(defaults, image.defaults);
    let mut names: Vec<String> =
        std::fs::read_dir(&target).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["first", "second", "third"]);
    std::fs::write(target.join("written"), "by the container").unwrap();
    assert!(store.store.written(&id).join("written").exists());
    assert!(matches!(store.store.remove(&name).await, Err(Error::InUse(_))));
    assert_eq!(store.store.remove_unused().await.unwrap(), []);
    assert_eq!(store.store.roots().await.unwrap(), ["0f1e_main_0"]);
    store.store.unmount(&id, &target).await.unwrap();
    store.store.unmount(&id, &target).await.unwrap();
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0);
    store.store.remove(&name).await.unwrap();
    assert_eq!((store.count("blobs/sha256"), store.count("layers")), (0, 0));
    store.assert_clean();
    assert_eq!(store.store.disk_use().await.unwrap().used_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_share_the_layers_that_they_have_in_common_as_root() {
    let Some(registry) = Registry::start() else { return };
    let store = Store::new();
    let base = || ImageBuilder::default().layer(layer("base", &noise(50_000, 1)), Compression::Gzip);
    registry.push("a", "1", &base().layer(layer("a", b"a"), Compression::Gzip).build());
    registry.push("b", "1", &base().layer(layer("b", b"b"), Compression::Gzip).build());
    store.store.pull(&registry.reference("a:1"), &[]).await.unwrap();
    let (observer, events) = recorder();
    store.store.pull_observed(&registry.reference("b:1"), &[], observer).await.unwrap();
    assert_eq!(store.count("layers"), 3);
    let events = events.lock().clone();
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Present(_))).count(), 1, "{events:?}");
    store.store.remove(&registry.reference("a:1")).await.unwrap();
    assert_eq!(store.count("layers"), 2);
    let target = store.path("../root");
    store.store.mount(&registry.reference("b:1"), &container("b"), &target).await.unwrap();
    assert!(target.join("base").exists() && target.join("b").exists());
    store.store.unmount(&container("b"), &target).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_index_this_machines_image_is_taken_as_root() {
    let Some(registry) = Registry::start() else { return };
    let store = Store::new();
    let here = image();
    let other =
        ImageBuilder::default().architecture("s390x").layer(layer("x", b"x"), Compression::Gzip).build();
    let index = BuiltImage::index(&[other.clone(), here.clone()]);
    registry.push("multi", "1", &index);
    registry.push("foreign", "1", &BuiltImage::index(&[other]));
    let image = store.store.pull(&registry.reference("multi:1"), &[]).await.unwrap();
    assert_eq!(image.id, here.config);
    // The digest is that of what the name stands for.
    let by_digest = registry.reference(&format!("multi@{}", index.manifest));
    assert_eq!(image.digests, [by_digest.as_str()]);
    let again = store.store.pull(&by_digest, &[]).await.unwrap();
    assert_eq!((again.id, again.tags), (image.id, image.tags));
    let error = store.store.pull(&registry.reference("foreign:1"), &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "no match for platform in manifest: not found");
    store.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn dockers_media_types_are_pulled_too_as_root() {
    let Some(registry) = Registry::start() else { return };
    let store = Store::new();
    let built = ImageBuilder::busybox().docker().build();
    registry.push("busybox", "latest", &built);
    let image = store.store.pull(&registry.reference("busybox"), &[]).await.unwrap();
    assert_eq!((image.id, image.defaults.command), (built.config, vec!["sh".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_registry_lets_in_who_knows_the_password_as_root() {
    let Some(registry) = Registry::start_private() else { return };
    let store = Store::new();
    registry.push("app", "1", &image());
    let name = registry.reference("app:1");
    let begins =
        format!("failed to pull and unpack image \"{name}\": failed to resolve reference \"{name}\": ");
    let denied = "pull access denied, repository does not exist or may require authorization";
    let rows = [
        ("nobody", vec![], format!("{denied}: authorization failed: no basic auth credentials")),
        (
            "a stranger",
            credentials("stranger", "x"),
            format!(
                "unexpected status from GET request to http://{}/v2/app/manifests/1: 401 Unauthorized",
                registry.address()
            ),
        ),
    ];
    for (who, credentials, want) in rows {
        let error = store.store.pull(&name, &credentials).await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized(_)), "{who}: {error:?}");
        assert_eq!(error.to_string(), format!("{begins}{want}"), "{who}");
    }
    // As the kubelet has it, all that a pod's secrets offer is tried.
    let both = [credentials("stranger", "x"), credentials(LOGIN.0, LOGIN.1)].concat();
    store.store.pull(&name, &both).await.unwrap();
    store.assert_clean();
}

/// A registry that wants tokens, and its token server.
fn token_registry(registry: &Registry) -> Proxy {
    Proxy::start(registry.address(), |request| {
        let host = request.header("host").unwrap_or_default().to_owned();
        if request.line.contains("/token") {
            let basic = request.header("authorization") == Some("Basic dXNlcjpwYXNz");
            let refresh = request.body.contains("grant_type=refresh_token&refresh_token=the-identity");
            let scoped = request.line.contains("scope=repository%3Aapp%3Apull")
                || request.body.contains("repository%3Aapp%3Apull");
            return if scoped && (basic || refresh) {
                Behaviour::Reply("200 OK".into(), vec![], r#"{"access_token": "the-token"}"#.into())
            } else {
                Behaviour::Reply("401 Unauthorized".into(), vec![], String::new())
            };
        }
        if request.header("authorization") == Some("Bearer the-token") {
            return Behaviour::Forward;
        }
        let challenge = format!("www-authenticate: Bearer realm=\"http://{host}/token\",service=\"tests\"");
        Behaviour::Reply("401 Unauthorized".into(), vec![challenge], String::new())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_fetched_once_for_a_password_or_an_identity_token_as_root() {
    let Some(registry) = Registry::start() else { return };
    registry.push("app", "1", &image());
    let identity = vec![Credentials {
        user: "<token>".into(),
        password: String::new(),
        identity_token: Some("the-identity".into()),
    }];
    for (name, credentials) in [("password", credentials("user", "pass")), ("identity", identity)] {
        let (store, proxy) = (Store::new(), token_registry(&registry));
        store.store.pull(&proxy.reference("app:1"), &credentials).await.unwrap();
        let tokens = proxy.requests().iter().filter(|request| request.line.contains("/token")).count();
        assert_eq!(tokens, 1, "{name}");
    }
    let proxy = token_registry(&registry);
    let error = Store::new().store.pull(&proxy.reference("app:1"), &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized(_)));
    let text = error.to_string();
    assert!(
        text.contains(
            "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to"
        ),
        "{text}"
    );
    assert!(text.ends_with("401 Unauthorized"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_not_reachable_is_said_in_containerds_words_as_root() {
    let Some(registry) = Registry::start() else { return };
    let store = Store::new();
    let name = registry.reference("nope:1");
    let error = store.store.pull(&name, &[]).await.unwrap_err();
    assert!(matches!(error, Error::NotFound(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "failed to pull and unpack image \"{name}\": failed to resolve reference \"{name}\": {name}: not found"
        )
    );
    let closed = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let error = store.store.pull(&format!("{closed}/app:1"), &[]).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    let text = whole(&error);
    assert!(
        text.contains(&format!("failed to do request: Get \"http://{closed}/v2/app/manifests/1\"")),
        "{text}"
    );
    assert!(text.contains("Connection refused"), "{text}");
    let error = store.store.pull("Bad/../name", &[]).await.unwrap_err();
    assert!(matches!(error, Error::InvalidName { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_breaks_off_is_resumed_where_it_was_as_root() {
    let Some(registry) = Registry::start() else { return };
    let big = ImageBuilder::default().layer(layer("big", &noise(3 << 20, 9)), Compression::None).build();
    registry.push("big", "1", &big);
    let blob = big.layers[0].clone();
    // Every answer with the layer breaks off after a megabyte and a bit.
    let proxy = Proxy::start(registry.address(), move |request| {
        if request.line.contains(&blob) { Behaviour::CutAfter((1 << 20) + 5000) } else { Behaviour::Forward }
    });
    let store = Store::new();
    let (observer, events) = recorder();
    store.store.pull_observed(&proxy.reference("big:1"), &[], observer).await.unwrap();
    let requests = proxy.requests();
    let ranges: Vec<&str> = requests.iter().filter_map(|request| request.header("range")).collect();
    assert!(ranges.len() >= 2, "{ranges:?}");
    assert!(
        ranges.iter().all(|range| range.starts_with("bytes=1")
            || range.starts_with("bytes=2")
            || range.starts_with("bytes=3")),
        "{ranges:?}"
    );
    let resumed = events.lock().iter().filter(|event| matches!(event, Event::Resumed { .. })).count();
    assert_eq!(resumed, ranges.len());
    store.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_pull_goes_on_where_an_earlier_one_gave_up_as_root() {
    let Some(registry) = Registry::start() else { return };
    let big = ImageBuilder::default().layer(layer("big", &noise(3 << 20, 4)), Compression::None).build();
    registry.push("big", "1", &big);
    let blob = big.layers[0].clone();
    let count = AtomicUsize::new(0);
    // Something comes once, then nothing more.
    let proxy = Proxy::start(registry.address(), move |request| {
        if !request.line.contains(&blob) {
            return Behaviour::Forward;
        }
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => Behaviour::CutAfter(2 << 20),
            1..6 => Behaviour::CutAfter(0),
            _ => Behaviour::Forward,
        }
    });
    let store = Store::new();
    let name = proxy.reference("big:1");
    let error = store.store.pull(&name, &[]).await.unwrap_err();
    assert!(error.to_string().contains(&format!("failed to fetch layer {}", big.layers[0])), "{error}");
    assert_eq!(store.count("ingest"), 1, "what came is kept");
    store.store.pull(&name, &[]).await.unwrap();
    let last = proxy.requests().pop().unwrap();
    assert!(
        last.header("range")
            .is_some_and(|range| range.starts_with("bytes=2") || range.starts_with("bytes=1")),
        "{last:?}"
    );
    store.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_its_digest_says_is_refused_and_not_kept_as_root() {
    let Some(registry) = Registry::start() else { return };
    let build =
        |seed| ImageBuilder::default().layer(layer("f", &noise(5000, seed)), Compression::Gzip).build();
    let same_length = |image: &BuiltImage, digest: &str| vec![b'x'; image.blobs[digest].len()];
    let (layer, longer, config, lies) = (build(1), build(2), build(3), build(4));
    for (name, image) in [("layer", &layer), ("longer", &longer), ("config", &config)] {
        registry.push(name, "1", image);
    }
    registry.damage(&layer.layers[0], &same_length(&layer, &layer.layers[0]));
    registry.damage(&longer.layers[0], &vec![b'x'; 1 << 20]);
    registry.damage(&config.config, &same_length(&config, &config.config));
    // A layer that is what its digest says, but does not unpack to what the configuration says.
    let mut lying = lies.clone();
    let text = String::from_utf8(lies.blobs[&lies.config].clone()).unwrap();
    let diff_id = text.split("sha256:").nth(1).unwrap()[..64].to_owned();
    let changed = text.replace(&diff_id, &"0".repeat(64)).into_bytes();
    let manifest = String::from_utf8(lies.blobs[&lies.manifest].clone()).unwrap();
    let manifest = manifest.replace(&lies.config, &digest(&changed)).into_bytes();
    lying.blobs.insert(digest(&changed), changed);
    lying.manifest = digest(&manifest);
    lying.blobs.insert(lying.manifest.clone(), manifest);
    registry.push("lying", "1", &lying);
    let rows = [
        ("layer", "unexpected commit digest sha256:"),
        ("longer", "unexpected commit size"),
        ("config", "unexpected commit digest sha256:"),
        ("lying", "wrong diff id calculated on extraction"),
    ];
    let store = Store::new();
    for (name, want) in rows {
        let error = store.store.pull(&registry.reference(&format!("{name}:1")), &[]).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{name}: {error:?}");
        assert!(error.to_string().contains(want), "{name}: {error}");
    }
    assert_eq!(store.store.list().await.unwrap(), []);
    // What was good and is not needed goes with the next change.
    store.store.remove_unused().await.unwrap();
    registry.push("good", "1", &build(5));
    store.store.pull(&registry.reference("good:1"), &[]).await.unwrap();
    assert_eq!((store.count("blobs/sha256"), store.count("layers")), (2, 1));
    store.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_answers_without_end_is_cut_short_as_root() {
    let Some(registry) = Registry::start() else { return };
    let proxy =
        Proxy::start(registry.address(), |_| Behaviour::Reply("200 OK".into(), vec![], " ".repeat(9 << 20)));
    let error = Store::new().store.pull(&proxy.reference("app:1"), &[]).await.unwrap_err();
    assert!(error.to_string().ends_with("has more than 8388608 bytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_are_asked_first_and_the_registry_when_they_have_nothing_as_root() {
    let (Some(mirror), Some(upstream)) = (Registry::start(), Registry::start()) else { return };
    let (mirrored, only_upstream) = (image(), ImageBuilder::busybox().build());
    mirror.push("library/app", "1", &mirrored);
    upstream.push("library/other", "1", &only_upstream);
    let proxy = Proxy::start(mirror.address(), |_| Behaviour::Forward);
    let hosts = tempfile::tempdir().unwrap();
    std::fs::create_dir(hosts.path().join("docker.io")).unwrap();
    let text = format!(
        "server = 'http://{}'\n[host.'http://{}']\ncapabilities = ['pull', 'resolve']\n[host.'http://{}'.header]\nx-test = 'yes'\n",
        upstream.address(),
        proxy.address(),
        proxy.address()
    );
    std::fs::write(hosts.path().join("docker.io/hosts.toml"), text).unwrap();
    let store = Store::with(|options| options.hosts = Some(hosts.path().to_owned()));
    let image = store.store.pull("app:1", &[]).await.unwrap();
    assert_eq!((image.id, image.tags), (mirrored.config, vec!["docker.io/library/app:1".to_owned()]));
    let requests = proxy.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.line.contains("?ns=docker.io") && request.header("x-test") == Some("yes"))
    );
    let image = store.store.pull("other:1", &[]).await.unwrap();
    assert_eq!(image.id, only_upstream.config);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_want_the_same_image_at_once_share_one_pull_as_root() {
    let Some(registry) = Registry::start() else { return };
    registry.push("app", "1", &image());
    let proxy = Proxy::start(registry.address(), |_| Behaviour::Forward);
    let store = Store::new();
    let name = proxy.reference("app:1");
    let images =
        futures::future::join_all((0..10).map(|_| store.store.pull_observed(&name, &[], nobody()))).await;
    assert!(images.iter().all(Result::is_ok));
    // Manifest, configuration, three layers.
    assert_eq!(proxy.requests().len(), 5);
}
