//! ResourceQuota when many write at once: never over, never wrong.

use sampan_testkit::{Admitting, TestServer};
use serde_json::json;

use crate::quota::{QUOTAS, used};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// How many of so many concurrent creates succeed; the others must be refused for the quota.
async fn create_at_once(server: &TestServer, number: usize, prefix: &str) -> usize {
    let tasks: Vec<_> = (0..number)
        .map(|i| {
            let (server, secret) = (server.clone(), json!({"metadata": {"name": format!("{prefix}{i}")}}));
            tokio::spawn(async move {
                let reply = server.create(SECRETS, &secret).await;
                if reply.code == 201 {
                    return true;
                }
                let message = reply.refused(403)["message"].as_str().unwrap_or("").to_owned();
                assert!(message.contains("exceeded quota: q"), "{message}");
                false
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += usize::from(task.await.unwrap());
    }
    made
}

async fn number(server: &TestServer) -> usize {
    server.get(SECRETS).await.ok()["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_that_write_at_once_a_quota_of_ten_lets_exactly_ten() {
    let server = Admitting::default().start().await;
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "10"}}});
    server.create(QUOTAS, &quota).await.ok();
    assert_eq!(create_at_once(&server, 50, "a").await, 10);
    assert_eq!(used(&server, "q").await, json!({"secrets": "10"}));
    assert_eq!(number(&server).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_writers_than_a_write_has_attempts_are_all_answered() {
    let server = Admitting::default().start().await;
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "1000"}}});
    server.create(QUOTAS, &quota).await.ok();
    assert_eq!(create_at_once(&server, 300, "a").await, 300);
    assert_eq!(used(&server, "q").await, json!({"secrets": "300"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_comes_while_others_write_counts_every_one_of_them() {
    let server = Admitting::default().start().await;
    for round in 0..10 {
        let before = number(&server).await;
        let quota =
            json!({"metadata": {"name": "q"}, "spec": {"hard": {"secrets": (before + 10).to_string()}}});
        let writers = tokio::spawn({
            let (server, prefix) = (server.clone(), format!("r{round}-"));
            async move { create_at_once(&server, 20, &prefix).await }
        });
        server.create(QUOTAS, &quota).await.ok();
        writers.await.unwrap();
        let there = number(&server).await;
        assert_eq!(used(&server, "q").await, json!({"secrets": there.to_string()}), "round {round}");
        server.delete(&format!("{QUOTAS}/q")).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_deletions_at_once_leave_the_true_number() {
    let server = Admitting::default().start().await;
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "30"}}});
    server.create(QUOTAS, &quota).await.ok();
    assert_eq!(create_at_once(&server, 20, "old").await, 20);
    let deletions: Vec<_> = (0..20)
        .map(|i| {
            let server = server.clone();
            tokio::spawn(async move { server.delete(&format!("{SECRETS}/old{i}")).await.code })
        })
        .collect();
    create_at_once(&server, 20, "new").await;
    for deletion in deletions {
        assert_eq!(deletion.await.unwrap(), 200);
    }
    let there = number(&server).await;
    assert_eq!(used(&server, "q").await, json!({"secrets": there.to_string()}));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_quotas_that_come_at_once_count_each_other() {
    let server = Admitting::default().start().await;
    let quota = |name: &str| json!({"metadata": {"name": name}, "spec": {"hard": {"resourcequotas": "9"}}});
    let names = ["a", "b", "c", "d"];
    let tasks = names.map(|name| {
        let (server, quota) = (server.clone(), quota(name));
        tokio::spawn(async move { server.create(QUOTAS, &quota).await.code })
    });
    for task in tasks {
        assert_eq!(task.await.unwrap(), 201);
    }
    for name in names {
        assert_eq!(used(&server, name).await, json!({"resourcequotas": "4"}), "{name}");
    }
}
