//! Vectors made by hand after Go's generated code, and properties.

use std::fmt::Write as _;
use std::sync::LazyLock;

use proptest::prelude::*;
use sampan_model::Value;

use super::{Backwards, Layout, MessageId, Transcoder, decode, encode, envelope};
use crate::schemas::{CORE, core, parse, value};
use crate::types::SchemaSet;

const NUMBERS: &str = "\
# a comment
io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta\tname=1:string\tnamespace=3:string\tgeneration=7:int64\tcreationTimestamp=8:time\tlabels=11:{}string\tfinalizers=14:[]string
io.k8s.api.core.v1.ConfigMap\tmetadata=1:#io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta\tdata=2:{}string\tbinaryData=3:{}bytes\timmutable=4:boolean
io.k8s.api.core.v1.ResourceRequirements\tlimits=1:{}quantity
io.k8s.api.core.v1.ServicePort\tname=1:string\tprotocol=2:string\tport=3:int32\ttargetPort=4:intorstring\tnodePort=5:int32
io.k8s.api.core.v1.EmptyDir\tmedium=1:string\tsizeLimit=2:quantity
io.k8s.api.core.v1.Volume\tname=1:string\temptyDir=2.2:#io.k8s.api.core.v1.EmptyDir
io.k8s.api.core.v1.Toleration\tkey=1:string\toperator=2:string\tvalue=3:string\teffect=4:string\ttolerationSeconds=5:int64
io.k8s.api.core.v1.PodSpec\tvolumes=1:[]#io.k8s.api.core.v1.Volume\tpriority=25:int32\thostNetwork=11:boolean
io.k8s.api.core.v1.PodSpec\ttolerations=22:[]#io.k8s.api.core.v1.Toleration
io.k8s.api.core.v1.PodCondition\ttype=1:string\tstatus=2:string\tlastProbeTime=3:time\tlastTransitionTime=4:time\tmessage=6:string
io.k8s.api.apps.v1.ControllerRevision\tmetadata=1:#io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta\tdata=2:raw\trevision=3:int64
Forms\tmicro=1:microtime\titems=2:items\tdoubles=3:[]double\tnumbers=4:[]int32\tone=5:oneormany#Forms\tallowed=6:boolor#Forms\tstrings=7:stringsor#Forms\tmany=8:{}items\tbytes=9:bytes
";

static LAYOUT: LazyLock<Layout> = LazyLock::new(|| Layout::new(&parse(CORE, SchemaSet::new()), NUMBERS));

fn id(kind: &str) -> MessageId {
    let name = core(kind).ty().name.clone();
    LAYOUT.find(&name.unwrap()).unwrap()
}

/// The message of a tree, which is that of its text.
fn bytes(id: MessageId, object: &Value) -> Vec<u8> {
    let mut out = Backwards::default();
    encode(&LAYOUT, id, object, &mut out).unwrap();
    assert_eq!(out.as_slice(), transcoded(id, object.to_json().as_bytes()).unwrap(), "{object:?}");
    out.as_slice().to_vec()
}

fn transcoded(id: MessageId, json: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Backwards::default();
    let mut transcoder = Transcoder::default();
    transcoder.transcode(&LAYOUT, id, json, &mut out).map_err(|error| error.to_string())?;
    Ok(out.as_slice().to_vec())
}

