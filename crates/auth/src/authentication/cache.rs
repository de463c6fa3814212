//! Remembers for a while what others said about tokens. It keeps hashes of tokens, never the tokens, and at most so many.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quick_cache::sync::Cache;
use sampan_apiserver::chain::authentication::Rejected;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::token::{Identity, TokenAuthenticator};
use crate::metrics::Metrics;

/// How many answers are kept.
const ENTRIES: usize = 4096;

type Key = [u8; 32];

/// An authenticator whose answers are remembered. Errors are not.
pub struct Cached {
    inner: Arc<dyn TokenAuthenticator>,
    success: Duration,
    failure: Duration,
    answers: Cache<Key, (Instant, Option<Identity>)>,
    metrics: Metrics,
}

impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cached({:?})", self.inner)
    }
}

impl Cached {
    /// Remembers whom `inner` knows for the time `success`, and whom it does not know for `failure`.
    pub fn new(inner: Arc<dyn TokenAuthenticator>, success: Duration, failure: Duration) -> Self {
        Self { inner, success, failure, answers: Cache::new(ENTRIES), metrics: Metrics::default() }
    }

    /// The same, counting into these metrics.
    #[must_use]
    pub fn counted(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }
}

#[async_trait]
impl TokenAuthenticator for Cached {
    async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Option<Identity>, Rejected> {
        let started = Instant::now();
        let key = key(token, audiences);
        if let Some((until, answer)) = self.answers.get(&key) {
            if Instant::now() < until {
                self.metrics.cache_request(started.elapsed(), true);
                return Ok(answer);
            }
            self.answers.remove(&key);
        }
        // Requests that come at once with one token ask once.
        match self.answers.get_value_or_guard_async(&key).await {
            Ok((_, answer)) => {
                self.metrics.cache_request(started.elapsed(), false);
                Ok(answer)
            }
            Err(guard) => {
                let fetch = self.metrics.cache_fetch();
                let answer = self.inner.authenticate(token, audiences).await;
                fetch.ended(answer.is_ok());
                self.metrics.cache_request(started.elapsed(), false);
                let answer = answer?;
                let time = if answer.is_some() { self.success } else { self.failure };
                if !time.is_zero() {
                    let _ = guard.insert((Instant::now() + time, answer.clone()));
                }
                Ok(answer)
            }
        }
    }
}

fn key(token: &str, audiences: &[String]) -> Key {
    let mut hash = Sha256::new();
    // Each part with its length, so that no two lists of parts look alike.
    for part in std::iter::once(token).chain(audiences.iter().map(String::as_str)) {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sampan_apiserver::chain::authentication::Notes;

    use super::*;

    /// Knows `good`, and counts how often it is asked.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    #[async_trait]
    impl TokenAuthenticator for Counting {
        async fn authenticate(&self, token: &str, _: &[String]) -> Result<Option<Identity>, Rejected> {
            self.0.fetch_add(1, Ordering::SeqCst);
            match token {
                "good" => Ok(Some(Identity {
                    user: Arc::default(),
                    audiences: Vec::new(),
                    notes: Notes::default(),
                })),
                "error" => Err(Rejected::new("no")),
                _ => Ok(None),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_asked_for_again_when_their_time_is_over() {
        let rows = [
            ("known: kept", "good", 9, 1),
            ("known: over", "good", 11, 2),
            ("unknown: kept", "bad", 1, 1),
            ("unknown: over", "bad", 3, 2),
            ("errors are not kept", "error", 0, 2),
        ];
        for (name, token, seconds, asked) in rows {
            let inner = Arc::new(Counting::default());
            let cached = Cached::new(inner.clone(), Duration::from_secs(10), Duration::from_secs(2));
            let first = cached.authenticate(token, &[]).await;
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(cached.authenticate(token, &[]).await, first, "{name}");
            assert_eq!(inner.0.load(Ordering::SeqCst), asked, "{name}");
        }
    }

    #[tokio::test]
    async fn the_memory_is_bounded_and_audiences_count() {
        let inner = Arc::new(Counting::default());
        let minute = Duration::from_mins(1);
        let cached = Cached::new(inner.clone(), minute, minute);
        for i in 0..3 * ENTRIES {
            cached.authenticate(&format!("flood {i}"), &[]).await.unwrap();
        }
        assert!(cached.answers.len() <= ENTRIES);
        let before = inner.0.load(Ordering::SeqCst);
        for audiences in [&["a".to_owned()][..], &["b".to_owned()], &["a".to_owned(), "b".to_owned()]] {
            cached.authenticate("good", audiences).await.unwrap();
        }
        assert_eq!(inner.0.load(Ordering::SeqCst), before + 3);
    }
}
