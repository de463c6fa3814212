//! Networking: policies, ingresses and their classes, addresses of services.

pub mod ingress;
pub mod ingress_class;
pub mod network_policy;
pub mod service_cidr;
