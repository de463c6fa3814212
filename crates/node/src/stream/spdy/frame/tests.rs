//! Frames from bytes, and both ways.

use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> BytesMut {
    let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(&d.iter().collect::<String>(), 16).unwrap()).collect()
}

fn decode_all(decoder: &mut Decoder, buffer: &mut BytesMut) -> Result<Vec<Frame>, Error> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(buffer)? {
        frames.push(frame);
    }
    Ok(frames)
}

#[test]
fn bytes_are_read_as_the_frames_that_they_are() {
    let data = |stream, fin, text: &'static str| Frame::Data {
        stream,
        fin,
        bytes: Bytes::from_static(text.as_bytes()),
    };
    let rows: Vec<(&str, &str, Vec<Frame>)> = vec![
        ("nothing", "", vec![]),
        ("half a head", "8003 0006 00", vec![]),
        ("data", "00000003 00 000002 6869", vec![data(3, false, "hi")]),
        ("the last data", "00000003 01 000001 21", vec![data(3, true, "!")]),
        ("an end without data", "00000005 01 000000", vec![data(5, true, "")]),
        ("data that are not all there", "00000003 01 000004 6869", vec![data(3, false, "hi")]),
        (
            "a stream is opened",
            "8003 0001 00 000024 00000001 00000000 6000 78f9e3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff",
            vec![Frame::SynStream {
                stream: 1,
                associated: 0,
                priority: 3,
                fin: false,
                unidirectional: false,
                headers: Headers::of(&[("streamtype", "error")]),
            }],
        ),
        ("reset", "8003 0003 00 000008 00000007 00000005", vec![Frame::RstStream { stream: 7, status: 5 }]),
        ("a ping", "8003 0006 00 000004 00000001", vec![Frame::Ping(1)]),
        ("go away", "8003 0007 00 000008 00000009 00000000", vec![Frame::GoAway { last: 9, status: 0 }]),
        (
            "settings",
            "8003 0004 01 00000c 00000001 01000007 00010000",
            vec![Frame::Settings { clear: true, entries: vec![(1, INITIAL_WINDOW_SIZE, 65_536)] }],
        ),
        (
            "a window",
            "8003 0009 00 000008 00000001 00008000",
            vec![Frame::WindowUpdate { stream: 1, delta: 32_768 }],
        ),
        (
            "an unknown one is passed over",
            "8003 00ff 00 000002 0000 8003 0006 00 000004 00000002",
            vec![Frame::Unknown(255), Frame::Ping(2)],
        ),
    ];
    for (name, hex, want) in rows {
        assert_eq!(decode_all(&mut Decoder::default(), &mut bytes(hex)), Ok(want), "{name}");
    }
}

#[test]
fn what_is_no_frame_is_refused() {
    let rows = [
        ("version 2", "8002 0006 00 000004 00000001", Error::Version(2)),
        ("a long control frame", "8003 0001 00 ffffff", Error::TooLong),
        ("a short ping", "8003 0006 00 000002 0000", Error::Malformed),
        ("a long reset", "8003 0003 00 00000a 00000000000000000000", Error::Malformed),
        ("settings that are not there", "8003 0004 00 000004 00000009", Error::Malformed),
        ("more settings than can be", "8003 0004 00 000004 ffffffff", Error::Malformed),
        ("no headers", "8003 0002 00 000004 00000001", Error::Headers),
    ];
    for (name, hex, want) in rows {
        assert_eq!(decode_all(&mut Decoder::default(), &mut bytes(hex)), Err(want), "{name}");
    }
}

#[test]
fn long_data_are_several_frames() {
    let mut out = BytesMut::new();
    let frame = Frame::Data { stream: 1, fin: true, bytes: vec![7; MAX_DATA_BYTES + 1].into() };
    Encoder::default().encode(&frame, &mut out);
    let frames = decode_all(&mut Decoder::default(), &mut out).unwrap();
    let lengths: Vec<_> = frames
        .iter()
        .map(|frame| match frame {
            Frame::Data { fin, bytes, .. } => (bytes.len(), *fin),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [(MAX_DATA_BYTES, false), (1, true)]);
}

fn headers() -> impl Strategy<Value = Headers> {
    prop::collection::vec(("[a-z-]{1,12}", "\\PC{0,20}"), 0..5).prop_map(Headers)
}

fn frames() -> impl Strategy<Value = Frame> {
    let id = 1..=ID_MASK;
    let entries = prop::collection::vec((any::<u8>(), 0..1_u32 << 24, any::<u32>()), 0..4);
    prop_oneof![
        (id.clone(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(stream, fin, bytes)| Frame::Data { stream, fin, bytes: bytes.into() }),
        (id.clone(), 0..=ID_MASK, 0..8_u8, any::<bool>(), any::<bool>(), headers()).prop_map(
            |(stream, associated, priority, fin, unidirectional, headers)| Frame::SynStream {
                stream,
                associated,
                priority,
                fin,
                unidirectional,
                headers
            }
        ),
        (id.clone(), any::<bool>(), headers()).prop_map(|(stream, fin, headers)| Frame::SynReply {
            stream,
            fin,
            headers
        }),
        (id.clone(), any::<bool>(), headers()).prop_map(|(stream, fin, headers)| Frame::Headers {
            stream,
            fin,
            headers
        }),
        (id.clone(), any::<u32>()).prop_map(|(stream, status)| Frame::RstStream { stream, status }),
        (any::<bool>(), entries).prop_map(|(clear, entries)| Frame::Settings { clear, entries }),
        any::<u32>().prop_map(Frame::Ping),
        (id.clone(), any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (0..=ID_MASK, id).prop_map(|(stream, delta)| Frame::WindowUpdate { stream, delta }),
    ]
}

/// Puts the pieces of each data frame together.
fn joined(frames: Vec<Frame>) -> Vec<Frame> {
    let mut whole: Vec<Frame> = Vec::new();
    let mut open = false;
    for frame in frames {
        if let (true, Some(Frame::Data { fin, bytes, .. }), Frame::Data { fin: last, bytes: more, .. }) =
            (open, whole.last_mut(), &frame)
        {
            *bytes = [bytes.clone(), more.clone()].concat().into();
            *fin = *last;
            continue;
        }
        open = matches!(frame, Frame::Data { .. });
        whole.push(frame);
    }
    whole
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(list in prop::collection::vec(frames(), 0..12), cut in 1..40_usize) {
        let (mut encoder, mut decoder, mut wire) = (Encoder::default(), Decoder::default(), BytesMut::new());
        for frame in &list {
            encoder.encode(frame, &mut wire);
        }
        let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(cut) {
            buffer.extend_from_slice(piece);
            read.extend(decode_all(&mut decoder, &mut buffer).unwrap());
        }
        prop_assert!(buffer.is_empty());
        // Neighbouring data frames of one stream cannot be told from pieces of one, so both sides are joined.
        let same = |frames: Vec<Frame>| {
            let mut list = joined(frames);
            for frame in &mut list {
                if let Frame::Data { stream, .. } = frame {
                    *stream = 0;
                }
            }
            list
        };
        prop_assert_eq!(same(read), same(list));
    }

    #[test]
    fn any_bytes_are_frames_or_refused(garbage in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_all(&mut Decoder::default(), &mut garbage.as_slice().into());
    }
}
