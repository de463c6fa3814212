//! Acts inside another network namespace.

use std::io;
use std::os::fd::BorrowedFd;
use std::thread;

use rustix::thread::LinkNameSpaceType;

/// Runs a function inside a network namespace, on a thread of its own: a thread that has moved is never used for anything else.
pub(crate) fn within<T: Send>(
    namespace: BorrowedFd<'_>,
    act: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let inside = move || {
            rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
            act()
        };
        let thread = thread::Builder::new().name("sampan-netns".to_owned()).spawn_scoped(scope, inside)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
    })
}
