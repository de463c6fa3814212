use super::*;
use crate::cri::fake::{FakeCri, Reply};

const ID: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn busybox() -> cri::Image {
    cri::Image {
        id: ID.into(),
        repo_tags: vec!["docker.io/library/busybox:latest".into()],
        size: 1000,
        username: "web".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn names_are_whole_and_users_are_told() {
    let server = FakeCri::start(|_, _| {
        Reply::answer(&cri::ImageStatusResponse { image: Some(busybox()), ..Default::default() })
    });
    let images = CriImages::new(server.client());
    for (asked, name) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("registry.test:5000/a/b:1", "registry.test:5000/a/b:1"),
        (ID, ID),
    ] {
        let found = images.get(asked).await.unwrap().unwrap();
        assert_eq!((found.id.as_str(), found.defaults.user.as_str()), (ID, "web"));
        let request = server.asked::<cri::ImageStatusRequest>().pop().unwrap();
        assert_eq!(request.image.unwrap().image, name);
    }
    let refused = images.get("Not A Name").await.unwrap_err();
    assert!(matches!(refused, Error::InvalidName { .. }), "{refused:?}");
}

#[test]
fn refused_pulls_are_told_apart() {
    let kind = |error: &Error| match error {
        Error::NotFound(_) => "not found",
        Error::Unauthorized(_) => "unauthorized",
        Error::Platform(_) => "platform",
        Error::Failed { .. } => "failed",
        _ => "another",
    };
    for (code, words, is) in [
        (Code::NotFound, "failed to resolve reference: not found", "not found"),
        (Code::PermissionDenied, "denied", "unauthorized"),
        (Code::Unknown, "unexpected status code: 401 Unauthorized", "unauthorized"),
        (
            Code::Unknown,
            "pull access denied: authorization failed: no basic auth credentials",
            "unauthorized",
        ),
        (Code::Unknown, "no match for platform in manifest sha256:1: not found", "platform"),
        (Code::Unknown, "connection refused", "failed"),
    ] {
        let error = pull_failed(&Status::new(code, words));
        assert_eq!(kind(&error), is, "{words}");
        assert!(crate::words::in_words(&error).ends_with(words), "{error}");
    }
}

#[tokio::test]
async fn each_credential_is_tried_and_the_last_refusal_told() {
    let server = FakeCri::start(|_, _| Reply::Fail(2, "unexpected status code: 401 Unauthorized"));
    let images = CriImages::new(server.client());
    let credentials =
        |user: &str| Credentials { user: user.into(), password: format!("{user}'s"), identity_token: None };
    let both = [credentials("a"), credentials("b")];
    assert!(matches!(images.pull("busybox", &both).await, Err(Error::Unauthorized(_))));
    images.pull("busybox", &[]).await.unwrap_err();
    let tried: Vec<Option<String>> = server
        .asked::<cri::PullImageRequest>()
        .into_iter()
        .map(|request| request.auth.map(|auth| format!("{} {}", auth.username, auth.password)))
        .collect();
    assert_eq!(tried, [Some("a a's".to_owned()), Some("b b's".to_owned()), None]);
}

#[tokio::test]
async fn what_is_used_or_pinned_or_holds_pods_together_stays() {
    let image = |digit: char, tag: &str, pinned| cri::Image {
        id: format!("sha256:{}", digit.to_string().repeat(64)),
        repo_tags: vec![tag.to_owned()],
        pinned,
        ..Default::default()
    };
    let all = vec![
        image('1', "docker.io/a/used:1", false),
        image('2', "docker.io/a/pinned:1", true),
        image('3', "docker.io/a/pause:1", false),
        image('4', "docker.io/a/unused:1", false),
    ];
    let server = FakeCri::start(move |method, _| match method {
        "ListImages" => Reply::answer(&cri::ListImagesResponse { images: all.clone() }),
        "ListContainers" => Reply::answer(&cri::ListContainersResponse {
            containers: vec![cri::Container { image_ref: all[0].id.clone(), ..Default::default() }],
        }),
        "Status" => Reply::answer(&cri::StatusResponse {
            info: BTreeMap::from([(
                "config".to_owned(),
                r#"{"sandboxImage":"docker.io/a/pause:1","other":{}}"#.to_owned(),
            )]),
            ..Default::default()
        }),
        "RemoveImage" => Reply::answer(&cri::Empty {}),
        other => panic!("{other}"),
    });
    CriImages::new(server.client()).collect_unused().await.unwrap();
    let removed: Vec<String> =
        server.asked::<cri::RemoveImageRequest>().into_iter().map(|r| r.image.unwrap().image).collect();
    assert_eq!(removed, [format!("sha256:{}", "4".repeat(64))]);
}
