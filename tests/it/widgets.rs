//! Controls and plots of Rust cells as a person sees and moves them in JupyterLab.

use anyhow::{Context, ensure};
use carrel_tests::browser::{Browser, PATIENCE};
use carrel_tests::hub::Hub;
use carrel_tests::installation::Installation;
use carrel_tests::wait_for;
use thirtyfour::{By, Key};

use crate::browser::{log_in, open_notebook, run_cell, start_server};

const CONTROLS: &str = "let n = widgets::int_slider(0..=100).label(\"n\");
let bar = widgets::progress_bar(0.0..=100.0);
let go = widgets::button(\"Count\");
let told = widgets::html(\"no click yet\");
{
    let bar = bar.clone();
    n.on_change(move |n| bar.set(n as f64));
    let (told, mut clicks) = (told.clone(), 0);
    go.on_click(move || { clicks += 1; told.set(format!(\"<b>{clicks}</b> clicks\")); });
}
widgets::column([n.widget(), bar.widget(), go.widget(), told.widget()])";

const PLOTS: &str = "let loss = (1..=200).map(|step| (step, 2.3 / step as f64 + 0.01));
display(&Plot::new()
    .line(\"training\", loss.clone())
    .scatter(\"validation\", loss.step_by(20).map(|(x, y)| (x, y * 1.5)))
    .title(\"Loss\").x_label(\"step\").y_label(\"cross entropy\").log_y().size(480, 280));
let mut live = Plot::new().title(\"Live\").size(480, 160);
let shown = display(&live);
for step in 0..60 {
    live.push(\"steps\", (step as f64 / 6.0).sin());
    shown.update(&live);
}
Plot::new()
    .bars(\"measured\", [(\"cats\", 3), (\"dogs\", 5), (\"ferrets\", -1)])
    .bars(\"expected\", [(\"cats\", 4), (\"dogs\", 2), (\"ferrets\", 1)])
    .size(480, 200)";

#[tokio::test]
async fn controls_answer_and_plots_are_drawn_in_both_themes() -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let hub = Hub::start(&Installation::find()?, state.path(), "").await?;
    let browser = Browser::start("widgets").await?;
    let walked = async {
        log_in(&browser, &hub.url("/")).await?;
        start_server(&browser).await?;
        open_notebook(&browser).await?;
        run_cell(&browser, CONTROLS).await?;
        move_the_slider(&browser).await?;
        click_the_button(&browser).await?;
        browser.screenshot("1-controls").await?;
        run_cell(&browser, PLOTS).await?;
        look_at_the_plots(&browser).await?;
        browser.screenshot("2-plots").await?;
        choose_dark(&browser).await?;
        browser.screenshot("3-plots-in-the-dark").await
    }
    .await;
    if walked.is_err() {
        let _ = browser.screenshot("failure").await;
    }
    browser.quit().await?;
    walked.with_context(|| hub.log())
}

async fn move_the_slider(browser: &Browser) -> anyhow::Result<()> {
    let handle = browser.find(".widget-hslider .noUi-handle").await?;
    handle.send_keys(Key::End + "").await?;
    browser
        .find_text(".widget-hslider .widget-readout", "100")
        .await?;
    // The callback has moved the bar.
    wait_for("the bar to be full", PATIENCE, || async {
        let bar = browser
            .driver
            .find(By::Css(".widget-hprogress .progress-bar"))
            .await
            .ok()?;
        let style = bar.attr("style").await.ok()??;
        style.contains("width: 100%").then_some(())
    })
    .await
}

async fn click_the_button(browser: &Browser) -> anyhow::Result<()> {
    browser
        .find_text(".widget-html-content", "no click yet")
        .await?;
    for clicks in ["1 clicks", "2 clicks"] {
        browser
            .click(".jp-OutputArea-output .jupyter-button")
            .await?;
        browser.find_text(".widget-html-content", clicks).await?;
    }
    Ok(())
}

async fn look_at_the_plots(browser: &Browser) -> anyhow::Result<()> {
    browser
        .find_text(".jp-OutputArea-output svg text", "ferrets")
        .await?;
    let plots = browser
        .driver
        .find_all(By::Css(".jp-OutputArea-output svg"))
        .await?;
    ensure!(plots.len() == 3, "{} plots", plots.len());
    // The last update of the live one.
    let line = plots[1].find(By::Css("polyline[stroke='#2F86D6']")).await?;
    let points = line.attr("points").await?.unwrap_or_default();
    let count = points.split_whitespace().count();
    ensure!(count == 60, "{count} points");
    Ok(plots[1].scroll_into_view().await?)
}

async fn choose_dark(browser: &Browser) -> anyhow::Result<()> {
    let script = "for (const item of document.querySelectorAll(arguments[0]))
        if (item.textContent.includes(arguments[1])) return item;";
    for (css, text) in [
        (".lm-MenuBar-item", "Settings"),
        (".lm-Menu-item", "Theme"),
        (".lm-Menu-item", "JupyterLab Dark"),
    ] {
        wait_for(text, PATIENCE, || async {
            let arguments = vec![css.into(), text.into()];
            let found = browser.driver.execute(script, arguments).await.ok()?;
            found.element().ok()?.click().await.ok()
        })
        .await?;
    }
    browser
        .find("body[data-jp-theme-name='JupyterLab Dark']")
        .await?;
    browser.gone("#jupyterlab-splash").await
}
