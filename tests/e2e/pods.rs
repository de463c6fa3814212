//! Pods that run: the whole of `sampan up` in a network of the test's own, images from Debian's busybox, and kubectl.

#[path = "pods/downward.rs"]
mod downward;
#[path = "pods/life.rs"]
mod life;
#[path = "pods/place.rs"]
mod place;
#[path = "pods/rig.rs"]
mod rig;
#[path = "pods/streams.rs"]
mod streams;
#[path = "pods/survival.rs"]
mod survival;
