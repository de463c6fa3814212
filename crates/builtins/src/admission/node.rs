//! Which node makes a request.

use sampan_apiserver::User;

/// The name of the node that a user is; `None` for everybody else.
pub(super) fn node_name(user: &User) -> Option<&str> {
    user.name.strip_prefix("system:node:").filter(|_| user.in_group("system:nodes"))
}
