//! The training loop: ranks against one process, going on bit for bit, ends and failures.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use candle_core::{Device, Module, Result, Tensor, Var};
use carrel_training::data::{Order, Partition, Sampler};
use carrel_training::nn::Parts;
use carrel_training::prelude::*;
use carrel_training::random::with_seed;
use carrel_training::ranks::SumOrder;
use carrel_training::trainer::{Checkpoint, Ended, Epoch};

use crate::harness::{difference, numbers};
use crate::threads::on_threads;

/// Random pictures, and classes that depend on them.
fn pictures(count: usize, size: usize) -> TensorDataset {
    let x = numbers(7, &[count, 1, size, size])
        .to_dtype(DType::F32)
        .unwrap();
    let sums = x.flatten_from(1).unwrap().narrow(1, 0, 4).unwrap();
    TensorDataset::new(x, sums.argmax(1).unwrap()).unwrap()
}

/// A small network with every kind of state: momentum, running moments, dropout.
fn network() -> Sequential {
    with_seed(5, || {
        sequential![
            Conv2d::new(1, 4, 3).unwrap(),
            BatchNorm::new(4).unwrap(),
            Relu,
            Dropout2d::new(0.25),
            Flatten,
            Dropout::new(0.25),
            Linear::new(4 * 36, 4).unwrap()
        ]
    })
}

fn trainer(folder: Option<&Path>, epochs: usize) -> Trainer<Sequential> {
    let data = pictures(90, 8);
    let trainer = Trainer::new(network())
        .data(DataLoader::new(data.clone(), 16).shuffle(3))
        .test(DataLoader::new(data, 32))
        .schedule(Schedule::Cosine {
            over: 20,
            least: 0.1,
        })
        .optimizer(|parameters| Ok(Adam::new(parameters, 0.01)?.weight_decay(0.01)))
        .unwrap()
        .epochs(epochs);
    match folder {
        Some(folder) => trainer.checkpoints(folder),
        None => trainer,
    }
}

/// Of f32 as well: each is an f64.
fn bits(state: &BTreeMap<String, Tensor>) -> Vec<u64> {
    let flat = |tensor: &Tensor| {
        let wide = tensor.to_dtype(DType::F64).unwrap();
        wide.flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    state.values().flat_map(flat).map(f64::to_bits).collect()
}

/// What two histories must share: all but the seconds.
fn losses(history: &History) -> Vec<(f64, Option<f64>, Option<f64>)> {
    history
        .epochs
        .iter()
        .map(|e| (e.loss, e.test_loss, e.accuracy))
        .collect()
}

#[test]
fn a_rerun_is_the_same_bit_for_bit_and_learns() {
    let (mut first, mut second) = (trainer(None, 6), trainer(None, 6));
    let history = first.fit().unwrap();
    assert_eq!(losses(&second.fit().unwrap()), losses(&history));
    assert_eq!(
        bits(&first.model().state().unwrap()),
        bits(&second.model().state().unwrap())
    );
    assert_eq!(history.ended, Ended::Done);
    assert!(history.loss() < 0.75 * history.losses()[0], "{history}");
    assert!(history.epochs[5].accuracy > Some(0.6), "{history}");
    assert!(history.to_string().lines().count() == 7, "{history}");
}

#[test]
fn training_that_was_stopped_in_an_epoch_goes_on_bit_for_bit() {
    let mut whole = trainer(None, 4);
    whole.fit().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // 6 batches an epoch and 3 of the test after it: stopped within the second one, then in the fourth.
    for stop_after in [8 + 3, 12 + 2 * 3] {
        let steps = AtomicUsize::new(0);
        let mut part = trainer(Some(folder.path()), 4)
            .stop_when(move || steps.fetch_add(1, Ordering::Relaxed) >= stop_after);
        assert_eq!(part.fit().unwrap().ended, Ended::Stopped);
    }
    let mut rest = trainer(Some(folder.path()), 4);
    let history = rest.fit().unwrap();
    assert_eq!(losses(&history), losses(whole.history()));
    assert_eq!(
        bits(&rest.model().state().unwrap()),
        bits(&whole.model().state().unwrap())
    );
    // Old ones are removed, and nothing unfinished stays.
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["step-0000000020", "step-0000000024"]);
    // Done is done.
    assert_eq!(
        trainer(Some(folder.path()), 4).fit().unwrap().epochs.len(),
        4
    );
}

