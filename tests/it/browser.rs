//! The closed path in a real browser, from `make run` to a tensor printed by a Rust cell and the log-out.

use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use carrel_tests::browser::Browser;
use carrel_tests::hub::{Hub, ended, free_port, processes_with};
use carrel_tests::installation::{Installation, output, repository};
use carrel_tests::wait_for;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use thirtyfour::{By, Key, WebElement};

pub const HELLO: &str = "let hello = constant(\"Hello Tensor!\");
println!(\"{hello}\");
let x = Tensor::arange(0f32, 6., &Device::Cpu)?.reshape((2, 3))?;
x.matmul(&x.t()?)?";

#[tokio::test]
async fn from_make_run_to_a_printed_tensor() -> anyhow::Result<()> {
    let installation = Installation::find()?;
    let run = MakeRun::start(&installation.prepared).await?;
    let browser = Browser::start("closed-path").await?;
    let walked = walk(&browser, &run.address).await;
    if walked.is_err() {
        let _ = browser.screenshot("failure").await;
    }
    browser.quit().await?;
    let log = run.log();
    let interrupted = run.interrupt(&installation.prepared).await;
    walked.context(log)?;
    interrupted
}

async fn walk(browser: &Browser, address: &str) -> anyhow::Result<()> {
    log_in(browser, address).await?;
    start_server(browser).await?;
    run_hello_world(browser).await?;
    complete_while_a_cell_runs(browser).await?;
    stop_and_log_out(browser, address).await
}

pub async fn log_in(browser: &Browser, address: &str) -> anyhow::Result<()> {
    browser.goto(address).await?;
    browser.at("/hub/login").await?;
    browser.screenshot("1-login").await?;
    browser.fill("input[name=username]", "admin").await?;
    browser.click("form button[type=submit]").await?;
    browser.at("/hub/home").await?;
    browser
        .find_text("main", "password")
        .await
        .context("no warning of the empty password")?;
    browser.screenshot("2-home").await
}

pub async fn start_server(browser: &Browser) -> anyhow::Result<()> {
    browser.click("#start").await?;
    browser.at("/hub/spawn-pending/admin").await?;
    browser.screenshot("3-spawn-pending").await?;
    browser.at("/user/admin/lab").await?;
    browser.find(".jp-Launcher").await?;
    // Until the splash is gone JupyterLab still restores its layout.
    browser.gone("#jupyterlab-splash").await
}

pub async fn run_hello_world(browser: &Browser) -> anyhow::Result<()> {
    browser.screenshot("4-jupyterlab").await?;
    open_notebook(browser).await?;
    run_cell(browser, HELLO).await?;
    browser
        .find_text(".jp-OutputArea-output", "Hello Tensor!")
        .await?;
    let table = browser
        .find(".jp-OutputArea-output table")
        .await?
        .text()
        .await?;
    let numbers: Vec<&str> = table
        .split_whitespace()
        .filter(|word| word.parse::<f32>().is_ok())
        .collect();
    ensure!(
        ["5", "14", "14", "50"]
            .iter()
            .all(|number| numbers.contains(number)),
        "{table:?}"
    );
    browser.screenshot("5-hello-tensor").await
}

/// Opens a new Rust notebook from JupyterLab's launcher; its first cell is being edited.
pub async fn open_notebook(browser: &Browser) -> anyhow::Result<()> {
    browser
        .click(".jp-LauncherCard[data-category=Notebook][title^=Rust]")
        .await?;
    browser
        .click(".jp-Notebook .jp-CodeCell .cm-content")
        .await?;
    // JupyterLab may start a kernel twice for a new notebook, and drops a cell that is sent in between.
    browser.find_text("#jp-bottom-panel", "Rust | Idle").await
}

/// Presses Tab until a list of completions has `word`: JupyterLab passes over an answer that takes longer than a second
/// (`providerTimeout` of its completer), as the first one may.
async fn complete(browser: &Browser, cell: &WebElement, word: &str) -> anyhow::Result<()> {
    let has_word = || async {
        let list = browser.driver.find(By::Css(".jp-Completer")).await.ok()?;
        list.text().await.ok()?.contains(word).then_some(())
    };
    for _ in 0..10 {
        cell.send_keys(Key::Tab + "").await?;
        if wait_for("a list of completions", Duration::from_secs(6), has_word)
            .await
            .is_ok()
        {
            return Ok(());
        }
    }
    bail!("no list of completions has {word:?}")
}

async fn complete_while_a_cell_runs(browser: &Browser) -> anyhow::Result<()> {
    let code = "std::thread::sleep(std::time::Duration::from_secs(600));";
    run_cell(browser, code).await?;
    browser.find_text("#jp-bottom-panel", "Rust | Busy").await?;
    let cell = browser.driver.active_element().await?;
    cell.send_keys("wh").await?;
    complete(browser, &cell, "while").await?;
    browser.find_text("#jp-bottom-panel", "Rust | Busy").await?;
    browser.screenshot("6-complete-while-busy").await?;
    // Out of the completer and the cell; twice I interrupts.
    cell.send_keys(Key::Escape + Key::Escape).await?;
    browser
        .driver
        .active_element()
        .await?
        .send_keys("ii")
        .await?;
    browser
        .find_text(".jp-OutputArea-output", "Interrupted")
        .await?;
    browser.find_text("#jp-bottom-panel", "Rust | Idle").await
}

/// Runs `code` in the cell that is being edited.
pub async fn run_cell(browser: &Browser, code: &str) -> anyhow::Result<()> {
    // JupyterLab indents and closes brackets as one types; a paste keeps the text as it is.
    let paste = "document.execCommand('insertText', false, arguments[0])";
    browser.driver.execute(paste, vec![code.into()]).await?;
    let cell = browser.driver.active_element().await?;
    Ok(cell.send_keys(Key::Shift + Key::Enter).await?)
}

async fn stop_and_log_out(browser: &Browser, address: &str) -> anyhow::Result<()> {
    browser.goto(&format!("{address}hub/home")).await?;
    // JupyterLab may ask whether to leave a notebook that is not saved.
    let _ = browser.driver.accept_alert().await;
    browser.screenshot("7-home-running").await?;
    browser.click("#stop").await?;
    browser.find("#start").await?;
    browser.screenshot("8-home-stopped").await?;
    browser.click("#logout").await?;
    browser.find_text("main", "logged out").await?;
    browser.screenshot("9-logged-out").await?;
    browser.goto(&format!("{address}hub/home")).await?;
    browser.at("/hub/login").await
}

#[tokio::test]
async fn an_open_notebook_outlives_a_killed_hub() -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let mut hub = Hub::start(&Installation::find()?, state.path(), "").await?;
    let address = hub.url("/");
    let browser = Browser::start("killed-hub").await?;
    let walked = async {
        log_in(&browser, &address).await?;
        start_server(&browser).await?;
        run_hello_world(&browser).await?;
        hub.crash_and_restart().await?;
        run_cell(&browser, "format!(\"x is still {:?}\", x.dims())").await?;
        let output = ".jp-OutputArea-output";
        browser.find_text(output, "x is still [2, 3]").await?;
        browser.screenshot("6-after-the-kill").await
    }
    .await;
    if walked.is_err() {
        let _ = browser.screenshot("failure").await;
    }
    browser.quit().await?;
    walked.with_context(|| hub.log())
}

