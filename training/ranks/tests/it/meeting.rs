//! How ranks find one another: who may join, who is refused, and who keeps nobody waiting.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use carrel_ranks::{Environment, Meeting, Ranks, RanksError, SumOrder};

use crate::harness::{environment, meeting, meeting_in};
use crate::threads::{at_place, free_port};

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