#[test]
fn an_interrupted_trainer_keeps_the_model_and_goes_on() {
    let steps = Arc::new(AtomicUsize::new(0));
    let counter = steps.clone();
    let mut trainer =
        trainer(None, 3).stop_when(move || counter.fetch_add(1, Ordering::Relaxed) == 10);
    let mut whole = self::trainer(None, 3);
    whole.fit().unwrap();
    let history = trainer.fit().unwrap();
    assert_eq!((history.ended, history.epochs.len()), (Ended::Stopped, 1));
    assert_eq!(trainer.fit().unwrap().ended, Ended::Done);
    assert_eq!(
        bits(&trainer.model().state().unwrap()),
        bits(&whole.model().state().unwrap())
    );
}

#[test]
fn an_interrupt_among_the_batches_of_the_test_stops_there_and_training_goes_on() {
    let mut whole = trainer(None, 2);
    whole.fit().unwrap();
    // Six steps of an epoch, and the test's first batch.
    for asked in [6, 7, 8] {
        let steps = AtomicUsize::new(0);
        let mut trainer =
            trainer(None, 2).stop_when(move || steps.fetch_add(1, Ordering::Relaxed) == asked);
        let history = trainer.fit().unwrap();
        assert_eq!((history.ended, history.epochs.len()), (Ended::Stopped, 0));
        let history = trainer.fit().unwrap();
        assert_eq!((history.ended, history.epochs.len()), (Ended::Done, 2));
        assert_eq!(losses(&history), losses(whole.history()));
        assert_eq!(
            bits(&trainer.model().state().unwrap()),
            bits(&whole.model().state().unwrap())
        );
    }
}

/// A layer that unwinds at one of its calls, as an interrupt does in a model of a notebook.
struct Unwinds(Arc<AtomicUsize>);

impl Module for Unwinds {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        assert_ne!(self.0.fetch_add(1, Ordering::Relaxed), 3, "interrupted");
        Ok(x.clone())
    }
}

impl Layer for Unwinds {
    fn parts<'a>(&'a self, _: &mut Parts<'a>) {}