#[tokio::test]
async fn a_wrong_password_and_a_server_that_cannot_start_are_explained() -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let cmd = r#"[sh, -c, "echo the disk is full >&2; sleep 1; exit 3"]"#;
    let configuration = format!("Spawner:\n  cmd: {cmd}\n");
    let hub = Hub::start(&Installation::find()?, state.path(), &configuration).await?;
    let browser = Browser::start("failed-start").await?;
    let walked = async {
        browser.goto(&hub.url("/")).await?;
        browser.fill("input[name=username]", "admin").await?;
        browser.fill("input[name=password]", "guessed").await?;
        browser.click("form button[type=submit]").await?;
        browser
            .find_text("main", "Invalid username or password")
            .await?;
        browser.screenshot("0-wrong-password").await?;
        log_in(&browser, &hub.url("/")).await?;
        browser.click("#start").await?;
        browser.find_text("main", "exited with status 3").await?;
        browser.find_text("main", "the disk is full").await?;
        browser.screenshot("3-failed").await?;
        browser.goto(&hub.url("/user/admin/lab")).await?;
        browser.find_text("main", "not running").await?;
        browser.screenshot("4-not-running").await
    }
    .await;
    browser.quit().await?;
    walked.with_context(|| hub.log())
}

/// `make run` as a person types it, on a state without users.
struct MakeRun {
    process: Child,
    address: String,
    log: std::path::PathBuf,
}

impl MakeRun {
    async fn start(state: &Path) -> anyhow::Result<Self> {
        for made in ["users", "logs"] {
            let _ = fs::remove_dir_all(state.join(made));
        }
        for entry in fs::read_dir(state)?.flatten() {
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with("hub.sqlite")
            {
                fs::remove_file(entry.path())?;
            }
        }
        let port = free_port()?;
        let log = output()?.join("make-run.log");
        let file = File::create(&log)?;
        let mut make = Command::new("make");
        // A person's shell has no variables of the package whose test this is, by which build scripts run again.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_MANIFEST") || text.starts_with("CARGO_PKG") {
                make.env_remove(&name);
            }
        }
        let process = make
            .arg("run")
            .arg(format!("PORT={port}"))
            .arg(format!("STATE={}", state.display()))
            .current_dir(repository())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        let address = format!("http://127.0.0.1:{port}/");
        let run = Self {
            process,
            address,
            log,
        };
        wait_for(
            "make run to print the address",
            Duration::from_secs(120),
            || async { run.log().contains(&run.address).then_some(()) },
        )
        .await
        .with_context(|| run.log())?;
        Ok(run)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ctrl-C; nothing is left running.
    async fn interrupt(mut self, state: &Path) -> anyhow::Result<()> {
        // A terminal sends it to the whole group.
        killpg(
            Pid::from_raw(self.process.id().cast_signed()),
            Signal::SIGINT,
        )?;
        ended(&mut self.process).await?;
        let left = processes_with(&format!("CARREL_STATE={}", state.display()));
        ensure!(left.is_empty(), "left running: {left:?}");
        Ok(())
    }
}
