//! EventRateLimit: how many events may be written, by all, to a namespace, by a user, about an object.

mod buckets;

use parking_lot::Mutex;
use sampan_apiserver::{Context, Verb};
use sampan_model::meta::ObjectMeta;
use sampan_model::{Reason, Status, Value};

use super::is;
use super::rule::{Rule, Write};
use buckets::Buckets;

/// What events share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

#[derive(Debug)]
pub(super) struct EventRateLimit {
    limits: Vec<(Kind, &'static str, Mutex<Buckets>)>,
}

/// How many namespaces, users or objects are remembered, unless configured.
const CACHE_SIZE: i64 = 4096;

impl EventRateLimit {
    /// From the plug-in's configuration; or what is wrong with it, in upstream's words.
    pub(super) fn new(configuration: Option<&Value>) -> Result<Self, String> {
        let list = configuration.map_or(&[][..], |c| c.array_at(&["limits"]));
        if list.is_empty() {
            return Err("limits: Invalid value: []: must not be empty".into());
        }
        let limits = list.iter().enumerate().map(|(i, limit)| read(i, limit)).collect::<Result<_, _>>()?;
        Ok(Self { limits })
    }
}

fn read(i: usize, limit: &Value) -> Result<(Kind, &'static str, Mutex<Buckets>), String> {
    let number = |field: &str| limit.get(field).and_then(Value::as_i64).unwrap_or(0);
    let kinds = [
        (Kind::Namespace, "Namespace"),
        (Kind::Server, "Server"),
        (Kind::SourceAndObject, "SourceAndObject"),
        (Kind::User, "User"),
    ];
    let name = limit.str_at(&["type"]);
    let Some((kind, name)) = kinds.into_iter().find(|(_, n)| *n == name) else {
        let names: Vec<String> = kinds.iter().map(|(_, n)| format!("{n:?}")).collect();
        return Err(format!(
            "limits[{i}].type: Unsupported value: {name:?}: supported values: {}",
            names.join(", ")
        ));
    };
    let (burst, qps, size) = (number("burst"), number("qps"), number("cacheSize"));
    for (field, value) in [("burst", burst), ("qps", qps)] {
        if value <= 0 {
            return Err(format!("limits[{i}].{field}: Invalid value: {value}: must be positive"));
        }
    }
    if size < 0 {
        return Err(format!("limits[{i}].cacheSize: Invalid value: {size}: must not be negative"));
    }
    let size = match (kind, size) {
        (Kind::Server, _) => 1,
        (_, 0) => CACHE_SIZE,
        (_, size) => size,
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    Ok((kind, name, Mutex::new(Buckets::new(qps, burst, size))))
}

impl Rule for EventRateLimit {
    const NAME: &'static str = "EventRateLimit";

    fn handles(&self, cx: &Context<'_>, verb: Verb) -> bool {
        matches!(verb, Verb::Create | Verb::Update)
            && (is(cx, "", "events") || is(cx, "events.k8s.io", "events"))
    }

    fn validate(&self, w: Write<'_>, object: &Value) -> Result<(), Status> {
        if w.cx.dry_run {
            return Ok(());
        }
        // Every limit takes its part, even if another has refused already.
        let mut refused = None;
        for (kind, name, buckets) in &self.limits {
            let key = key(*kind, w, object);
            if !buckets.lock().take(&key, w.cx.now) {
                refused = Some(format!("limit reached on type {name} for key {key}"));
            }
        }
        match refused {
            Some(message) => Err(Status::failure(429, Reason::TooManyRequests, message)),
            None => Ok(()),
        }
    }
}

fn key(kind: Kind, w: Write<'_>, event: &Value) -> String {
    match kind {
        Kind::Server => String::new(),
        Kind::Namespace => event.namespace().to_owned(),
        Kind::User => w.cx.user.name.clone(),
        Kind::SourceAndObject => {
            let source = ["component", "host"].map(|f| event.str_at(&["source", f]));
            let object = ["kind", "namespace", "name", "uid", "apiVersion"]
                .map(|f| event.str_at(&["involvedObject", f]));
            source.into_iter().chain(object).collect()
        }
    }
}
