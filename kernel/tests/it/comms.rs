//! Comms and widgets of real cells.

use carrel_kernel::engine::{CommKind, CommMessage, Engine, Failure, Outcome, Output};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::notebook::{LIMIT, Notebook, Ran};

impl Notebook {
    /// What a frontend's message leads to.
    async fn comm(&self, comm_id: &str, kind: CommKind, data: Value) -> Ran {
        self.comm_with(comm_id, kind, data, Vec::new()).await
    }

    async fn comm_with(
        &self,
        comm_id: &str,
        kind: CommKind,
        data: Value,
        buffers: Vec<Vec<u8>>,
    ) -> Ran {
        let message = CommMessage {
            comm_id: comm_id.to_owned(),
            kind,
            data,
            metadata: json!({}),
            buffers,
        };
        let (sender, mut received) = mpsc::channel(1);
        let mut outputs = Vec::new();
        let collect = async {
            while let Some(output) = received.recv().await {
                outputs.push(output);
            }
        };
        let run = async {
            tokio::join!(
                self.engine.comm(&message, Default::default(), sender),
                collect
            )
            .0
        };
        let failure = match tokio::time::timeout(LIMIT, run).await.unwrap() {
            Outcome::Ok => None,
            Outcome::Failed(failure) => Some(failure),
        };
        Ran {
            failure,
            outputs,
            asked: Vec::new(),
        }
    }

    async fn set(&self, comm_id: &str, value: Value) -> Ran {
        let data = json!({ "method": "update", "state": { "value": value }, "buffer_paths": [] });
        self.comm(comm_id, CommKind::Message, data).await
    }
}

fn sent(ran: &Ran) -> Vec<CommMessage> {
    let comms = ran.outputs.iter().filter_map(|output| match output {
        Output::Comm(message) => Some(message.clone()),
        _ => None,
    });
    comms.collect()
}

fn open(target_name: &str) -> CommKind {
    CommKind::Open {
        target_name: target_name.to_owned(),
    }
}

fn no_failure(failure: &Option<Failure>) {
    assert!(failure.is_none(), "{failure:?}");
}

