//! What a session does for the commands of a cell.

use super::super::commands::{self, Command, plain_type};
use super::super::failure;
use super::{Outputs, Session};
use crate::engine::{Failure, Output};

impl Session {
    /// Obeys one command, or several `:dep`.
    pub(super) async fn obey(
        &mut self,
        commands: &[Command],
        title: &str,
        outputs: &Outputs,
    ) -> Result<(), Failure> {
        let Some(command) = commands.first() else {
            return Ok(());
        };
        let bundle = match command {
            Command::Dep(_) => {
                let requests = commands.iter().filter_map(Command::request);
                let requests: Vec<_> = requests.cloned().collect();
                return self.depend(&requests, title, outputs).await;
            }
            Command::Vars => commands::vars(&self.notebook),
            Command::Help => commands::help(),
            Command::Type(expression) => {
                commands::text(self.r#type(expression, title, outputs).await?)
            }
            Command::Clear => {
                self.lose_worker(outputs).await;
                self.notebook.clear();
                self.keep_dependencies(0);
                commands::text("all variables, items and dependencies are forgotten".to_owned())
            }
            Command::Restart => {
                self.lose_worker(outputs).await;
                let lost = self.notebook.lost_all("the worker was started again");
                commands::text(format!("a new worker; {}", failure::loss(&lost)))
            }
            Command::Opt(level) => {
                self.start().await?;
                let Some(tools) = &mut self.tools else {
                    return Err(failure::tool("the compiler is not there"));
                };
                let present = &mut tools.toolchain.opt_level;
                *present = level.unwrap_or(*present);
                commands::text(format!("optimization: {present}"))
            }
            Command::Timing => {
                self.timing = !self.timing;
                let state = if self.timing { "on" } else { "off" };
                commands::text(format!("timing: {state}"))
            }
        };
        let output = Output::Display {
            bundle,
            display_id: None,
            update: false,
        };
        // Nobody listens if the frontend is gone.
        let _ = outputs.send(output).await;
        Ok(())
    }

    /// The type of an expression, which is compiled and not run.
    async fn r#type(
        &mut self,
        expression: &str,
        title: &str,
        outputs: &Outputs,
    ) -> Result<String, Failure> {
        let code = format!("let expression = {expression};");
        let cell = self.compile_code(title, &code, outputs).await?;
        match cell.declared("expression") {
            Ok(r#type) => Ok(plain_type(r#type)),
            Err(reason) => Err(failure::command(
                title,
                &format!("the type cannot be told: {reason}"),
            )),
        }
    }
}
