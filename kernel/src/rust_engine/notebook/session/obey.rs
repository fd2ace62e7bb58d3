//! What a session does for the commands of a cell.

use crate::rust_engine::notebook::commands::{self, Command};
use carrel_protocol::analysis::{Reply, Wish};

use super::{Outputs, Session};
use crate::engine::{Failure, MimeBundle, Output};
use crate::rust_engine::INSPECT_LIMIT;
use crate::rust_engine::compiler::compile::Toolchain;
use crate::rust_engine::notebook::failure;

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
            Command::Shell(line) => return self.shell(line, title, outputs).await,
            Command::Vars => commands::vars(&self.notebook),
            Command::Help => commands::help(),
            Command::Type(expression) => {
                MimeBundle::plain(self.r#type(expression, title, outputs).await?)
            }
            Command::Clear => {
                // First: an interrupt may drop what waits, when the worker is gone.
                self.notebook.clear();
                self.keep_dependencies(0);
                self.lose_worker(outputs).await;
                MimeBundle::plain("all variables, items and dependencies are forgotten".to_owned())
            }
            Command::Restart => {
                let lost = self.notebook.lost_all("the worker was started again");
                self.lose_worker(outputs).await;
                MimeBundle::plain(format!("a new worker; {}", failure::loss(&lost)))
            }
            Command::Opt(level) => {
                let present = &mut self.toolchain().await?.opt_level;
                *present = level.unwrap_or(*present);
                MimeBundle::plain(format!("optimization: {present}"))
            }
            Command::Timing => {
                self.timing = !self.timing;
                let state = if self.timing { "on" } else { "off" };
                MimeBundle::plain(format!("timing: {state}"))
            }
            Command::ShowDeps => {
                let requests: Vec<String> = self.dependencies.requests().collect();
                MimeBundle::plain(match requests.is_empty() {
                    true => "no dependencies".to_owned(),
                    false => requests.join("\n"),
                })
            }
            Command::Cache(_) | Command::ClearCache | Command::Offline(_) => {
                MimeBundle::plain(self.obey_about_crates(command, title, outputs).await?)
            }
            Command::NotNeeded(why) => MimeBundle::plain((*why).to_owned()),
            Command::LoadConfig => {
                self.configuration.ask();
                return Ok(());
            }
            Command::Doc(name) => self.documentation(name).await,
            Command::Env(name, value) => self.set_variable(name, value, outputs).await,
            Command::BuildEnv(name, value) => {
                let (name, value) = (name.clone(), value.clone());
                self.toolchain()
                    .await?
                    .rustc
                    .set(name.clone(), value.clone());
                let told = format!("{name}={value} is set for the compiler and for `:dep`");
                self.dependencies.environment.insert(name, value);
                MimeBundle::plain(told)
            }
            Command::Version => {
                let toolchain = self.toolchain().await?;
                let rustc = toolchain.prelude.version.lines().next().unwrap_or_default();
                let linker = toolchain.linker().map(|linker| linker.to_string_lossy());
                MimeBundle::plain(format!(
                    "carrel-kernel {}, {rustc}, linker {}",
                    env!("CARGO_PKG_VERSION"),
                    linker.unwrap_or_default()
                ))
            }
            Command::LastCompileDir => {
                let folder = self.toolchain().await?.folder();
                MimeBundle::plain(folder.display().to_string())
            }
            Command::Explain => self.explanation().await?,
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

    async fn obey_about_crates(
        &mut self,
        command: &Command,
        title: &str,
        outputs: &Outputs,
    ) -> Result<String, Failure> {
        let prelude = self.toolchain().await?.prelude.clone();
        let told = match command {
            Command::Cache(limit) => self.dependencies.room(*limit, &prelude),
            Command::ClearCache => self.dependencies.clear_cache(&prelude, outputs).await,
            command => {
                let off = *command == Command::Offline(true);
                self.dependencies.network.set_off(off);
                Ok(format!("offline mode: {}", if off { "on" } else { "off" }))
            }
        };
        told.map_err(|error| failure::dependency(title, &error))
    }

    async fn toolchain(&mut self) -> Result<&mut Toolchain, Failure> {
        self.start().await?;
        let tools = self.tools.as_mut();
        let tools = tools.ok_or_else(|| failure::tool("the compiler is not there"))?;
        Ok(&mut tools.toolchain)
    }

    async fn documentation(&self, name: &str) -> MimeBundle {
        let wish = Wish::Inspect { detail: true };
        let asked = self
            .analyzer
            .ask(name.to_owned(), name.len(), wish, INSPECT_LIMIT);
        match asked.await {
            Some(Reply::Description(description)) => commands::described(description),
            _ => MimeBundle::plain(format!("nothing is known of `{name}`")),
        }
    }

    /// Sets it for the next worker; that is at once where nothing lives in this one.
    async fn set_variable(&mut self, name: &str, value: &str, outputs: &Outputs) -> MimeBundle {
        let set = (name.to_owned(), value.to_owned());
        self.environment.extend([set]);
        let notebook = &self.notebook;
        if notebook.variables.is_empty() && notebook.items.cells.is_empty() {
            self.lose_worker(outputs).await;
            return MimeBundle::plain(format!("{name}={value} is set"));
        }
        MimeBundle::plain(format!(
            "{name}={value} is set from the next `:restart` on; at once by `unsafe {{ std::env::set_var({name:?}, {value:?}) }}`"
        ))
    }

    /// The compiler's longer words on the errors of the last cell that it refused.
    async fn explanation(&mut self) -> Result<MimeBundle, Failure> {
        let codes = self.notebook.last_errors.clone();
        let mut texts = Vec::new();
        for code in codes {
            let rustc = &self.toolchain().await?.rustc.program;
            let told = tokio::process::Command::new(rustc)
                .arg("--explain")
                .arg(&code)
                .output()
                .await;
            let told = told.map_err(|error| failure::tool(&error.to_string()))?;
            texts.push(format!("{code}: {}", String::from_utf8_lossy(&told.stdout)));
        }
        Ok(MimeBundle::plain(match texts.is_empty() {
            true => "there is no compile error with a longer explanation".to_owned(),
            false => texts.join("\n"),
        }))
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
            Ok(r#type) => Ok(r#type.plain()),
            Err(reason) => Err(failure::command(
                title,
                &format!("the type cannot be told: {reason}"),
            )),
        }
    }
}
