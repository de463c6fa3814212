//! Which images to remove when the disk fills: the kubelet's rule, as a function of what there is. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::DiskUse;
use super::digest::Digest;

/// When images are removed. The defaults are the kubelet's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Above this use of the disk, in percent, images are removed (`imageGCHighThresholdPercent`).
    pub high_percent: u8,
    /// Until it is no more than this (`imageGCLowThresholdPercent`).
    pub low_percent: u8,
    /// Younger images stay (`imageMinimumGCAge`).
    pub minimum_age: Duration,
    /// Images that were not used for so long go whatever the disk's use (`imageMaximumGCAge`); `None`: never.
    pub maximum_age: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { high_percent: 85, low_percent: 80, minimum_age: Duration::from_mins(2), maximum_age: None }
    }
}

/// An image as the rule sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: Digest,
    /// Its layers and their sizes on the disk: what others have too is freed only with the last of them.
    pub layers: BTreeMap<Digest, u64>,
    /// When it was brought here.
    pub added: SystemTime,
    /// When it was last used.
    pub used: SystemTime,
    /// Whether a container uses it, or somebody pinned it.
    pub in_use: bool,
}

/// What is to be removed, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Ids of images.
    pub remove: Vec<Digest>,
    /// How much is to be freed to reach the low threshold; 0 if the disk is not that full.
    pub wanted_bytes: u64,
    /// How much the plan frees.
    pub frees_bytes: u64,
}

impl Plan {
    /// What the kubelet says in the event `FreeDiskSpaceFailed`, if the plan frees too little.
    pub fn complaint(&self) -> Option<String> {
        (self.frees_bytes < self.wanted_bytes).then(|| {
            format!(
                "Failed to garbage collect required amount of images. Attempted to free {} bytes, but only found {} bytes \
                 eligible to free.",
                self.wanted_bytes, self.frees_bytes
            )
        })
    }
}

/// Plans a collection.
pub fn plan(images: &[Candidate], policy: &Policy, disk: &DiskUse, now: SystemTime) -> Plan {
    let wanted_bytes = wanted(policy, disk);
    let mut uses: BTreeMap<&Digest, u32> = BTreeMap::new();
    for layer in images.iter().flat_map(|image| image.layers.keys()) {
        *uses.entry(layer).or_default() += 1;
    }
    let mut plan = Plan { wanted_bytes, ..Plan::default() };
    let mut take = |image: &Candidate, plan: &mut Plan| {
        for (layer, size) in &image.layers {
            let left = uses.get_mut(layer).expect("every layer was counted");
            *left -= 1;
            if *left == 0 {
                plan.frees_bytes += size;
            }
        }
        plan.remove.push(image.id.clone());
    };
    let age = |since: SystemTime| now.duration_since(since).unwrap_or_default();
    let mut sorted: Vec<&Candidate> = images.iter().filter(|image| !image.in_use).collect();
    sorted.sort_by(|a, b| (a.used, a.added, &a.id).cmp(&(b.used, b.added, &b.id)));
    let mut taken = BTreeSet::new();
    for image in &sorted {
        if policy.maximum_age.is_some_and(|most| age(image.used) > most) {
            take(image, &mut plan);
            taken.insert(&image.id);
        }
    }
    for image in sorted {
        if plan.frees_bytes >= wanted_bytes {
            break;
        }
        if !taken.contains(&image.id) && age(image.added) >= policy.minimum_age {
            take(image, &mut plan);
        }
    }
    plan
}

/// Every image that nothing uses: what the kubelet removes under disk pressure.
pub fn unused(images: &[Candidate]) -> Vec<Digest> {
    images.iter().filter(|image| !image.in_use).map(|image| image.id.clone()).collect()
}

fn wanted(policy: &Policy, disk: &DiskUse) -> u64 {
    let capacity = u128::from(disk.capacity_bytes);
    let available = u128::from(disk.available_bytes.min(disk.capacity_bytes));
    if capacity == 0 {
        return 0;
    }
    // Rounded down, then subtracted: as the kubelet computes it.
    let used_percent = 100 - available * 100 / capacity;
    if used_percent < u128::from(policy.high_percent) {
        return 0;
    }
    let free_at_low = capacity * (100 - u128::from(policy.low_percent.min(100))) / 100;
    u64::try_from(free_at_low.saturating_sub(available)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// name, available of 1000, maximum age, removed, wanted, freed, complaint
    type Row = (&'static str, u64, Option<Duration>, &'static [&'static str], u64, u64, bool);

    const NOW: u64 = 1_000_000;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// name, layers, added and used so many seconds ago, in use
    fn image(name: &str, layers: &[(&str, u64)], added: u64, used: u64, in_use: bool) -> Candidate {
        let layers = layers.iter().map(|(layer, size)| (Digest::of(layer.as_bytes()), *size)).collect();
        Candidate {
            id: Digest::of(name.as_bytes()),
            layers,
            added: at(NOW - added),
            used: at(NOW - used),
            in_use,
        }
    }

    #[test]
    fn images_go_by_last_use_until_the_disk_is_at_the_low_threshold() {
        let base = ("base", 100);
        let old = image("old", &[base, ("o", 60)], 9000, 8000, false);
        let older = image("older", &[base, ("p", 30)], 9000, 8500, false);
        let busy = image("busy", &[("b", 500)], 9000, 9000, true);
        let young = image("young", &[("y", 500)], 100, 100, false);
        let all = [old, older, busy, young];
        let disk = |available| DiskUse { used_bytes: 0, capacity_bytes: 1000, available_bytes: available };
        let day = Some(Duration::from_secs(8200));
        let rows: [Row; 6] = [
            ("enough room", 160, None, &[], 0, 0, false),
            ("at the threshold", 159, None, &["older", "old"], 41, 190, false),
            ("a little", 180, day, &["older"], 0, 30, false),
            ("shared layers count with their last image", 159, day, &["older", "old"], 41, 190, false),
            ("what is in use or too young stays", 0, None, &["older", "old"], 200, 190, true),
            ("a disk without a size", 0, None, &[], 0, 0, false),
        ];
        for (name, available, maximum_age, want, wanted_bytes, frees_bytes, complains) in rows {
            let disk = if name.contains("without") { DiskUse::default() } else { disk(available) };
            let plan = plan(&all, &Policy { maximum_age, ..Policy::default() }, &disk, at(NOW));
            let remove: Vec<Digest> = want.iter().map(|name| Digest::of(name.as_bytes())).collect();
            assert_eq!(
                (&plan.remove, plan.wanted_bytes, plan.frees_bytes),
                (&remove, wanted_bytes, frees_bytes),
                "{name}"
            );
            assert_eq!(plan.complaint().is_some(), complains, "{name}");
        }
        assert_eq!(unused(&all).len(), 3);
    }

    #[test]
    fn an_image_is_no_longer_too_young_after_two_minutes() {
        let disk = DiskUse { used_bytes: 0, capacity_bytes: 1000, available_bytes: 0 };
        for (age, removed) in [(119, 0), (120, 1)] {
            let images = [image("a", &[("a", 10)], age, age, false)];
            assert_eq!(plan(&images, &Policy::default(), &disk, at(NOW)).remove.len(), removed, "{age}");
        }
    }
}
