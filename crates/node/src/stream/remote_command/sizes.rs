//! The sizes of a terminal, as clients send them: JSON objects one after another.

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

use crate::runtime::TerminalSize;

/// Most bytes of one size.
const MAX_BYTES: usize = 4096;

/// An object; serde would also take a list for it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    #[serde(default)]
    width: u16,
    #[serde(default)]
    height: u16,
}

/// Reads sizes.
#[derive(Default)]
pub(super) struct Sizes(Vec<u8>);

impl Sizes {
    /// The sizes that are complete now; `None` when what came is no size.
    fn feed(&mut self, bytes: &[u8]) -> Option<Vec<TerminalSize>> {
        self.0.extend_from_slice(bytes);
        let is_list = self.0.trim_ascii_start().starts_with(b"[");
        let mut stream = serde_json::Deserializer::from_slice(&self.0).into_iter::<Size>();
        let mut sizes = Vec::new();
        let broken = is_list
            || loop {
                match stream.next() {
                    Some(Ok(Size { width, height })) => sizes.push(TerminalSize { width, height }),
                    Some(Err(error)) => break !error.is_eof(),
                    None => break false,
                }
            };
        let read = stream.byte_offset();
        self.0.drain(..read);
        (!broken && self.0.len() <= MAX_BYTES).then_some(sizes)
    }

    /// Hands sizes on until there are no more.
    pub(super) async fn hand_on(
        mut self,
        from: &mut (impl AsyncRead + Unpin + ?Sized),
        to: &mpsc::Sender<TerminalSize>,
    ) {
        let mut buffer = [0; 256];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let Some(sizes) = self.feed(&buffer[..n]) else {
                return tracing::debug!("a client sent what is no size of a terminal");
            };
            for size in sizes {
                if to.send(size).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_however_they_are_cut() {
        let size = |width, height| TerminalSize { width, height };
        let text = "{\"Width\":80,\"Height\":24}\n{\"Width\":100,\"Height\":30}\n";
        for cut in 1..text.len() {
            let mut sizes = Sizes::default();
            let read: Vec<_> =
                text.as_bytes().chunks(cut).flat_map(|piece| sizes.feed(piece).unwrap()).collect();
            assert_eq!(read, [size(80, 24), size(100, 30)], "{cut}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["x", "[]", "{\"Width\":-1}", "{\"Width\":70000}"] {
            assert_eq!(Sizes::default().feed(text.as_bytes()), None, "{text}");
        }
        let endless = format!("{{\"{}", "x".repeat(MAX_BYTES));
        assert_eq!(Sizes::default().feed(endless.as_bytes()), None);
    }
}
