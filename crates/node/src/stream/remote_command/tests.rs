//! Clients of each protocol against the fake runtime.

use std::sync::Arc;

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::container::{ContainerId, PodUid};
use crate::runtime::fake::{Fake, container_config, programs, sandbox_config};
use crate::runtime::{ExecConfig, Runtime as _, Wanted};
use crate::stream::spdy::header::Headers;

async fn container(fake: &Fake) -> ContainerId {
    let pod = PodUid::new("u").unwrap();
    fake.start_sandbox(&sandbox_config(&pod, "default", "p", "".as_ref())).await.unwrap();
    let id = ContainerId { pod, name: "c".into(), attempt: 0 };
    fake.create_container(&container_config(&id, &["pause"])).await.unwrap();
    fake.start_container(&id).await.unwrap();
    id
}

/// A server that runs `command` for whoever speaks on the other end.
async fn served(
    fake: &Fake,
    upgrade: Upgrade,
    protocol: &'static str,
    options: Options,
    command: &[&str],
) -> DuplexStream {
    let id = container(fake).await;
    let (near, far) = duplex(64 * 1024);
    let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
    let fake = fake.clone();
    tokio::spawn(async move {
        let Options { stdin, stdout, stderr, terminal } = options;
        let config =
            ExecConfig { command: command.clone(), terminal, wanted: Wanted { stdin, stdout, stderr } };
        serve(far, &upgrade, protocol, options, What::Exec(command), fake.exec(&id, &config)).await;
    });
    near
}

const ALL: Options = Options { stdin: true, stdout: true, stderr: true, terminal: false };

struct SpdyClient {
    connection: spdy::Connection,
    streams: std::collections::HashMap<&'static str, spdy::Stream>,
}

