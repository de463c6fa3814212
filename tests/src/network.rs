//! A network of a test's own, so that nodes of tests meet neither each other nor the machine's.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, unshare};

/// The address by which a machine of this network is reached.
pub const ADDRESS: &str = "192.168.77.2";

/// Moves the calling thread, and whatever it starts from now on, into a new network: a loopback, and a link that leads nowhere but has an
/// address and the default route. It is gone with the last process in it.
pub fn enter_own() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("a network of its own needs root")?;
    let address = format!("{ADDRESS}/24");
    let steps: [&[&str]; 6] = [
        &["link", "set", "lo", "up"],
        // Its other end is called veth0.
        &["link", "add", "outside", "type", "veth"],
        &["address", "add", &address, "dev", "outside"],
        &["link", "set", "veth0", "up"],
        &["link", "set", "outside", "up"],
        &["route", "add", "default", "via", "192.168.77.1"],
    ];
    for step in steps {
        let status = Command::new("busybox").arg("ip").args(step).status().context("there is no busybox")?;
        ensure!(status.success(), "ip {} failed", step.join(" "));
    }
    Ok(())
}

/// The names of the links that are here.
pub fn links() -> Vec<String> {
    // /sys shows the network in which it was mounted; this file, that of who reads it.
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
}
