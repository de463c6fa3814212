//! One pull for all who want the same image at the same time. It ends early only when all of them have gone.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;

use super::digest::Digest;
use super::progress::{Event, Observer};
use super::reference::Reference;
use super::{Credentials, Error};

type Outcome = Result<Digest, Arc<Error>>;
type Work = Shared<BoxFuture<'static, Outcome>>;
type Observers = Arc<Mutex<Vec<Observer>>>;

/// Pulls under way.
#[derive(Default)]
pub(crate) struct SharedPulls(Mutex<Vec<Pull>>);

struct Pull {
    reference: Reference,
    credentials: Vec<Credentials>,
    work: WeakShared<BoxFuture<'static, Outcome>>,
    observers: Observers,
}

impl SharedPulls {
    /// Waits for the pull of this reference with these credentials that is under way, or starts one.
    pub(crate) async fn join<F>(
        &self,
        reference: &Reference,
        credentials: &[Credentials],
        observer: Observer,
        start: impl FnOnce(Observer) -> F,
    ) -> Result<Digest, Error>
    where
        F: Future<Output = Result<Digest, Error>> + Send + 'static,
    {
        let work = self.find_or_start(reference, credentials, observer, start);
        work.await.map_err(|error| error.again())
    }

    fn find_or_start<F>(
        &self,
        reference: &Reference,
        credentials: &[Credentials],
        observer: Observer,
        start: impl FnOnce(Observer) -> F,
    ) -> Work
    where
        F: Future<Output = Result<Digest, Error>> + Send + 'static,
    {
        let mut pulls = self.0.lock();
        // A pull that everybody has left is gone, one that has an answer is over.
        pulls.retain(|pull| pull.work.upgrade().is_some_and(|work| work.peek().is_none()));
        let same = pulls.iter().find(|pull| pull.reference == *reference && pull.credentials == credentials);
        if let Some(pull) = same
            && let Some(work) = pull.work.upgrade()
        {
            pull.observers.lock().push(observer);
            return work;
        }
        let observers: Observers = Arc::new(Mutex::new(vec![observer]));
        let all = observers.clone();
        let tell: Observer =
            Arc::new(move |event: &Event| all.lock().iter().for_each(|observer| observer(event)));
        let work = start(tell).map(|outcome| outcome.map_err(Arc::new)).boxed().shared();
        let weak = work.downgrade().expect("it was not polled yet");
        pulls.push(Pull {
            reference: reference.clone(),
            credentials: credentials.to_vec(),
            work: weak,
            observers,
        });
        work
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;
    use crate::image::progress::nobody;

    fn reference(name: &str) -> Reference {
        Reference::parse(name).unwrap()
    }

    fn credentials(user: &str) -> Vec<Credentials> {
        vec![Credentials { user: user.into(), password: "p".into(), identity_token: None }]
    }

    #[tokio::test]
    async fn those_who_want_the_same_share_a_pull_and_others_do_not() {
        let pulls = SharedPulls::default();
        let started = AtomicUsize::new(0);
        let (release, wait) = oneshot::channel::<()>();
        let wait = wait.shared();
        let seen = Arc::new(AtomicUsize::new(0));
        let pull = |name: &str, user: &str| {
            let (wait, seen) = (wait.clone(), seen.clone());
            let observer: Observer = Arc::new(move |_| {
                seen.fetch_add(1, Ordering::Relaxed);
            });
            let (name, user) = (reference(name), credentials(user));
            let (pulls, started) = (&pulls, &started);
            async move {
                let start = |observer: Observer| {
                    started.fetch_add(1, Ordering::Relaxed);
                    async move {
                        wait.await.unwrap();
                        observer(&Event::Present(Digest::of(b"l")));
                        Err(Error::NotFound("gone".into()))
                    }
                };
                pulls.join(&name, &user, observer, start).await
            }
        };
        let all = futures::future::join_all([pull("a", "u"), pull("a", "u"), pull("a", "v"), pull("b", "u")]);
        let (outcomes, ()) = futures::join!(all, async { release.send(()).unwrap() });
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Error::NotFound(_)))));
        assert_eq!(started.load(Ordering::Relaxed), 3);
        assert_eq!(seen.load(Ordering::Relaxed), 4, "each observer is told");
    }

    #[tokio::test]
    async fn a_pull_that_everybody_left_is_started_anew() {
        let pulls = SharedPulls::default();
        let name = reference("a");
        let never = pulls.join(&name, &[], nobody(), |_| std::future::pending());
        assert!(futures::poll!(Box::pin(never)).is_pending());
        let id = Digest::of(b"id");
        let ready = pulls.join(&name, &[], nobody(), |_| std::future::ready(Ok(id.clone()))).await;
        assert_eq!(ready.unwrap(), id);
    }
}