async fn spdy_client(io: DuplexStream, names: &[&'static str]) -> SpdyClient {
    let (connection, _, carrier) = spdy::open(io, spdy::Role::Client);
    tokio::spawn(carrier);
    let mut streams = std::collections::HashMap::new();
    for name in names {
        let headers = Headers::of(&[("streamType", name)]);
        streams.insert(*name, connection.open(headers).await.unwrap());
    }
    SpdyClient { connection, streams }
}

impl SpdyClient {
    async fn read(&mut self, name: &str) -> String {
        let mut text = String::new();
        self.streams.get_mut(name).unwrap().read_to_string(&mut text).await.unwrap();
        text
    }

    async fn end_input(&mut self) {
        self.streams.get_mut("stdin").unwrap().shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn spdy_carries_input_output_and_the_end() {
    let fake = Fake::default();
    let io = served(&fake, Upgrade::Spdy, "v4.channel.k8s.io", ALL, &["cat"]).await;
    let mut client = spdy_client(io, &["error", "stdin", "stdout", "stderr"]).await;
    client.streams.get_mut("stdin").unwrap().write_all(b"hello").await.unwrap();
    client.end_input().await;
    assert_eq!(client.read("stdout").await, "hello");
    assert_eq!(client.read("stderr").await, "");
    let status: serde_json::Value = serde_json::from_str(&client.read("error").await).unwrap();
    assert_eq!(status["status"], "Success");
    assert_eq!(client.read("stdin").await, "", "the server ends the input when the command has");
    client.connection.close().await;
}

#[tokio::test]
async fn exit_codes_are_told_as_the_protocol_has_them() {
    let rows = [
        ("v4.channel.k8s.io", "exit", "\"reason\":\"ExitCode\""),
        (
            "v1",
            "exit",
            "command terminated with non-zero exit code: error executing command [exit 3], exit code 3",
        ),
        ("v4.channel.k8s.io", "missing", "exec: \\\"missing\\\": executable file not found in $PATH"),
    ];
    for (protocol, command, want) in rows {
        let fake = Fake::default();
        let io = served(&fake, Upgrade::Spdy, protocol, ALL, &[command, "3"]).await;
        let mut client = spdy_client(io, &["error", "stdin", "stdout", "stderr"]).await;
        let said = client.read("error").await;
        assert!(said.contains(want), "{protocol} {command}: {said}");
        for name in ["stdin", "stdout", "stderr"] {
            assert_eq!(client.read(name).await, "", "{name} of {command} ends, and is not reset");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_too_few_streams_is_not_waited_for_forever() {
    let fake = Fake::default();
    let io = served(&fake, Upgrade::Spdy, "v4.channel.k8s.io", ALL, &["cat"]).await;
    let mut client = spdy_client(io, &["stdin", "stdout"]).await;
    let mut text = String::new();
    let error = client.streams.get_mut("stdout").unwrap().read_to_string(&mut text).await;
    assert!(error.is_err());
    assert_eq!(fake.processes(), 1, "nothing but the container runs");
}

/// A program that says when it was killed.
fn hanging() -> (Fake, mpsc::Receiver<()>) {
    let (alive, gone) = mpsc::channel::<()>(1);
    let alive = Arc::new(parking_lot::Mutex::new(Some(alive)));
    let hang = programs::program(move |mut process| {
        let alive = alive.lock().take();
        async move {
            process.stdout.write_all(b"begun").await.unwrap();
            pending::<()>().await;
            drop((process, alive));
            0
        }
    });
    (Fake::default().program("hang", hang), gone)
}

#[tokio::test]
async fn a_spdy_client_that_goes_away_ends_the_command() {
    let (fake, mut gone) = hanging();
    let io = served(&fake, Upgrade::Spdy, "v4.channel.k8s.io", ALL, &["hang"]).await;
    let (connection, _, carrier) = spdy::open(io, spdy::Role::Client);
    let carrier = tokio::spawn(carrier);
    let mut streams = Vec::new();
    for name in ["error", "stdin", "stderr", "stdout"] {
        streams.push(connection.open(Headers::of(&[("streamtype", name)])).await.unwrap());
    }
    let mut begun = [0; 5];
    streams[3].read_exact(&mut begun).await.unwrap();
    carrier.abort();
    assert!(gone.recv().await.is_none());
}

async fn web_client(io: DuplexStream) -> WebSocketStream<DuplexStream> {
    WebSocketStream::from_raw_socket(io, Role::Client, None).await
}

fn web() -> Upgrade {
    Upgrade::WebSocket(String::new())
}

/// All that a client hears, by channel.
async fn heard(client: &mut WebSocketStream<DuplexStream>) -> std::collections::BTreeMap<u8, Vec<u8>> {
    let mut channels = std::collections::BTreeMap::<u8, Vec<u8>>::new();
    while let Some(Ok(message)) = client.next().await {
        match message {
            Message::Binary(bytes) => channels.entry(bytes[0]).or_default().extend_from_slice(&bytes[1..]),
            Message::Text(text) => {
                let (channel, data) = text.split_at(1);
                let data = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap();
                channels.entry(channel.parse().unwrap()).or_default().extend(data);
            }
            Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1000),
            _ => {}
        }
    }
    channels
}

#[tokio::test]
async fn websockets_of_the_fifth_version_end_the_input() {
    let fake = Fake::default();
    let mut client = web_client(served(&fake, web(), "v5.channel.k8s.io", ALL, &["cat"]).await).await;
    for message in [&b"\0hello"[..], b"\xff\0"] {
        client.send(Message::Binary(bytes::Bytes::from_static(message))).await.unwrap();
    }
    let channels = heard(&mut client).await;
    assert_eq!(channels[&STDOUT], b"hello");
    let status: serde_json::Value = serde_json::from_slice(&channels[&ERROR]).unwrap();
    assert_eq!(status["status"], "Success");
}

#[tokio::test]
async fn older_websockets_hear_the_end_too() {
    let rows = [
        ("v4.channel.k8s.io", "\"reason\":\"ExitCode\""),
        ("v4.base64.channel.k8s.io", "\"reason\":\"ExitCode\""),
        ("channel.k8s.io", "command terminated with non-zero exit code"),
        ("base64.channel.k8s.io", "command terminated with non-zero exit code"),
        ("", "command terminated with non-zero exit code"),
    ];
    for (protocol, want) in rows {
        let fake = Fake::default();
        let mut client = web_client(served(&fake, web(), protocol, ALL, &["fail", "why"]).await).await;
        let channels = heard(&mut client).await;
        assert_eq!(channels[&STDERR], b"why\n", "{protocol}");
        let said = String::from_utf8(channels[&ERROR].clone()).unwrap();
        assert!(said.contains(want), "{protocol}: {said}");
    }
}

#[tokio::test]
async fn a_terminal_learns_its_sizes() {
    let fake = Fake::default();
    let options = Options { terminal: true, stderr: false, ..ALL };
    let mut client = web_client(served(&fake, web(), "v5.channel.k8s.io", options, &["sizes"]).await).await;
    client.send(Message::Binary(b"\x04{\"Width\":80,\"Height\":24}\n"[..].to_vec().into())).await.unwrap();
    loop {
        let message = client.next().await.unwrap().unwrap().into_data();
        if message.len() > 1 {
            assert_eq!(&message[..], b"\x0180x24\r\n");
            break;
        }
    }
    client.send(Message::Binary(b"\xff\0"[..].to_vec().into())).await.unwrap();
    assert!(heard(&mut client).await.contains_key(&ERROR));
}

#[tokio::test]
async fn a_websocket_client_that_goes_away_ends_the_command() {
    let (fake, mut gone) = hanging();
    let mut client = web_client(served(&fake, web(), "v4.channel.k8s.io", ALL, &["hang"]).await).await;
    while !client.next().await.unwrap().unwrap().into_data().ends_with(b"begun") {}
    drop(client);
    assert!(gone.recv().await.is_none());
}

#[tokio::test]
async fn input_that_nobody_reads_is_not_in_the_way() {
    let fake = Fake::default();
    let io = served(&fake, Upgrade::Spdy, "v4.channel.k8s.io", ALL, &["echo", "done"]).await;
    let mut client = spdy_client(io, &["error", "stdin", "stdout", "stderr"]).await;
    let mut stdin = client.streams.remove("stdin").unwrap();
    let flood = tokio::spawn(async move { while stdin.write_all(&[0; 4096]).await.is_ok() {} });
    assert_eq!(client.read("stdout").await, "done\n");
    assert!(client.read("error").await.contains("Success"));
    flood.abort();
}

#[test]
fn the_query_says_which_streams() {
    let rows = [
        ("input=1&output=1&error=1", Ok(ALL)),
        ("output=1&tty=1&error=1", Ok(Options { stdout: true, terminal: true, ..Options::default() })),
        ("output=true", Err("you must specify at least 1 of stdin, stdout, stderr")),
        ("", Err("you must specify at least 1 of stdin, stdout, stderr")),
    ];
    for (query, want) in rows {
        assert_eq!(Options::parse(query), want, "{query}");
    }
}
