//! The core group: configuration, namespaces, nodes, pods, services, storage claims and quotas.
