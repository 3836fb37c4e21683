//! Why a stream or a connection was ended (RFC 9113 §7).

use std::fmt;

/// An error code of RST_STREAM or GOAWAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub u32);

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal,)+) => {
        impl ErrorCode {
            $($(#[doc = $doc])+ pub const $name: ErrorCode = ErrorCode($number);)+

            /// The registered name; `None`: there is none.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)+
                    _ => None,
                }
            }
        }
    };
}

error_codes! {
    /// No error: an end in order.
    NO_ERROR = 0x0,
    /// The peer broke the protocol.
    PROTOCOL_ERROR = 0x1,
    /// The sender failed.
    INTERNAL_ERROR = 0x2,
    /// The peer sent more than its window allowed.
    FLOW_CONTROL_ERROR = 0x3,
    /// SETTINGS were not acknowledged in time.
    SETTINGS_TIMEOUT = 0x4,
    /// A frame came for a stream that was half-closed.
    STREAM_CLOSED = 0x5,
    /// A frame had a wrong size.
    FRAME_SIZE_ERROR = 0x6,
    /// The stream was refused before anything was done about it.
    REFUSED_STREAM = 0x7,
    /// The stream is no longer needed: a WebSocket's TCP reset in HTTP/2 (RFC 8441 §5).
    CANCEL = 0x8,
    /// The header compression's state can't be kept up.
    COMPRESSION_ERROR = 0x9,
    /// The connection behind a CONNECT was reset or closed abnormally.
    CONNECT_ERROR = 0xa,
    /// The peer sends more than is bearable.
    ENHANCE_YOUR_CALM = 0xb,
    /// TLS does not meet the requirements.
    INADEQUATE_SECURITY = 0xc,
    /// HTTP/1.1 is to be used instead.
    HTTP_1_1_REQUIRED = 0xd,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => out.write_str(name),
            None => write!(out, "error 0x{:x}", self.0),
        }
    }
}
