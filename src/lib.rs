//! Who closed this WebSocket, with what code, and why?
//!
//! `wsclose` answers from packets alone. The crate is a pipeline; each module uses only those above it:
//!
//! ```text
//!           bytes               bytes          (Side, StreamEvent)        FrameEvent      Verdict
//! capture --Packet--> decode --Segment--> flow > tcp -+-------+-> http --> websocket --> verdict --> report
//! file|live           link ip defrag      table  order +> tls +   1.1 2    frames close   judge()     text json
//! +- I/O -+ +------------- no I/O, no clock, no threads, no printing -----------------+ +- any Write -+
//! ```
//!
//! * Sans-IO: everything between `capture` and `report` is driven by method calls and takes its time from
//!   the packets, so that a replay is exact.
//! * Evidence apart from opinion: the layers gather a teardown's evidence, each item with its packet number;
//!   one pure function judges it.
//! * Payload is never buffered unless it must be: a frame header says how many bytes to skip.
//!
//! # Example
//!
//! ```
//! use wsclose::analyzer::{Analyzer, Options};
//! use wsclose::capture::file::FileSource;
//! use wsclose::capture::{Block, CaptureError, More, Source};
//!
//! fn ends(path: &std::path::Path) -> Result<Vec<String>, CaptureError> {
//!     let options = Options::default();
//!     let mut source = FileSource::open(path, 0, &options.limits)?;
//!     let mut analyzer = Analyzer::new(options);
//!     let mut block = Block::default();
//!     while source.read_block(&mut block)? == More::Yes {
//!         analyzer.handle_block(&block);
//!     }
//!     analyzer.handle_block(&block); // The last one may hold packets too.
//!     analyzer.finish();
//!     let records = std::iter::from_fn(|| analyzer.poll_record());
//!     Ok(records.map(|record| record.verdict.kind.label().into_owned()).collect())
//! }
//!
//! # let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures/router-any");
//! let labels = ends(&folder.join("ws--websockets.any.pcap"))?;
//! assert_eq!(labels, ["1000", "1001", "1006", "1006"]);
//! # Ok::<(), CaptureError>(())
//! ```

pub mod time;
pub mod side;
pub mod moment;
pub mod seq;
mod pack;
pub mod anomaly;
pub mod limits;
mod work;

pub mod capture;
pub mod decode;
pub mod flow;
pub mod tcp;
pub mod tls;
pub mod http;
pub mod websocket;
pub mod verdict;
pub mod diagnosis;
pub mod analyzer;
pub mod report;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