#[test]
fn a_text_is_read_as_the_tree_that_it_stands_for() {
    let rows = [
        ("spaces and a line break", "ConfigMap", " { \"data\" : { \"a\" : \"b\" , \"c\" : \"\" } } \n"),
        ("escapes", "ConfigMap", r#"{"data":{"\u0061\"":"\n\u00e9\ud83d\ude00"},"metadata":{"name":"\\"}}"#),
        (
            "members in another order",
            "ConfigMap",
            r#"{"metadata":{"name":"x"},"immutable":true,"data":{"k":"v"}}"#,
        ),
        (
            "members that nobody knows",
            "ConfigMap",
            r#"{"kind":"ConfigMap","x":[{"y":[]},1.5e3,null],"metadata":{"name":"x"}}"#,
        ),
        ("null is absent", "ConfigMap", r#"{"data":null,"immutable":null,"metadata":null}"#),
        (
            "raw JSON with a string of quotes",
            "ControllerRevision",
            r#"{"data":{"a":"\"b\"","c":[true,-1]},"revision":-5}"#,
        ),
        ("a raw string", "ControllerRevision", r#"{"data":"a\nb"}"#),
        ("large numbers", "Forms", r#"{"doubles":[1e300,-0.5,9007199254740993,1],"numbers":[2147483647]}"#),
        ("nothing", "ConfigMap", "{}"),
    ];
    for (name, kind, text) in rows {
        let message = if kind == "Forms" { LAYOUT.find("Forms").unwrap() } else { id(kind) };
        let mut out = Backwards::default();
        encode(&LAYOUT, message, &value(text), &mut out).unwrap();
        assert_eq!(transcoded(message, text.as_bytes()).as_deref(), Ok(out.as_slice()), "{name}");
    }
}

#[test]
fn a_text_that_is_not_json_is_refused() {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let rows = [
        "",
        "{",
        "}",
        "[1",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1 2]",
        "[,]",
        "{}{}",
        "nul",
        "\"a",
        "\"a\\",
        "x",
        &deep,
    ];
    for text in rows {
        let error = transcoded(id("ConfigMap"), text.as_bytes()).unwrap_err();
        assert!(error.starts_with("the text is not JSON at byte "), "{error}");
    }
    assert!(transcoded(id("ConfigMap"), b"{\"a\":\"\xff\"}").is_err());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

#[test]
fn trees_and_messages_are_those_of_go() {
    let rows = [
        (
            "ConfigMap",
            r#"{"binaryData":{"b":"AP8="},"data":{"k":"v"},"metadata":{"labels":{"a":"","b":"c"},"name":"a"}}"#,
            "0a16 0a0161 1a00 3800 5a050a01611200 5a060a0162120163 12060a016b120176 1a070a0162120200ff",
        ),
        (
            "ServicePort",
            r#"{"name":"web","port":80,"protocol":"TCP","targetPort":8080}"#,
            "0a03776562 1203544350 1850 22070800 10903f 1a00 2800",
        ),
        (
            "ServicePort",
            r#"{"port":-1,"protocol":"TCP","targetPort":"https"}"#,
            "0a00 1203544350 18ffffffffffffffffff01 220b0801 1000 1a056874747073 2800",
        ),
        (
            "Volume",
            r#"{"emptyDir":{"medium":"Memory","sizeLimit":"1Gi"},"name":"v"}"#,
            "0a0176 1211 120f 0a064d656d6f7279 1205 0a03314769",
        ),
        ("Volume", r#"{"name":"v"}"#, "0a0176 1200"),
        (
            "PodSpec",
            r#"{"priority":0,"tolerations":[{"key":"k","tolerationSeconds":0},{}]}"#,
            "5800 b2010b 0a016b 1200 1a00 2200 2800 b20108 0a00 1200 1a00 2200 c80100",
        ),
        (
            "PodCondition",
            r#"{"lastTransitionTime":"2026-01-01T00:00:00Z","status":"","type":"x"}"#,
            "0a0178 1200 1a00 2208 0880f2d6ca06 1000 3200",
        ),
        (
            "ControllerRevision",
            r#"{"data":{"a":[1]},"metadata":{},"revision":0}"#,
            "0a06 0a00 1a00 3800 120b 0a09 7b2261223a5b315d7d 1800",
        ),
    ];
    for (kind, tree, want) in rows {
        let tree = value(tree);
        let want = want.replace(' ', "");
        assert_eq!(hex(&bytes(id(kind), &tree)), want, "{kind} {tree:?}");
        let Value::Object(got) = decode(&LAYOUT, id(kind), &unhex(&want)).unwrap() else { panic!("{kind}") };
        assert_eq!(Value::Object(got), tree, "{kind}");
    }
}

#[test]
fn values_that_json_shows_as_something_else_go_both_ways() {
    let forms = LAYOUT.find("Forms").unwrap();
    let rows = [
        (r#"{"micro":"2026-01-01T00:00:00.123456Z"}"#, "0a0b 0880f2d6ca06 108094ef3a"),
        (r#"{"items":["a","b"]}"#, "1206 0a0161 0a0162"),
        (r#"{"doubles":[1.5,2]}"#, "19 000000000000f83f 19 0000000000000040"),
        (r#"{"numbers":[1,-2]}"#, "2001 20feffffffffffffffff01"),
        (r#"{"one":[{"items":["a"]},{}]}"#, "2a09 1205 12030a0161 1200"),
        (r#"{"one":{"items":["a"]}}"#, "2a07 0a05 12030a0161"),
        (r#"{"allowed":true}"#, "3202 0801"),
        (r#"{"allowed":{"items":["a"]}}"#, "3209 0801 1205 12030a0161"),
        (r#"{"strings":["a"]}"#, "3a03 120161"),
        (r#"{"strings":{}}"#, "3a02 0a00"),
        (r#"{"many":{"k":["a"]}}"#, "4208 0a016b 12030a0161"),
        (r#"{"bytes":"AP8="}"#, "4a02 00ff"),
    ];
    for (tree, want) in rows {
        let tree = value(tree);
        let got = bytes(forms, &tree);
        assert_eq!(hex(&got), want.replace(' ', ""), "{tree:?}");
        assert_eq!(decode(&LAYOUT, forms, &got).unwrap(), tree);
    }
}

#[test]
fn what_a_sender_may_do_otherwise_is_understood() {
    let forms = LAYOUT.find("Forms").unwrap();
    let rows = [
        (
            "unknown fields and groups are passed over",
            "PodSpec",
            "a00601 a306 0a0161 a406 a206 00 ad06 00000000 c80107",
            r#"{"priority":7}"#,
        ),
        (
            "a message that stands twice is merged",
            "ConfigMap",
            "0a03 0a0161 0a03 0a0162 0a04 5a02 0a00",
            r#"{"metadata":{"labels":{"":""},"name":"b"}}"#,
        ),
        ("a zero that comes later counts", "PodSpec", "5801 5800", "{}"),
        ("packed numbers", "Forms", "2202 0102", r#"{"numbers":[1,2]}"#),
        (
            "the later of two entries counts",
            "ConfigMap",
            "1206 0a016b 120161 1206 0a016b 120162",
            r#"{"data":{"k":"b"}}"#,
        ),
        ("Go's zero time is none", "PodCondition", "220d 088092b8c398feffffff01 1000", "{}"),
        (
            "fractions of a second are dropped",
            "PodCondition",
            "220b 0880f2d6ca06 108094ef3a",
            r#"{"lastTransitionTime":"2026-01-01T00:00:00Z"}"#,
        ),
        ("text that is not UTF-8", "ConfigMap", "0a03 0a01ff", r#"{"metadata":{"name":"�"}}"#),
    ];
    for (name, kind, bytes, want) in rows {
        let message = if kind == "Forms" { forms } else { id(kind) };
        let got = decode(&LAYOUT, message, &unhex(&bytes.replace(' ', "")));
        assert_eq!(got, Ok(value(want)), "{name}");
    }
}

#[test]
fn malformed_messages_are_refused_with_gos_words() {
    let rows = [
        ("0a", "unexpected EOF"),
        ("0a02 61", "unexpected EOF"),
        ("0affffffffffffffffffff01", "proto: integer overflow"),
        ("0affffffffffffffffff01", "proto: negative length found during unmarshaling"),
        ("0801", "proto: wrong wireType = 0 for field metadata"),
        ("0c", "proto: ConfigMap: wiretype end group for non-group"),
        ("07", "proto: ConfigMap: illegal tag 0 (wire type 7)"),
        ("f707", "proto: illegal wireType 7"),
        ("12 02 0801", "proto: wrong wireType = 0 for field data"),
    ];
    for (bytes, want) in rows {
        let error = decode(&LAYOUT, id("ConfigMap"), &unhex(&bytes.replace(' ', ""))).unwrap_err();
        assert_eq!(error.to_string(), want, "{bytes}");
    }
    let kind = unhex("22020802");
    let error = decode(&LAYOUT, id("ServicePort"), &kind).unwrap_err();
    assert_eq!(error.to_string(), "impossible IntOrString.Type");
    let raw = unhex("1203 0a017b".replace(' ', "").as_str());
    assert!(decode(&LAYOUT, id("ControllerRevision"), &raw).is_err(), "what is raw is JSON");
}

#[test]
fn depth_is_bounded() {
    let forms = LAYOUT.find("Forms").unwrap();
    let nested = |levels: usize| {
        (0..levels).fold(Vec::new(), |inner: Vec<u8>, _| {
            let mut out = Backwards::default();
            out.bytes(1, &inner);
            out.close(5, 0);
            out.as_slice().to_vec()
        })
    };
    assert!(decode(&LAYOUT, forms, &nested(100)).is_ok());
    assert_eq!(decode(&LAYOUT, forms, &nested(5000)).unwrap_err().to_string(), "exceeded max depth");
    let json = format!("{}{}", "[".repeat(119), "]".repeat(119));
    let mut out = Backwards::default();
    out.bytes(1, json.as_bytes());
    out.close(2, 0);
    assert!(decode(&LAYOUT, id("ControllerRevision"), out.as_slice()).is_ok());
    let json = format!("[{json}]");
    out.clear();
    out.bytes(1, json.as_bytes());
    out.close(2, 0);
    assert!(decode(&LAYOUT, id("ControllerRevision"), out.as_slice()).is_err());
}

#[test]
fn a_value_of_another_type_is_refused_rather_than_lost() {
    let mut out = Backwards::default();
    let error = encode(&LAYOUT, id("ConfigMap"), &value(r#"{"data":{"k":1}}"#), &mut out).unwrap_err();
    let want = "field data of ConfigMap cannot be written: found integer";
    assert_eq!(error.to_string(), want);
    assert_eq!(transcoded(id("ConfigMap"), br#"{"data":{"k":1}}"#), Err(want.to_owned()));
}

#[test]
fn an_envelope_names_what_is_in_it() {
    let object = value(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#);
    let mut out = Backwards::default();
    envelope::begin(&mut out);
    encode(&LAYOUT, id("ConfigMap"), &object, &mut out).unwrap();
    envelope::close(&mut out, "v1", "ConfigMap");
    let want = "6b387300 0a0f 0a027631 1209436f6e6669674d6170 1209 0a07 0a0161 1a00 3800 1a00 2200";
    assert_eq!(hex(out.as_slice()), want.replace(' ', ""));
    let opened = envelope::open(out.as_slice()).unwrap();
    assert_eq!((opened.api_version.as_str(), opened.kind.as_str()), ("v1", "ConfigMap"));
    let streamed =
        [&envelope::head("v1", "ConfigMap", opened.raw.len()), opened.raw, envelope::tail()].concat();
    assert_eq!(streamed, out.as_slice());
}

/// A tree of a type of the fixtures that has a message, as JSON would decode it.
fn tree() -> impl Strategy<Value = Value> {
    let text = || prop_oneof![Just(String::new()), "[a-zé/]{1,8}"];
    let labels = prop::collection::btree_map("[a-c]{0,2}", text(), 0..4);
    let data = prop::collection::btree_map("[a-c]{0,2}", text(), 0..4);
    let binary = prop::collection::btree_map("[a-c]{0,2}", prop::collection::vec(any::<u8>(), 0..5), 0..3);
    (text(), labels, data, binary, any::<i64>(), prop::option::of(any::<bool>())).prop_map(
        |(name, labels, data, binary, generation, immutable)| {
            use base64::Engine as _;
            let encode = |bytes| base64::engine::general_purpose::STANDARD.encode(bytes);
            let binary: std::collections::BTreeMap<_, _> =
                binary.into_iter().map(|(k, v)| (k, encode(v))).collect();
            let object = serde_json::json!({
                "metadata": {"name": name, "labels": labels, "generation": generation},
                "data": data, "binaryData": binary, "immutable": immutable,
            });
            crate::decode::json(&core("ConfigMap"), object.to_string().as_bytes()).unwrap().value
        },
    )
}

proptest! {
    #[test]
    fn any_text_is_transcoded_or_refused(text in "[\\[\\]{}\",:\\\\a1.e-]{0,40}") {
        let _ = transcoded(id("ConfigMap"), text.as_bytes());
    }

    #[test]
    fn a_tree_survives_its_message(tree in tree()) {
        let bytes = bytes(id("ConfigMap"), &tree);
        prop_assert_eq!(decode(&LAYOUT, id("ConfigMap"), &bytes).unwrap(), tree);
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for message in ["ConfigMap", "PodSpec", "PodCondition", "ServicePort", "ControllerRevision"] {
            if let Ok(tree) = decode(&LAYOUT, id(message), &bytes) {
                prop_assert!(matches!(tree, Value::Object(_)));
            }
        }
        let _ = decode(&LAYOUT, LAYOUT.find("Forms").unwrap(), &bytes);
        let _ = envelope::open(&bytes);
        let _ = envelope::open(&[&envelope::PREFIX[..], &bytes].concat());
    }

    /// A whole message with some bytes changed reaches deeper than random ones, and what is read can be written.
    #[test]
    fn damaged_messages_are_read_or_refused(tree in tree(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = bytes(id("ConfigMap"), &tree);
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(tree) = decode(&LAYOUT, id("ConfigMap"), &bytes) {
            let again = self::bytes(id("ConfigMap"), &tree);
            let read = decode(&LAYOUT, id("ConfigMap"), &again).unwrap();
            prop_assert_eq!(self::bytes(id("ConfigMap"), &read), again);
        }
    }
}