#[tokio::test]
async fn frontends_open_comms_to_targets_of_cells_and_buffers_go_both_ways() {
    let mut notebook = Notebook::open();
    let closed = sent(&notebook.comm("x", open("nowhere"), json!({})).await);
    assert_eq!((closed.len(), &closed[0].kind), (1, &CommKind::Close));
    notebook
        .ok("on_comm_open(\"echo\", |comm, first| {
                println!(\"opened with {}\", first.data);
                let back = comm.clone();
                comm.on_message(move |message| {
                    println!(\"{:?}\", message.kind);
                    back.send(message.data.clone(), message.buffers.iter().rev().cloned().collect());
                });
            });")
        .await;
    let closed = sent(&notebook.comm("x", open("nowhere"), json!({})).await);
    assert_eq!((closed.len(), &closed[0].kind), (1, &CommKind::Close));
    let opened = notebook.comm("e1", open("echo"), json!({ "n": 1 })).await;
    assert_eq!(opened.stdout(), "opened with {\"n\":1}\n");
    let buffers = vec![vec![0, 255, 10], Vec::new(), b"third".to_vec()];
    let ran = notebook
        .comm_with("e1", CommKind::Message, json!([1, "é"]), buffers.clone())
        .await;
    let answer = &sent(&ran)[0];
    assert_eq!(
        (answer.comm_id.as_str(), &answer.data),
        ("e1", &json!([1, "é"]))
    );
    assert!(answer.buffers.iter().eq(buffers.iter().rev()));
    let closed = notebook.comm("e1", CommKind::Close, json!({})).await;
    assert_eq!(closed.stdout(), "Close\n");
    let late = notebook.comm("e1", CommKind::Message, json!(2)).await;
    assert!(late.outputs.is_empty() && late.failure.is_none());
}

#[tokio::test]
async fn a_slider_moves_on_both_sides() {
    let mut notebook = Notebook::open();
    let ran = notebook
        .ok("let n = widgets::int_slider(0..=10).label(\"n\"); n.on_change(|n| println!(\"now {n}\")); n")
        .await;
    let messages = sent(&ran);
    let opened = &messages[0];
    assert_eq!(opened.kind, open("jupyter.widget"));
    assert_eq!(opened.metadata, json!({ "version": "2.1.0" }));
    let state = &opened.data["state"];
    assert_eq!(state["_model_name"], "IntSliderModel");
    assert_eq!((&state["min"], &state["max"]), (&json!(0), &json!(10)));
    assert_eq!(messages[1].data["state"], json!({ "description": "n" }));
    let id = opened.comm_id.as_str();
    let view = ran.outputs.iter().find_map(|output| match output {
        Output::Result { bundle } => bundle.data.get("application/vnd.jupyter.widget-view+json"),
        _ => None,
    });
    assert_eq!(view.unwrap()["model_id"], id);

    let moved = notebook.set(id, json!(7)).await;
    no_failure(&moved.failure);
    assert_eq!(moved.stdout(), "now 7\n");
    assert_eq!(sent(&moved)[0].data["method"], "echo_update");
    assert_eq!(notebook.value("n.value()").await, "7");
    let set = sent(&notebook.ok("n.set(3);").await);
    assert_eq!(set[0].data["method"], "update");
    assert_eq!(set[0].data["state"], json!({ "value": 3 }));

    let asked = json!({ "method": "request_state" });
    let told = sent(&notebook.comm(id, CommKind::Message, asked).await);
    assert_eq!(told[0].data["state"]["value"], 3);
    notebook
        .comm("ctl", open("jupyter.widget.control"), json!({}))
        .await;
    let asked = json!({ "method": "request_states" });
    let told = sent(&notebook.comm("ctl", CommKind::Message, asked).await);
    assert_eq!(told[0].data["states"][id]["state"]["value"], 3);
}

#[tokio::test]
async fn binary_values_of_widgets_travel_as_buffers() {
    let mut notebook = Notebook::open();
    let ran = notebook
        .ok("let picture = widgets::Widget::control(\"Image\", json!({ \"format\": \"png\" })); picture.set_bytes(\"value\", vec![0, 255]);")
        .await;
    let messages = sent(&ran);
    assert_eq!(messages[1].data["buffer_paths"], json!([["value"]]));
    assert_eq!(messages[1].buffers, [vec![0, 255]]);
    let data = json!({ "method": "update", "state": {}, "buffer_paths": [["value"]] });
    let id = messages[0].comm_id.as_str();
    notebook
        .comm_with(id, CommKind::Message, data, vec![vec![9]])
        .await;
    assert_eq!(
        notebook.value("picture.get_bytes(\"value\")").await,
        "Some([9])"
    );
}

#[tokio::test]
async fn a_callback_fails_and_is_interrupted_as_a_cell_and_the_comms_end_with_the_worker() {
    let mut notebook = Notebook::open();
    let ran = notebook
        .ok("let go = widgets::button(\"Go\"); let mut clicks = 0;
            go.on_click(move || { clicks += 1; println!(\"click {clicks}\"); if clicks == 1 { panic!(\"first\") } loop {} });")
        .await;
    let id = sent(&ran)[0].comm_id.clone();
    let click = json!({ "method": "custom", "content": { "event": "click" } });
    let failed = notebook.comm(&id, CommKind::Message, click.clone()).await;
    assert_eq!(failed.failure.unwrap().ename, "panic");
    let message = CommMessage {
        comm_id: id.clone(),
        kind: CommKind::Message,
        data: click,
        metadata: json!({}),
        buffers: Vec::new(),
    };
    let (sender, mut outputs) = mpsc::channel(1);
    let interrupting = async {
        while let Some(output) = outputs.recv().await {
            if matches!(output, Output::Stream { .. }) {
                notebook.engine.interrupt();
            }
        }
    };
    let running = async {
        tokio::join!(
            notebook.engine.comm(&message, Default::default(), sender),
            interrupting
        )
        .0
    };
    let Outcome::Failed(failure) = tokio::time::timeout(LIMIT, running).await.unwrap() else {
        panic!("the callback ended")
    };
    assert_eq!(failure.ename, "Interrupted");
    let died = notebook.run("std::process::abort()").await;
    assert_eq!(died.failure.as_ref().unwrap().ename, "worker died");
    let closed = sent(&died);
    assert_eq!(
        (&closed[0].comm_id, &closed[0].kind),
        (&id, &CommKind::Close)
    );
}
