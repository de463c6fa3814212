//! The first process of a namespace of processes that a pod's containers share: it reaps whoever lost its parent, and ends with the shim.

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{WaitOptions, set_parent_process_death_signal, wait};

/// Until the shim kills it.
pub(crate) fn run() -> i32 {
    // A namespace whose shim is gone must not live on unseen.
    if set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).is_err() {
        return 1;
    }
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    if children.thread_block().is_err() {
        return 1;
    }
    loop {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if children.wait().is_err() {
            return 1;
        }
    }
}
