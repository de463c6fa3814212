//! The capabilities of a container: containerd's default set, and what the pod adds and drops. Pure.

use std::collections::BTreeSet;

use crate::container::Security;

/// All that Linux knows, by number.
pub(super) const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// Those of a mask, as `/proc/PID/status` prints it.
pub(super) fn of_mask(mask: u64) -> BTreeSet<&'static str> {
    ALL.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| *name).collect()
}

/// What a container gets of what the machine has; without `CAP_`. `device_filter` is whether devices that it makes are held back.
pub(super) fn granted(
    security: &Security,
    held: &BTreeSet<&'static str>,
    device_filter: bool,
) -> Result<BTreeSet<&'static str>, String> {
    if security.privileged {
        return Ok(held.clone());
    }
    let named = |names: &[String]| -> Result<(bool, BTreeSet<&'static str>), String> {
        let mut all = false;
        let mut found = BTreeSet::new();
        for name in names {
            let upper = name.to_ascii_uppercase();
            let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if short == "ALL" {
                all = true;
                continue;
            }
            found.insert(
                *ALL.iter()
                    .find(|known| **known == short)
                    .ok_or_else(|| format!("unknown capability \"CAP_{short}\""))?,
            );
        }
        Ok((all, found))
    };
    let (add_all, add) = named(&security.add_capabilities)?;
    let (drop_all, drop) = named(&security.drop_capabilities)?;
    let mut set: BTreeSet<&str> =
        if add_all { ALL.into_iter().collect() } else { DEFAULT.into_iter().collect() };
    if drop_all {
        set.clear();
    }
    set.extend(add);
    set.retain(|name| !drop.contains(name) && held.contains(name));
    // Who can make any device, and is not kept from using it, has the machine's disks.
    if !device_filter {
        set.remove("MKNOD");
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_added_then_dropped() {
        let held: BTreeSet<&str> = ALL.into_iter().filter(|name| *name != "SYS_RESOURCE").collect();
        let security = |add: &[&str], drop: &[&str]| Security {
            add_capabilities: add.iter().map(ToString::to_string).collect(),
            drop_capabilities: drop.iter().map(ToString::to_string).collect(),
            ..Security::default()
        };
        let count = |security: &Security, filter| granted(security, &held, filter).map(|set| set.len());
        let has = |security: &Security, name: &str| granted(security, &held, true).unwrap().contains(name);
        assert_eq!(count(&security(&[], &[]), true), Ok(14), "the default");
        assert_eq!(count(&security(&[], &[]), false), Ok(13), "no device filter, no devices");
        assert!(has(&security(&["net_admin"], &[]), "NET_ADMIN"), "one more, in lower case");
        assert!(!has(&security(&["SYS_RESOURCE"], &[]), "SYS_RESOURCE"), "what the machine has not");
        assert_eq!(count(&security(&[], &["ALL"]), true), Ok(0), "none");
        assert_eq!(count(&security(&["CHOWN"], &["ALL"]), true), Ok(1), "only one");
        assert_eq!(count(&security(&["ALL"], &["NET_RAW"]), true), Ok(39), "all but one");
        assert_eq!(count(&security(&["FLY"], &[]), true), Err("unknown capability \"CAP_FLY\"".to_owned()));
        assert_eq!(
            count(&Security { privileged: true, ..security(&[], &["ALL"]) }, false),
            Ok(40),
            "privileged"
        );
    }

    #[test]
    fn masks_are_read() {
        assert_eq!(of_mask(0b1_0010_0001).into_iter().collect::<Vec<_>>(), ["CHOWN", "KILL", "SETPCAP"]);
        assert_eq!(of_mask(u64::MAX >> 23).len(), 41);
    }
}
