//! RFC 7541's own examples, and what the RFC has no example for: a table whose history was missed.

use super::*;

/// All fields, in words; `?` stands for what is unknown.
#[derive(Default)]
struct All(Vec<String>);

impl Fields for All {
    fn wants(&self, _: &[u8]) -> bool {
        true
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.0.push(format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
    }

    fn unknown(&mut self) {
        self.0.push("?".to_owned());
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

#[track_caller]
fn reads(decoder: &mut Decoder, block: &str, expected: &[&str], size: usize) {
    let mut all = All::default();
    decoder.decode(&hex(block), &mut all).unwrap();
    assert_eq!(all.0, expected);
    assert_eq!(decoder.size, size);
}

fn decoder(limit: usize) -> Decoder {
    Decoder { limit, ..Decoder::new(1 << 16) }
}

#[test]
fn integers_of_c_1() {
    assert_eq!(integer(&[0b0000_1010], 5), Ok((&[][..], 10)));
    assert_eq!(integer(&[0b0001_1111, 0b1001_1010, 0b0000_1010], 5), Ok((&[][..], 1337)));
    assert_eq!(integer(&[42], 8), Ok((&[][..], 42)));
    assert_eq!(
        integer(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 7),
        Err(BadBlock),
        "beyond all bounds"
    );
    assert_eq!(integer(&[0xff, 0x80, 0x80], 7), Err(BadBlock), "cut");
}

#[test]
fn fields_of_c_2() {
    let custom = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    reads(&mut decoder(4096), custom, &["custom-key: custom-header"], 55);
    reads(&mut decoder(4096), "040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"], 0);
    reads(&mut decoder(4096), "1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"], 0);
    reads(&mut decoder(4096), "82", &[":method: GET"], 0);
}

const REQUESTS: [(&[&str], usize); 3] = [
    (&[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"], 57),
    (
        &[
            ":method: GET",
            ":scheme: http",
            ":path: /",
            ":authority: www.example.com",
            "cache-control: no-cache",
        ],
        110,
    ),
    (
        &[
            ":method: GET",
            ":scheme: https",
            ":path: /index.html",
            ":authority: www.example.com",
            "custom-key: custom-value",
        ],
        164,
    ),
];

#[test]
fn requests_of_c_3_and_c_4() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = decoder(4096);
        for (block, (fields, size)) in blocks.iter().zip(REQUESTS) {
            reads(&mut decoder, block, fields, size);
        }
    }
}

#[test]
fn responses_of_c_5_and_c_6_with_their_evictions() {
    let first = [
        ":status: 302",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:21 GMT",
        "location: https://www.example.com",
    ];
    let second = [":status: 307", first[1], first[2], first[3]];
    let third = [
        ":status: 200",
        first[1],
        "date: Mon, 21 Oct 2013 20:13:22 GMT",
        first[3],
        "content-encoding: gzip",
        "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ];
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
         2076 6572 7369 6f6e 3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = decoder(256);
        reads(&mut decoder, blocks[0], &first, 222);
        reads(&mut decoder, blocks[1], &second, 222);
        reads(&mut decoder, blocks[2], &third, 215);
    }
}

#[test]
fn what_was_entered_before_a_loss_is_unknown_and_what_was_entered_since_is_not() {
    let mut decoder = decoder(4096);
    reads(&mut decoder, "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", REQUESTS[0].0, 57);
    decoder.lose();
    reads(&mut decoder, "be", &["?"], 0);
    reads(
        &mut decoder,
        "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        &["custom-key: custom-header"],
        55,
    );
    reads(&mut decoder, "bebf", &["custom-key: custom-header", "?"], 55);
    // A literal under a name that nobody knows makes an entry that keeps the others in their places.
    reads(&mut decoder, "7f00 0161", &["?"], 55 + 33);
    reads(&mut decoder, "bebf", &["?", "custom-key: custom-header"], 55 + 33);
}

#[test]
fn a_table_that_was_emptied_hides_nothing_any_more() {
    let mut decoder = decoder(4096);
    decoder.lose();
    reads(&mut decoder, "20 3fe1 1f 4001 6101 62", &["a: b"], 34);
    assert!(!decoder.is_partial);
}

#[test]
fn an_index_beyond_a_table_that_is_whole_is_an_error_and_loses_it() {
    let mut decoder = decoder(4096);
    assert_eq!(decoder.decode(&[0xbe], &mut All::default()), Err(BadBlock));
    assert!(decoder.is_partial);
    for block in [&[0x80][..], &[0x40], &[0x00, 0x05, b'a'], &[0x00, 0x81, 0x00]] {
        assert_eq!(Decoder::new(4096).decode(block, &mut All::default()), Err(BadBlock), "{block:?}");
    }
}

#[test]
fn a_table_larger_than_the_cap_keeps_its_newest_entries_and_says_that_it_lacks_the_others() {
    let mut decoder = Decoder::new(64);
    let entry = |letter: u8| [&[0x40, 1, letter, 4][..], &[letter; 4]].concat();
    for letter in [b'a', b'b'] {
        decoder.decode(&entry(letter), &mut All::default()).unwrap();
    }
    assert_eq!((decoder.entries.len(), decoder.size), (1, 37));
    reads(&mut decoder, "bebf", &["b: bbbb", "?"], 37);
}

#[test]
fn the_table_never_grows_beyond_its_cap_whatever_its_encoder_says() {
    let mut decoder = Decoder::new(1_000);
    // A size of two million, then entries without end; their long name is stored once.
    let mut block = vec![0x3f, 0xe1, 0xff, 0x7f];
    block.extend([&[0x40, 100][..], &[b'n'; 100], &[0]].concat());
    // Miri takes a thousand times as long.
    block.extend([0x7e, 1, b'v'].repeat(if cfg!(miri) { 200 } else { 10_000 }));
    decoder.decode(&block, &mut All::default()).unwrap();
    assert!(decoder.size <= 1_000 && decoder.memory() <= 4_000, "{}", decoder.memory());
    // And one larger than the table empties it.
    let huge = [&[0x40, 1, b'n', 0x7f, 0xff, 0x0f][..], &[b'v'; 127 + 127 + 15 * 128]].concat();
    decoder.decode(&huge, &mut All::default()).unwrap();
    assert_eq!((decoder.entries.len(), decoder.size), (0, 0));
}

/// Header blocks of encoders that are not ours (`tests/lab/record_hpack.py`).
#[derive(serde::Deserialize)]
struct Recorded {
    encoder: String,
    table_bytes: usize,
    blocks: Vec<RecordedBlock>,
}

#[derive(serde::Deserialize)]
struct RecordedBlock {
    block: String,
    fields: Vec<(String, String)>,
}

fn recorded() -> Vec<Recorded> {
    let lists: Vec<Recorded> =
        serde_json::from_str(include_str!("../../../../fixtures/http2/hpack.json")).unwrap();
    assert!(lists.len() >= 7);
    lists
}

/// Of a field, its bytes; each character of the recording is one.
fn as_read(fields: &[(String, String)]) -> Vec<String> {
    let bytes = |text: &str| text.chars().map(|it| u8::try_from(u32::from(it)).unwrap()).collect::<Vec<_>>();
    let text = |part: &str| String::from_utf8_lossy(&bytes(part)).into_owned();
    fields.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
}

#[test]
#[cfg_attr(miri, ignore = "a long list, which Miri takes minutes to parse")]
fn what_other_encoders_write_is_read() {
    for list in recorded() {
        let mut decoder = Decoder::new(1 << 16);
        for (number, block) in list.blocks.iter().enumerate() {
            let mut all = All::default();
            decoder.decode(&hex(&block.block), &mut all).unwrap();
            let Recorded { encoder, table_bytes, .. } = &list;
            assert_eq!(all.0, as_read(&block.fields), "{encoder}, {table_bytes}, block {number}");
            assert!(decoder.size <= 4_096);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "a long list, which Miri takes minutes to parse")]
fn what_other_encoders_write_behind_a_loss_is_read_or_unknown_and_never_wrong() {
    let mut unknown = 0;
    for list in recorded() {
        for first in 1..list.blocks.len() {
            for mut decoder in [Decoder::joined(1 << 16), Decoder::new(1 << 16)] {
                decoder.lose();
                for block in &list.blocks[first..] {
                    let mut all = All::default();
                    decoder.decode(&hex(&block.block), &mut all).unwrap();
                    let fields = as_read(&block.fields);
                    assert_eq!(all.0.len(), fields.len());
                    for (found, whole) in all.0.iter().zip(&fields) {
                        unknown += usize::from(found == "?");
                        assert!(found == "?" || found == whole, "{}: {found}, not {whole}", list.encoder);
                    }
                }
            }
        }
    }
    assert!(unknown > 100, "{unknown}");
}

#[test]
fn a_block_tells_who_sent_it_if_its_first_field_does() {
    for list in recorded() {
        let told = list.blocks.iter().map(|block| sender(&hex(&block.block)));
        assert!(told.flatten().all(|side| side == Side::Client), "{}", list.encoder);
        let first = &list.blocks[0].block;
        // The table's size may come first.
        let is_size = first.starts_with(['2', '3']);
        assert_eq!(sender(&hex(first)), Some(Side::Client).filter(|_| !is_size));
    }
    assert_eq!(sender(&[0x88]), Some(Side::Server), ":status 200");
    assert_eq!(sender(&hex("48 03 333032")), Some(Side::Server), ":status by its name's index");
    assert_eq!(sender(&hex("00 07 3a73746174757300")), Some(Side::Server), ":status in full");
    assert_eq!(sender(&hex("00 05 3a7061746800")), Some(Side::Client), ":path in full");
    assert_eq!((sender(&[0xbe]), sender(&[0x20]), sender(&[])), (None, None, None));
    assert_eq!(sender(&hex("0f 10 00")), None, "content-type: trailers");
}
