//! Meetings of tests, which are quick to give up, and environments of given variables.

use std::time::Duration;

use carrel_ranks::{Environment, EnvironmentError, Meeting};

use crate::threads::at_place;

pub fn meeting(rank: usize, world: usize, port: u16) -> Meeting {
    meeting_in(at_place(rank, world, port))
}

pub fn meeting_in(environment: Environment) -> Meeting {
    Meeting {
        secret: b"secret".to_vec(),
        configuration: "lr 0.01".into(),
        start_within: Duration::from_secs(20),
        silence: Duration::from_secs(2),
        ..Meeting::new(environment)
    }
}

pub fn environment(variables: &[(&str, &str)]) -> Result<Environment, EnvironmentError> {
    Environment::from_variables(|name| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}
