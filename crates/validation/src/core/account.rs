//! Service accounts.

use sampan_model::Value;

use crate::KindRules;
use crate::look::Look;

/// The rules of service accounts.
pub(crate) const RULES: KindRules =
    KindRules { warnings: Some(account_warnings), delete_returns_object: true, ..KindRules::PLAIN };

/// Warnings about an account.
pub fn account_warnings(account: &Value, old: Option<&Value>) -> Vec<String> {
    const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
    let of = |account: &Value| crate::look::annotation(account.sub("metadata"), ENFORCE).map(str::to_owned);
    if of(account).is_some() && old.is_none_or(|old| of(old).is_none()) {
        return vec![format!(
            "metadata.annotations[{ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        )];
    }
    Vec::new()
}
