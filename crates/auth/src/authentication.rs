//! Who makes a request: one file a sort of credentials.