    fn map(&mut self, _: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Steps(Arc<AtomicUsize>);

impl Watcher for Steps {
    fn step(&mut self, _: &Step) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_model_that_unwinds_costs_neither_its_state_nor_the_watcher() {
    let fit = |calls: usize| {
        let (calls, told) = (Arc::new(AtomicUsize::new(calls)), Steps::default());
        let model = sequential![network(), Unwinds(calls)];
        let mut trainer = Trainer::new(model)
            .data(DataLoader::new(pictures(90, 8), 16).shuffle(3))
            .watch(told.clone())
            .epochs(1);
        let unwound = catch_unwind(AssertUnwindSafe(|| drop(trainer.fit()))).is_err();
        if unwound {
            trainer.fit().unwrap();
        }
        let steps = told.0.load(Ordering::Relaxed);
        (unwound, steps, bits(&trainer.model().state().unwrap()))
    };
    let (unwound, steps, state) = fit(0);
    let whole = fit(4);
    assert_eq!((unwound, steps), (true, 6));
    assert_eq!((whole.0, whole.1), (false, 6));
    assert_eq!(state, whole.2);
}

/// The network of a recipe in numbers of one type, over pictures of f32.
struct In {
    net: MnistNet,
    dtype: DType,
}

impl In {
    fn new(seed: u64, dtype: DType) -> Self {
        let mut net = MnistNet::new(seed, 0.0).unwrap();
        net.to_dtype(dtype).unwrap();
        Self { net, dtype }
    }
}

impl ModuleT for In {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.net.forward_t(&x.to_dtype(self.dtype)?, train)
    }
}

carrel_training::layers!(In { net });

/// Trains on `world` ranks, without dropout, 50 steps of 128 pictures.
fn on_ranks(world: usize, dtype: DType) -> Vec<BTreeMap<String, Tensor>> {
    on_threads(world, |environment| {
        let rank = environment.rank;
        let sampler = Sampler {
            order: Order::Shuffled { seed: 2 },
            partition: Partition::Dealt,
            rank,
            world,
        };
        // Another seed on the other ranks: rank 0's weights count.
        let model = In::new(1234 + rank as u64, dtype);
        let mut trainer = Trainer::new(model)
            .data(DataLoader::new(pictures(128 * 5, 28), 128 / world).sampler(sampler))
            .loss(nll_loss)
            .optimizer(|parameters| Ok(Sgd::new(parameters, 0.01)?.momentum(0.5)))
            .unwrap()
            .ranks(Ranks::connect(&Meeting::new(environment)).unwrap())
            .epochs(10);
        trainer.fit().unwrap();
        trainer.model().state().unwrap()
    })
}

#[test]
fn four_ranks_do_what_one_process_does_with_their_batches_together() {
    // In f32 sums in another order round otherwise, and where that gives a pool another maximum the rest of the way follows:
    // that it is rounding alone is seen in f64.
    for (dtype, most) in [(DType::F64, 1e-12), (DType::F32, 5e-5)] {
        let alone = on_ranks(1, dtype).remove(0);
        let ranks = on_ranks(4, dtype);
        let start = In::new(1234, dtype).state().unwrap();
        for (name, value) in &alone {
            let way = difference(value, &start[name]);
            assert!(way > 1e-3, "{name} was not trained");
            let error = difference(value, &ranks[0][name]);
            assert!(error < most, "{name} in {dtype:?}: {error}");
        }
        for rank in &ranks {
            assert_eq!(bits(rank), bits(&ranks[0]));
        }
    }
}

/// Layers of a million parameters, which are averaged in several buckets.
fn large(seed: u64) -> Sequential {
    with_seed(seed, || {
        sequential![
            Linear::new(64, 1500).unwrap(),
            Relu,
            Linear::new(1500, 900).unwrap(),
            Relu,
            Linear::new(900, 4).unwrap()
        ]
    })
}

/// A network one of whose layers is used twice in each pass.
struct Twice {
    first: Linear,
    shared: Linear,
}

carrel_training::layers!(Twice { first, shared });

impl ModuleT for Twice {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.first.forward_t(x, train)?.relu()?;
        let x = self.shared.forward_t(&x, train)?.relu()?;
        self.shared.forward_t(&x, train)
    }
}

/// The weights after six steps on two ranks that add in their own order, with gradients sent early or at the end.
fn two_ranks<M: Layer + 'static>(
    overlap: bool,
    model: impl Fn() -> M + Sync,
    penalty: impl Fn(&M) -> Option<Var> + Sync,
) -> Vec<BTreeMap<String, Tensor>> {
    on_threads(2, |environment| {
        let rank = environment.rank;
        let meeting = Meeting {
            sum_order: SumOrder::Ranks,
            ..Meeting::new(environment)
        };
        let sampler = Sampler {
            order: Order::InTurn,
            partition: Partition::Dealt,
            rank,
            world: 2,
        };
        let model = model();
        let weight = penalty(&model);
        let mut trainer = Trainer::new(model)
            .data(DataLoader::new(pictures(48, 8), 8).sampler(sampler))
            .loss(move |output, targets| {
                let loss = cross_entropy(&output.narrow(1, 0, 4)?, targets)?;
                match &weight {
                    Some(weight) => loss + (weight.as_tensor().sqr()?.sum_all()? * 0.1)?,
                    None => Ok(loss),
                }
            })
            .ranks(Ranks::connect(&meeting).unwrap())
            .overlap(overlap)
            .epochs(2);
        trainer.fit().unwrap();
        trainer.model().state().unwrap()
    })
}

