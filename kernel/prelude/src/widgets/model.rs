//! A model: named values that frontends and cells keep the same on both sides of a comm.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carrel_runtime::{MimeBundle, Rich};
use serde_json::{Map, Value, json};

use crate::comm::{Comm, CommMessage, on_comm_open};
use crate::json;

const TARGET: &str = "jupyter.widget";
/// By which a frontend that comes later asks for all models at once.
const CONTROL: &str = "jupyter.widget.control";
const MESSAGING: &str = "2.1.0";

/// A model of any ipywidgets class; clones are the same model. It lives until [`Widget::close`], as what shows it may.
#[derive(Clone)]
pub struct Widget(Arc<Model>);

struct Model {
    comm: Comm,
    state: Mutex<State>,
    listeners: Mutex<Vec<Listener>>,
}

#[derive(Default)]
struct State {
    values: Map<String, Value>,
    /// Binary values, which travel apart from the others.
    bytes: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone)]
enum Listener {
    Change(String, Callback),
    /// To what a view sends that is no change, such as a click.
    Custom(Callback),
}

type Callback = Arc<Mutex<dyn FnMut(&Value) + Send>>;

static ALL: Mutex<BTreeMap<String, Widget>> = Mutex::new(BTreeMap::new());

impl Widget {
    /// A model of the JavaScript package `module` in `version`: its classes are `{name}Model` and `{name}View`. `state`
    /// is JSON, as of `json!({ .. })`.
    pub fn new(module: &str, version: &str, name: &str, state: impl Display + 'static) -> Self {
        let mut values = Map::from_iter([
            ("_model_module".to_owned(), module.into()),
            ("_model_module_version".to_owned(), version.into()),
            ("_model_name".to_owned(), format!("{name}Model").into()),
            ("_view_module".to_owned(), module.into()),
            ("_view_module_version".to_owned(), version.into()),
            ("_view_name".to_owned(), format!("{name}View").into()),
        ]);
        if let Value::Object(state) = json::value(state) {
            values.extend(state);
        }
        let data = json!({ "state": values, "buffer_paths": [] });
        let comm = Comm::open(TARGET, data, json!({ "version": MESSAGING }), Vec::new());
        let widget = Self(Arc::new(Model {
            comm,
            state: Mutex::new(State {
                values,
                ..State::default()
            }),
            listeners: Mutex::default(),
        }));
        lock(&ALL).insert(widget.id().to_owned(), widget.clone());
        let listening = widget.clone();
        widget
            .0
            .comm
            .on_message(move |message| listening.receive(message));
        widget
    }

    /// A model of `@jupyter-widgets/controls`, such as `IntSlider`.
    pub fn control(name: &str, state: impl Display + 'static) -> Self {
        Self::new("@jupyter-widgets/controls", "2.0.0", name, state)
    }

    pub fn id(&self) -> &str {
        self.0.comm.id()
    }

    /// How another model refers to this one.
    pub fn reference(&self) -> Value {
        format!("IPY_MODEL_{}", self.id()).into()
    }

    /// The value as frontends set it last, or null.
    pub fn get(&self, name: &str) -> Value {
        lock(&self.0.state)
            .values
            .get(name)
            .cloned()
            .unwrap_or_default()
    }

    pub fn get_bytes(&self, name: &str) -> Option<Vec<u8>> {
        lock(&self.0.state).bytes.get(name).cloned()
    }

    /// Sets a value in all frontends.
    #[track_caller]
    pub fn set(&self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        lock(&self.0.state)
            .values
            .insert(name.to_owned(), value.clone());
        self.send("update", &Map::from_iter([(name.to_owned(), value)]), &[]);
    }

