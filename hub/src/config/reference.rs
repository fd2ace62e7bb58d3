//! The reference of the configuration in Markdown, `hub/CONFIGURATION.md`; a test keeps that file equal to it.

use std::fmt::Write as _;

use super::section::SectionKeys;
use super::{Config, OptionsForm};

const HEAD: &str = "# Configuration

The Hub reads one YAML file (`carrel-hub serve --config FILE`). Its sections and keys carry JupyterHub's own names.
All of them may be left out. The file is checked as a whole before anything starts: every mistake is reported at
once, with its line and column, and the Hub ends with exit code 64.

```yaml
JupyterHub:
  bind_url: http://127.0.0.1:8000
Authenticator:
  admin_users: [admin]
Spawner:
  default_url: /lab
  environment:
    GREETING: hello
```
";

/// All sections and keys, from the same tables that the file is read by.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for section in Config::keys() {
        describe(&mut text, &format!("`{}:`", section.name), &section);
    }
    describe(
        &mut text,
        "Fields of `Spawner.options_form`",
        &OptionsForm::keys(),
    );
    text
}

fn describe(text: &mut String, title: &str, section: &SectionKeys) {
    let _ = write!(
        text,
        "\n## {title}\n\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
        section.doc
    );
    for key in &section.keys {
        let default = if key.default.is_empty() {
            "none".to_owned()
        } else {
            format!("`{}`", key.default)
        };
        let [expected, doc] = [&key.expected, &key.doc].map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| `{}` | {expected} | {default} | {doc} |", key.name);
    }
}
