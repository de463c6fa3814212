//! `sendInitialEvents`: said, denied, and not said at all.

use sampan_testkit::{TestServer, fixtures};

use crate::CONFIG_MAPS;

#[tokio::test]
async fn a_watch_begins_with_the_state_only_if_it_is_wanted_or_nothing_is_said() {
    let server = TestServer::start().await;
    let made = server.create(CONFIG_MAPS, &fixtures::config_map("old", "k", "v")).await.ok();
    let revision = made["metadata"]["resourceVersion"].as_str().unwrap();
    let matching = "resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    // What is asked, and whether the state comes first.
    let rows = [
        (String::new(), true),
        ("resourceVersion=0".to_owned(), true),
        (format!("resourceVersion={revision}"), false),
        (format!("sendInitialEvents=true&{matching}"), true),
        (format!("sendInitialEvents=true&{matching}&resourceVersion={revision}"), true),
        (format!("sendInitialEvents=false&{matching}"), false),
        (format!("sendInitialEvents=false&{matching}&resourceVersion=0"), false),
        (format!("sendInitialEvents=false&{matching}&resourceVersion={revision}"), false),
    ];
    for (n, (query, with_state)) in rows.iter().enumerate() {
        let query = format!(
            "{CONFIG_MAPS}?watch=true&labelSelector=!no&fieldSelector=metadata.name!%3Dkube-root-ca.crt&{query}"
        );
        let mut watch = server.watch(&query).await;
        // Made after the watch began: it is told in any case.
        let new = format!("new-{n}");
        server.create(CONFIG_MAPS, &fixtures::config_map(&new, "k", "v")).await.ok();
        let mut names = Vec::new();
        loop {
            let (kind, name) = watch.next_name().await;
            if kind != "BOOKMARK" {
                names.push(name.clone());
            }
            if name == new {
                break;
            }
        }
        server.delete(&format!("{CONFIG_MAPS}/{new}")).await.ok();
        let want = if *with_state { vec!["old".to_owned(), new] } else { vec![new] };
        // Watches from a revision see what other rows did since; the state does not hold it.
        names.retain(|name| want.contains(name));
        assert_eq!(names, want, "{query}");
    }
    let only_lists = format!("{CONFIG_MAPS}?sendInitialEvents=false");
    server.get(&only_lists).await.refused(422);
}
