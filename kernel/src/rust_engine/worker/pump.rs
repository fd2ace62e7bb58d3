//! Reads what the worker says, always: also threads that outlive their cell print and show something, and none of them is
//! to wait for the next cell.

use carrel_protocol::Report;
use tokio::sync::mpsc;

use super::event::Event;
use super::late::LateOutputs;
use super::orders::Orders;
use super::reader::{Read, Reader};
use crate::engine::StreamName;

/// Ends with the worker.
pub(super) async fn pump(
    mut reader: Reader,
    orders: Orders,
    events: mpsc::Sender<Event>,
    late: LateOutputs,
) {
    let pump = Pump {
        orders,
        events,
        late,
    };
    loop {
        let report = match reader.next().await {
            Read::Text(event) => {
                pump.forward(event).await;
                continue;
            }
            Read::Report(report) => Some(report),
            Read::Closed => None,
        };
        let last = matches!(report, None | Some(Report::Ended { .. }));
        for event in reader.printed(last) {
            pump.forward(event).await;
        }
        let Some(report) = report else {
            return;
        };
        pump.report(report).await;
    }
}

struct Pump {
    orders: Orders,
    events: mpsc::Sender<Event>,
    late: LateOutputs,
}

impl Pump {
    async fn report(&self, report: Report) {
        let event = match report {
            Report::Ready => return,
            Report::Printed { cell, error, text } => {
                let name = match error {
                    true => StreamName::Stderr,
                    false => StreamName::Stdout,
                };
                return self.late.print(cell, name, text).await;
            }
            Report::Output { cell, output } => {
                let running = self.orders.running();
                let cell = if cell == running { 0 } else { cell };
                Event::Output { cell, output }
            }
            Report::Question {
                question,
                prompt,
                password,
            } => Event::Question {
                question,
                prompt,
                password,
            },
            Report::Ended { ending, variables } => {
                self.orders.ended();
                // An error means that nobody waits for the cell any more.
                let _ = self.events.send(Event::Ended { ending, variables }).await;
                return;
            }
        };
        self.forward(event).await;
    }

    async fn forward(&self, event: Event) {
        if self.orders.running() != 0 {
            let _ = self.events.send(event).await;
            return;
        }
        match event {
            Event::Printed(name, text) => {
                self.late.print(self.orders.last(), name, text).await;
            }
            Event::Output { cell, output } => {
                let cell = if cell == 0 { self.orders.last() } else { cell };
                self.late.output(cell, output).await;
                self.orders.taken().await;
            }
            Event::Question { question, .. } => self.orders.answer(question, None).await,
            Event::Ended { .. } | Event::Died(_) => {}
        }
    }
}
