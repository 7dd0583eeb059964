//! What the history keeps of a change: a purge, a change of an allowance, a change of the keys.
//!
//! Values alone. A record is written when the change is made. A purge's record changes afterwards by [`Update`]s
//! alone: when its sweeps have ended, when its writing was measured, when its warming has ended. On the disk a
//! record is JSON: members may be added, and a reader takes those that it doesn't know for nothing.

use serde::{Deserialize, Serialize};

use super::request::{By, Counts, RequestId, Status};
use super::warming::WarmProgress;
use crate::target::Mode;

/// A row of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub id: RequestId,
    /// The id of the account that it belongs to; none where it is about all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Box<str>>,
    /// Who made it.
    pub by: By,
    /// What that one said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Box<str>>,
    /// When it was accepted, in microseconds since 1970; the month of a charge is this one's. Of changes within a second,
    /// a later one has a higher number.
    pub created_at_us: u64,
    /// What it is.
    pub change: Change,
}

/// What was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// What is stored.
    Purge(Purge),
    /// An account's allowance: what was, and what is.
    Allowance(Box<str>),
    /// The stored keys: which, and what became of it.
    Key(Box<str>),
}

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Change::Purge`]
    Purge,
    /// [`Change::Allowance`]
    Allowance,
    /// [`Change::Key`]
    Key,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Purge, Kind::Allowance, Kind::Key];

    /// The word for it, in calls.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Purge => "purge",
            Kind::Allowance => "allowance",
            Kind::Key => "key",
        }
    }
}

/// A purge: one request with its targets, each of them charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// One at least, in the order in which they were given.
    pub targets: Box<[TargetRecord]>,
    /// From the call to the last of its fences standing; an older version did not measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_us: Option<u64>,
    /// From the call to its record being on the disk, or in memory for a failing disk; none where that was not
    /// noted before a kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_us: Option<u64>,
    /// From the call to the end of the last of its sweeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_us: Option<u64>,
    /// What was asked to be fetched again, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<WarmProgress>,
}

/// One target of a purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// How it was named: [`super::Named::kind`].
    pub kind: Box<str>,
    /// The text as it was given.
    pub text: Box<str>,
    /// What it covers, in canonical form.
    pub covers: Box<str>,
    /// What became of what it covers.
    #[serde(with = "mode")]
    pub mode: Mode,
    /// How far it is.
    pub status: Status,
    /// What it removed, or made stale.
    #[serde(default)]
    pub counts: Counts,
}

mod mode {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::target::Mode;

    pub(super) fn serialize<S: Serializer>(mode: &Mode, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(mode.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mode, D::Error> {
        let word = <&str>::deserialize(deserializer)?;
        let mode = [Mode::Delete, Mode::Stale].into_iter().find(|mode| mode.as_str() == word);
        mode.ok_or_else(|| de::Error::custom("no such mode"))
    }
}

impl Record {
    /// What kind of change it is.
    pub fn kind(&self) -> Kind {
        match self.change {
            Change::Purge(_) => Kind::Purge,
            Change::Allowance(_) => Kind::Allowance,
            Change::Key(_) => Kind::Key,
        }
    }

    /// The purge, where it is one.
    pub fn purge(&self) -> Option<&Purge> {
        match &self.change {
            Change::Purge(purge) => Some(purge),
            Change::Allowance(_) | Change::Key(_) => None,
        }
    }

    pub(super) fn purge_mut(&mut self) -> Option<&mut Purge> {
        match &mut self.change {
            Change::Purge(purge) => Some(purge),
            Change::Allowance(_) | Change::Key(_) => None,
        }
    }

    /// Where it stands in the history.
    pub(super) fn age(&self) -> Age {
        (self.created_at_us, self.id)
    }

    /// Bytes of its texts.
    pub(super) fn text_bytes(&self) -> usize {
        let of_change = match &self.change {
            Change::Purge(purge) => {
                purge.targets.iter().map(|target| target.text.len() + target.covers.len()).sum()
            }
            Change::Allowance(text) | Change::Key(text) => text.len(),
        };
        let optional = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        optional(&self.account) + optional(&self.note) + self.by.key.len() + of_change
    }
}

impl Purge {
    /// How far the whole is.
    pub fn status(&self) -> Status {
        let pending = self.targets.iter().any(|target| target.status == Status::Pending);
        if pending { Status::Pending } else { Status::Completed }
    }

    /// What became of what it covers. Every door has one mode for a request; of several it is the hardest.
    pub fn mode(&self) -> Mode {
        let deletes = self.targets.iter().any(|target| target.mode == Mode::Delete);
        if deletes { Mode::Delete } else { Mode::Stale }
    }

    /// The sum over its targets.
    pub fn counts(&self) -> Counts {
        self.targets.iter().fold(Counts::default(), |sum, target| sum.plus(target.counts))
    }
}

/// The order of the history: microseconds since 1970, and of one microsecond by the id.
pub(super) type Age = (u64, RequestId);

/// What is learned of a purge after its record was made. Each part is told once; told again it changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Update {
    /// What each target's sweeps removed, in their order, and [`Purge::swept_us`].
    pub(super) swept: Option<(Box<[Counts]>, u64)>,
    /// [`Purge::acknowledged_us`]
    pub(super) acknowledged_us: Option<u64>,
    /// How its warming ended.
    pub(super) warm: Option<WarmProgress>,
}

impl Update {
    /// Whether it is written at once. How a warming ends may be all that anybody waits for; the end of a sweep, of which
    /// there are as many as purges, waits a moment for others.
    pub(super) fn presses(&self) -> bool {
        self.warm.is_some()
    }

    /// Adds what `newer` has learned.
    pub(super) fn merge(&mut self, newer: Update) {
        self.swept = newer.swept.or(self.swept.take());
        self.acknowledged_us = newer.acknowledged_us.or(self.acknowledged_us);
        self.warm = newer.warm.or(self.warm);
    }

    /// Enters it into its record.
    pub(super) fn apply(&self, record: &mut Record) {
        let Some(purge) = record.purge_mut() else { return };
        if let Some((counts, swept_us)) = &self.swept {
            assert!(counts.len() == purge.targets.len(), "each target was swept, and nothing else");
            for (target, counts) in purge.targets.iter_mut().zip(counts) {
                (target.status, target.counts) = (Status::Completed, *counts);
            }
            purge.swept_us = Some(*swept_us);
        }
        purge.acknowledged_us = self.acknowledged_us.or(purge.acknowledged_us);
        purge.warm = self.warm.or(purge.warm);
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::Door;
    use super::*;

    fn record(change: Change) -> Record {
        Record {
            id: RequestId::random().unwrap(),
            account: Some("demo".into()),
            by: By { key: "cms".into(), door: Door::PurgeMethod },
            note: Some("new \"logo\"\n".into()),
            created_at_us: u64::MAX,
            change,
        }
    }

    fn target(mode: Mode, status: Status) -> TargetRecord {
        let counts = Counts { entries: 3, bytes: 4096, shared: true };
        let [kind, text, covers] = ["url", "http://h/demo/é.jpg", "demo/%C3%A9.jpg"].map(Into::into);
        TargetRecord { kind, text, covers, mode, status, counts }
    }

    #[test]
    fn ok_a_record_is_read_back_from_its_json() {
        let targets = [target(Mode::Delete, Status::Completed), target(Mode::Stale, Status::Pending)].into();
        let full = Purge {
            targets,
            visible_us: Some(7),
            acknowledged_us: Some(8),
            swept_us: Some(9),
            warm: Some(WarmProgress::default()),
        };
        let bare =
            Purge { visible_us: None, acknowledged_us: None, swept_us: None, warm: None, ..full.clone() };
        let changes = [
            Change::Purge(full),
            Change::Purge(bare),
            Change::Allowance("limit 1000 → 2000".into()),
            Change::Key("cms added".into()),
        ];
        for change in changes {
            let whole = record(change.clone());
            let nobodys = Record { account: None, note: None, ..whole.clone() };
            for record in [whole, nobodys] {
                let json = serde_json::to_vec(&record).unwrap();
                assert_eq!(serde_json::from_slice::<Record>(&json).unwrap(), record);
            }
        }
    }

    #[test]
    fn ok_members_of_a_later_version_are_passed_over() {
        let json = r#"{"id":"00ff0123456789abcdef7f80","by":{"key":"k","door":"api","city":"x"},"created_at_us":5,
            "change":{"purge":{"targets":[{"kind":"url","text":"t","covers":"c","mode":"stale","status":"Completed",
            "node":{"a":[1]}}],"visible_us":1,"colour":"blue"}},"more":null}"#;
        let record: Record = serde_json::from_str(json).unwrap();
        let purge = record.purge().unwrap();
        assert_eq!(
            (purge.mode(), purge.status(), purge.counts()),
            (Mode::Stale, Status::Completed, Counts::default())
        );
    }

    #[test]
    fn a_purge_is_as_far_as_its_last_target_and_as_hard_as_its_hardest() {
        let purge = |targets: &[TargetRecord]| Purge {
            targets: targets.into(),
            visible_us: None,
            acknowledged_us: None,
            swept_us: None,
            warm: None,
        };
        let (soft, hard) = (target(Mode::Stale, Status::Pending), target(Mode::Delete, Status::Completed));
        assert_eq!(purge(&[hard.clone(), soft.clone()]).status(), Status::Pending);
        assert_eq!(purge(&[hard.clone(), hard.clone()]).status(), Status::Completed);
        assert_eq!(purge(&[soft.clone(), soft.clone()]).mode(), Mode::Stale);
        assert_eq!(purge(&[soft.clone(), hard]).mode(), Mode::Delete);
        assert_eq!(purge(&[soft.clone(), soft]).counts(), Counts { entries: 6, bytes: 8192, shared: true });
    }
}
