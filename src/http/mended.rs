//! A head that is none by the letter, made into one: some servers take such heads, and their connections must not be
//! hidden by that.
//!
//! Its first line has been looked at before: what does not begin and end as one does never comes here.

use crate::work;
use memchr::memmem;

/// Of a header line that is kept, what stands for a control character in its value.
const NO_TEXT: u8 = 0xff;

/// A head without what its parser refuses.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// The head to be parsed.
    pub(super) text: Vec<u8>,
    /// The same with the bytes that were sent, each at the place of the one that stands for it.
    pub(super) own: Vec<u8>,
    /// Bytes that the head takes as it was sent.
    pub(super) len: usize,
    /// It holds control characters (RFC 9110 §5.5).
    pub(super) has_control_characters: bool,
    /// It holds a line that follows no grammar (RFC 9112 §3, §5).
    pub(super) is_malformed: bool,
    /// The latest header line was kept.
    has_kept: bool,
}

impl Mended {
    /// The head at the start of `bytes`; of its headers those whose names `keeps` wants. `None`: its end is not there, or
    /// its first line can't be mended.
    pub(super) fn of(bytes: &[u8], is_request: bool, keeps: impl Fn(&str) -> bool) -> Option<Mended> {
        let len = blank_line_end(bytes)?;
        work::steps(len);
        let mut mended = Mended { len, ..Mended::default() };
        let mut lines = bytes.get(..len)?.split(|byte| *byte == b'\n');
        let first = without_return(lines.next()?);
        if is_request {
            mended.request_line(first)?
        } else {
            mended.push(first, |byte| stand_in(byte, b'_'))
        }
        mended.end_line();
        for line in lines.map(without_return).take_while(|line| !line.is_empty()) {
            mended.header_line(line, &keeps);
        }
        mended.end_line();
        Some(mended)
    }

    /// What stands between the first space and the last one is the target, whatever it holds.
    fn request_line(&mut self, line: &[u8]) -> Option<()> {
        let (start, end) = (memchr::memchr(b' ', line)?, memchr::memrchr(b' ', line)?);
        let target = line.get(start..end)?.trim_ascii();
        let is_text = std::str::from_utf8(target).is_ok();
        self.is_malformed |= !is_text || target.contains(&b' ');
        let plain = |byte: u8| match byte {
            b' ' | b'\t' => b'_',
            0x80.. if !is_text => b'_',
            _ => stand_in(byte, b'_'),
        };
        self.has_control_characters |= target.contains(&b'\t');
        self.push(line.get(..=start)?, |byte| byte);
        self.push(target, plain);
        self.push(line.get(end..)?, |byte| byte);
        (!target.is_empty()).then_some(())
    }

    fn header_line(&mut self, line: &[u8], keeps: &impl Fn(&str) -> bool) {
        let value = |byte| stand_in(byte, NO_TEXT);
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            // The line before goes on here (RFC 9112 §5.2).
            self.is_malformed = true;
            if self.has_kept {
                self.take_back_end();
                self.push(line, value);
                self.end_line();
            }
            return;
        }
        let colon = memchr::memchr(b':', line).and_then(|at| line.split_at_checked(at));
        let name = colon.and_then(|(name, _)| token(name.trim_ascii_end()));
        let (Some(name), Some((written, rest))) = (name, colon) else {
            self.has_kept = false;
            self.is_malformed = true;
            self.has_control_characters |= line.iter().any(u8::is_ascii_control);
            return;
        };
        self.is_malformed |= name.len() < written.len();
        self.has_kept = keeps(name);
        if self.has_kept {
            self.push(name.as_bytes(), |byte| byte);
            self.push(rest, value);
            self.end_line();
        } else {
            self.has_control_characters |= rest.iter().any(|byte| value(*byte) != *byte);
        }
    }

    /// Appends `bytes`, each as `plain` has it.
    fn push(&mut self, bytes: &[u8], plain: impl Fn(u8) -> u8) {
        self.has_control_characters |= bytes.iter().any(|byte| stand_in(*byte, NO_TEXT) != *byte);
        self.text.extend(bytes.iter().map(|byte| plain(*byte)));
        self.own.extend_from_slice(bytes);
    }

    fn end_line(&mut self) {
        self.text.extend_from_slice(b"\r\n");
        self.own.extend_from_slice(b"\r\n");
    }

    fn take_back_end(&mut self) {
        let end = self.text.len().saturating_sub(2);
        self.text.truncate(end);
        self.own.truncate(end);
    }
}

/// `byte`, or what stands for it where it is a control character; a tab is none in a header's value.
fn stand_in(byte: u8, instead: u8) -> u8 {
    if byte != b'\t' && byte.is_ascii_control() { instead } else { byte }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// `name`, if that is one (RFC 9110 §5.6.2).
fn token(name: &[u8]) -> Option<&str> {
    let is_in_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_token = !name.is_empty() && name.iter().all(is_in_token);
    std::str::from_utf8(name).ok().filter(|_| is_token)
}

/// Behind the first blank line, however its lines end: a later one may be there or not, as TCP cuts the bytes.
fn blank_line_end(bytes: &[u8]) -> Option<usize> {
    let bare = memmem::find(bytes, b"\n\n").map(|at| at + 2);
    let usual = memmem::find(bytes, b"\n\r\n").map(|at| at + 3);
    bare.into_iter().chain(usual).min()
}
