use super::fake::{FakeCri, Reply};
use super::messages::{VersionRequest, VersionResponse};
use super::*;

#[test]
fn endpoints_are_sockets() {
    for (endpoint, good) in [
        ("unix:///run/containerd/containerd.sock", true),
        ("/run/crio/crio.sock", true),
        ("unix://run/crio.sock", false),
        ("tcp://127.0.0.1:1", false),
        ("", false),
    ] {
        assert_eq!(Client::new(endpoint).is_ok(), good, "{endpoint}");
    }
}

#[tokio::test]
async fn answers_and_refusals_come_as_they_were_given() {
    let mut replies = vec![
        Reply::Fail(5, "an error occurred when try to find container \"c%25\": not found"),
        Reply::Fail(99, ""),
        Reply::answer(&VersionResponse { runtime_name: "fake".into(), runtime_version: "1".into() }),
    ];
    let server = FakeCri::start(move |_, _| replies.pop().unwrap());
    let client = server.client();
    let ask = || client.ask(VersionRequest { version: "v1".into() });
    assert_eq!(ask().await.unwrap().runtime_name, "fake");
    assert_eq!(ask().await.unwrap_err().code, Code::Unknown);
    let missing = ask().await.unwrap_err();
    assert_eq!(missing.code, Code::NotFound);
    assert_eq!(
        missing.to_string(),
        "rpc error: code = NotFound desc = an error occurred when try to find container \"c%\": not found"
    );
    assert_eq!(server.methods(), ["Version"; 3]);
}

#[tokio::test]
async fn a_runtime_that_is_not_there_is_said_to_be_and_one_that_came_back_is_used() {
    let answer = || Reply::answer(&VersionResponse::default());
    let server = FakeCri::start(move |_, _| answer());
    let client = server.client();
    let path = server.endpoint().trim_start_matches("unix://").to_owned();
    client.ask(VersionRequest::default()).await.unwrap();
    drop(server);
    let error = client.ask(VersionRequest::default()).await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable, "{error}");
    let error = client.ask(VersionRequest::default()).await.unwrap_err().to_string();
    assert!(error.contains(&format!("dial unix {path}: ")), "{error}");
}

#[test]
fn secrets_are_not_shown() {
    let pair = messages::KeyValue { key: "NAME".into(), value: "hidden".into() };
    let auth =
        messages::AuthConfig { username: "me".into(), password: "hidden".into(), ..Default::default() };
    let shown = format!("{pair:?} {auth:?}");
    assert!(shown.contains("NAME") && shown.contains("me") && !shown.contains("hidden"), "{shown}");
}
