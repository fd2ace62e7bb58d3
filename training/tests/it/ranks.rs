//! Ranks as threads of one process: sums and copies, who may join, who is lost.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use carrel_training::ranks::{
    Environment, EnvironmentError, Meeting, Ranks, RanksError, SumOrder, TaskKind,
};

use crate::harness::{at_place, free_port, on_threads};

fn meeting(rank: usize, world: usize, port: u16) -> Meeting {
    meeting_in(at_place(rank, world, port))
}

fn meeting_in(environment: Environment) -> Meeting {
    Meeting {
        secret: b"secret".to_vec(),
        configuration: "lr 0.01".into(),
        start_within: Duration::from_secs(20),
        silence: Duration::from_secs(2),
        ..Meeting::new(environment)
    }
}

/// Runs `job` on every rank at once; the results in their order.
fn on_ranks<R: Send>(world: usize, job: impl Fn(Ranks) -> R + Sync) -> Vec<R> {
    on_ranks_that_add(SumOrder::Any, world, job)
}

fn on_ranks_that_add<R: Send>(
    sum_order: SumOrder,
    world: usize,
    job: impl Fn(Ranks) -> R + Sync,
) -> Vec<R> {
    on_threads(world, |environment| {
        let meeting = Meeting {
            sum_order,
            ..meeting_in(environment)
        };
        job(Ranks::connect(&meeting).unwrap())
    })
}

#[test]
fn sums_of_every_size_are_right_and_the_same_on_all_ranks() {
    // Fewer numbers than ranks, no numbers, one block, several blocks with a rest, a ring.
    for world in [1, 2, 3, 4] {
        let results = on_ranks(world, |mut ranks| {
            [0usize, 1, 5, 21_840, 700_001, 4_500_001].map(|len| {
                let mut values: Vec<f32> = (0..len)
                    .map(|at| (ranks.rank() + 1) as f32 / (at + 3) as f32)
                    .collect();
                ranks.all_reduce_sum(&mut values).unwrap();
                let factor = (world * (world + 1) / 2) as f32;
                for (at, value) in values.iter().enumerate() {
                    let expected = factor / (at + 3) as f32;
                    assert!((value - expected).abs() <= 1e-6 * expected, "{at} of {len}");
                }
                values
                    .iter()
                    .map(|value| value.to_bits())
                    .collect::<Vec<_>>()
            })
        });
        assert!(results.iter().all(|result| *result == results[0]));
    }
}

/// Numbers whose sum depends on the order in which they are added.
fn addend(rank: usize, at: usize) -> f32 {
    let mantissa = ((rank + 1) * 7919 + at * 104_729) % 1000;
    mantissa as f32 * 10f32.powi(((rank * 5 + at) % 7) as i32)
}

#[test]
fn sums_in_the_order_of_the_ranks_are_so_wherever_a_number_stands() {
    for (world, len) in [(2, 1_000_003), (4, 1_000), (4, 100_000), (5, 2_000_003)] {
        let results = on_ranks_that_add(SumOrder::Ranks, world, |mut ranks| {
            let mut values: Vec<f32> = (0..len).map(|at| addend(ranks.rank(), at)).collect();
            ranks.all_reduce_sum(&mut values).unwrap();
            values
        });
        for at in 0..len {
            let expected = (1..world).fold(addend(0, at), |sum, rank| sum + addend(rank, at));
            let found: Vec<f32> = results.iter().map(|values| values[at]).collect();
            assert!(
                found.iter().all(|sum| sum.to_bits() == expected.to_bits()),
                "number {at} of {len}: {found:?} instead of {expected}"
            );
        }
    }
}

