//! What encrypted records allow to be said, in words and as fields. No code but 1006 is ever named.

use super::model;
use crate::tls::shape::{Ending, FrameBody, Probable, Unreadable};
use std::borrow::Cow;

/// The report's entry for `probable`.
pub(super) fn of(probable: &Probable) -> model::Probable<'static> {
    let (closed_by, body) = match probable.ending {
        Ending::ClosingHandshake { first: side, body } | Ending::OneSidedClose { by: side, body } => {
            (Some(side.name().into()), Some(body))
        }
        Ending::NoClose | Ending::StillOpen | Ending::Unclear | Ending::Unreadable(_) => (None, None),
    };
    let reason_bytes = match body {
        Some(FrameBody::Reason(bytes)) => Some(bytes),
        Some(FrameBody::Empty | FrameBody::Code) | None => None,
    };
    model::Probable {
        text: text(probable).into(),
        ending: ending_name(probable.ending).into(),
        confidence: probable.confidence.name().into(),
        code: (probable.ending == Ending::NoClose).then_some(1006),
        closed_by,
        body: body.map(|body| body_name(body).into()),
        reason_bytes,
        close_packets: packets(&probable.close),
        close_notify_packets: packets(&probable.close_notify),
        websocket_score: probable.websocket.points,
        websocket_signs: probable.websocket.signs.iter().map(|sign| Cow::Borrowed(sign.text())).collect(),
    }
}

fn packets(sides: &crate::side::PerSide<Option<crate::moment::Moment>>) -> model::Sides<Option<u32>> {
    model::Sides { client: sides.client.map(|at| at.packet), server: sides.server.map(|at| at.packet) }
}

/// `probable closing handshake, server first, with a reason of about 12 bytes (high)`.
#[must_use]
pub fn text(probable: &Probable) -> String {
    let what = match probable.ending {
        Ending::ClosingHandshake { first, body } => {
            format!("probable closing handshake, {first} first{}", body_text(body))
        }
        Ending::OneSidedClose { by, body } => {
            format!("probable Close by {by} without an answer{}", body_text(body))
        }
        Ending::NoClose => "no Close pattern: probably 1006".to_owned(),
        Ending::StillOpen => "no end seen".to_owned(),
        Ending::Unclear => {
            "the last records fit a closing handshake and an ordinary exchange alike".to_owned()
        }
        Ending::Unreadable(why) => return format!("record lengths tell nothing: {}", unreadable_text(why)),
    };
    format!("{what} ({})", probable.confidence.name())
}

fn body_text(body: FrameBody) -> String {
    match body {
        FrameBody::Empty => ", without a code".to_owned(),
        FrameBody::Code => String::new(),
        FrameBody::Reason(bytes) => format!(", with a reason of about {bytes} bytes"),
    }
}

const fn unreadable_text(why: Unreadable) -> &'static str {
    match why {
        Unreadable::SuiteUnknown => "the TLS handshake was not seen, or its cipher suite is not known",
        Unreadable::BlockCipher => "the padding of its block cipher hides them",
        Unreadable::Padded => "they are padded",
        Unreadable::Gap => "the capture lacks bytes near the end",
        Unreadable::NoData => "no application data was seen",
    }
}

const fn ending_name(ending: Ending) -> &'static str {
    match ending {
        Ending::ClosingHandshake { .. } => "closing-handshake",
        Ending::OneSidedClose { .. } => "one-sided-close",
        Ending::NoClose => "no-close",
        Ending::StillOpen => "still-open",
        Ending::Unclear => "unclear",
        Ending::Unreadable(_) => "unreadable",
    }
}

const fn body_name(body: FrameBody) -> &'static str {
    match body {
        FrameBody::Empty => "empty",
        FrameBody::Code => "code",
        FrameBody::Reason(_) => "code-and-reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::side::{PerSide, Side};
    use crate::tls::shape::{Confidence, Score};

    fn probable(ending: Ending) -> Probable {
        Probable {
            websocket: Score::default(),
            ending,
            confidence: Confidence::High,
            close: PerSide::default(),
            close_notify: PerSide::default(),
        }
    }

    #[test]
    fn no_number_but_1006_is_ever_named() {
        let bodies = [FrameBody::Empty, FrameBody::Code, FrameBody::Reason(7)];
        let closes = bodies.into_iter().flat_map(|body| {
            [
                Ending::ClosingHandshake { first: Side::Server, body },
                Ending::OneSidedClose { by: Side::Client, body },
            ]
        });
        for ending in
            closes.chain([Ending::StillOpen, Ending::Unclear, Ending::Unreadable(Unreadable::Padded)])
        {
            let said = of(&probable(ending));
            let numbers = said.text.split(|c: char| !c.is_ascii_digit()).filter(|run| run.len() > 2).count();
            assert_eq!((said.code, numbers), (None, 0), "{}", said.text);
        }
        let none = of(&probable(Ending::NoClose));
        assert_eq!((none.code, &*none.text), (Some(1006), "no Close pattern: probably 1006 (high)"));
    }

    #[test]
    fn a_closing_handshake_names_who_began_and_the_reason_s_length() {
        let said =
            of(&probable(Ending::ClosingHandshake { first: Side::Server, body: FrameBody::Reason(12) }));
        assert_eq!(
            said.text,
            "probable closing handshake, server first, with a reason of about 12 bytes (high)"
        );
        assert_eq!((said.closed_by.as_deref(), said.reason_bytes), (Some("server"), Some(12)));
    }
}