    /// Sets a binary value, such as the `value` of an `Image`.
    #[track_caller]
    pub fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        lock(&self.0.state)
            .bytes
            .insert(name.to_owned(), bytes.clone());
        self.send("update", &Map::new(), &[(name, &bytes)]);
    }

    /// Calls `callback` when a frontend has changed the value.
    pub fn on_change(&self, name: &str, callback: impl FnMut(&Value) + Send + 'static) {
        let callback = Arc::new(Mutex::new(callback));
        lock(&self.0.listeners).push(Listener::Change(name.to_owned(), callback));
    }

    /// Calls `callback` with what a view sends that is no change.
    pub fn on_custom(&self, callback: impl FnMut(&Value) + Send + 'static) {
        lock(&self.0.listeners).push(Listener::Custom(Arc::new(Mutex::new(callback))));
    }

    /// Removes it from all frontends.
    #[track_caller]
    pub fn close(&self) {
        lock(&ALL).remove(self.id());
        lock(&self.0.listeners).clear();
        self.0.comm.close();
    }

    fn send(&self, method: &str, values: &Map<String, Value>, bytes: &[(&str, &[u8])]) {
        let paths: Vec<_> = bytes.iter().map(|(name, _)| [name]).collect();
        let data = json!({ "method": method, "state": values, "buffer_paths": paths });
        let buffers = bytes.iter().map(|(_, bytes)| bytes.to_vec()).collect();
        self.0.comm.send(data, buffers);
    }

    fn receive(&self, message: &CommMessage) {
        match message.data["method"].as_str() {
            Some("update") => self.update(message),
            Some("request_state") => {
                let state = lock(&self.0.state);
                let (values, bytes) = (state.values.clone(), state.bytes.clone());
                drop(state);
                let bytes: Vec<_> = bytes.iter().map(|(name, b)| (&**name, &**b)).collect();
                self.send("update", &values, &bytes);
            }
            Some("custom") => {
                let content = &message.data["content"];
                for listener in lock(&self.0.listeners).clone() {
                    if let Listener::Custom(callback) = listener {
                        lock(&callback)(content);
                    }
                }
            }
            // The end of the comm, or a method of a later protocol.
            _ => {}
        }
    }

    fn update(&self, message: &CommMessage) {
        let (changed, bytes) = changes(message);
        {
            let mut state = lock(&self.0.state);
            state.values.extend(changed.clone());
            state.bytes.extend(bytes.clone());
        }
        // Other frontends learn of it, and this one that it was heard.
        let sent: Vec<_> = bytes.iter().map(|(name, b)| (&**name, &**b)).collect();
        self.send("echo_update", &changed, &sent);
        for listener in lock(&self.0.listeners).clone() {
            if let Listener::Change(name, callback) = listener
                && let Some(value) = changed.get(&name)
            {
                lock(&callback)(value);
            }
        }
    }
}

/// Values of an `update`, and its binary ones. Those inside of others are for nobody here, and are left out.
fn changes(message: &CommMessage) -> (Map<String, Value>, BTreeMap<String, Vec<u8>>) {
    let values = message.data["state"].as_object().cloned();
    let paths = message.data["buffer_paths"].as_array();
    let bytes = paths.into_iter().flatten().zip(&message.buffers);
    let bytes = bytes.filter_map(|(path, bytes)| match path.as_array()?.as_slice() {
        [Value::String(name)] => Some((name.clone(), bytes.clone())),
        _ => None,
    });
    (values.unwrap_or_default(), bytes.collect())
}

/// Answers frontends that were not there when the models were made.
pub(crate) fn answer_frontends() {
    on_comm_open(CONTROL, |comm, _| {
        let answering = comm.clone();
        comm.on_message(move |message| {
            if message.data["method"] == "request_states" {
                let (data, buffers) = all_states();
                answering.send(data, buffers);
            }
        });
    });
}

fn all_states() -> (Value, Vec<Vec<u8>>) {
    let mut states = Map::new();
    let mut paths = Vec::new();
    let mut buffers = Vec::new();
    for (id, widget) in &*lock(&ALL) {
        let state = lock(&widget.0.state);
        for (name, bytes) in &state.bytes {
            paths.push(json!([id, "state", name]));
            buffers.push(bytes.clone());
        }
        let values = &state.values;
        let state = json!({
            "model_name": values["_model_name"],
            "model_module": values["_model_module"],
            "model_module_version": values["_model_module_version"],
            "state": values,
        });
        states.insert(id.clone(), state);
    }
    let data = json!({ "method": "update_states", "states": states, "buffer_paths": paths });
    (data, buffers)
}

impl Rich for Widget {
    fn rich(&self) -> MimeBundle {
        let view = json!({ "version_major": 2, "version_minor": 0, "model_id": self.id() });
        MimeBundle::plain(format!("{self:?}"))
            .with("application/vnd.jupyter.widget-view+json", view)
    }
}

impl fmt::Debug for Widget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.0.state);
        let name = state.values["_model_name"].as_str().unwrap_or_default();
        let name = name.strip_suffix("Model").unwrap_or(name);
        match state.values.get("value") {
            Some(value) => write!(formatter, "{name}(value={value})"),
            None => write!(formatter, "{name}"),
        }
    }
}

/// A callback that panicked once is called again.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