#[test]
fn sums_in_any_order_are_the_same_in_every_run() {
    let run = || {
        on_ranks(4, |mut ranks| {
            let mut values: Vec<f32> = (0..4_500_003).map(|at| addend(ranks.rank(), at)).collect();
            ranks.all_reduce_mean(&mut values).unwrap();
            values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    let first = run();
    assert!(first.iter().all(|values| *values == first[0]));
    assert!(run() == first);
}

#[test]
fn copies_means_and_gathers() {
    let results = on_ranks(3, |mut ranks| {
        let own = vec![ranks.rank() as u8; ranks.rank() * 100_000];
        let copy = ranks.broadcast(2, &own).unwrap();
        let all = ranks.all_gather(&own).unwrap();
        let mut mean = [ranks.rank() as f32 * 3.0];
        ranks.all_reduce_mean(&mut mean).unwrap();
        ranks.barrier().unwrap();
        (
            copy.len(),
            all.iter().map(Vec::len).collect::<Vec<_>>(),
            all[2][0],
            mean,
        )
    });
    for result in results {
        assert_eq!(result, (200_000, vec![0, 100_000, 200_000], 2, [3.0]));
    }
}

#[test]
fn a_rank_that_leaves_is_named_to_all_at_once() {
    let begun = Instant::now();
    let said = on_ranks(3, |mut ranks| {
        if ranks.rank() == 1 {
            ranks.abort();
            return String::new();
        }
        let error = ranks.all_reduce_sum(&mut vec![0.0; 5_000_000]).unwrap_err();
        assert!(matches!(error, RanksError::Lost { rank: 1, .. }), "{error}");
        error.to_string()
    });
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert!(
        said[0].contains("rank 1 (127.0.0.1:") && said[0].contains("was lost"),
        "{said:?}"
    );
}

#[test]
fn different_operations_are_told_apart() {
    let said = on_ranks(2, |mut ranks| match ranks.rank() {
        0 => ranks
            .all_reduce_sum(&mut [1.0, 2.0])
            .unwrap_err()
            .to_string(),
        _ => ranks.all_gather(&[7]).unwrap_err().to_string(),
    });
    assert!(
        said.iter().any(|said| said.contains("out of step")),
        "{said:?}"
    );
}

/// What both sides say when rank 1 comes with `change`.
fn refusals(change: impl FnOnce(&mut Meeting)) -> [String; 2] {
    let port = free_port();
    let mut other = meeting(1, 2, port);
    change(&mut other);
    let mut leader = meeting(0, 2, port);
    leader.start_within = Duration::from_secs(2);
    thread::scope(|scope| {
        let leader = scope.spawn(move || Ranks::connect(&leader).err().unwrap().to_string());
        let other = Ranks::connect(&other).err().unwrap().to_string();
        [leader.join().unwrap(), other]
    })
}

#[test]
fn who_does_not_fit_is_refused_with_the_reason_on_both_sides() {
    let said = refusals(|meeting| meeting.secret = b"guessed".to_vec());
    assert!(
        said[0].contains("ranks [1] did not come in 2 s")
            && said[0].contains("does not know the secret"),
        "{said:?}"
    );
    assert!(
        said[1].contains("does not know the job's secret"),
        "{said:?}"
    );
    let said = refusals(|meeting| meeting.configuration = "lr 0.02".into());
    for said in said {
        assert!(
            said.contains(
                "rank 1 has another configuration than rank 0: lr 0.02 instead of lr 0.01"
            ),
            "{said}"
        );
    }
    let said = refusals(|meeting| meeting.sum_order = SumOrder::Ranks);
    for said in said {
        assert!(
            said.contains("lr 0.01; sums in the order of the ranks instead of lr 0.01"),
            "{said}"
        );
    }
    let said = refusals(|meeting| meeting.environment.world = 3);
    assert!(
        said[1].contains("it expects 3 ranks, rank 0 expects 2"),
        "{said:?}"
    );
}

#[test]
fn strangers_at_the_port_do_not_disturb_and_strange_servers_are_named() {
    let port = free_port();
    thread::scope(|scope| {
        let leader =
            scope.spawn(move || Ranks::connect(&meeting(0, 2, port)).map(|ranks| ranks.world()));
        let mut stranger = loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                break stream;
            }
            thread::yield_now();
        };
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let other = Ranks::connect(&meeting(1, 2, port)).unwrap();
        assert_eq!(leader.join().unwrap().unwrap(), 2);
        drop(other);
    });
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH\r\n").unwrap();
        let _ = stream.read(&mut [0; 64]);
    });
    let said = Ranks::connect(&meeting(1, 2, port))
        .err()
        .unwrap()
        .to_string();
    assert!(
        said.contains("speaks another protocol") && said.contains("SSH-"),
        "{said}"
    );
}

