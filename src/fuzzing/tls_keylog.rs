//! The lines of a TLS key log.

use super::small_limits;
use crate::limits::Limits;
use crate::tls::keylog::KeyLog;
use crate::tls::sessions_present::SessionSearch;

/// The bytes of a key log, as they are.
///
/// The same secrets whether its lines come together or one by one; no more sessions than the cap; every session that it
/// has secrets of is one to look for in a capture, and nothing is written out of a session that was not seen.
pub fn tls_keylog(input: &[u8]) {
    for limits in [Limits::default(), small_limits()] {
        let (mut whole, mut lines) = (KeyLog::default(), KeyLog::default());
        let read = whole.read(input, &limits);
        let (mut secrets, mut bad, mut beyond) = (0, 0, 0);
        for line in input.split(|byte| *byte == b'\n') {
            let read = lines.read(line, &limits);
            secrets += read.secrets;
            bad += read.bad;
            beyond += read.beyond_limit;
        }
        assert_eq!((read.secrets, read.bad, read.beyond_limit), (secrets, bad, beyond));
        assert_eq!(whole.sessions(), lines.sessions());
        assert!(whole.sessions() <= limits.key_log_sessions);
        assert_eq!(whole.is_empty(), read.secrets == 0);
        assert!(read.bad_lines.len() as u64 <= read.bad && read.bad_lines.is_sorted());
        let search = SessionSearch::new(input, &limits);
        assert!(search.wanted() >= whole.sessions(), "every session is looked for");
        assert!(search.found() == 0 && search.select(input).is_empty());
    }
}
