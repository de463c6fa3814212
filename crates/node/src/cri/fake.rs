//! A runtime for tests, that answers what it is told to: gRPC on a socket in a directory of its own.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::channel::mpsc;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use prost::Message;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::{Call, Client, grpc};

/// What is answered.
pub(crate) enum Reply {
    Answer(Bytes),
    Fail(u32, &'static str),
    /// Messages until the sender is dropped.
    Follow(mpsc::UnboundedReceiver<Bytes>),
}

impl Reply {
    pub(crate) fn answer(message: &impl Message) -> Self {
        Self::Answer(grpc::frame(message))
    }
}

/// A message of [`Reply::Follow`].
pub(crate) fn message(message: &impl Message) -> Bytes {
    grpc::frame(message)
}

type Handler = Box<dyn FnMut(&str, Bytes) -> Reply + Send>;

/// The server; it ends when it is dropped.
pub(crate) struct FakeCri {
    directory: TempDir,
    calls: Arc<Mutex<VecDeque<(String, Bytes)>>>,
    _server: JoinSet<()>,
}

impl FakeCri {
    /// Serves with `handler`, which is given the method's name and the request.
    pub(crate) fn start(handler: impl FnMut(&str, Bytes) -> Reply + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("cri.sock")).unwrap();
        let calls = Arc::default();
        let handler: Arc<Mutex<Handler>> = Arc::new(Mutex::new(Box::new(handler)));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, handler, Arc::clone(&calls)));
        Self { directory, calls, _server: server }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("unix://{}", self.directory.path().join("cri.sock").display())
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.endpoint()).unwrap()
    }

    /// The requests of a kind so far.
    pub(crate) fn asked<C: Call + Default>(&self) -> Vec<C> {
        let calls = self.calls.lock();
        let of_kind = calls.iter().filter(|(method, _)| method == C::METHOD);
        of_kind.map(|(_, request)| C::decode(request.clone()).unwrap()).collect()
    }

    /// The methods that were called, in their order.
    pub(crate) fn methods(&self) -> Vec<String> {
        let calls = self.calls.lock();
        calls.iter().map(|(method, _)| method.rsplit('/').next().unwrap_or_default().to_owned()).collect()
    }
}

async fn serve(
    listener: UnixListener,
    handler: Arc<Mutex<Handler>>,
    calls: Arc<Mutex<VecDeque<(String, Bytes)>>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (handler, calls) = (Arc::clone(&handler), Arc::clone(&calls));
        let service = service_fn(move |request: Request<Incoming>| {
            let (handler, calls) = (Arc::clone(&handler), Arc::clone(&calls));
            async move {
                let path = request.uri().path().to_owned();
                let mut body = BytesMut::from(&request.into_body().collect().await.unwrap().to_bytes()[..]);
                let message = grpc::unframe(&mut body).unwrap().unwrap();
                calls.lock().push_back((path.clone(), message.clone()));
                let reply = (handler.lock())(path.rsplit('/').next().unwrap(), message);
                Ok::<_, Infallible>(respond(reply))
            }
        });
        connections.spawn(async move {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Body = StreamBody<futures::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

fn respond(reply: Reply) -> Response<Body> {
    let trailers = |code: u32, message: &'static str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.into());
        trailers.insert("grpc-message", HeaderValue::from_static(message));
        futures::stream::iter([Ok(Frame::trailers(trailers))])
    };
    let body = match reply {
        Reply::Answer(bytes) => {
            futures::stream::iter([Ok(Frame::data(bytes))]).chain(trailers(0, "")).boxed()
        }
        Reply::Fail(code, message) => trailers(code, message).boxed(),
        Reply::Follow(messages) => {
            messages.map(|bytes| Ok(Frame::data(bytes))).chain(trailers(0, "")).boxed()
        }
    };
    Response::builder().header("content-type", "application/grpc").body(StreamBody::new(body)).unwrap()
}
