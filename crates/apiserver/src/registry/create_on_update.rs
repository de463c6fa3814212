//! An apply, or a PUT, of an object that is not there: a create like any other, for who may create.

use sampan_model::meta::ObjectMeta;
use sampan_model::{Status, Value};

use super::create::{Origin, check_namespace};
use super::update::{Change, applied, check_name, default, precondition_failed, rules};
use super::write::{CommitError, Written};
use super::{Attributes, Registry};
use crate::Verb;
use crate::chain::authorization;
use crate::http_io::query::WriteOptions;
use crate::request_info::RequestInfo;

impl Registry {
    /// Creates what an update finds missing: an apply may, and a PUT where the kind allows; 404 for all others. `None`:
    /// someone was faster.
    pub(super) async fn create_instead(
        &self,
        a: &Attributes,
        change: &Change,
        options: &WriteOptions,
    ) -> Result<Option<Written>, Status> {
        let (origin, mut object) = self.proposed(a, change, options)?;
        check_name(a, &object)?;
        check_namespace(a, &mut object)?;
        match self.try_create(a, object, options, origin).await {
            Ok(written) => {
                self.settle(a, &a.name, Verb::Create, options.dry_run).await;
                Ok(Some(written))
            }
            Err(CommitError::Raced) => Ok(None),
            Err(CommitError::Status(status)) => Err(status),
        }
    }

    /// The object that is to be made, decoded and defaulted. One that brings a uid is meant to be there: 409.
    fn proposed(
        &self,
        a: &Attributes,
        change: &Change,
        options: &WriteOptions,
    ) -> Result<(Origin, Value), Status> {
        let conflict = |why: String| Status::conflict(&a.resource.group_resource(), &a.name, why);
        match change {
            Change::Apply(config) if a.subresource.is_empty() => {
                let object = applied(a, rules(a)?, None, config, options, self.now())?;
                match object.uid() {
                    "" => Ok((Origin::Apply, object)),
                    uid => Err(conflict(format!(
                        "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                    ))),
                }
            }
            Change::Replace(body)
                if a.subresource.is_empty() && a.resource.strategy.allow_create_on_update() =>
            {
                if !body.uid().is_empty() {
                    return Err(conflict(precondition_failed(&a.key(), "UID", body.uid(), "")));
                }
                let mut object = body.clone();
                default(a, &mut object);
                Ok((Origin::Put, object))
            }
            _ => Err(a.not_found()),
        }
    }

    /// Whether the user may create the object (upstream's `withAuthorization`): the request was authorized as an update
    /// or a patch only. Upstream's refusal has the authorizer's reason and nothing else.
    pub(super) async fn authorize_create(&self, a: &Attributes) -> Result<(), Status> {
        let gvr = &a.resource.gvr;
        let info = RequestInfo {
            verb: Verb::Create.as_str().into(),
            is_resource: true,
            group: gvr.group.to_string(),
            version: gvr.version.to_string(),
            resource: gvr.resource.to_string(),
            namespace: a.namespace.to_string(),
            name: a.name.to_string(),
            ..RequestInfo::default()
        };
        let asked = authorization::Attributes { user: &a.user, info: &info, selectors: None };
        let verdict = self.authorizer.authorize(&asked).await;
        if verdict.is_allowed() {
            return Ok(());
        }
        Err(match verdict.error {
            Some(error) => Status::internal(error),
            None => Status::forbidden(&a.resource.group_resource(), &a.name, verdict.reason),
        })
    }
}
