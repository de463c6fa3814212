//! CertificateApproval, CertificateSigning, ClusterTrustBundleAttest, CertificateSubjectRestriction: who may speak for a
//! signer, and what a client's certificate may not say.

use std::sync::Arc;

use async_trait::async_trait;
use sampan_apiserver::chain::authorization::{Attributes, Authorizer};
use sampan_apiserver::request_info::RequestInfo;
use sampan_apiserver::{Context, Verb};
use sampan_auth::authorization::rbac::escalation::collects_garbage;
use sampan_model::field_error::go_quote;
use sampan_model::{Status, Value};

use super::rule::{Judge, Rule, Write};
use super::{certificate_request, is};

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";

/// What is done in the name of a signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Approve,
    Sign,
    Attest,
}

/// Asks whether the user may do it, of the signer itself or of all of its domain.
#[derive(Debug)]
pub(super) struct SignerPermission {
    act: Act,
    authorizer: Arc<dyn Authorizer>,
}

impl SignerPermission {
    pub(super) fn new(act: Act, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { act, authorizer }
    }

    async fn allows(&self, w: Write<'_>, verb: &str, signer: &str) -> bool {
        let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
        for name in [signer, &format!("{domain}/*")] {
            let info = RequestInfo {
                verb: verb.into(),
                is_resource: true,
                group: GROUP.into(),
                version: "*".into(),
                resource: "signers".into(),
                name: name.into(),
                ..RequestInfo::default()
            };
            let attributes = Attributes { user: w.cx.user, info: &info, selectors: None };
            if self.authorizer.authorize(&attributes).await.is_allowed() {
                return true;
            }
        }
        false
    }

    /// Whether the write does it at all.
    fn is_done(&self, object: &Value, old: Option<&Value>) -> bool {
        let differs = |path: &[&str]| old.is_none_or(|old| object.at(path) != old.at(path));
        match self.act {
            Act::Approve => true,
            Act::Sign => differs(&["status", "certificate"]) || differs(&["status", "conditions"]),
            Act::Attest => old.is_none_or(|old| !collects_garbage(object, old)),
        }
    }
}

#[async_trait]
impl Judge for SignerPermission {
    fn name(&self) -> &'static str {
        match self.act {
            Act::Approve => "CertificateApproval",
            Act::Sign => "CertificateSigning",
            Act::Attest => "ClusterTrustBundleAttest",
        }
    }

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        let requests = cx.resource.gvr.group == GROUP && cx.resource.gvr.resource == REQUESTS;
        match self.act {
            Act::Approve => verb == Verb::Update && requests && cx.subresource == "approval",
            Act::Sign => verb == Verb::Update && requests && cx.subresource == "status",
            Act::Attest => {
                matches!(verb, Verb::Create | Verb::Update) && is(cx, GROUP, "clustertrustbundles")
            }
        }
    }

    async fn judge(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        let (word, sentence) = match self.act {
            Act::Approve => ("approve", "approve requests with"),
            Act::Sign => ("sign", "sign requests with"),
            Act::Attest => ("attest", "attest for"),
        };
        let judged = if self.act == Act::Attest { object } else { w.old.unwrap_or(object) };
        let signer = judged.str_at(&["spec", "signerName"]);
        let needs = self.is_done(object, w.old) && !(self.act == Act::Attest && signer.is_empty());
        if !needs || self.allows(w, word, signer).await {
            return Ok(());
        }
        let signer = go_quote(signer);
        Err(w.forbidden(object, format_args!("user not permitted to {sentence} signerName {signer}")))
    }
}

/// Nobody gets a client certificate of the group that may do everything.
#[derive(Debug)]
pub(super) struct CertificateSubjectRestriction;

impl Rule for CertificateSubjectRestriction {
    const NAME: &'static str = "CertificateSubjectRestriction";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        verb == Verb::Create && is(cx, GROUP, REQUESTS)
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
        const MASTERS: &str = "system:masters";
        if object.str_at(&["spec", "signerName"]) != SIGNER {
            return Ok(());
        }
        match certificate_request::subject(object.str_at(&["spec", "request"])) {
            Err(error) => Err(w.forbidden(object, format_args!("failed to parse CSR: {error}"))),
            Ok(subject) if subject.organizations.iter().any(|o| o == MASTERS) => {
                let why = format!("use of {SIGNER} signer with {MASTERS} group is not allowed");
                Err(w.forbidden(object, why))
            }
            Ok(_) => Ok(()),
        }
    }
}
