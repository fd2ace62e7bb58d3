//! What the configuration shows while it runs ahead of the first cell: when that comes, it shows how far a build is.

use tokio::sync::{mpsc, watch};

use crate::engine::Output;

/// Outputs of the cell that waits for the configuration, while one does.
pub type Waiting = watch::Sender<Option<mpsc::Sender<Output>>>;

/// Takes outputs until they end. Before a cell waits nobody looks: only the last state of what changes in place is kept.
pub async fn forward(mut outputs: mpsc::Receiver<Output>, waiting: &Waiting) {
    let mut waiting = waiting.subscribe();
    let mut state = None;
    loop {
        tokio::select! {
            output = outputs.recv() => {
                let Some(output) = output else { return };
                let cell = waiting.borrow().clone();
                match cell {
                    Some(cell) => {
                        for output in state.take().into_iter().chain([output]) {
                            // Nobody listens if the frontend is gone.
                            let _ = cell.send(output).await;
                        }
                    }
                    None => state = first(output).or(state),
                }
            }
            Ok(()) = waiting.changed() => {
                let cell = waiting.borrow_and_update().clone();
                if let (Some(cell), Some(state)) = (cell, state.take()) {
                    let _ = cell.send(state).await;
                }
            }
        }
    }
}

/// What changes in place, as if it was shown for the first time.
fn first(output: Output) -> Option<Output> {
    match output {
        Output::Display {
            bundle,
            display_id: Some(id),
            ..
        } => Some(Output::Display {
            bundle,
            display_id: Some(id),
            update: false,
        }),
        _ => None,
    }
}
