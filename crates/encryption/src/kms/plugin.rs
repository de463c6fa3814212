//! The thread that talks to the plugin, and how others talk to it.
//!
//! It has a small runtime of its own: values are opened before the server has one, and from threads that must not
//! wait inside one.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use sampan_store::TransformError;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::envelope::{self, DataKey, SIZE};
use super::messages::{
    DecryptRequest, DecryptResponse, DekSource, EncryptRequest, EncryptResponse, EncryptedObject,
    StatusRequest, StatusResponse,
};
use super::{FAILED_TTL, Seed, Shared, State, WRITE_DEK_MAX_TTL, key_id_hash};
use crate::grpc::{self, Status};

/// How often the plugin is asked for its state while it is well, and while it is not.
const POSITIVE_INTERVAL: Duration = Duration::from_mins(1);
const NEGATIVE_INTERVAL: Duration = Duration::from_secs(10);

/// For how long an answer to a health check is taken from the last state.
const POSITIVE_TTL: Duration = Duration::from_secs(20);
const NEGATIVE_TTL: Duration = Duration::from_secs(3);

/// How many calls may wait for the thread.
const MAX_WAITING: usize = 64;

/// How the plugin was when it was last asked.
#[derive(Debug, Clone)]
pub(super) struct Health {
    pub(super) result: Result<(), String>,
    asked: Instant,
}

impl Health {
    pub(super) fn unknown() -> Self {
        Self { result: Err("the plugin has not been asked yet".to_owned()), asked: Instant::now() }
    }

    pub(super) fn is_old(&self) -> bool {
        self.asked.elapsed() > if self.result.is_ok() { POSITIVE_TTL } else { NEGATIVE_TTL }
    }
}

/// What the thread can be asked for.
enum Call {
    /// Ask for the state now; tell when that is done.
    Probe(Option<blocking::SyncSender<()>>),
    Decrypt(Box<DecryptRequest>, blocking::SyncSender<Result<Zeroizing<Vec<u8>>, String>>),
}

/// A way to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Calls(mpsc::Sender<Call>);

impl Calls {
    /// Has the plugin asked for its state, and waits for it.
    pub(super) fn probe(&self, timeout: Duration) {
        let (reply, done) = blocking::sync_channel(1);
        if self.0.try_send(Call::Probe(Some(reply))).is_ok() {
            // Whether it came or not is in the health.
            let _ = done.recv_timeout(patience(timeout));
        }
    }

    /// Has the plugin asked soon. When calls are waiting already, it will be.
    pub(super) fn nudge(&self) {
        if self.0.capacity() == self.0.max_capacity() {
            let _ = self.0.try_send(Call::Probe(None));
        }
    }

    pub(super) fn decrypt(
        &self,
        envelope: &EncryptedObject,
        timeout: Duration,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        let request = DecryptRequest {
            ciphertext: envelope.encrypted_dek_source.clone(),
            uid: uuid::Uuid::new_v4().to_string(),
            key_id: envelope.key_id.clone(),
            annotations: envelope.annotations.clone(),
        };
        let (reply, answer) = blocking::sync_channel(1);
        self.0
            .try_send(Call::Decrypt(Box::new(request), reply))
            .map_err(|_| "too many calls are waiting for the plugin".to_owned())?;
        answer
            .recv_timeout(patience(timeout))
            .unwrap_or_else(|_| Err("the plugin was not asked in time".to_owned()))
    }
}

/// How long one waits for the thread: two calls that it may be in the middle of, then one's own two.
fn patience(timeout: Duration) -> Duration {
    timeout * 4 + Duration::from_secs(1)
}

/// Starts the thread. It asks the plugin at once.
pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<Calls> {
    let (sender, calls) = mpsc::channel(MAX_WAITING);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("kms".into()).spawn(move || runtime.block_on(run(&shared, calls)))?;
    Ok(Calls(sender))
}

async fn run(shared: &Shared, mut calls: mpsc::Receiver<Call>) {
    let mut due = tokio::time::Instant::now();
    // Thousands of values may wait for as many seeds; not each of them waits for a plugin that hangs.
    let mut hung: Option<(Instant, Status)> = None;
    loop {
        let call = tokio::select! {
            biased;
            () = tokio::time::sleep_until(due) => Call::Probe(None),
            call = calls.recv() => match call {
                Some(call) => call,
                None => return,
            },
        };
        match call {
            Call::Probe(reply) => {
                due = tokio::time::Instant::now() + probe(shared).await;
                if let Some(reply) = reply {
                    let _ = reply.try_send(());
                }
            }
            Call::Decrypt(request, reply) => {
                hung.take_if(|(at, _)| at.elapsed() >= FAILED_TTL);
                let result = match &hung {
                    Some((_, error)) => Err(error.clone()),
                    None => decrypt(shared, &request).await,
                };
                if let (None, Err(error)) = (&hung, &result)
                    && error.is_timeout()
                {
                    hung = Some((Instant::now(), error.clone()));
                }
                let _ = reply.try_send(result.map_err(|error| error.to_string()));
            }
        }
    }
}

/// Asks for the state, takes a new seed if the key is another, and says when to ask again.
async fn probe(shared: &Shared) -> Duration {
    let result = check(shared).await;
    let (was_well, is_well) = {
        let mut health = shared.health.lock();
        let was_well = health.result.is_ok();
        let is_well = result.is_ok();
        if let Err(error) = &result
            && health.result.as_ref().err() != Some(error)
        {
            tracing::warn!(provider = shared.name, %error, "kms plugin failed health check probe");
        }
        *health = Health { result, asked: Instant::now() };
        (was_well, is_well)
    };
    if is_well && !was_well {
        tracing::info!(provider = shared.name, "the kms plugin is healthy");
    }
    if is_well { POSITIVE_INTERVAL } else { NEGATIVE_INTERVAL }
}

