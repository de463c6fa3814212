//! Services: addresses and node ports are allocated in the transaction that writes the service.

use crate::strategy::Extra;

/// The range from which service addresses are taken unless it is configured otherwise.
pub(crate) const DEFAULT_CIDR: &str = "10.96.0.0/12";
/// The address of the service `kubernetes`: the first of the default range.
pub(crate) const KUBERNETES_IP: &str = "10.96.0.1";

/// What services do with other objects.
pub(crate) const EXTRA: Extra =
    Extra { create: None, update: None, delete: None, holds_deletion: None, prepare_deletion: None };
