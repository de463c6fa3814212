//! A plugin for tests: it "encrypts" by a mask that depends on the key id, and can be told to misbehave.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use prost::Message;

use super::messages::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse,
};

/// What the plugin does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Every call fails.
    Fails,
    /// No call is ever answered.
    Hangs,
    /// It says so itself.
    Unwell,
    /// `Encrypt` answers with another key id than `Status`.
    Confused,
}

/// A running plugin. It ends when dropped.
pub(crate) struct Plugin {
    dir: tempfile::TempDir,
    inner: Arc<Inner>,
    runtime: Option<tokio::runtime::Runtime>,
}

struct Inner {
    key_id: Mutex<String>,
    mood: Mutex<Mood>,
    decrypted: AtomicUsize,
    calls: AtomicUsize,
}

impl Plugin {
    pub(crate) fn start(key_id: &str) -> Self {
        let mut plugin = Self {
            dir: tempfile::tempdir().unwrap(),
            inner: Arc::new(Inner {
                key_id: Mutex::new(key_id.to_owned()),
                mood: Mutex::new(Mood::Well),
                decrypted: AtomicUsize::new(0),
                calls: AtomicUsize::new(0),
            }),
            runtime: None,
        };
        plugin.listen();
        plugin
    }

    fn listen(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inner = Arc::clone(&self.inner);
        let socket = self.socket();
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&inner);
                let service = hyper::service::service_fn(move |request| answer(Arc::clone(&inner), request));
                tokio::spawn(
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        self.runtime = Some(runtime);
    }

    /// Closes the socket, as when the plugin has died.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.listen();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("kms.sock")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn rotate(&self, key_id: &str) {
        *self.inner.key_id.lock() = key_id.to_owned();
    }

    pub(crate) fn become_(&self, mood: Mood) {
        *self.inner.mood.lock() = mood;
    }

    /// How many calls have reached it.
    pub(crate) fn calls(&self) -> usize {
        self.inner.calls.load(Ordering::Relaxed)
    }

    /// How many seeds it has decrypted.
    pub(crate) fn decrypted(&self) -> usize {
        self.inner.decrypted.load(Ordering::Relaxed)
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn answer(
    inner: Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let method = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    inner.calls.fetch_add(1, Ordering::Relaxed);
    let mood = inner.mood.lock().clone();
    if mood == Mood::Hangs {
        std::future::pending::<()>().await;
    }
    let key_id = inner.key_id.lock().clone();
    let message = match (method.as_str(), &mood) {
        (_, Mood::Fails) => Err("the vault is sealed%"),
        ("/v2.KeyManagementService/Status", _) => {
            StatusRequest::decode(&body[5..]).unwrap();
            let healthz = if mood == Mood::Unwell { "the vault is far away" } else { "ok" };
            Ok(StatusResponse { version: "v2".into(), healthz: healthz.into(), key_id }.encode_to_vec())
        }
        ("/v2.KeyManagementService/Encrypt", _) => {
            let request = EncryptRequest::decode(&body[5..]).unwrap();
            assert_eq!((request.plaintext.len(), request.uid.len()), (32, 36));
            let key_id = if mood == Mood::Confused { "another".to_owned() } else { key_id };
            let ciphertext = mask(&key_id, &request.plaintext);
            let annotations = BTreeMap::from([("how.kms.example.com".to_owned(), b"masked".to_vec())]);
            Ok(EncryptResponse { ciphertext, key_id, annotations }.encode_to_vec())
        }
        ("/v2.KeyManagementService/Decrypt", _) => {
            let request = DecryptRequest::decode(&body[5..]).unwrap();
            assert_eq!(request.annotations["how.kms.example.com"], b"masked");
            inner.decrypted.fetch_add(1, Ordering::Relaxed);
            if request.key_id.starts_with("gone") {
                Err("no such key")
            } else {
                Ok(DecryptResponse { plaintext: mask(&request.key_id, &request.ciphertext) }.encode_to_vec())
            }
        }
        (other, _) => panic!("{other}"),
    };
    let mut trailers = HeaderMap::new();
    let mut frame = Vec::new();
    match message {
        Ok(message) => {
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            frame.push(0);
            frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            frame.extend(message);
        }
        Err(text) => {
            trailers.insert("grpc-status", HeaderValue::from_static("14"));
            let text = text.replace('%', "%25");
            trailers.insert("grpc-message", HeaderValue::from_str(&text).unwrap());
        }
    }
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
    Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
}

fn mask(key_id: &str, bytes: &[u8]) -> Vec<u8> {
    bytes.iter().zip(key_id.bytes().cycle()).map(|(byte, mask)| byte ^ mask ^ 0x55).collect()
}
