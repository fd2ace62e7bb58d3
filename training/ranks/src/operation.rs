//! What ranks do together, as they tell it one another before its bytes: all must do the same.

use crate::error::RanksError;

/// What a rank does in a moment: its kind, its number, and the bytes it is about.
pub(crate) type Head = [u8; 16];

/// What ranks do together, or a rank asks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Sum = 1,
    Broadcast = 2,
    Gather = 3,
    /// To a parameter server: the parameters to begin with.
    Set = 4,
    /// To a parameter server: gradients; it answers with values.
    Push = 5,
    Values = 6,
    /// To a parameter server: asks for what its optimizer remembers, with which it answers.
    State = 7,
    /// To a parameter server: this rank has done all it has to do.
    Done = 8,
}

const OPERATIONS: [Operation; 8] = [
    Operation::Sum,
    Operation::Broadcast,
    Operation::Gather,
    Operation::Set,
    Operation::Push,
    Operation::Values,
    Operation::State,
    Operation::Done,
];

impl Operation {
    pub(crate) fn head(self, sequence: u32, bytes: usize) -> Head {
        let mut head = [0; 16];
        head[0] = self as u8;
        head[4..8].copy_from_slice(&sequence.to_le_bytes());
        head[8..].copy_from_slice(&(bytes as u64).to_le_bytes());
        head
    }

    /// What a head says.
    pub(crate) fn of(head: &Head) -> (Option<Self>, u32, u64) {
        let [kind, _, _, _, a, b, c, d, bytes @ ..] = *head;
        let kind = OPERATIONS.into_iter().find(|known| *known as u8 == kind);
        (
            kind,
            u32::from_le_bytes([a, b, c, d]),
            u64::from_le_bytes(bytes),
        )
    }

    /// A head in words.
    pub(crate) fn name(head: &Head) -> String {
        let (kind, sequence, bytes) = Self::of(head);
        match kind {
            Some(kind) => format!("{kind:?} number {sequence} of {bytes} bytes"),
            None => "no operation".to_owned(),
        }
    }
}

pub(crate) fn out_of_step(rank: usize, ours: &Head, theirs: &Head) -> RanksError {
    RanksError::OutOfStep {
        rank,
        ours: Operation::name(ours),
        theirs: Operation::name(theirs),
    }
}
