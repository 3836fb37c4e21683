//! Causes and advice as the report shows them.

use super::build::Context;
use crate::analyzer::record::ConnectionRecord;
use crate::diagnosis::connection::diagnose;
use crate::diagnosis::finding;
use crate::diagnosis::survey::{Counted, Survey};
use crate::limits::Limits;
use crate::moment::Moment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One cause of a connection's end, by its own packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis<'a> {
    /// What it says: `idle-limit`, `ping-unanswered`, ...
    pub id: Cow<'a, str>,
    /// `certain`, `likely` or `possible`.
    pub confidence: Cow<'a, str>,
    /// What was seen, in one sentence.
    pub text: String,
    /// What to do about it; null where nothing is wrong.
    pub advice: Option<String>,
    /// The packets that show it.
    pub packets: Vec<PacketRef<'a>>,
}

/// One cause over the whole capture, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What it says, as [`Diagnosis::id`].
    pub id: String,
    /// `certain`, `likely` or `possible`.
    pub confidence: String,
    /// What was seen, in one sentence.
    pub text: String,
    /// What to do about it.
    pub advice: String,
    /// How many connections it would have saved, or touches.
    pub count: u64,
    /// The `id`s of those connections, the first few.
    pub connections: Vec<u64>,
    /// Packets that show it, the first few.
    pub packets: Vec<PacketRef<'static>>,
}

/// A packet, by its number in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PacketRef<'a> {
    /// Its input.
    pub file: Cow<'a, str>,
    /// Its number there, as Wireshark's `frame.number`.
    pub packet: u32,
}

/// Diagnoses connections as they end, and the capture once all have.
#[derive(Clone, Debug)]
pub struct Diagnoser {
    limits: Limits,
    survey: Survey,
    /// What the last connection was counted for.
    last: Option<Counted>,
}

impl Diagnoser {
    /// A diagnoser that has seen nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Diagnoser { survey: Survey::new(limits.clone()), limits, last: None }
    }

    /// Memory of the connections remembered, as estimated, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.survey.memory()
    }

    /// Diagnoses `record`, listed in the report as number `id`; `None`: it is not listed, yet others may follow from
    /// it.
    pub fn take<'a>(
        &mut self,
        id: Option<u64>,
        record: &ConnectionRecord,
        context: Context<'a>,
    ) -> Vec<Diagnosis<'a>> {
        let shown = |one: finding::Diagnosis| Diagnosis {
            id: one.id.name().into(),
            confidence: one.confidence.name().into(),
            text: said(one.id, one.text, context),
            advice: one.advice,
            packets: packets(&one.packets, context).collect(),
        };
        self.diagnose(id, record).into_iter().map(shown).collect()
    }

    /// The same for a connection of which nothing is shown: it is counted, and others may follow from it.
    pub fn count(&mut self, id: Option<u64>, record: &ConnectionRecord) {
        self.diagnose(id, record);
    }

    fn diagnose(&mut self, id: Option<u64>, record: &ConnectionRecord) -> Vec<finding::Diagnosis> {
        let facts = record.facts();
        let found = diagnose(&facts, &self.limits);
        self.last = self.survey.add(id, &facts, &found);
        found
    }

    /// What the connection taken last was counted for, if it was listed.
    pub fn last_counted(&mut self) -> Option<Counted> {
        self.last.take()
    }

    /// Forgets a connection: what was said of it did not hold.
    pub fn take_back(&mut self, counted: &Counted) {
        self.survey.take_back(counted);
    }

    /// What to do, over all connections taken.
    #[must_use]
    pub fn findings(&mut self, context: Context<'_>) -> Vec<Finding> {
        let shown = |one: finding::Finding| Finding {
            id: one.id.name().to_owned(),
            confidence: one.confidence.name().to_owned(),
            text: said(one.id, one.text, context),
            advice: one.advice,
            count: one.count,
            connections: one.connections,
            packets: packets(&one.packets, context).map(PacketRef::owned).collect(),
        };
        self.survey.findings().into_iter().map(shown).collect()
    }

    /// Connections that the findings do not remember, to keep within the limits.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.survey.forgotten
    }
}

/// The sentence as the report has it. Whose code it is was read off a header's value.
fn said(id: finding::Id, text: String, context: Context<'_>) -> String {
    let text = context.sentence(text);
    match text.rsplit_once("\" in ") {
        Some((before, _)) if context.redact && id == finding::Id::ProtocolCode => {
            format!("{before}\" in what it speaks")
        }
        _ => text,
    }
}

impl PacketRef<'_> {
    fn owned(self) -> PacketRef<'static> {
        PacketRef { file: Cow::Owned(self.file.into_owned()), packet: self.packet }
    }
}

fn packets<'a>(moments: &[Moment], context: Context<'a>) -> impl Iterator<Item = PacketRef<'a>> {
    moments.iter().map(move |at| PacketRef { file: context.file(at.file), packet: at.packet })
}