async fn check(shared: &Shared) -> Result<(), String> {
    // Taken before the call, so that the time that it takes does not lengthen the life of a seed.
    let expires = Instant::now() + WRITE_DEK_MAX_TTL;
    let status: StatusResponse = call(shared, "Status", &StatusRequest {}).await.map_err(|error| {
        format!(
            "failed to perform status section of the healthz check for KMS Provider {}, error: {error}",
            shared.name
        )
    })?;
    let mut errors = Vec::new();
    if status.healthz != "ok" {
        errors.push(format!("got unexpected healthz status: {}", status.healthz));
    }
    if status.version != "v2" && status.version != "v2beta1" {
        errors.push(format!("expected KMSv2 API version v2, got {}", status.version));
    }
    if let Err(error) = envelope::validate_key_id(&status.key_id) {
        shared.metrics.invalid(&shared.name, &status.key_id);
        errors.push(format!(
            "got invalid KMSv2 KeyID hash {:?}: {error}",
            key_id_hash_or_empty(&status.key_id)
        ));
    } else {
        shared.metrics.seen(&shared.name, &key_id_hash(&status.key_id));
        errors.extend(rotate(shared, &status.key_id, expires).await.err());
    }
    let all = match errors.len() {
        0 => return Ok(()),
        1 => errors.remove(0),
        _ => format!("[{}]", errors.join(", ")),
    };
    Err(format!("kmsv2 Provider {} is not healthy, error: {all}", shared.name))
}

/// Keeps the seed for longer if the plugin's key is still the one that has encrypted it, else takes a new one.
async fn rotate(shared: &Shared, key_id: &str, expires: Instant) -> Result<(), String> {
    if let Some(state) = &*shared.state.load()
        && state.envelope.key_id == key_id
    {
        let (seed, envelope) = (Arc::clone(&state.seed), state.envelope.clone());
        let key_id_hash = Arc::clone(&state.key_id_hash);
        shared.state.store(Some(Arc::new(State { seed, envelope, form: state.form, key_id_hash, expires })));
        return Ok(());
    }
    let uid = uuid::Uuid::new_v4().to_string();
    let failed = |error: &dyn std::fmt::Display| format!("failed to rotate DEK uid={uid:?}: {error}");
    let mut secret = Zeroizing::new([0; SIZE]);
    aws_lc_rs::rand::fill(secret.as_mut()).map_err(|_| failed(&"no random bytes"))?;
    let mut request = EncryptRequest { plaintext: secret.to_vec(), uid: uid.clone() };
    let response: Result<EncryptResponse, Status> = call(shared, "Encrypt", &request).await;
    zeroize::Zeroize::zeroize(&mut request.plaintext);
    let response =
        response.map_err(|error| failed(&format_args!("failed to encrypt DEK, error: {error}")))?;
    if response.key_id != key_id {
        return Err(failed(&format_args!(
            "statusKeyIDHash={:?}, encryptKeyIDHash={:?}",
            key_id_hash(key_id),
            key_id_hash_or_empty(&response.key_id)
        )));
    }
    let mut envelope = EncryptedObject {
        encrypted_data: vec![0],
        key_id: response.key_id,
        encrypted_dek_source: response.ciphertext,
        annotations: response.annotations,
        encrypted_dek_source_type: DekSource::HkdfSeed as i32,
    };
    envelope::validate(&envelope).map_err(|error| failed(&error))?;
    envelope.encrypted_data.clear();
    let seed: Result<_, TransformError> =
        DataKey::new(envelope.encrypted_dek_source_type, secret.as_ref()).map_err(Into::into);
    let seed = Arc::new(seed.map_err(|error| failed(&error))?);
    // What is written with it can be read without the plugin.
    let key_id_hash: Arc<str> = key_id_hash(key_id).into();
    let known = Seed::Known(Arc::clone(&seed), Arc::clone(&key_id_hash));
    shared.keep(envelope::cache_key(&envelope), known);
    let form = shared.form(&envelope);
    tracing::info!(provider = shared.name, %key_id_hash, "took a new seed from the kms plugin");
    shared.state.store(Some(Arc::new(State { seed, envelope, form, key_id_hash, expires })));
    Ok(())
}

async fn decrypt(shared: &Shared, request: &DecryptRequest) -> Result<Zeroizing<Vec<u8>>, Status> {
    let response: Result<DecryptResponse, Status> = call(shared, "Decrypt", request).await;
    response.map(|response| Zeroizing::new(response.plaintext))
}

async fn call<A: prost::Message + Default>(
    shared: &Shared,
    method: &str,
    message: &impl prost::Message,
) -> Result<A, Status> {
    let method = format!("/v2.KeyManagementService/{method}");
    let began = Instant::now();
    let answer = grpc::call(&shared.socket, &method, message, shared.timeout).await;
    let code = answer.as_ref().err().map_or("OK", Status::code);
    shared.metrics.called(&shared.name, &method, code, began.elapsed());
    answer
}

fn key_id_hash_or_empty(key_id: &str) -> String {
    if key_id.is_empty() { String::new() } else { key_id_hash(key_id) }
}
