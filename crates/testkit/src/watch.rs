//! A watch, read event by event.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http_body_util::BodyExt as _;
use sampan_apiserver::http_io::body::Body;
use serde_json::Value;

/// How long an event that must come may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    pub kind: String,
    /// The object.
    pub object: Value,
}

/// An open watch. Dropping it ends it.
pub struct Watch {
    body: Body,
    buffer: BytesMut,
}

impl Watch {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, buffer: BytesMut::new() }
    }

    /// The next event; `None` when the server has ended the watch. Panics when neither comes.
    pub async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("the watch is silent for too long")
    }

    /// The kind and the name of the next event, which must come.
    pub async fn next_name(&mut self) -> (String, String) {
        let event = self.next().await.expect("the watch has ended");
        (event.kind, event.object["metadata"]["name"].as_str().unwrap_or_default().to_owned())
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                let mut event: Value = serde_json::from_slice(&line).expect("an event is one line of JSON");
                let kind = event["type"].as_str().unwrap_or_default().to_owned();
                return Some(Event { kind, object: event["object"].take() });
            }
            let frame = self.body.frame().await?.expect("a watch does not break off");
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }
}
