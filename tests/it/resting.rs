//! Connections at rest: packed when they are quiet, woken by what comes. Nothing that is reported may hang on it.

use crate::support::fixture;
use crate::support::run;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wsclose::analyzer::{Analyzer, Options};
use wsclose::capture::merge::{MergeInput, MergedSource};
use wsclose::capture::{Block, More, Source as _};
use wsclose::limits::Limits;

/// All connections rest whenever they can: looked at every 32 packets.
fn restless() -> Options {
    let limits = Limits { awake_bytes: 0, rest_after: Duration::ZERO, ..Limits::default() };
    Options { limits, ..Options::default() }
}

fn captures() -> Vec<PathBuf> {
    let http2 = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/http2");
    let mut all: Vec<_> = fixture::everything().into_iter().map(|fixture| fixture.path).collect();
    all.extend(fixture::tls());
    all.extend(run::capture_files(&http2));
    all.extend(run::shared("captures").into_iter().flat_map(|folder| run::capture_files(&folder)));
    all
}

#[test]
fn whoever_rested_has_the_same_end() {
    let (mut rested, mut all) = (0, 0);
    for path in captures() {
        let read = |options| run::analyze(vec![MergeInput::Path(path.clone())], options);
        let (awake, resting) = (read(Options::default()), read(restless()));
        let rows = |outcome: &run::Outcome| serde_json::to_string(&outcome.connections).unwrap();
        assert_eq!(rows(&resting), rows(&awake), "{}", path.display());
        assert_eq!(resting.anomalies, awake.anomalies, "{}", path.display());
        assert_eq!(awake.rested, 0, "there is memory enough");
        rested += resting.rested;
        all += 1;
    }
    assert!(all > 300 && rested > all, "{rested} times in {all} captures");
}

#[test]
fn packets_in_blocks_and_one_by_one_are_packed_alike() {
    let mut rested = 0;
    for path in captures() {
        let mut source = MergedSource::new(vec![MergeInput::Path(path.clone())], &Limits::default());
        let (mut in_blocks, mut one_by_one) = (Analyzer::new(restless()), Analyzer::new(restless()));
        let mut block = Block::default();
        loop {
            let more = source.read_block(&mut block);
            in_blocks.handle_block(&block);
            block.secrets.iter().for_each(|keys| {
                one_by_one.add_keys(keys);
            });
            block
                .packets
                .iter()
                .for_each(|packet| one_by_one.handle_packet(packet, block.packet_bytes(packet)));
            assert_eq!(in_blocks.connection_bytes(), one_by_one.connection_bytes(), "{}", path.display());
            if !matches!(more, Ok(More::Yes)) {
                break;
            }
        }
        assert_eq!(in_blocks.rested(), one_by_one.rested(), "{}", path.display());
        in_blocks.finish();
        while in_blocks.poll_record().is_some() {}
        assert_eq!(in_blocks.connection_bytes(), 0, "{}: what was counted in is counted out", path.display());
        rested += in_blocks.rested();
    }
    assert!(rested > 100, "{rested}");
}
