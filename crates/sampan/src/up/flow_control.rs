//! How many requests are served at once, as the command line has it.

use std::sync::Arc;

use sampan_apiserver::flow_control::Limits;
use sampan_store::Store;

use crate::cli;

impl cli::FlowControl {
    /// The limits. With both at 0 nothing is limited, as upstream has it for the simple limits; priority levels need a seat.
    pub(super) fn limits(&self, store: &Arc<dyn Store>) -> Limits {
        let (reading, mutating) = (self.max_requests_inflight, self.max_mutating_requests_inflight);
        let seats = reading.saturating_add(mutating);
        if self.enable_priority_and_fairness && seats > 0 {
            let source = Arc::new(sampan_builtins::flow_control::Objects::new(Arc::clone(store)));
            return Limits::Fair { source, seats };
        }
        Limits::InFlight { reading: reading as usize, mutating: mutating as usize }
    }
}
