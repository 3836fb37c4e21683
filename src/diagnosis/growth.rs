//! Twice the connections, twice the steps: nothing that is said of all of them together takes longer than they are many.

use super::finding::{Confidence, Finding, Id};
use super::survey::{Explained, rolled_up};
use super::trace::{Dead, Trace};
use super::{clusters, many, path, reconnect};
use crate::decode::segment::Endpoint;
use crate::limits::Limits;
use crate::moment::Moment;
use crate::side::Side;
use crate::time::Timestamp;
use crate::verdict::legs::{OtherLeg, Story};
use crate::work;

fn endpoint(host: u32, port: u16) -> Endpoint {
    Endpoint { address: std::net::Ipv4Addr::from(0x0a00_0000 + host).into(), port }
}

fn at(millis: u32) -> Moment {
    Moment::new(Timestamp::from_nanos(i64::from(millis) * 1_000_000), millis, 0)
}

/// The steps over `2 n` connections are at most twice those over `n`, and a tenth more.
#[track_caller]
fn grows_linearly(make: impl Fn(u32) -> Vec<Trace>, find: impl Fn(&[&Trace]) -> usize) {
    let run = |count| {
        let traces = make(count);
        assert_eq!(traces.len(), count as usize);
        let traces: Vec<&Trace> = traces.iter().collect();
        let mut found = 0;
        (work::of(|| found = find(&traces)), found)
    };
    let ((once, few), (twice, more)) = (run(3_000), run(6_000));
    assert!(once > 0 && more >= few, "{once} steps, {few} and {more} findings");
    assert!(twice <= 2 * once + once / 10 + 100, "{once} steps, then {twice}");
}

/// Sets of three that end at once, a second apart, all at one proxy.
fn restarts(count: u32) -> Vec<Trace> {
    let proxy = endpoint(1, 80);
    let one = |index: u32| {
        let ended = at(10_000 + index / 3 * 1_000);
        let leg = OtherLeg { is_back: true, story: Story::Relayed, proxy, end: ended };
        let (client, begin) = (endpoint(100 + index, 5_000), at(ended.packet - 900));
        Trace::lost(index + 1, (client, proxy), (begin, ended), None, Some(leg))
    };
    (0..count).map(one).collect()
}

#[test]
fn restarts_without_end_at_one_proxy() {
    grows_linearly(restarts, |traces| {
        let sets = many::together(traces);
        assert_eq!(sets.len(), traces.len() / 3);
        many::find(traces, &sets, &Limits::default()).len()
    });
}

#[test]
fn paths_lost_to_many_servers() {
    let silent = |index: u32| {
        let (client, server) = (endpoint(1 + index % 3, 5_000), endpoint(100 + index / 3, 80));
        let dead = Dead { silent: Side::Server, heard: at(10_000 + index), first: at(20_000 + index) };
        Trace::lost(index + 1, (client, server), (at(1), dead.first), Some(dead), None)
    };
    let lasting =
        |index| Trace::lost(index + 1, (endpoint(1, 5_001), endpoint(100, 80)), (at(1), at(2)), None, None);
    let make =
        |count: u32| (0..count).map(|index| if index % 2 == 0 { silent(index / 2) } else { lasting(index) });
    grows_linearly(|count| make(count).collect(), |traces| path::find(traces, &Limits::default()).len());
}

#[test]
fn one_limit_that_all_run_into() {
    let one = |index: u32| {
        let begin = at(index * 600);
        let ended = at(index * 600 + 30_000 + index % 50);
        Trace::lost(index + 1, (endpoint(index, 5_000), endpoint(1, 80)), (begin, ended), None, None)
    };
    let make = |count: u32| (0..count).map(one).collect();
    grows_linearly(make, |traces| clusters::find(traces, &Limits::default()).len());
}

#[test]
fn a_client_that_comes_back_without_end() {
    let one = |index: u32| {
        let span = (at(index * 1_000), at(index * 1_000 + 995));
        Trace::lost(index + 1, (endpoint(1, 5_000), endpoint(2, 80)), span, None, None)
    };
    let make = |count: u32| (0..count).map(one).collect();
    grows_linearly(make, |traces| reconnect::find(traces, &[], &Limits::default()).len());
}

#[test]
fn a_cause_of_single_connections_beside_findings_without_end() {
    let finding = |id, connections: Vec<u64>| Finding {
        id,
        confidence: Confidence::Likely,
        text: String::new(),
        advice: String::new(),
        count: connections.len() as u64,
        connections,
        packets: Vec::new(),
    };
    let steps = |count: u64| {
        let together: Vec<Finding> =
            (0..count / 4).map(|set| finding(Id::ManyAtOnce, (set * 4..set * 4 + 3).collect())).collect();
        let cause = finding(Id::NoClose, (0..count).collect());
        work::of(|| {
            let left = rolled_up(&cause, "connections", &Explained::by(&together)).unwrap();
            assert_eq!(left.count, count / 4, "one in four is in no finding");
        })
    };
    let (once, twice) = (steps(4_000), steps(8_000));
    assert!(once > 0 && twice <= 2 * once + once / 10, "{once} steps, then {twice}");
}
