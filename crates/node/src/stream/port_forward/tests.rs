//! Clients of each protocol against the fake runtime, whose port 80 echoes.

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::runtime::fake::{Fake, sandbox_config};

/// A server for whoever speaks on the other end.
async fn served(upgrade: Upgrade, protocol: &'static str, ports: &'static [u16]) -> DuplexStream {
    let echo = |mut io: DuplexStream| {
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(&mut io);
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            write.shutdown().await.unwrap();
        });
    };
    let fake = Fake::default().listener(80, Arc::new(echo));
    let pod = PodUid::new("u").unwrap();
    fake.start_sandbox(&sandbox_config(&pod, "default", "p", "".as_ref())).await.unwrap();
    let (near, far) = duplex(64 * 1024);
    let target = Target { runtime: Arc::new(fake), pod, name: "p".into() };
    tokio::spawn(async move { serve(far, &upgrade, protocol, ports, target).await });
    near
}

fn headers(kind: &str, port: &str, request: &str) -> Headers {
    Headers::of(&[("streamType", kind), ("port", port), ("requestID", request)])
}

async fn talk(connection: &spdy::Connection, port: &str, request: &str, text: &str) -> (String, String) {
    let mut error = connection.open(headers("error", port, request)).await.unwrap();
    error.shutdown().await.unwrap();
    let data = connection.open(headers("data", port, request)).await.unwrap();
    let (mut heard, mut why) = (String::new(), String::new());
    // Both at once: what comes back is more than the streams hold.
    let (mut read, mut write) = tokio::io::split(data);
    let said = async {
        write.write_all(text.as_bytes()).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let ((), read) = tokio::join!(said, read.read_to_string(&mut heard));
    read.unwrap();
    error.read_to_string(&mut why).await.unwrap();
    (heard, why)
}

#[tokio::test]
async fn spdy_carries_connections_one_after_another_and_tells_why_one_fails() {
    let io = served(Upgrade::Spdy, "portforward.k8s.io", &[]).await;
    let (connection, _, carrier) = spdy::open(io, spdy::Role::Client);
    tokio::spawn(carrier);
    for request in ["0", "1", "2"] {
        let (heard, why) = talk(&connection, "80", request, "hello").await;
        assert_eq!((heard.as_str(), why.as_str()), ("hello", ""));
    }
    let (heard, why) = talk(&connection, "81", "3", "hello").await;
    assert_eq!(heard, "");
    let want = "error forwarding port 81 to pod p, uid u: dial tcp4 127.0.0.1:81: connection refused";
    assert_eq!(why, want);
}

#[tokio::test]
async fn a_tunnel_carries_the_same() {
    let io = served(Upgrade::WebSocket(String::new()), TUNNEL, &[]).await;
    let socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    // The client's side of the tunnel, by hand.
    let (near, far) = duplex(64 * 1024);
    let (mut sink, mut stream) = socket.split();
    let (mut read, mut write) = tokio::io::split(far);
    tokio::spawn(async move {
        let mut buffer = vec![0; 1000];
        while let Ok(n @ 1..) = read.read(&mut buffer).await {
            sink.send(Message::Binary(buffer[..n].to_vec().into())).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            write.write_all(&message.into_data()).await.unwrap();
        }
    });
    let (connection, _, carrier) = spdy::open(near, spdy::Role::Client);
    tokio::spawn(carrier);
    let long = "x".repeat(300_000);
    assert_eq!(talk(&connection, "80", "0", &long).await, (long, String::new()));
}

#[tokio::test(start_paused = true)]
async fn half_a_connection_is_not_waited_for_forever() {
    let io = served(Upgrade::Spdy, "portforward.k8s.io", &[]).await;
    let (connection, _, carrier) = spdy::open(io, spdy::Role::Client);
    tokio::spawn(carrier);
    let mut data = connection.open(headers("data", "80", "0")).await.unwrap();
    assert_eq!(data.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn plain_websockets_have_two_channels_a_port() {
    let io = served(Upgrade::WebSocket(String::new()), "v4.channel.k8s.io", &[80, 81]).await;
    let mut client = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    client.send(Message::Binary(b"\0ping"[..].to_vec().into())).await.unwrap();
    let mut channels = HashMap::<u8, Vec<u8>>::new();
    while channels.get(&0).is_none_or(|heard| heard.len() < 6) || channels.get(&3).is_none_or(|e| e.len() < 3)
    {
        let message = client.next().await.unwrap().unwrap().into_data();
        channels.entry(message[0]).or_default().extend_from_slice(&message[1..]);
    }
    assert_eq!(channels[&0], b"\x50\0ping");
    assert_eq!((&channels[&1][..], &channels[&2][..]), (&b"\x50\0"[..], &b"\x51\0"[..]));
    assert!(channels[&3].starts_with(b"\x51\0error forwarding port 81 to pod p"));
}

#[test]
fn streams_say_their_port_and_purpose() {
    let rows = [
        (headers("data", "80", "0"), Ok((80, Purpose::Data))),
        (headers("error", "80", "0"), Ok((80, Purpose::Error))),
        (headers("data", "", "0"), Err("\"port\" header is required")),
        (headers("data", "0", "0"), Err("port \"0\" must be > 0")),
        (headers("data", "70000", "0"), Err("unable to parse \"70000\" as a port")),
        (headers("", "80", "0"), Err("\"streamType\" header is required")),
        (headers("stdin", "80", "0"), Err("invalid stream type \"stdin\"")),
    ];
    for (headers, want) in rows {
        assert_eq!(purpose(&headers), want.map_err(str::to_owned), "{headers:?}");
    }
}

#[test]
fn the_query_says_the_ports() {
    let rows = [
        ("port=80&port=443", Ok(vec![80, 443])),
        ("port=80,443", Ok(vec![80, 443])),
        ("", Err("query parameter \"port\" is required")),
        ("port=x", Err("unable to parse \"x\" as a port")),
        ("port=0", Err("unable to parse \"0\" as a port")),
    ];
    for (query, want) in rows {
        assert_eq!(ports(query), want.map_err(str::to_owned), "{query}");
    }
}
