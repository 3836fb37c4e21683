//! Frame opcodes.

use std::fmt;

/// A frame's opcode: four bits that say what its payload is (RFC 6455 §5.2, §11.8). Unknown values survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Opcode(pub u8);

impl Opcode {
    /// A further fragment of the message that is under way.
    pub const CONTINUATION: Opcode = Opcode(0x0);
    /// A message of UTF-8 text, or its first fragment.
    pub const TEXT: Opcode = Opcode(0x1);
    /// A message of bytes, or its first fragment.
    pub const BINARY: Opcode = Opcode(0x2);
    /// The closing handshake: its sender says no more data will follow (RFC 6455 §5.5.1).
    pub const CLOSE: Opcode = Opcode(0x8);
    /// A request for a Pong (RFC 6455 §5.5.2).
    pub const PING: Opcode = Opcode(0x9);
    /// The answer to a Ping, or a one-way sign of life (RFC 6455 §5.5.3).
    pub const PONG: Opcode = Opcode(0xA);

    /// The name the RFC gives it, if it gives one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Opcode::CONTINUATION => Some("Continuation"),
            Opcode::TEXT => Some("Text"),
            Opcode::BINARY => Some("Binary"),
            Opcode::CLOSE => Some("Close"),
            Opcode::PING => Some("Ping"),
            Opcode::PONG => Some("Pong"),
            _ => None,
        }
    }

    /// Is it of the half that may stand between the fragments of a message: 0x8 to 0xF (RFC 6455 §5.5)?
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.0 & 0x8 != 0
    }

    /// Is it one that no RFC defines: 0x3 to 0x7 or 0xB to 0xF?
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        self.name().is_none()
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => out.write_str(name),
            None => write!(out, "opcode 0x{:X}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_opcodes_are_defined_and_ten_reserved() {
        let reserved: Vec<u8> = (0..16).filter(|value| Opcode(*value).is_reserved()).collect();
        assert_eq!(reserved, [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF]);
    }

    #[test]
    fn control_opcodes_are_the_upper_half() {
        let control: Vec<u8> = (0..16).filter(|value| Opcode(*value).is_control()).collect();
        assert_eq!(control, [0x8, 0x9, 0xA, 0xB, 0xC, 0xD, 0xE, 0xF]);
    }

    #[test]
    fn an_unknown_opcode_is_shown_by_its_number() {
        assert_eq!(Opcode(0xB).to_string(), "opcode 0xB");
        assert_eq!(Opcode::CLOSE.to_string(), "Close");
    }
}
