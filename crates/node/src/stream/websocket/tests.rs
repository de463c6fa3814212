//! Against a client of the library.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

async fn client(io: DuplexStream) -> Socket<DuplexStream> {
    WebSocketStream::from_raw_socket(io, Role::Client, None).await
}

#[tokio::test]
async fn channels_are_read_written_and_ended() {
    let (near, far) = duplex(64 * 1024);
    let (connection, mut outlets, carrier) = open(far, Format::Binary { ends: true }, &[0, 4]);
    let carrier = tokio::spawn(carrier);
    let mut client = client(near).await;
    client.send(Message::Binary(Bytes::from_static(b"\0input"))).await.unwrap();
    client.send(Message::Binary(Bytes::from_static(b"\x09nobody reads this"))).await.unwrap();
    client.send(Message::Binary(Bytes::from_static(b"\xff\0"))).await.unwrap();
    let mut heard = String::new();
    outlets[0].read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "input");
    connection.writer(1).write_all(b"output").await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Binary(Bytes::from_static(b"\x01output")));
    connection.close().await;
    assert!(matches!(client.next().await.unwrap().unwrap(), Message::Close(Some(_))));
    // The library answers the end by itself when it is read on.
    assert!(client.next().await.is_none());
    carrier.await.unwrap().unwrap();
}

#[tokio::test]
async fn pings_are_answered_and_a_client_that_goes_away_breaks_its_channels() {
    let (near, far) = duplex(64 * 1024);
    let (_connection, mut outlets, carrier) = open(far, Format::Binary { ends: false }, &[0]);
    let carrier = tokio::spawn(carrier);
    let mut client = client(near).await;
    client.send(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"?")));
    drop(client);
    let _ = carrier.await.unwrap();
    assert_eq!(outlets[0].read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_shown_to_be_alive() {
    let (near, far) = duplex(64 * 1024);
    let (_connection, _outlets, carrier) = open(far, Format::Binary { ends: true }, &[0]);
    let carrier = tokio::spawn(carrier);
    let mut client = client(near).await;
    let begin = tokio::time::Instant::now();
    while begin.elapsed() < std::time::Duration::from_mins(31) {
        assert!(matches!(client.next().await.unwrap().unwrap(), Message::Ping(_)));
    }
    assert!(!carrier.is_finished());
}

#[tokio::test]
async fn a_tunnel_carries_bytes_whatever_the_messages() {
    let (near, far) = duplex(64 * 1024);
    let mut client = client(near).await;
    let mut tunnel = Tunnel::new(far).await;
    for piece in ["abc", "", "defg"] {
        client.send(Message::Binary(Bytes::from_static(piece.as_bytes()))).await.unwrap();
    }
    let (mut first, mut second) = ([0; 2], [0; 5]);
    tunnel.read_exact(&mut first).await.unwrap();
    tunnel.read_exact(&mut second).await.unwrap();
    assert_eq!((&first, &second), (b"ab", b"cdefg"));
    tunnel.write_all(b"back").await.unwrap();
    tunnel.flush().await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Binary(Bytes::from_static(b"back")));
    client.close(None).await.unwrap();
    assert_eq!(tunnel.read(&mut first).await.unwrap(), 0);
}
