//! What can be said of the controllers. Names and defaults are those of kube-controller-manager.

use std::time::Duration;

use clap::Args;
use sampan_controllers::Selection;

/// The controllers.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Controllers")]
pub(crate) struct ControllerFlags {
    /// Controllers that run: `*` is all, `NAME` one, `-NAME` all but that one
    #[arg(long, value_name = "LIST", default_value = "*", allow_hyphen_values = true)]
    pub(crate) controllers: Selection,
    /// How many pods that have ended may stay; 0: all
    #[arg(long, value_name = "NUMBER", default_value_t = 12_500)]
    pub(crate) terminated_pod_gc_threshold: usize,
    /// How long certificates live at most that are signed for others
    #[arg(long, value_name = "DURATION", default_value = "8760h", value_parser = super::parse_duration)]
    pub(crate) cluster_signing_duration: Duration,
}