fn same_with_and_without_overlap<M: Layer + 'static>(
    model: impl Fn() -> M + Sync,
    penalty: impl Fn(&M) -> Option<Var> + Sync,
) {
    let early = two_ranks(true, &model, &penalty);
    let late = two_ranks(false, &model, &penalty);
    assert_ne!(bits(&early[0]), bits(&model().state().unwrap()));
    for rank in early.iter().chain(&late) {
        assert!(bits(rank) == bits(&late[0]));
    }
}

#[test]
fn gradients_that_are_averaged_during_the_backward_pass_are_the_same() {
    let flat = || sequential![Flatten].add(large(3));
    same_with_and_without_overlap(flat, |_| None);
}

#[test]
fn a_gradient_that_grows_after_it_was_sent_is_noticed() {
    // The penalty adds to it by an operation of candle, after or before the layer does.
    let flat = || sequential![Flatten].add(large(3));
    same_with_and_without_overlap(flat, |model| model.parameters().get(2).cloned());
    same_with_and_without_overlap(flat, |model| model.parameters().last().cloned());
}

#[test]
fn a_layer_that_is_used_twice_is_averaged_as_a_whole() {
    let model = || {
        with_seed(4, || Twice {
            first: Linear::new(64, 600).unwrap(),
            shared: Linear::new(600, 600).unwrap(),
        })
    };
    let flat = || sequential![Flatten].add(model());
    same_with_and_without_overlap(flat, |_| None);
}

#[test]
fn a_loss_that_is_not_finite_ends_training_with_the_place() {
    let mut trainer = trainer(None, 3).loss(|output, _| output.affine(f64::NAN, 0.0)?.sum_all());
    let before = bits(&trainer.model().state().unwrap());
    let said = trainer.fit().unwrap_err().to_string();
    assert!(
        said.starts_with("the loss is NaN in epoch 0, batch 0: try"),
        "{said}"
    );
    assert_eq!(bits(&trainer.model().state().unwrap()), before);
}

#[test]
fn training_ends_early_when_the_test_loss_stands_still() {
    let mut trainer = trainer(None, 50)
        .early_stop(2)
        .loss(|output, _| output.zeros_like()?.sum_all());
    let history = trainer.fit().unwrap();
    assert_eq!((history.ended, history.epochs.len()), (Ended::Early, 3));
}

#[test]
fn without_data_it_says_what_to_give() {
    let said = Trainer::new(network()).fit().unwrap_err().to_string();
    assert!(said.contains("give the trainer .data(..)"), "{said}");
}

#[test]
fn a_checkpoint_that_cannot_be_written_or_read_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let said = trainer(Some(&file), 1).fit().unwrap_err().to_string();
    assert!(
        said.contains("cannot write the checkpoint") && said.contains("step-0000000006"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "no folder");
    let folder = folder.path().join("checkpoints");
    trainer(Some(&folder), 1).fit().unwrap();
    let model = folder.join("step-0000000006/model.safetensors");
    let whole = fs::read(&model).unwrap();
    fs::write(&model, &whole[..whole.len() / 2]).unwrap();
    let said = trainer(Some(&folder), 2).fit().unwrap_err().to_string();
    assert!(said.contains("is damaged: model.safetensors"), "{said}");
    fs::write(&model, whole).unwrap();
    let mut other = Trainer::new(Linear::new(3, 2).unwrap())
        .data(DataLoader::new(pictures(8, 8), 4))
        .checkpoints(&folder);
    let said = other.fit().unwrap_err().to_string();
    assert!(
        said.contains("that of another model: the state has no weight"),
        "{said}"
    );
}

