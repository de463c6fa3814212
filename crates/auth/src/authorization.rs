//! What a user may do: one file an authorizer.
