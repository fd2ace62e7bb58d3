//! A process's place in its job, as the variables of PyTorchJob, TFJob and torchrun tell it.

use std::time::Duration;

use carrel_ranks::{Environment, Meeting, TaskKind};

use crate::harness::environment;

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