#[test]
fn a_port_in_use_and_a_leader_that_never_comes_are_named() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = Ranks::connect(&meeting(0, 2, port))
        .err()
        .unwrap()
        .to_string();
    assert!(
        said.contains(&format!("rank 0 cannot listen on port {port}")),
        "{said}"
    );
    let mut lonely = meeting(1, 2, free_port());
    lonely.start_within = Duration::from_millis(100);
    let said = Ranks::connect(&lonely).err().unwrap().to_string();
    assert!(said.contains("cannot reach rank 0 at localhost:"), "{said}");
}

fn environment(variables: &[(&str, &str)]) -> Result<Environment, EnvironmentError> {
    Environment::from_variables(|name| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn the_variables_of_pytorch_jobs_are_read() {
    assert_eq!(environment(&[]), Ok(Environment::alone()));
    let master = [
        ("RANK", "0"),
        ("WORLD_SIZE", "4"),
        ("MASTER_ADDR", "localhost"),
        ("MASTER_PORT", "23456"),
    ];
    let read = environment(&master).unwrap();
    assert_eq!(
        (read.rank, read.world, read.host.as_str(), read.port),
        (0, 4, "localhost", 23456)
    );
    for (variables, expected) in [
        (
            &[("RANK", "4"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "x")][..],
            "RANK=4 is not below WORLD_SIZE=4",
        ),
        (
            &[("RANK", "one"), ("WORLD_SIZE", "4")],
            "RANK=\"one\" is no number",
        ),
        (&[("RANK", "1")], "RANK is set but WORLD_SIZE is not"),
        (&[("RANK", "1"), ("WORLD_SIZE", "2")], "MASTER_ADDR is not"),
    ] {
        let said = environment(variables).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn tf_config_gives_each_task_a_rank() {
    let cluster = r#""cluster":{"ps":["p0:2222","p1:2222"],"master":["example-job-master-0:2222"],"worker":["w0:2222"]}"#;
    let of = |kind: &str, index: usize| {
        let config = format!(
            r#"{{{cluster},"task":{{"type":"{kind}","index":{index}}},"environment":"cloud"}}"#
        );
        environment(&[("TF_CONFIG", &config)])
    };
    let master = of("master", 0).unwrap();
    assert_eq!(
        (master.rank, master.world, master.host.as_str(), master.port),
        (0, 4, "example-job-master-0", 2222)
    );
    assert_eq!(master.task.unwrap().kind, TaskKind::Chief);
    assert_eq!(of("worker", 0).unwrap().rank, 1);
    assert_eq!(of("ps", 1).unwrap().rank, 3);
    let server = of("ps", 0).unwrap();
    assert_eq!((server.trainers(), server.servers()), (2, 2));
    assert!(server.is_server() && !of("worker", 0).unwrap().is_server());
    // The cluster of an evaluator does not name it.
    let evaluator = of("evaluator", 0).unwrap();
    assert!(evaluator.is_evaluator() && evaluator.world == 1);
    let servers = r#"{"cluster":{"ps":["p0:2222"]},"task":{"type":"ps","index":0}}"#;
    let said = environment(&[("TF_CONFIG", servers)]).unwrap_err();
    assert!(said.to_string().contains("nobody trains"), "{said}");
    let said = of("worker", 1).unwrap_err().to_string();
    assert!(said.contains("the cluster has no task worker 1"), "{said}");
    let said = environment(&[("TF_CONFIG", r#"{"cluster":1}"#)])
        .unwrap_err()
        .to_string();
    assert!(said.contains("not what a TFJob sets"), "{said}");
}

#[test]
fn tf_config_is_taken_in_every_form_that_operators_write() {
    let read = |config: &str| environment(&[("TF_CONFIG", config)]);
    for config in ["{}", r#"{"cluster":{},"task":{}}"#, r#"{"cluster":{}}"#] {
        assert_eq!(read(config), Ok(Environment::alone()), "{config}");
    }
    let cluster = r#""cluster":{"worker":["a:1","b:2"],"ps":[]}"#;
    for index in ["1", r#""1""#] {
        let config = format!(
            r#"{{{cluster},"task":{{"type":"worker","index":{index}}},"environment":"cloud"}}"#
        );
        let read = read(&config).unwrap();
        assert_eq!((read.rank, read.world, read.port), (1, 2, 1), "{config}");
    }
    let alone = read(r#"{"cluster":{},"task":{"type":"worker","index":0}}"#).unwrap();
    assert_eq!((alone.rank, alone.world), (0, 1));
    let task = r#""task":{"type":"worker","index":0}"#;
    for (config, expected) in [
        (
            r#"{"cluster":{"worker":["a:1"]},"task":{"type":"worker","index":"x"}}"#.to_owned(),
            "\"x\" is no number",
        ),
        (
            r#"{"cluster":{"worker":["a:1"]},"task":{"type":"worker","index":-1}}"#.to_owned(),
            "no number from 0",
        ),
        (
            format!(r#"{{"sparseCluster":{{"worker":{{"0":"a:1"}}}},{task}}}"#),
            "enableDynamicWorker",
        ),
        (
            format!(r#"{{"cluster":{{"chief":["a:1"],"master":["b:1"]}},{task}}}"#),
            "both chief and master",
        ),
        (
            format!(r#"{{"cluster":{{"workers":["a:1"]}},{task}}}"#),
            "no task type \"workers\"",
        ),
        (
            format!(r#"{{{cluster},"task":{{}}}}"#),
            "the task has no type",
        ),
    ] {
        let said = read(&config).unwrap_err().to_string();
        assert!(said.contains(expected), "{config}: {said}");
    }
}

#[test]
fn times_are_set_by_variables() {
    let read = environment(&[
        ("CARREL_SILENCE_SECONDS", "60"),
        ("CARREL_START_SECONDS", " 7 "),
    ]);
    let meeting = Meeting::new(read.unwrap());
    assert_eq!(meeting.silence, Duration::from_secs(60));
    assert_eq!(meeting.start_within, Duration::from_secs(7));
    for text in ["1", "-3", "5s", ""] {
        let said = environment(&[("CARREL_SILENCE_SECONDS", text)])
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("CARREL_SILENCE_SECONDS") && said.contains("at least 2"),
            "{said}"
        );
    }
}

#[test]
fn ranks_meet_over_ipv6_where_the_machine_has_it() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    for host in ["::1", "[::1]"] {
        let port = free_port();
        thread::scope(|scope| {
            let all = [0, 1, 2].map(|rank| {
                scope.spawn(move || {
                    let environment = Environment {
                        host: host.into(),
                        ..at_place(rank, 3, port)
                    };
                    Ranks::connect(&meeting_in(environment))
                        .unwrap()
                        .barrier()
                        .unwrap();
                })
            });
            for rank in all {
                rank.join().unwrap();
            }
        });
    }
}

/// A connection to rank 0, once it listens.
fn call(port: u16) -> TcpStream {
    loop {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            return stream;
        }
        thread::yield_now();
    }
}

#[test]
fn who_is_silent_or_slow_at_the_port_keeps_nobody_waiting() {
    let port = free_port();
    thread::scope(|scope| {
        let leader = scope.spawn(move || Ranks::connect(&meeting(0, 2, port)).unwrap().world());
        let silent = [0; 3].map(|_| call(port));
        let mut slow = call(port);
        slow.write_all(&[9]).unwrap();
        let begun = Instant::now();
        let other = Ranks::connect(&meeting(1, 2, port)).unwrap();
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(leader.join().unwrap(), 2);
        drop((other, silent, slow));
    });
}

#[test]
fn a_rank_calls_again_where_a_connection_is_closed_without_a_word() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = proxy.local_addr().unwrap().port();
    thread::scope(|scope| {
        let other = scope.spawn(move || Ranks::connect(&meeting(1, 2, port)).unwrap().world());
        // As a mesh's proxy does before the pod behind it is ready.
        for _ in 0..3 {
            drop(proxy.accept().unwrap());
        }
        drop(proxy);
        let mut leader = meeting(0, 2, port);
        leader.environment.host = "127.0.0.1".into();
        // The port is free as soon as the last connection of the proxy is gone.
        let ranks = loop {
            match Ranks::connect(&leader) {
                Err(RanksError::Listen { .. }) => thread::yield_now(),
                other => break other.unwrap(),
            }
        };
        assert_eq!(ranks.world(), 2);
        drop(ranks);
        assert_eq!(other.join().unwrap(), 2);
    });
}

#[test]
fn a_rank_that_waits_stops_when_it_is_told_and_its_next_start_takes_its_place() {
    let port = free_port();
    thread::scope(|scope| {
        let leader = scope.spawn(move || Ranks::connect(&meeting(0, 3, port)).unwrap().world());
        let told = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (heard, looked) = (told.clone(), std::sync::mpsc::channel());
        let looks = looked.0;
        let first = Meeting {
            stop: std::sync::Arc::new(move || {
                let _ = looks.send(());
                heard.load(std::sync::atomic::Ordering::Relaxed)
            }),
            ..meeting(1, 3, port)
        };
        let waiting = scope.spawn(move || Ranks::connect(&first).err().unwrap());
        // It looks a few times until it has joined, and then again and again.
        for _ in 0..40 {
            looked.1.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        told.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(matches!(waiting.join().unwrap(), RanksError::Stopped));
        let again = [1, 2].map(|rank| {
            scope.spawn(move || Ranks::connect(&meeting(rank, 3, port)).unwrap().world())
        });
        assert_eq!(again.map(|rank| rank.join().unwrap()), [3, 3]);
        assert_eq!(leader.join().unwrap(), 3);
    });
}

/// A store as torchrun's agent holds one: values by their keys, as far as ranks use it.
fn hold_store(listener: &TcpListener) {
    let values = std::sync::Mutex::new(std::collections::BTreeMap::<Vec<u8>, Vec<u8>>::new());
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let (mut stream, values) = (stream.unwrap(), &values);
            scope.spawn(move || {
                let number = |read: &mut dyn FnMut(usize) -> Option<Vec<u8>>| {
                    let bytes = read(8)?;
                    Some(u64::from_le_bytes(bytes.try_into().ok()?) as usize)
                };
                let mut answers = stream.try_clone().unwrap();
                let mut read = |count: usize| {
                    let mut bytes = vec![0; count];
                    stream.read_exact(&mut bytes).ok().map(|()| bytes)
                };
                assert_eq!(read(5), Some(vec![0, 0xCE, 0xF7, 0x85, 0x3C]));
                while let Some(kind) = read(1) {
                    if kind == [5] {
                        assert_eq!(number(&mut read), Some(1));
                    }
                    let length = number(&mut read).unwrap();
                    let key = read(length).unwrap();
                    match kind[0] {
                        1 => {
                            let length = number(&mut read).unwrap();
                            let value = read(length).unwrap();
                            values.lock().unwrap().insert(key, value);
                        }
                        5 => {
                            let there = values.lock().unwrap().contains_key(&key);
                            answers.write_all(&[u8::from(!there)]).unwrap();
                        }
                        3 => {
                            let value = values.lock().unwrap()[&key].clone();
                            let length = (value.len() as u64).to_le_bytes();
                            answers.write_all(&[&length[..], &value].concat()).unwrap();
                        }
                        kind => panic!("the query {kind}"),
                    }
                }
            });
        }
    });
}

#[test]
fn ranks_meet_by_the_store_of_a_launcher_that_holds_their_port() {
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = store.local_addr().unwrap().port().to_string();
    thread::spawn(move || hold_store(&store));
    for restart in ["0", "1"] {
        thread::scope(|scope| {
            let start = |rank| {
                let port = &port;
                scope.spawn(move || {
                    let environment = environment(&[
                        ("RANK", rank),
                        ("WORLD_SIZE", "3"),
                        ("MASTER_ADDR", "127.0.0.1"),
                        ("MASTER_PORT", port),
                        ("TORCHELASTIC_USE_AGENT_STORE", "True"),
                        ("TORCHELASTIC_RUN_ID", "none"),
                        ("TORCHELASTIC_RESTART_COUNT", restart),
                    ]);
                    Ranks::connect(&meeting_in(environment.unwrap()))
                        .unwrap()
                        .world()
                })
            };
            let all = ["1", "2", "0"].map(start);
            assert_eq!(all.map(|rank| rank.join().unwrap()), [3; 3]);
        });
    }
    let off = environment(&[
        ("RANK", "0"),
        ("WORLD_SIZE", "1"),
        ("TORCHELASTIC_USE_AGENT_STORE", "False"),
    ]);
    assert_eq!(off.unwrap().store, None);
}
