//! The laws hold for scripts of all kinds, and are laws that can be broken.

use proptest::prelude::*;

use super::*;

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";

fn passed_on(script: &[u8]) -> Vec<Message> {
    let sent = run(script, b"", <[u8]>::to_vec);
    assert_passed_on(&sent);
    sent.passed_on
}

#[test]
fn a_script_does_what_it_says() {
    let methods =
        |script: &[u8]| passed_on(script).into_iter().map(|message| message.method).collect::<Vec<_>>();
    assert_eq!(methods(&[GET, POST].concat()), [&b"GET"[..], b"POST"]);
    // The replica closes its connection; the request behind it finds another one.
    assert_eq!(methods(&[GET, b"\x1ex", b"\x1ec", POST].concat()).len(), 2);
    // Behind a response that is none the client's connection goes on.
    assert_eq!(methods(&[GET, b"\x1erHTTP/9", b"\x1et\x1et\x1et", b"\x1ec", POST].concat()).len(), 2);
    assert_eq!(methods(&POST[..POST.len() - 1]).len(), 0);
    let steps: Vec<_> = Steps(b"a\x1erb\x1eq\x1etc").collect();
    assert_eq!(steps, [(b'c', &b"a"[..]), (b'r', b"b\x1eq"), (b't', b"c")]);
}

#[test]
#[should_panic(expected = "was never asked")]
fn a_request_that_nobody_asked_breaks_a_law() {
    let get = Message { method: b"GET".to_vec(), body: Vec::new(), offers_upgrade: false };
    assert_passed_on(&Sent { client: POST.to_vec(), passed_on: vec![get] });
}

#[test]
#[should_panic(expected = "was never asked")]
fn what_lies_behind_an_ambiguous_request_breaks_a_law() {
    let ambiguous =
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let get = Message { method: b"GET".to_vec(), body: Vec::new(), offers_upgrade: false };
    assert_passed_on(&Sent { client: [&ambiguous[..], GET].concat(), passed_on: vec![get] });
}

/// Parts of requests and responses, good and bad.
const PARTS: &[&[u8]] = &[
    GET,
    POST,
    b"GET ",
    b"POST ",
    b"/x",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"Host: a\r\n",
    b"Content-Length: 4\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: keep-alive, x\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"\r\n",
    b"\n",
    b"0\r\n\r\n",
    b"2\r\nab\r\n",
    b"ab",
    b"\x1ec",
    b"\x1erHTTP/1.1 200 OK\r\n",
    b"\x1erHTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    b"\x1erHTTP/1.1 103 Early Hints\r\n\r\n",
    b"\x1er",
    b"\x1eu",
    b"HTTP/1.1 204 No Content\r\n",
    b"\x1et",
    b"\x1ex",
    b"\x1ee",
];

proptest! {
    #[test]
    fn any_script_keeps_the_laws(parts in prop::collection::vec(0..PARTS.len(), 0..40)) {
        http1(&parts.iter().map(|part| PARTS[*part]).collect::<Vec<_>>().concat());
    }

    #[test]
    fn any_fields_keep_the_laws(
        trusted in any::<bool>(),
        lines in prop::collection::vec(("[a-zA-Z_-]{1,12}|host|connection|te|trailer|x-forwarded-[a-z]{3}|via", "[ -~]{0,20}"), 0..12),
    ) {
        let lines: Vec<_> = lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let text = lines.concat();
        fields(&[&[u8::from(trusted)][..], b"host: a\n", text.as_bytes()].concat());
    }

    #[test]
    fn any_frames_keep_the_laws(
        frames in prop::collection::vec((0u8..11, any::<u8>(), 0u8..8, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        let step = |(kind, flags, stream, held): (u8, u8, u8, Vec<u8>)| {
            [&[MARK, b'c', kind, flags, stream][..], &held].concat()
        };
        http2(&frames.into_iter().flat_map(step).collect::<Vec<_>>());
    }
}

/// What the fuzz targets begin with.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).expect("a folder of seeds");
    let seeds: Vec<_> =
        files.map(|file| std::fs::read(file.expect("a file").path()).expect("a seed")).collect();
    assert!(seeds.len() > 40, "{target}: {} seeds", seeds.len());
    seeds
}

#[test]
fn the_seeds_keep_the_laws() {
    for seed in seeds("proxy_h1") {
        http1(&seed);
    }
    for seed in seeds("h2_frames") {
        http2(&seed);
    }
}
