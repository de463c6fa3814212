//! Large lists are sent in pieces, pages of them too.

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use sampan_testkit::{TestServer, fixtures};
use serde_json::Value;

use crate::CONFIG_MAPS;

#[tokio::test]
async fn a_large_page_comes_in_pieces_and_is_whole() {
    let server = TestServer::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        server.create(CONFIG_MAPS, &fixtures::config_map(name, "k", &"x".repeat(60_000))).await.ok();
    }
    for (query, items) in [("limit=4", 4), ("limit=1000000", 5), ("", 5)] {
        let request = Request::get(format!("{CONFIG_MAPS}?{query}")).body(Bytes::new()).unwrap();
        let (parts, mut body) = server.send(request).await.into_parts();
        assert_eq!(parts.status, 200);
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.extend(frame.unwrap().into_data());
        }
        assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() < 150_000), "{query}");
        let list: Value = serde_json::from_slice(&pieces.concat()).unwrap();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(items), "{query}");
        assert_eq!(list["metadata"]["continue"].is_string(), items == 4, "{query}");
    }
}

#[tokio::test]
async fn a_deleted_collection_is_answered_as_it_was_listed() {
    let server = TestServer::start().await;
    let made = server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await.ok();
    let list = server.delete(CONFIG_MAPS).await.ok();
    assert_eq!(list["items"][0]["metadata"]["name"], "a");
    let later = server.create(CONFIG_MAPS, &fixtures::config_map("b", "k", "v")).await.ok();
    let revision =
        |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    // The state before its deletion, which is one revision itself; what the server writes by the way may be others.
    assert!(revision(&made) <= revision(&list) && revision(&list) + 1 < revision(&later), "{list}");
}

#[tokio::test]
async fn a_watch_may_be_asked_to_last_for_ever() {
    let server = TestServer::start().await;
    server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await.ok();
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=1&timeoutSeconds={}", i64::MAX)).await;
    assert_eq!(watch.next_name().await, ("ADDED".to_owned(), "a".to_owned()));
}
