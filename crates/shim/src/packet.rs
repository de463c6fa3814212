//! Packets with file descriptors on `SOCK_SEQPACKET` Unix sockets: what both ends of the protocol do with their socket. It knows no message.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// Most file descriptors beside one packet: stdin, stdout, stderr.
pub const MAX_DESCRIPTORS: usize = 3;

/// The longest packet: what the kernel's default buffers hold.
pub const MAX_BYTES: usize = 192 * 1024;

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Addresses of sockets have 108 bytes; a path through an open directory is always short.
fn with_short_path<T>(path: &Path, act: impl FnOnce(&SocketAddrUnix) -> io::Result<T>) -> io::Result<T> {
    use std::os::fd::AsRawFd;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory =
        rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    act(&SocketAddrUnix::new(&short)?)
}

/// Listens at a path, where nothing may be.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    with_short_path(path, |address| Ok(rustix::net::bind(&socket, address)?))?;
    rustix::net::listen(&socket, 16)?;
    Ok(socket)
}

/// Connects to a path. A socket whose owner is gone refuses.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    with_short_path(path, |address| Ok(rustix::net::connect(&socket, address)?))?;
    Ok(socket)
}

/// Takes a connection.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?)
}

/// Sends one packet, whole or not at all.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::net::sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )?;
    Ok(())
}

/// Receives one packet; an empty one is the end. A packet that is too long is an error.
pub fn receive(socket: impl AsFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let socket = socket.as_fd();
    // The length first, so that no buffer is larger than what it holds.
    let (_, length) = rustix::net::recv(
        socket,
        &mut [0_u8; 1][..],
        RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT,
    )?;
    if length > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a packet of {length} bytes")));
    }
    let mut bytes = vec![0; length.max(1)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    bytes.truncate(received.bytes);
    Ok((bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn packets_and_descriptors_arrive_whole() {
        let directory = tempfile::tempdir().unwrap();
        // Longer than an address may be.
        let deep = directory.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("socket");
        let listener = listen(&path).unwrap();
        let client = connect(&path).unwrap();
        let server = accept(&listener).unwrap();

        let (read, write) = rustix::pipe::pipe().unwrap();
        send(&server, b"one", &[write.as_fd()]).unwrap();
        send(&server, b"two", &[]).unwrap();
        drop(write);
        let (bytes, mut descriptors) = receive(&client).unwrap();
        assert_eq!(bytes, b"one");
        File::from(descriptors.pop().unwrap()).write_all(b"through").unwrap();
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert_eq!(receive(&client).unwrap().0, b"two");
        assert_eq!(receive(&client).unwrap_err().kind(), io::ErrorKind::WouldBlock, "nothing is there");
        drop(server);
        assert_eq!(receive(&client).unwrap().0, b"", "the end");
    }
}
