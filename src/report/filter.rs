//! Which connections are listed, and which make a script fail.

use super::model::Verdict;

/// A word of `--only` or `--fail-on`: a kind, a label, both (`coded:1006`) or a cause (`abnormal:rst`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    kind: Option<String>,
    detail: Option<String>,
}

/// The kinds of verdicts, as `--only` takes them.
pub const KINDS: [&str; 5] = ["coded", "abnormal", "refused", "open", "unknown"];
/// The causes of abnormal ends.
pub const CAUSES: [&str; 3] = ["rst", "fin", "timeout"];
/// What hid the ends that are unknown.
pub const BLINDS: [&str; 8] =
    ["gap", "encrypted", "truncated", "one-sided", "started-late", "desynchronized", "evicted", "dropped"];

/// Who may have begun an end, as `--closed-by` takes it.
pub const CLOSED_BY: [&str; 6] = ["client", "server", "both", "network", "proxy", "unknown"];

impl Selector {
    /// Reads one word.
    ///
    /// # Errors
    /// It is none; the message says what was expected.
    pub fn parse(word: &str) -> Result<Self, String> {
        let is_code = |text: &str| text.parse::<u16>().is_ok();
        let fits = |kind: &str, detail: &str| match kind {
            "abnormal" => CAUSES.contains(&detail) || detail == "1006",
            "unknown" => BLINDS.contains(&detail),
            "coded" => is_code(detail),
            _ => false,
        };
        match word.split_once(':') {
            Some((kind, detail)) if fits(kind, detail) => {
                Ok(Selector { kind: Some(kind.to_owned()), detail: Some(detail.to_owned()) })
            }
            None if KINDS.contains(&word) => Ok(Selector { kind: Some(word.to_owned()), detail: None }),
            None if is_code(word) => Ok(Selector { kind: None, detail: Some(word.to_owned()) }),
            _ => Err(format!(
                "expected a kind ({}), a label such as 1001 or 1006, or one narrowed such as coded:1006, \
                 abnormal:rst or unknown:gap; found {word:?}",
                KINDS.join(", ")
            )),
        }
    }

    /// Does `verdict` match?
    #[must_use]
    pub fn matches(&self, verdict: &Verdict<'_>) -> bool {
        let detail_matches = |detail: &String| {
            *detail == verdict.label
                || verdict.cause.as_deref() == Some(detail.as_str())
                || verdict.blind.as_deref() == Some(detail.as_str())
        };
        self.kind.as_ref().is_none_or(|kind| *kind == verdict.kind)
            && self.detail.as_ref().is_none_or(detail_matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(kind: &'static str, label: &'static str, cause: Option<&'static str>) -> Verdict<'static> {
        Verdict {
            label: label.into(),
            kind: kind.into(),
            code: None,
            cause: cause.map(Into::into),
            closed_by: None,
            blind: None,
            clean: false,
            why: "".into(),
            probable: None,
        }
    }

    #[test]
    fn a_label_matches_both_the_sent_and_the_absent_1006_unless_narrowed() {
        let sent = verdict("coded", "1006", None);
        let lost = verdict("abnormal", "1006", Some("rst"));
        let matches = |word: &str| {
            let selector = Selector::parse(word).unwrap();
            (selector.matches(&sent), selector.matches(&lost))
        };
        assert_eq!(matches("1006"), (true, true));
        assert_eq!(matches("coded:1006"), (true, false));
        assert_eq!(matches("abnormal"), (false, true));
        assert_eq!(matches("abnormal:rst"), (false, true));
        assert_eq!(matches("abnormal:fin"), (false, false));
    }

    #[test]
    fn other_words_are_refused() {
        for word in ["", "abnormal:", "abnormal:gap", "closed", "99999", "open:1"] {
            assert!(Selector::parse(word).is_err(), "{word}");
        }
    }
}
