//! What a client wrote twice, or by a wrong name, in a patch.

use http::Method;
use sampan_testkit::{TestServer, fixtures};
use serde_json::json;

use crate::CONFIG_MAPS;

#[tokio::test]
async fn keys_that_stand_twice_in_an_apply_are_warned_of_or_refused() {
    let server = TestServer::start().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: v\n  k: w\n";
    let note = "line 6: key \\\"k\\\" already set in map";
    let headers = [("content-type", "application/apply-patch+yaml")];
    let rows =
        [("Ignore", 201, vec![]), ("Warn", 200, vec![note]), ("", 200, vec![note]), ("Strict", 400, vec![])];
    for (validation, code, notes) in rows {
        let path = format!("{CONFIG_MAPS}/a?fieldManager=m&fieldValidation={validation}");
        let reply = server.request(Method::PATCH, &path, &headers, yaml).await;
        let notes: Vec<String> = notes.iter().map(|note| format!("299 - \"{note}\"")).collect();
        assert_eq!((reply.code, reply.warnings()), (code, notes), "{validation}");
        if code == 400 {
            assert_eq!(
                reply.json()["message"],
                "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 6: key \"k\" \
                 already set in map"
            );
        }
    }
}

#[tokio::test]
async fn members_that_no_operation_has_are_warned_of_or_refused() {
    let server = TestServer::start().await;
    server.create(CONFIG_MAPS, &fixtures::config_map("a", "k", "v")).await.ok();
    let changes = json!([{"op": "replace", "path": "/data/k", "value": "w", "foo": 1}]);
    let path = format!("{CONFIG_MAPS}/a");
    let warned = server.patch(&path, "json-patch", &changes).await;
    assert_eq!(
        (warned.code, warned.warnings()),
        (200, vec!["299 - \"json patch unknown field \\\"[0].foo\\\"\"".to_owned()])
    );
    assert!(
        server
            .patch(&format!("{path}?fieldValidation=Ignore"), "json-patch", &changes)
            .await
            .warnings()
            .is_empty()
    );
    let refused =
        server.patch(&format!("{path}?fieldValidation=Strict"), "json-patch", &changes).await.refused(422);
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with("strict decoding error: json patch unknown field \"[0].foo\""), "{message}");
}
