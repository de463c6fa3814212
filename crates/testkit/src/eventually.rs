//! Waiting for what another task will do.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long something may take before it counts as never.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks `look` until it answers `Some`; panics with `reason` when that takes longer than 20 seconds.
///
/// With tokio's paused clock it takes no time at all.
pub async fn eventually<T, F>(reason: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain: {reason}");
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_succeeds_later_is_waited_for() {
        let mut looks = 0;
        let found = eventually("the third look succeeds", || {
            looks += 1;
            let found = (looks == 3).then_some(looks);
            async move { found }
        });
        assert_eq!(found.await, 3);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "in vain: the moon is made of cheese")]
    async fn what_never_comes_panics_with_its_reason() {
        eventually("the moon is made of cheese", || async { None::<()> }).await;
    }
}
