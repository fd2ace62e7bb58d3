//! The dashboard as the chart installs it.
