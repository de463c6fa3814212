//! Both roles, over a pair of pipes.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

struct Ends {
    client: Connection,
    incoming: mpsc::Receiver<Incoming>,
    server: Connection,
}

/// A client and a server, carried by tasks.
fn pair() -> Ends {
    let (near, far) = duplex(64 * 1024);
    let (client, _, carrier) = open(near, Role::Client);
    tokio::spawn(carrier);
    let (server, incoming, carrier) = open(far, Role::Server);
    tokio::spawn(carrier);
    Ends { client, incoming, server }
}

impl Ends {
    async fn stream(&mut self, name: &str) -> (Stream, Stream) {
        let ours = self.client.open(Headers::of(&[("streamType", name)])).await.unwrap();
        let incoming = self.incoming.recv().await.unwrap();
        assert_eq!(incoming.headers.get("streamtype"), Some(name));
        (ours, incoming.accept().await.unwrap())
    }
}

#[tokio::test]
async fn streams_carry_bytes_both_ways_and_end_each_way_on_its_own() {
    let mut ends = pair();
    let (mut near, mut far) = ends.stream("data").await;
    let (mut other, mut echo) = ends.stream("other").await;
    near.write_all(b"to the server").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "to the server");
    far.write_all(b"and back").await.unwrap();
    far.shutdown().await.unwrap();
    heard.clear();
    near.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "and back");
    echo.write_all(b"x").await.unwrap();
    assert_eq!(other.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn megabytes_pass_a_small_window() {
    let mut ends = pair();
    let (mut near, mut far) = ends.stream("data").await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let copy = sent.clone();
    let sender = tokio::spawn(async move {
        near.write_all(&copy).await.unwrap();
        near.shutdown().await.unwrap();
        near
    });
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert!(received == sent);
    sender.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_nobody_reads_does_not_grow() {
    let mut ends = pair();
    let (mut near, far) = ends.stream("data").await;
    let mut sent = 0;
    let flood = async {
        loop {
            sent += near.write(&[0; 1024]).await.unwrap();
        }
    };
    tokio::time::pause();
    assert!(tokio::time::timeout(std::time::Duration::from_secs(5), flood).await.is_err());
    let buffers = INBOUND_BYTES + 2 * 64 * 1024 + OUTBOUND_FRAMES * 16 * 1024 + WRITE_BYTES + 64 * 1024;
    assert!((INBOUND_BYTES..buffers).contains(&sent), "{sent}");
    drop(far);
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_reset() {
    let mut ends = pair();
    let (mut near, far) = ends.stream("data").await;
    drop(far);
    let error = near.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(near.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    let (mut next, mut far) = ends.stream("next").await;
    far.write_all(b"y").await.unwrap();
    assert_eq!(next.read_u8().await.unwrap(), b'y', "the connection lives on");
}

#[tokio::test]
async fn a_stream_that_is_not_accepted_is_refused() {
    let mut ends = pair();
    let mut near = ends.client.open(Headers::default()).await.unwrap();
    drop(ends.incoming.recv().await.unwrap());
    assert_eq!(near.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_was_written_arrives_before_the_connection_ends() {
    let mut ends = pair();
    let (mut near, mut far) = ends.stream("error").await;
    far.write_all(b"last words").await.unwrap();
    far.shutdown().await.unwrap();
    drop(far);
    ends.server.close().await;
    let mut heard = String::new();
    near.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "last words");
}

/// The other side by hand: frames are written and read as they are.
struct Wire {
    io: DuplexStream,
    decoder: Decoder,
    encoder: Encoder,
    buffer: BytesMut,
}

impl Wire {
    async fn send(&mut self, frame: Frame) {
        let mut out = BytesMut::new();
        self.encoder.encode(&frame, &mut out);
        self.io.write_all(&out).await.unwrap();
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            if self.io.read_buf(&mut self.buffer).await.unwrap() == 0 {
                return None;
            }
        }
    }
}

fn by_hand(
    role: Role,
) -> (Wire, Connection, mpsc::Receiver<Incoming>, tokio::task::JoinHandle<Result<(), Error>>) {
    let (io, far) = duplex(1024 * 1024);
    let (connection, incoming, carrier) = open(far, role);
    let wire = Wire { io, decoder: Decoder::default(), encoder: Encoder::default(), buffer: BytesMut::new() };
    (wire, connection, incoming, tokio::spawn(carrier))
}

fn syn(stream: u32) -> Frame {
    let headers = Headers::of(&[("streamtype", "data")]);
    Frame::SynStream { stream, associated: 0, priority: 0, fin: false, unidirectional: false, headers }
}

#[tokio::test]
async fn pings_are_echoed_and_own_ones_are_not() {
    let (mut wire, _connection, _incoming, _carrier) = by_hand(Role::Server);
    wire.send(Frame::Ping(2)).await;
    wire.send(Frame::Ping(7)).await;
    assert_eq!(wire.next().await, Some(Frame::Ping(7)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_lives_and_shows_it() {
    let (mut wire, _connection, mut incoming, carrier) = by_hand(Role::Server);
    wire.send(syn(1)).await;
    let mut stream = incoming.recv().await.unwrap().accept().await.unwrap();
    assert!(matches!(wire.next().await, Some(Frame::SynReply { stream: 1, .. })));
    let begin = tokio::time::Instant::now();
    let mut pings = 0;
    while begin.elapsed() < std::time::Duration::from_mins(31) {
        assert!(matches!(wire.next().await, Some(Frame::Ping(_))));
        pings += 1;
    }
    assert_eq!(pings, 62);
    stream.write_all(b"still here").await.unwrap();
    assert!(matches!(wire.next().await, Some(Frame::Data { stream: 1, .. })));
    assert!(!carrier.is_finished());
}

#[tokio::test]
async fn whoever_opens_windows_is_waited_for() {
    let (mut wire, connection, _incoming, _carrier) = by_hand(Role::Client);
    let mut stream = connection.open(Headers::default()).await.unwrap();
    assert!(matches!(wire.next().await, Some(Frame::SynStream { stream: 1, .. })));
    wire.send(Frame::Settings { clear: false, entries: vec![(0, INITIAL_WINDOW_SIZE, 3)] }).await;
    wire.send(Frame::Ping(2)).await;
    assert_eq!(wire.next().await, Some(Frame::Ping(2)), "the setting has been read");
    let writer = tokio::spawn(async move {
        stream.write_all(b"abcdef").await.unwrap();
        stream
    });
    let data = |text: &'static [u8]| Frame::Data { stream: 1, fin: false, bytes: text.into() };
    assert_eq!(wire.next().await, Some(data(b"abc")));
    wire.send(Frame::WindowUpdate { stream: 1, delta: 10 }).await;
    assert_eq!(wire.next().await, Some(data(b"def")));
    writer.await.unwrap();
}

#[tokio::test]
async fn what_is_read_opens_the_windows() {
    let (mut wire, _connection, mut incoming, _carrier) = by_hand(Role::Server);
    wire.send(syn(1)).await;
    let mut stream = incoming.recv().await.unwrap().accept().await.unwrap();
    assert!(matches!(wire.next().await, Some(Frame::SynReply { .. })));
    wire.send(Frame::Data { stream: 1, fin: false, bytes: vec![0; 40_000].into() }).await;
    let mut read = vec![0; 40_000];
    stream.read_exact(&mut read).await.unwrap();
    let mut opened = std::collections::BTreeMap::new();
    for _ in 0..2 {
        match wire.next().await {
            Some(Frame::WindowUpdate { stream, delta }) => opened.insert(stream, delta),
            other => panic!("{other:?}"),
        };
    }
    assert!(opened[&0] >= 32_768 && opened[&1] >= 32_768, "{opened:?}");
}

#[tokio::test]
async fn who_breaks_the_rules_is_cut_off() {
    let rows: [(&str, Vec<Frame>); 3] = [
        ("a number of the server", vec![syn(2)]),
        ("a number twice", vec![syn(3), syn(3)]),
        ("a number below one that was used", vec![syn(3), syn(1)]),
    ];
    for (name, frames) in rows {
        let (mut wire, _connection, incoming, carrier) = by_hand(Role::Server);
        for frame in frames {
            wire.send(frame).await;
        }
        assert!(matches!(carrier.await.unwrap(), Err(Error::Protocol(_))), "{name}");
        drop(incoming);
    }
}

#[tokio::test]
async fn too_many_streams_are_refused() {
    let (mut wire, _connection, mut incoming, _carrier) = by_hand(Role::Server);
    let accepting = tokio::spawn(async move {
        let mut streams = Vec::new();
        for _ in 0..MAX_STREAMS {
            streams.push(incoming.recv().await.unwrap().accept().await.unwrap());
        }
        (streams, incoming)
    });
    for n in 0..u32::try_from(MAX_STREAMS).unwrap() {
        wire.send(syn(2 * n + 1)).await;
        assert!(matches!(wire.next().await, Some(Frame::SynReply { .. })));
    }
    let kept = accepting.await.unwrap();
    wire.send(syn(9_999)).await;
    let refused = Frame::RstStream { stream: 9_999, status: reset::REFUSED_STREAM };
    assert_eq!(wire.next().await, Some(refused));
    drop(kept);
}
