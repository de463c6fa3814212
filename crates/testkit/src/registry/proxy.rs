//! A proxy in front of a registry: it forwards, answers itself, or breaks off in the middle, as the test says for each request.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET /v2/ HTTP/1.1`
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Of a request that has one.
    pub body: String,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It goes to the registry.
    Forward,
    /// So many bytes of the registry's answer come, head included.
    CutAfter(usize),
    /// Status line without the version, further header lines, body.
    Reply(String, Vec<String>, String),
}

/// A running proxy. It ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts one before a registry.
    pub fn start(
        registry: SocketAddr,
        behave: impl Fn(&Request) -> Behaviour + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (log, end, behave) = (requests.clone(), ended.clone(), Arc::new(behave));
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if end.load(Ordering::Relaxed) {
                    break;
                }
                let (log, behave) = (log.clone(), behave.clone());
                // A client that goes away ends this thread only.
                thread::spawn(move || serve(connection, registry, &log, behave.as_ref()));
            }
        });
        Self { address, requests, ended }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A name for an image behind it.
    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// All that came so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes up whoever waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    mut client: TcpStream,
    registry: SocketAddr,
    log: &Mutex<Vec<Request>>,
    behave: &(dyn Fn(&Request) -> Behaviour + Send + Sync),
) -> io::Result<()> {
    let request = read(&mut BufReader::new(client.try_clone()?))?;
    log.lock().push(request.clone());
    let limit = match behave(&request) {
        Behaviour::Reply(status, headers, body) => {
            let headers: Vec<String> = headers.iter().map(|line| format!("{line}\r\n")).collect();
            let headers = headers.concat();
            let length = body.len();
            write!(
                client,
                "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )?;
            return client.shutdown(Shutdown::Both);
        }
        Behaviour::Forward => usize::MAX,
        Behaviour::CutAfter(bytes) => bytes,
    };
    let mut server = TcpStream::connect(registry)?;
    let kept = request.headers.iter().filter(|(name, _)| name != "connection");
    let headers: Vec<String> = kept.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let headers = headers.concat();
    write!(server, "{}\r\n{headers}connection: close\r\n\r\n", request.line)?;
    io::copy(&mut (&mut server).take(limit as u64), &mut client)?;
    client.shutdown(Shutdown::Both)
}

fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Request {
        line: line.trim_end().to_owned(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