#[test]
fn a_checkpoint_is_what_python_reads() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    trainer(Some(folder.path()), 1).fit()?;
    let read = Checkpoint::newest(folder.path())?.unwrap();
    assert_eq!(read.model["0.weight"].dims(), [4, 1, 3, 3]);
    assert_eq!(read.training.progress.steps, 6);
    let raw = fs::read(folder.path().join("step-0000000006/training.json"))?;
    let json: serde_json::Value = serde_json::from_slice(&raw)?;
    assert_eq!(json["progress"]["epoch"], 1);
    assert_eq!(
        json["random"]["3.random"]["state"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    Ok(())
}

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Watcher for Told {
    fn step(&mut self, step: &Step) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{}/{} of {}", step.batch, step.batches, step.epoch));
    }

    fn epoch(&mut self, number: usize, _epoch: &Epoch) {
        self.0.lock().unwrap().push(format!("epoch {number}"));
    }

    fn end(&mut self, history: &History) {
        self.0.lock().unwrap().push(format!("{:?}", history.ended));
    }
}

#[test]
fn a_watcher_is_told_each_step_and_epoch_and_the_end() -> Result<()> {
    let told = Told::default();
    let data = TensorDataset::new(
        Tensor::ones((4, 3), DType::F32, &Device::Cpu)?,
        Tensor::zeros(4, DType::U32, &Device::Cpu)?,
    )?;
    Trainer::new(Linear::new(3, 2)?)
        .data(DataLoader::new(data, 2))
        .epochs(2)
        .watch(told.clone())
        .fit()
        .unwrap();
    let told = told.0.lock().unwrap();
    assert_eq!(
        *told,
        [
            "1/2 of 0", "2/2 of 0", "epoch 0", "1/2 of 1", "2/2 of 1", "epoch 1", "Done"
        ]
    );
    Ok(())
}

/// A head that the loss never sees, and one that it does.
struct TwoHeads {
    used: Linear,
    unused: Linear,
}

impl ModuleT for TwoHeads {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.used.forward_t(x, train)
    }
}
layers!(TwoHeads { used, unused });

#[test]
fn ranks_do_the_arithmetic_of_one_for_unused_parameters_and_in_f64() {
    let train = |environment: Option<carrel_training::ranks::Environment>, dtype| {
        let mut net = carrel_training::random::with_seed(4, || {
            let (used, unused) = (Linear::new(3, 1)?, Linear::new(3, 1)?);
            Ok::<_, candle_core::Error>(TwoHeads { used, unused })
        })
        .unwrap();
        net.to_dtype(dtype).unwrap();
        let x = crate::harness::numbers(1, &[8, 3]).to_dtype(dtype).unwrap();
        let y = x.sum_keepdim(1).unwrap();
        let data = TensorDataset::new(x, y).unwrap();
        let mut trainer = Trainer::new(net)
            .loss(mse_loss)
            .optimizer(|p| Ok(AdamW::new(p, 0.1)?.weight_decay(0.1)))
            .unwrap()
            .data(DataLoader::new(data, 8))
            .epochs(5);
        if let Some(environment) = environment {
            let meeting = carrel_training::ranks::Meeting::new(environment);
            trainer = trainer.ranks(Ranks::connect(&meeting).unwrap());
        }
        trainer.fit().unwrap();
        trainer.model().state().unwrap()
    };
    for (dtype, most) in [(DType::F32, 1e-6), (DType::F64, 1e-15)] {
        let alone = train(None, dtype);
        for state in on_threads(2, |environment| train(Some(environment), dtype)) {
            for (name, expected) in &alone {
                // Equal items on both ranks: the means are those of one.
                let off = crate::harness::difference(&state[name], expected);
                assert!(off <= most, "{name} of {dtype:?}: {off}");
            }
        }
    }
}

#[test]
fn the_checkpoint_before_is_taken_where_the_newest_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let whole = trainer(Some(folder.path()), 2).fit().unwrap();
    for (damage, file) in [("cut", "model.safetensors"), ("gone", "training.json")] {
        let path = folder.path().join("step-0000000012").join(file);
        match damage {
            "cut" => fs::write(&path, b"{").unwrap(),
            _ => fs::remove_file(&path).unwrap(),
        }
        let again = trainer(Some(folder.path()), 2).fit().unwrap();
        assert_eq!(again.losses(), whole.losses(), "{damage}");
        // And the damaged one is whole again.
        assert!(Checkpoint::newest(folder.path()).unwrap().is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
